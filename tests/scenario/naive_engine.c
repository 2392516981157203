/* See naive_engine.h. */
#include "naive_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mp.h"

enum { NAMESPACES_MAX = 64, ENTRIES_MAX = 4096, RECORD_OVERHEAD = 48 };

/* What stands under an id: a session (with `session.id` set), an alias, or a tombstone. */
struct entry {
    bool is_used, is_tombstone;
    struct session session; /* of a tombstone: only id. An alias: id, replaced_by, absolute_expires_at */
    int64_t died_at;        /* of tombstones and aliases: tombstone_ms counts from here */
    uint64_t sequence;      /* grows with every new id */
};

struct space {
    bool is_used;
    struct bytes name;
    struct policy policy;
    struct entry entries[ENTRIES_MAX];
    bool is_purging;
    int64_t purge_interval_ms, purge_at;
};

struct block {
    struct block *next;
};

struct naive {
    struct engine base;
    struct engine_options options;
    struct space *spaces[NAMESPACES_MAX];
    uint64_t version, sequence;
    struct block *blocks; /* everything that was allocated */
    struct scratch scratch;
};

static void *keep(struct naive *naive, size_t size) {
    struct block *block = calloc(1, sizeof(*block) + size);
    block->next = naive->blocks;
    naive->blocks = block;
    return block + 1;
}

static struct bytes copy(struct naive *naive, struct bytes bytes) {
    if (bytes_is_absent(bytes)) return bytes;
    uint8_t *data = keep(naive, bytes.size + 1);
    memcpy(data, bytes.data, bytes.size);
    return bytes_of(data, bytes.size);
}

static struct session copy_session(struct naive *naive, const struct session *from) {
    struct session session = *from;
    session.id = copy(naive, from->id);
    session.user = copy(naive, from->user);
    session.client = copy(naive, from->client);
    session.data = copy(naive, from->data);
    session.meta = copy(naive, from->meta);
    session.reason = copy(naive, from->reason);
    session.replaced_by = copy(naive, from->replaced_by);
    return session;
}

static uint64_t next_version(struct naive *naive, int64_t now_ms) {
    uint64_t floor = (uint64_t)(now_ms - VERSION_EPOCH_MS) * VERSIONS_PER_MS;
    naive->version = naive->version + 1 > floor ? naive->version + 1 : floor;
    return naive->version;
}

/* ---- finding and judging */

static struct space *space_find(struct naive *naive, struct bytes name) {
    for (int i = 0; i < NAMESPACES_MAX; i++)
        if (naive->spaces[i] && naive->spaces[i]->is_used && bytes_equal(naive->spaces[i]->name, name))
            return naive->spaces[i];
    return NULL;
}

static struct space *space_make(struct naive *naive, struct bytes name, struct error *error) {
    struct space *space = space_find(naive, name);
    uint32_t count = 0;
    if (space) return space;
    for (int i = 0; i < NAMESPACES_MAX; i++) count += naive->spaces[i] && naive->spaces[i]->is_used;
    if (count >= naive->options.limits.max_namespaces) {
        *error = error_make(ERROR_LIMIT, "The server holds as many namespaces as it may; drop one.");
        error->limit = naive->options.limits.max_namespaces;
        return NULL;
    }
    for (int i = 0; i < NAMESPACES_MAX; i++) {
        if (naive->spaces[i] && naive->spaces[i]->is_used) continue;
        space = naive->spaces[i] = keep(naive, sizeof(*space));
        *space = (struct space){.is_used = true, .name = copy(naive, name), .policy = *naive->options.default_policy};
        space->purge_interval_ms = PURGE_INTERVAL_DEFAULT_MS;
        return space;
    }
    abort();
}

static struct entry *entry_find(struct space *space, struct bytes id) {
    for (int i = 0; space && i < ENTRIES_MAX; i++)
        if (space->entries[i].is_used && bytes_equal(space->entries[i].session.id, id)) return &space->entries[i];
    return NULL;
}

