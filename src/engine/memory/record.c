/* See record.h. Optional parts stand in the order of their flags, so one walk over the flags finds any of them. */
#include "engine/memory/record.h"
#include "sessiond/engine.h"

#include <assert.h>
#include <string.h>

_Static_assert(sizeof(struct record) == 32, "a plain session costs 32 bytes beyond id and data");
_Static_assert(STATUS_END <= 16, "a status takes four bits");

/* Moments are kept in 48 bits: from the epoch to the year 10889. */
static uint64_t moment_bits(int64_t moment) {
    if (moment < 0) return 0;
    return (uint64_t)moment < (UINT64_C(1) << 48) ? (uint64_t)moment : (UINT64_C(1) << 48) - 1;
}

static unsigned draft_more(const struct session *draft) {
    unsigned more = 0;
    bool has_any = draft->pool.data || draft->tags.data || draft->token.data || draft->bound.data;
    if (!has_any) return 0;
    if (draft->pool.data) more |= RECORD_MORE_POOL;
    if (draft->tags.data) more |= RECORD_MORE_TAGS;
    if (draft->token.data) more |= RECORD_MORE_TOKEN;
    if (draft->bound.data) more |= RECORD_MORE_BOUND;
    return more;
}

/* Whether the draft has nothing that would stand before its id: one question for all of it. */
static inline bool draft_is_plain(const struct session *draft) {
    uintptr_t parts = (uintptr_t)draft->user.data | (uintptr_t)draft->client.data | (uintptr_t)draft->pool.data |
                      (uintptr_t)draft->reason.data | (uintptr_t)draft->replaced_by.data | (uintptr_t)draft->meta.data |
                      (uintptr_t)draft->tags.data | (uintptr_t)draft->token.data | (uintptr_t)draft->bound.data;
    return !parts && !draft->absolute_expires_at && !draft->status_at && !draft->is_alias;
}

static unsigned draft_flags(const struct session *draft, bool has_own_timeouts) {
    unsigned flags = (unsigned)draft->status;
    if (!has_own_timeouts && draft_is_plain(draft)) return flags;
    if (draft->absolute_expires_at) flags |= RECORD_HAS_ABSOLUTE;
    if (draft->status_at) flags |= RECORD_HAS_STATUS_AT;
    if (has_own_timeouts) flags |= RECORD_HAS_TIMEOUTS;
    if (draft->user.data) flags |= RECORD_HAS_USER;
    if (draft->client.data) flags |= RECORD_HAS_CLIENT;
    if (draft->reason.data) flags |= RECORD_HAS_REASON;
    if (draft->replaced_by.data) flags |= RECORD_HAS_REPLACED_BY;
    if (draft->meta.data) flags |= RECORD_HAS_META;
    if (draft->is_alias) flags |= RECORD_IS_ALIAS;
    if (draft_more(draft)) flags |= RECORD_HAS_MORE;
    return flags;
}

static size_t more_size(const struct session *draft) {
    size_t size = 1;
    if (draft->pool.data) size += 1 + draft->pool.size;
    if (draft->tags.data) size += 2 + draft->tags.size;
    if (draft->token.data) size += 2 + draft->token.size;
    if (draft->bound.data) size += 2 + draft->bound.size;
    return size;
}

size_t record_size_of(const struct session *draft, bool has_own_timeouts) {
    size_t size = sizeof(struct record) + draft->id.size + draft->data.size;
    unsigned flags = draft_flags(draft, has_own_timeouts);
    if (!(flags & RECORD_HAS_ANY)) return size;
    if (flags & RECORD_HAS_ABSOLUTE) size += 8;
    if (flags & RECORD_HAS_STATUS_AT) size += 8;
    if (flags & RECORD_HAS_TIMEOUTS) size += 24;
    if (flags & RECORD_HAS_USER) size += 1 + draft->user.size;
    if (flags & RECORD_HAS_CLIENT) size += 1 + draft->client.size;
    if (flags & RECORD_HAS_REASON) size += 2 + draft->reason.size;
    if (flags & RECORD_HAS_REPLACED_BY) size += 1 + draft->replaced_by.size;
    if (flags & RECORD_HAS_META) size += 4 + draft->meta.size;
    if (flags & RECORD_HAS_MORE) size += more_size(draft);
    return size;
}

static uint8_t *put_int(uint8_t *at, int64_t value) {
    memcpy(at, &value, 8);
    return at + 8;
}

