/* What the engine holds, as the ledger wants it: every session with what has to last of it, tombstones, policies.
 * By the engine's own verbs, of which none changes anything. */
#include "base/hash.h"
#include "op/pool.h"
#include "wire/codec.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

const char *const namespace_names[NAMESPACES_MAX] = {"web", "jobs", "tmp"};

struct looking {
    struct world *world;
    unsigned namespace, loop;
    uint64_t limit; /* of a user's sessions; 0: none */
    struct sight *seen;
    bool is_seen[KEYS_MAX];
};

static void submit(struct looking *looking, struct verb *verb) {
    struct engine *engine = looking->world->engine;
    enum submit_state state;
    verb->namespace = bytes_of_string(namespace_names[looking->namespace]);
    engine->vtable->submit(engine, looking->loop, verb, &state, 1, looking->world->now_ms);
}

static void put(struct looking *looking, enum key_kind kind, struct bytes name, const struct sight *sight) {
    unsigned key = ledger_key(&looking->world->ledger, kind, looking->namespace, name);
    looking->seen[key] = *sight;
    looking->is_seen[key] = true;
}

/* ---------------------------------------------------------------- sessions */

static uint64_t add_bytes(uint64_t digest, struct bytes bytes) {
    return hash_checksum(digest + (bytes.data ? 1 : 2), bytes);
}

static uint64_t add_number(uint64_t digest, uint64_t number) {
    return hash_checksum(digest, bytes_of(&number, sizeof number));
}

static uint64_t digest_of(const struct session *session) {
    const struct bytes texts[] = {session->id,   session->user,   session->client,      session->data,
                                  session->meta, session->reason, session->replaced_by, session->pool,
                                  session->tags, session->token,  session->bound};
    const int64_t numbers[] = {(int64_t)session->version,    session->created_at,         session->idle_timeout_ms,
                               session->absolute_timeout_ms, session->abandon_timeout_ms, session->absolute_expires_at,
                               session->status_at,           (int64_t)session->status,    session->birth};
    uint64_t digest = 0;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) digest = add_bytes(digest, texts[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) digest = add_number(digest, (uint64_t)numbers[i]);
    return digest;
}

/* How a pool's session was used. */
static void see_usage(struct looking *looking, unsigned key) {
    struct verb get = {.kind = VERB_GET, .id = bytes_of_string(looking->world->ledger.keys[key].name)};
    get.get.include_dead = true;
    submit(looking, &get);
    if (!get.is_found || !get.session.usage) return;
    struct sight sight = {.kind = SIGHT_THERE, .user = -1, .usage = *get.session.usage};
    snprintf(sight.says, sizeof sight.says,
             "used %llu of %llu, %llu errors, score %g, last %lld, lease %lld, retired %lld",
             (unsigned long long)sight.usage.usage_count, (unsigned long long)sight.usage.max_usage_count,
             (unsigned long long)sight.usage.error_count, sight.usage.error_score, (long long)sight.usage.last_used_at,
             (long long)sight.usage.lease_expires_at, (long long)sight.usage.retired_at);
    put(looking, KEY_USAGE, get.id, &sight);
}

static bool see_session(void *context, const struct session *session) {
    struct looking *looking = context;
    struct world *world = looking->world;
    struct sight sight = {.kind = SIGHT_THERE,
                          .digest = digest_of(session),
                          .active_at = session->last_active_at,
                          .user = session->user.data ? session->user.data[session->user.size - 1] - '0' : -1};
    sight.life = *session;
    sight.life.id = sight.life.user = sight.life.client = sight.life.data = sight.life.meta = sight.life.reason =
        sight.life.replaced_by = sight.life.pool = sight.life.tags = sight.life.token = sight.life.bound = BYTES_ABSENT;
    sight.life.usage = NULL;
    snprintf(sight.says, sizeof sight.says, "v%llu %s user %d idle %lld absolute %lld at %lld, %zu bytes %04x",
             (unsigned long long)session->version, status_name(session->status), sight.user,
             (long long)session->idle_timeout_ms, (long long)session_absolute_deadline(session),
             (long long)session->status_at, session->data.size, (unsigned)(add_bytes(0, session->data) & 0xffff));
    sight.has_usage = session->pool.data != NULL;
    put(looking, KEY_SESSION, session->id, &sight);
    if (session->version > world->newest_version) world->newest_version = session->version;
    return true;
}