static bool covers(const struct space *space, int64_t died_at, int64_t now_ms) {
    return now_ms < died_at + space->policy.tombstone_ms;
}

static enum presence judge(const struct space *space, const struct entry *entry, int64_t now_ms) {
    if (!entry) return PRESENCE_NONE;
    const struct session *session = &entry->session;
    bool is_readable = session->is_alias && now_ms < session->absolute_expires_at;
    if (entry->is_tombstone || session->is_alias)
        return is_readable || covers(space, entry->died_at, now_ms) ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
    if (session_is_alive(session, now_ms)) return PRESENCE_ALIVE;
    int64_t died_at = session_died_at(session, now_ms);
    if (now_ms < died_at + space->policy.retention_ms) return PRESENCE_DEAD;
    return covers(space, died_at, now_ms) ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
}

static bool is_kept(const struct space *space, const struct entry *entry, int64_t now_ms) {
    enum presence presence = entry->is_used ? judge(space, entry, now_ms) : PRESENCE_NONE;
    return presence == PRESENCE_ALIVE || presence == PRESENCE_DEAD;
}

static uint64_t size_of(const struct session *s) {
    return RECORD_OVERHEAD + s->id.size + s->data.size + s->meta.size + s->user.size + s->client.size;
}

static uint64_t bytes_used(const struct space *space, int64_t now_ms) {
    uint64_t sum = 0;
    for (int i = 0; i < ENTRIES_MAX; i++)
        if (is_kept(space, &space->entries[i], now_ms)) sum += size_of(&space->entries[i].session);
    return sum;
}

static uint64_t count_living(const struct space *space, struct bytes user, int64_t now_ms) {
    uint64_t count = 0;
    for (int i = 0; i < ENTRIES_MAX; i++) {
        const struct entry *entry = &space->entries[i];
        if (!entry->is_used || judge(space, entry, now_ms) != PRESENCE_ALIVE) continue;
        count += bytes_is_absent(user) || bytes_equal(entry->session.user, user);
    }
    return count;
}

/* ---- writing */

static void put_tombstone(struct naive *naive, struct entry *entry, int64_t died_at) {
    struct bytes id = copy(naive, entry->session.id);
    entry->session = (struct session){.id = id};
    entry->is_tombstone = true;
    entry->died_at = died_at;
}

static void revoke(struct naive *naive, struct entry *entry, struct bytes reason, int64_t now_ms) {
    entry->session.status = STATUS_REVOKED;
    entry->session.status_at = now_ms;
    entry->session.reason = copy(naive, reason);
    entry->session.version = next_version(naive, now_ms);
}

static bool refuse(struct error *error, enum error_code code, const char *message, uint64_t limit) {
    *error = error_make(code, message);
    if (code == ERROR_LIMIT) error->limit = (int64_t)limit;
    return false;
}

/* Revokes the user's session that the policy names. */
static void evict(struct naive *naive, struct space *space, struct bytes user, int64_t now_ms) {
    struct entry *victim = NULL;
    bool by_idle = space->policy.session_limit_policy == SESSION_LIMIT_POLICY_EVICT_IDLE;
    for (int i = 0; i < ENTRIES_MAX; i++) {
        struct entry *entry = &space->entries[i];
        if (!entry->is_used || judge(space, entry, now_ms) != PRESENCE_ALIVE) continue;
        if (!bytes_equal(entry->session.user, user)) continue;
        if (!victim || (by_idle ? entry->session.last_active_at < victim->session.last_active_at
                                : entry->session.created_at < victim->session.created_at))
            victim = entry;
    }
    revoke(naive, victim, BYTES_LITERAL("session_limit"), now_ms);
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
    if (policy->max_sessions && !old && count_living(space, BYTES_ABSENT, now_ms) >= policy->max_sessions)
        return refuse(error, ERROR_LIMIT, "The namespace has as many sessions as it may.", policy->max_sessions);
    if (!policy->max_sessions_per_user || bytes_is_absent(draft->user)) return true;
    if (old && bytes_equal(old->user, draft->user)) return true;
    while (count_living(space, draft->user, now_ms) >= policy->max_sessions_per_user) {
        if (policy->session_limit_policy == SESSION_LIMIT_POLICY_REJECT)
            return refuse(error, ERROR_LIMIT, "The user has as many sessions as allowed.",
                          policy->max_sessions_per_user);
        evict(naive, space, draft->user, now_ms);
    }
    return true;
}

