/* See record.h. What a rare one has stands in the order of its flags, so one walk over the flags finds any of it. */
#include "engine/memory/record.h"
#include "sessiond/engine.h"

#include <assert.h>
#include <string.h>

_Static_assert(sizeof(struct record) == 24, "a plain session costs 24 bytes beyond id and data");
_Static_assert(STATUS_END <= 16, "a status takes four bits");

/* Moments are kept in 48 bits: from the epoch to the year 10889. */
static uint64_t moment_bits(int64_t moment) {
    if (moment < 0) return 0;
    return (uint64_t)moment < (UINT64_C(1) << 48) ? (uint64_t)moment : (UINT64_C(1) << 48) - 1;
}

/* created_at as the head holds it; what is before 2020 wraps around to more than that. */
static uint64_t created_bits(int64_t moment) {
    return (uint64_t)moment - (uint64_t)VERSION_EPOCH_MS;
}

static const uint8_t wide_bytes[RECORD_NUMBERS] = {8, 8, 4, 4};

/* A bit for each number that the head has no room for. */
static unsigned wide_of(uint64_t version, uint64_t created, uint32_t terms, size_t data_size) {
    return (unsigned)(version >= RECORD_WIDE_VERSION) << RECORD_VERSION |
           (unsigned)(created >= RECORD_WIDE_CREATED) << RECORD_CREATED |
           (unsigned)(terms >= RECORD_WIDE_TERMS) << RECORD_TERMS |
           (unsigned)(data_size >= RECORD_WIDE_DATA) << RECORD_DATA;
}

static unsigned draft_wide(const struct session *draft, const struct record_frame *frame) {
    return wide_of(frame->version, created_bits(draft->created_at), frame->terms, draft->data.size);
}

static unsigned record_wides(const struct record *record) {
    return wide_of(record_version_narrow(record), record->born >> RECORD_CREATED_SHIFT,
                   record->written & RECORD_WIDE_TERMS, record_data_size_narrow(record));
}

