/* See recovery.h. */
#include "recovery.h"
#include "wire/codec.h"

#include <stdarg.h>

static void kept_append(struct journal *self, unsigned loop_index, struct bytes effects) {
    struct kept_journal *kept = (struct kept_journal *)self;
    (void)loop_index;
    CHECK(effects.size > 0);
    buf_append(&kept->effects, effects.data, effects.size);
    kept->appends++;
}

static void kept_flush(struct journal *self, unsigned loop_index) {
    struct kept_journal *kept = (struct kept_journal *)self;
    (void)loop_index;
    if (kept->engine) kept->flushed = kept->engine->vtable->appended(kept->engine);
}

static void kept_await(struct journal *self, unsigned loop_index, uint64_t version) {
    (void)self, (void)loop_index, (void)version;
}

static void kept_init(struct kept_journal *kept) {
    *kept = (struct kept_journal){.journal = {.append = kept_append, .flush = kept_flush, .await = kept_await},
                                  .effects = BUF_EMPTY};
    atomic_init(&kept->journal.mark, 0);
    atomic_init(&kept->journal.busy_from, INT64_MAX);
}

struct world recovery_begin(struct kept_journal *kept, unsigned shard_bits) {
    kept_init(kept);
    struct world world = contract_open_at(shard_bits, START, &kept->journal);
    world.engine->vtable->preamble(world.engine, &kept->effects);
    return world;
}

void recovery_end(struct world *world, struct kept_journal *kept) {
    contract_close(world);
    buf_fini(&kept->effects);
}

/* ---- effects one by one */

struct slices {
    struct bytes *all;
    size_t count;
};

static struct slices slices_of(struct bytes effects) {
    struct slices slices = {malloc((effects.size / 5 + 1) * sizeof(struct bytes)), 0};
    if (!slices.all) abort();
    for (size_t at = 0, size; at < effects.size; at += size) {
        uint32_t body;
        memcpy(&body, effects.data + at + 1, sizeof(body));
        size = 5 + body;
        CHECK(at + size <= effects.size);
        slices.all[slices.count++] = bytes_of(effects.data + at, size);
    }
    return slices;
}

static uint64_t below(struct prng *prng, uint64_t bound) {
    return prng_next(prng) % bound;
}

static void run_shuffle(struct bytes *run, size_t count, struct prng *prng) {
    for (size_t i = count; i-- > 1;) {
        size_t j = below(prng, i + 1);
        struct bytes moved = run[i];
        run[i] = run[j];
        run[j] = moved;
    }
}

/* The first stays: it says how ids are hashed. So does the end of a snapshot, and what stands before it does so. */
static void slices_shuffle(struct slices *slices, struct prng *prng) {
    size_t begin = 1;
    for (size_t i = 1; i < slices->count; i++) {
        if (slices->all[i].data[0] != EFFECT_SNAPSHOT) continue;
        run_shuffle(slices->all + begin, i - begin, prng);
        begin = i + 1;
    }
    if (slices->count > begin) run_shuffle(slices->all + begin, slices->count - begin, prng);
}

struct engine *recovery_open(const struct kept_journal *kept, size_t size, struct prng *prng, unsigned shard_bits,
                             int64_t now_ms, struct journal *journal, struct recovery_counts *counts) {
    struct slices slices = slices_of(bytes_of(kept->effects.data, size));
    /* A server opens its engine by the wall clock, which may have been ahead of where its own one goes on. */
    struct world world = contract_open_at(shard_bits, now_ms + INT64_C(3600000) * (now_ms % 2), journal);
    struct buf some = BUF_EMPTY;
    const char *why = NULL;
    if (prng) slices_shuffle(&slices, prng);
    for (size_t i = 0; i < slices.count; i++) {
        buf_append(&some, slices.all[i].data, slices.all[i].size);
        if (i + 1 < slices.count && prng && below(prng, 3)) continue;
        bool is_applied = world.engine->vtable->apply(world.engine, buf_bytes(&some), &why);
        CHECK(is_applied);
        if (!is_applied) fprintf(stderr, "refused: %s\n", why);
        buf_clear(&some);
    }
    CHECK(world.engine->vtable->recovered(world.engine, now_ms, counts, &why));
    world.engine->vtable->check(world.engine);
    CHECK_EQUAL(counts->effects, slices.count);
    buf_fini(&some);
    free(slices.all);
    return world.engine;
}

