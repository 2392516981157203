/* Running rules, limits, and publishing what came of them. See naive.h. */
#include <stdlib.h>

#include "naive.h"

static struct session copy_session(struct naive *naive, const struct session *from) {
    struct session session = *from;
    struct bytes *const members[] = {&session.id,    &session.user,        &session.client, &session.data,
                                     &session.meta,  &session.reason,      &session.pool,   &session.tags,
                                     &session.token, &session.replaced_by, &session.bound};
    for (size_t i = 0; i < sizeof(members) / sizeof(members[0]); i++) *members[i] = naive_copy(naive, *members[i]);
    session.usage = NULL;
    session.event = 0;
    return session;
}

void put_tombstone(struct naive *naive, struct entry *entry, int64_t died_at) {
    struct bytes id = naive_copy(naive, entry->session.id);
    entry->session = (struct session){.id = id};
    entry->is_tombstone = true;
    entry->died_at = died_at;
    entry->seat = NULL;
}

void destroy_session(struct naive *naive, struct space *space, struct entry *entry, int64_t now_ms) {
    entry->session.version = next_version(naive, now_ms);
    tell(naive, space, EVENT_DESTROYED, &entry->session, now_ms);
    put_tombstone(naive, entry, now_ms);
    entry->is_uncovered = false;
}

void end_session(struct naive *naive, struct space *space, struct entry *entry, enum status status, struct bytes reason,
                 struct bytes replaced_by, int64_t now_ms) {
    struct session old = entry->session;
    entry->session.status = status;
    entry->session.status_at = now_ms;
    entry->session.reason = naive_copy(naive, reason);
    entry->session.replaced_by = naive_copy(naive, replaced_by);
    entry->session.version = next_version(naive, now_ms);
    entry->is_uncovered = false; /* of its last death, which a dead one that is removed dies now */
    tell_change(naive, space, &old, &entry->session, now_ms);
}

/* ---- clients */

/* The client as it is, or as it comes into being with a session that is about to be its. */
static struct client *client_make(struct naive *naive, struct space *space, struct bytes name, int64_t now_ms) {
    struct client *client = client_find(space, name, now_ms);
    if (client) return client;
    for (unsigned i = 0; i < space->client_count && !client; i++)
        if (bytes_equal(space->clients[i].name, name)) client = &space->clients[i];
    if (!client && space->client_count == CLIENTS_MAX) abort();
    if (!client) client = &space->clients[space->client_count++];
    *client = (struct client){.name = naive_copy(naive, name), .created_at = now_ms, .updated_at = now_ms};
    return client;
}

void touch_entry(struct naive *naive, struct space *space, struct entry *entry, int64_t now_ms) {
    struct session *session = &entry->session;
    struct client *client = bytes_is_absent(session->client) ? NULL : client_find(space, session->client, now_ms);
    (void)naive;
    session->last_active_at = session_touched_at(session, space->policy.touch_after_ms, now_ms);
    if (!client) return;
    client->last_id = session->id;
    client->last_sequence = entry->sequence;
    client->updated_at = now_ms;
}

/* ---- limits */

static bool refuse(struct error *error, enum error_code code, const char *message, uint64_t limit) {
    *error = error_make(code, message);
    if (code == ERROR_LIMIT) error->limit = (int64_t)limit;
    return false;
}

/* Whether a is to go before b: the longest idle, or the oldest. */
static bool goes_before(const struct entry *a, const struct entry *b, bool by_idle) {
    int64_t x = a->session.last_active_at, y = b->session.last_active_at;
    if (by_idle && x != y) return x < y;
    if (a->session.created_at != b->session.created_at) return a->session.created_at < b->session.created_at;
    return a->sequence < b->sequence;
}

/* Revokes the user's session that the policy names. */
static void evict(struct naive *naive, struct space *space, struct bytes user, int64_t now_ms) {
    struct entry *victim = NULL;
    bool by_idle = space->policy.session_limit_policy == SESSION_LIMIT_POLICY_EVICT_IDLE;
    for (unsigned i = 0; i < space->entry_count; i++) {
        struct entry *entry = &space->entries[i];
        if (naive_judge(space, entry, now_ms) != PRESENCE_ALIVE || !bytes_equal(entry->session.user, user)) continue;
        if (!victim || goes_before(entry, victim, by_idle)) victim = entry;
    }
    end_session(naive, space, victim, STATUS_REVOKED, BYTES_LITERAL("session_limit"), BYTES_ABSENT, now_ms);
}

static bool allow_user(struct naive *naive, struct space *space, const struct session *old, const struct session *draft,
                       int64_t now_ms, struct error *error) {
    const struct policy *policy = &space->policy;
    if (!policy->max_sessions_per_user || bytes_is_absent(draft->user)) return true;
    if (old && bytes_equal(old->user, draft->user)) return true;
    while (count_living(space, GROUP_USER, draft->user, now_ms) >= policy->max_sessions_per_user) {
        if (policy->session_limit_policy == SESSION_LIMIT_POLICY_REJECT)
            return refuse(error, ERROR_LIMIT, "The user has as many sessions as allowed.",
                          policy->max_sessions_per_user);
        evict(naive, space, draft->user, now_ms);
    }
    return true;
}

