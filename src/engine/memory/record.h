/* A session as it lies in memory: one block, immutable once it is published but for one word.
 *
 *     version 53 bits, terms 11 | last_active_at 48, birth 15, mark 1 | created_at 41, is rare 1, data size 14,
 *     id size 8
 *     id
 *     of a rare one only: flags 2 bytes; what the head has no room for: version 8, created_at 8, terms 4, data size 4;
 *     and, where set: further flags 1, absolute_expires_at 8, status_at 8, own timeouts 24, user, client, pool,
 *     reason, replaced_by, meta, tags, token, bound
 *     data
 *
 * A plain session, active and with timeouts that its terms hold, takes exactly 24 bytes beyond id and data. All others
 * are rare. A number whose bits in the head are all ones stands behind the flags instead, whole: the head holds
 * versions and created_at of the years 2020 to 2089, 2,047 terms and data of less than 16 KiB.
 *
 * The word `active` is written under the shard's lock only and read by anyone; everything else is written before the
 * record is published. All functions: any thread that holds the record inside a turn or under the shard's lock. */
#ifndef ENGINE_MEMORY_RECORD_H
#define ENGINE_MEMORY_RECORD_H

#include "engine/memory/terms.h"
#include "sessiond/session.h"

#include <string.h>

struct record {
    uint64_t written;        /* version << 11 | terms */
    _Atomic uint64_t active; /* last_active_at << 16 | birth << 1 | mark */
    uint64_t born;           /* created_at since 2020 << 23 | is rare << 22 | data size << 8 | id size */
    uint8_t payload[];
};

#define RECORD_DATA_MAX ((1u << 24) - 1) /* bytes */

#define RECORD_VERSION_SHIFT 11
#define RECORD_CREATED_SHIFT 23
#define RECORD_DATA_SHIFT    8
#define RECORD_IS_RARE       (UINT64_C(1) << 22)

/* The least of each number that the head has no room for, which is also what stands there then. */
#define RECORD_WIDE_VERSION ((UINT64_C(1) << 53) - 1)
#define RECORD_WIDE_CREATED ((UINT64_C(1) << 41) - 1) /* milliseconds since VERSION_EPOCH_MS */
#define RECORD_WIDE_TERMS   ((1u << 11) - 1)
#define RECORD_WIDE_DATA    ((1u << 14) - 1)

/* These numbers, in the order in which they stand behind the flags. */
enum record_number { RECORD_VERSION, RECORD_CREATED, RECORD_TERMS, RECORD_DATA, RECORD_NUMBERS };

/* The mark in `active`. */
#define RECORD_MARK_REAPED UINT64_C(1) /* its deadline passed and that was counted: dead from now on at any clock */

/* The flags of a rare one; the low four bits are the status. They stand in logs too, so their numbers are for ever. */
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
    RECORD_HAS_MORE = 1 << 13, /* a byte of further flags stands before what else it has */
    RECORD_IS_WIDE = 1 << 14   /* numbers that the head has no room for stand behind these flags; in no log */
};
#define RECORD_HAS_ANY (0xff0 | RECORD_HAS_MORE)

/* Further flags, of what few sessions have. */
enum { RECORD_MORE_POOL = 1 << 0, RECORD_MORE_TAGS = 1 << 1, RECORD_MORE_TOKEN = 1 << 2, RECORD_MORE_BOUND = 1 << 3 };

/* What a record has beside its session. */
struct record_frame {
    uint64_t version; /* as far as it is known yet: a later one may turn out not to fit (record_set_version) */
    uint32_t terms;
    bool has_own_timeouts; /* its terms say the namespace only */
    bool is_reaped;
    uint16_t flags; /* as record_size_of finds them; 0: it is plain */
};

/* An active session that has nothing but id and data, and its terms' timeouts: most are. */
static inline bool record_is_plain(const struct record *record) {
    return !(record->born & RECORD_IS_RARE);
}
static inline size_t record_id_size(const struct record *record) {
    return (uint8_t)record->born;
}
static inline struct bytes record_id(const struct record *record) {
    return bytes_of(record->payload, record_id_size(record));
}

/* A number that stands behind the flags. */
uint64_t record_wide(const struct record *record, enum record_number number);