/* ---- asking */

static void __attribute__((format(printf, 2, 3))) say(struct buf *out, const char *format, ...) {
    char line[512];
    va_list list;
    va_start(list, format);
    int size = vsnprintf(line, sizeof(line), format, list);
    va_end(list);
    buf_append(out, line, (size_t)size);
}

static void say_bytes(struct buf *out, const char *name, struct bytes bytes) {
    if (!bytes.data) return;
    say(out, " %s=", name);
    for (size_t i = 0; i < bytes.size; i++) say(out, "%02x", bytes.data[i]);
}

static void say_session(struct buf *out, const struct session *session, int64_t now_ms) {
    say_bytes(out, "id", session->id);
    say(out, " v%" PRIu64 " made %" PRId64 "/%u active %" PRId64 " stored %d since %" PRId64 " is %d", session->version,
        session->created_at, session->birth, session->last_active_at, session->status, session->status_at,
        session_status(session, now_ms));
    say(out, " idle %" PRId64 " absolute %" PRId64 " abandon %" PRId64 " until %" PRId64, session->idle_timeout_ms,
        session->absolute_timeout_ms, session->abandon_timeout_ms, session->absolute_expires_at);
    say_bytes(out, "user", session->user);
    say_bytes(out, "client", session->client);
    say_bytes(out, "data", session->data);
    say_bytes(out, "meta", session->meta);
    say_bytes(out, "reason", session->reason);
    say_bytes(out, "replaced_by", session->replaced_by);
    say_bytes(out, "tags", session->tags);
    say_bytes(out, "token", session->token);
    say_bytes(out, "bound", session->bound);
    say(out, "\n");
}

/* What a write would find. */
static enum outcome look_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft, (void)error;
    *(enum presence *)input->arguments = input->presence;
    return OUTCOME_KEEP;
}

static void say_id(struct world *world, const char *namespace, const char *id, struct buf *out) {
    enum presence presence = PRESENCE_NONE;
    struct verb look = verb_of(VERB_UPDATE, namespace, id);
    look.update.rule = look_rule;
    look.update.arguments = &presence;
    contract_submit(world, &look);
    struct verb get = contract_get(world, namespace, id, true);
    if (presence == PRESENCE_NONE && !get.is_found) return;
    say(out, "%s/%s: %d", namespace, id, presence);
    if (get.is_found)
        say_session(out, &get.session, world->now_ms);
    else
        say(out, "\n");
}

static void say_list(struct world *world, const char *namespace, enum group_kind group, const char *name,
                     struct buf *out) {
    static struct listed listed;
    contract_list(world, namespace, group, name, UINT64_MAX, 7, true, &listed);
    say(out, "%s, %d %s: %u:", namespace, group, name, listed.count);
    for (unsigned i = 0; i < listed.count; i++) say(out, " %s", listed.ids[i]);
    say(out, "\n");
}

static void say_client(struct world *world, const char *namespace, const char *name, bool is_thinned, struct buf *out) {
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, NULL);
    verb.configure.group = GROUP_CLIENT;
    verb.configure.group_name = bytes_of_string(name);
    contract_submit(world, &verb);
    if (!verb.is_found) return;
    say(out, "%s, client %s: %" PRId64 " %" PRId64 " last", namespace, name, verb.client_state.created_at,
        is_thinned ? 0 : verb.client_state.updated_at);
    if (verb.client_state.has_last_active)
        say_session(out, &verb.client_state.last_active, world->now_ms);
    else
        say(out, " none\n");
}

static void say_namespace(struct world *world, const char *namespace, bool with_counts, struct buf *out) {
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, NULL);
    struct buf policy = BUF_EMPTY;
    contract_submit(world, &verb);
    if (!verb.is_found) return;
    say(out, "%s: purging %d every %" PRId64, namespace, verb.namespace_state.is_purging,
        verb.namespace_state.purge_interval_ms);
    codec_write_policy(&policy, verb.namespace_state.policy);
    if (with_counts) {
        say(out, " %" PRIu64 " sessions %" PRIu64 " bytes", verb.namespace_state.sessions, verb.namespace_state.bytes);
        say(out, " all %" PRIu64, contract_count(world, namespace, GROUP_NONE, NULL, UINT64_MAX));
    }
    say(out, " living %" PRIu64, contract_count(world, namespace, GROUP_NONE, NULL, LIVING));
    say_bytes(out, "policy", buf_bytes(&policy));
    say(out, "\n");
    buf_fini(&policy);
}

