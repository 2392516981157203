/* See sessiond_ask.h. */
#include "sessiond_ask.h"

#include "sessiond_values.h"

static uint64_t number_of(struct bytes map, const char *key) {
    struct bytes value = sessiond_find(map, key);
    if (bytes_is_absent(value)) return 0;
    struct mp_cursor cursor = mp_cursor_of(value);
    int64_t number = mp_read_int(&cursor, 0, INT64_MAX);
    return cursor.error == MP_OK ? (uint64_t)number : 0;
}

bool sessiond_ask(const struct target *target, const char *method, unsigned count, const char *const keys[],
                  uint64_t out[], char *problem, size_t problem_size) {
    struct buf request = BUF_EMPTY, in = BUF_EMPTY;
    struct reply reply;
    buf_append(&request, (uint8_t[]){0x94, 0x00, 0x01}, 3);
    mp_write_string(&request, method);
    mp_write_array(&request, 0);
    bool is_fine = endpoint_ask(&target->endpoint, target->driver, &target->setup, buf_bytes(&request), &in, &reply,
                                problem, problem_size);
    for (unsigned i = 0; is_fine && i < count; i++) out[i] = number_of(reply.value, keys[i]);
    buf_fini(&request);
    buf_fini(&in);
    return is_fine;
}
