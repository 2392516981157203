/* ACQUIRE: which sessions of a pool go out, and how they are answered. See pool_visit.h.
 *
 * All that is decided is decided in one visit: hand-outs are counted, and places are taken for sessions that are to be
 * made. After it, without the pool's lock, each session is touched under its shard's lock, if it still is the record
 * that was seen; each place gets a session through the ordinary update, which its maker is handed out before anybody
 * else sees it. What fails is given back, and others are taken for it; if nothing is left all is decided again. */
#include "engine/memory/pool_visit.h"
#include "engine/memory/stage.h"

#define MAKE_TRIES 4 /* ids made by chance that are taken already */

/* ---- taking */

/* The entry of a pick; NULL: it is gone. */
static struct pool_entry *pick_entry(const struct visit *visit, const struct pool_pick *pick) {
    struct pool_entry *entry = pool_entry_of(visit->pool, pick->hash, pick->version);
    return entry && atomic_load(&entry->version) == pick->version ? entry : NULL;
}

/* So that an acquire of several gets different ones. */
static void set_aside(struct acquire *acquire, struct visit *visit, bool is_aside) {
    if (acquire->count == 1) return;
    for (uint32_t i = 0; i < acquire->item_count; i++) {
        struct pool_entry *entry = acquire->items[i].is_place ? NULL : pick_entry(visit, &acquire->items[i].pick);
        if (!entry) continue;
        entry->is_aside = is_aside;
        visit_settle(visit, entry);
    }
}

static void hand_out(struct acquire *acquire, struct visit *visit, struct pool_entry *entry, struct record *record) {
    struct pool_item *item = &acquire->items[acquire->item_count++];
    *item = (struct pool_item){.record = record};
    entry->is_aside = acquire->count > 1;
    visit_hand_out(visit, entry, acquire->want.lease_ms, &item->pick);
}

void acquire_take(struct acquire *acquire, struct visit *visit) {
    struct pool_entry *entry;
    acquire->table = visit->table;
    acquire->pool = visit->pool;
    acquire->policy = visit->pool->policy;
    set_aside(acquire, visit, true);
    while (acquire->item_count < acquire->count) {
        acquire->choice =
            pool_choose(visit_memory(visit), visit->pool, &acquire->want, acquire->item_count > 0, &entry);
        if (acquire->choice == CHOICE_CREATE) {
            visit->pool->creating_count++;
            acquire->items[acquire->item_count++] = (struct pool_item){.is_place = true};
        } else if (acquire->choice == CHOICE_ENTRY) {
            struct record *record = visit_look(visit, entry);
            if (record)
                hand_out(acquire, visit, entry, record);
            else
                visit_settle(visit, entry); /* it is dead, and no longer to be chosen */
        } else {
            break;
        }
    }
    set_aside(acquire, visit, false);
}

/* ---- giving back */

static void place_give_back(struct acquire *acquire) {
    struct visit visit;
    visit_begin_at(&visit, acquire->context, acquire->table, acquire->pool);
    visit.pool->creating_count--;
    visit_end(&visit);
}

static void item_give_back(struct acquire *acquire, const struct pool_item *item) {
    struct visit visit;
    if (item->is_place) {
        place_give_back(acquire);
        return;
    }
    if (!visit_begin(&visit, acquire->context, acquire->namespace, acquire->pool_name, false)) return;
    struct pool_entry *entry = visit.pool->is_dropped ? NULL : pick_entry(&visit, &item->pick);
    if (entry) {
        if (!item->record) visit_look(&visit, entry);
        entry_take_back(visit.pool, entry, &item->pick, acquire->context->now_ms, visit_retention_ms(&visit));
        stage_usage(acquire->context, entry, 0);
    }
    visit_end(&visit);
}

void acquire_give_back(struct acquire *acquire) {
    for (uint32_t i = acquire->item_count; i-- > 0;) item_give_back(acquire, &acquire->items[i]);
    acquire->item_count = 0;
}

/* ---- sessions that are there */

/* Looks for the pick's record as it is now. */
static bool item_find(struct acquire *acquire, struct pool_item *item) {
    struct visit visit;
    if (!visit_begin(&visit, acquire->context, acquire->namespace, acquire->pool_name, false)) return false;
    struct pool_entry *entry = visit.pool->is_dropped ? NULL : pick_entry(&visit, &item->pick);
    if (entry) {
        item->record = visit_look(&visit, entry);
        visit_settle(&visit, entry);
    }
    visit_end(&visit);
    return item->record != NULL;
}

