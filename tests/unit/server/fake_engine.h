/* An engine of a hundred lines for the server's tests: an array of sessions, searched from its start.
 *
 * It has no time (nothing expires), no limits and no groups. Verbs on ids that begin with "slow", and acquires that
 * may wait, are PENDING until fake_finish, and so are ends of groups whose name begins with "slow"; an acquire hands
 * out the session that is named like the pool; an id that begins with "refuse" is refused. What it hands out stays
 * valid until it is closed. Each change takes the next version, from 1; an answer depends on the versions of the
 * sessions that it tells of. */
#ifndef TESTS_FAKE_ENGINE_H
#define TESTS_FAKE_ENGINE_H

#include "base/mp.h"
#include "sessiond/engine.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FAKE_SESSIONS_MAX 1024
#define FAKE_PENDING_MAX  64

struct fake_engine {
    struct engine engine;
    struct session sessions[FAKE_SESSIONS_MAX];
    size_t count;
    uint64_t version;
    void *blocks[16384]; /* all that was copied */
    size_t block_count;
    struct verb pending[FAKE_PENDING_MAX];
    size_t pending_count;
    uint64_t ticket;
    uint64_t uses, taken_back; /* acquires that were answered with a session; those that nobody took */
    size_t cancels;
    uint64_t ends;     /* of groups */
    bool is_finishing; /* an advance answers one that is pending */
    engine_done done;
    void *done_context;
    size_t submits, verbs, verbs_max; /* calls, verbs in all, verbs of the longest call */
    char last_namespace[80];          /* of the last verb */
    char anticipated[1024];           /* "namespace/id " of each session that was announced */
    int turn_depth;
};

static inline struct bytes fake_copy(struct fake_engine *fake, struct bytes bytes) {
    if (!bytes.data) return bytes;
    assert(fake->block_count < sizeof fake->blocks / sizeof fake->blocks[0]);
    uint8_t *copy = malloc(bytes.size + 1);
    memcpy(copy, bytes.data, bytes.size);
    fake->blocks[fake->block_count++] = copy;
    return bytes_of(copy, bytes.size);
}

static inline struct session *fake_find(struct fake_engine *fake, struct bytes id) {
    for (size_t i = 0; i < fake->count; i++)
        if (bytes_equal(fake->sessions[i].id, id)) return &fake->sessions[i];
    return NULL;
}

static inline void fake_store(struct fake_engine *fake, struct session *at, const struct session *draft) {
    if (!at) {
        assert(fake->count < FAKE_SESSIONS_MAX);
        at = &fake->sessions[fake->count++];
    }
    struct session copy = *draft;
    copy.id = fake_copy(fake, draft->id);
    copy.user = fake_copy(fake, draft->user);
    copy.client = fake_copy(fake, draft->client);
    copy.data = fake_copy(fake, draft->data);
    copy.meta = fake_copy(fake, draft->meta);
    copy.pool = fake_copy(fake, draft->pool);
    copy.tags = fake_copy(fake, draft->tags);
    copy.token = fake_copy(fake, draft->token);
    copy.bound = fake_copy(fake, draft->bound);
    copy.usage = NULL; /* it lies in the rule's scratch, and nobody asks for it */
    copy.version = ++fake->version;
    *at = copy;
}

static inline void fake_update(struct fake_engine *fake, struct verb *verb, int64_t now_ms) {
    static const struct policy policy = POLICY_DEFAULTS;
    struct session *old = fake_find(fake, verb->id);
    struct scratch scratch = {NULL, 0, 0};
    static const struct pool_policy pool_policy = POOL_POLICY_DEFAULTS;
    struct update_input input = {.old = old,
                                 .presence = old ? PRESENCE_ALIVE : PRESENCE_NONE,
                                 .policy = &policy,
                                 .pool_policy = bytes_is_absent(verb->update.pool) ? NULL : &pool_policy,
                                 .arguments = verb->update.arguments,
                                 .now_ms = now_ms,
                                 .scratch = &scratch};
    struct session draft = old ? *old : (struct session){.status = STATUS_ACTIVE};
    verb->outcome = verb->update.rule(&input, &draft, &verb->error);
    verb->is_found = old != NULL;
    if (old) verb->session = *old;
    if (old) verb->depends_on = old->version;
    if (verb->outcome == OUTCOME_REPLACE) {
        fake_store(fake, old, &draft);
        verb->depends_on = fake->version;
        verb->is_found = true;
        verb->session = old ? *old : fake->sessions[fake->count - 1];
    } else if (verb->outcome == OUTCOME_REMOVE && old) {
        *old = fake->sessions[--fake->count];
        verb->depends_on = ++fake->version;
    }
    free(scratch.data);
}

