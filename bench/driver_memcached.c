/* memcached: the meta commands of its text protocol. See driver.h. Deadlines are whole seconds there. */
#include "endpoint.h"

#include <stdio.h>

enum { LINE_TEXT_BYTES = 64 };

/* T takes seconds up to thirty days, and above that a moment: the longest relative timeout is what we may ask for. */
static long timeout_s(const struct driver_setup *setup) {
    long seconds = (long)((setup->idle_timeout_ms + 999) / 1000);
    return seconds < 30 * 86400 ? seconds : 30 * 86400;
}

static void write_set(const struct driver_setup *setup, bool is_create, bool is_mortal, struct template *template) {
    char line[LINE_TEXT_BYTES];
    template_text(template, "ms ");
    template_id(template);
    snprintf(line, sizeof line, " %u%s T", setup->value_bytes, is_create ? " ME" : "");
    template_text(template, line);
    if (is_mortal) {
        template_deadline(template, DEADLINE_DECIMAL_S);
    } else {
        snprintf(line, sizeof line, "%ld", timeout_s(setup));
        template_text(template, line);
    }
    template_text(template, "\r\n");
    template_filling(template, setup->value_bytes);
    template_text(template, "\r\n");
}

static void write_short(struct template *template, const char *command, const char *flags) {
    template_text(template, command);
    template_id(template);
    template_text(template, flags);
    template_text(template, "\r\n");
}

static bool memcached_make(const struct driver_setup *setup, enum request request, struct template *template) {
    char flags[LINE_TEXT_BYTES];
    switch (request) {
    case REQUEST_GET: write_short(template, "mg ", " v"); return true;
    case REQUEST_GET_TOUCH:
        snprintf(flags, sizeof flags, " v T%ld", timeout_s(setup));
        write_short(template, "mg ", flags);
        return true;
    case REQUEST_SET: write_set(setup, false, false, template); return true;
    case REQUEST_LOAD: write_set(setup, false, setup->is_load_mortal, template); return true;
    case REQUEST_CREATE: write_set(setup, true, false, template); return true;
    case REQUEST_DESTROY: write_short(template, "md ", ""); return true;
    /* It has no patch, no tokens, no indexes and no pools, and no scripts to make them of. */
    default: break;
    }
    return false;
}

/* "VA <size> <flags>*" and then that many bytes and CR LF. */
static long scan_value(struct bytes bytes, long line_size, struct reply *reply) {
    size_t size = 0, digits = 0;
    for (size_t i = 3; i < (size_t)line_size && bytes.data[i] >= '0' && bytes.data[i] <= '9' && digits < 10;
         i++, digits++)
        size = size * 10 + (size_t)(bytes.data[i] - '0');
    if (digits == 0 || digits == 10) return SCAN_MALFORMED;
    size_t whole = (size_t)line_size + size + 2;
    if (bytes.size < whole) return SCAN_MORE;
    reply->kind = REPLY_VALUE;
    reply->value = bytes_of(bytes.data + line_size, size);
    return memcmp(bytes.data + whole - 2, "\r\n", 2) == 0 ? (long)whole : SCAN_MALFORMED;
}

static const struct {
    char word[13];
    uint8_t size;
    enum reply_kind kind;
} lines[] = {
    {"HD", 2, REPLY_DONE},
    {"EN", 2, REPLY_MISS},
    {"NF", 2, REPLY_MISS},
    {"NS", 2, REPLY_MISS},
    {"EX", 2, REPLY_MISS},
    {"MN", 2, REPLY_DONE},
    {"ERROR", 5, REPLY_ERROR},
    {"CLIENT_ERROR", 12, REPLY_ERROR},
    {"SERVER_ERROR", 12, REPLY_ERROR},
};

static long memcached_scan(const struct driver_setup *setup, struct bytes bytes, struct reply *reply) {
    (void)setup;
    if (bytes.size == 0) return SCAN_MORE;
    long size = line_scan(bytes);
    if (size <= 0) return size;
    if (size >= 6 && memcmp(bytes.data, "VA ", 3) == 0) return scan_value(bytes, size, reply);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        if (size < lines[i].size + 2 || memcmp(bytes.data, lines[i].word, lines[i].size) != 0) continue;
        reply->kind = lines[i].kind;
        reply->value = bytes_of(bytes.data, (size_t)size - 2);
        return size;
    }
    return SCAN_MALFORMED;
}

static bool memcached_check(const struct driver_setup *setup, const struct reply *reply,
                            const uint8_t id[KEY_ID_BYTES]) {
    return reply->value.size == setup->value_bytes && filling_is(reply->value, id);
}

static bool memcached_configure(struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                                size_t problem_size) {
    struct buf in = BUF_EMPTY;
    struct reply reply;
    bool is_fine =
        endpoint_ask(endpoint, &driver_memcached, setup, BYTES_LITERAL("mn\r\n"), &in, &reply, problem, problem_size);
    buf_fini(&in);
    return is_fine;
}

static size_t memcached_greet(const struct driver_setup *setup, uint8_t *out) {
    (void)setup, (void)out;
    return 0;
}

const struct driver driver_memcached = {
    .name = "memcached",
    .is_in_order = true,
    .has_patch = false,
    .deadline_grain_ms = 1000,
    .make = memcached_make,
    .scan = memcached_scan,
    .check = memcached_check,
    .configure = memcached_configure,
    .greet = memcached_greet,
};