static bool say_name(void *context, struct bytes name) {
    say(context, "namespace %.*s\n", (int)name.size, (const char *)name.data);
    return true;
}

void recovery_describe(struct world *world, const struct asked *asked, bool with_counts, struct buf *out) {
    struct verb verb = verb_of(VERB_CONFIGURE, NULL, NULL);
    verb.configure.each = say_name;
    verb.configure.context = out;
    contract_submit(world, &verb);
    for (const char *const *namespace = asked->namespaces; *namespace; namespace ++) {
        say_namespace(world, *namespace, with_counts, out);
        for (const char *const *id = asked->ids; *id; id++) say_id(world, *namespace, *id, out);
        for (const char *const *user = asked->users; *user; user++) say_list(world, *namespace, GROUP_USER, *user, out);
        for (const char *const *client = asked->clients; *client; client++) {
            say_list(world, *namespace, GROUP_CLIENT, *client, out);
            say_client(world, *namespace, *client, asked->is_thinned, out);
        }
    }
}

/* ---- single questions */

static enum outcome refuse_rule(const struct update_input *input, struct session *draft, struct error *error) {
    (void)draft;
    *error = error_make(ERROR_CONFLICT, "no");
    error->version = input->old ? input->old->version : 0;
    error->limit = (int64_t)input->presence + 10 * input->policy->touch_after_ms;
    return OUTCOME_ERROR;
}

static uint64_t ask_get(struct world *world, const char *namespace, const char *id, bool include_dead,
                        struct buf *out) {
    struct verb get = contract_get(world, namespace, id, include_dead);
    if (get.is_found) say_session(out, &get.session, world->now_ms);
    return get.depends_on;
}

static uint64_t ask_rule(struct world *world, const char *namespace, const char *id, bool refuses, struct buf *out) {
    enum presence presence = PRESENCE_NONE;
    struct verb verb = verb_of(VERB_UPDATE, namespace, id);
    verb.update.rule = refuses ? refuse_rule : look_rule;
    verb.update.arguments = &presence;
    contract_submit(world, &verb);
    if (refuses)
        say(out, "refused v%" PRIu64 " %" PRId64 "\n", verb.error.version, verb.error.limit);
    else
        say(out, "presence %d\n", presence);
    if (verb.is_found) say_session(out, &verb.session, world->now_ms);
    return verb.depends_on;
}

/* Only of what is not alive: else the question would change the answer. */
static uint64_t ask_touch(struct world *world, const char *namespace, const char *id, struct buf *out) {
    struct verb get = contract_get(world, namespace, id, false);
    if (get.is_found && bytes_equal(get.session.id, bytes_of_string(id))) return get.depends_on;
    struct verb verb = contract_touch(world, namespace, id);
    say(out, "found %d error %d v%" PRIu64 " %d\n", verb.is_found, verb.error.code, verb.error.version,
        verb.error.status);
    return verb.depends_on > get.depends_on ? verb.depends_on : get.depends_on;
}

static bool say_one(void *context, const struct session *session) {
    if (session)
        say_session(context, session, 0);
    else
        say(context, "none\n");
    return true;
}

static uint64_t ask_many(struct world *world, const char *namespace, const char *id, struct buf *out) {
    uint8_t ids[300] = {0x92, 0xa2, 'n', 'o', 0xd9, (uint8_t)strlen(id)};
    memcpy(ids + 6, id, strlen(id));
    struct verb verb = verb_of(VERB_SCAN, namespace, NULL);
    verb.scan.ids = bytes_of(ids, 6 + strlen(id));
    verb.scan.limit = 2;
    verb.scan.each = say_one;
    verb.scan.context = out;
    contract_submit(world, &verb);
    return verb.depends_on;
}

