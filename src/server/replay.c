/* The map of remembered answers.
 *
 * Always true: an entry without an answer is running and in no queue, so nobody frees it but the request that reserved
 * it; an entry with one stands in its part's queue in the order in which they were answered, which is the order in
 * which they are forgotten. `bytes` counts every entry and answer. Any thread; a part's lock guards everything in it.
 */
#include "server/replay.h"

#include "base/hash.h"
#include "base/list.h"
#include "base/lock.h"
#include "base/mp.h"
#include "crypto/cipher.h"
#include "sessiond/protocol.h"

#include <assert.h>
#include <stdlib.h>

/* Enough that two loops rarely meet in one. */
#define PART_COUNT       64
#define PART_BUCKETS_MIN 16

/* The slack for the allocator's own head per block, so that bytes_max is about what the process grows by. */
#define BLOCK_OVERHEAD 16

struct replay_entry {
    struct replay_entry *next; /* in its bucket */
    struct list link;          /* in its part's queue, once answered */
    uint64_t hash;             /* of namespace and op_id: what it is found by */
    uint64_t fingerprint;      /* of the whole request */
    int64_t answered_at;       /* 0: running */
    uint8_t *answer;
    size_t answer_size;
    uint64_t seal;    /* the number that the answer is sealed with; 0: it is not */
    uint64_t version; /* the newest that the answer depends on */
};

struct part {
    struct lock lock;
    struct replay_entry **buckets;
    size_t bucket_count, count; /* bucket_count is a power of two */
    struct list queue;          /* answered, oldest first */
};

struct replay {
    struct hash_key key;
    uint8_t seal_key[KEY_SIZE];
    _Atomic uint64_t seal; /* the last one that was used */
    _Atomic uint64_t bytes, bytes_max;
    struct part parts[PART_COUNT];
};

static uint64_t entry_bytes(const struct replay_entry *entry) {
    return sizeof *entry + BLOCK_OVERHEAD + (entry->answer ? entry->answer_size + BLOCK_OVERHEAD : 0);
}

static struct part *part_of(struct replay *replay, uint64_t hash) {
    return &replay->parts[hash >> 58];
}

struct replay *replay_open(const struct env *env, uint64_t bytes_max) {
    struct replay *replay = calloc(1, sizeof *replay);
    if (!replay) return NULL;
    hash_key_init(&replay->key, env);
    env->random(env->context, replay->seal_key, sizeof replay->seal_key);
    replay_set_bytes_max(replay, bytes_max);
    for (size_t i = 0; i < PART_COUNT; i++) {
        struct part *part = &replay->parts[i];
        list_init(&part->queue);
        part->bucket_count = PART_BUCKETS_MIN;
        part->buckets = calloc(PART_BUCKETS_MIN, sizeof *part->buckets);
        if (!part->buckets) {
            replay_close(replay);
            return NULL;
        }
    }
    return replay;
}

static void entry_free(struct replay_entry *entry) {
    free(entry->answer);
    free(entry);
}

void replay_close(struct replay *replay) {
    for (size_t i = 0; i < PART_COUNT; i++) {
        struct part *part = &replay->parts[i];
        for (size_t k = 0; part->buckets && k < part->bucket_count; k++) {
            for (struct replay_entry *entry = part->buckets[k], *next; entry; entry = next) {
                next = entry->next;
                entry_free(entry);
            }
        }
        free(part->buckets);
    }
    cipher_wipe(replay->seal_key, sizeof replay->seal_key);
    free(replay);
}

void replay_set_bytes_max(struct replay *replay, uint64_t bytes_max) {
    atomic_store(&replay->bytes_max, bytes_max);
}

uint64_t replay_bytes(const struct replay *replay) {
    return atomic_load(&replay->bytes);
}

static struct replay_entry **part_bucket(struct part *part, uint64_t hash) {
    return &part->buckets[hash & (part->bucket_count - 1)];
}

