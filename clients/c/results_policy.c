/* Typed results that are policies, or hold one, of namespaces and of pools; and a snapshot's. Any thread. */
#include <stdlib.h>

#include "request.h"
#include "shape.h"

enum { CODES_MAX = 512 /* status codes in one policy: more than there are */ };

static bool purging_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_purging *purging = result;
    (void)block;
    if (is_key(key, "enabled"))
        purging->is_enabled = mp_read_bool(cursor);
    else if (is_key(key, "interval_ms"))
        purging->interval_ms = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_purging(struct sessiond_reply *reply, struct sessiond_purging **result,
                           struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, 0, purging_entry, (void **)result, error);
}

static bool snapshot_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_snapshot *snapshot = result;
    (void)block;
    if (is_key(key, "number"))
        snapshot->number = read_number(cursor, 0);
    else if (is_key(key, "newest_number"))
        snapshot->newest_number = read_number(cursor, 0);
    else if (is_key(key, "failures"))
        snapshot->failures = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_snapshot(struct sessiond_reply *reply, struct sessiond_snapshot **result,
                            struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, 0, snapshot_entry, (void **)result, error);
}

/* The place of a word in an enum's names, from 1 on; 0 where it is unknown. A truth value is a word too. */
static unsigned read_choice(const char *const *names, struct mp_cursor *cursor) {
    struct bytes word;
    if (mp_peek(cursor) == MP_BOOL)
        word = mp_read_bool(cursor) ? BYTES_LITERAL("true") : BYTES_LITERAL("false");
    else
        word = read_text(cursor);
    for (unsigned i = 0; names[i]; i++)
        if (is_key(word, names[i])) return i + 1;
    return 0;
}

/* Room was measured for one array. */
static bool read_codes(struct sessiond_codes *codes, struct block *block, struct mp_cursor *cursor) {
    struct mp_cursor probe = *cursor;
    uint32_t count = read_count(&probe);
    if (codes->codes || probe.error || count > CODES_MAX) return false;
    uint16_t *array = (uint16_t *)(void *)block_take(&block->arrays, count * sizeof *array);
    *cursor = probe;
    for (uint32_t i = 0; i < count; i++) array[i] = (uint16_t)read_number(cursor, 0);
    *codes = (struct sessiond_codes){array, count};
    return true;
}

/* Reads the value of the row named `key` into its member of `members`; false: there is no such row. */
static bool read_row(const struct argument *row, void *members, struct bytes key, struct block *block,
                     struct mp_cursor *cursor) {
    while (row->name && !is_key(key, row->name)) row++;
    if (!row->name) return false;
    void *at = (char *)members + row->offset;
    switch (row->kind) {
    case ARGUMENT_NUMBER: *(int64_t *)at = read_number(cursor, 0); return true;
    case ARGUMENT_BOOL: *(enum sessiond_bool *)at = mp_read_bool(cursor) ? SESSIOND_TRUE : SESSIOND_FALSE; return true;
    case ARGUMENT_SWITCH:
    case ARGUMENT_ENUM: *(unsigned *)at = read_choice(row->names, cursor); return true;
    case ARGUMENT_SCORE: *(double *)at = read_score(cursor); return true;
    case ARGUMENT_TEXT: *(const char **)at = block_text(block, cursor).text; return true;
    case ARGUMENT_CODES: return read_codes(at, block, cursor);
    case ARGUMENT_MEMBERS:
        for (uint32_t left = mp_read_map(cursor); left > 0 && !cursor->error; left--) {
            struct bytes inner = read_text(cursor);
            if (!read_row(row->names, at, inner, block, cursor)) mp_read_value(cursor, REPLY_DEPTH_MAX);
        }
        return true;
    default: return false;
    }
}

static bool policy_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    return read_row(policy_arguments, result, key, block, cursor);
}

int sessiond_reply_policy(struct sessiond_reply *reply, struct sessiond_policy **result, struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, 0, policy_entry, (void **)result, error);
}

static bool namespace_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_namespace *described = result;
    if (is_key(key, "name"))
        described->name = block_text(block, cursor);
    else if (is_key(key, "policy"))
        map_read(cursor, policy_entry, &described->policy, block);
    else if (is_key(key, "sessions"))
        described->sessions = read_number(cursor, 0);
    else if (is_key(key, "bytes"))
        described->bytes = read_number(cursor, 0);
    else if (is_key(key, "purging"))
        map_read(cursor, purging_entry, &described->purging, block);
    else
        return false;
    return true;
}

int sessiond_reply_namespace(struct sessiond_reply *reply, struct sessiond_namespace **result,
                             struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, 0, namespace_entry, (void **)result, error);
}

static bool pool_policy_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    return read_row(pool_policy_arguments, result, key, block, cursor);
}

static bool pool_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_pool *pool = result;
    if (is_key(key, "name"))
        pool->name = block_text(block, cursor);
    else if (is_key(key, "policy"))
        map_read(cursor, pool_policy_entry, &pool->policy, block);
    else if (is_key(key, "usable_count"))
        pool->usable_count = read_number(cursor, 0);
    else if (is_key(key, "retired_count"))
        pool->retired_count = read_number(cursor, 0);
    else if (is_key(key, "leased_count"))
        pool->leased_count = read_number(cursor, 0);
    else if (is_key(key, "cooling_count"))
        pool->cooling_count = read_number(cursor, 0);
    else if (is_key(key, "held_count"))
        pool->held_count = read_number(cursor, 0);
    else if (is_key(key, "waiting_count"))
        pool->waiting_count = read_number(cursor, 0);
    else
        return false;
    return true;
}

int sessiond_reply_pool(struct sessiond_reply *reply, struct sessiond_pool **result, struct sessiond_error *error) {
    return reply_map(reply, sizeof **result, CODES_MAX * sizeof(uint16_t), pool_entry, (void **)result, error);
}
