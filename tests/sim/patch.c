/* Patches of encoded maps, the slow way: a list of pairs, searched from its start. */
#include "base/mp.h"
#include "model.h"

#include <math.h>
#include <string.h>

#define PAIRS_MAX 64

struct pair {
    struct bytes key, value; /* both encoded */
};
struct pairs {
    struct pair all[PAIRS_MAX];
    unsigned count;
};

static struct bytes key_text(struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    return mp_peek(&cursor) == MP_STR || mp_peek(&cursor) == MP_BIN ? mp_read_bytes(&cursor) : BYTES_ABSENT;
}

static struct pair *pairs_find(struct pairs *pairs, const char *key) {
    for (unsigned i = 0; i < pairs->count; i++)
        if (bytes_equal(key_text(pairs->all[i].key), bytes_of_string(key))) return &pairs->all[i];
    return NULL;
}

static bool pairs_read(struct pairs *pairs, struct bytes map) {
    struct mp_cursor cursor = mp_cursor_of(map);
    pairs->count = 0;
    if (mp_peek(&cursor) != MP_MAP) return false;
    for (uint32_t left = mp_read_map(&cursor); left > 0; left--) {
        struct bytes key = mp_read_value(&cursor, MP_DEPTH_MAX), value = mp_read_value(&cursor, MP_DEPTH_MAX);
        pairs->all[pairs->count++] = (struct pair){key, value};
    }
    return true;
}

static struct bytes take(struct model *model, struct buf *buf) {
    struct bytes copy = model_copy(model, buf_bytes(buf));
    buf_fini(buf);
    return copy;
}

static void pairs_put(struct model *model, struct pairs *pairs, const char *key, struct bytes value) {
    struct pair *pair = pairs_find(pairs, key);
    if (!pair) {
        struct buf encoded = BUF_EMPTY;
        mp_write_string(&encoded, key);
        pair = &pairs->all[pairs->count++];
        pair->key = take(model, &encoded);
    }
    pair->value = value;
}

static void pairs_remove(struct pairs *pairs, const char *key) {
    struct pair *pair = pairs_find(pairs, key);
    if (!pair) return;
    unsigned at = (unsigned)(pair - pairs->all);
    memmove(pair, pair + 1, (--pairs->count - at) * sizeof *pair);
}

/* The number under the key plus the increment, encoded; absent: not possible. */
static struct bytes incremented(struct model *model, struct pairs *pairs, const struct increment *increment) {
    struct pair *pair = pairs_find(pairs, increment->key);
    struct buf out = BUF_EMPTY;
    enum mp_type type = MP_INTEGER;
    __int128 whole = 0;
    double real = 0;
    if (pair) {
        struct mp_cursor cursor = mp_cursor_of(pair->value), again = cursor;
        type = mp_peek(&cursor);
        if (type != MP_INTEGER && type != MP_FLOAT) return BYTES_ABSENT;
        real = mp_read_double(&again);
        if (type == MP_INTEGER && pair->value.data[0] == 0xcf && pair->value.data[1] >= 0x80) {
            uint64_t bits = 0;
            for (int i = 1; i <= 8; i++) bits = bits << 8 | pair->value.data[i];
            whole = bits;
        } else if (type == MP_INTEGER) {
            whole = mp_read_int(&cursor, INT64_MIN, INT64_MAX);
        }
    }
    if (type == MP_FLOAT || increment->is_real) {
        double sum = real + (increment->is_real ? increment->real : (double)increment->whole);
        if (!isfinite(sum)) return BYTES_ABSENT;
        mp_write_double(&out, sum);
    } else {
        whole += increment->whole;
        if (whole < INT64_MIN || whole > UINT64_MAX) return BYTES_ABSENT;
        whole < 0 ? mp_write_int(&out, (int64_t)whole) : mp_write_uint(&out, (uint64_t)whole);
    }
    return take(model, &out);
}

bool model_patch_contradicts(const struct call *call) {
    const char *keys[3 * CLAUSES_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < call->set_count; i++) keys[count++] = call->set[i].key;
    for (unsigned i = 0; i < call->unset_count; i++) keys[count++] = call->unset[i];
    for (unsigned i = 0; i < call->incr_count; i++) keys[count++] = call->incr[i].key;
    for (unsigned i = 0; i < count; i++)
        for (unsigned k = 0; k < i; k++)
            if (strcmp(keys[i], keys[k]) == 0) return true;
    return false;
}

static struct bytes pairs_write(struct model *model, const struct pairs *pairs) {
    struct buf out = BUF_EMPTY;
    mp_write_map(&out, pairs->count);
    for (unsigned i = 0; i < pairs->count; i++)
        mp_write_raw(&out, pairs->all[i].key), mp_write_raw(&out, pairs->all[i].value);
    return take(model, &out);
}

bool model_patch(struct model *model, const struct call *call, struct bytes old, struct bytes *result,
                 struct bytes *values) {
    struct pairs pairs, sums = {.count = 0};
    if (!pairs_read(&pairs, old)) return false;
    for (unsigned i = 0; i < call->set_count; i++) pairs_put(model, &pairs, call->set[i].key, call->set[i].value);
    for (unsigned i = 0; i < call->unset_count; i++) pairs_remove(&pairs, call->unset[i]);
    for (unsigned i = 0; i < call->incr_count; i++) {
        struct bytes sum = incremented(model, &pairs, &call->incr[i]);
        if (!sum.data) return false;
        pairs_put(model, &pairs, call->incr[i].key, sum);
        pairs_put(model, &sums, call->incr[i].key, sum);
    }
    *result = pairs_write(model, &pairs);
    *values = pairs_write(model, &sums);
    return true;
}