static void see_sessions(struct looking *looking) {
    char cursor[SCAN_CURSOR_MAX];
    struct verb verb = {.kind = VERB_SCAN};
    verb.scan.statuses = ~UINT64_C(0);
    verb.scan.limit = 1000;
    verb.scan.each = see_session;
    verb.scan.context = looking;
    do {
        submit(looking, &verb);
        memcpy(cursor, verb.scan_result.cursor, sizeof cursor);
        verb.scan.cursor = bytes_of(cursor, verb.scan_result.cursor_size);
    } while (verb.scan_result.cursor_size);
}

/* ---------------------------------------------------------------- ids under which no session is listed */

struct probe {
    enum presence presence;
};

static enum outcome look_only(const struct update_input *input, struct session *draft, struct error *error) {
    struct probe *probe = (struct probe *)(uintptr_t)input->arguments;
    (void)draft;
    (void)error;
    probe->presence = input->presence;
    return OUTCOME_KEEP;
}

static void see_id(struct looking *looking, unsigned key) {
    struct bytes id = bytes_of_string(looking->world->ledger.keys[key].name);
    struct probe probe = {PRESENCE_NONE};
    struct verb verb = {.kind = VERB_UPDATE, .id = id};
    verb.update.rule = look_only;
    verb.update.arguments = &probe;
    submit(looking, &verb);
    struct sight sight = {.kind = probe.presence == PRESENCE_NONE ? SIGHT_NOTHING : SIGHT_TOMBSTONE, .user = -1};
    if (probe.presence == PRESENCE_ALIVE || probe.presence == PRESENCE_DEAD)
        world_fail(looking->world, "%.*s is there but in no list", (int)id.size, (const char *)id.data);
    struct verb get = {.kind = VERB_GET, .id = id};
    submit(looking, &get);
    if (get.is_found) sight.kind = SIGHT_ALIAS;
    looking->seen[key] = sight;
}

/* ---------------------------------------------------------------- namespaces */

static void see_namespace(struct looking *looking) {
    struct world *world = looking->world;
    struct verb verb = {.kind = VERB_CONFIGURE};
    struct sight sight = {.kind = SIGHT_NOTHING, .user = -1};
    submit(looking, &verb);
    looking->limit = verb.is_found ? verb.namespace_state.policy->max_sessions_per_user : 0;
    if (verb.is_found) {
        struct buf encoded = BUF_EMPTY;
        const struct namespace_state *state = &verb.namespace_state;
        struct keeping *keeping = &world->ledger.keeping[looking->namespace];
        codec_write_policy(&encoded, state->policy);
        sight.kind = SIGHT_THERE;
        sight.digest =
            add_number(add_bytes(0, buf_bytes(&encoded)), (uint64_t)state->purge_interval_ms * 2 + state->is_purging);
        buf_fini(&encoded);
        if (state->policy->retention_ms < keeping->retention_ms) keeping->retention_ms = state->policy->retention_ms;
        if (state->policy->tombstone_ms < keeping->tombstone_ms) keeping->tombstone_ms = state->policy->tombstone_ms;
        keeping->has_purged |= state->is_purging;
    }
    put(looking, KEY_NAMESPACE, bytes_of_string(namespace_names[looking->namespace]), &sight);
}

/* A pool is there as long as its policy is one of its own. */
static void see_pool(struct looking *looking, const char *name) {
    struct verb verb = {.kind = VERB_CONFIGURE};
    struct sight sight = {.kind = SIGHT_NOTHING, .user = -1};
    struct buf own = BUF_EMPTY, plain = BUF_EMPTY;
    verb.configure.group = GROUP_POOL;
    verb.configure.group_name = bytes_of_string(name);
    submit(looking, &verb);
    codec_write_pool_policy(&own, &verb.pool_state.policy);
    codec_write_pool_policy(&plain, &pool_policy_defaults);
    if (verb.is_found && !bytes_equal(buf_bytes(&own), buf_bytes(&plain)))
        sight.kind = SIGHT_THERE, sight.digest = add_bytes(0, buf_bytes(&own));
    buf_fini(&own);
    buf_fini(&plain);
    put(looking, KEY_POOL, bytes_of_string(name), &sight);
}

/* ---------------------------------------------------------------- clients */

/* Since when it is, and which of its sessions was active last. */
static void see_client(struct looking *looking, const char *name) {
    struct verb verb = {.kind = VERB_CONFIGURE};
    struct sight sight = {.kind = SIGHT_NOTHING, .user = -1};
    verb.configure.group = GROUP_CLIENT;
    verb.configure.group_name = bytes_of_string(name);
    submit(looking, &verb);
    if (verb.is_found) {
        const struct client_state *state = &verb.client_state;
        sight.kind = SIGHT_THERE;
        sight.life.created_at = state->created_at;
        if (state->has_last_active) sight.digest = add_bytes(1, state->last_active.id);
        snprintf(sight.says, sizeof sight.says, "since %lld, last %.*s", (long long)state->created_at,
                 state->has_last_active ? (int)state->last_active.id.size : 0,
                 state->has_last_active ? (const char *)state->last_active.id.data : "");
    }
    put(looking, KEY_CLIENT, bytes_of_string(name), &sight);
}