/* Touches the session. False: it is dead. */
static bool item_touch(struct acquire *acquire, struct pool_item *item) {
    struct context *context = acquire->context;
    struct shard *shard = shard_of(context->engine, item->pick.hash);
    struct sight sight = {.now_ms = context->now_ms};
    bool is_moved = false;
    for (;; item->record = NULL) {
        uint64_t tombstone;
        if (!item->record && !item_find(acquire, item)) return false;
        sight.record = item->record;
        shard_take(context->engine, shard);
        bool is_there = table_slot_of(&shard->table, item->pick.hash, item->record) != NULL;
        if (is_there) {
            sight.active = record_active(sight.record);
            sight.now_ms = context->now_ms;
            sight.judged =
                record_judge(context->engine, sight.record, sight.active, &sight.now_ms, &sight.view, &tombstone);
            if (sight.judged == JUDGED_ALIVE) is_moved = sight_touch(context, acquire->namespace, &sight);
        }
        shard_release(shard);
        if (is_there) break; /* else another record was published in its place, or none */
    }
    if (sight.judged != JUDGED_ALIVE) {
        item->record = NULL;
        return false;
    }
    if (is_moved) stage_touch(context, item->pick.hash, record_version(sight.record), sight.view.last_active_at);
    record_view_bytes(sight.record, &sight.view);
    item->session = sight.view;
    return true;
}

/* ---- sessions that are made */

struct making {
    const struct acquire *acquire;
    struct bytes id;
    struct usage *usage;
};

static enum outcome make_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct making *making = input->arguments;
    const struct acquire *acquire = making->acquire;
    if (input->presence != PRESENCE_NONE) {
        *error = error_make(ERROR_EXISTS, "The id that was made is taken; try again.");
        return OUTCOME_ERROR;
    }
    if (input->policy->hash_ids) { /* the namespace was made anew since the operation looked */
        *error = error_make(ERROR_FORBIDDEN, "A namespace with hash_ids has no pools; use another one for them.");
        return OUTCOME_ERROR;
    }
    memset(draft, 0, sizeof(*draft));
    draft->id = making->id;
    draft->pool = acquire->pool_name;
    *making->usage = (struct usage){0};
    acquire->context->engine->pool_session_begin(input->policy, &acquire->policy, input->now_ms, draft, making->usage);
    draft->tags = acquire->want.tags;
    draft->usage = making->usage;
    return OUTCOME_REPLACE;
}

static bool item_make(struct acquire *acquire, struct pool_item *item) {
    struct context *context = acquire->context;
    struct memory_engine *engine = context->engine;
    struct usage usage;
    struct making making = {.acquire = acquire, .usage = &usage};
    struct pool_claim claim = {.pool = acquire->pool, .is_counted = true, .lease_ms = acquire->want.lease_ms};
    struct update update;
    char id[LIMIT_MAX_ID];
    unsigned tries = 0;
    do {
        size_t size = engine->pool_session_make(engine->pool_context, id);
        making.id = bytes_of(id, size);
        update = (struct update){.namespace_name = namespace_name(acquire->namespace),
                                 .namespace = acquire->namespace,
                                 .id = making.id,
                                 .rule = make_rule,
                                 .arguments = &making,
                                 .claim = &claim,
                                 .session = &item->session};
        update.hash = id_hash(engine, update.namespace, update.id);
        update_run(context, &update);
    } while (update.error.code == ERROR_EXISTS && ++tries < MAKE_TRIES);
    if (claim.is_counted) place_give_back(acquire);
    item->is_place = false;
    item->pick = claim.pick;
    if (update.outcome == OUTCOME_REPLACE && claim.is_done) return true;
    if (!acquire->error.code)
        acquire->error = update.error.code ? update.error : error_make(ERROR_EXHAUSTED, "The pool is gone.");
    return false;
}

/* ---- all */

static size_t item_bytes(const struct pool_item *item) {
    return item->session.data.size + item->session.meta.size;
}

static bool is_long(const struct acquire *acquire) {
    return acquire->done_count > 0 && acquire->bytes > acquire->bytes_max;
}

static bool item_realise(struct acquire *acquire, struct pool_item *item) {
    if (item->is_place) return item_make(acquire, item);
    if (item_touch(acquire, item)) return true;
    item_give_back(acquire, item);
    return false;
}

