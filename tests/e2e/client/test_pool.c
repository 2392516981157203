/* The typed functions of pools against sessiond itself: that each asks for what it says and reads what it is answered.
 * The rules themselves are the scenarios' business. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "live.h"
#include "mp_text.h"
#include "sessiond/client_async.h"

TestSuite(pool, .init = live_begin, .fini = live_end);

static struct sessiond_records *acquire(const struct sessiond_pool_acquire_options *options) {
    struct sessiond_records *records;
    FINE(sessiond_pool_acquire(client, "proxies", options, &records));
    return records;
}

static struct sessiond_marked *mark(const char *id, int outcome, const struct sessiond_pool_mark_options *options) {
    struct sessiond_marked *marked;
    FINE(sessiond_pool_mark(client, id, outcome, options, &marked));
    cr_assert_not_null(marked);
    return marked;
}

static struct sessiond_pool *info(void) {
    struct sessiond_pool *pool;
    FINE(sessiond_pool_info(client, "proxies", &pool));
    return pool;
}

Test(pool, is_configured_and_tells_how_full_it_is) {
    cr_assert_null(info());
    struct sessiond_pool_policy policy = {.max_pool_size = 2,
                                          .error_score_decrement = 0.25,
                                          .blocked_status_codes = {(const uint16_t[]){403, 500}, 2},
                                          .strategy = SESSIOND_POOL_STRATEGY_ROUND_ROBIN};
    struct sessiond_pool *pool;
    FINE(sessiond_pool_configure(client, "proxies", &policy, &pool));
    cr_assert_str_eq(pool->name.text, "proxies");
    cr_assert_eq(pool->policy.max_pool_size, 2);
    cr_assert_float_eq(pool->policy.error_score_decrement, 0.25, 0);
    cr_assert_float_eq(pool->policy.max_error_score, 3, 0);
    cr_assert_eq(pool->policy.blocked_status_codes.count, 2);
    cr_assert_eq(pool->policy.blocked_status_codes.codes[1], 500);
    cr_assert_eq(pool->policy.strategy, SESSIOND_POOL_STRATEGY_ROUND_ROBIN);
    sessiond_free(pool);
    sessiond_free(acquire(&(struct sessiond_pool_acquire_options){.lease_ms = 60000}));
    pool = info();
    cr_assert_eq(pool->usable_count, 1);
    cr_assert_eq(pool->leased_count, 1);
    cr_assert_eq(pool->retired_count, 0);
    sessiond_free(pool);
}

Test(pool, hands_out_marks_and_retires) {
    struct sessiond_records *records = acquire(NULL);
    cr_assert_eq(records->count, 1);
    const struct sessiond_record *record = records->records[0];
    cr_assert_eq(strncmp(record->id.text, "session_", 8), 0, "%s", record->id.text);
    cr_assert_eq(record->usage_count, 1);
    cr_assert_eq(record->use, 1);
    cr_assert_eq(record->max_usage_count, 50);
    cr_assert_str_eq(record->pool.text, "proxies");
    cr_assert_not(record->has & SESSIOND_FIELD_FENCE, "it is not leased");
    const char *id = record->id.text;
    struct sessiond_marked *marked = mark(id, SESSIOND_MARK_BAD, &(struct sessiond_pool_mark_options){.use = 1});
    cr_assert_eq(marked->usage_count, 1);
    cr_assert_float_eq(marked->error_score, 1, 0);
    cr_assert(marked->is_usable);
    sessiond_free(marked);
    marked = mark(id, SESSIOND_MARK_GOOD, NULL);
    cr_assert_eq(marked->usage_count, 2);
    cr_assert_float_eq(marked->error_score, 0.5, 0);
    sessiond_free(marked);
    marked = mark(id, 500, NULL);
    cr_assert_not(marked->is_retired, "500 is not among the blocked codes");
    sessiond_free(marked);
    struct sessiond_codes extra = {(const uint16_t[]){500}, 1};
    marked = mark(id, 500, &(struct sessiond_pool_mark_options){.extra_codes = extra});
    cr_assert(marked->is_retired);
    cr_assert_not(marked->is_usable);
    sessiond_free(marked);
    struct sessiond_record *retired;
    FINE(sessiond_get(client, id, NULL, &retired));
    cr_assert(retired->retired);
    sessiond_free(retired);
    FINE(sessiond_pool_mark(client, "none", SESSIOND_MARK_GOOD, NULL, &marked));
    cr_assert_null(marked);
    sessiond_free(records);
}

Test(pool, leases_renews_and_releases_by_fence) {
    struct sessiond_records *records = acquire(&(struct sessiond_pool_acquire_options){.lease_ms = 60000});
    const struct sessiond_record *record = records->records[0];
    cr_assert_gt(record->fence, 0);
    cr_assert_gt(record->lease_expires_at, 0);
    bool was_there;
    struct sessiond_pool_renew_options renew = {.fence = (int64_t)record->fence, .lease_ms = 60000};
    FINE(sessiond_pool_renew(client, record->id.text, &renew, &was_there));
    cr_assert(was_there);
    renew.fence++;
    cr_assert_eq(sessiond_pool_renew(client, record->id.text, &renew, NULL), SESSIOND_ERROR_CONFLICT);
    struct sessiond_pool_release_options release = {.use = (int64_t)record->use, .fence = (int64_t)record->fence};
    FINE(sessiond_pool_release(client, record->id.text, &release, &was_there));
    cr_assert(was_there);
    struct sessiond_record *after;
    FINE(sessiond_get(client, record->id.text, NULL, &after));
    cr_assert_eq(after->usage_count, 0, "released without a mark: the use is taken back");
    sessiond_free(after);
    FINE(sessiond_pool_release(client, "none", NULL, &was_there));
    cr_assert_not(was_there);
    sessiond_free(records);
}

Test(pool, answers_several_none_and_a_place) {
    struct sessiond_pool_acquire_options several = {.count = 3, .fields = SESSIOND_FIELD_ID | SESSIOND_FIELD_USE};
    struct sessiond_records *records = acquire(&several);
    cr_assert_eq(records->count, 3);
    cr_assert_str_neq(records->records[0]->id.text, records->records[1]->id.text);
    cr_assert_eq(records->records[2]->use, 1);
    sessiond_free(records);
    cr_assert_null(acquire(&(struct sessiond_pool_acquire_options){.id = "none"}));
    struct sessiond_pool_acquire_options tagged = {.tags = {(const char *const[]){"de"}, 1},
                                                   .create = SESSIOND_POOL_CREATE_NEVER};
    cr_assert_eq(sessiond_pool_acquire(client, "proxies", &tagged, &records), SESSIOND_ERROR_EXHAUSTED);
    tagged.create = SESSIOND_POOL_CREATE_ASK;
    cr_assert_eq(sessiond_pool_acquire(client, "proxies", &tagged, &records), SESSIOND_ERROR_CREATE_NEEDED);
    struct sessiond_pool *pool = info();
    cr_assert_eq(pool->held_count, 1);
    sessiond_free(pool);
    struct sessiond_pool_add_options add = {
        .id = "mine", .tags = tagged.tags, .max_usage_count = 1, .max_error_score = 1.5, .meta = MP("\x81\xa1k\x01")};
    struct sessiond_record *record;
    FINE(sessiond_pool_add(client, "proxies", &add, &record));
    cr_assert_str_eq(record->id.text, "mine");
    cr_assert_str_eq(mp_text(record->tags.bytes, record->tags.size), "[\"de\"]");
    cr_assert_float_eq(record->max_error_score, 1.5, 0);
    sessiond_free(record);
    cr_assert_eq(sessiond_pool_add(client, "proxies", &add, NULL), SESSIOND_ERROR_EXISTS);
    tagged.create = SESSIOND_POOL_CREATE_NEVER; /* else an empty place comes first */
    records = acquire(&tagged);
    cr_assert_str_eq(records->records[0]->id.text, "mine");
    sessiond_free(records);
}