/* ---------------------------------------------------------------- users */

static uint64_t count_living(const struct looking *looking, int user) {
    const struct world *world = looking->world;
    uint64_t living = 0;
    for (unsigned i = 0; i < world->ledger.key_count; i++) {
        const struct key *key = &world->ledger.keys[i];
        const struct sight *sight = &looking->seen[i];
        living += key->kind == KEY_SESSION && key->namespace == looking->namespace && sight->kind == SIGHT_THERE &&
                  sight->user == user && session_is_alive(&sight->life, world->now_ms);
    }
    return living;
}

/* A user's sessions are those that name it, and what enters a full user is no longer admitted. */
static void check_user(struct looking *looking, int user) {
    struct world *world = looking->world;
    const char name[] = {'u', (char)('0' + user), 0};
    uint64_t living = count_living(looking, user), *before = &world->living[looking->namespace][user];
    struct verb verb = {.kind = VERB_SCAN};
    verb.scan.group = GROUP_USER;
    verb.scan.group_name = bytes_of_string(name);
    verb.scan.statuses = UINT64_C(1) << STATUS_ACTIVE | UINT64_C(1) << STATUS_PENDING;
    submit(looking, &verb);
    if (verb.scan_result.is_total_known && verb.scan_result.total != living)
        world_fail(world, "%s has %llu sessions in %s by its list, and %llu name it", name,
                   (unsigned long long)verb.scan_result.total, namespace_names[looking->namespace],
                   (unsigned long long)living);
    if (looking->limit && living > looking->limit && living > *before && !world->is_judging)
        world_fail(world, "%s has %llu sessions in %s, %llu are allowed, and there were %llu", name,
                   (unsigned long long)living, namespace_names[looking->namespace], (unsigned long long)looking->limit,
                   (unsigned long long)*before);
    *before = living;
}

/* ---------------------------------------------------------------- all of it */

void look_all(struct world *world, unsigned loop, struct sight *seen) {
    struct looking looking = {.world = world, .loop = loop, .seen = seen};
    bool was_quiet = world->is_quiet;
    world->is_quiet = true;
    for (unsigned i = 0; i < NAMESPACES_MAX; i++) {
        looking.namespace = i;
        see_namespace(&looking);
        see_sessions(&looking);
        for (unsigned key = 0, count = world->ledger.key_count; key < count; key++)
            if (looking.is_seen[key] && world->ledger.keys[key].namespace == i && seen[key].has_usage)
                see_usage(&looking, key);
        see_pool(&looking, "p0");
        see_pool(&looking, "p1");
        for (unsigned n = 0; n < 3 && world->has_clients; n++)
            see_client(&looking, (const char[][3]){"c0", "c1", "c2"}[n]);
        for (unsigned key = 0; key < world->ledger.key_count; key++) {
            const struct key *it = &world->ledger.keys[key];
            if (it->namespace != i || looking.is_seen[key]) continue;
            seen[key] = (struct sight){.kind = SIGHT_NOTHING, .user = -1};
            if (it->kind == KEY_SESSION) see_id(&looking, key);
        }
        for (int user = 0; user < USERS_COUNT; user++) check_user(&looking, user);
    }
    world->is_quiet = was_quiet;
}

/* What is written in this life bears a version that nothing before it bore. */
static void check_version(struct world *world, unsigned key, const struct sight *sight) {
    uint64_t version = sight->life.version;
    if (world->ledger.keys[key].kind != KEY_SESSION || sight->kind != SIGHT_THERE) return;
    if (version == world->ledger.now[key].life.version || version > world->version_floor) return;
    world_fail(world, "%s has the version %llu, and %llu was taken in an earlier life", world->ledger.keys[key].name,
               (unsigned long long)version, (unsigned long long)world->version_floor);
}

void look_write(struct world *world, unsigned loop) {
    static struct sight seen[KEYS_MAX];
    bool takes_touches = atomic_load(&log_journal(world->log)->state) == JOURNAL_OPEN;
    look_all(world, loop, seen);
    for (unsigned i = 0; i < world->ledger.key_count; i++) {
        check_version(world, i, &seen[i]);
        ledger_see(&world->ledger, i, &seen[i], loop, world->now_ms, takes_touches);
    }
}