/* True: some failed, or were made and may have given up their places with that, so that there may be more. */
static bool acquire_realise(struct acquire *acquire) {
    uint32_t count = acquire->item_count;
    bool may_be_more = false;
    for (uint32_t i = acquire->done_count; i < count; i++) {
        struct pool_item item = acquire->items[i];
        bool is_place = item.is_place;
        if (is_long(acquire)) {
            item_give_back(acquire, &item);
            continue;
        }
        bool is_done = item_realise(acquire, &item);
        may_be_more |= is_place || !is_done;
        if (!is_done) continue;
        acquire->bytes += item_bytes(&item);
        acquire->items[acquire->done_count++] = item;
    }
    acquire->item_count = acquire->done_count;
    return may_be_more;
}

void acquire_complete(struct acquire *acquire) {
    struct visit visit;
    while (acquire_realise(acquire) && acquire->item_count < acquire->count && !is_long(acquire)) {
        if (acquire->error.code) acquire->want.create = POOL_CREATE_NEVER;
        if (!visit_begin(&visit, acquire->context, acquire->namespace, acquire->pool_name, false)) return;
        if (!visit.pool->is_dropped) acquire_take(acquire, &visit);
        visit_end(&visit);
    }
}

static struct error choice_error(const struct acquire *acquire) {
    switch (acquire->choice) {
    case CHOICE_ASK:
        return error_make(ERROR_CREATE_NEEDED, "The pool has room: make a session and add it with pool.add; the place "
                                               "is held for 10 seconds.");
    case CHOICE_LACKING: return error_make(ERROR_NO_MEMORY, "The server lacks memory for this; try again later.");
    case CHOICE_ENTRY:
    case CHOICE_CREATE:
    case CHOICE_NONE: break;
    }
    return error_make(ERROR_EXHAUSTED, "No session of the pool is free; return one, wait with wait_ms, or raise "
                                       "max_pool_size.");
}

static void verb_depends_on(struct verb *verb, const struct pool_item *item) {
    if (item->session.version > verb->depends_on) verb->depends_on = item->session.version;
    if (item->pick.told > verb->depends_on) verb->depends_on = item->pick.told;
}

/* The ones after the first. */
static void answer_more(struct acquire *acquire, struct verb *verb) {
    struct context *context = acquire->context;
    uint32_t count = acquire->item_count - 1;
    size_t bytes = count * sizeof(struct hand_out);
    verb->more = slab_alloc(&context->engine->slab, context->loop->index, bytes);
    if (!verb->more) {
        for (; acquire->item_count > 1; acquire->item_count--)
            item_give_back(acquire, &acquire->items[acquire->item_count - 1]);
        return;
    }
    /* It is freed when the turn is over. */
    reclaim_retire(&context->engine->reclaim, context->loop->index, verb->more, bytes, RETIRE_BLOCK);
    for (uint32_t i = 0; i < count; i++) {
        const struct pool_item *item = &acquire->items[i + 1];
        struct hand_out *out = &verb->more[i];
        *out = (struct hand_out){
            .session = item->session, .usage = item->pick.usage, .use = item->pick.use, .fence = item->pick.fence};
        out->session.usage = &out->usage;
        verb_depends_on(verb, item);
    }
    verb->more_count = count;
}

void acquire_answer(struct acquire *acquire, struct verb *verb) {
    verb->error = error_make(ERROR_NONE, NULL);
    verb->is_found = acquire->item_count > 0;
    verb->depends_on = 0;
    verb->use = verb->fence = 0;
    verb->more = NULL;
    verb->more_count = 0;
    if (!verb->is_found) {
        verb->error = acquire->error.code ? acquire->error : choice_error(acquire);
        verb->depends_on = version_newest(acquire->context); /* on how all others are */
        return;
    }
    const struct pool_item *first = &acquire->items[0];
    verb->session = first->session;
    verb->usage = first->pick.usage;
    verb->session.usage = &verb->usage;
    verb->use = first->pick.use;
    verb->fence = first->pick.fence;
    verb_depends_on(verb, first);
    counter_add(&acquire->context->loop->counters.acquired, acquire->item_count);
    if (acquire->item_count > 1) answer_more(acquire, verb);
}

/* ---- the verb */

/* The one that is wanted, if it is usable and free now. */
static void acquire_one(struct acquire *acquire, struct bytes id) {
    struct visit visit;
    if (!acquire->namespace || !visit_begin(&visit, acquire->context, acquire->namespace, acquire->pool_name, false))
        return;
    uint64_t hash = id_hash(acquire->context->engine, acquire->namespace, id);
    struct pool_entry *entry = visit.pool->is_dropped ? NULL : pool_next_of(visit.pool, hash, NULL);
    for (; entry; entry = pool_next_of(visit.pool, hash, entry)) {
        visit_catch_up(&visit, entry);
        if (entry_fits(entry, acquire->want.tags)) break;
    }
    struct record *record = entry ? visit_look(&visit, entry) : NULL;
    if (record)
        hand_out(acquire, &visit, entry, record);
    else if (entry)
        visit_settle(&visit, entry);
    visit_end(&visit);
    if (record) acquire_realise(acquire);
}

