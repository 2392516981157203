/* See pairs.h. */
#include "base/pairs.h"

struct pairs pairs_begin(struct buf *out) {
    return (struct pairs){out, mp_begin_map(out), 0};
}

void pairs_end(const struct pairs *pairs) {
    mp_end_map(pairs->out, pairs->begin, pairs->count);
}

static void name_write(struct pairs *pairs, const char *name) {
    mp_write_string(pairs->out, name);
    pairs->count++;
}

void pair_uint(struct pairs *pairs, const char *name, uint64_t value) {
    name_write(pairs, name);
    mp_write_uint(pairs->out, value);
}

void pair_int(struct pairs *pairs, const char *name, int64_t value) {
    name_write(pairs, name);
    mp_write_int(pairs->out, value);
}

void pair_bool(struct pairs *pairs, const char *name, bool value) {
    name_write(pairs, name);
    mp_write_bool(pairs->out, value);
}

void pair_string(struct pairs *pairs, const char *name, const char *text) {
    name_write(pairs, name);
    mp_write_string(pairs->out, text);
}
