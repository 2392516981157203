/* See ledger.h. */
#include "ledger.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void ledger_open(struct ledger *ledger) {
    memset(ledger, 0, sizeof *ledger);
}

void ledger_close(struct ledger *ledger) {
    free(ledger->changes);
    free(ledger->promises);
}

unsigned ledger_key(struct ledger *ledger, enum key_kind kind, unsigned namespace, struct bytes name) {
    for (unsigned i = 0; i < ledger->key_count; i++) {
        const struct key *key = &ledger->keys[i];
        if (key->kind == kind && key->namespace == namespace && bytes_equal(bytes_of_string(key->name), name)) return i;
    }
    if (ledger->key_count == KEYS_MAX || name.size >= KEY_NAME_MAX) abort();
    struct key *key = &ledger->keys[ledger->key_count];
    *key = (struct key){.kind = kind, .namespace = namespace};
    memcpy(key->name, name.data, name.size);
    ledger->now[ledger->key_count] = (struct sight){.kind = SIGHT_NOTHING, .user = -1};
    return ledger->key_count++;
}

void ledger_step(struct ledger *ledger) {
    ledger->moment++;
}

/* ---------------------------------------------------------------- what time alone does */

/* When a pool's session was retired, if it was; a lease that ends retires what is used up. */
static int64_t retired_at(const struct sight *usage, int64_t now_ms) {
    int64_t lease_expires_at = usage->usage.lease_expires_at;
    if (usage->kind != SIGHT_THERE || usage->usage.retired_at) return usage->usage.retired_at;
    return lease_expires_at && lease_expires_at <= now_ms && !usage_is_usable(&usage->usage) ? lease_expires_at : 0;
}

/* A session that has died is kept for its retention; a tombstone covers what is left of tombstone_ms since its death.
 */
static bool session_may_have_become(const struct sight *old, const struct sight *new, const struct sight *usage,
                                    const struct keeping *keeping, int64_t now_ms) {
    int64_t died_at = session_died_at(&old->life, now_ms);
    int64_t left_at = usage ? retired_at(usage, now_ms) : 0;
    if (left_at && (!died_at || left_at < died_at)) died_at = left_at;
    if (!died_at) return false;
    bool is_forgotten = keeping->has_purged || now_ms >= died_at + keeping->retention_ms;
    if (new->kind == SIGHT_TOMBSTONE) return is_forgotten;
    return new->kind == SIGHT_NOTHING &&is_forgotten &&now_ms >= died_at + keeping->tombstone_ms;
}

static bool usage_is_same(const struct usage *a, const struct usage *b) {
    return a->usage_count == b->usage_count && a->error_count == b->error_count && a->error_score == b->error_score &&
           a->max_usage_count == b->max_usage_count && a->max_error_score == b->max_error_score &&
           a->error_score_decrement == b->error_score_decrement && a->last_used_at == b->last_used_at &&
           a->lease_expires_at == b->lease_expires_at && a->retired_at == b->retired_at;
}

/* A lease that is over frees its session, or retires what is used up. */
static bool usage_may_have_become(const struct usage *old, const struct usage *new, int64_t now_ms) {
    struct usage freed = *old;
    if (usage_is_same(old, new)) return true;
    if (!old->lease_expires_at || old->lease_expires_at > now_ms) return false;
    freed.lease_expires_at = 0;
    if (usage_is_same(&freed, new)) return true;
    if (usage_is_usable(&freed)) return false;
    usage_retire(&freed, old->lease_expires_at);
    return usage_is_same(&freed, new);
}

