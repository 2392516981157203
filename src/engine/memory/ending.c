/* See ending.h.
 *
 * A group is ended one member at a time, through the ordinary update. What makes it complete "under any concurrency": a
 * member that is not found is looked at again under its shard's lock, so that one that is being published is waited
 * for; and then in the moves that were written down. One that was written down and did not come about leads to nothing,
 * or at worst to a session that began during the call. */
#include "engine/memory/ending.h"
#include "base/mp.h"
#include "engine/memory/pool_visit.h"

#include <stdlib.h>

#define ENDING_SLICE  1000 /* members of one advance; as many are ended at once. Each costs about a microsecond */
#define BUSY_RETRY_MS 2
#define BUSY_RETRIES_MAX                                                                                               \
    500 /* then a slice is ended all the same: what was begun comes to its end, also of a server that ends */
#define MOVES_LOOKED 1000000 /* at most, for one member: moves may lead in a circle */
#define MOVES_OPEN   32      /* of one member: nearly all but one did not come about */

struct ending {
    struct list link; /* in loop->endings while it is PENDING */
    uint64_t ticket;
    struct memory_engine *engine;
    struct namespace *namespace;
    struct group_key key;
    struct group *group; /* NULL: there is none */
    enum end_kind end;
    struct ending_kind kind;
    struct group_entry *members;
    uint32_t member_count, done_count;
    uint64_t *except; /* hashes, in order */
    uint32_t except_count;
    uint64_t total, depends_on;
    uint8_t bytes[]; /* of the group's name and the reason */
};

/* Where a session of a group went while the group was being ended. */
struct moved {
    struct moved *next;
    uint64_t group_hash;
    struct group_entry from, to;
};

/* ---- moves */

static void endings_take(struct memory_engine *engine) {
    env_point(engine->env);
    lock_take(&engine->endings_lock);
}

static void moves_begin(struct memory_engine *engine) {
    endings_take(engine);
    engine->ending_count++;
    atomic_fetch_add(&engine->ending_generation, 1);
    lock_release(&engine->endings_lock);
}

static void moves_free(struct moved *moved) {
    for (struct moved *next; moved; moved = next) {
        next = moved->next;
        free(moved);
    }
}

static void moves_end(struct memory_engine *engine) {
    struct moved *moved = NULL;
    endings_take(engine);
    if (--engine->ending_count == 0) {
        moved = engine->moves;
        engine->moves = NULL;
    }
    lock_release(&engine->endings_lock);
    moves_free(moved);
}

void moves_close(struct memory_engine *engine) {
    moves_free(engine->moves);
}

uint64_t endings_generation(const struct memory_engine *engine) {
    return atomic_load(&((struct memory_engine *)engine)->ending_generation);
}

bool moves_note(struct memory_engine *engine, uint64_t group_hash, struct group_entry from, struct group_entry to,
                uint64_t *generation) {
    struct moved *moved = malloc(sizeof(*moved));
    if (!moved) return false;
    *moved = (struct moved){.group_hash = group_hash, .from = from, .to = to};
    endings_take(engine);
    *generation = atomic_load(&engine->ending_generation);
    bool is_wanted = engine->ending_count > 0;
    if (is_wanted) {
        moved->next = engine->moves;
        engine->moves = moved;
    }
    lock_release(&engine->endings_lock);
    if (!is_wanted) free(moved);
    return true;
}

/* The `n`th end (newest first) of a move of the group that began, or with `is_back` ended, at `at`. */
static bool moves_find(struct ending *ending, struct group_entry at, bool is_back, unsigned n,
                       struct group_entry *other) {
    struct memory_engine *engine = ending->engine;
    bool is_found = false;
    endings_take(engine);
    for (const struct moved *moved = engine->moves; moved && !is_found; moved = moved->next) {
        if (moved->group_hash != ending->key.hash || !group_entry_equal(is_back ? moved->to : moved->from, at))
            continue;
        *other = is_back ? moved->from : moved->to;
        is_found = n-- == 0;
    }
    lock_release(&engine->endings_lock);
    return is_found;
}

/* ---- making and freeing */

