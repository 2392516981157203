/* See contract.h; and the main program: `contract [seeds]`. */
#include "contract.h"
#include "base/prng.h"
#include "wire/codec.h"

unsigned failures, checks;

static struct prng entropy = {42};
static unsigned wakes, preparings;

static void test_random(void *context, void *out, size_t size) {
    (void)context;
    prng_fill(&entropy, out, size);
}
/* What another loop is to do at a moment of the verb under test. */
static void (*point_action)(struct world *world), (*wake_action)(struct world *world);
static struct world *point_world;
static unsigned point_number;

void contract_at_point(struct world *world, unsigned number, void (*action)(struct world *world)) {
    point_world = world;
    point_number = number;
    point_action = action;
}

void contract_at_wake(struct world *world, void (*action)(struct world *world)) {
    point_world = world;
    wake_action = action;
}

static void run_action(void (**place)(struct world *world)) {
    struct world other = *point_world;
    void (*action)(struct world * world) = *place;
    *place = NULL;
    other.loop = 1 - other.loop;
    action(&other);
}

static void test_wake(void *context, unsigned loop_index) {
    (void)context, (void)loop_index;
    wakes++;
    if (wake_action) run_action(&wake_action);
}

static void test_point(void *context) {
    (void)context;
    if (point_action && point_number-- == 0) run_action(&point_action);
}

static void test_prepare(void *context) {
    (void)context;
    preparings++;
}

static const struct env env = {.random = test_random, .wake = test_wake, .prepare = test_prepare, .point = test_point};

unsigned contract_wakes(void) {
    return wakes;
}

unsigned contract_preparings(void) {
    return preparings;
}

static size_t pool_session_make(void *context, char *id) {
    static unsigned made;
    (void)context;
    return (size_t)snprintf(id, 24, "made%u", ++made);
}

static void pool_session_begin(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                               struct session *draft, struct usage *usage) {
    (void)policy;
    draft->status = STATUS_ACTIVE;
    draft->created_at = draft->last_active_at = now_ms;
    draft->absolute_timeout_ms = pool->absolute_timeout_ms;
    draft->idle_timeout_ms = pool->idle_timeout_ms;
    draft->data = BYTES_LITERAL("\x80");
    *usage = (struct usage){.max_usage_count = pool->max_usage_count,
                            .max_error_score = pool->max_error_score,
                            .error_score_decrement = pool->error_score_decrement};
}

bool (*contract_done)(unsigned loop, struct verb *verb);

/* The end of a large group that contract_submit waits for; its ticket. */
static struct verb *awaited;
static uint64_t awaited_ticket;

static bool test_done(void *context, unsigned loop, struct verb *verb) {
    (void)context;
    if (awaited && verb->kind == VERB_END_ALL && verb->private[0] == awaited_ticket) {
        *awaited = *verb;
        awaited = NULL;
        return true;
    }
    return contract_done && contract_done(loop, verb);
}

struct world contract_open(unsigned shard_bits) {
    return contract_open_at(shard_bits, START, NULL);
}

struct world contract_open_at(unsigned shard_bits, int64_t now_ms, struct journal *journal) {
    struct engine_options options = {.loop_count = LOOPS,
                                     .shard_bits = shard_bits,
                                     .now_ms = now_ms,
                                     .journal = journal,
                                     .policy_encode = codec_write_policy,
                                     .policy_decode = codec_read_policy,
                                     .pool_policy_encode = codec_write_pool_policy,
                                     .pool_policy_decode = codec_read_pool_policy,
                                     .env = &env,
                                     .policy_apply = policy_apply,
                                     .pool_policy_apply = pool_policy_apply,
                                     .pool_session_make = pool_session_make,
                                     .pool_session_begin = pool_session_begin};
    struct world world = {.engine = memory_engine_open(&options), .now_ms = now_ms};
    if (!world.engine) abort();
    world.engine->vtable->set_done(world.engine, test_done, NULL);
    contract_done = NULL;
    return world;
}

void contract_close(struct world *world) {
    world->engine->vtable->check(world->engine);
    world->engine->vtable->close(world->engine);
}

static void turn_begin(struct world *world) {
    world->engine->vtable->enter(world->engine, world->loop);
}
static void turn_end(struct world *world) {
    world->engine->vtable->leave(world->engine, world->loop);
}

