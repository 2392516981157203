/* Random steps against a model so naive that it is right at sight: arrays, and every moment judged from scratch. One
 * thread; each step is at a millisecond of its own, so that created_at and activity order everything. */
#include "base/buf.h"
#include "base/mp.h"
#include "base/prng.h"
#include "contract_lives.h"

enum { NAMESPACES = 2, IDS = 14, USERS = 3 };

enum kind { KIND_NONE, KIND_SESSION, KIND_ALIAS };

/* What the model knows of an id. */
struct entry {
    enum kind kind;
    struct session session; /* its texts are never looked at but through user, client and data */
    int user, client;       /* -1: none */
    uint64_t data;
    int target; /* of an alias */
    int64_t alias_until;
    int64_t gone_at; /* a tombstone's date; 0: none */
};

struct model_client {
    int64_t created_at, updated_at;
    int last; /* the session that was active last; -1: none */
    int64_t last_created_at;
};

struct model_namespace {
    bool exists;
    struct model_client clients[USERS];
    struct policy policy;
    int64_t floor; /* ends before it leave no tombstone: tombstone_ms was raised when they were past it */
    struct entry entries[IDS];
};

struct play {
    struct world world;
    struct prng prng;
    struct model_namespace namespaces[NAMESPACES];
    struct lives lives; /* as events tell them */
};

static const char *const namespace_names[NAMESPACES] = {"web", "app"};
static const char *const user_names[USERS] = {"ann", "bob", "cid"};
static const struct policy defaults = POLICY_DEFAULTS;

static const char *id_name(int id) {
    static const char *const names[IDS] = {"id0", "id1", "id2", "id3",  "id4",  "id5",  "id6",
                                           "id7", "id8", "id9", "id10", "id11", "id12", "id13"};
    return names[id];
}

/* ---- the model */

static const struct policy *policy_of(const struct model_namespace *namespace) {
    return &namespace->policy;
}

/* Forgets what the time has come to forget. */
static void entry_settle(const struct model_namespace *namespace, struct entry *entry, int64_t now_ms) {
    if (entry->kind == KIND_ALIAS && now_ms >= entry->alias_until) entry->kind = KIND_NONE;
    if (entry->kind == KIND_SESSION && !session_is_alive(&entry->session, now_ms)) {
        int64_t ended_at = session_died_at(&entry->session, now_ms);
        if (now_ms >= ended_at + policy_of(namespace)->retention_ms) {
            entry->kind = KIND_NONE;
            entry->gone_at = ended_at;
        }
    }
    bool is_over = now_ms >= entry->gone_at + policy_of(namespace)->tombstone_ms || entry->gone_at < namespace->floor;
    if (entry->kind == KIND_NONE && is_over) entry->gone_at = 0;
}

static void model_settle(struct play *play) {
    for (int n = 0; n < NAMESPACES; n++)
        for (int i = 0; i < IDS; i++)
            entry_settle(&play->namespaces[n], &play->namespaces[n].entries[i], play->world.now_ms);
}

static enum presence entry_presence(const struct play *play, const struct entry *entry) {
    if (entry->kind == KIND_ALIAS) return PRESENCE_TOMBSTONE;
    if (entry->kind == KIND_SESSION)
        return session_is_alive(&entry->session, play->world.now_ms) ? PRESENCE_ALIVE : PRESENCE_DEAD;
    return entry->gone_at ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
}

static bool entry_is_alive(const struct play *play, const struct entry *entry) {
    return entry_presence(play, entry) == PRESENCE_ALIVE;
}

static void entry_end(const struct model_namespace *namespace, struct entry *entry, int64_t now_ms) {
    entry->kind = KIND_NONE;
    entry->gone_at = policy_of(namespace)->tombstone_ms ? now_ms : 0;
}

static int model_count(const struct play *play, const struct model_namespace *namespace, int user, uint64_t statuses) {
    int count = 0;
    for (int i = 0; i < IDS; i++) {
        const struct entry *entry = &namespace->entries[i];
        if (entry->kind != KIND_SESSION || (user >= 0 && entry->user != user)) continue;
        count += (statuses & STATUS_BIT(session_status(&entry->session, play->world.now_ms))) != 0;
    }
    return count;
}

static bool client_is_kept(const struct model_namespace *namespace, int client) {
    for (int i = 0; i < IDS; i++)
        if (namespace->entries[i].kind == KIND_SESSION && namespace->entries[i].client == client) return true;
    return false;
}

