/* Ending groups and namespaces, and configuring what has a policy or a state. See naive.h. */
#include <stdlib.h>

#include "base/mp.h"
#include "naive.h"

static bool is_excepted(struct bytes except, struct bytes id) {
    struct mp_cursor ids = mp_cursor_of(except);
    if (bytes_is_absent(except)) return false;
    for (uint32_t left = mp_read_array(&ids); left > 0; left--)
        if (bytes_equal(mp_read_bytes(&ids), id)) return true;
    return false;
}

static bool is_dead_and_removable(const struct session *session, int64_t now_ms) {
    return !session_is_alive(session, now_ms) && status_can_become(session_status(session, now_ms), STATUS_REMOVED);
}

/* A member of the group that is to be ended; true: it counts. */
static bool end_member(struct naive *naive, struct space *space, struct entry *entry, const struct verb *verb,
                       enum presence presence, int64_t now_ms) {
    struct session *session = &entry->session;
    if (presence != PRESENCE_ALIVE && presence != PRESENCE_DEAD) return false;
    if (!is_member(session, verb->end_all.group, verb->end_all.group_name)) return false;
    if (is_excepted(verb->end_all.except, session->id)) return false;
    switch (verb->end_all.end) {
    case END_REVOKE:
        if (presence != PRESENCE_ALIVE) return false;
        end_session(naive, space, entry, STATUS_REVOKED, verb->end_all.reason, BYTES_ABSENT, now_ms);
        return true;
    case END_REMOVE:
        if (presence != PRESENCE_ALIVE && !is_dead_and_removable(session, now_ms)) return false;
        end_session(naive, space, entry, STATUS_REMOVED, verb->end_all.reason, BYTES_ABSENT, now_ms);
        return true;
    default: destroy_session(naive, space, entry, now_ms); return true;
    }
}

static bool end_one(struct naive *naive, struct space *space, struct entry *entry, const struct verb *verb,
                    int64_t now_ms) {
    enum presence presence = naive_judge(space, entry, now_ms);
    struct session *session = &entry->session;
    bool is_record = presence == PRESENCE_ALIVE || presence == PRESENCE_DEAD;
    switch (verb->end_all.end) {
    case END_CLEAR:
    case END_DROP:
        /* A namespace that goes tells nothing of what was in it. */
        if (is_record && verb->end_all.end == END_CLEAR) {
            destroy_session(naive, space, entry, now_ms);
        } else if (session->is_alias && now_ms < session->absolute_expires_at) {
            put_tombstone(naive, entry, now_ms);
            entry->is_uncovered = false;
        }
        return presence == PRESENCE_ALIVE;
    case END_PURGE:
        if (presence != PRESENCE_DEAD) return false;
        put_tombstone(naive, entry, session_died_at(session, now_ms));
        return true;
    default: return end_member(naive, space, entry, verb, presence, now_ms);
    }
}

void naive_end_all(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    bool is_reset = verb->end_all.end == END_DESTROY && verb->end_all.group == GROUP_POOL;
    struct pool *pool = is_reset ? naive_pool_find(space, verb->end_all.group_name) : NULL;
    memset(&verb->scan_result, 0, sizeof(verb->scan_result));
    verb->is_found = space != NULL;
    for (unsigned i = 0; space && i < space->entry_count; i++)
        verb->scan_result.total += end_one(naive, space, &space->entries[i], verb, now_ms);
    if (pool) pool->hold_count = 0;
    if (!space || verb->end_all.end != END_DROP) return;
    space->is_used = false;
    end_waiters_of(naive, verb->namespace);
}

static int compare_names(const void *a, const void *b) {
    const struct space *const *one = a, *const *other = b;
    size_t shorter = (*one)->name.size < (*other)->name.size ? (*one)->name.size : (*other)->name.size;
    int order = memcmp((*one)->name.data, (*other)->name.data, shorter);
    return order ? order : (int)(*one)->name.size - (int)(*other)->name.size;
}

static void list_names(struct naive *naive, struct verb *verb) {
    struct space *used[NAMESPACES_MAX];
    size_t count = 0;
    for (int i = 0; i < NAMESPACES_MAX; i++)
        if (naive->spaces[i] && naive->spaces[i]->is_used) used[count++] = naive->spaces[i];
    qsort(used, count, sizeof(used[0]), compare_names);
    for (size_t i = 0; i < count; i++) verb->configure.each(verb->configure.context, used[i]->name);
}

