/* See patch.h. A clause is found by binary search; runs of entries between two hits are copied at once. */
#include "op/patch.h"

#include <assert.h>

#include "op/number.h"
#include "op/scratch.h"

enum clause_kind { CLAUSE_SET, CLAUSE_UNSET, CLAUSE_INCR };

struct clause {
    const uint8_t *raw; /* the key as it was encoded; its value follows it, but for unset */
    const uint8_t *key; /* the key's bytes, at the end of `raw` */
    uint32_t key_size;
    uint32_t value_size;
    enum clause_kind kind;
    bool is_done; /* met in the map */
};

enum { NUMBER_SIZE_MAX = 9, MAP_HEAD_SIZE_MAX = 5, WRITE_SLACK = 64 };

static struct bytes clause_raw_key(const struct clause *clause) {
    return bytes_of(clause->raw, (size_t)(clause->key - clause->raw) + clause->key_size);
}

static struct bytes clause_value(const struct clause *clause) {
    return bytes_of(clause->key + clause->key_size, clause->value_size);
}

/* ---- clauses out of their encoded forms */

static bool is_key(const struct mp_cursor *cursor) {
    enum mp_type type = mp_peek(cursor);
    return type == MP_STR || type == MP_BIN;
}

static uint32_t count_of(struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    if (bytes_is_absent(encoded)) return 0;
    return mp_peek(&cursor) == MP_ARRAY ? mp_read_array(&cursor) : mp_read_map(&cursor);
}

static bool check_one(struct bytes encoded, bool has_values, struct error *error) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    if (bytes_is_absent(encoded)) return true;
    uint32_t count = has_values ? mp_read_map(&cursor) : mp_read_array(&cursor);
    if (count > LIMIT_MAX_KEYS) {
        *error = error_make(ERROR_TOO_BIG, "The patch names too many keys; send it in several.");
        error->limit = LIMIT_MAX_KEYS;
        return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!is_key(&cursor)) {
            *error = error_make(ERROR_BAD_REQUEST,
                                "A patch names keys that are str or bin; use session.set for other ones.");
            return false;
        }
        mp_read_bytes(&cursor);
        if (has_values) mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH);
    }
    return true;
}

bool patch_check(const struct patch *patch, struct error *error) {
    return check_one(patch->set, true, error) && check_one(patch->unset, false, error) &&
           check_one(patch->incr, true, error);
}

/* Appends the clauses of one encoded form; answers how many. */
static unsigned load_one(struct bytes encoded, enum clause_kind kind, struct clause *clauses) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    if (bytes_is_absent(encoded)) return 0;
    uint32_t count = kind == CLAUSE_UNSET ? mp_read_array(&cursor) : mp_read_map(&cursor);
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *raw = cursor.at;
        struct bytes key = mp_read_bytes(&cursor);
        size_t value_size = kind == CLAUSE_UNSET ? 0 : mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH).size;
        clauses[i] = (struct clause){raw, key.data, (uint32_t)key.size, (uint32_t)value_size, kind, false};
    }
    assert(cursor.error == MP_OK && "patch_check has seen these bytes");
    return count;
}

/* ---- order and search */

static int compare(const struct clause *clause, struct bytes key) {
    if (clause->key_size != key.size) return clause->key_size < key.size ? -1 : 1;
    return key.size ? memcmp(clause->key, key.data, key.size) : 0;
}

static int compare_clauses(const struct clause *clauses, uint16_t a, uint16_t b) {
    return compare(&clauses[a], bytes_of(clauses[b].key, clauses[b].key_size));
}

/* Lets sorted[root] sink to its place in a heap of `count`. */
static void sink(const struct clause *clauses, uint16_t *sorted, unsigned root, unsigned count) {
    for (unsigned child; (child = 2 * root + 1) < count; root = child) {
        if (child + 1 < count && compare_clauses(clauses, sorted[child], sorted[child + 1]) < 0) child++;
        if (compare_clauses(clauses, sorted[root], sorted[child]) >= 0) return;
        uint16_t swap = sorted[root];
        sorted[root] = sorted[child];
        sorted[child] = swap;
    }
}

/* Heapsort: no memory, and no order of keys makes it slow. */
static void sort_clauses(const struct clause *clauses, uint16_t *sorted, unsigned count) {
    for (unsigned i = 0; i < count; i++) sorted[i] = (uint16_t)i;
    for (unsigned i = count / 2; i-- > 0;) sink(clauses, sorted, i, count);
    for (unsigned i = count; i-- > 1;) {
        uint16_t largest = sorted[0];
        sorted[0] = sorted[i];
        sorted[i] = largest;
        sink(clauses, sorted, 0, i);
    }
}

