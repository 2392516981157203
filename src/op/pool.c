/* Pools as a whole: policy, counts and reset; and how a session of a pool begins.
 *
 * Happy path: configure makes the pool, info reads it, reset destroys its sessions and leaves the policy. A namespace
 * with hash_ids has no pools: their sessions are named in every answer. Any loop's thread. */
#include "op/pool.h"

#include "base/id.h"
#include "op/op_table.gen.h"
#include "op/scratch.h"

/* ---------------------------------------------------------------- how a session begins */

static size_t session_make(void *context, char *id) {
    id_make_pool(context, id);
    return POOL_ID_SIZE;
}

static void usage_begin(const struct pool_policy *pool, struct usage *usage) {
    *usage = (struct usage){.max_usage_count = pool->max_usage_count,
                            .max_error_score = pool->max_error_score,
                            .error_score_decrement = pool->error_score_decrement};
}

static void session_begin(const struct policy *policy, const struct pool_policy *pool, int64_t now_ms,
                          struct session *draft, struct usage *usage) {
    struct update_input input = {.policy = policy, .now_ms = now_ms};
    struct bytes name = draft->pool, tags = draft->tags;
    draft_begin(draft, &input, draft->id);
    draft->pool = name;
    draft->tags = tags;
    draft_set_lifetime(draft, policy, pool->idle_timeout_ms, pool->absolute_timeout_ms);
    usage_begin(pool, usage);
}

void pool_engine_options(struct engine_options *options) {
    options->default_pool_policy = &pool_policy_defaults;
    options->pool_policy_apply = pool_policy_apply;
    options->pool_session_make = session_make;
    options->pool_session_begin = session_begin;
    options->pool_context = (void *)(uintptr_t)options->env; /* only read */
}

bool pool_draft_enter(const struct update_input *input, struct bytes pool, const struct timeouts *timeouts,
                      struct session *draft, struct usage **usage, struct error *error) {
    if (!input->pool_policy) {
        outcome_error(error, ERROR_BAD_REQUEST, "This engine has no pools; leave the pool out.");
        return false;
    }
    if (input->policy->hash_ids) {
        outcome_error(error, ERROR_FORBIDDEN, "A namespace with hash_ids has no pools; use another one for them.");
        return false;
    }
    *usage = (struct usage *)(void *)scratch_reserve(input->scratch, sizeof **usage);
    if (!*usage) {
        outcome_error(error, ERROR_NO_MEMORY, "There is no memory for a new session now; try again later.");
        return false;
    }
    input->scratch->size += sizeof **usage;
    usage_begin(input->pool_policy, *usage);
    draft->pool = pool;
    draft->usage = *usage;
    draft_set_lifetime(draft, input->policy, input->pool_policy->idle_timeout_ms,
                       input->pool_policy->absolute_timeout_ms);
    if (timeouts) {
        struct timeouts own = *timeouts; /* a nil member is the default, which is the pool's and stands already */
        own.given &= ~own.nil;
        draft_set_timeouts(draft, input->policy, &own);
    }
    return true;
}

/* ---------------------------------------------------------------- what the operations share */

bool pool_take_namespace(struct request *request, struct bytes given) {
    if (!request_take_namespace(request, given)) return false;
    if (!request_policy(request)->hash_ids) return true;
    request_refuse(request, ERROR_FORBIDDEN, "A namespace with hash_ids has no pools; use another one for them.");
    return false;
}

static void write_count(struct buf *out, const char *name, uint64_t count) {
    mp_write_string(out, name);
    mp_write_uint(out, count);
}

void pool_write_state(struct buf *out, struct bytes name, const struct pool_state *state) {
    mp_write_map(out, 8);
    mp_write_str(out, BYTES_LITERAL("name"));
    mp_write_str(out, name);
    mp_write_str(out, BYTES_LITERAL("policy"));
    codec_write_pool_policy(out, &state->policy);
    write_count(out, "usable_count", state->usable_count);
    write_count(out, "retired_count", state->retired_count);
    write_count(out, "leased_count", state->leased_count);
    write_count(out, "cooling_count", state->cooling_count);
    write_count(out, "held_count", state->held_count);
    write_count(out, "waiting_count", state->waiting_count);
}

static enum op_step state_begin(struct request *request, struct bytes given_namespace, struct bytes pool) {
    if (!pool_take_namespace(request, given_namespace)) return STEP_ERROR;
    request->verb->kind = VERB_CONFIGURE;
    request->verb->configure.group = GROUP_POOL;
    request->verb->configure.group_name = pool;
    return STEP_SUBMIT;
}

static void state_end(struct request *request, struct bytes pool, struct buf *out) {
    if (request->verb->is_found)
        pool_write_state(out, pool, &request->verb->pool_state);
    else
        mp_write_nil(out);
}

/* ---------------------------------------------------------------- operations */

enum op_step pool_configure_begin(struct request *request) {
    const struct args_pool_configure *args = &request->args.pool_configure;
    if (state_begin(request, args->namespace, args->pool) == STEP_ERROR) return STEP_ERROR;
    request->verb->configure.pool_change = &args->policy;
    return STEP_SUBMIT;
}

void pool_configure_end(struct request *request, struct buf *out) {
    state_end(request, request->args.pool_configure.pool, out);
}

enum op_step pool_info_begin(struct request *request) {
    return state_begin(request, request->args.pool_info.namespace, request->args.pool_info.pool);
}

void pool_info_end(struct request *request, struct buf *out) {
    state_end(request, request->args.pool_info.pool, out);
}

/* Is there such a pool? Then its sessions are destroyed, then it is read again. */
enum { RESET_LOOK, RESET_DESTROY, RESET_TELL };

enum op_step pool_reset_begin(struct request *request) {
    const struct args_pool_reset *args = &request->args.pool_reset;
    if (request->step != RESET_DESTROY) return state_begin(request, args->namespace, args->pool);
    if (!pool_take_namespace(request, args->namespace)) return STEP_ERROR;
    request->verb->kind = VERB_END_ALL;
    request->verb->end_all.end = END_DESTROY;
    request->verb->end_all.group = GROUP_POOL;
    request->verb->end_all.group_name = args->pool;
    return STEP_SUBMIT;
}

void pool_reset_end(struct request *request, struct buf *out) {
    struct bytes pool = request->args.pool_reset.pool;
    if (request->step == RESET_LOOK && !request->verb->is_found) {
        mp_write_nil(out);
    } else if (request->step < RESET_TELL) {
        request->is_unfinished = true;
    } else if (request->verb->is_found) {
        pool_write_state(out, pool, &request->verb->pool_state);
    } else { /* without sessions and a policy of its own a pool is what any name is */
        struct pool_state empty = {.policy = pool_policy_defaults};
        pool_write_state(out, pool, &empty);
    }
}