static inline void fake_depend(struct verb *verb, const struct session *session) {
    if (session && session->version > verb->depends_on) verb->depends_on = session->version;
}

static inline void fake_scan(struct fake_engine *fake, struct verb *verb) {
    memset(&verb->scan_result, 0, sizeof verb->scan_result);
    verb->scan_result.total = fake->count;
    verb->scan_result.is_total_known = true;
    if (!verb->scan.each) return;
    if (!verb->scan.ids.data) {
        for (size_t i = 0; i < fake->count && i < verb->scan.limit; i++) {
            fake_depend(verb, &fake->sessions[i]);
            if (!verb->scan.each(verb->scan.context, &fake->sessions[i])) return;
        }
        return;
    }
    struct mp_cursor cursor = mp_cursor_of(verb->scan.ids);
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--) {
        struct session *session = fake_find(fake, mp_read_bytes(&cursor));
        fake_depend(verb, session);
        if (!verb->scan.each(verb->scan.context, session)) return;
    }
}

static inline void fake_execute(struct fake_engine *fake, struct verb *verb, int64_t now_ms) {
    verb->error = error_make(ERROR_NONE, NULL);
    verb->is_found = false;
    verb->depends_on = 0;
    verb->outcome = OUTCOME_KEEP;
    if (bytes_has_prefix(verb->id, BYTES_LITERAL("refuse"))) {
        verb->error = error_make(ERROR_LIMIT, "The fake engine refuses this id; take another.");
        verb->error.limit = 3;
        return;
    }
    switch (verb->kind) {
    case VERB_GET:
    case VERB_TOUCH: {
        struct session *session = fake_find(fake, verb->id);
        verb->is_found = session != NULL;
        if (session) verb->session = *session;
        fake_depend(verb, session);
        break;
    }
    case VERB_UPDATE: fake_update(fake, verb, now_ms); break;
    case VERB_ACQUIRE: {
        struct session *session = fake_find(fake, verb->acquire.pool);
        verb->more_count = 0;
        verb->is_found = session != NULL;
        verb->use = ++fake->uses;
        verb->fence = 0;
        verb->usage = (struct usage){.usage_count = verb->use, .max_usage_count = 50, .max_error_score = 3};
        if (session) verb->session = *session;
        fake_depend(verb, session);
        if (!session) verb->error = error_make(ERROR_EXHAUSTED, "The fake engine has no such pool.");
        break;
    }
    case VERB_SCAN: fake_scan(fake, verb); break;
    case VERB_END_ALL:
        memset(&verb->scan_result, 0, sizeof verb->scan_result);
        verb->scan_result.total = ++fake->ends;
        verb->is_found = true;
        break;
    case VERB_CONFIGURE:
        if (verb->configure.group == GROUP_NONE) {
            verb->error = error_make(ERROR_INTERNAL, "The fake engine cannot do this.");
            break;
        }
        memset(&verb->pool_state, 0, sizeof verb->pool_state);
        verb->pool_state.usable_count = fake->ends;
        verb->is_found = true;
        break;
    default: verb->error = error_make(ERROR_INTERNAL, "The fake engine cannot do this.");
    }
}

static inline void fake_submit(struct engine *self, unsigned loop_index, struct verb *verbs, enum submit_state *states,
                               size_t count, int64_t now_ms) {
    struct fake_engine *fake = (struct fake_engine *)self;
    (void)loop_index;
    assert(fake->turn_depth == 1);
    fake->submits++;
    fake->verbs += count;
    if (count > fake->verbs_max) fake->verbs_max = count;
    for (size_t i = 0; i < count; i++) {
        bool is_slow =
            bytes_has_prefix(verbs[i].id, BYTES_LITERAL("slow")) ||
            (verbs[i].kind == VERB_ACQUIRE && verbs[i].acquire.wait_ms > 0) ||
            (verbs[i].kind == VERB_END_ALL && bytes_has_prefix(verbs[i].end_all.group_name, BYTES_LITERAL("slow")));
        states[i] = is_slow ? SUBMIT_PENDING : SUBMIT_DONE;
        if (verbs[i].namespace.size) memcpy(fake->last_namespace, verbs[i].namespace.data, verbs[i].namespace.size);
        fake->last_namespace[verbs[i].namespace.size] = 0;
        fake_execute(fake, &verbs[i], now_ms);
        if (!is_slow) continue;
        assert(fake->pending_count < FAKE_PENDING_MAX);
        verbs[i].private[0] = ++fake->ticket;
        fake->pending[fake->pending_count++] = verbs[i];
        /* What the server keeps of the verb must not matter any more. */
        memset(&verbs[i].namespace, 0xa5, sizeof verbs[i].namespace);
        memset(&verbs[i].session, 0xa5, sizeof verbs[i].session);
    }
}