/* With single_session, who signs in on a client replaces who was there. */
static void replace_on_client(struct naive *naive, struct space *space, const struct session *old,
                              const struct session *draft, int64_t now_ms) {
    if (!space->policy.single_session || bytes_is_absent(draft->client)) return;
    if (old && bytes_equal(old->client, draft->client)) return;
    for (unsigned i = 0; i < space->entry_count; i++) {
        struct entry *entry = &space->entries[i];
        if (naive_judge(space, entry, now_ms) != PRESENCE_ALIVE || !bytes_equal(entry->session.client, draft->client))
            continue;
        end_session(naive, space, entry, STATUS_REPLACED, BYTES_ABSENT, draft->id, now_ms);
    }
}

static bool is_usable_usage(const struct usage *usage) {
    return usage && usage_is_usable(usage);
}

static bool allow_pool(struct naive *naive, struct space *space, const struct session *old, const struct session *draft,
                       int64_t now_ms, struct error *error) {
    if (bytes_is_absent(draft->pool) || (old && bytes_equal(old->pool, draft->pool))) return true;
    if (!is_usable_usage(draft->usage) || draft->usage->is_forced) return true;
    if (naive_pool_has_place(naive, space, naive_pool_find(space, draft->pool), draft->pool, true, now_ms)) return true;
    return refuse(error, ERROR_EXHAUSTED, "The pool is full; wait, or give force.", 0);
}

/* The limits that publishing `draft` instead of `old` (NULL: nothing alive) must keep. */
static bool allow(struct naive *naive, struct space *space, const struct session *old, const struct session *draft,
                  uint64_t old_size, int64_t now_ms, struct error *error) {
    const struct policy *policy = &space->policy;
    uint64_t size = size_of(draft);
    if (naive->options.limits.max_memory && size > old_size)
        return refuse(error, ERROR_NO_MEMORY, "The server is full; try again later.", 0);
    if (policy->max_bytes && size > old_size && bytes_used(space, now_ms) - old_size + size > policy->max_bytes)
        return refuse(error, ERROR_LIMIT, "The namespace is full.", policy->max_bytes);
    if (!session_is_alive(draft, now_ms)) return true;
    if (policy->max_sessions && !old && count_living(space, GROUP_NONE, BYTES_ABSENT, now_ms) >= policy->max_sessions)
        return refuse(error, ERROR_LIMIT, "The namespace has as many sessions as it may.", policy->max_sessions);
    bool evicts = policy->session_limit_policy != SESSION_LIMIT_POLICY_REJECT;
    if (evicts && !allow_pool(naive, space, old, draft, now_ms, error)) return false;
    if (!allow_user(naive, space, old, draft, now_ms, error)) return false;
    if (!evicts && !allow_pool(naive, space, old, draft, now_ms, error)) return false;
    replace_on_client(naive, space, old, draft, now_ms);
    return true;
}

/* ---- publishing */

/* A session that enters a pool begins with the draft's usage. */
static void enter_pool(struct naive *naive, struct space *space, struct entry *entry, const struct session *draft) {
    entry->seat = NULL;
    if (bytes_is_absent(draft->pool)) return;
    naive_pool_make(naive, space, draft->pool);
    entry->seat = naive_keep(naive, sizeof(*entry->seat));
    entry->seat->entered = ++naive->sequence;
    if (draft->usage) entry->seat->usage = *draft->usage;
    entry->seat->usage.is_forced = false;
}

/* `from`: what it goes on from, unless its birth says that it begins anew; NULL: nothing. */
static void publish(struct naive *naive, struct space *space, struct entry *entry, const struct entry *from,
                    const struct session *draft, bool enters_client, int64_t now_ms) {
    bool goes_on = from && draft->birth && from->session.created_at == draft->created_at;
    entry->sequence = goes_on ? from->sequence : ++naive->sequence;
    if (!bytes_is_absent(draft->client)) {
        struct client *client = client_make(naive, space, draft->client, now_ms);
        if (enters_client || draft->is_touch) client->updated_at = now_ms;
        if (draft->is_touch) {
            client->last_id = naive_copy(naive, draft->id);
            client->last_sequence = entry->sequence;
        }
    }
    entry->session = copy_session(naive, draft);
    entry->session.is_touch = false;
    entry->session.birth = 1;
    entry->session.version = next_version(naive, now_ms);
    entry->is_tombstone = entry->is_told = entry->is_forgotten = entry->is_uncovered = false;
}

