/* See pool_effect.h. */
#include "engine/memory/pool_effect.h"

enum {
    USAGE_SPENT = 1 << 0,
    USAGE_FORGOTTEN = 1 << 1,
    USAGE_ERRORS = 1 << 2,
    USAGE_FENCE = 1 << 3,
    USAGE_LEASE = 1 << 4,
    USAGE_RETIRED = 1 << 5,
    USAGE_READY = 1 << 6,
    USAGE_WINDOW = 1 << 7
};

/* What each usage begins with. */
struct usage_head {
    uint64_t hash, life, version;
    uint8_t flags;
    uint64_t usage_count, max_usage_count;
    double max_error_score, error_score_decrement;
    int64_t last_used_at;
    uint64_t turn, handed;
} __attribute__((packed));

_Static_assert(sizeof(struct usage_head) == 81, "the head of a USAGE as pool_effect.h says");

/* One word of a window. */
struct usage_word {
    uint16_t number;
    uint64_t open, unmarked;
} __attribute__((packed));

_Static_assert(sizeof(struct usage_word) == 18, "a word of a window as pool_effect.h says");

#define COUNT_MAX (UINT64_C(1) << 62) /* of uses and marks: far from where they would overflow */
#define SCORE_MAX 0x1p62

/* ---- writing */

void effect_write_pool(struct buf *out, const struct effect_pool *pool) {
    size_t begin = effect_begin(out, EFFECT_POOL);
    effect_put_u64(out, pool->namespace);
    effect_put_u64(out, pool->version);
    effect_put_text8(out, pool->name);
    buf_append(out, pool->policy.data, pool->policy.size);
    effect_end(out, begin);
}

static unsigned entry_flags(const struct pool_entry *entry) {
    const struct usage *usage = &entry->usage;
    return (entry->is_spent ? USAGE_SPENT : 0u) | (entry->is_forgotten ? USAGE_FORGOTTEN : 0u) |
           (usage->error_count || usage->error_score != 0 ? USAGE_ERRORS : 0u) | (entry->fence ? USAGE_FENCE : 0u) |
           (usage->lease_expires_at ? USAGE_LEASE : 0u) | (usage->retired_at ? USAGE_RETIRED : 0u) |
           (entry->ready_at ? USAGE_READY : 0u) | (uses_are_of_interest(&entry->uses) ? USAGE_WINDOW : 0u);
}

static void put_f64(struct buf *out, double value) {
    buf_append(out, &value, sizeof(value));
}

static void put_window(struct buf *out, const struct uses *uses) {
    const uint64_t *open = uses_open_words(uses), *unmarked = uses_unmarked_words(uses);
    uint16_t words = (uint16_t)uses_words(uses);
    effect_put_u64(out, uses->first);
    buf_append(out, &words, sizeof(words));
    for (uint16_t i = 0; i < words; i++) {
        /* One that nobody ever marks must not have every later effect bear all that was since. */
        struct usage_word word = {i, open[i], unmarked[i]};
        if (open[i] | unmarked[i]) buf_append(out, &word, sizeof(word));
    }
}

void effect_write_usage(struct buf *out, const struct pool_entry *entry) {
    const struct usage *usage = &entry->usage;
    unsigned flags = entry_flags(entry);
    struct usage_head head = {entry->hash,
                              atomic_load(&((struct pool_entry *)entry)->version),
                              entry->told,
                              (uint8_t)flags,
                              usage->usage_count,
                              usage->max_usage_count,
                              usage->max_error_score,
                              usage->error_score_decrement,
                              usage->last_used_at,
                              entry->turn,
                              entry->uses.handed};
    size_t begin = effect_begin(out, EFFECT_USAGE);
    buf_append(out, &head, sizeof(head));
    if (flags & USAGE_ERRORS) effect_put_u64(out, usage->error_count);
    if (flags & USAGE_ERRORS) put_f64(out, usage->error_score);
    if (flags & USAGE_FENCE) effect_put_u64(out, entry->fence);
    if (flags & USAGE_FENCE) effect_put_u64(out, entry->lease_use);
    if (flags & USAGE_LEASE) effect_put_u64(out, (uint64_t)usage->lease_expires_at);
    if (flags & USAGE_RETIRED) effect_put_u64(out, (uint64_t)usage->retired_at);
    if (flags & USAGE_READY) effect_put_u64(out, (uint64_t)entry->ready_at);
    if (flags & USAGE_WINDOW) put_window(out, &entry->uses);
    effect_end(out, begin);
}