/* What those take in front of `number`. */
static size_t wide_size(unsigned wide, unsigned number) {
    size_t size = 0;
    for (unsigned i = 0; i < number; i++) size += wide >> i & 1 ? wide_bytes[i] : 0;
    return size;
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

/* Whether the draft is active, has nothing but id and data, and the head has room for all its numbers. */
static inline bool draft_is_plain(const struct session *draft, const struct record_frame *frame) {
    uintptr_t parts = (uintptr_t)draft->user.data | (uintptr_t)draft->client.data | (uintptr_t)draft->pool.data |
                      (uintptr_t)draft->reason.data | (uintptr_t)draft->replaced_by.data | (uintptr_t)draft->meta.data |
                      (uintptr_t)draft->tags.data | (uintptr_t)draft->token.data | (uintptr_t)draft->bound.data;
    uint64_t moments = (uint64_t)draft->absolute_expires_at | (uint64_t)draft->status_at;
    return !(parts | moments) && !draft->is_alias && !frame->has_own_timeouts && draft->status == STATUS_ACTIVE &&
           frame->version < RECORD_WIDE_VERSION && created_bits(draft->created_at) < RECORD_WIDE_CREATED &&
           frame->terms < RECORD_WIDE_TERMS && draft->data.size < RECORD_WIDE_DATA;
}

/* Of one that is rare. */
static __attribute__((noinline)) unsigned draft_flags(const struct session *draft, const struct record_frame *frame) {
    unsigned flags = (unsigned)draft->status;
    if (draft_wide(draft, frame)) flags |= RECORD_IS_WIDE;
    if (draft->absolute_expires_at) flags |= RECORD_HAS_ABSOLUTE;
    if (draft->status_at) flags |= RECORD_HAS_STATUS_AT;
    if (frame->has_own_timeouts) flags |= RECORD_HAS_TIMEOUTS;
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

/* What one that is rare needs beyond its head, id and data. */
static __attribute__((noinline)) size_t rare_size(const struct session *draft, const struct record_frame *frame) {
    unsigned flags = frame->flags;
    size_t size = sizeof(frame->flags);
    if (flags & RECORD_IS_WIDE) size += wide_size(draft_wide(draft, frame), RECORD_NUMBERS);
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

size_t record_size_of(const struct session *draft, struct record_frame *frame) {
    size_t size = sizeof(struct record) + draft->id.size + draft->data.size;
    frame->flags = 0;
    if (draft_is_plain(draft, frame)) return size;
    frame->flags = (uint16_t)draft_flags(draft, frame);
    return size + rare_size(draft, frame);
}

static uint8_t *put_wide(uint8_t *at, const struct session *draft, const struct record_frame *frame) {
    uint64_t numbers[RECORD_NUMBERS] = {frame->version, moment_bits(draft->created_at), frame->terms, draft->data.size};
    unsigned wide = draft_wide(draft, frame);
    for (unsigned i = 0; i < RECORD_NUMBERS; i++)
        if (wide >> i & 1) {
            memcpy(at, &numbers[i], wide_bytes[i]);
            at += wide_bytes[i];
        }
    return at;
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

/* A number as the head holds it. */
static uint64_t narrow(uint64_t number, uint64_t wide) {
    return number < wide ? number : wide;
}

void record_fill(struct record *record, const struct session *draft, const struct record_frame *frame) {
    assert(draft->id.size >= 1 && draft->id.size <= LIMIT_MAX_ID);
    assert(draft->data.data && draft->data.size <= RECORD_DATA_MAX);
    assert(draft->status > STATUS_NONE && draft->status < STATUS_END && draft->birth <= BIRTH_MAX);
    unsigned flags = frame->flags;
    record->written =
        narrow(frame->version, RECORD_WIDE_VERSION) << RECORD_VERSION_SHIFT | narrow(frame->terms, RECORD_WIDE_TERMS);
    atomic_init(&record->active,
                moment_bits(draft->last_active_at) << 16 | (uint64_t)draft->birth << 1 | (uint64_t)frame->is_reaped);
    record->born = narrow(created_bits(draft->created_at), RECORD_WIDE_CREATED) << RECORD_CREATED_SHIFT |
                   (flags ? RECORD_IS_RARE : 0) | narrow(draft->data.size, RECORD_WIDE_DATA) << RECORD_DATA_SHIFT |
                   draft->id.size;
    memcpy(record->payload, draft->id.data, draft->id.size);
    uint8_t *at = record->payload + draft->id.size;
    if (flags) {
        memcpy(at, &frame->flags, sizeof(frame->flags));
        at += sizeof(frame->flags);
        if (flags & RECORD_IS_WIDE) at = put_wide(at, draft, frame);
        at = put_parts(at, draft, flags);
    }
    if (draft->data.size) memcpy(at, draft->data.data, draft->data.size);
}

bool record_set_version(struct record *record, uint64_t version) {
    if (record_version_narrow(record) == RECORD_WIDE_VERSION) {
        memcpy(record->payload + record_id_size(record) + 2, &version, sizeof(version));
        return true;
    }
    if (version >= RECORD_WIDE_VERSION) return false;
    record->written = version << RECORD_VERSION_SHIFT | (record->written & RECORD_WIDE_TERMS);
    return true;
}

__attribute__((noinline)) uint64_t record_wide(const struct record *record, enum record_number number) {
    uint64_t value = 0;
    size_t before = wide_size(record_wides(record), number);
    memcpy(&value, record->payload + record_id_size(record) + 2 + before, wide_bytes[number]);
    return value;
}

/* The run behind its size at *at, and *at past it. */
static struct bytes take_bytes(const uint8_t **at, unsigned width) {
    size_t size = 0;
    for (unsigned i = 0; i < width; i++) size |= (size_t)(*at)[i] << (8 * i);
    struct bytes bytes = {*at + width, size};
    *at += width + size;
    return bytes;
}

/* Of a rare one: where what its flags say begins. */
static const uint8_t *parts_of(const struct record *record, unsigned flags) {
    const uint8_t *at = record->payload + record_id_size(record) + 2;
    return flags & RECORD_IS_WIDE ? at + wide_size(record_wides(record), RECORD_NUMBERS) : at;
}

unsigned record_more(const struct record *record) {
    unsigned flags = record_flags(record);
    return flags & RECORD_HAS_MORE ? *parts_of(record, flags) : 0;
}

/* Past the further flags and the moments, from where they begin. */
static const uint8_t *past_moments(const uint8_t *at, unsigned flags) {
    if (flags & RECORD_HAS_MORE) at += 1;
    if (flags & RECORD_HAS_ABSOLUTE) at += 8;
    if (flags & RECORD_HAS_STATUS_AT) at += 8;
    if (flags & RECORD_HAS_TIMEOUTS) at += 24;
    return at;
}

struct bytes record_parts(const struct record *record) {
    if (record_is_plain(record)) return bytes_of(record->payload + record_id_size(record), 0);
    unsigned flags = record_flags(record);
    const uint8_t *begin = parts_of(record, flags), *at = past_moments(begin, flags);
    unsigned more = flags & RECORD_HAS_MORE ? *begin : 0;
    if (flags & RECORD_HAS_USER) take_bytes(&at, 1);
    if (flags & RECORD_HAS_CLIENT) take_bytes(&at, 1);
    if (more & RECORD_MORE_POOL) take_bytes(&at, 1);
    if (flags & RECORD_HAS_REASON) take_bytes(&at, 2);
    if (flags & RECORD_HAS_REPLACED_BY) take_bytes(&at, 1);
    if (flags & RECORD_HAS_META) take_bytes(&at, 4);
    if (more & RECORD_MORE_TAGS) take_bytes(&at, 2);
    if (more & RECORD_MORE_TOKEN) take_bytes(&at, 2);
    if (more & RECORD_MORE_BOUND) take_bytes(&at, 2);
    return bytes_of(begin, (size_t)(at - begin));
}

__attribute__((noinline)) size_t record_size_slow(const struct record *record) {
    struct bytes parts = record_parts(record);
    return (size_t)(parts.data + parts.size - (const uint8_t *)record) + record_data_size(record);
}

struct bytes record_group(const struct record *record, unsigned kind) {
    unsigned flags = record_flags(record);
    if (flags & RECORD_IS_ALIAS || !(flags & (RECORD_HAS_USER | RECORD_HAS_CLIENT | RECORD_HAS_MORE)))
        return BYTES_ABSENT;
    const uint8_t *parts = parts_of(record, flags), *at = past_moments(parts, flags);
    struct bytes user = flags & RECORD_HAS_USER ? take_bytes(&at, 1) : BYTES_ABSENT;
    if (kind == GROUP_USER) return user;
    struct bytes client = flags & RECORD_HAS_CLIENT ? take_bytes(&at, 1) : BYTES_ABSENT;
    if (kind == GROUP_CLIENT) return client;
    bool has_pool = flags & RECORD_HAS_MORE && *parts & RECORD_MORE_POOL;
    return kind == GROUP_POOL && has_pool ? take_bytes(&at, 1) : BYTES_ABSENT;
}

static int64_t take_int(const uint8_t **at) {
    int64_t value;
    memcpy(&value, *at, 8);
    *at += 8;
    return value;
}

void record_view_life(const struct record *record, const struct terms *terms, uint64_t active, struct session *out) {
    unsigned flags = record_flags(record);
    out->version = record_version_narrow(record);
    out->created_at = VERSION_EPOCH_MS + (int64_t)(record->born >> RECORD_CREATED_SHIFT);
    out->last_active_at = (int64_t)(active >> 16);
    out->birth = (uint16_t)(active >> 1 & BIRTH_MAX);
    out->status = (enum status)(flags & 15);
    out->is_alias = flags & RECORD_IS_ALIAS;
    if (flags & RECORD_IS_WIDE) {
        out->version = record_version(record);
        out->created_at = record_created_at(record);
    }
    out->absolute_expires_at = out->status_at = 0;
    out->idle_timeout_ms = terms->idle_timeout_ms;
    out->absolute_timeout_ms = terms->absolute_timeout_ms;
    out->abandon_timeout_ms = terms->abandon_timeout_ms;
    if (!(flags & (RECORD_HAS_ABSOLUTE | RECORD_HAS_STATUS_AT | RECORD_HAS_TIMEOUTS))) return;
    const uint8_t *at = parts_of(record, flags) + (flags & RECORD_HAS_MORE ? 1 : 0);
    if (flags & RECORD_HAS_ABSOLUTE) out->absolute_expires_at = take_int(&at);
    if (flags & RECORD_HAS_STATUS_AT) out->status_at = take_int(&at);
    if (!(flags & RECORD_HAS_TIMEOUTS)) return;
    out->idle_timeout_ms = take_int(&at);
    out->absolute_timeout_ms = take_int(&at);
    out->abandon_timeout_ms = take_int(&at);
}

void record_view_bytes(const struct record *record, struct session *out) {
    const uint8_t *at = record->payload + record_id_size(record);
    out->id = record_id(record);
    out->user = out->client = out->reason = out->replaced_by = out->meta = BYTES_ABSENT;
    out->pool = out->tags = out->token = out->bound = BYTES_ABSENT;
    out->usage = NULL;
    out->event = EVENT_NONE;
    out->is_touch = false;
    if (!record_is_plain(record)) {
        unsigned flags = record_flags(record);
        at = parts_of(record, flags);
        unsigned more = flags & RECORD_HAS_MORE ? *at : 0;
        at = past_moments(at, flags);
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
    out->data = (struct bytes){at, record_data_size(record)};
}