static void (*next_look)(const struct verb *verb);

void contract_look(void (*look)(const struct verb *verb)) {
    next_look = look;
}

enum submit_state contract_try(struct world *world, struct verb *verb) {
    enum submit_state state = SUBMIT_PENDING;
    void (*look)(const struct verb *verb) = next_look;
    next_look = NULL;
    turn_begin(world);
    world->engine->vtable->submit(world->engine, world->loop, verb, &state, 1, world->now_ms);
    if (look) look(verb);
    turn_end(world);
    return state;
}

unsigned contract_submit(struct world *world, struct verb *verb) {
    unsigned slices = 0;
    if (contract_try(world, verb) == SUBMIT_DONE) return 0;
    CHECK_EQUAL(verb->kind, VERB_END_ALL);
    awaited_ticket = verb->private[0];
    for (awaited = verb; awaited; slices++) {
        turn_begin(world);
        world->engine->vtable->advance(world->engine, world->loop, world->now_ms, 10);
        turn_end(world);
    }
    return slices;
}

int64_t contract_advance(struct world *world) {
    int64_t earliest = INT64_MAX;
    unsigned loop = world->loop;
    /* Twice: the sweep of a namespace is settled by the loop that ends last. */
    for (unsigned i = 0; i < 2 * LOOPS; i++) {
        world->loop = i % LOOPS;
        int64_t next;
        do {
            turn_begin(world);
            next = world->engine->vtable->advance(world->engine, world->loop, world->now_ms, 10);
            turn_end(world);
        } while (next <= world->now_ms);
        if (i >= LOOPS && next < earliest) earliest = next;
    }
    world->loop = loop;
    return earliest;
}

/* ---- rules */

static enum outcome refuse(struct error *error, enum error_code code) {
    *error = error_make(code, "refused by the test's rule");
    return OUTCOME_ERROR;
}

static void put_new(const struct put *put, const struct update_input *input, struct session *draft) {
    memset(draft, 0, sizeof(*draft));
    draft->status = STATUS_ACTIVE;
    draft->created_at = put->created_at ? put->created_at : input->now_ms;
    draft->last_active_at = input->now_ms;
    draft->idle_timeout_ms = put->idle_timeout_ms;
    draft->absolute_timeout_ms = put->absolute_timeout_ms;
    draft->abandon_timeout_ms = put->abandon_timeout_ms;
    draft->absolute_expires_at = put->absolute_expires_at;
    draft->data = BYTES_LITERAL("\x80");
}

enum outcome put_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct put *put = input->arguments;
    bool is_closed = input->presence == PRESENCE_DEAD || input->presence == PRESENCE_TOMBSTONE;
    if (is_closed && !put->revives) return refuse(error, ERROR_GONE);
    if (input->presence == PRESENCE_ALIVE && put->must_be_new) return refuse(error, ERROR_EXISTS);
    if (input->presence == PRESENCE_NONE && put->must_exist) return OUTCOME_KEEP;
    if (input->presence != PRESENCE_ALIVE) put_new(put, input, draft);
    if (put->user.data || put->clears_user) draft->user = put->user;
    if (put->client.data) draft->client = put->client;
    if (put->pool.data) draft->pool = put->pool;
    if (put->usage) draft->usage = put->usage;
    if (put->tags.data) draft->tags = put->tags;
    if (put->token.data) draft->token = put->token;
    if (put->bound.data) draft->bound = put->bound;
    if (put->data.data) draft->data = put->data;
    if (put->meta.data) draft->meta = put->meta;
    if (!put->keeps_activity && input->now_ms > draft->last_active_at) draft->last_active_at = input->now_ms;
    draft->is_touch = put->is_touch;
    if (put->status) {
        draft->status = put->status;
        draft->status_at = status_is_living(put->status) ? 0 : input->now_ms;
    }
    return OUTCOME_REPLACE;
}

enum outcome remove_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    return input->old ? OUTCOME_REMOVE : OUTCOME_KEEP;
}

enum outcome touch_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft;
    if (input->presence == PRESENCE_NONE) return OUTCOME_KEEP;
    return input->presence == PRESENCE_ALIVE ? OUTCOME_TOUCH : refuse(error, ERROR_GONE);
}

enum outcome keep_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)input, (void)draft, (void)error;
    return OUTCOME_KEEP;
}