/* Whether nothing but time may stand between the two. */
static bool may_have_become(const struct ledger *ledger, unsigned key, const struct sight *old, const struct sight *new,
                            const struct sight *usage, int64_t now_ms) {
    const struct keeping *keeping = &ledger->keeping[ledger->keys[key].namespace];
    if (old->kind == new->kind && ledger->keys[key].kind == KEY_USAGE && old->kind == SIGHT_THERE)
        return usage_may_have_become(&old->usage, &new->usage, now_ms);
    if (old->kind == new->kind && ledger->keys[key].kind == KEY_CLIENT && old->kind == SIGHT_THERE)
        return old->life.created_at == new->life.created_at && (old->digest == new->digest || !new->digest);
    if (old->kind == new->kind) return old->kind != SIGHT_THERE || old->digest == new->digest;
    if (ledger->keys[key].kind == KEY_CLIENT || ledger->keys[key].kind == KEY_USAGE)
        return old->kind == SIGHT_THERE && new->kind == SIGHT_NOTHING; /* it goes with its sessions */
    if (ledger->keys[key].kind != KEY_SESSION) return false;
    switch (old->kind) {
    case SIGHT_NOTHING: return false;
    case SIGHT_ALIAS: /* its grace is over, or its session is */
        return new->kind == SIGHT_TOMBSTONE ||
               (new->kind == SIGHT_NOTHING &&now_ms >= old->seen_at + keeping->tombstone_ms);
    case SIGHT_TOMBSTONE: /* or it was an alias all the time, whose session is alive again */
        if (new->kind == SIGHT_ALIAS) return true;
        return new->kind == SIGHT_NOTHING &&now_ms >= old->seen_at + keeping->tombstone_ms;
    case SIGHT_THERE: return session_may_have_become(old, new, usage, keeping, now_ms);
    }
    return false;
}

/* The key of how a session is used; -1: it is in no pool. */
static int usage_key(const struct ledger *ledger, unsigned session) {
    const struct key *key = &ledger->keys[session];
    for (unsigned i = 0; key->kind == KEY_SESSION && i < ledger->key_count; i++)
        if (ledger->keys[i].kind == KEY_USAGE && ledger->keys[i].namespace == key->namespace &&
            strcmp(ledger->keys[i].name, key->name) == 0)
            return (int)i;
    return -1;
}

/* ---------------------------------------------------------------- writing it down */

static void *grown(void *items, size_t count, size_t *capacity, size_t size) {
    if (count < *capacity) return items;
    *capacity = *capacity ? 2 * *capacity : 256;
    items = realloc(items, *capacity * size);
    if (!items) abort();
    return items;
}

static void add_change(struct ledger *ledger, struct change change) {
    ledger->changes = grown(ledger->changes, ledger->change_count, &ledger->change_capacity, sizeof *ledger->changes);
    ledger->changes[ledger->change_count++] = change;
    ledger->now[change.key] = change.sight;
}

/* From when on a tombstone counts that covers what stood there: a death is as old as it is, an alias as its move. */
static int64_t since(const struct sight *before, const struct sight *sight, int64_t now_ms) {
    int64_t died_at = before->kind == SIGHT_THERE ? session_died_at(&before->life, now_ms) : 0;
    if (before->kind == SIGHT_ALIAS) died_at = before->seen_at;
    return sight->kind == SIGHT_TOMBSTONE && died_at ? died_at : now_ms;
}

void ledger_see(struct ledger *ledger, unsigned key, const struct sight *sight, unsigned loop, int64_t now_ms,
                bool is_told) {
    struct sight *now = &ledger->now[key];
    if (now->kind == sight->kind && now->kind != SIGHT_THERE) return;
    int usage = now->has_usage ? usage_key(ledger, key) : -1;
    bool is_same = may_have_become(ledger, key, now, sight, usage < 0 ? NULL : &ledger->now[usage], now_ms);
    if (is_same && (sight->kind != SIGHT_THERE || sight->active_at == now->active_at)) return;
    struct change change = {.key = key, .loop = loop, .moment = ledger->moment, .append = APPEND_NONE, .sight = *sight};
    change.sight.seen_at = since(now, sight, now_ms);
    change.is_touch = is_same;
    change.untold_active_at = sight->active_at;
    /* The journal need not have heard of the touch: what it told last holds too. */
    if (is_same && !is_told) change.sight.active_at = now->active_at;
    add_change(ledger, change);
    now->active_at = sight->active_at;
}

void ledger_note_namespace(struct ledger *ledger, unsigned namespace, unsigned loop) {
    for (unsigned i = 0; i < ledger->key_count; i++) {
        if (ledger->keys[i].kind != KEY_NAMESPACE || ledger->keys[i].namespace != namespace) continue;
        add_change(ledger, (struct change){.key = i,
                                           .loop = loop,
                                           .moment = ledger->moment,
                                           .append = APPEND_NONE,
                                           .is_touch = true,
                                           .sight = ledger->now[i]});
    }
}

void ledger_append(struct ledger *ledger, unsigned loop) {
    ledger->append_count++;
    for (size_t i = ledger->change_count; i > 0; i--) {
        struct change *change = &ledger->changes[i - 1];
        if (change->loop == loop && change->append == APPEND_NONE) change->append = ledger->append_count;
    }
}