static void client_enter(struct play *play, struct model_namespace *namespace, int client) {
    struct model_client *known = &namespace->clients[client];
    model_settle(play); /* of whom the write has replaced nothing may be left */
    if (!client_is_kept(namespace, client))
        *known = (struct model_client){.created_at = play->world.now_ms, .last = -1};
    known->updated_at = play->world.now_ms;
}

static void client_touch(struct play *play, struct model_namespace *namespace, int id) {
    const struct entry *entry = &namespace->entries[id];
    if (entry->client < 0) return;
    namespace->clients[entry->client].last = id;
    namespace->clients[entry->client].last_created_at = entry->session.created_at;
    namespace->clients[entry->client].updated_at = play->world.now_ms;
}

/* With single_session a session that enters a client replaces who is there. */
static void model_replace(struct play *play, struct model_namespace *namespace, int client) {
    for (int i = 0; i < IDS; i++) {
        struct entry *entry = &namespace->entries[i];
        if (entry->client != client || !entry_is_alive(play, entry)) continue;
        entry->session.status = STATUS_REPLACED;
        entry->session.status_at = play->world.now_ms;
        entry->session.version = 0; /* any */
    }
}

/* Makes room for one more session of the user. False: refused. */
static bool model_make_room(struct play *play, struct model_namespace *namespace, int user) {
    const struct policy *policy = policy_of(namespace);
    while (policy->max_sessions_per_user &&
           model_count(play, namespace, user, LIVING) >= (int)policy->max_sessions_per_user) {
        if (policy->session_limit_policy == SESSION_LIMIT_POLICY_REJECT) return false;
        struct entry *victim = NULL;
        for (int i = 0; i < IDS; i++) {
            struct entry *entry = &namespace->entries[i];
            if (entry->user != user || !entry_is_alive(play, entry)) continue;
            bool is_idle = policy->session_limit_policy == SESSION_LIMIT_POLICY_EVICT_IDLE;
            if (!victim || (is_idle ? entry->session.last_active_at < victim->session.last_active_at
                                    : entry->session.created_at < victim->session.created_at))
                victim = entry;
        }
        victim->session.status = STATUS_REVOKED;
        victim->session.status_at = play->world.now_ms;
        victim->session.version = 0; /* any */
    }
    return true;
}

/* ---- comparing */

static void check_session(const struct session *session, const struct entry *entry, const char *asked) {
    CHECK_EQUAL(session->created_at, entry->session.created_at);
    CHECK_EQUAL(session->last_active_at, entry->session.last_active_at);
    CHECK_EQUAL(session->idle_timeout_ms, entry->session.idle_timeout_ms);
    CHECK_EQUAL(session->absolute_timeout_ms, entry->session.absolute_timeout_ms);
    CHECK_EQUAL(session->abandon_timeout_ms, entry->session.abandon_timeout_ms);
    CHECK_EQUAL(session->absolute_expires_at, entry->session.absolute_expires_at);
    CHECK_EQUAL(session->status, entry->session.status);
    if (entry->session.version) CHECK_EQUAL(session->version, entry->session.version);
    CHECK(bytes_equal(session->id, bytes_of_string(asked)));
    CHECK(session->data.size >= sizeof(entry->data) &&
          memcmp(session->data.data, &entry->data, sizeof(entry->data)) == 0);
    CHECK(bytes_equal(session->user, entry->user < 0 ? BYTES_ABSENT : TEXT(user_names[entry->user])));
    CHECK(bytes_equal(session->client, entry->client < 0 ? BYTES_ABSENT : TEXT(user_names[entry->client])));
}

static void check_get(struct play *play, int n, int id, bool include_dead, bool touches) {
    struct model_namespace *namespace = &play->namespaces[n];
    struct entry *entry = &namespace->entries[id], *shown = entry;
    struct verb verb = verb_of(VERB_GET, namespace_names[n], id_name(id));
    verb.get.include_dead = include_dead;
    verb.get.is_touch = touches;
    contract_submit(&play->world, &verb);
    bool expected = entry_is_alive(play, entry) || (include_dead && entry_presence(play, entry) == PRESENCE_DEAD);
    if (touches && entry_is_alive(play, entry)) client_touch(play, namespace, id);
    if (touches && entry_is_alive(play, entry))
        entry->session.last_active_at =
            session_touched_at(&entry->session, policy_of(namespace)->touch_after_ms, play->world.now_ms);
    if (entry->kind == KIND_ALIAS) {
        shown = &namespace->entries[entry->target];
        expected = entry_is_alive(play, shown);
    }
    CHECK_EQUAL(verb.is_found, expected);
    if (verb.is_found && expected) check_session(&verb.session, shown, id_name(id));
}

