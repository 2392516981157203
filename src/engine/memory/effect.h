/* The effects of the memory engine as bytes: what the journal, the log's files and snapshots hold.
 *
 * An effect says what is, not what was done: of two about the same thing the one with the greater version holds,
 * whatever their order. All numbers are little-endian; u8, u32, u64 and i64 are their widths, "text8" is a size in u8
 * and so many bytes.
 *
 *     effect     kind u8 (enum effect_kind), size of the body u32, the body
 *     STORE      secret of the keyed hash, HASH_SECRET_BYTES
 *     NAMESPACE  namespace u64, version u64, made u64, tombstone_floor u64, purge_interval_ms i64, is_purging u8,
 *                name text8, count of clears u8, each: version u64, retention_ms i64; count of purges u8, each:
 *                version u64, at i64, until i64; then to the end the policy, as the engine's policy_encode writes it
 *     DROP       namespace u64, version u64
 *     PUT        namespace u64, version u64, last_active_at << 16 | birth << 1 | mark u64, created_at << 16 | flags u64,
 *                idle, absolute and abandon timeout i64 each (0 where the record has its own), data size << 8 | id size
 *                u32; then what record_parts answers, id, data. Flags, birth, mark and parts are record.h's
 *     MOVE       size u32 and body of the PUT of the session under its new id; the old id text8; then to the end the
 *                body of a PUT of the alias under the old id, or nothing: the old id was destroyed with that version
 *     REMOVE     namespace u64, version u64 (the tombstone's too), id text8
 *     TOUCH      hash u64, version u64, last_active_at i64: of the record of that version and id, of no later one
 *     CLIENT     namespace u64, version u64, created_at i64, updated_at i64, has_last_active u8, born u64, hash u64,
 *                name text8
 *     TOMBSTONE  hash u64, version u64
 *     SNAPSHOT   version u64: all that changed up to it stands before this effect, as it is or gone. Of what is read
 *                later nothing up to that version counts any more but TOUCH, DROP, POOL and USAGE: loops append in
 *                any order, so the log behind a snapshot may tell of a session whose end stood in the log before it
 *     POOL and USAGE stand in pool_effect.h.
 *
 * A namespace is named by its key (namespace.h), a random number that no two ever share; a hash is that of an id in its
 * namespace (id_hash). So an effect can be read, and its id found, before the one that tells the namespace's name.
 * A version is at least 1 and at most EFFECT_VERSION_MAX.
 *
 * Reading believes nothing: what effect_read accepts is within the bounds that the engine keeps to. Pure; any thread.
 */
#ifndef ENGINE_MEMORY_EFFECT_H
#define ENGINE_MEMORY_EFFECT_H

#include "base/buf.h"
#include "base/hash.h"
#include "engine/memory/namespace.h"
#include "engine/memory/record.h"

#define EFFECT_HEAD_BYTES  5
#define EFFECT_VERSION_MAX ((UINT64_C(1) << 53) - 1)
#define EFFECT_MOMENT_MAX  (INT64_C(1) << 49) /* of any moment or duration, and as far below 0 */

struct effect_clear {
    uint64_t version;
    int64_t retention_ms;
};

struct effect_purge {
    uint64_t version;
    int64_t at, until;
};

struct effect_namespace {
    uint64_t key, version;
    uint64_t made; /* the version with which it came into being */
    uint64_t tombstone_floor;
    int64_t purge_interval_ms;
    bool is_purging;
    unsigned clear_count, purge_count; /* up to ENDS_KEPT, the oldest first */
    struct effect_clear clears[ENDS_KEPT];
    struct effect_purge purges[ENDS_KEPT];
    struct bytes name;
    struct bytes policy; /* encoded; effect_read has not looked into it */
};

struct effect_put {
    uint64_t namespace;
    struct session session; /* whole but for usage */
    bool is_reaped;         /* RECORD_MARK_REAPED */
};

struct effect_client {
    uint64_t namespace, version;
    int64_t created_at, updated_at;
    uint64_t last_born, last_hash; /* with has_last_active: the entry of its last active session, without its mark */
    bool has_last_active;
    struct bytes name;
};

