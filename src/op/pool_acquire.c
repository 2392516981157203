/* pool.acquire: hands out a usable session of a pool, or several.
 *
 * The engine decides which, counts the use, and makes a session where there is room; nothing free is EXHAUSTED, or a
 * wait for it (the server keeps the request until then). With an id it is that session or nil, at once. What cannot be
 * meant is refused here. Any loop's thread. */
#include "op/op_table.gen.h"
#include "op/pool.h"

/* An id asks for one session, free now. */
static enum op_step acquire_check_id(struct request *request) {
    const struct args_pool_acquire *args = &request->args.pool_acquire;
    if (args->wait_ms)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "An acquire of one id answers at once; leave wait_ms out, or the id.");
    if (args->given & POOL_ACQUIRE_COUNT)
        return request_refuse(request, ERROR_BAD_REQUEST, "An id names one session; leave count out, or the id.");
    if (args->given & POOL_ACQUIRE_TAGS)
        return request_refuse(request, ERROR_BAD_REQUEST,
                              "An id names its session whatever tags it has; leave tags out, or the id.");
    return STEP_SUBMIT;
}

static enum op_step acquire_check(struct request *request) {
    const struct args_pool_acquire *args = &request->args.pool_acquire;
    if (args->lease_ms > LIMIT_MAX_LEASE_MS)
        return request_refuse_limit(request, ERROR_BAD_REQUEST,
                                    "lease_ms is over an hour; take a shorter lease and renew it.", LIMIT_MAX_LEASE_MS);
    if (args->wait_ms > LIMIT_MAX_WAIT_MS)
        return request_refuse_limit(request, ERROR_BAD_REQUEST,
                                    "wait_ms is over a minute; wait for less and ask again.", LIMIT_MAX_WAIT_MS);
    if ((args->given & POOL_ACQUIRE_COUNT) && (args->count == 0 || args->count > (uint64_t)LIMIT_MAX_ACQUIRE))
        return request_refuse_limit(request, ERROR_BAD_REQUEST,
                                    "count is from 1 to 100; acquire several times for more.", LIMIT_MAX_ACQUIRE);
    return bytes_is_absent(args->id) ? STEP_SUBMIT : acquire_check_id(request);
}

enum op_step pool_acquire_begin(struct request *request) {
    const struct args_pool_acquire *args = &request->args.pool_acquire;
    struct verb *verb = request->verb;
    if (!pool_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (acquire_check(request) == STEP_ERROR) return STEP_ERROR;
    bool has_count = args->given & POOL_ACQUIRE_COUNT;
    request->fields = args->given & POOL_ACQUIRE_FIELDS ? args->fields : FIELDS_ALL;
    verb->kind = VERB_ACQUIRE;
    verb->id = args->id;
    verb->acquire.pool = args->pool;
    verb->acquire.has_strategy = args->given & POOL_ACQUIRE_STRATEGY;
    verb->acquire.strategy = args->strategy;
    verb->acquire.create = args->create;
    verb->acquire.lease_ms = args->lease_ms;
    verb->acquire.wait_ms = args->wait_ms;
    verb->acquire.tags = args->tags;
    verb->acquire.count = has_count ? (uint32_t)args->count : 1;
    verb->acquire.bytes_max = request->answer_mark;
    return STEP_SUBMIT;
}

static void write_hand_out(struct request *request, struct buf *out, const struct session *session,
                           const struct usage *usage, uint64_t use, uint64_t fence) {
    struct session handed = *session;
    struct record_extra extra = {.use = use, .fence = fence};
    handed.usage = usage;
    codec_write_record_with(out, &handed, &extra, request->fields, request->now_ms);
}

void pool_acquire_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    bool has_count = request->args.pool_acquire.given & POOL_ACQUIRE_COUNT;
    if (!verb->is_found) {
        mp_write_nil(out);
        return;
    }
    if (has_count) mp_write_array(out, 1 + verb->more_count);
    write_hand_out(request, out, &verb->session, &verb->usage, verb->use, verb->fence);
    for (uint32_t i = 0; has_count && i < verb->more_count; i++) {
        const struct hand_out *more = &verb->more[i];
        write_hand_out(request, out, &more->session, &more->usage, more->use, more->fence);
    }
}