static struct replay_entry *part_find(struct part *part, uint64_t hash) {
    struct replay_entry *entry = *part_bucket(part, hash);
    while (entry && entry->hash != hash) entry = entry->next;
    return entry;
}

static void part_unlink(struct part *part, struct replay_entry *entry) {
    struct replay_entry **at = part_bucket(part, entry->hash);
    while (*at != entry) at = &(*at)->next;
    *at = entry->next;
    list_remove(&entry->link);
    part->count--;
}

/* Keeps chains short. That memory is lacking only makes them longer. */
static void part_grow(struct part *part) {
    if (part->count < part->bucket_count) return;
    size_t count = part->bucket_count * 2;
    struct replay_entry **buckets = calloc(count, sizeof(struct replay_entry *));
    if (!buckets) return;
    for (size_t i = 0; i < part->bucket_count; i++) {
        for (struct replay_entry *entry = part->buckets[i], *next; entry; entry = next) {
            next = entry->next;
            entry->next = buckets[entry->hash & (count - 1)];
            buckets[entry->hash & (count - 1)] = entry;
        }
    }
    free(part->buckets);
    part->buckets = buckets;
    part->bucket_count = count;
}

static bool entry_is_old(const struct replay_entry *entry, int64_t now_ms) {
    return entry->answered_at && now_ms - entry->answered_at >= LIMIT_OP_ID_KEEP_MS;
}

/* Takes up to `max` old entries out of the part, for freeing outside of its lock. Answers the chain of them. */
static struct replay_entry *part_take_old(struct part *part, int64_t now_ms, unsigned max, unsigned *count) {
    struct replay_entry *chain = NULL;
    for (*count = 0; *count < max && !list_is_empty(&part->queue); (*count)++) {
        struct replay_entry *entry = LIST_ENTRY(part->queue.next, struct replay_entry, link);
        if (!entry_is_old(entry, now_ms)) break;
        part_unlink(part, entry);
        entry->next = chain;
        chain = entry;
    }
    return chain;
}

static void chain_free(struct replay *replay, struct replay_entry *chain) {
    while (chain) {
        struct replay_entry *next = chain->next;
        atomic_fetch_sub(&replay->bytes, entry_bytes(chain));
        entry_free(chain);
        chain = next;
    }
}

/* What is known of an answer that was found, beside its bytes. */
struct known {
    size_t missing; /* bytes that the caller's buf had no room for: then nothing was appended */
    uint64_t seal, version;
};

/* What stands under the hash already. Under the part's lock. */
static enum replay_state part_answer(struct part *part, uint64_t hash, uint64_t fingerprint, struct buf *answer,
                                     struct known *known) {
    struct replay_entry *entry = part_find(part, hash);
    if (!entry) return REPLAY_NEW;
    if (entry->fingerprint != fingerprint) return REPLAY_MISMATCH;
    if (!entry->answered_at) return REPLAY_RUNNING;
    if (answer->capacity - answer->size < entry->answer_size)
        known->missing = entry->answer_size;
    else
        buf_append(answer, entry->answer, entry->answer_size);
    known->seal = entry->seal;
    known->version = entry->version;
    return REPLAY_KNOWN;
}

/* Reserves an entry, unless somebody was faster. `entry` is the new one. */
static enum replay_state part_enter(struct replay *replay, struct replay_entry *entry, int64_t now_ms,
                                    struct buf *answer, struct known *known) {
    struct part *part = part_of(replay, entry->hash);
    unsigned count;
    lock_take(&part->lock);
    struct replay_entry *old = part_take_old(part, now_ms, 4, &count);
    struct replay_entry *expired = part_find(part, entry->hash);
    if (expired && entry_is_old(expired, now_ms)) {
        part_unlink(part, expired);
        expired->next = old;
        old = expired;
    }
    enum replay_state state = part_answer(part, entry->hash, entry->fingerprint, answer, known);
    if (state == REPLAY_NEW) {
        part_grow(part);
        entry->next = *part_bucket(part, entry->hash);
        *part_bucket(part, entry->hash) = entry;
        part->count++;
    }
    lock_release(&part->lock);
    chain_free(replay, old);
    return state;
}