/* ---------------------------------------------------------------- promises */

static bool is_of(const struct sight *sight, int user) {
    return sight->kind == SIGHT_THERE && status_is_living(sight->life.status) && sight->user == user;
}

static bool is_told(const struct sight *before, const struct sight *after, enum told told, int user) {
    if (before->kind == after->kind && before->digest == after->digest) return false; /* a touch */
    if (told == TOLD_ALL) return true;
    if (told == TOLD_LIFE) return before->kind != after->kind || before->life.status != after->life.status;
    bool was = is_of(before, user), is = is_of(after, user);
    return told == TOLD_LIST ? was || is : was != is;
}

uint64_t ledger_depends(const struct ledger *ledger, unsigned key, uint64_t moment, enum told told, int user) {
    static const struct sight nothing = {.kind = SIGHT_NOTHING, .user = -1};
    const struct sight *before = &nothing;
    uint64_t append = 0;
    for (size_t i = 0; i < ledger->change_count && ledger->changes[i].moment <= moment; i++) {
        const struct change *change = &ledger->changes[i];
        if (change->key != key) continue;
        if (is_told(before, &change->sight, told, user)) append = change->append;
        before = &change->sight;
    }
    return append;
}

uint64_t ledger_depends_on_step(const struct ledger *ledger, uint64_t moment, unsigned *key) {
    uint64_t newest = 0;
    for (size_t i = ledger->change_count; i > 0 && ledger->changes[i - 1].moment >= moment; i--) {
        const struct change *change = &ledger->changes[i - 1];
        if (change->moment != moment || ledger->keys[change->key].kind == KEY_CLIENT) continue; /* touches change it */
        uint64_t append = ledger_depends(ledger, change->key, moment, TOLD_ALL, -1);
        if (append <= newest) continue;
        newest = append;
        *key = change->key;
    }
    return newest;
}

bool ledger_step_changed(const struct ledger *ledger, uint64_t moment) {
    for (size_t i = ledger->change_count; i > 0 && ledger->changes[i - 1].moment >= moment; i--) {
        const struct change *change = &ledger->changes[i - 1];
        enum key_kind kind = ledger->keys[change->key].kind;
        if (change->moment == moment && !change->is_touch && kind != KEY_USAGE && kind != KEY_CLIENT) return true;
    }
    return false;
}

void ledger_promise(struct ledger *ledger, struct promise promise) {
    ledger->promises =
        grown(ledger->promises, ledger->promise_count, &ledger->promise_capacity, sizeof *ledger->promises);
    ledger->promises[ledger->promise_count++] = promise;
}

/* ---------------------------------------------------------------- judging */

/* What stood under a key after append c. */
struct stand {
    struct sight sight;
    uint64_t moment;
    int64_t active_min, active_max;
    bool may_be_gone; /* with its namespace, which is ahead: then this is what is left */
    struct sight gone;
};

static void stands_at(const struct ledger *ledger, uint64_t c, struct stand *stands) {
    for (unsigned i = 0; i < ledger->key_count; i++)
        stands[i] = (struct stand){.sight = {.kind = SIGHT_NOTHING, .user = -1}};
    for (size_t i = 0; i < ledger->change_count; i++) {
        const struct change *change = &ledger->changes[i];
        struct stand *stand = &stands[change->key];
        if (change->append <= c)
            *stand = (struct stand){.sight = change->sight,
                                    .moment = change->moment,
                                    .active_min = change->sight.active_at,
                                    .active_max = change->untold_active_at};
        /* A snapshot tells of touches that nobody waits for, as late as they are. */
        else if (change->is_touch && change->sight.digest == stand->sight.digest)
            stand->active_max = change->untold_active_at;
    }
}

/* The key of the namespace that it lies in; UINT_MAX: it was never seen. */
static const struct stand *namespace_stand(const struct ledger *ledger, const struct stand *stands, unsigned key) {
    for (unsigned i = 0; i < ledger->key_count; i++)
        if (ledger->keys[i].kind == KEY_NAMESPACE && ledger->keys[i].namespace == ledger->keys[key].namespace)
            return &stands[i];
    return NULL;
}