static struct entry *entry_make(struct naive *naive, struct space *space) {
    for (int i = 0; i < ENTRIES_MAX; i++) {
        struct entry *entry = &space->entries[i];
        if (entry->is_used) continue;
        *entry = (struct entry){.is_used = true, .sequence = ++naive->sequence};
        return entry;
    }
    abort();
}

static void publish(struct naive *naive, struct entry *entry, const struct session *draft, struct verb *verb,
                    int64_t now_ms) {
    entry->session = copy_session(naive, draft);
    entry->session.version = next_version(naive, now_ms);
    entry->is_tombstone = false;
    verb->session = entry->session;
    verb->is_found = true;
}

struct running {
    struct space *space;
    struct entry *entry;
    enum presence presence;
    struct session draft;
    const struct session *old;
};

static enum outcome run_rule(struct naive *naive, struct verb *verb, update_rule rule, const void *arguments,
                             struct running *run, int64_t now_ms) {
    run->space = space_find(naive, verb->namespace);
    run->entry = entry_find(run->space, verb->id);
    run->presence = judge(run->space, run->entry, now_ms);
    bool has_old = run->presence == PRESENCE_ALIVE || run->presence == PRESENCE_DEAD;
    run->old = has_old ? &run->entry->session : NULL;
    run->draft = has_old ? *run->old : (struct session){.id = verb->id};
    naive->scratch.size = 0;
    struct update_input input = {.old = run->old,
                                 .presence = run->presence,
                                 .policy = run->space ? &run->space->policy : naive->options.default_policy,
                                 .arguments = arguments,
                                 .now_ms = now_ms,
                                 .scratch = &naive->scratch};
    verb->outcome = rule(&input, &run->draft, &verb->error);
    if (verb->outcome != OUTCOME_REPLACE && has_old) verb->session = *run->old, verb->is_found = true;
    return verb->outcome;
}

static void do_update(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct running run;
    enum outcome outcome = run_rule(naive, verb, verb->update.rule, verb->update.arguments, &run, now_ms);
    if (outcome == OUTCOME_REMOVE) put_tombstone(naive, run.entry, now_ms);
    if (outcome != OUTCOME_REPLACE) return;
    if (!run.space) run.space = space_make(naive, verb->namespace, &verb->error);
    if (!run.space) return;
    const struct session *alive = run.presence == PRESENCE_ALIVE ? run.old : NULL;
    uint64_t old_size = run.old ? size_of(run.old) : 0;
    if (!allow(naive, run.space, alive, &run.draft, old_size, now_ms, &verb->error)) return;
    if (!run.entry) run.entry = entry_make(naive, run.space);
    publish(naive, run.entry, &run.draft, verb, now_ms);
}

static void do_move(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct running run;
    if (run_rule(naive, verb, verb->move.rule, verb->move.arguments, &run, now_ms) != OUTCOME_REPLACE) return;
    struct entry *target = entry_find(run.space, run.draft.id);
    if (judge(run.space, target, now_ms) != PRESENCE_NONE) {
        verb->error = error_make(ERROR_EXISTS, "new_id is taken; choose another.");
        return;
    }
    if (!allow(naive, run.space, run.old, &run.draft, size_of(run.old), now_ms, &verb->error)) return;
    if (!target) target = entry_make(naive, run.space);
    publish(naive, target, &run.draft, verb, now_ms);
    put_tombstone(naive, run.entry, now_ms);
    if (verb->move.grace_ms == 0) return;
    run.entry->is_tombstone = false;
    run.entry->session.is_alias = true;
    run.entry->session.replaced_by = target->session.id;
    run.entry->session.absolute_expires_at = now_ms + verb->move.grace_ms;
}