/* A run of bytes behind its size in `width` bytes, the lowest first. */
static uint8_t *put_bytes(uint8_t *at, struct bytes bytes, unsigned width) {
    assert(bytes.size < UINT64_C(1) << (8 * width));
    for (unsigned i = 0; i < width; i++) *at++ = (uint8_t)(bytes.size >> (8 * i));
    if (bytes.size) memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

static uint8_t *put_parts(uint8_t *at, const struct session *draft, unsigned flags) {
    unsigned more = draft_more(draft);
    if (flags & RECORD_HAS_MORE) *at++ = (uint8_t)more;
    if (flags & RECORD_HAS_ABSOLUTE) at = put_int(at, draft->absolute_expires_at);
    if (flags & RECORD_HAS_STATUS_AT) at = put_int(at, draft->status_at);
    if (flags & RECORD_HAS_TIMEOUTS) {
        at = put_int(at, draft->idle_timeout_ms);
        at = put_int(at, draft->absolute_timeout_ms);
        at = put_int(at, draft->abandon_timeout_ms);
    }
    if (flags & RECORD_HAS_USER) at = put_bytes(at, draft->user, 1);
    if (flags & RECORD_HAS_CLIENT) at = put_bytes(at, draft->client, 1);
    if (more & RECORD_MORE_POOL) at = put_bytes(at, draft->pool, 1);
    if (flags & RECORD_HAS_REASON) at = put_bytes(at, draft->reason, 2);
    if (flags & RECORD_HAS_REPLACED_BY) at = put_bytes(at, draft->replaced_by, 1);
    if (flags & RECORD_HAS_META) at = put_bytes(at, draft->meta, 4);
    if (more & RECORD_MORE_TAGS) at = put_bytes(at, draft->tags, 2);
    if (more & RECORD_MORE_TOKEN) at = put_bytes(at, draft->token, 2);
    if (more & RECORD_MORE_BOUND) at = put_bytes(at, draft->bound, 2);
    return at;
}

void record_fill(struct record *record, const struct session *draft, uint32_t terms, bool has_own_timeouts,
                 uint64_t mark) {
    assert(draft->id.size >= 1 && draft->id.size <= LIMIT_MAX_ID);
    assert(draft->data.data && draft->data.size <= RECORD_DATA_MAX);
    assert(draft->status > STATUS_NONE && draft->status < STATUS_END && draft->birth <= BIRTH_MAX);
    unsigned flags = draft_flags(draft, has_own_timeouts);
    record->version = 0;
    atomic_init(&record->active, moment_bits(draft->last_active_at) << 16 | (uint64_t)draft->birth << 1 | mark);
    record->born = moment_bits(draft->created_at) << 16 | flags;
    record->terms = terms;
    record->sizes = (uint32_t)(draft->data.size << 8 | draft->id.size);
    uint8_t *at = record->payload;
    if (flags & RECORD_HAS_ANY) at = put_parts(at, draft, flags);
    memcpy(at, draft->id.data, draft->id.size);
    at += draft->id.size;
    if (draft->data.size) memcpy(at, draft->data.data, draft->data.size);
}

/* The run behind its size at *at, and *at past it. */
static struct bytes take_bytes(const uint8_t **at, unsigned width) {
    size_t size = 0;
    for (unsigned i = 0; i < width; i++) size |= (size_t)(*at)[i] << (8 * i);
    struct bytes bytes = {*at + width, size};
    *at += width + size;
    return bytes;
}

/* Where the numbers begin. */
static const uint8_t *numbers_of(const struct record *record) {
    return record->payload + (record_flags(record) & RECORD_HAS_MORE ? 1 : 0);
}

/* Past the numbers. */
static const uint8_t *skip_numbers(const struct record *record) {
    unsigned flags = record_flags(record);
    const uint8_t *at = numbers_of(record);
    if (flags & RECORD_HAS_ABSOLUTE) at += 8;
    if (flags & RECORD_HAS_STATUS_AT) at += 8;
    if (flags & RECORD_HAS_TIMEOUTS) at += 24;
    return at;
}

struct bytes record_id(const struct record *record) {
    unsigned flags = record_flags(record);
    size_t size = record->sizes & 0xff;
    if (!(flags & RECORD_HAS_ANY)) return (struct bytes){record->payload, size};
    unsigned more = record_more(record);
    const uint8_t *at = skip_numbers(record);
    if (flags & RECORD_HAS_USER) take_bytes(&at, 1);
    if (flags & RECORD_HAS_CLIENT) take_bytes(&at, 1);
    if (more & RECORD_MORE_POOL) take_bytes(&at, 1);
    if (flags & RECORD_HAS_REASON) take_bytes(&at, 2);
    if (flags & RECORD_HAS_REPLACED_BY) take_bytes(&at, 1);
    if (flags & RECORD_HAS_META) take_bytes(&at, 4);
    if (more & RECORD_MORE_TAGS) take_bytes(&at, 2);
    if (more & RECORD_MORE_TOKEN) take_bytes(&at, 2);
    if (more & RECORD_MORE_BOUND) take_bytes(&at, 2);
    return (struct bytes){at, size};
}

size_t record_size_slow(const struct record *record) {
    struct bytes id = record_id(record);
    return (size_t)(id.data - (const uint8_t *)record) + id.size + record_data_size(record);
}

struct bytes record_group(const struct record *record, unsigned kind) {
    unsigned flags = record_flags(record);
    if (!record_has_groups(record)) return BYTES_ABSENT;
    const uint8_t *at = skip_numbers(record);
    struct bytes user = flags & RECORD_HAS_USER ? take_bytes(&at, 1) : BYTES_ABSENT;
    if (kind == GROUP_USER) return user;
    struct bytes client = flags & RECORD_HAS_CLIENT ? take_bytes(&at, 1) : BYTES_ABSENT;
    if (kind == GROUP_CLIENT) return client;
    return kind == GROUP_POOL && record_more(record) & RECORD_MORE_POOL ? take_bytes(&at, 1) : BYTES_ABSENT;
}

static int64_t take_int(const uint8_t **at) {
    int64_t value;
    memcpy(&value, *at, 8);
    *at += 8;
    return value;
}

void record_view_life(const struct record *record, const struct terms *terms, uint64_t active, struct session *out) {
    unsigned flags = record_flags(record);
    const uint8_t *at = numbers_of(record);
    out->version = record->version;
    out->created_at = record_created_at(record);
    out->last_active_at = (int64_t)(active >> 16);
    out->birth = (uint16_t)(active >> 1 & BIRTH_MAX);
    out->status = record_status(record);
    out->is_alias = flags & RECORD_IS_ALIAS;
    out->absolute_expires_at = flags & RECORD_HAS_ABSOLUTE ? take_int(&at) : 0;
    out->status_at = flags & RECORD_HAS_STATUS_AT ? take_int(&at) : 0;
    if (flags & RECORD_HAS_TIMEOUTS) {
        out->idle_timeout_ms = take_int(&at);
        out->absolute_timeout_ms = take_int(&at);
        out->abandon_timeout_ms = take_int(&at);
    } else {
        out->idle_timeout_ms = terms->idle_timeout_ms;
        out->absolute_timeout_ms = terms->absolute_timeout_ms;
        out->abandon_timeout_ms = terms->abandon_timeout_ms;
    }
}

void record_view_bytes(const struct record *record, struct session *out) {
    unsigned flags = record_flags(record);
    size_t id_size = record->sizes & 0xff;
    const uint8_t *at = record->payload;
    out->user = out->client = out->reason = out->replaced_by = out->meta = BYTES_ABSENT;
    out->pool = out->tags = out->token = out->bound = BYTES_ABSENT;
    out->usage = NULL;
    out->event = EVENT_NONE;
    out->is_touch = false;
    if (flags & RECORD_HAS_ANY) {
        unsigned more = record_more(record);
        at = skip_numbers(record);
        if (flags & RECORD_HAS_USER) out->user = take_bytes(&at, 1);
        if (flags & RECORD_HAS_CLIENT) out->client = take_bytes(&at, 1);
        if (more & RECORD_MORE_POOL) out->pool = take_bytes(&at, 1);
        if (flags & RECORD_HAS_REASON) out->reason = take_bytes(&at, 2);
        if (flags & RECORD_HAS_REPLACED_BY) out->replaced_by = take_bytes(&at, 1);
        if (flags & RECORD_HAS_META) out->meta = take_bytes(&at, 4);
        if (more & RECORD_MORE_TAGS) out->tags = take_bytes(&at, 2);
        if (more & RECORD_MORE_TOKEN) out->token = take_bytes(&at, 2);
        if (more & RECORD_MORE_BOUND) out->bound = take_bytes(&at, 2);
    }
    out->id = (struct bytes){at, id_size};
    out->data = (struct bytes){at + id_size, record_data_size(record)};
}