static bool is_as(const struct ledger *ledger, const struct stand *stands, unsigned key, const struct sight *seen,
                  int64_t now_ms) {
    const struct stand *stand = &stands[key], *namespace = namespace_stand(ledger, stands, key);
    if (!namespace || namespace->sight.kind == SIGHT_NOTHING) return seen->kind == SIGHT_NOTHING;
    if (stand->may_be_gone && may_have_become(ledger, key, &stand->gone, seen, NULL, now_ms)) return true;
    int usage = stand->sight.has_usage ? usage_key(ledger, key) : -1;
    const struct sight *used = usage < 0 ? NULL : &stands[usage].sight;
    if (!may_have_become(ledger, key, &stand->sight, seen, used, now_ms)) return false;
    if (seen->kind != SIGHT_THERE || ledger->keys[key].kind != KEY_SESSION) return true;
    return seen->active_at >= stand->active_min && seen->active_at <= stand->active_max;
}

static unsigned count_wrong(const struct ledger *ledger, const struct stand *stands, unsigned namespace,
                            const struct sight *seen, int64_t now_ms) {
    unsigned wrong = 0;
    for (unsigned i = 0; i < ledger->key_count; i++)
        wrong += ledger->keys[i].namespace == namespace && !is_as(ledger, stands, i, &seen[i], now_ms);
    return wrong;
}

static bool is_namespace(const struct ledger *ledger, const struct change *change, unsigned namespace) {
    const struct key *key = &ledger->keys[change->key];
    return key->kind == KEY_NAMESPACE && key->namespace == namespace;
}

/* Moves a namespace on to what it was after that change of it. What was there before a drop, a clear or a purge may be
 * gone with it; where a purge was ahead of the death of a session, it is not. */
static void move_ahead(const struct ledger *ledger, const struct change *to, struct stand *stands) {
    unsigned namespace = ledger->keys[to->key].namespace;
    bool is_dropped = to->sight.kind == SIGHT_NOTHING, is_noted = to->is_touch;
    for (unsigned i = 0; i < ledger->key_count && (is_dropped || is_noted); i++) {
        struct stand *stand = &stands[i];
        if (ledger->keys[i].namespace != namespace || stand->moment > to->moment) continue;
        if (!is_dropped && ledger->keys[i].kind != KEY_SESSION) continue;
        stand->may_be_gone = stand->sight.kind != SIGHT_NOTHING;
        stand->gone =
            (struct sight){.kind = is_dropped ? SIGHT_NOTHING : SIGHT_TOMBSTONE, .seen_at = stand->sight.seen_at};
    }
    if (to->moment >= stands[to->key].moment)
        stands[to->key] = (struct stand){.sight = to->sight, .moment = to->moment};
}

/* How many keys of a namespace are not as after append c, if it may be ahead; leaves `stands` where that is least. */
static unsigned count_wrong_ahead(const struct ledger *ledger, uint64_t c, struct stand *stands, unsigned namespace,
                                  const struct sight *seen, int64_t now_ms) {
    unsigned least = count_wrong(ledger, stands, namespace, seen, now_ms);
    struct stand *moved = least ? malloc(2 * KEYS_MAX * sizeof *moved) : NULL, *best = moved + KEYS_MAX;
    if (!least) return 0;
    if (!moved) abort();
    memcpy(moved, stands, ledger->key_count * sizeof *moved);
    memcpy(best, stands, ledger->key_count * sizeof *moved);
    for (size_t i = 0; i < ledger->change_count && least > 0; i++) {
        const struct change *change = &ledger->changes[i];
        if (change->append <= c || !is_namespace(ledger, change, namespace)) continue;
        move_ahead(ledger, change, moved);
        unsigned wrong = count_wrong(ledger, moved, namespace, seen, now_ms);
        if (change->sight.kind != SIGHT_THERE || wrong >= least) continue;
        least = wrong;
        memcpy(best, moved, ledger->key_count * sizeof *moved);
    }
    memcpy(stands, best, ledger->key_count * sizeof *stands);
    free(moved);
    return least;
}

static size_t put_sight(char *out, size_t size, const struct sight *sight) {
    static const char *const kinds[] = {"nothing", "a tombstone", "an alias", "there"};
    int written =
        snprintf(out, size, "%s %s active %lld", kinds[sight->kind], sight->says, (long long)sight->active_at);
    return (size_t)written < size ? (size_t)written : size;
}