/* ---- reading */

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

bool effect_read_pool(struct bytes body, struct effect_pool *out, const char **why) {
    struct effect_cursor cursor = effect_cursor_of(body);
    out->namespace = effect_take_u64(&cursor);
    out->version = effect_take_u64(&cursor);
    out->name = effect_take_text8(&cursor);
    out->policy = effect_take(&cursor, cursor.left);
    if (!cursor.is_short && effect_version_is_fine(out->version) && out->name.size > 0) return true;
    return refuse(why, "the fields of a pool are out of bounds");
}

static double take_f64(struct effect_cursor *cursor) {
    uint64_t bits = effect_take_u64(cursor);
    double value;
    memcpy(&value, &bits, sizeof(value));
    if (!(value >= 0 && value <= SCORE_MAX)) cursor->is_short = true; /* NaN too */
    return value;
}

static int64_t take_moment(struct effect_cursor *cursor) {
    int64_t moment = (int64_t)effect_take_u64(cursor);
    if (!effect_moment_is_fine(moment)) cursor->is_short = true;
    return moment;
}

static size_t word_count(const struct effect_usage *usage) {
    return usage->bits.size / sizeof(struct usage_word);
}

static struct usage_word word_at(const struct effect_usage *usage, size_t i) {
    struct usage_word word;
    memcpy(&word, usage->bits.data + i * sizeof(word), sizeof(word));
    return word;
}

/* Whether the window is one that uses_hand_out makes: none of its bits is of a hand-out that never was. */
static bool window_is_sound(const struct effect_usage *usage) {
    uint64_t left = usage->handed - usage->first; /* bits that count */
    int last = -1;
    if (usage->first % 64 || usage->first > usage->handed || left > 64 * (uint64_t)usage->words) return false;
    for (size_t i = 0; i < word_count(usage); i++) {
        struct usage_word word = word_at(usage, i);
        uint64_t from = 64 * (uint64_t)word.number, some = left > from ? left - from : 0;
        uint64_t beyond = some >= 64 ? 0 : UINT64_MAX << some;
        if (word.number >= usage->words || word.number <= last || (word.open | word.unmarked) & beyond) return false;
        if (!(word.open | word.unmarked)) return false;
        last = word.number;
    }
    return true;
}

/* False: it is none that could have been written. */
static bool take_window(struct effect_cursor *cursor, struct effect_usage *out) {
    uint16_t words = 0;
    out->first = effect_take_u64(cursor);
    struct bytes read = effect_take(cursor, sizeof(words));
    memcpy(&words, read.data, read.size);
    if (!words || words > USES_WORDS_MAX || (words & (words - 1))) return false;
    out->words = words;
    out->bits = effect_take(cursor, cursor->left);
    return out->bits.size % sizeof(struct usage_word) == 0 && window_is_sound(out);
}

static bool use_is_open(const struct effect_usage *usage, uint64_t use) {
    uint64_t at = use - 1 - usage->first;
    for (size_t i = 0; use > usage->first && i < word_count(usage); i++)
        if (word_at(usage, i).number == at / 64) return word_at(usage, i).open >> at % 64 & 1;
    return false;
}