static uint64_t ask_group(struct world *world, const char *namespace, const char *user, bool lists, struct buf *out) {
    struct verb verb = verb_of(VERB_SCAN, namespace, NULL);
    verb.scan.group = GROUP_USER;
    verb.scan.group_name = bytes_of_string(user);
    verb.scan.statuses = UINT64_MAX;
    verb.scan.limit = lists ? 5 : 0;
    verb.scan.each = lists ? say_one : NULL;
    verb.scan.context = out;
    contract_submit(world, &verb);
    say(out, "total %" PRIu64 "\n", verb.scan_result.total);
    return verb.depends_on;
}

static uint64_t ask_client(struct world *world, const char *namespace, const char *client, struct buf *out) {
    struct verb verb = verb_of(VERB_CONFIGURE, namespace, NULL);
    verb.configure.group = GROUP_CLIENT;
    verb.configure.group_name = bytes_of_string(client);
    contract_submit(world, &verb);
    say_client(world, namespace, client, true, out);
    return verb.depends_on;
}

static uint64_t ask_namespace(struct world *world, const char *namespace, bool lists, struct buf *out) {
    struct verb verb = verb_of(VERB_CONFIGURE, lists ? NULL : namespace, NULL);
    verb.configure.each = lists ? say_name : NULL;
    verb.configure.context = out;
    contract_submit(world, &verb);
    if (lists || !verb.is_found) return verb.depends_on;
    struct buf policy = BUF_EMPTY;
    codec_write_policy(&policy, verb.namespace_state.policy);
    say_bytes(out, "policy", buf_bytes(&policy));
    say(out, " every %" PRId64 "\n", verb.namespace_state.purge_interval_ms);
    buf_fini(&policy);
    return verb.depends_on;
}

uint64_t recovery_ask(struct world *world, enum question question, const char *namespace, const char *name,
                      struct buf *out) {
    switch (question) {
    case ASK_GET: return ask_get(world, namespace, name, false, out);
    case ASK_GET_DEAD: return ask_get(world, namespace, name, true, out);
    case ASK_MANY: return ask_many(world, namespace, name, out);
    case ASK_KEEP: return ask_rule(world, namespace, name, false, out);
    case ASK_REFUSE: return ask_rule(world, namespace, name, true, out);
    case ASK_TOUCH_DEAD: return ask_touch(world, namespace, name, out);
    case ASK_LIST: return ask_group(world, namespace, name, true, out);
    case ASK_COUNT: return ask_group(world, namespace, name, false, out);
    case ASK_CLIENT: return ask_client(world, namespace, name, out);
    case ASK_POLICY: return ask_namespace(world, namespace, false, out);
    case ASK_NAMES: return ask_namespace(world, namespace, true, out);
    case QUESTION_COUNT: break;
    }
    return 0;
}

void recovery_cut(const struct kept_journal *kept, uint64_t version, struct kept_journal *out) {
    struct slices slices = slices_of(buf_bytes(&kept->effects));
    kept_init(out);
    for (size_t i = 0; i < slices.count; i++) {
        uint64_t told = 0;
        bool is_move = slices.all[i].data[0] == EFFECT_MOVE;
        if (slices.all[i].data[0] != EFFECT_STORE)
            memcpy(&told, slices.all[i].data + 5 + (is_move ? 4 : 0) + 8, sizeof(told));
        if (told <= version) buf_append(&out->effects, slices.all[i].data, slices.all[i].size);
    }
    free(slices.all);
}

void recovery_compare(const struct buf *expected, const struct buf *actual, const char *what) {
    bool is_equal = expected->size == actual->size &&
                    (expected->size == 0 || memcmp(expected->data, actual->data, expected->size) == 0);
    CHECK(is_equal);
    if (is_equal) return;
    size_t line = 0, at = 0;
    for (; at < expected->size && at < actual->size && expected->data[at] == actual->data[at]; at++)
        if (expected->data[at] == '\n') line = at + 1;
    const struct buf *both[] = {expected, actual};
    for (int i = 0; i < 2; i++) {
        const uint8_t *from = both[i]->data + line;
        const uint8_t *end = memchr(from, '\n', both[i]->size - line);
        fprintf(stderr, "%s, %s: %.*s\n", what, i ? "recovered" : "before",
                (int)(end ? end - from : (long)(both[i]->size - line)), (const char *)from);
    }
}