/* ---- reading */

/* The session that a read of `id` sees, as a copy under that id; false: none. */
static bool read_one(struct space *space, struct bytes id, bool with_dead, int64_t now_ms, struct session *session,
                     struct entry **real) {
    struct entry *entry = entry_find(space, id);
    enum presence presence = judge(space, entry, now_ms);
    if (entry && entry->session.is_alias && now_ms < entry->session.absolute_expires_at) {
        struct entry *target = entry_find(space, entry->session.replaced_by);
        if (judge(space, target, now_ms) != PRESENCE_ALIVE) return false;
        *session = target->session;
        session->id = entry->session.id;
        *real = target;
        return true;
    }
    if (presence != PRESENCE_ALIVE && !(with_dead && presence == PRESENCE_DEAD)) return false;
    *session = entry->session;
    *real = entry;
    return true;
}

static void do_get(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    struct entry *real;
    verb->is_found = read_one(space, verb->id, verb->get.include_dead, now_ms, &verb->session, &real);
    if (!verb->is_found || !verb->get.is_touch || !session_is_alive(&verb->session, now_ms)) return;
    /* Through an alias nothing is written. */
    if (!bytes_equal(real->session.id, verb->id)) return;
    real->session.last_active_at = session_touched_at(&real->session, space->policy.touch_after_ms, now_ms);
    verb->session = real->session;
}

static void do_touch(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    struct entry *entry = entry_find(space, verb->id);
    enum presence presence = judge(space, entry, now_ms);
    verb->is_found = presence == PRESENCE_ALIVE;
    if (presence == PRESENCE_DEAD || presence == PRESENCE_TOMBSTONE) {
        verb->error = error_make(ERROR_GONE, "The session is gone; make a new one.");
        if (presence == PRESENCE_DEAD) verb->error.status = session_status(&entry->session, now_ms);
    }
    if (presence != PRESENCE_ALIVE) return;
    entry->session.last_active_at = session_touched_at(&entry->session, space->policy.touch_after_ms, now_ms);
    verb->session = entry->session;
}

static void scan_ids(struct space *space, struct verb *verb, int64_t now_ms) {
    struct mp_cursor ids = mp_cursor_of(verb->scan.ids);
    struct entry *real;
    for (uint32_t left = mp_read_array(&ids); left > 0; left--) {
        struct session session;
        bool is_found = read_one(space, mp_read_bytes(&ids), false, now_ms, &session, &real);
        if (!verb->scan.each(verb->scan.context, is_found ? &session : NULL)) return;
    }
}

static bool is_wanted(const struct space *space, const struct entry *entry, const struct verb *verb, int64_t now_ms) {
    const struct session *session = &entry->session;
    if (!is_kept(space, entry, now_ms)) return false;
    if (!(verb->scan.statuses & STATUS_BIT(session_status(session, now_ms)))) return false;
    if (verb->scan.group == GROUP_USER) return bytes_equal(session->user, verb->scan.group_name);
    if (verb->scan.group == GROUP_CLIENT) return bytes_equal(session->client, verb->scan.group_name);
    return bytes_is_absent(verb->scan.prefix) || bytes_has_prefix(session->id, verb->scan.prefix);
}

/* Negative: a comes first. Whole namespaces have no order but the entries' own. */
static int order(const struct verb *verb, int64_t a_at, uint64_t a, int64_t b_at, uint64_t b) {
    if (verb->scan.group == GROUP_NONE) return a < b ? -1 : a > b;
    int newest_first = a_at != b_at ? (a_at > b_at ? -1 : 1) : a > b ? -1 : a < b;
    return verb->scan.is_oldest_first ? -newest_first : newest_first;
}

static const struct entry *next_wanted(const struct space *space, const struct verb *verb, int64_t after_at,
                                       uint64_t after, bool has_after, int64_t now_ms) {
    const struct entry *best = NULL;
    for (int i = 0; i < ENTRIES_MAX; i++) {
        const struct entry *entry = &space->entries[i];
        if (!entry->is_used || !is_wanted(space, entry, verb, now_ms)) continue;
        int64_t at = entry->session.created_at;
        if (has_after && order(verb, after_at, after, at, entry->sequence) >= 0) continue;
        if (!best || order(verb, at, entry->sequence, best->session.created_at, best->sequence) < 0) best = entry;
    }
    return best;
}