struct entry *write_draft(struct naive *naive, struct space *space, struct entry *entry, enum presence presence,
                          const struct session *draft, int64_t now_ms, struct error *error) {
    bool has_old = presence == PRESENCE_ALIVE || presence == PRESENCE_DEAD;
    struct session old = has_old ? entry->session : (struct session){.id = draft->id};
    uint64_t old_size = has_old ? size_of(&old) : 0;
    if (!allow(naive, space, presence == PRESENCE_ALIVE ? &old : NULL, draft, old_size, now_ms, error)) return NULL;
    if (!entry) entry = entry_make(space);
    /* What is dead may only get another status of the dead; anything else is a new session. */
    bool is_new = presence != PRESENCE_ALIVE && !(has_old && !status_is_living(draft->status));
    enum event_kind event = draft->event;
    bool stays_with_client = has_old && !(presence == PRESENCE_DEAD && session_is_alive(draft, now_ms)) &&
                             bytes_equal(old.client, draft->client) && old.created_at == draft->created_at;
    publish(naive, space, entry, has_old ? entry : NULL, draft, !stays_with_client, now_ms);
    if (is_new) enter_pool(naive, space, entry, draft);
    entry->session.event = event;
    tell_change(naive, space, is_new ? NULL : &old, &entry->session, now_ms);
    entry->session.event = 0;
    return entry;
}

/* ---- verbs */

struct running {
    struct space *space;
    struct entry *entry;
    enum presence presence;
    struct session draft;
};

static enum outcome run_rule(struct naive *naive, struct verb *verb, update_rule rule, const void *arguments,
                             struct running *run, int64_t now_ms) {
    run->space = space_find(naive, verb->namespace);
    run->entry = entry_find(run->space, verb->id);
    run->presence = naive_judge(run->space, run->entry, now_ms);
    bool has_old = run->presence == PRESENCE_ALIVE || run->presence == PRESENCE_DEAD;
    struct session old = has_old ? run->entry->session : (struct session){.id = verb->id};
    struct usage usage;
    if (has_old && run->entry->seat) usage = run->entry->seat->usage, old.usage = &usage;
    run->draft = old;
    naive->scratch.size = 0;
    struct update_input input = {.old = has_old ? &old : NULL,
                                 .presence = run->presence,
                                 .policy = run->space ? &run->space->policy : naive->options.default_policy,
                                 .arguments = arguments,
                                 .now_ms = now_ms,
                                 .scratch = &naive->scratch};
    if (verb->kind == VERB_UPDATE && !bytes_is_absent(verb->update.pool))
        input.pool_policy = naive_pool_policy_of(naive, naive_pool_find(run->space, verb->update.pool));
    verb->outcome = rule(&input, &run->draft, &verb->error);
    if (verb->outcome == OUTCOME_TOUCH) touch_entry(naive, run->space, run->entry, now_ms);
    if (verb->outcome != OUTCOME_REPLACE && has_old) show(verb, run->entry);
    return verb->outcome;
}

void naive_update(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct running run;
    enum outcome outcome = run_rule(naive, verb, verb->update.rule, verb->update.arguments, &run, now_ms);
    if (outcome == OUTCOME_REMOVE) destroy_session(naive, run.space, run.entry, now_ms);
    if (outcome != OUTCOME_REPLACE) return;
    if (!run.space) run.space = space_make(naive, verb->namespace, &verb->error);
    if (!run.space) return;
    struct entry *entry = write_draft(naive, run.space, run.entry, run.presence, &run.draft, now_ms, &verb->error);
    if (!entry) return;
    /* What is unusable from the start takes no place. */
    if (run.presence != PRESENCE_ALIVE && entry->seat && naive_seat_is_usable(run.space, entry, now_ms))
        pool_take_hold(naive_pool_find(run.space, entry->session.pool));
    show(verb, entry);
}

void naive_move(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct running run;
    if (run_rule(naive, verb, verb->move.rule, verb->move.arguments, &run, now_ms) != OUTCOME_REPLACE) return;
    struct entry *target = entry_find(run.space, run.draft.id);
    const struct session *old = &run.entry->session;
    enum presence taken = naive_judge(run.space, target, now_ms);
    if (taken != PRESENCE_NONE) {
        verb->error =
            error_make(taken == PRESENCE_ALIVE ? ERROR_EXISTS : ERROR_GONE, "new_id is taken; choose another.");
        return;
    }
    if (!allow(naive, run.space, old, &run.draft, size_of(old), now_ms, &verb->error)) return;
    if (!target) target = entry_make(run.space);
    struct session moved = *old;
    publish(naive, run.space, target, run.entry, &run.draft, true, now_ms);
    moved.version = target->session.version;
    tell(naive, run.space, EVENT_REGENERATED, &moved, now_ms);
    tell(naive, run.space, EVENT_CREATED, &target->session, now_ms);
    target->seat = run.entry->seat;
    show(verb, target);
    struct client *client = client_find(run.space, moved.client, now_ms);
    if (client && bytes_equal(client->last_id, moved.id)) {
        client->last_id = target->session.id;
        client->last_sequence = target->sequence;
    }
    put_tombstone(naive, run.entry, now_ms);
    if (verb->move.grace_ms == 0) return;
    run.entry->is_tombstone = false;
    run.entry->session.is_alias = true;
    run.entry->session.replaced_by = target->session.id;
    run.entry->session.absolute_expires_at = now_ms + verb->move.grace_ms;
}