/* ---- configuring */

static void configure_pool(struct naive *naive, struct space *space, struct verb *verb, int64_t now_ms) {
    if (verb->configure.pool_change) {
        if (!space && !(space = space_make(naive, verb->namespace, &verb->error))) return;
        struct pool *pool = naive_pool_make(naive, space, verb->configure.group_name);
        pool->is_configured = true;
        naive->options.pool_policy_apply(&pool->policy, verb->configure.pool_change);
    }
    pool_state_fill(naive, space, verb->configure.group_name, &verb->pool_state, now_ms);
    verb->is_found = verb->pool_state.exists;
}

static void configure_client(struct space *space, struct verb *verb, int64_t now_ms) {
    struct client *client = client_find(space, verb->configure.group_name, now_ms);
    verb->is_found = client != NULL;
    verb->client_state = (struct client_state){0};
    if (!client) return;
    if (!bytes_is_absent(verb->id)) {
        struct entry *entry = entry_find(space, verb->id);
        bool is_its = entry && bytes_equal(entry->session.client, client->name) && is_kept(space, entry, now_ms);
        if (!is_its || naive_judge(space, entry, now_ms) != PRESENCE_ALIVE) {
            verb->error = error_make(ERROR_CONFLICT, "Give a living session of this client.");
            if (is_its) {
                verb->error.status = session_status(&entry->session, now_ms);
                verb->error.version = entry->session.version;
            }
            return;
        }
        client->last_id = entry->session.id;
        client->last_sequence = entry->sequence;
        client->updated_at = now_ms;
    }
    verb->client_state.created_at = client->created_at;
    verb->client_state.updated_at = client->updated_at;
    struct entry *last = bytes_is_absent(client->last_id) ? NULL : entry_find(space, client->last_id);
    if (!last || !is_kept(space, last, now_ms) || !bytes_equal(last->session.client, client->name)) return;
    if (last->sequence != client->last_sequence) return; /* another one under its id */
    verb->client_state.has_last_active = true;
    verb->client_state.last_active = last->session;
}

/* hash_ids is chosen when the namespace is made. */
static bool may_change(struct naive *naive, const struct space *space, struct verb *verb) {
    const struct policy_change *change = verb->configure.change;
    if (!change || !space) return true;
    struct policy after = space->policy;
    naive->options.policy_apply(&after, change);
    if (after.hash_ids == space->policy.hash_ids) return true;
    verb->error = error_make(ERROR_CONFLICT, "hash_ids never changes; drop the namespace, or make another.");
    return false;
}

void naive_configure(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    bool is_write = verb->configure.change || verb->configure.sets_purging || verb->configure.purge_interval_ms;
    if (verb->configure.each) {
        list_names(naive, verb);
        return;
    }
    if (verb->configure.group == GROUP_POOL) {
        configure_pool(naive, space, verb, now_ms);
        return;
    }
    if (verb->configure.group == GROUP_CLIENT) {
        configure_client(space, verb, now_ms);
        return;
    }
    if (!may_change(naive, space, verb)) return;
    if (is_write && !(space = space_make(naive, verb->namespace, &verb->error))) return;
    verb->is_found = space != NULL;
    if (!space) return;
    if (verb->configure.change) naive_forget_for_good(space, now_ms);
    if (verb->configure.change) naive->options.policy_apply(&space->policy, verb->configure.change);
    if (verb->configure.purge_interval_ms) space->purge_interval_ms = verb->configure.purge_interval_ms;
    if (verb->configure.sets_purging) space->is_purging = verb->configure.is_purging;
    if (verb->configure.sets_purging || verb->configure.purge_interval_ms)
        space->purge_at = now_ms + space->purge_interval_ms;
    /* A copy: what was answered stays when the policy changes later in the batch. */
    struct policy *policy = naive_keep(naive, sizeof(*policy));
    *policy = space->policy;
    verb->namespace_state = (struct namespace_state){.name = space->name,
                                                     .policy = policy,
                                                     .sessions = count_living(space, GROUP_NONE, BYTES_ABSENT, now_ms),
                                                     .bytes = bytes_used(space, now_ms),
                                                     .is_purging = space->is_purging,
                                                     .purge_interval_ms = space->purge_interval_ms};
}