static void scan_page(const struct space *space, struct verb *verb, int64_t now_ms) {
    int64_t after_at = 0;
    uint64_t after = 0;
    bool has_after = !bytes_is_absent(verb->scan.cursor);
    char cursor[SCAN_CURSOR_MAX + 1] = {0};
    if (has_after) memcpy(cursor, verb->scan.cursor.data, verb->scan.cursor.size);
    if (has_after && sscanf(cursor, "%" SCNd64 ":%" SCNu64, &after_at, &after) != 2) {
        verb->error = error_make(ERROR_BAD_REQUEST, "This is no cursor.");
        return;
    }
    const struct entry *entry;
    for (uint32_t count = 0; (entry = next_wanted(space, verb, after_at, after, has_after, now_ms)); count++) {
        if (count == verb->scan.limit || !verb->scan.each(verb->scan.context, &entry->session)) {
            verb->scan_result.cursor_size =
                (uint8_t)snprintf(verb->scan_result.cursor, SCAN_CURSOR_MAX, "%" PRId64 ":%" PRIu64, after_at, after);
            return;
        }
        after_at = entry->session.created_at, after = entry->sequence, has_after = true;
    }
}

static void do_scan(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    memset(&verb->scan_result, 0, sizeof(verb->scan_result));
    if (!bytes_is_absent(verb->scan.ids)) {
        scan_ids(space, verb, now_ms);
        return;
    }
    verb->scan_result.is_total_known = bytes_is_absent(verb->scan.prefix);
    for (int i = 0; space && i < ENTRIES_MAX; i++)
        verb->scan_result.total += space->entries[i].is_used && is_wanted(space, &space->entries[i], verb, now_ms);
    if (space && verb->scan.each) scan_page(space, verb, now_ms);
}

/* ---- whole groups and namespaces */

static bool is_excepted(struct bytes except, struct bytes id) {
    struct mp_cursor ids = mp_cursor_of(except);
    if (bytes_is_absent(except)) return false;
    for (uint32_t left = mp_read_array(&ids); left > 0; left--)
        if (bytes_equal(mp_read_bytes(&ids), id)) return true;
    return false;
}

static bool end_one(struct naive *naive, struct space *space, struct entry *entry, const struct verb *verb,
                    int64_t now_ms) {
    enum presence presence = judge(space, entry, now_ms);
    struct session *session = &entry->session;
    if (verb->end_all.end == END_CLEAR && !entry->is_tombstone) {
        if (session->is_alias && presence != PRESENCE_TOMBSTONE) return false;
        put_tombstone(naive, entry, now_ms);
    }
    if (verb->end_all.end == END_PURGE && presence == PRESENCE_DEAD) {
        put_tombstone(naive, entry, session_died_at(session, now_ms));
        return true;
    }
    if (verb->end_all.end == END_REVOKE) {
        struct bytes name = verb->end_all.group == GROUP_USER ? session->user : session->client;
        if (presence != PRESENCE_ALIVE || !bytes_equal(name, verb->end_all.group_name)) return false;
        if (is_excepted(verb->end_all.except, session->id)) return false;
        revoke(naive, entry, verb->end_all.reason, now_ms);
    }
    return presence == PRESENCE_ALIVE && verb->end_all.end != END_PURGE;
}