/* The version, if the head has room for it. */
static inline uint64_t record_version_narrow(const struct record *record) {
    return record->written >> RECORD_VERSION_SHIFT;
}
static inline uint64_t record_version(const struct record *record) {
    uint64_t version = record_version_narrow(record);
    return version != RECORD_WIDE_VERSION ? version : record_wide(record, RECORD_VERSION);
}
static inline int64_t record_created_at(const struct record *record) {
    uint64_t created = record->born >> RECORD_CREATED_SHIFT;
    return created != RECORD_WIDE_CREATED ? VERSION_EPOCH_MS + (int64_t)created
                                          : (int64_t)record_wide(record, RECORD_CREATED);
}
/* The number of its tuple. */
static inline uint32_t record_terms_number(const struct record *record) {
    uint32_t terms = record->written & RECORD_WIDE_TERMS;
    return terms != RECORD_WIDE_TERMS ? terms : (uint32_t)record_wide(record, RECORD_TERMS);
}
/* The bytes of its data, if the head has room for that. */
static inline size_t record_data_size_narrow(const struct record *record) {
    return record->born >> RECORD_DATA_SHIFT & RECORD_WIDE_DATA;
}
static inline size_t record_data_size(const struct record *record) {
    size_t size = record_data_size_narrow(record);
    return size != RECORD_WIDE_DATA ? size : (size_t)record_wide(record, RECORD_DATA);
}

static inline unsigned record_flags(const struct record *record) {
    uint16_t flags;
    if (record_is_plain(record)) return STATUS_ACTIVE;
    memcpy(&flags, record->payload + record_id_size(record), sizeof(flags));
    return flags;
}
static inline enum status record_status(const struct record *record) {
    return (enum status)(record_flags(record) & 15);
}
static inline bool record_is_alias(const struct record *record) {
    return record_flags(record) & RECORD_IS_ALIAS;
}
/* The further flags. */
unsigned record_more(const struct record *record);
/* Whether it may be in a group at all. */
static inline bool record_has_groups(const struct record *record) {
    unsigned flags = record_flags(record);
    return !(flags & RECORD_IS_ALIAS) && (flags & (RECORD_HAS_USER | RECORD_HAS_CLIENT) ||
                                          (flags & RECORD_HAS_MORE && record_more(record) & RECORD_MORE_POOL));
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

/* Sets the version before the record is published. False: it was built for one that needs less room; build it anew. */
bool record_set_version(struct record *record, uint64_t version);

/* What a record of this draft needs, in bytes. Sets the frame's flags. */
size_t record_size_of(const struct session *draft, struct record_frame *frame);

/* Fills a block of record_size_of bytes, of the same draft and frame. */
void record_fill(struct record *record, const struct session *draft, const struct record_frame *frame);

/* Bytes of the whole block. */
size_t record_size_slow(const struct record *record);
static inline size_t record_size(const struct record *record) {
    if (!record_is_plain(record)) return record_size_slow(record);
    return sizeof(struct record) + record_id_size(record) + (record_data_size_narrow(record));
}

/* The bytes of a rare one from its further flags up to its data: what the log holds of it beside its head's numbers, id
 * and data. Empty: it has none. */
struct bytes record_parts(const struct record *record);

/* The name of its group of that kind; absent: none. */
struct bytes record_group(const struct record *record, unsigned kind);

/* Fills what the rules of life read (times, status, version, is_alias) and leaves the rest of `out` as it is. `active`
 * is the word as the caller read it. */
void record_view_life(const struct record *record, const struct terms *terms, uint64_t active, struct session *out);

/* Fills everything that record_view_life leaves; the bytes are borrowed from the record. */
void record_view_bytes(const struct record *record, struct session *out);

/* What both of them fill, of one that is plain. */
static inline void record_view_plain(const struct record *record, const struct terms *terms, uint64_t active,
                                     struct session *out) {
    size_t id_size = record_id_size(record);
    out->id = bytes_of(record->payload, id_size);
    out->data = bytes_of(record->payload + id_size, record_data_size_narrow(record));
    out->user = out->client = out->reason = out->replaced_by = out->meta = BYTES_ABSENT;
    out->pool = out->tags = out->token = out->bound = BYTES_ABSENT;
    out->usage = NULL;
    out->version = record_version_narrow(record);
    out->created_at = VERSION_EPOCH_MS + (int64_t)(record->born >> RECORD_CREATED_SHIFT);
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