struct effect {
    enum effect_kind kind;
    struct bytes body;
    union {
        struct hash_key store;
        struct effect_namespace namespace;
        struct effect_put put;
        struct effect_client client;
        struct {
            uint64_t namespace, version;
            struct bytes id; /* REMOVE */
        } gone;              /* DROP, REMOVE, SNAPSHOT: without a namespace */
        struct {
            uint64_t hash, version;
            int64_t last_active_at; /* TOUCH */
        } mark;                     /* TOUCH, TOMBSTONE */
        struct {
            struct effect_put put;
            struct bytes old_id;
            struct bytes alias; /* the body of a PUT, for effect_read_put; absent: the old id was destroyed */
        } move;
    };
};

/* Takes the first effect off `effects` and fills `out`, whose bytes are borrowed from there; of POOL and USAGE the body
 * alone. False: *why says what is wrong. */
bool effect_read(struct bytes *effects, struct effect *out, const char **why);

/* Bytes of the first of effects that were written here. */
static inline size_t effect_size(struct bytes effects) {
    uint32_t size;
    memcpy(&size, effects.data + 1, sizeof(size));
    return EFFECT_HEAD_BYTES + size;
}

/* Reads the body of a PUT. */
bool effect_read_put(struct bytes body, struct effect_put *out, const char **why);

/* Append one effect to `out`, whole. `terms` are the record's. */
void effect_write_store(struct buf *out, const struct hash_key *key);
void effect_write_namespace(struct buf *out, const struct effect_namespace *namespace);
void effect_write_drop(struct buf *out, uint64_t namespace, uint64_t version);
void effect_write_put(struct buf *out, uint64_t namespace, const struct record *record, const struct terms *terms);
/* `alias` NULL: none. */
void effect_write_move(struct buf *out, uint64_t namespace, const struct record *record, const struct terms *terms,
                       struct bytes old_id, const struct record *alias, const struct terms *alias_terms);
void effect_write_remove(struct buf *out, uint64_t namespace, uint64_t version, struct bytes id);
void effect_write_touch(struct buf *out, uint64_t hash, uint64_t version, int64_t last_active_at);
void effect_write_client(struct buf *out, const struct effect_client *client);
void effect_write_tombstone(struct buf *out, uint64_t hash, uint64_t version);
void effect_write_snapshot(struct buf *out, uint64_t version);

/* For writers of other kinds: begins an effect and answers what effect_end is to be given. */
size_t effect_begin(struct buf *out, enum effect_kind kind);
void effect_end(struct buf *out, size_t begin);

/* ---- numbers and texts of bodies, for whoever writes and reads further kinds */

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are logged as they lie in memory");

void effect_put_u8(struct buf *out, uint8_t value);
void effect_put_u32(struct buf *out, uint32_t value);
void effect_put_u64(struct buf *out, uint64_t value);
void effect_put_text8(struct buf *out, struct bytes text);

/* What is left of a body; is_short once more was read than there was, and stays. Texts are borrowed. */
struct effect_cursor {
    const uint8_t *at;
    size_t left;
    bool is_short;
};

static inline struct effect_cursor effect_cursor_of(struct bytes body) {
    return (struct effect_cursor){body.data, body.size, false};
}
struct bytes effect_take(struct effect_cursor *cursor, size_t size);
uint8_t effect_take_u8(struct effect_cursor *cursor);
uint32_t effect_take_u32(struct effect_cursor *cursor);
uint64_t effect_take_u64(struct effect_cursor *cursor);
struct bytes effect_take_text8(struct effect_cursor *cursor); /* never absent */

static inline bool effect_version_is_fine(uint64_t version) {
    return version >= 1 && version <= EFFECT_VERSION_MAX;
}
static inline bool effect_moment_is_fine(int64_t moment) {
    return moment >= -EFFECT_MOMENT_MAX && moment <= EFFECT_MOMENT_MAX;
}

#endif