static void explain(const struct ledger *ledger, const struct sight *seen, int64_t now_ms, uint64_t c,
                    struct stand *stands, struct verdict *verdict) {
    char *at = verdict->why, *end = at + sizeof verdict->why;
    at += snprintf(at, (size_t)(end - at),
                   "it is as after no append from %llu (promised by answer %u) to %llu; the nearest is "
                   "%llu, where:",
                   (unsigned long long)verdict->floor, verdict->request, (unsigned long long)ledger->append_count,
                   (unsigned long long)c);
    stands_at(ledger, c, stands);
    for (unsigned n = 0; n < NAMESPACES_MAX; n++) count_wrong_ahead(ledger, c, stands, n, seen, now_ms);
    for (unsigned i = 0; i < ledger->key_count && end - at > 1000; i++) {
        if (is_as(ledger, stands, i, &seen[i], now_ms)) continue;
        at += snprintf(at, (size_t)(end - at), "\n  key %u.%u.%s is ", ledger->keys[i].kind, ledger->keys[i].namespace,
                       ledger->keys[i].name);
        at += put_sight(at, (size_t)(end - at), &seen[i]);
        for (size_t n = 0; n < ledger->change_count && end - at > 600; n++) {
            const struct change *change = &ledger->changes[n];
            if (change->key != i) continue;
            at += snprintf(at, (size_t)(end - at),
                           "\n    step %llu append %lld at %lld: ", (unsigned long long)change->moment,
                           (long long)change->append, (long long)change->sight.seen_at);
            at += put_sight(at, (size_t)(end - at), &change->sight);
        }
    }
}

/* What is lost was executed within a second of the first of it being answered. */
static bool loss_is_short(const struct ledger *ledger, uint64_t c, struct verdict *verdict) {
    int64_t first = INT64_MAX, last = INT64_MIN;
    for (size_t i = 0; i < ledger->promise_count; i++) {
        const struct promise *promise = &ledger->promises[i];
        if (promise->append <= c || !promise->is_write) continue;
        if (promise->answered_at < first) first = promise->answered_at;
        if (promise->executed_at > last) last = promise->executed_at;
    }
    if (first == INT64_MAX || last <= first + 1000) return true;
    snprintf(verdict->why, sizeof verdict->why,
             "what is lost behind append %llu was answered from %lld on and still executed at %lld",
             (unsigned long long)c, (long long)first, (long long)last);
    return false;
}

bool ledger_judge(const struct ledger *ledger, const struct sight *seen, int64_t now_ms, int64_t excused_from,
                  struct verdict *verdict) {
    struct stand *stands = malloc(KEYS_MAX * sizeof *stands);
    unsigned least = UINT32_MAX;
    uint64_t nearest = 0;
    if (!stands) abort();
    verdict->floor = 0;
    for (size_t i = 0; i < ledger->promise_count; i++) {
        const struct promise *promise = &ledger->promises[i];
        if (promise->answered_at <= excused_from && promise->append > verdict->floor)
            verdict->floor = promise->append, verdict->request = promise->request;
    }
    bool is_found = false;
    for (uint64_t c = ledger->append_count + 1; c-- > verdict->floor && !is_found;) {
        stands_at(ledger, c, stands);
        unsigned wrong = 0;
        for (unsigned n = 0; n < NAMESPACES_MAX; n++) wrong += count_wrong_ahead(ledger, c, stands, n, seen, now_ms);
        if (wrong < least) least = wrong, nearest = c;
        is_found = wrong == 0;
    }
    verdict->found = nearest;
    if (!is_found) explain(ledger, seen, now_ms, nearest, stands, verdict);
    free(stands);
    return is_found && loss_is_short(ledger, verdict->found, verdict);
}

void ledger_restart(struct ledger *ledger, const struct sight *seen, uint64_t c, int64_t now_ms) {
    struct stand *stands = malloc(KEYS_MAX * sizeof *stands);
    if (!stands) abort();
    stands_at(ledger, c, stands);
    ledger->change_count = ledger->promise_count = 0;
    ledger->moment = ledger->append_count = 0;
    for (unsigned i = 0; i < ledger->key_count; i++) {
        struct change change = {.key = i, .sight = seen[i], .untold_active_at = seen[i].active_at};
        bool is_as_it_was = stands[i].sight.kind == seen[i].kind;
        change.sight.seen_at = is_as_it_was ? stands[i].sight.seen_at : since(&stands[i].sight, &seen[i], now_ms);
        add_change(ledger, change);
    }
    free(stands);
}