Test(pool, is_saved_reset_and_loaded) {
    sessiond_free(acquire(&(struct sessiond_pool_acquire_options){.count = 2}));
    struct sessiond_pool_sessions *state;
    FINE(sessiond_pool_state(client, "proxies", NULL, &state));
    cr_assert_eq(state->count, 2);
    cr_assert_eq(state->usable_count, 2);
    cr_assert_eq(state->sessions[0]->usage_count, 1);
    cr_assert_null(state->cursor.text);
    sessiond_free(state);
    struct sessiond_pool *pool;
    FINE(sessiond_pool_reset(client, "proxies", &pool));
    cr_assert_eq(pool->usable_count, 0);
    sessiond_free(pool);
    int64_t taken;
    FINE(sessiond_pool_load(client, "proxies",
                            MP("\x92\x82\xa2id\xa2p1\xabusage_count\x03\x82\xa2id\xa2p2\xabusage_count\x32"), &taken));
    cr_assert_eq(taken, 1, "the second is used up");
    struct sessiond_record *record;
    FINE(sessiond_get(client, "p1", NULL, &record));
    cr_assert_eq(record->usage_count, 3);
    sessiond_free(record);
}

/* ---------------------------------------------------------------- waiting */

static unsigned answered;

static void note(struct sessiond_reply *reply, void *data) {
    struct sessiond_records **records = data;
    struct sessiond_error error;
    cr_assert_eq(sessiond_reply_acquired(reply, records, &error), 0, "%s", error.message);
    answered++;
}

Test(pool, serves_who_waits_when_a_session_comes_back) {
    struct sessiond_pool_policy one = {.max_pool_size = 1, .max_concurrent = 1};
    FINE(sessiond_pool_configure(client, "proxies", &one, NULL));
    struct sessiond_records *first = acquire(NULL), *waited = NULL;
    uv_loop_t loop;
    struct sessiond_async *async;
    uv_loop_init(&loop);
    struct sessiond_async_options options = {.client = {.timeout_ms = 100000, .connect_timeout_ms = 60000}};
    cr_assert_eq(sessiond_async_open(&loop, server.url, &options, &async, NULL), 0);
    struct sessiond_pool_acquire_options wait = {.wait_ms = 60000};
    sessiond_async_send(async, sessiond_pool_acquire_request("web", "proxies", &wait), note, &waited);
    struct sessiond_pool *pool = NULL;
    uint64_t end = uv_hrtime() + UINT64_C(60000000000);
    do { /* until the server knows that it waits */
        sessiond_free(pool);
        uv_run(&loop, UV_RUN_NOWAIT);
        pool = info();
    } while (pool->waiting_count == 0 && uv_hrtime() < end);
    cr_assert_eq(pool->waiting_count, 1);
    sessiond_free(pool);
    cr_assert_eq(answered, 0);
    struct sessiond_pool_mark_options used = {.use = (int64_t)first->records[0]->use};
    sessiond_free(mark(first->records[0]->id.text, SESSIOND_MARK_GOOD, &used));
    while (answered == 0 && uv_hrtime() < end) uv_run(&loop, UV_RUN_ONCE);
    cr_assert_not_null(waited);
    cr_assert_str_eq(waited->records[0]->id.text, first->records[0]->id.text);
    cr_assert_eq(waited->records[0]->use, 2);
    sessiond_free(waited);
    sessiond_free(first);
    sessiond_async_close(async, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    cr_assert_eq(uv_loop_close(&loop), 0);
}
