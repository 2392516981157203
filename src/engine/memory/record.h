/* A session as it lies in memory: one block, immutable once it is published but for one word.
 *
 *     version 8 | last_active_at, birth and mark 8 | created_at and flags 8 | terms 4 | data size 3, id size 1
 *     then, only where set: further flags 1, absolute_expires_at 8, status_at 8, own timeouts 24, user, client, pool,
 *     reason, replaced_by, meta, tags, token, bound
 *     then id, then data
 *
 * A plain session with timeouts that its terms hold takes exactly 32 bytes beyond id and data. The word `active` is
 * written under the shard's lock only and read by anyone; everything else is written before the record is published.
 * All functions: any thread that holds the record inside a turn or under the shard's lock. */
#ifndef ENGINE_MEMORY_RECORD_H
#define ENGINE_MEMORY_RECORD_H

#include "engine/memory/terms.h"
#include "sessiond/session.h"

struct record {
    uint64_t version;
    _Atomic uint64_t active; /* last_active_at << 16 | birth << 1 | mark */
    uint64_t born;           /* created_at << 16 | flags */
    uint32_t terms;
    uint32_t sizes; /* data size << 8 | id size */
    uint8_t payload[];
};

#define RECORD_DATA_MAX ((1u << 24) - 1) /* bytes */

/* The mark in `active`. */
#define RECORD_MARK_REAPED UINT64_C(1) /* its deadline passed and that was counted: dead from now on at any clock */

/* Flags in `born`; the low four bits are the status. */
enum {
    RECORD_HAS_ABSOLUTE = 1 << 4, /* absolute_expires_at */
    RECORD_HAS_STATUS_AT = 1 << 5,
    RECORD_HAS_TIMEOUTS = 1 << 6, /* of its own: its terms say the namespace only */
    RECORD_HAS_USER = 1 << 7,
    RECORD_HAS_CLIENT = 1 << 8,
    RECORD_HAS_REASON = 1 << 9,
    RECORD_HAS_REPLACED_BY = 1 << 10,
    RECORD_HAS_META = 1 << 11,
    RECORD_IS_ALIAS = 1 << 12,
    RECORD_HAS_MORE = 1 << 13 /* the payload begins with a byte of further flags */
};
#define RECORD_HAS_ANY (0xff0 | RECORD_HAS_MORE)

/* Further flags, of what few sessions have. */
enum { RECORD_MORE_POOL = 1 << 0, RECORD_MORE_TAGS = 1 << 1, RECORD_MORE_TOKEN = 1 << 2, RECORD_MORE_BOUND = 1 << 3 };

static inline unsigned record_flags(const struct record *record) {
    return (unsigned)(record->born & 0xffff);
}
static inline enum status record_status(const struct record *record) {
    return (enum status)(record->born & 15);
}
static inline unsigned record_more(const struct record *record) {
    return record->born & RECORD_HAS_MORE ? record->payload[0] : 0;
}
/* Whether it may be in a group at all. */
static inline bool record_has_groups(const struct record *record) {
    return !(record->born & RECORD_IS_ALIAS) &&
           (record->born & (RECORD_HAS_USER | RECORD_HAS_CLIENT) || record_more(record) & RECORD_MORE_POOL);
}
static inline int64_t record_created_at(const struct record *record) {
    return (int64_t)(record->born >> 16);
}
static inline bool record_is_alias(const struct record *record) {
    return record->born & RECORD_IS_ALIAS;
}
static inline size_t record_data_size(const struct record *record) {
    return record->sizes >> 8;
}

static inline uint64_t record_active(const struct record *record) {
    return atomic_load_explicit(&((struct record *)record)->active, memory_order_acquire);
}

static inline uint16_t record_birth(const struct record *record) {
    return (uint16_t)(record_active(record) >> 1 & BIRTH_MAX);
}

/* Sets last_active_at or the mark, the birth stays; the shard's lock. */
static inline void record_set_active(struct record *record, uint64_t active) {
    atomic_store_explicit(&record->active, active, memory_order_release);
}

/* What a record of this draft needs, in bytes. own_timeouts: they stand in the record. */
size_t record_size_of(const struct session *draft, bool has_own_timeouts);

/* Fills a block of record_size_of bytes; the version is set later, by whoever publishes it. */
void record_fill(struct record *record, const struct session *draft, uint32_t terms, bool has_own_timeouts,
                 uint64_t mark);

/* Bytes of the whole block. */
size_t record_size_slow(const struct record *record);
static inline size_t record_size(const struct record *record) {
    if (record->born & RECORD_HAS_ANY) return record_size_slow(record);
    return sizeof(struct record) + (record->sizes & 0xff) + record_data_size(record);
}

struct bytes record_id(const struct record *record);

/* The name of its group of that kind; absent: none. */
struct bytes record_group(const struct record *record, unsigned kind);

/* Fills what the rules of life read (times, status, version, is_alias) and leaves the rest of `out` as it is. `active`
 * is the word as the caller read it. */
void record_view_life(const struct record *record, const struct terms *terms, uint64_t active, struct session *out);

/* Fills everything that record_view_life leaves; the bytes are borrowed from the record. */
void record_view_bytes(const struct record *record, struct session *out);

/* An active session that has nothing but id and data, and its terms' timeouts: most are. */
static inline bool record_is_plain(const struct record *record) {
    return record_flags(record) == STATUS_ACTIVE;
}

/* What both of them fill, of one that is plain. */
static inline void record_view_plain(const struct record *record, const struct terms *terms, uint64_t active,
                                     struct session *out) {
    size_t id_size = record->sizes & 0xff;
    out->id = bytes_of(record->payload, id_size);
    out->data = bytes_of(record->payload + id_size, record_data_size(record));
    out->user = out->client = out->reason = out->replaced_by = out->meta = BYTES_ABSENT;
    out->pool = out->tags = out->token = out->bound = BYTES_ABSENT;
    out->usage = NULL;
    out->version = record->version;
    out->created_at = record_created_at(record);
    out->last_active_at = (int64_t)(active >> 16);
    out->birth = (uint16_t)(active >> 1 & BIRTH_MAX);
    out->idle_timeout_ms = terms->idle_timeout_ms;
    out->absolute_timeout_ms = terms->absolute_timeout_ms;
    out->abandon_timeout_ms = terms->abandon_timeout_ms;
    out->absolute_expires_at = out->status_at = 0;
    out->status = STATUS_ACTIVE;
    out->event = EVENT_NONE;
    out->is_alias = out->is_touch = false;
}

/* All of it. */
static inline void record_view(const struct record *record, const struct terms *terms, uint64_t active,
                               struct session *out) {
    if (record_is_plain(record)) {
        record_view_plain(record, terms, active, out);
        return;
    }
    record_view_life(record, terms, active, out);
    record_view_bytes(record, out);
}

#endif