static bool acquire_makes(const struct verb *verb) {
    return verb->acquire.create != POOL_CREATE_NEVER || verb->acquire.wait_ms > 0;
}

/* One decision, unless the pool is behind. Answers the ticket if it waits. */
static uint64_t acquire_decide(struct acquire *acquire, const struct verb *verb) {
    struct context *context = acquire->context;
    struct visit visit;
    uint64_t ticket = 0;
    acquire->choice = CHOICE_NONE;
    if (!visit_begin_whole(&visit, context, acquire->namespace, acquire->pool_name, acquire_makes(verb))) {
        if (visit.is_lacking) acquire->choice = CHOICE_LACKING;
        return 0;
    }
    acquire->is_behind = visit.is_behind;
    if (!visit.pool->is_dropped && !visit.is_behind) {
        acquire_take(acquire, &visit);
        if (!acquire->item_count && acquire->choice == CHOICE_ASK &&
            !pool_hold(visit_memory(&visit), visit.pool, context->now_ms + LIMIT_PLACE_HOLD_MS))
            acquire->choice = CHOICE_LACKING;
        if (!acquire->item_count && acquire->choice == CHOICE_NONE && verb->acquire.wait_ms > 0) {
            ticket = waiter_add(&visit, verb, &acquire->want);
            if (!ticket) acquire->choice = CHOICE_LACKING;
        }
    }
    visit_end(&visit);
    return ticket;
}

/* The namespace comes into being with its first write. */
static bool acquire_namespace(struct acquire *acquire, const struct verb *verb) {
    struct memory_engine *engine = acquire->context->engine;
    if (acquire->namespace && !namespace_is_dropped(acquire->namespace)) return true;
    acquire->namespace = registry_find(&engine->registry, verb->namespace);
    if (acquire->namespace || !acquire_makes(verb)) return acquire->namespace != NULL;
    acquire->namespace =
        namespace_make(acquire->context, verb->namespace, engine->registry.default_policy.hash_ids, &acquire->error);
    return acquire->namespace != NULL;
}

/* Decides until something comes of it. Answers the ticket if it waits. */
static uint64_t acquire_run(struct acquire *acquire, const struct verb *verb) {
    for (;;) {
        if (!acquire_namespace(acquire, verb)) return 0;
        uint64_t ticket = acquire_decide(acquire, verb);
        if (ticket || acquire->is_behind) return ticket;
        if (!acquire->item_count && !namespace_is_dropped(acquire->namespace)) return 0;
        acquire_complete(acquire);
        if (acquire->item_count || acquire->error.code) return 0;
    }
}

enum submit_state verb_acquire(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct memory_engine *engine = context->engine;
    struct pool_item first, *items = &first;
    uint32_t count = verb->acquire.count > 1 && !verb->id.data ? verb->acquire.count : 1;
    uint64_t ticket = 0;
    if (count > 1) items = slab_alloc(&engine->slab, context->loop->index, count * sizeof(*items));
    struct acquire acquire = {.context = context,
                              .namespace = namespace,
                              .pool_name = verb->acquire.pool,
                              .want = {.tags = verb->acquire.tags,
                                       .has_strategy = verb->acquire.has_strategy,
                                       .strategy = verb->acquire.strategy,
                                       .create = verb->acquire.create,
                                       .lease_ms = verb->acquire.lease_ms},
                              .count = items ? count : 1,
                              .bytes_max = verb->acquire.bytes_max,
                              .items = items ? items : &first,
                              .choice = CHOICE_NONE};
    if (verb->id.data)
        acquire_one(&acquire, verb->id);
    else
        ticket = acquire_run(&acquire, verb);
    if (!ticket && !acquire.is_behind) {
        bool is_one = verb->id.data != NULL;
        acquire_answer(&acquire, verb);
        if (is_one && !verb->is_found) verb->error = error_make(ERROR_NONE, NULL);
    }
    if (items && items != &first) slab_free(&engine->slab, items, count * sizeof(*items));
    verb->private[0] = ticket;
    return acquire.is_behind ? SUBMIT_AGAIN : ticket ? SUBMIT_PENDING : SUBMIT_DONE;
}