/* The index of the clause that names `key`; -1: none does. */
static int find(const struct clause *clauses, const uint16_t *sorted, unsigned count, struct bytes key) {
    unsigned from = 0, to = count;
    while (from < to) {
        unsigned middle = (from + to) / 2;
        int order = compare(&clauses[sorted[middle]], key);
        if (order == 0) return sorted[middle];
        if (order < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return -1;
}

static bool refuse(struct error *error, const char *message) {
    *error = error_make(ERROR_BAD_REQUEST, message);
    return false;
}

/* ---- a table in scratch */

bool patch_open(struct patch_table *table, const struct patch *patch, size_t map_size, struct scratch *scratch,
                struct error *error) {
    size_t incr_count = count_of(patch->incr);
    size_t count = count_of(patch->set) + count_of(patch->unset) + incr_count;
    size_t table_size = count * (sizeof(struct clause) + sizeof(uint16_t));
    size_t result_size_max =
        MAP_HEAD_SIZE_MAX + map_size + patch->set.size + patch->incr.size + incr_count * NUMBER_SIZE_MAX + WRITE_SLACK;
    assert(scratch->size == 0);
    /* All at once: what stands in scratch must not move while the map is written behind it. */
    uint8_t *room = scratch_reserve(scratch, table_size + result_size_max);
    if (!room) {
        *error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this patch; try again later.");
        return false;
    }
    scratch->size = table_size;
    *table = (struct patch_table){(struct clause *)(void *)room,
                                  (uint16_t *)(void *)(room + count * sizeof(struct clause)), 0, scratch};
    table->count += load_one(patch->set, CLAUSE_SET, table->clauses);
    table->count += load_one(patch->unset, CLAUSE_UNSET, table->clauses + table->count);
    table->count += load_one(patch->incr, CLAUSE_INCR, table->clauses + table->count);
    sort_clauses(table->clauses, table->sorted, table->count);
    for (unsigned i = 1; i < table->count; i++)
        if (compare_clauses(table->clauses, table->sorted[i - 1], table->sorted[i]) == 0)
            return refuse(error, "A key stands in the patch twice; name each key in one clause, once.");
    return true;
}

/* ---- the pass */

/* The map while it is written: entries first, its head when their number is known. */
struct writing {
    struct buf out;
    uint32_t count;
    const uint8_t *run; /* start of what was read and not yet copied */
};

static bool write_sum(struct buf *out, struct number old, const struct clause *clause, struct error *error) {
    struct number delta, sum;
    if (!number_read(clause_value(clause), &delta))
        return refuse(error, "incr adds numbers only; use set for other values.");
    if (!number_add(old, delta, &sum))
        return refuse(error, "The sum of an incr does not fit into a number; nothing was changed.");
    number_write(out, sum);
    return true;
}

/* One entry of the map that a clause names. */
static bool change_entry(struct writing *writing, struct clause *clause, struct bytes raw_key, struct bytes value,
                         struct error *error) {
    struct number old;
    bool is_first = !clause->is_done;
    clause->is_done = true;
    /* A map from a careless encoder may hold a key twice: the patch answers for the key, so one entry stays. */
    if (clause->kind == CLAUSE_UNSET || !is_first) {
        writing->count--;
        return true;
    }
    mp_write_raw(&writing->out, raw_key);
    if (clause->kind == CLAUSE_SET) {
        mp_write_raw(&writing->out, clause_value(clause));
        return true;
    }
    if (!number_read(value, &old)) return refuse(error, "incr found a value that is no number; use set to replace it.");
    return write_sum(&writing->out, old, clause, error);
}

static bool change_entries(struct patch_table *table, struct mp_cursor *cursor, struct writing *writing,
                           struct error *error) {
    for (uint32_t left = writing->count; left > 0; left--) {
        const uint8_t *entry = cursor->at;
        bool can_be_named = is_key(cursor);
        struct bytes key = can_be_named ? mp_read_bytes(cursor) : mp_read_value(cursor, LIMIT_MAX_DATA_DEPTH);
        struct bytes raw_key = bytes_of(entry, (size_t)(cursor->at - entry));
        struct bytes value = mp_read_value(cursor, LIMIT_MAX_DATA_DEPTH);
        int found = can_be_named ? find(table->clauses, table->sorted, table->count, key) : -1;
        if (found < 0) continue;
        buf_append(&writing->out, writing->run, (size_t)(entry - writing->run));
        writing->run = cursor->at;
        if (!change_entry(writing, &table->clauses[found], raw_key, value, error)) return false;
    }
    assert(cursor->error == MP_OK && "stored values are whole");
    buf_append(&writing->out, writing->run, (size_t)(cursor->at - writing->run));
    return true;
}

static bool append_new(struct patch_table *table, struct writing *writing, struct error *error) {
    for (unsigned i = 0; i < table->count; i++) {
        const struct clause *clause = &table->clauses[i];
        if (clause->is_done || clause->kind == CLAUSE_UNSET) continue;
        writing->count++;
        mp_write_raw(&writing->out, clause_raw_key(clause));
        if (clause->kind == CLAUSE_SET)
            mp_write_raw(&writing->out, clause_value(clause));
        else if (!write_sum(&writing->out, NUMBER_ZERO, clause, error))
            return false;
    }
    return true;
}

/* Puts the head right before the entries, which start MAP_HEAD_SIZE_MAX into the room. */
static struct bytes finish(struct writing *writing) {
    uint8_t head[MAP_HEAD_SIZE_MAX + WRITE_SLACK];
    struct buf head_out = {.data = head, .capacity = sizeof(head)};
    mp_write_map(&head_out, writing->count);
    uint8_t *start = writing->out.data + MAP_HEAD_SIZE_MAX - head_out.size;
    memcpy(start, head, head_out.size);
    return bytes_of(start, head_out.size + writing->out.size - MAP_HEAD_SIZE_MAX);
}

bool patch_apply(struct patch_table *table, struct bytes map, struct bytes *result, struct error *error) {
    struct scratch *scratch = table->scratch;
    struct mp_cursor cursor = mp_cursor_of(map);
    if (mp_peek(&cursor) != MP_MAP)
        return refuse(error, "Only a map can be patched; replace the value with session.set.");
    struct writing writing = {.count = mp_read_map(&cursor), .run = cursor.at};
    uint8_t *room = scratch->data + scratch->size;
    writing.out = (struct buf){.data = room, .size = MAP_HEAD_SIZE_MAX, .capacity = scratch->capacity - scratch->size};
    if (!change_entries(table, &cursor, &writing, error) || !append_new(table, &writing, error)) return false;
    assert(writing.out.data == room && "patch_open has reserved enough");
    *result = finish(&writing);
    scratch->size += writing.out.size;
    if (result->size <= (size_t)LIMIT_MAX_DATA) return true;
    *error = error_make(ERROR_TOO_BIG, "The session would hold more than the limit; remove keys first.");
    error->limit = LIMIT_MAX_DATA;
    return false;
}

/* ---- the answer */

/* The value that each clause's key has in `map`. */
static void find_values(const struct clause *clauses, unsigned count, struct bytes map, struct bytes *values) {
    uint16_t sorted[LIMIT_MAX_KEYS];
    struct mp_cursor cursor = mp_cursor_of(map);
    sort_clauses(clauses, sorted, count);
    unsigned left = count;
    for (uint32_t entries = mp_read_map(&cursor); entries > 0 && left > 0; entries--) {
        bool can_be_named = is_key(&cursor);
        struct bytes key = can_be_named ? mp_read_bytes(&cursor) : mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH);
        struct bytes value = mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH);
        int found = can_be_named ? find(clauses, sorted, count, key) : -1;
        if (found < 0) continue;
        values[found] = value;
        left--;
    }
    assert(left == 0 && "the patch was applied to this map");
}

/* Read back from the map and not remembered by the rule: a rule keeps nothing. 50 KiB of stack at most, because an end
 * has no scratch. */
void patch_write_values(const struct patch *patch, struct bytes map, struct buf *out) {
    struct clause clauses[LIMIT_MAX_KEYS];
    struct bytes values[LIMIT_MAX_KEYS];
    unsigned count = load_one(patch->incr, CLAUSE_INCR, clauses);
    if (count) find_values(clauses, count, map, values);
    mp_write_map(out, count);
    for (unsigned i = 0; i < count; i++) {
        mp_write_raw(out, clause_raw_key(&clauses[i]));
        mp_write_raw(out, values[i]);
    }
}