static void check_list(struct play *play, int n, int user) {
    static struct listed listed;
    struct model_namespace *namespace = &play->namespaces[n];
    uint64_t statuses = prng_happens(&play->prng, 1, 2) ? LIVING : prng_next(&play->prng) & 0x1fe;
    bool is_oldest_first = prng_happens(&play->prng, 1, 2);
    contract_list(&play->world, namespace_names[n], user < 0 ? GROUP_NONE : GROUP_USER,
                  user < 0 ? NULL : user_names[user], statuses, 1 + (uint32_t)prng_below(&play->prng, 5),
                  is_oldest_first, &listed);
    int expected = 0;
    for (int i = 0; i < IDS; i++) {
        const struct entry *entry = &namespace->entries[i];
        bool is_in = entry->kind == KIND_SESSION && (user < 0 || entry->user == user) &&
                     statuses & STATUS_BIT(session_status(&entry->session, play->world.now_ms));
        CHECK_EQUAL(listed_has(&listed, id_name(i)), is_in);
        expected += is_in;
    }
    CHECK_EQUAL(listed.count, expected);
    if (user < 0) return;
    CHECK(listed.is_total_known);
    CHECK_EQUAL(listed.total, expected);
    for (unsigned i = 1; i < listed.count; i++)
        CHECK(is_oldest_first ? listed.created_at[i - 1] <= listed.created_at[i]
                              : listed.created_at[i - 1] >= listed.created_at[i]);
}

static void check_counts(struct play *play, int n) {
    for (int user = 0; user < USERS; user++)
        CHECK_EQUAL(contract_count(&play->world, namespace_names[n], GROUP_USER, user_names[user], LIVING),
                    model_count(play, &play->namespaces[n], user, LIVING));
    CHECK_EQUAL(contract_count(&play->world, namespace_names[n], GROUP_NONE, NULL, LIVING),
                model_count(play, &play->namespaces[n], -1, LIVING));
}

/* ---- steps */

static int64_t random_timeout(struct play *play) {
    return prng_happens(&play->prng, 1, 3) ? 0 : prng_between(&play->prng, 1, 120);
}

static struct put random_put(struct play *play) {
    struct put put = {.idle_timeout_ms = random_timeout(play),
                      .absolute_timeout_ms = random_timeout(play),
                      .abandon_timeout_ms = prng_happens(&play->prng, 1, 4) ? random_timeout(play) : 0};
    put.must_be_new = prng_happens(&play->prng, 1, 5);
    put.must_exist = !put.must_be_new && prng_happens(&play->prng, 1, 5);
    put.revives = prng_happens(&play->prng, 1, 4);
    put.keeps_activity = prng_happens(&play->prng, 1, 8);
    put.is_touch = prng_happens(&play->prng, 1, 6);
    put.clears_user = prng_happens(&play->prng, 1, 8);
    if (prng_happens(&play->prng, 1, 8))
        put.absolute_expires_at = play->world.now_ms + prng_between(&play->prng, -20, 60);
    if (!put.revives && prng_happens(&play->prng, 1, 10)) put.status = STATUS_ENDED;
    if (prng_happens(&play->prng, 1, 12)) put.status = STATUS_PENDING;
    return put;
}

static void model_new(struct play *play, struct entry *entry, const struct put *put) {
    *entry = (struct entry){.kind = KIND_SESSION, .user = -1, .client = -1};
    entry->session = (struct session){.status = STATUS_ACTIVE,
                                      .created_at = play->world.now_ms,
                                      .last_active_at = play->world.now_ms,
                                      .idle_timeout_ms = put->idle_timeout_ms,
                                      .absolute_timeout_ms = put->absolute_timeout_ms,
                                      .abandon_timeout_ms = put->abandon_timeout_ms,
                                      .absolute_expires_at = put->absolute_expires_at};
}