static int hash_compare(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static bool ending_read_except(struct context *context, struct ending *ending, struct bytes ids) {
    if (!ids.data) return true;
    struct mp_cursor cursor = mp_cursor_of(ids);
    uint32_t count = mp_read_array(&cursor);
    ending->except = malloc((count ? count : 1) * sizeof(uint64_t));
    if (!ending->except) return false;
    for (uint32_t i = 0; i < count; i++)
        ending->except[i] = id_hash(context->engine, ending->namespace, mp_read_bytes(&cursor));
    ending->except_count = count;
    qsort(ending->except, count, sizeof(uint64_t), hash_compare);
    return true;
}

static struct bytes ending_keep(uint8_t *at, struct bytes bytes) {
    if (!bytes.data) return bytes;
    memcpy(at, bytes.data, bytes.size);
    return bytes_of(at, bytes.size);
}

/* What is borrowed of the verb is gone when a slice is ended. NULL where memory is lacking. */
static struct ending *ending_make(struct context *context, const struct verb *verb, struct namespace *namespace) {
    static const enum status becomes[] = {
        [END_REVOKE] = STATUS_REVOKED, [END_REMOVE] = STATUS_REMOVED, [END_DESTROY] = STATUS_NONE};
    struct bytes name = verb->end_all.group_name, reason = verb->end_all.reason;
    struct ending *ending = calloc(1, sizeof(*ending) + name.size + reason.size);
    if (!ending) return NULL;
    list_init(&ending->link);
    ending->engine = context->engine;
    ending->namespace = namespace;
    ending->end = verb->end_all.end;
    ending->key = group_key_of(context->engine, namespace, verb->end_all.group, ending_keep(ending->bytes, name));
    ending->kind =
        (struct ending_kind){.to = becomes[ending->end], .reason = ending_keep(ending->bytes + name.size, reason)};
    if (ending_read_except(context, ending, verb->end_all.except)) return ending;
    free(ending);
    return NULL;
}

static void ending_free(struct ending *ending) {
    free(ending->members);
    free(ending->except);
    free(ending);
}

/* Reads all members, with `ending` counted up at the same moment. False where memory is lacking. */
static bool ending_read_members(struct ending *ending) {
    struct group_table *table = group_table_of(ending->engine, &ending->key);
    group_table_take(ending->engine, table);
    struct group *group = ending->group = group_find(table, &ending->key);
    if (group) {
        atomic_fetch_add(&group->ending, 1);
        ending->members = malloc(group->count ? group->count * sizeof(struct group_entry) : 1);
        if (ending->members) ending->member_count = group_copy(group, NULL, true, ending->members, group->count);
    }
    lock_release(&table->lock);
    return !group || ending->members;
}

static void group_end_ending(struct ending *ending) {
    struct group_table *table = group_table_of(ending->engine, &ending->key);
    if (!ending->group) return;
    group_table_take(ending->engine, table);
    atomic_fetch_sub(&ending->group->ending, 1);
    group_tidy(table, &ending->engine->slab, ending->group);
    lock_release(&table->lock);
}

/* ---- one member */

/* The member's record; one that is being published at this moment is waited for. */
static struct record *member_record(struct ending *ending, struct group_entry member) {
    struct memory_engine *engine = ending->engine;
    struct record *record = group_entry_record(engine, &ending->key, member);
    if (record) return record;
    struct shard *shard = shard_of(engine, member.hash);
    shard_take(engine, shard);
    record = group_entry_record(engine, &ending->key, member);
    shard_release(shard);
    return record;
}

/* The same for one that has moved on from there, perhaps several times; then *member is where it stands. */
static struct record *moved_record(struct ending *ending, struct group_entry *member) {
    struct group_entry open[MOVES_OPEN], to;
    unsigned count = 1;
    open[0] = *member;
    for (unsigned left = MOVES_LOOKED; count > 0 && left > 0; left--) {
        struct group_entry from = open[--count];
        for (unsigned n = 0; moves_find(ending, from, false, n, &to); n++) {
            struct record *record = member_record(ending, to);
            if (record) *member = to;
            if (record) return record;
            if (count < MOVES_OPEN) open[count++] = to;
        }
    }
    return NULL;
}

static bool hash_is_excepted(const struct ending *ending, uint64_t hash) {
    return bsearch(&hash, ending->except, ending->except_count, sizeof(uint64_t), hash_compare) != NULL;
}

/* An excepted one stays so under the ids that it moves to. */
static bool is_excepted(struct ending *ending, struct group_entry member) {
    struct group_entry open[MOVES_OPEN], from;
    unsigned count = 1;
    open[0] = member;
    for (unsigned left = MOVES_LOOKED; ending->except_count && count > 0 && left > 0; left--) {
        struct group_entry at = open[--count];
        if (hash_is_excepted(ending, at.hash)) return true;
        for (unsigned n = 0; count < MOVES_OPEN && moves_find(ending, at, true, n, &from); n++) open[count++] = from;
    }
    return false;
}

/* Ends the member where it stands. False: it went on meanwhile. */
static bool ending_try(struct context *context, struct ending *ending, struct group_entry member, bool is_frozen) {
    struct group_entry to;
    uint64_t version = 0;
    struct record *record = member_record(ending, member);
    if (!record && !moves_find(ending, member, false, 0, &to)) return true; /* it is gone */
    if (!record) record = moved_record(ending, &member);
    if (!record) return is_frozen;
    if (pools_are_due(context)) pool_catch_up(context, ending->namespace, member.hash, record);
    bool is_ended = session_end(context, ending->namespace, &ending->key, member.hash, record, &ending->kind, &version);
    ending->total += is_ended;
    if (version > ending->depends_on) ending->depends_on = version; /* also of what others had ended */
    /* Else it is not to be ended, unless another record stands there by now, or none. */
    return is_ended || member_record(ending, member) == record;
}

/* A session may move on as fast as it is followed. So no session of a group that is being ended moves while one is
 * followed for the second time. */
static void ending_visit(struct context *context, struct ending *ending, struct group_entry member) {
    struct memory_engine *engine = context->engine;
    if (is_excepted(ending, member) || ending_try(context, ending, member, false)) return;
    atomic_fetch_add(&engine->chasing, 1);
    while (!ending_try(context, ending, member, true)) {
    }
    atomic_fetch_sub(&engine->chasing, 1);
}

/* Ends up to `count` members. True: it is through. */
static bool ending_work(struct context *context, struct ending *ending, uint32_t count) {
    for (; count > 0 && ending->done_count < ending->member_count; count--) {
        if (namespace_is_dropped(ending->namespace)) return true; /* and with it all that it held */
        ending_visit(context, ending, ending->members[ending->done_count++]);
    }
    return ending->done_count == ending->member_count;
}

/* ---- those that are PENDING */

static void registry_take(struct memory_engine *engine) {
    env_point(engine->env);
    lock_take(&engine->registry.lock);
}

/* While it is PENDING it names its namespace, which thus stays although it may be dropped. False: it is already. */
static bool namespace_hold(struct ending *ending) {
    registry_take(ending->engine);
    bool stands = !ending->namespace->is_dropped;
    ending->namespace->ending_count += stands;
    lock_release(&ending->engine->registry.lock);
    return stands;
}

static void namespace_let_go(struct context *context, struct ending *ending) {
    struct namespace *namespace = ending->namespace;
    registry_take(context->engine);
    bool is_last = --namespace->ending_count == 0 && namespace->is_dropped;
    if (is_last && !namespace->sweep_generation) sweep_request(context, namespace);
    lock_release(&context->engine->registry.lock);
    if (is_last) sweep_wake(context);
}

static void ending_suspend(struct context *context, struct ending *ending, struct verb *verb) {
    struct loop *loop = context->loop;
    verb->private[0] = ending->ticket = ++loop->last_ticket;
    list_append(&loop->endings, &ending->link);
    owner_wake(context, loop->index, INT64_MIN);
}

int64_t endings_due(const struct memory_engine *engine, const struct loop *loop, int64_t now_ms) {
    struct journal *journal = engine->journal;
    if (list_is_empty(&loop->endings)) return INT64_MAX;
    bool waits = journal && loop->ending_waits < BUSY_RETRIES_MAX &&
                 atomic_load_explicit(&journal->state, memory_order_relaxed) == JOURNAL_BUSY;
    return waits ? now_ms + BUSY_RETRY_MS : INT64_MIN;
}

static void ending_answer(struct context *context, struct ending *ending) {
    struct verb verb;
    memset(&verb, 0, sizeof(verb));
    verb.kind = VERB_END_ALL;
    verb.error = error_make(ERROR_NONE, NULL);
    verb.is_found = true;
    verb.scan_result.total = ending->total;
    verb.scan_result.is_total_known = true;
    verb.depends_on = context->engine->journal ? atomic_load(&context->engine->last_version) : ending->depends_on;
    verb.private[0] = ending->ticket;
    if (context->engine->done) context->engine->done(context->engine->done_context, context->loop->index, &verb);
}

void endings_work(struct context *context) {
    struct loop *loop = context->loop;
    if (endings_due(context->engine, loop, context->now_ms) > context->now_ms) {
        loop->ending_waits += !list_is_empty(&loop->endings);
        return;
    }
    loop->ending_waits = 0;
    struct ending *ending = LIST_ENTRY(loop->endings.next, struct ending, link);
    list_remove(&ending->link);
    if (!ending_work(context, ending, ENDING_SLICE)) {
        list_append(&loop->endings, &ending->link); /* of several each has its turn */
        return;
    }
    group_end_ending(ending);
    moves_end(context->engine);
    namespace_let_go(context, ending);
    ending_answer(context, ending);
    ending_free(ending);
}

void endings_close(struct loop *loop) {
    while (loop->endings.next && !list_is_empty(&loop->endings)) {
        struct ending *ending = LIST_ENTRY(loop->endings.next, struct ending, link);
        list_remove(&ending->link);
        ending_free(ending);
    }
}

/* ---- the verb */

bool ending_begin(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct ending *ending = ending_make(context, verb, namespace);
    bool is_pending = false;
    moves_begin(context->engine);
    if (!ending || !ending_read_members(ending)) {
        verb->error = error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
    } else {
        /* Before the first place is free: what is promised to those who wait stays held. */
        if (ending->end == END_DESTROY && ending->key.kind == GROUP_POOL)
            pool_reset_holds(context, namespace, ending->key.name);
        verb->scan_result.work = ending->member_count;
        is_pending = ending->member_count > ENDING_SLICE && namespace_hold(ending);
        if (!is_pending) ending_work(context, ending, UINT32_MAX);
        verb->scan_result.total = ending->total;
        verb->depends_on = ending->depends_on;
    }
    if (is_pending) {
        ending_suspend(context, ending, verb);
        return true;
    }
    if (ending) group_end_ending(ending);
    moves_end(context->engine);
    if (ending) ending_free(ending);
    return false;
}