static void take_parts(struct effect_cursor *cursor, unsigned flags, struct effect_usage *out) {
    struct usage *usage = &out->usage;
    if (flags & USAGE_ERRORS) usage->error_count = effect_take_u64(cursor);
    if (flags & USAGE_ERRORS) usage->error_score = take_f64(cursor);
    if (flags & USAGE_FENCE) out->fence = effect_take_u64(cursor);
    if (flags & USAGE_FENCE) out->lease_use = effect_take_u64(cursor);
    if (flags & USAGE_LEASE) usage->lease_expires_at = take_moment(cursor);
    if (flags & USAGE_RETIRED) usage->retired_at = take_moment(cursor);
    if (flags & USAGE_READY) out->ready_at = take_moment(cursor);
}

static void take_head(struct effect_cursor *cursor, struct effect_usage *out, unsigned *flags) {
    *out = (struct effect_usage){.hash = effect_take_u64(cursor)};
    out->life = effect_take_u64(cursor);
    out->version = effect_take_u64(cursor);
    *flags = effect_take_u8(cursor);
    out->is_spent = *flags & USAGE_SPENT;
    out->is_forgotten = *flags & USAGE_FORGOTTEN;
    out->usage.usage_count = effect_take_u64(cursor);
    out->usage.max_usage_count = effect_take_u64(cursor);
    out->usage.max_error_score = take_f64(cursor);
    out->usage.error_score_decrement = take_f64(cursor);
    out->usage.last_used_at = take_moment(cursor);
    out->turn = effect_take_u64(cursor);
    out->handed = effect_take_u64(cursor);
}

static bool usage_is_sound(const struct effect_usage *usage, unsigned flags) {
    if (!effect_version_is_fine(usage->life) || !effect_version_is_fine(usage->version)) return false;
    if (usage->life > usage->version || usage->turn >= TURN_END || usage->handed >= COUNT_MAX) return false;
    if (usage->usage.usage_count >= COUNT_MAX || usage->usage.error_count >= COUNT_MAX) return false;
    if (usage->fence > EFFECT_VERSION_MAX || usage->lease_use > usage->handed) return false;
    if (flags & USAGE_FENCE && !usage->fence) return false;
    /* A lease is that of a hand-out that is open, and what is forgotten was retired. */
    if (flags & USAGE_LEASE && (!usage->usage.lease_expires_at || !use_is_open(usage, usage->lease_use))) return false;
    if (flags & USAGE_RETIRED && usage->usage.retired_at <= 0) return false;
    return !usage->is_forgotten || usage->usage.retired_at;
}

bool effect_read_usage(struct bytes body, struct effect_usage *out, const char **why) {
    struct effect_cursor cursor = effect_cursor_of(body);
    unsigned flags;
    take_head(&cursor, out, &flags);
    take_parts(&cursor, flags, out);
    if (flags & USAGE_WINDOW && !take_window(&cursor, out))
        return refuse(why, "the open hand-outs of a session in a pool are out of bounds");
    if (cursor.is_short || cursor.left) return refuse(why, "the parts of a session's usage do not fill its effect");
    if (!usage_is_sound(out, flags)) return refuse(why, "the fields of a session's usage are out of bounds");
    return true;
}

bool effect_fill_entry(const struct effect_usage *usage, struct pool_memory memory, struct pool_entry *entry) {
    atomic_store(&entry->version, usage->life);
    entry->told = usage->version;
    entry->usage = usage->usage;
    entry->turn = usage->turn;
    entry->fence = usage->fence;
    entry->lease_use = usage->lease_use;
    entry->ready_at = usage->ready_at;
    entry->is_spent = usage->is_spent;
    entry->is_forgotten = usage->is_forgotten;
    if (!uses_restore(&entry->uses, memory.slab, memory.arena, usage->handed, usage->first, usage->words)) return false;
    for (size_t i = 0; i < word_count(usage); i++) {
        struct usage_word word = word_at(usage, i);
        uses_restore_word(&entry->uses, word.number, word.open, word.unmarked);
    }
    return true;
}