/* What the put makes of the entry; *code is what is to be answered. */
static struct entry model_put(struct play *play, struct model_namespace *namespace, const struct entry *old,
                              const struct put *put, int user, int client, enum error_code *code) {
    enum presence presence = entry_presence(play, old);
    struct entry entry = *old;
    bool is_closed = presence == PRESENCE_DEAD || presence == PRESENCE_TOMBSTONE;
    *code = is_closed && !put->revives                       ? ERROR_GONE
            : presence == PRESENCE_ALIVE && put->must_be_new ? ERROR_EXISTS
                                                             : ERROR_NONE;
    if (*code || (presence == PRESENCE_NONE && put->must_exist)) return entry;
    if (presence != PRESENCE_ALIVE) model_new(play, &entry, put);
    if (put->clears_user) entry.user = -1;
    if (user >= 0) entry.user = user;
    if (client >= 0) entry.client = client;
    if (!put->keeps_activity && play->world.now_ms > entry.session.last_active_at)
        entry.session.last_active_at = play->world.now_ms;
    if (put->status) entry.session.status = put->status;
    if (put->status) entry.session.status_at = status_is_living(put->status) ? 0 : play->world.now_ms;
    bool is_alive = session_is_alive(&entry.session, play->world.now_ms);
    uint64_t max = policy_of(namespace)->max_sessions;
    if (is_alive && presence != PRESENCE_ALIVE && max && model_count(play, namespace, -1, LIVING) >= (int)max)
        *code = ERROR_LIMIT;
    bool enters = entry.user >= 0 && is_alive && (presence != PRESENCE_ALIVE || entry.user != old->user);
    if (!*code && enters && !model_make_room(play, namespace, entry.user)) *code = ERROR_LIMIT;
    bool signs_in = entry.client >= 0 && is_alive && (presence != PRESENCE_ALIVE || entry.client != old->client);
    if (!*code && signs_in && policy_of(namespace)->single_session) model_replace(play, namespace, entry.client);
    return *code ? *old : entry;
}

static void step_put(struct play *play, int n, int id) {
    struct model_namespace *namespace = &play->namespaces[n];
    struct entry *entry = &namespace->entries[id];
    struct put put = random_put(play);
    int user = prng_happens(&play->prng, 2, 3) ? (int)prng_below(&play->prng, USERS) : -1;
    int client = prng_happens(&play->prng, 1, 3) ? (int)prng_below(&play->prng, USERS) : -1;
    uint8_t data[600] = {0};
    uint64_t mark = prng_next(&play->prng);
    memcpy(data, &mark, sizeof(mark));
    put.data = bytes_of(data, prng_between(&play->prng, 8, 600));
    if (user >= 0) put.user = TEXT(user_names[user]);
    if (client >= 0) put.client = TEXT(user_names[client]);
    enum error_code code;
    struct entry before = *entry, after = model_put(play, namespace, entry, &put, user, client, &code);
    struct verb verb = contract_put(&play->world, namespace_names[n], id_name(id), put);
    CHECK_EQUAL(verb.error.code, code);
    if (verb.outcome == OUTCOME_REPLACE) {
        after.data = mark;
        after.gone_at = 0;
        after.session.version = verb.session.version;
        bool revives = before.kind == KIND_SESSION && !session_is_alive(&before.session, play->world.now_ms) &&
                       session_is_alive(&after.session, play->world.now_ms);
        bool stays = before.kind == KIND_SESSION && before.client == after.client && !revives &&
                     before.session.created_at == after.session.created_at;
        if (after.client >= 0 && !stays) client_enter(play, namespace, after.client);
        *entry = after;
        if (put.is_touch) client_touch(play, namespace, id);
        namespace->exists = true;
        check_session(&verb.session, entry, id_name(id));
    } else if (!code) {
        CHECK(entry_presence(play, entry) == PRESENCE_NONE && put.must_exist);
    }
}

static void step_remove(struct play *play, int n, int id) {
    struct entry *entry = &play->namespaces[n].entries[id];
    struct verb verb = contract_remove(&play->world, namespace_names[n], id_name(id));
    CHECK_EQUAL(verb.outcome == OUTCOME_REMOVE, entry->kind == KIND_SESSION);
    if (entry->kind == KIND_SESSION) entry_end(&play->namespaces[n], entry, play->world.now_ms);
}

