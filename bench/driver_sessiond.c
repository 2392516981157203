/* sessiond: MessagePack-RPC over a stream. See driver.h.
 *
 * Data is the map {"d": text} of exactly value_bytes, the text being stamp and filling; what patches add stands beside
 * "d" and is not checked. The number of a message is always sent in its five-byte form, so that a template's places
 * never move; a client that counts its messages sends that form from the 65,536th on anyway. */
#include "endpoint.h"
#include "sessiond_values.h"
#include "sessiond_whole.h"

#include <stdio.h>

static const char *const method_names[REQUEST_COUNT] = {
    [REQUEST_GET] = "session.get",         [REQUEST_GET_TOUCH] = "session.get",
    [REQUEST_SET] = "session.set",         [REQUEST_LOAD] = "session.set",
    [REQUEST_CREATE] = "session.create",   [REQUEST_DESTROY] = "session.destroy",
    [REQUEST_PATCH_KEY] = "session.patch", [REQUEST_PATCH_COUNTER] = "session.patch",
    [REQUEST_LOGIN] = "session.create",    [REQUEST_VALIDATE] = "session.validate",
    [REQUEST_ROTATE] = "session.rotate",   [REQUEST_LOGOUT] = "session.destroy",
    [REQUEST_POOL_ADD] = "pool.add",       [REQUEST_ACQUIRE] = "pool.acquire",
    [REQUEST_MARK] = "pool.mark",          [REQUEST_MARK_GOOD] = "pool.mark",
    [REQUEST_MARK_BAD] = "pool.mark",      [REQUEST_MARK_RETIRE] = "pool.mark",
    [REQUEST_RELEASE] = "pool.release",
};
enum { REPLY_HEAD_BYTES_MIN = 4 };

static void write_head(const struct driver_setup *setup, enum request request, struct template *template) {
    struct buf *out = &template->text;
    buf_append(out, (uint8_t[]){0x94, 0x00, 0xce}, 3);
    template->number_at = out->size;
    buf_append(out, (uint8_t[4]){0}, 4);
    if (setup->is_numeric)
        mp_write_uint(out, setup->method_numbers[request]);
    else
        mp_write_string(out, method_names[request]);
}

static void write_id(struct template *template) {
    buf_append(&template->text, (uint8_t[]){0xd9, KEY_ID_BYTES}, 2);
    template_id(template);
}

static void write_get(const struct driver_setup *setup, bool is_touch, struct template *template) {
    struct buf *out = &template->text;
    bool has_options = is_touch || setup->is_data_only;
    mp_write_array(out, has_options ? 3 : 2);
    mp_write_string(out, setup->namespace_name);
    write_id(template);
    if (has_options) mp_write_map(out, (uint32_t)is_touch + setup->is_data_only);
    if (is_touch) mp_write_string(out, "touch"), mp_write_bool(out, true);
    if (setup->is_data_only) {
        mp_write_string(out, "fields");
        mp_write_array(out, 1);
        mp_write_string(out, "data");
    }
}

static void write_timeouts(const struct driver_setup *setup, struct buf *out) {
    mp_write_string(out, "timeouts");
    mp_write_map(out, 1);
    mp_write_string(out, "idle_timeout_ms");
    mp_write_int(out, setup->idle_timeout_ms);
}

static void write_set(const struct driver_setup *setup, bool is_mortal, struct template *template) {
    struct buf *out = &template->text;
    bool has_timeouts = setup->is_deadline_explicit && !is_mortal;
    mp_write_array(out, has_timeouts || is_mortal ? 4 : 3);
    mp_write_string(out, setup->namespace_name);
    write_id(template);
    sessiond_write_data(template, setup->value_bytes);
    if (has_timeouts) mp_write_map(out, 1), write_timeouts(setup, out);
    if (!is_mortal) return;
    mp_write_map(out, 1);
    mp_write_string(out, "absolute_expires_at");
    buf_append(out, (uint8_t[]){0xcf}, 1);
    template_deadline(template, DEADLINE_BIG_ENDIAN_MS);
}

/* Only id and deadline are asked back: the one who creates a session knows its data. */
static void write_create(const struct driver_setup *setup, struct template *template) {
    struct buf *out = &template->text;
    mp_write_array(out, 2);
    mp_write_string(out, setup->namespace_name);
    mp_write_map(out, 3 + setup->is_deadline_explicit);
    mp_write_string(out, "id");
    write_id(template);
    mp_write_string(out, "data");
    sessiond_write_data(template, setup->value_bytes);
    mp_write_string(out, "fields");
    mp_write_array(out, 2);
    mp_write_string(out, "id");
    mp_write_string(out, "expires_at");
    if (setup->is_deadline_explicit) write_timeouts(setup, out);
}

static void write_patch(const struct driver_setup *setup, bool is_counter, struct template *template) {
    struct buf *out = &template->text;
    mp_write_array(out, 3);
    mp_write_string(out, setup->namespace_name);
    write_id(template);
    mp_write_map(out, 1);
    mp_write_string(out, is_counter ? "incr" : "set");
    mp_write_map(out, 1);
    mp_write_string(out, is_counter ? "views" : "cart");
    if (is_counter) {
        mp_write_uint(out, 1);
    } else {
        mp_write_map(out, 1);
        mp_write_string(out, "item-1729");
        mp_write_uint(out, 2);
    }
}

