/* session.create: a new session under an id of the caller's or of our own.
 *
 * Happy path: an id is made if none was given, the rule finds nothing under it and begins a record, the answer is that
 * record. It fails where the id is taken (EXISTS), was destroyed or has died (GONE, unless `revive`), may not be chosen
 * (FORBIDDEN), or where the engine meets a limit. Any loop's thread. */
#include "base/id.h"
#include "op/binding.h"
#include "op/op_table.gen.h"
#include "op/pool.h"

/* Its lifetime: the namespace's or the pool's, and what was given in place of it. */
static bool draft_fill_timeouts(const struct update_input *input, const struct args_session_create *args,
                                struct session *draft, struct error *error) {
    struct usage *usage;
    if (!bytes_is_absent(args->pool)) return pool_draft_enter(input, args->pool, &args->timeouts, draft, &usage, error);
    draft_set_timeouts(draft, input->policy, &args->timeouts);
    return true;
}

static bool draft_fill(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_create *args = &request->args.session_create;
    draft->user = args->user;
    draft->client = args->client;
    draft->meta = args->meta;
    if (args->pending) draft->status = STATUS_PENDING;
    if (!bytes_is_absent(args->data)) draft->data = args->data;
    /* Before the deadlines, because the absolute ones count from it. */
    if (args->given & ~args->nil & SESSION_CREATE_CREATED_AT) draft->created_at = moment_of(request, args->created_at);
    if (!draft_fill_timeouts(input, args, draft, error)) return false;
    if (args->given & ~args->nil & SESSION_CREATE_ABSOLUTE_EXPIRES_AT)
        draft_set_absolute_expires_at(draft, input->policy, moment_of(request, args->absolute_expires_at));
    return true;
}

/* The hashes of its token and of what it is bound to stand in the request. */
static void draft_bind(struct request *request, struct session *draft) {
    const struct args_session_create *args = &request->args.session_create;
    if (args->token) draft->token = request_begin_token(request);
    size_t size = binding_encode(&args->bind, request->keys, request->bound_buffer);
    if (size) draft->bound = bytes_of(request->bound_buffer, size);
}

static enum outcome create_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    const struct args_session_create *args = &request->args.session_create;
    /* Asked first, so that strict namespaces do not tell which ids exist. */
    if (input->policy->strict_ids && (args->given & SESSION_CREATE_ID))
        return outcome_error(error, ERROR_FORBIDDEN, "This namespace makes its ids itself; create without an id.");
    if (input->presence == PRESENCE_ALIVE) {
        outcome_error(error, ERROR_EXISTS, "A session with this id is alive; choose another id or use session.set.");
        error->version = input->old->version;
        return OUTCOME_ERROR;
    }
    if (input->presence != PRESENCE_NONE && !args->revive) return outcome_gone(input, error);
    draft_begin(draft, input, request->verb->id);
    draft_bind((struct request *)request, draft);
    return draft_fill(input, draft, error) ? OUTCOME_REPLACE : OUTCOME_ERROR;
}

/* Whoever is in a pool gets an id that proxies take; else it is one of ours. */
static void take_id(struct request *request, const struct args_session_create *args) {
    if (!bytes_is_absent(args->id)) {
        request_take_id(request, args->id);
    } else if (bytes_is_absent(args->pool)) {
        request->verb->id = request_make_id(request, args->user);
    } else {
        id_make_pool(request->env, request->id_buffer);
        request->verb->id = bytes_of(request->id_buffer, POOL_ID_SIZE);
    }
}

enum op_step session_create_begin(struct request *request) {
    const struct args_session_create *args = &request->args.session_create;
    if ((args->given & ~args->nil & SESSION_CREATE_CREATED_AT) &&
        args->created_at + request->clock_offset_ms > request->now_ms)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "created_at lies in the future; leave it out for a session that begins now.");
    if ((args->given & ~args->nil & SESSION_CREATE_BIND) && !(args->bind.given & ~args->bind.nil))
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "bind names nothing; give user_agent, address or device_key in it, or leave it out.");
    bool is_taken = bytes_is_absent(args->pool) ? request_take_namespace(request, args->namespace)
                                                : pool_take_namespace(request, args->namespace);
    if (!is_taken) return STEP_ERROR;
    take_id(request, args);
    if (args->token) request_make_secret(request);
    request->fields = args->given & SESSION_CREATE_FIELDS ? args->fields : FIELDS_ALL;
    request->verb->update.pool = args->pool;
    return request_ask_update(request, create_rule);
}

void session_create_end(struct request *request, struct buf *out) {
    if (request->args.session_create.token)
        request_write_record_with_token(request, out, &request->verb->session);
    else
        request_write_record(request, out, &request->verb->session);
}
