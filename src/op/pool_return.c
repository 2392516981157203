/* pool.mark, pool.release and pool.renew: what becomes of a hand-out.
 *
 * Each names the session, and the hand-out by its use or its lease by the fence; an engine that does not know the one
 * or the other as the newest refuses (CONFLICT). A session that is not there is nil. Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/pool.h"

/* What all three have, wherever it stands in their arguments. */
struct hand {
    struct bytes namespace, id;
    bool has_use, has_fence;
    uint64_t use, fence;
};

static enum op_step return_begin(struct request *request, enum return_kind kind, const struct hand *hand) {
    struct verb *verb = request->verb;
    if (!pool_take_namespace(request, hand->namespace)) return STEP_ERROR;
    if (hand->has_use && hand->use == 0)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "use is the number that acquire answered, never 0; leave it out for a mark without one.");
    if (hand->has_fence && hand->fence == 0)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "fence is the number that an acquire with lease_ms answered, never 0.");
    verb->kind = VERB_RETURN;
    verb->id = hand->id;
    verb->pool_return.kind = kind;
    verb->pool_return.use = hand->use;
    verb->pool_return.fence = hand->fence;
    return STEP_SUBMIT;
}

enum op_step pool_mark_begin(struct request *request) {
    const struct args_pool_mark *args = &request->args.pool_mark;
    struct hand hand = {args->namespace, args->id,   args->given & POOL_MARK_USE, args->given & POOL_MARK_FENCE,
                        args->use,       args->fence};
    if (return_begin(request, RETURN_MARK, &hand) == STEP_ERROR) return STEP_ERROR;
    request->verb->pool_return.outcome = args->outcome;
    if (args->given & POOL_MARK_EXTRA_CODES) request->verb->pool_return.extra_codes = &args->extra_codes;
    return STEP_SUBMIT;
}

void pool_mark_end(struct request *request, struct buf *out) {
    const struct usage *usage = &request->verb->usage;
    if (!request->verb->is_found) {
        mp_write_nil(out);
        return;
    }
    mp_write_map(out, 4);
    mp_write_str(out, BYTES_LITERAL("usage_count"));
    mp_write_uint(out, usage->usage_count);
    mp_write_str(out, BYTES_LITERAL("error_score"));
    codec_write_score(out, usage->error_score);
    mp_write_str(out, BYTES_LITERAL("usable"));
    mp_write_bool(out, request->verb->is_usable);
    mp_write_str(out, BYTES_LITERAL("retired"));
    mp_write_bool(out, usage->retired_at != 0);
}

static void write_done(const struct request *request, struct buf *out) {
    if (request->verb->is_found)
        mp_write_bool(out, true);
    else
        mp_write_nil(out);
}

enum op_step pool_release_begin(struct request *request) {
    const struct args_pool_release *args = &request->args.pool_release;
    struct hand hand = {args->namespace, args->id,   args->given & POOL_RELEASE_USE, args->given & POOL_RELEASE_FENCE,
                        args->use,       args->fence};
    return return_begin(request, RETURN_RELEASE, &hand);
}

void pool_release_end(struct request *request, struct buf *out) {
    write_done(request, out);
}

enum op_step pool_renew_begin(struct request *request) {
    const struct args_pool_renew *args = &request->args.pool_renew;
    struct hand hand = {args->namespace, args->id,   args->given & POOL_RENEW_USE, args->given & POOL_RENEW_FENCE,
                        args->use,       args->fence};
    if (return_begin(request, RETURN_RENEW, &hand) == STEP_ERROR) return STEP_ERROR;
    if (args->lease_ms == 0)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "Say with lease_ms how long the lease is to last from now; pool.release ends it.");
    if (args->lease_ms > LIMIT_MAX_LEASE_MS)
        return request_refuse_limit(request, ERROR_BAD_REQUEST,
                                    "lease_ms is over an hour; take a shorter lease and renew it.", LIMIT_MAX_LEASE_MS);
    request->verb->pool_return.lease_ms = args->lease_ms;
    return STEP_SUBMIT;
}

void pool_renew_end(struct request *request, struct buf *out) {
    write_done(request, out);
}