static bool sessiond_make(const struct driver_setup *setup, enum request request, struct template *template) {
    write_head(setup, request, template);
    if (request >= REQUEST_WHOLE_FIRST && request < REQUEST_COUNT) return sessiond_make_whole(setup, request, template);
    switch (request) {
    case REQUEST_GET: write_get(setup, false, template); break;
    case REQUEST_GET_TOUCH: write_get(setup, true, template); break;
    case REQUEST_SET: write_set(setup, false, template); break;
    case REQUEST_LOAD: write_set(setup, setup->is_load_mortal, template); break;
    case REQUEST_CREATE: write_create(setup, template); break;
    case REQUEST_PATCH_COUNTER: write_patch(setup, true, template); break;
    case REQUEST_PATCH_KEY: write_patch(setup, false, template); break;
    case REQUEST_DESTROY:
        mp_write_array(&template->text, 2);
        mp_write_string(&template->text, setup->namespace_name);
        write_id(template);
        break;
    default: return false;
    }
    return true;
}

/* How far a value's own bytes reach and how many values it announces, for heads whose length follows in `size` bytes.
 */
static uint64_t big_endian(const uint8_t *at, unsigned size) {
    uint64_t value = 0;
    while (size--) value = value << 8 | *at++;
    return value;
}

struct head {
    uint8_t length_bytes; /* of the length that follows the head */
    uint8_t fixed_bytes;  /* that follow the length */
    uint8_t values_each;  /* values for each unit of the length; 0: the length counts bytes */
};
/* 0xc0 to 0xdf */
static const struct head heads[32] = {
    {0, 0, 0},  {0, 0, 0}, {0, 0, 0}, {0, 0, 0}, {1, 0, 0}, {2, 0, 0}, {4, 0, 0}, {1, 1, 0},
    {2, 1, 0},  {4, 1, 0}, {0, 4, 0}, {0, 8, 0}, {0, 1, 0}, {0, 2, 0}, {0, 4, 0}, {0, 8, 0},
    {0, 1, 0},  {0, 2, 0}, {0, 4, 0}, {0, 8, 0}, {0, 2, 0}, {0, 3, 0}, {0, 5, 0}, {0, 9, 0},
    {0, 17, 0}, {1, 0, 0}, {2, 0, 0}, {4, 0, 0}, {2, 0, 1}, {4, 0, 1}, {2, 0, 2}, {4, 0, 2},
};

/* Past one value, or NULL where it is cut short. Faster than the cursor of base/mp.h because it decodes nothing: the
 * generator has to be cheaper than the servers it measures. */
static const uint8_t *value_skip(const uint8_t *at, const uint8_t *end) {
    for (uint64_t values = 1; values > 0; values--) {
        if (at >= end) return NULL;
        uint8_t byte = *at++;
        if (byte < 0x80 || byte >= 0xe0) continue;
        if (byte < 0x90) {
            values += 2 * (byte & 15);
        } else if (byte < 0xa0) {
            values += byte & 15;
        } else if (byte < 0xc0) {
            at += byte & 31;
        } else {
            const struct head *head = &heads[byte & 31];
            if (end - at < head->length_bytes) return NULL;
            uint64_t length = big_endian(at, head->length_bytes);
            at += head->length_bytes + head->fixed_bytes;
            if (head->values_each)
                values += length * head->values_each;
            else if (at > end || length > (uint64_t)(end - at))
                return NULL;
            else
                at += length;
        }
    }
    return at <= end ? at : NULL;
}

static const uint8_t *number_read(const uint8_t *at, const uint8_t *end, uint32_t *number) {
    unsigned size = *at < 0x80 ? 0 : *at == 0xcc ? 1 : *at == 0xcd ? 2 : *at == 0xce ? 4 : UINT8_MAX;
    if (size == UINT8_MAX) return NULL;
    *number = *at;
    if (end - at <= (long)size) return end;
    if (size) *number = (uint32_t)big_endian(at + 1, size);
    return at + 1 + size;
}

static long sessiond_scan(const struct driver_setup *setup, struct bytes bytes, struct reply *reply) {
    (void)setup;
    const uint8_t *at = bytes.data, *end = bytes.data + bytes.size;
    if (bytes.size >= 1 && at[0] != 0x94) return SCAN_MALFORMED;
    if (bytes.size >= 2 && at[1] != 0x01) return SCAN_MALFORMED;
    if (bytes.size <= REPLY_HEAD_BYTES_MIN) return SCAN_MORE;
    at = number_read(at + 2, end, &reply->number);
    if (!at) return SCAN_MALFORMED;
    if (at == end) return SCAN_MORE;
    const uint8_t *error = at, *result = *error == 0xc0 ? at + 1 : value_skip(at, end);
    if (!result || result >= end) return SCAN_MORE;
    const uint8_t *past = value_skip(result, end);
    if (!past) return SCAN_MORE;
    bool is_map = (*result & 0xf0) == 0x80 || *result == 0xde || *result == 0xdf;
    if (*error != 0xc0) {
        *reply = (struct reply){REPLY_ERROR, reply->number, bytes_of(error, (size_t)(result - error))};
    } else {
        reply->kind = *result == 0xc0 || *result == 0xc2 ? REPLY_MISS : is_map ? REPLY_VALUE : REPLY_DONE;
        reply->value = bytes_of(result, (size_t)(past - result));
    }
    return past - bytes.data;
}