static void do_end_all(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    memset(&verb->scan_result, 0, sizeof(verb->scan_result));
    verb->is_found = space != NULL;
    for (int i = 0; space && i < ENTRIES_MAX; i++)
        if (space->entries[i].is_used)
            verb->scan_result.total += end_one(naive, space, &space->entries[i], verb, now_ms);
    if (space && verb->end_all.end == END_DROP) space->is_used = false;
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

static void do_configure(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    bool is_write = verb->configure.change || verb->configure.sets_purging || verb->configure.purge_interval_ms;
    if (verb->configure.each) {
        list_names(naive, verb);
        return;
    }
    if (is_write && !(space = space_make(naive, verb->namespace, &verb->error))) return;
    verb->is_found = space != NULL;
    if (!space) return;
    if (verb->configure.change) naive->options.policy_apply(&space->policy, verb->configure.change);
    if (verb->configure.purge_interval_ms) space->purge_interval_ms = verb->configure.purge_interval_ms;
    if (verb->configure.sets_purging) space->is_purging = verb->configure.is_purging;
    if (is_write && space->is_purging) space->purge_at = now_ms + space->purge_interval_ms;
    verb->namespace_state = (struct namespace_state){.name = space->name,
                                                     .policy = &space->policy,
                                                     .sessions = count_living(space, BYTES_ABSENT, now_ms),
                                                     .bytes = bytes_used(space, now_ms),
                                                     .is_purging = space->is_purging,
                                                     .purge_interval_ms = space->purge_interval_ms};
}

/* ---- the boundary */

static void naive_submit(struct engine *self, unsigned loop_index, struct verb *verbs, enum submit_state *states,
                         size_t count, int64_t now_ms) {
    static void (*const doers[VERB_KIND_COUNT])(struct naive *, struct verb *, int64_t) = {
        [VERB_GET] = do_get,   [VERB_UPDATE] = do_update,   [VERB_TOUCH] = do_touch,         [VERB_MOVE] = do_move,
        [VERB_SCAN] = do_scan, [VERB_END_ALL] = do_end_all, [VERB_CONFIGURE] = do_configure,
    };
    (void)loop_index;
    for (size_t i = 0; i < count; i++) {
        verbs[i].error = error_make(ERROR_NONE, NULL);
        verbs[i].is_found = false;
        doers[verbs[i].kind]((struct naive *)self, &verbs[i], now_ms);
        states[i] = SUBMIT_DONE;
    }
}

static int64_t naive_advance(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget) {
    struct naive *naive = (struct naive *)self;
    int64_t next = INT64_MAX;
    (void)loop_index, (void)budget;
    for (int i = 0; i < NAMESPACES_MAX; i++) {
        struct space *space = naive->spaces[i];
        if (!space || !space->is_used || !space->is_purging) continue;
        if (now_ms >= space->purge_at) {
            struct verb verb = {.kind = VERB_END_ALL, .namespace = space->name, .end_all.end = END_PURGE};
            do_end_all(naive, &verb, now_ms);
            space->purge_at = now_ms + space->purge_interval_ms;
        }
        if (space->purge_at < next) next = space->purge_at;
    }
    return next;
}

static void naive_turn(struct engine *self, unsigned loop_index) {
    (void)self, (void)loop_index;
}
static void naive_stats(struct engine *self, struct engine_stats *out) {
    (void)self, memset(out, 0, sizeof(*out));
}

static void naive_set_limits(struct engine *self, const struct engine_limits *limits) {
    ((struct naive *)self)->options.limits = *limits;
}

static void naive_close(struct engine *self) {
    struct naive *naive = (struct naive *)self;
    for (struct block *block = naive->blocks, *next; block; block = next) {
        next = block->next;
        free(block);
    }
    free(naive->scratch.data);
    free(naive);
}

struct engine *naive_engine_open(const struct engine_options *options) {
    static const struct engine_vtable vtable = {.name = "naive",
                                                .features =
                                                    ENGINE_ATOMIC_MOVE | ENGINE_EXACT_EXPIRY | ENGINE_ORDERED_SCAN,
                                                .enter = naive_turn,
                                                .leave = naive_turn,
                                                .submit = naive_submit,
                                                .advance = naive_advance,
                                                .stats = naive_stats,
                                                .set_limits = naive_set_limits,
                                                .close = naive_close};
    struct naive *naive = calloc(1, sizeof(*naive));
    naive->base.vtable = &vtable;
    naive->options = *options;
    return &naive->base;
}