static void step_touch(struct play *play, int n, int id) {
    struct model_namespace *namespace = &play->namespaces[n];
    struct entry *entry = &namespace->entries[id];
    enum presence presence = entry_presence(play, entry);
    bool by_rule = prng_happens(&play->prng, 1, 2);
    struct verb verb =
        (by_rule ? contract_update_touch : contract_touch)(&play->world, namespace_names[n], id_name(id));
    CHECK_EQUAL(verb.is_found, presence == PRESENCE_ALIVE);
    CHECK_EQUAL(verb.error.code, presence == PRESENCE_DEAD || presence == PRESENCE_TOMBSTONE ? ERROR_GONE : ERROR_NONE);
    if (presence == PRESENCE_DEAD && !by_rule)
        CHECK_EQUAL(verb.error.status, session_status(&entry->session, play->world.now_ms));
    if (presence != PRESENCE_ALIVE) return;
    client_touch(play, namespace, id);
    entry->session.last_active_at =
        session_touched_at(&entry->session, policy_of(namespace)->touch_after_ms, play->world.now_ms);
    check_session(&verb.session, entry, id_name(id));
}

static enum error_code model_move(struct play *play, struct model_namespace *namespace, struct entry *old,
                                  struct entry *new, int user) {
    if (old == new || entry_presence(play, new) == PRESENCE_ALIVE) return ERROR_EXISTS;
    if (entry_presence(play, new) != PRESENCE_NONE) return ERROR_GONE;
    bool enters = user >= 0 && user != old->user;
    return enters && !model_make_room(play, namespace, user) ? ERROR_LIMIT : ERROR_NONE;
}

static void step_move(struct play *play, int n, int id) {
    struct model_namespace *namespace = &play->namespaces[n];
    int new_id = (int)prng_below(&play->prng, IDS);
    struct entry *old = &namespace->entries[id], *new = &namespace->entries[new_id];
    int user = prng_happens(&play->prng, 1, 2) ? (int)prng_below(&play->prng, USERS) : -1;
    int64_t grace_ms = prng_happens(&play->prng, 1, 2) ? prng_between(&play->prng, 1, 80) : 0;
    enum presence presence = entry_presence(play, old);
    enum error_code code = presence == PRESENCE_DEAD || presence == PRESENCE_TOMBSTONE ? ERROR_GONE : ERROR_NONE;
    if (presence == PRESENCE_ALIVE) code = model_move(play, namespace, old, new, user);
    struct rename rename = {.id = TEXT(id_name(new_id)), .sets_user = user >= 0};
    if (user >= 0) rename.user = TEXT(user_names[user]);
    struct verb verb = contract_move(&play->world, namespace_names[n], id_name(id), rename, grace_ms);
    CHECK_EQUAL(verb.error.code, code);
    CHECK_EQUAL(verb.is_found, code == ERROR_NONE && presence == PRESENCE_ALIVE);
    if (code || presence != PRESENCE_ALIVE) return;
    if (old->client >= 0) {
        struct model_client *client = &namespace->clients[old->client];
        client_enter(play, namespace, old->client);
        if (client->last == id && client->last_created_at == old->session.created_at) client->last = new_id;
    }
    *new = *old;
    new->session.version = verb.session.version;
    if (user >= 0) new->user = user;
    entry_end(namespace, old, play->world.now_ms);
    if (grace_ms) {
        old->kind = KIND_ALIAS;
        old->target = new_id;
        old->gone_at = play->world.now_ms;
        old->alias_until = play->world.now_ms + grace_ms;
    }
    check_session(&verb.session, new, id_name(new_id));
}

/* True: it is one that this ends. */
static bool model_end(struct play *play, struct model_namespace *namespace, struct entry *entry, enum end_kind end) {
    enum status from = session_status(&entry->session, play->world.now_ms),
                to = end == END_REVOKE ? STATUS_REVOKED : STATUS_REMOVED;
    if (end == END_DESTROY) {
        entry_end(namespace, entry, play->world.now_ms);
        return true;
    }
    if (!status_can_become(from, to)) return false;
    entry->session.status = to;
    entry->session.status_at = play->world.now_ms;
    entry->session.version = 0;
    return true;
}