/* Answers the pending verb at `index`, inside a turn. */
static inline void fake_finish(struct fake_engine *fake, size_t index) {
    assert(fake->turn_depth == 1 && index < fake->pending_count);
    struct verb verb = fake->pending[index];
    memmove(&fake->pending[index], &fake->pending[index + 1], (--fake->pending_count - index) * sizeof verb);
    if (!fake->done(fake->done_context, 0, &verb)) fake->taken_back++;
}

static inline bool fake_cancel(struct engine *self, unsigned loop_index, uint64_t ticket) {
    struct fake_engine *fake = (struct fake_engine *)self;
    (void)loop_index;
    assert(fake->turn_depth == 1);
    for (size_t i = 0; i < fake->pending_count; i++) {
        if (fake->pending[i].private[0] != ticket || fake->pending[i].kind != VERB_ACQUIRE) continue;
        memmove(&fake->pending[i], &fake->pending[i + 1], (--fake->pending_count - i) * sizeof fake->pending[0]);
        fake->cancels++;
        return true;
    }
    return false;
}

static inline void fake_enter(struct engine *self, unsigned loop_index) {
    (void)loop_index;
    ((struct fake_engine *)self)->turn_depth++;
}
static inline void fake_leave(struct engine *self, unsigned loop_index) {
    (void)loop_index;
    ((struct fake_engine *)self)->turn_depth--;
}
static inline void fake_set_done(struct engine *self, engine_done done, void *context) {
    ((struct fake_engine *)self)->done = done;
    ((struct fake_engine *)self)->done_context = context;
}
static int64_t fake_advance(struct engine *self, unsigned loop_index, int64_t now_ms, unsigned budget) {
    struct fake_engine *fake = (struct fake_engine *)self;
    (void)loop_index, (void)now_ms, (void)budget;
    if (fake->is_finishing && fake->pending_count) fake_finish(fake, 0);
    return INT64_MAX;
}
static inline void fake_stats(struct engine *self, struct engine_stats *out) {
    *out = (struct engine_stats){.sessions = ((struct fake_engine *)self)->count, .reaper_lag_ms = -1};
}
static inline void fake_close(struct engine *self) {
    struct fake_engine *fake = (struct fake_engine *)self;
    for (size_t i = 0; i < fake->block_count; i++) free(fake->blocks[i]);
    free(fake);
}

static inline void fake_anticipate(struct engine *self, unsigned loop_index, struct anticipated *sessions,
                                   size_t count) {
    struct fake_engine *fake = (struct fake_engine *)self;
    (void)loop_index;
    for (size_t i = 0; i < count; i++) {
        size_t used = strlen(fake->anticipated);
        snprintf(fake->anticipated + used, sizeof fake->anticipated - used, "%.*s/%.*s ",
                 (int)sessions[i].namespace.size, (const char *)sessions[i].namespace.data, (int)sessions[i].id.size,
                 (const char *)sessions[i].id.data);
    }
}

static const struct engine_vtable fake_vtable = {.name = "fake",
                                                 .anticipate = fake_anticipate,
                                                 .enter = fake_enter,
                                                 .leave = fake_leave,
                                                 .pause = fake_leave,
                                                 .resume = fake_enter,
                                                 .submit = fake_submit,
                                                 .set_done = fake_set_done,
                                                 .cancel = fake_cancel,
                                                 .advance = fake_advance,
                                                 .stats = fake_stats,
                                                 .close = fake_close};

static inline struct fake_engine *fake_open(void) {
    struct fake_engine *fake = calloc(1, sizeof *fake);
    fake->engine.vtable = &fake_vtable;
    return fake;
}

#endif
