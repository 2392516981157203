/* The ceiling: sessiond-ceiling answers a fixed number of bytes for every fixed number of bytes, reading none of them.
 * See driver.h and ceiling.c. Each connection says the two sizes in its first eight bytes. It holds no sessions, so a
 * load into it is only traffic, and no reply can be checked. */
#include "endpoint.h"

static bool echo_make(const struct driver_setup *setup, enum request request, struct template *template) {
    (void)request;
    uint8_t *room = buf_reserve(&template->text, setup->echo_request_bytes);
    if (!room) return true;
    memset(room, 'r', setup->echo_request_bytes);
    template->text.size += setup->echo_request_bytes;
    return true;
}

static long echo_scan(const struct driver_setup *setup, struct bytes bytes, struct reply *reply) {
    if (bytes.size < setup->echo_reply_bytes) return SCAN_MORE;
    reply->kind = REPLY_VALUE;
    reply->value = bytes_of(bytes.data, setup->echo_reply_bytes);
    return (long)setup->echo_reply_bytes;
}

static bool echo_check(const struct driver_setup *setup, const struct reply *reply, const uint8_t id[KEY_ID_BYTES]) {
    (void)setup, (void)reply, (void)id;
    return true;
}

static bool echo_configure(struct driver_setup *setup, const struct endpoint *endpoint, char *problem,
                           size_t problem_size) {
    (void)setup, (void)endpoint, (void)problem, (void)problem_size;
    return true;
}

static size_t echo_greet(const struct driver_setup *setup, uint8_t *out) {
    uint32_t sizes[] = {__builtin_bswap32(setup->echo_request_bytes), __builtin_bswap32(setup->echo_reply_bytes)};
    memcpy(out, sizes, sizeof sizes);
    return sizeof sizes;
}

const struct driver driver_echo = {
    .name = "echo",
    .is_in_order = true,
    .has_patch = true,
    .deadline_grain_ms = 1,
    .make = echo_make,
    .scan = echo_scan,
    .check = echo_check,
    .configure = echo_configure,
    .greet = echo_greet,
};