static bool sessiond_check(const struct driver_setup *setup, const struct reply *reply,
                           const uint8_t id[KEY_ID_BYTES]) {
    if (!sessiond_data_is(setup, reply->value, id)) return false;
    if (setup->is_data_only) return true;
    return bytes_equal(sessiond_text(sessiond_find(reply->value, "id")), bytes_of(id, KEY_ID_BYTES));
}

static bool read_method_numbers(struct driver_setup *setup, struct bytes hello) {
    struct bytes methods = sessiond_find(hello, "methods");
    if (bytes_is_absent(methods)) return false;
    for (unsigned i = 0; i < REQUEST_COUNT; i++) {
        struct bytes value = sessiond_find(methods, method_names[i]);
        if (bytes_is_absent(value)) return false;
        struct mp_cursor cursor = mp_cursor_of(value);
        setup->method_numbers[i] = (uint32_t)mp_read_int(&cursor, 1, UINT32_MAX);
        if (cursor.error != MP_OK) return false;
    }
    return true;
}

static void write_configure(const struct driver_setup *setup, struct buf *out) {
    buf_append(out, (uint8_t[]){0x94, 0x00, 0x02}, 3);
    mp_write_string(out, "namespace.configure");
    mp_write_array(out, 2);
    mp_write_string(out, setup->namespace_name);
    mp_write_map(out, setup->is_load_mortal ? 5 : 3);
    /* Nothing but the logins of the auth workloads has a user. */
    mp_write_string(out, "max_sessions_per_user");
    mp_write_uint(out, SESSIONS_PER_USER_MAX);
    mp_write_string(out, "session_limit_policy");
    mp_write_string(out, "evict_oldest");
    mp_write_string(out, "idle_timeout_ms");
    mp_write_int(out, setup->idle_timeout_ms);
    if (!setup->is_load_mortal) return;
    mp_write_string(out, "retention_ms");
    mp_write_uint(out, 0);
    mp_write_string(out, "tombstone_ms");
    mp_write_uint(out, 0);
}

static bool sessiond_configure(struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                               size_t problem_size) {
    struct buf out = BUF_EMPTY, in = BUF_EMPTY;
    struct reply reply;
    buf_append(&out, (uint8_t[]){0x94, 0x00, 0x01}, 3);
    mp_write_string(&out, "server.hello");
    mp_write_array(&out, 0);
    bool is_fine = endpoint_ask(endpoint, &driver_sessiond, setup, buf_bytes(&out), &in, &reply, problem, problem_size);
    if (is_fine && !read_method_numbers(setup, reply.value)) {
        snprintf(problem, problem_size, "server.hello announces no numbers for the methods");
        is_fine = !setup->is_numeric;
    }
    buf_clear(&out);
    write_configure(setup, &out);
    is_fine =
        is_fine && endpoint_ask(endpoint, &driver_sessiond, setup, buf_bytes(&out), &in, &reply, problem, problem_size);
    buf_fini(&out);
    buf_fini(&in);
    return is_fine;
}

static bool sessiond_configure_pool(const struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                                    size_t problem_size) {
    struct buf out = BUF_EMPTY, in = BUF_EMPTY;
    struct reply reply;
    buf_append(&out, (uint8_t[]){0x94, 0x00, 0x03}, 3);
    mp_write_string(&out, "pool.configure");
    mp_write_array(&out, 3);
    mp_write_string(&out, setup->namespace_name);
    mp_write_string(&out, setup->pool.name);
    mp_write_map(&out, 3);
    mp_write_string(&out, "max_pool_size");
    mp_write_uint(&out, setup->pool.size);
    mp_write_string(&out, "max_usage_count");
    mp_write_uint(&out, setup->pool.max_usage_count);
    mp_write_string(&out, "strategy");
    mp_write_string(&out, setup->pool.strategy);
    bool is_fine = endpoint_ask(endpoint, &driver_sessiond, setup, buf_bytes(&out), &in, &reply, problem, problem_size);
    buf_fini(&out);
    buf_fini(&in);
    return is_fine;
}

static size_t sessiond_greet(const struct driver_setup *setup, uint8_t *out) {
    (void)setup, (void)out;
    return 0;
}

const struct driver driver_sessiond = {
    .name = "sessiond",
    .is_in_order = false,
    .has_patch = true,
    .deadline_grain_ms = 1,
    .make = sessiond_make,
    .scan = sessiond_scan,
    .check = sessiond_check,
    .judge = sessiond_judge,
    .configure_pool = sessiond_configure_pool,
    .configure = sessiond_configure,
    .greet = sessiond_greet,
};