static void step_end_group(struct play *play, int n) {
    static const enum end_kind ends[] = {END_REVOKE, END_REVOKE, END_REMOVE, END_DESTROY};
    struct model_namespace *namespace = &play->namespaces[n];
    int member = (int)prng_below(&play->prng, USERS), spared = (int)prng_below(&play->prng, IDS), expected = 0;
    struct buf except = BUF_EMPTY;
    mp_write_array(&except, 2);
    mp_write_string(&except, id_name(spared));
    mp_write_string(&except, "nobody");
    struct verb verb = verb_of(VERB_END_ALL, namespace_names[n], NULL);
    verb.end_all.end = ends[prng_below(&play->prng, 4)];
    verb.end_all.group = prng_happens(&play->prng, 1, 2) ? GROUP_USER : GROUP_CLIENT;
    verb.end_all.group_name = TEXT(user_names[member]);
    verb.end_all.except = buf_bytes(&except);
    contract_submit(&play->world, &verb);
    buf_fini(&except);
    for (int i = 0; i < IDS; i++) {
        struct entry *entry = &namespace->entries[i];
        int of = verb.end_all.group == GROUP_USER ? entry->user : entry->client;
        if (i == spared || entry->kind != KIND_SESSION || of != member) continue;
        expected += model_end(play, namespace, entry, verb.end_all.end);
    }
    CHECK_EQUAL(verb.scan_result.total, expected);
}

/* Reads a client, or makes one of its sessions the last active one. */
static void step_client(struct play *play, int n, int id) {
    struct model_namespace *namespace = &play->namespaces[n];
    int client = (int)prng_below(&play->prng, USERS);
    struct model_client *known = &namespace->clients[client];
    bool activates = prng_happens(&play->prng, 1, 3), exists = client_is_kept(namespace, client);
    bool is_its = namespace->entries[id].client == client && entry_is_alive(play, &namespace->entries[id]);
    struct verb verb = verb_of(VERB_CONFIGURE, namespace_names[n], activates ? id_name(id) : NULL);
    verb.configure.group = GROUP_CLIENT;
    verb.configure.group_name = TEXT(user_names[client]);
    contract_submit(&play->world, &verb);
    CHECK_EQUAL(verb.error.code, exists && activates && !is_its ? ERROR_CONFLICT : ERROR_NONE);
    if (verb.error.code) return;
    CHECK_EQUAL(verb.is_found, exists);
    if (!exists) return;
    if (activates) client_touch(play, namespace, id);
    CHECK_EQUAL(verb.client_state.created_at, known->created_at);
    CHECK_EQUAL(verb.client_state.updated_at, known->updated_at);
    const struct entry *last = known->last < 0 ? NULL : &namespace->entries[known->last];
    bool has_last = last && last->kind == KIND_SESSION && last->client == client &&
                    last->session.created_at == known->last_created_at;
    CHECK_EQUAL(verb.client_state.has_last_active, has_last);
    if (has_last && verb.client_state.has_last_active)
        check_session(&verb.client_state.last_active, last, id_name(known->last));
}

static void step_end(struct play *play, int n) {
    struct model_namespace *namespace = &play->namespaces[n];
    enum end_kind end = prng_happens(&play->prng, 1, 2)   ? END_PURGE
                        : prng_happens(&play->prng, 2, 3) ? END_CLEAR
                                                          : END_DROP;
    int expected = model_count(play, namespace, -1, LIVING);
    struct verb verb = contract_end(&play->world, namespace_names[n], end);
    CHECK_EQUAL(verb.is_found, namespace->exists);
    if (end != END_PURGE && namespace->exists && end == END_CLEAR) CHECK_EQUAL(verb.scan_result.total, expected);
    for (int i = 0; i < IDS; i++) {
        struct entry *entry = &namespace->entries[i];
        int64_t now_ms = play->world.now_ms;
        if (end == END_PURGE && entry_presence(play, entry) == PRESENCE_DEAD) {
            entry->kind = KIND_NONE;
            entry->gone_at = session_died_at(&entry->session, now_ms);
        }
        if (end == END_CLEAR && entry->kind != KIND_NONE) entry_end(namespace, entry, now_ms);
        if (end == END_DROP) *entry = (struct entry){0};
    }
    if (end == END_DROP) {
        namespace->exists = false;
        lives_drop(&play->lives, namespace_names[n]);
        namespace->policy = defaults;
        namespace->floor = 0;
    }
}

