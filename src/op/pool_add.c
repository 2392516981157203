/* pool.add: puts a session into a pool.
 *
 * Like session.create, with the pool's lifetime and limits in place of the namespace's, and counters that a caller may
 * bring along. It fails where the id is taken (EXISTS), was destroyed or has died (GONE), may not be chosen
 * (FORBIDDEN), or where the pool is full (EXHAUSTED, the engine's) unless `force`. Any loop's thread. */
#include "base/id.h"
#include "op/op_table.gen.h"
#include "op/pool.h"

static void fill_usage(struct usage *usage, const struct args_pool_add *args) {
    usage->usage_count = args->usage_count;
    usage->error_count = args->error_count;
    usage->error_score = args->error_score;
    usage->is_forced = args->force;
    if (args->given & POOL_ADD_MAX_USAGE_COUNT) usage->max_usage_count = args->max_usage_count;
    if (args->given & POOL_ADD_MAX_ERROR_SCORE) usage->max_error_score = args->max_error_score;
    if (args->given & POOL_ADD_ERROR_SCORE_DECREMENT) usage->error_score_decrement = args->error_score_decrement;
}

static void fill_draft(struct session *draft, const struct request *request, const struct args_pool_add *args) {
    draft->user = args->user;
    draft->client = args->client;
    draft->meta = args->meta;
    draft->tags = args->tags;
    if (!bytes_is_absent(args->data)) draft->data = args->data;
    if (!(args->given & ~args->nil & POOL_ADD_CREATED_AT)) return;
    draft->created_at = moment_of(request, args->created_at);
    /* Only a record that is loaded can lie ahead: it was written by a clock that was. */
    if (draft->created_at > request->now_ms) draft->created_at = request->now_ms;
}

enum outcome pool_add_by(const struct request *request, const struct args_pool_add *args,
                         const struct update_input *input, struct session *draft, struct error *error) {
    struct usage *usage;
    if (input->policy->strict_ids && !bytes_is_absent(args->id))
        return outcome_error(error, ERROR_FORBIDDEN, "This namespace makes its ids itself; add without an id.");
    if (input->presence == PRESENCE_ALIVE) {
        outcome_error(error, ERROR_EXISTS, "A session with this id is there; choose another id.");
        error->version = input->old->version;
        return OUTCOME_ERROR;
    }
    if (input->presence != PRESENCE_NONE) return outcome_gone(input, error);
    draft_begin(draft, input, request->verb->id);
    fill_draft(draft, request, args);
    if (!pool_draft_enter(input, request->verb->update.pool, &args->timeouts, draft, &usage, error))
        return OUTCOME_ERROR;
    fill_usage(usage, args);
    if (args->given & ~args->nil & POOL_ADD_ABSOLUTE_EXPIRES_AT)
        draft_set_absolute_expires_at(draft, input->policy, moment_of(request, args->absolute_expires_at));
    return OUTCOME_REPLACE;
}

static enum outcome add_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    return pool_add_by(request, &request->args.pool_add, input, draft, error);
}

enum op_step pool_add_begin(struct request *request) {
    const struct args_pool_add *args = &request->args.pool_add;
    if (!pool_take_namespace(request, args->namespace)) return STEP_ERROR;
    if ((args->given & ~args->nil & POOL_ADD_CREATED_AT) &&
        args->created_at + request->clock_offset_ms > request->now_ms)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "created_at lies in the future; leave it out for a session that begins now.");
    struct bytes id = args->id;
    if (bytes_is_absent(id)) {
        id_make_pool(request->env, request->id_buffer);
        id = bytes_of(request->id_buffer, POOL_ID_SIZE);
    }
    request->fields = args->given & POOL_ADD_FIELDS ? args->fields : FIELDS_ALL;
    if (request_update(request, args->namespace, id, add_rule) == STEP_ERROR) return STEP_ERROR;
    request->verb->update.pool = args->pool;
    return STEP_SUBMIT;
}

void pool_add_end(struct request *request, struct buf *out) {
    codec_write_record(out, &request->verb->session, request->fields, request->now_ms);
}