static uint64_t key_hash(const struct replay *replay, const struct replay_key *key) {
    return hash_mix(hash_bytes(&replay->key, key->namespace) ^ hash_mix(key->op_id + 1));
}

static uint64_t key_fingerprint(const struct replay *replay, const struct replay_key *key) {
    return hash_mix(hash_bytes(&replay->key, key->params) + key->op) ^ key->op_id;
}

enum replay_state replay_begin(struct replay *replay, const struct replay_key *key, int64_t now_ms,
                               struct replay_entry **entry, struct buf *answer, uint64_t *version) {
    struct replay_entry *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return REPLAY_FULL;
    list_init(&fresh->link);
    fresh->hash = key_hash(replay, key);
    fresh->fingerprint = key_fingerprint(replay, key);
    size_t start = answer->size;
    struct known known;
    enum replay_state state;
    do {
        known = (struct known){0};
        state = part_enter(replay, fresh, now_ms, answer, &known);
        /* Memory is taken outside of the lock; meanwhile the entry may have gone. */
    } while (known.missing && buf_reserve(answer, known.missing));
    if (state != REPLAY_NEW) {
        entry_free(fresh);
        *version = known.version;
        if (state == REPLAY_KNOWN && known.seal) {
            answer->is_secret = true;
            cipher_seal(replay->seal_key, known.seal, answer->data + start, answer->size - start);
        }
        return state;
    }
    /* The bound is asked last, so that what is known is answered also at the bound. */
    uint64_t bytes = atomic_fetch_add(&replay->bytes, entry_bytes(fresh)) + entry_bytes(fresh);
    if (bytes > atomic_load_explicit(&replay->bytes_max, memory_order_relaxed)) {
        replay_drop(replay, fresh);
        return REPLAY_FULL;
    }
    *entry = fresh;
    return REPLAY_NEW;
}

void replay_keep(struct replay *replay, struct replay_entry *entry, struct bytes answer, bool is_secret,
                 uint64_t version, int64_t now_ms) {
    assert(!entry->answered_at && now_ms != 0);
    uint8_t *copy = malloc(answer.size);
    if (!copy) return;
    memcpy(copy, answer.data, answer.size);
    uint64_t seal = is_secret ? atomic_fetch_add(&replay->seal, 1) + 1 : 0;
    if (seal) cipher_seal(replay->seal_key, seal, copy, answer.size);
    atomic_fetch_add(&replay->bytes, answer.size + BLOCK_OVERHEAD); /* before anybody can free it */
    struct part *part = part_of(replay, entry->hash);
    lock_take(&part->lock);
    entry->answer = copy;
    entry->answer_size = answer.size;
    entry->seal = seal;
    entry->version = version;
    entry->answered_at = now_ms;
    list_append(&part->queue, &entry->link);
    lock_release(&part->lock);
}

void replay_drop(struct replay *replay, struct replay_entry *entry) {
    struct part *part = part_of(replay, entry->hash);
    lock_take(&part->lock);
    part_unlink(part, entry);
    lock_release(&part->lock);
    entry->next = NULL;
    chain_free(replay, entry);
}

int64_t replay_forget(struct replay *replay, unsigned share, unsigned shares, int64_t now_ms, unsigned budget) {
    int64_t next_ms = INT64_MAX;
    for (unsigned i = share; i < PART_COUNT; i += shares) {
        struct part *part = &replay->parts[i];
        unsigned count;
        lock_take(&part->lock);
        struct replay_entry *old = part_take_old(part, now_ms, budget, &count);
        if (!list_is_empty(&part->queue)) {
            int64_t due_ms = LIST_ENTRY(part->queue.next, struct replay_entry, link)->answered_at + LIMIT_OP_ID_KEEP_MS;
            if (due_ms < next_ms) next_ms = due_ms;
        }
        lock_release(&part->lock);
        chain_free(replay, old);
        budget -= count;
    }
    return next_ms > now_ms ? next_ms : now_ms;
}
