/* Redis and its kin: RESP2. See driver.h. A session is a string with a deadline in milliseconds. */
#include "redis_scripts.h"
#include "resp.h"

#include <stdio.h>

enum { NUMBER_TEXT_BYTES = 24 };

static void write_milliseconds(struct template *template, int64_t value_ms) {
    char text[NUMBER_TEXT_BYTES];
    snprintf(text, sizeof text, "%lld", (long long)value_ms);
    resp_write_word(template, text);
}

static void write_command(struct template *template, const char *name, unsigned words) {
    resp_write_count(template, '*', words);
    resp_write_word(template, name);
    resp_write_count(template, '$', KEY_ID_BYTES);
    template_id(template);
    template_text(template, "\r\n");
}

static void write_set(const struct driver_setup *setup, bool is_create, bool is_mortal, struct template *template) {
    write_command(template, "SET", is_create ? 6 : 5);
    resp_write_value(setup, template);
    if (is_mortal) {
        resp_write_word(template, "PXAT");
        resp_write_count(template, '$', 13);
        template_deadline(template, DEADLINE_DECIMAL_MS);
        template_text(template, "\r\n");
    } else {
        resp_write_word(template, "PX");
        write_milliseconds(template, setup->idle_timeout_ms);
    }
    if (is_create) resp_write_word(template, "NX");
}

static bool redis_make(const struct driver_setup *setup, enum request request, struct template *template) {
    if (request >= REQUEST_WHOLE_FIRST) return redis_make_whole(setup, request, template);
    switch (request) {
    case REQUEST_GET: write_command(template, "GET", 2); return true;
    case REQUEST_GET_TOUCH:
        write_command(template, "GETEX", 4);
        resp_write_word(template, "PX");
        write_milliseconds(template, setup->idle_timeout_ms);
        return true;
    case REQUEST_SET: write_set(setup, false, false, template); return true;
    case REQUEST_LOAD: write_set(setup, false, setup->is_load_mortal, template); return true;
    case REQUEST_CREATE: write_set(setup, true, false, template); return true;
    case REQUEST_DESTROY: write_command(template, "DEL", 2); return true;
    default: break;
    }
    return false;
}

/* The decimal number of a line, past its first character; -1 stands for itself, -2 for no number. */
static long line_number(struct bytes line) {
    if (line.size == 5 && memcmp(line.data + 1, "-1", 2) == 0) return -1;
    long value = 0;
    if (line.size < 4 || line.size > 13) return -2;
    for (size_t i = 1; i < line.size - 2; i++) {
        if (line.data[i] < '0' || line.data[i] > '9') return -2;
        value = value * 10 + (line.data[i] - '0');
    }
    return value;
}

static long scan_bulk(struct bytes bytes, long line_size, struct reply *reply) {
    long size = line_number(bytes_of(bytes.data, (size_t)line_size));
    if (size == -2) return SCAN_MALFORMED;
    reply->kind = size < 0 ? REPLY_MISS : REPLY_VALUE;
    if (size < 0) return line_size;
    size_t whole = (size_t)(line_size + size + 2);
    if (bytes.size < whole) return SCAN_MORE;
    reply->value = bytes_of(bytes.data + line_size, (size_t)size);
    return memcmp(bytes.data + whole - 2, "\r\n", 2) == 0 ? (long)whole : SCAN_MALFORMED;
}

/* Scripts answer arrays of bulk strings and numbers; nothing is nested in them. */
static long scan_array(struct bytes bytes, long line_size, struct reply *reply) {
    long count = line_number(bytes_of(bytes.data, (size_t)line_size)), at = line_size;
    if (count == -2) return SCAN_MALFORMED;
    for (; count > 0; count--) {
        struct reply element;
        struct bytes rest = bytes_of(bytes.data + at, bytes.size - (size_t)at);
        long size = rest.size ? line_scan(rest) : SCAN_MORE;
        if (size <= 0) return size;
        if (rest.data[0] != '$' && rest.data[0] != ':') return SCAN_MALFORMED;
        if (rest.data[0] == '$') size = scan_bulk(rest, size, &element);
        if (size <= 0) return size;
        at += size;
    }
    reply->kind = count < 0 ? REPLY_MISS : REPLY_VALUE;
    reply->value = bytes_of(bytes.data, (size_t)at);
    return at;
}

static long redis_scan(const struct driver_setup *setup, struct bytes bytes, struct reply *reply) {
    (void)setup;
    if (bytes.size == 0) return SCAN_MORE;
    long size = line_scan(bytes);
    if (size <= 0) return size;
    reply->value = bytes_of(bytes.data + 1, (size_t)size - 3);
    switch (bytes.data[0]) {
    case '$': return scan_bulk(bytes, size, reply);
    case '*': return scan_array(bytes, size, reply);
    case '+': reply->kind = REPLY_DONE; return size;
    case ':': reply->kind = line_number(bytes_of(bytes.data, (size_t)size)) == 0 ? REPLY_MISS : REPLY_DONE; return size;
    case '-': reply->kind = REPLY_ERROR; return size;
    default: return SCAN_MALFORMED;
    }
}

static bool redis_check(const struct driver_setup *setup, const struct reply *reply, const uint8_t id[KEY_ID_BYTES]) {
    return reply->value.size == setup->value_bytes && filling_is(reply->value, id);
}

static bool redis_configure(struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                            size_t problem_size) {
    struct buf in = BUF_EMPTY;
    struct reply reply;
    bool is_fine = endpoint_ask(endpoint, &driver_redis, setup, BYTES_LITERAL("*1\r\n$4\r\nPING\r\n"), &in, &reply,
                                problem, problem_size);
    buf_fini(&in);
    if (is_fine) redis_load_scripts(setup, endpoint, &driver_redis);
    return is_fine;
}

static size_t redis_greet(const struct driver_setup *setup, uint8_t *out) {
    (void)setup, (void)out;
    return 0;
}

const struct driver driver_redis = {
    .name = "redis",
    .is_in_order = true,
    .has_patch = false,
    .deadline_grain_ms = 1,
    .make = redis_make,
    .scan = redis_scan,
    .check = redis_check,
    .judge = redis_judge,
    .configure = redis_configure,
    .greet = redis_greet,
};