static void step_configure(struct play *play, int n) {
    static const int64_t retentions[] = {0, 0, 15, 40, 100}, tombstones[] = {0, 10, 50, 50, 120};
    struct model_namespace *namespace = &play->namespaces[n];
    struct policy_change change = {.given = 0};
    change = policy_set(change, POLICY_RETENTION_MS, retentions[prng_below(&play->prng, 5)]);
    change = policy_set(change, POLICY_TOMBSTONE_MS, tombstones[prng_below(&play->prng, 5)]);
    change = policy_set(change, POLICY_TOUCH_AFTER_MS, prng_between(&play->prng, 0, 10));
    change =
        policy_set(change, POLICY_MAX_SESSIONS, prng_happens(&play->prng, 1, 3) ? prng_between(&play->prng, 1, 8) : 0);
    change = policy_set(change, POLICY_MAX_SESSIONS_PER_USER, prng_between(&play->prng, 0, 4));
    change = policy_set(change, POLICY_SINGLE_SESSION, prng_happens(&play->prng, 1, 3));
    change = policy_set(change, POLICY_SESSION_LIMIT_POLICY, prng_between(&play->prng, 0, 2));
    struct verb verb = contract_configure(&play->world, namespace_names[n], change);
    CHECK(verb.is_found && !verb.error.code);
    namespace->exists = true;
    /* What ended longer ago than the old tombstone_ms leaves no tombstone, also where it is still kept. */
    int64_t floor = play->world.now_ms - namespace->policy.tombstone_ms + 1;
    if (change.values.tombstone_ms > namespace->policy.tombstone_ms && floor > namespace->floor)
    namespace->floor = floor;
    namespace->policy.retention_ms = change.values.retention_ms;
    namespace->policy.tombstone_ms = change.values.tombstone_ms;
    namespace->policy.touch_after_ms = change.values.touch_after_ms;
    namespace->policy.max_sessions = change.values.max_sessions;
    namespace->policy.max_sessions_per_user = change.values.max_sessions_per_user;
    namespace->policy.single_session = change.values.single_session;
    namespace->policy.session_limit_policy = change.values.session_limit_policy;
}

static void step(struct play *play) {
    int n = prng_happens(&play->prng, 3, 4) ? 0 : 1;
    int id = (int)prng_below(&play->prng, IDS);
    play->world.loop = (unsigned)prng_below(&play->prng, LOOPS);
    switch (prng_below(&play->prng, 40)) {
    case 0: step_end(play, n); break;
    case 1: step_configure(play, n); break;
    case 2:
    case 3: step_end_group(play, n); break;
    case 4:
    case 5: contract_advance(&play->world); break;
    case 6: check_list(play, n, (int)prng_below(&play->prng, USERS)); break;
    case 7: check_list(play, n, -1); break;
    case 8: check_counts(play, n); break;
    case 9:
    case 10:
    case 11: step_remove(play, n, id); break;
    case 12:
    case 13:
    case 14:
    case 15: step_move(play, n, id); break;
    case 16:
    case 17:
    case 18: step_touch(play, n, id); break;
    case 19:
    case 20: check_get(play, n, id, false, true); break;
    case 21:
    case 22: step_client(play, n, id); break;
    default:
        if (prng_happens(&play->prng, 1, 2))
            step_put(play, n, id);
        else
            check_get(play, n, id, prng_happens(&play->prng, 1, 2), false);
    }
}

/* Everything that is due was worked off: who hears knows who lives. */
static void check_lives(struct play *play) {
    contract_advance(&play->world);
    lives_hear(&play->world, &play->lives);
    for (int n = 0; n < NAMESPACES; n++)
        for (int i = 0; i < IDS; i++)
            CHECK_EQUAL(lives_is_alive(&play->lives, namespace_names[n], id_name(i)),
                        entry_is_alive(play, &play->namespaces[n].entries[i]));
}

void contract_random(uint64_t seed, unsigned shard_bits, unsigned steps) {
    struct play play = {.world = contract_open(shard_bits), .prng = prng_of(seed)};
    unsigned before = failures;
    for (int n = 0; n < NAMESPACES; n++) play.namespaces[n].policy = defaults;
    lives_watch(&play.world);
    for (unsigned i = 0; i < steps && failures == before; i++) {
        play.world.now_ms += prng_happens(&play.prng, 1, 10) ? prng_between(&play.prng, 1, 60) : 1;
        if (i % 8 == 0) play.world.engine->vtable->move_all(play.world.engine, play.world.now_ms);
        model_settle(&play);
        step(&play);
        lives_hear(&play.world, &play.lives);
        if (i % 128 == 0) check_lives(&play);
        if (i % 64 == 0) play.world.engine->vtable->check(play.world.engine);
        if (failures != before) fprintf(stderr, "seed %" PRIu64 ", step %u\n", seed, i);
    }
    contract_close(&play.world);
}