enum outcome rename_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct rename *rename = input->arguments;
    if (input->presence == PRESENCE_NONE) return OUTCOME_KEEP;
    if (input->presence != PRESENCE_ALIVE) return refuse(error, ERROR_GONE);
    draft->id = rename->id;
    if (rename->sets_user) draft->user = rename->user;
    return OUTCOME_REPLACE;
}

/* ---- verbs */

struct verb verb_of(enum verb_kind kind, const char *namespace, const char *id) {
    struct verb verb;
    memset(&verb, 0, sizeof(verb));
    verb.kind = kind;
    verb.namespace = bytes_of_string(namespace);
    verb.id = bytes_of_string(id);
    return verb;
}

struct verb contract_put(struct world *world, const char *namespace, const char *id, struct put put) {
    struct verb verb = verb_of(VERB_UPDATE, namespace, id);
    verb.update.rule = put_rule;
    verb.update.arguments = &put;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_remove(struct world *world, const char *namespace, const char *id) {
    struct verb verb = verb_of(VERB_UPDATE, namespace, id);
    verb.update.rule = remove_rule;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_get(struct world *world, const char *namespace, const char *id, bool include_dead) {
    struct verb verb = verb_of(VERB_GET, namespace, id);
    verb.get.include_dead = include_dead;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_get_touch(struct world *world, const char *namespace, const char *id) {
    struct verb verb = verb_of(VERB_GET, namespace, id);
    verb.get.is_touch = true;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_update_touch(struct world *world, const char *namespace, const char *id) {
    struct verb verb = verb_of(VERB_UPDATE, namespace, id);
    verb.update.rule = touch_rule;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_touch(struct world *world, const char *namespace, const char *id) {
    struct verb verb = verb_of(VERB_TOUCH, namespace, id);
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_move(struct world *world, const char *namespace, const char *id, struct rename rename,
                          int64_t grace_ms) {
    struct verb verb = verb_of(VERB_MOVE, namespace, id);
    verb.move.rule = rename_rule;
    verb.move.arguments = &rename;
    verb.move.grace_ms = grace_ms;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_end(struct world *world, const char *namespace, enum end_kind end) {
    struct verb verb = verb_of(VERB_END_ALL, namespace, NULL);
    verb.end_all.end = end;
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_revoke(struct world *world, const char *namespace, enum group_kind group, const char *name,
                            struct bytes except) {
    struct verb verb = verb_of(VERB_END_ALL, namespace, NULL);
    verb.end_all.end = END_REVOKE;
    verb.end_all.group = group;
    verb.end_all.group_name = bytes_of_string(name);
    verb.end_all.except = except;
    verb.end_all.reason = BYTES_LITERAL("everywhere");
    contract_submit(world, &verb);
    return verb;
}

struct verb contract_configure(struct world *world, const char *namespace, struct policy_change change) {
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, NULL);
    verb.configure.change = &change;
    contract_submit(world, &verb);
    return verb;
}

struct policy_change policy_set(struct policy_change change, uint64_t bit, int64_t value) {
    change.given |= bit;
    switch (bit) {
    case POLICY_RETENTION_MS: change.values.retention_ms = value; break;
    case POLICY_TOMBSTONE_MS: change.values.tombstone_ms = value; break;
    case POLICY_TOUCH_AFTER_MS: change.values.touch_after_ms = value; break;
    case POLICY_SINGLE_SESSION: change.values.single_session = value != 0; break;
    case POLICY_MAX_SESSIONS: change.values.max_sessions = (uint64_t)value; break;
    case POLICY_MAX_BYTES: change.values.max_bytes = (uint64_t)value; break;
    case POLICY_MAX_SESSIONS_PER_USER: change.values.max_sessions_per_user = (uint64_t)value; break;
    case POLICY_SESSION_LIMIT_POLICY: change.values.session_limit_policy = (enum session_limit_policy)value; break;
    default: abort();
    }
    return change;
}

static bool list_each(void *context, const struct session *session) {
    struct listed *listed = context;
    if (listed->count == LIST_MAX) abort();
    snprintf(listed->ids[listed->count], sizeof(listed->ids[0]), "%.*s", (int)session->id.size,
             (const char *)session->id.data);
    listed->created_at[listed->count++] = session->created_at;
    return true;
}

void contract_list(struct world *world, const char *namespace, enum group_kind group, const char *name,
                   uint64_t statuses, uint32_t limit, bool is_oldest_first, struct listed *listed) {
    char cursor[SCAN_CURSOR_MAX];
    size_t cursor_size = 0;
    listed->count = listed->pages = 0;
    do {
        struct verb verb = verb_of(VERB_SCAN, namespace, NULL);
        verb.scan.group = group;
        verb.scan.group_name = bytes_of_string(name);
        verb.scan.statuses = statuses;
        verb.scan.limit = limit;
        verb.scan.is_oldest_first = is_oldest_first;
        verb.scan.each = list_each;
        verb.scan.context = listed;
        if (cursor_size) verb.scan.cursor = bytes_of(cursor, cursor_size);
        unsigned before = listed->count;
        contract_submit(world, &verb);
        CHECK_EQUAL(verb.error.code, ERROR_NONE);
        CHECK(listed->count - before <= limit);
        cursor_size = verb.scan_result.cursor_size;
        memcpy(cursor, verb.scan_result.cursor, cursor_size);
        listed->total = verb.scan_result.total;
        listed->is_total_known = verb.scan_result.is_total_known;
        listed->pages++;
    } while (cursor_size);
}

bool listed_has(const struct listed *listed, const char *id) {
    for (unsigned i = 0; i < listed->count; i++)
        if (strcmp(listed->ids[i], id) == 0) return true;
    return false;
}

uint64_t contract_count(struct world *world, const char *namespace, enum group_kind group, const char *name,
                        uint64_t statuses) {
    struct verb verb = verb_of(VERB_SCAN, namespace, NULL);
    verb.scan.group = group;
    verb.scan.group_name = bytes_of_string(name);
    verb.scan.statuses = statuses;
    contract_submit(world, &verb);
    CHECK(verb.scan_result.is_total_known);
    return verb.scan_result.total;
}

/* ---- main */

static void run_all(const struct contract_test *tests, const char *suite, unsigned shard_bits) {
    for (; tests->sentence; tests++) {
        unsigned before = failures;
        struct world world = contract_open(shard_bits);
        tests->run(&world);
        contract_close(&world);
        if (failures != before) fprintf(stderr, "FAILED (%u shard bits): %s %s\n", shard_bits, suite, tests->sentence);
    }
}

int main(int count, char **arguments) {
    static const unsigned shard_bits[] = {1, 3, 0};
    unsigned long seeds = count > 1 ? strtoul(arguments[1], NULL, 10) : 60;
    for (unsigned i = 0; i < 3; i++) {
        run_all(life_tests, "a session", shard_bits[i]);
        run_all(group_tests, "a group", shard_bits[i]);
        run_all(ending_tests, "the end of a group", shard_bits[i]);
        run_all(prepare_tests, "an engine that is prepared", shard_bits[i]);
        run_all(namespace_tests, "a namespace", shard_bits[i]);
        run_all(move_tests, "a move", shard_bits[i]);
        run_all(point_tests, "between two locks", shard_bits[i]);
        run_all(scan_tests, "a scan", shard_bits[i]);
        run_all(client_tests, "a client", shard_bits[i]);
        run_all(event_tests, "an event", shard_bits[i]);
        run_all(pool_tests, "a pool", shard_bits[i]);
        run_all(pool_choice_tests, "a pool", shard_bits[i]);
        run_all(lease_tests, "a pool", shard_bits[i]);
        run_all(pool_point_tests, "between two locks of a pool", shard_bits[i]);
    }
    contract_range();
    contract_full_journal();
    contract_busy_journal();
    contract_late_effects();
    contract_recovery_edges();
    for (unsigned long seed = 1; seed <= seeds; seed++) {
        unsigned before = failures;
        contract_recovery(seed);
        contract_pool_recovery(seed);
        contract_event_mark(seed);
        contract_limit(seed, (unsigned)(seed % 4), 1500);
        contract_random(seed, seed % 8 == 0 ? 0 : (unsigned)(seed % 4), 2000);
        if (failures == before) continue;
        fprintf(stderr, "FAILED: seed %lu\n", seed);
        break;
    }
    printf("%u checks, %u failures, %lu seeds, woken %u times\n", checks, failures, seeds, wakes);
    return failures != 0;
}
