/* The templates that all drivers share. See driver.h. */
#include "driver.h"

#include <assert.h>

static const struct driver *const drivers[] = {&driver_sessiond, &driver_redis, &driver_memcached, &driver_echo};
enum { LINE_BYTES_MAX = 4096, DIGITS_OF_MS = 13, DIGITS_OF_S = 10 };

const struct driver *driver_find(const char *name) {
    for (size_t i = 0; i < sizeof drivers / sizeof *drivers; i++)
        if (strcmp(drivers[i]->name, name) == 0) return drivers[i];
    return NULL;
}

bool templates_make(struct templates *templates, const struct driver *driver, const struct driver_setup *setup) {
    bool is_whole = true;
    templates->bytes_max = 0;
    for (unsigned i = 0; i < REQUEST_COUNT; i++) {
        struct template *template = &templates->of[i];
        *template = (struct template){.text = BUF_EMPTY,
                                      .id_at = PLACE_NONE,
                                      .number_at = PLACE_NONE,
                                      .stamp_at = PLACE_NONE,
                                      .deadline_at = PLACE_NONE};
        if (!driver->make(setup, (enum request)i, template)) buf_clear(&template->text);
        if (template->text.is_failed) is_whole = false;
        if (template->text.size > templates->bytes_max) templates->bytes_max = template->text.size;
    }
    if (!is_whole) templates_fini(templates);
    return is_whole;
}

void templates_fini(struct templates *templates) {
    for (unsigned i = 0; i < REQUEST_COUNT; i++) buf_fini(&templates->of[i].text);
}

static void lay_number(uint8_t *at, uint32_t number) {
    number = __builtin_bswap32(number);
    memcpy(at, &number, sizeof number);
}

static void lay_digits(uint8_t *at, unsigned digits, int64_t value) {
    for (unsigned i = digits; i-- > 0; value /= 10) at[i] = (uint8_t)('0' + value % 10);
}

static void lay_deadline(uint8_t *at, enum deadline_form form, int64_t deadline_ms) {
    assert(deadline_ms > 0);
    if (form == DEADLINE_BIG_ENDIAN_MS) {
        uint64_t swapped = __builtin_bswap64((uint64_t)deadline_ms);
        memcpy(at, &swapped, sizeof swapped);
    } else if (form == DEADLINE_DECIMAL_MS) {
        lay_digits(at, DIGITS_OF_MS, deadline_ms);
    } else {
        lay_digits(at, DIGITS_OF_S, deadline_ms / 1000);
    }
}

static void lay_owner(uint8_t *at, uint64_t number) {
    for (unsigned i = OWNER_BYTES; i-- > 0; number >>= 4) at[i] = (uint8_t) "0123456789abcdef"[number & 15];
}

static void lay_place(uint8_t *out, const struct place *place, const struct fill *fill) {
    uint8_t *at = out + place->at;
    uint64_t swapped = __builtin_bswap64(fill->use);
    switch ((enum place_source)place->source) {
    case PLACE_SUBJECT: memcpy(at, fill->subject + place->from, place->size); break;
    case PLACE_FRESH: memcpy(at, fill->fresh + place->from, place->size); break;
    case PLACE_USER: lay_owner(at, fill->user); break;
    case PLACE_CLIENT: lay_owner(at, fill->client); break;
    case PLACE_USE: memcpy(at, &swapped, sizeof swapped); break;
    }
}

size_t template_write(const struct template *template, uint8_t *out, const struct fill *fill) {
    assert(template->text.size > 0);
    memcpy(out, template->text.data, template->text.size);
    if (template->id_at != PLACE_NONE) memcpy(out + template->id_at, fill->id, KEY_ID_BYTES);
    if (template->number_at != PLACE_NONE) lay_number(out + template->number_at, fill->number);
    if (template->stamp_at != PLACE_NONE) memcpy(out + template->stamp_at, fill->id, VALUE_STAMP_BYTES);
    if (template->deadline_at != PLACE_NONE)
        lay_deadline(out + template->deadline_at, template->deadline_form, fill->deadline_ms);
    for (unsigned i = 0; i < template->place_count; i++) lay_place(out, &template->places[i], fill);
    return template->text.size;
}

void template_text(struct template *template, const char *text) {
    buf_append(&template->text, text, strlen(text));
}

static void append_run(struct buf *out, uint8_t byte, size_t count) {
    uint8_t *at = buf_reserve(out, count);
    if (!at) return;
    memset(at, byte, count);
    out->size += count;
}

void template_id(struct template *template) {
    template->id_at = template->text.size;
    append_run(&template->text, 'i', KEY_ID_BYTES);
}

void template_filling(struct template *template, size_t bytes) {
    assert(bytes >= VALUE_STAMP_BYTES);
    template->stamp_at = template->text.size;
    append_run(&template->text, VALUE_FILLING, bytes);
}

void template_place(struct template *template, enum place_source source, uint8_t from, uint8_t size) {
    assert(template->place_count < PLACES_MAX);
    template->places[template->place_count++] = (struct place){template->text.size, (uint8_t)source, from, size};
    if (source == PLACE_FRESH) template->needs_fresh = true;
    append_run(&template->text, '0', size);
}

void template_deadline(struct template *template, enum deadline_form form) {
    static const uint8_t sizes[] = {0, 8, DIGITS_OF_MS, DIGITS_OF_S};
    template->deadline_at = template->text.size;
    template->deadline_form = form;
    append_run(&template->text, '0', sizes[form]);
}

bool filling_is(struct bytes bytes, const uint8_t id[KEY_ID_BYTES]) {
    if (bytes.size < VALUE_STAMP_BYTES || memcmp(bytes.data, id, VALUE_STAMP_BYTES) != 0) return false;
    const uint8_t *rest = bytes.data + VALUE_STAMP_BYTES;
    size_t rest_size = bytes.size - VALUE_STAMP_BYTES;
    /* All bytes are alike if the first is right and each equals its neighbour. */
    return rest_size == 0 || (rest[0] == VALUE_FILLING && memcmp(rest, rest + 1, rest_size - 1) == 0);
}

long line_scan(struct bytes bytes) {
    const uint8_t *newline = memchr(bytes.data, '\n', bytes.size < LINE_BYTES_MAX ? bytes.size : LINE_BYTES_MAX);
    if (!newline) return bytes.size < LINE_BYTES_MAX ? SCAN_MORE : SCAN_MALFORMED;
    if (newline == bytes.data || newline[-1] != '\r') return SCAN_MALFORMED;
    return newline - bytes.data + 1;
}
