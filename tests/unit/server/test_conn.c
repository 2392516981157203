/* A connection from bytes to bytes, over the fake engine. */
#include "rig.h"

#include "op/op.h"
#include "server/internal.h"
#include "wire/codec.h"

static struct rig rig;
static void setup(void) {
    rig_open(&rig);
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(conn, .init = setup, .fini = teardown);

#define GET_X "['web', 'x', {'fields': ['data']}]"

/* ---------------------------------------------------------------- requests and answers */

Test(conn, a_ping_is_answered_with_the_time_it_was_fed_at) {
    rig_expect(&rig, 7, "server.ping", "[]", "[1, 7, null, {'now': 1767225600000}]\n");
    cr_assert_eq(rig.state, CONN_READING);
}

Test(conn, a_pipeline_is_executed_and_answered_in_its_order) {
    rig_add(&rig, 1, "session.get", GET_X);
    rig_add(&rig, 2, "session.set", "['web', 'x', {'n': 1}]");
    rig_add(&rig, 3, "session.get", GET_X);
    rig_add(&rig, 4, "server.ping", "[]");
    rig_add(&rig, 5, "session.set", "['web', 'x', {'n': 2}]");
    rig_add(&rig, 6, "session.get", GET_X);
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 1, null, null]\n"
                          "[1, 2, null, {'version': 1, 'expires_at': 1767312000000}]\n"
                          "[1, 3, null, {'data': {'n': 1}}]\n"
                          "[1, 4, null, {'now': 1767225600000}]\n"
                          "[1, 5, null, {'version': 2, 'expires_at': 1767312000000}]\n"
                          "[1, 6, null, {'data': {'n': 2}}]\n");
    cr_assert_eq(rig.fake->submits, 1u, "five verbs should be one submit");
    cr_assert_eq(rig.fake->verbs, 5u);
}

Test(conn, a_long_pipeline_goes_in_batches_of_16) {
    for (int i = 0; i < 200; i++) rig_add(&rig, i, "session.get", GET_X);
    rig_feed(&rig);
    cr_assert_eq(rig.fake->verbs, 200u);
    cr_assert_eq(rig.fake->verbs_max, 16u);
    cr_assert_eq(rig.fake->submits, 13u);
}

Test(conn, a_notification_is_executed_and_not_answered) {
    rig_add(&rig, -1, "session.set", "['web', 'x', {'n': 1}]");
    rig_add(&rig, -1, "session.list", "['web']");
    rig_add(&rig, -1, "no.such", "[]");
    rig_add(&rig, 1, "session.get", GET_X);
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 1, null, {'data': {'n': 1}}]\n");
}

Test(conn, a_refused_request_is_answered_and_those_around_it_too) {
    rig_add(&rig, 1, "session.set", "['web', 'x', 1]");
    rig_add(&rig, 2, "no.such", "[]");
    rig_add(&rig, 3, "session.get", GET_X);
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert(strstr(text, "[1, 2, {'code': 'UNKNOWN_METHOD'"), "%s", text);
    cr_assert(strstr(text, "[1, 3, null, {'data': 1}]"), "%s", text);
    cr_assert_eq(rig.state, CONN_READING);
    free(text);
}

Test(conn, what_the_engine_refuses_is_answered_with_its_details) {
    rig_expect(&rig, 9, "session.set", "['web', 'refuse', 1]",
               "[1, 9, {'code': 'LIMIT', 'message': 'The fake engine refuses this id; take another.', 'limit': 3}, "
               "null]\n");
}

Test(conn, what_asks_nothing_of_the_engine_is_not_touched_by_the_error_of_what_follows) {
    rig_add(&rig, 1, "server.ping", "[]");
    rig_add(&rig, 2, "session.get", "[null, 'x']");
    rig_add(&rig, 3, "session.set", "['web', 'refuse', 1]");
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, "[1, 1, null, {'now'", 19), 0, "%s", text);
    cr_assert(strstr(text, "[1, 2, {'code': 'BAD_REQUEST'"), "%s", text);
    free(text);
}

Test(conn, a_streamed_answer_stands_behind_those_before_it) {
    rig_add(&rig, 1, "session.set", "['web', 'x', 1]");
    rig_add(&rig, 2, "session.get_many", "['web', ['x', 'none'], {'fields': ['data']}]");
    rig_add(&rig, 3, "session.list", "['web', {'fields': ['id']}]");
    rig_add(&rig, 4, "server.ping", "[]");
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n"
                          "[1, 2, null, [{'data': 1}, null]]\n"
                          "[1, 3, null, {'sessions': [{'id': 'x'}], 'cursor': null, 'total': 1}]\n"
                          "[1, 4, null, {'now': 1767225600000}]\n");
}

Test(conn, a_refused_streamed_answer_leaves_nothing_but_its_error) {
    rig_add(&rig, 1, "server.ping", "[]");
    rig_add(&rig, 2, "session.list", "['web', {'limit': 0}]");
    rig_add(&rig, 3, "session.list", "[null]");
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert(strstr(text, "\n[1, 2, {'code': 'BAD_REQUEST'"), "%s", text);
    cr_assert(strstr(text, "\n[1, 3, {'code': 'BAD_REQUEST'"), "%s", text);
    free(text);
}

/* ---------------------------------------------------------------- pieces */

/* Requests of every kind, with a long value among them. */
static void add_variety(void) {
    rig_add(&rig, 1, "session.set", "['web', 'x', {'n': 1}]");
    rig_add(&rig, 2, "session.get", GET_X);
    rig_add(&rig, 3, "no.such", "[1, {'deep': [[[]]]}]");
    rig_add(&rig, -1, "session.set", "['web', 'y', 'silent']");
    rig_add(&rig, 4, "session.get_many", "['web', ['x', 'y'], {'fields': ['data']}]");
    rig_add_big(&rig, 5, "z", 3000);
    rig_add(&rig, 6, "session.list", "['web', {'fields': ['id']}]");
}

static char *answers_to(struct bytes stream, size_t piece, size_t first) {
    struct buf all = BUF_EMPTY;
    for (size_t at = 0; at < stream.size;) {
        size_t size = at == 0 && first ? first : piece;
        if (size > stream.size - at) size = stream.size - at;
        cr_assert_eq(conn_feed(rig.conn, bytes_of(stream.data + at, size), rig.now_ms), CONN_READING);
        struct bytes output = conn_output(rig.conn);
        buf_append(&all, output.data, output.size);
        conn_output_sent(rig.conn, output.size);
        at += size;
    }
    char *text = json_of(buf_bytes(&all));
    buf_fini(&all);
    return text;
}

static char *fresh_answers_to(size_t piece, size_t first) {
    rig_close(&rig);
    rig_open(&rig);
    add_variety();
    char *text = answers_to(buf_bytes(&rig.sent), piece, first);
    cr_assert(conn_is_idle(rig.conn), "something is left of piece %zu first %zu", piece, first);
    return text;
}

Test(conn, a_stream_cut_in_two_at_any_byte_is_answered_the_same) {
    add_variety();
    size_t size = rig.sent.size;
    char *whole = fresh_answers_to(size, 0);
    for (size_t cut = 1; cut < size; cut++) {
        char *text = fresh_answers_to(size, cut);
        cr_assert_str_eq(text, whole, "cut at %zu:\n%s\nwhole:\n%s", cut, text, whole);
        free(text);
    }
    free(whole);
}

Test(conn, a_stream_that_comes_byte_by_byte_or_in_other_pieces_is_answered_the_same) {
    add_variety();
    char *whole = fresh_answers_to(rig.sent.size, 0);
    for (size_t piece = 1; piece < 40; piece++) {
        char *text = fresh_answers_to(piece, 0);
        cr_assert_str_eq(text, whole, "pieces of %zu:\n%s\nwhole:\n%s", piece, text, whole);
        free(text);
    }
    free(whole);
}

Test(conn, a_message_of_two_megabytes_in_small_pieces_is_scanned_once) {
    rig_add_big(&rig, 1, "x", 1000 * 1000);
    struct bytes stream = buf_bytes(&rig.sent);
    for (size_t at = 0; at < stream.size; at += 100)
        conn_feed(rig.conn, bytes_of(stream.data + at, stream.size - at < 100 ? stream.size - at : 100), rig.now_ms);
    rig_expect_text(&rig, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n");
}

Test(conn, a_connection_without_bytes_holds_no_buffer) {
    add_variety();
    rig_feed(&rig);
    free(rig_take(&rig));
    cr_assert_null(rig.conn->filling.data);
    cr_assert_null(rig.conn->flying.data);
    cr_assert_null(rig.conn->input.data);
    cr_assert_lt(sizeof *rig.conn, 1024u);
}

Test(conn, a_warm_loop_answers_from_the_buffers_that_it_has) {
    rig_expect(&rig, 1, "server.ping", "[]", "[1, 1, null, {'now': 1767225600000}]\n");
    cr_assert_eq(rig.loop->spare_count, 1u);
    const uint8_t *spare = rig.loop->spares[0].data;
    for (int i = 0; i < 100; i++) {
        rig_add(&rig, 1, "session.get", GET_X);
        rig_feed(&rig);
        cr_assert_eq(rig.conn->filling.data, spare);
        conn_output_sent(rig.conn, conn_output(rig.conn).size);
    }
}

/* ---------------------------------------------------------------- bytes that are no requests */

static void expect_closed_by(struct bytes bytes, const char *what) {
    enum conn_state state = conn_feed(rig.conn, bytes, rig.now_ms);
    char *text = rig_take(&rig);
    cr_assert_eq(state, CONN_CLOSING, "%s", what);
    cr_assert_eq(strncmp(text, "[1, 0, {'code': 'BAD_REQUEST'", 28), 0, "%s: %s", what, text);
    free(text);
    cr_assert_eq(conn_feed(rig.conn, BYTES_LITERAL("\x94\x00\x01"), rig.now_ms), CONN_CLOSING);
    cr_assert_eq(conn_output(rig.conn).size, 0u, "a closing connection answers nothing more");
}

Test(conn, bytes_that_are_no_messagepack_rpc_end_the_connection_with_an_error) {
    expect_closed_by(BYTES_LITERAL("GET / HTTP/1.1\r\n\r\n"), "HTTP");
}
Test(conn, the_byte_that_messagepack_never_uses_ends_the_connection) {
    expect_closed_by(BYTES_LITERAL("\x94\x00\x01\xa1x\xc1"), "0xc1");
}
Test(conn, an_answer_from_a_client_ends_the_connection) {
    expect_closed_by(BYTES_LITERAL("\x94\x01\x01\xc0\xc0"), "a response");
}

Test(conn, answers_before_the_broken_message_are_still_given) {
    rig_add(&rig, 1, "session.set", "['web', 'x', 1]");
    rig_add(&rig, 2, "session.get", GET_X);
    buf_append(&rig.sent, "\xc1", 1);
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_CLOSING);
    char *text = rig_take(&rig);
    cr_assert(strstr(text, "[1, 2, null, {'data': 1}]\n[1, 0, {'code': 'BAD_REQUEST'"), "%s", text);
    free(text);
}

Test(conn, a_message_above_max_frame_is_too_big_and_ends_the_connection) {
    struct server_limits limits = rig_limits;
    limits.max_frame = 1000;
    server_set_limits(rig.server, &limits);
    rig_add_big(&rig, 77, "x", 5000);
    struct bytes stream = buf_bytes(&rig.sent);
    cr_assert_eq(conn_feed(rig.conn, bytes_of(stream.data, 900), rig.now_ms), CONN_READING);
    cr_assert_eq(conn_feed(rig.conn, bytes_of(stream.data + 900, 900), rig.now_ms), CONN_CLOSING);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, "[1, 77, {'code': 'TOO_BIG'", 26), 0, "%s", text);
    cr_assert(strstr(text, "'limit': 1000"), "%s", text);
    free(text);
}

Test(conn, a_whole_message_above_max_frame_is_too_big_as_well) {
    struct server_limits limits = rig_limits;
    limits.max_frame = 1000;
    server_set_limits(rig.server, &limits);
    rig_add(&rig, 1, "server.ping", "[]");
    rig_add_big(&rig, 77, "x", 5000);
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_CLOSING);
    char *text = rig_take(&rig);
    cr_assert(strstr(text, "}]\n[1, 77, {'code': 'TOO_BIG'"), "%s", text);
    free(text);
    cr_assert_eq(rig.fake->count, 0u);
}

Test(conn, a_declared_length_takes_no_memory_before_its_bytes_come) {
    /* A set whose data claims 16 MiB, and an array that claims four billion elements. */
    struct bytes claims[] = {BYTES_LITERAL("\x94\x00\x01\xabsession.set\x93\xa3web\xa1x\xc6\x01\x00\x00\x00"),
                             BYTES_LITERAL("\x94\x00\x01\xabsession.set\xdd\xff\xff\xff\xff")};
    for (size_t i = 0; i < 2; i++) {
        rig_close(&rig);
        rig_open(&rig);
        cr_assert_eq(conn_feed(rig.conn, claims[i], rig.now_ms), CONN_READING);
        cr_assert_leq(rig.conn->input.capacity, 4096u);
    }
}

Test(conn, only_a_whole_valid_request_counts_as_having_spoken) {
    cr_assert(!conn_has_spoken(rig.conn));
    rig_add(&rig, 1, "no.such", "[]");
    rig_feed(&rig);
    cr_assert(!conn_has_spoken(rig.conn), "a refused one");
    rig_add(&rig, 1, "server.ping", "[]");
    rig.state = conn_feed(rig.conn, bytes_of(rig.sent.data, rig.sent.size - 1), rig.now_ms);
    cr_assert(!conn_has_spoken(rig.conn), "half a one");
    conn_feed(rig.conn, bytes_of(rig.sent.data + rig.sent.size - 1, 1), rig.now_ms);
    cr_assert(conn_has_spoken(rig.conn));
}

/* ---------------------------------------------------------------- output that is not read */

#define BIG (200 * 1000)

static void store_big(void) {
    rig_add_big(&rig, 1, "x", BIG);
    rig_feed(&rig);
    free(rig_take(&rig));
}

/* Reads and resumes until all is answered; checks the order of the msgids and that output stays bounded. */
static void drain_in_order(uint64_t first, uint64_t count, size_t bound) {
    uint64_t next = first;
    for (int rounds = 0; next < first + count; rounds++) {
        cr_assert_lt(rounds, 10000, "no progress at %llu", (unsigned long long)next);
        cr_assert_leq(conn_output_pending(rig.conn), bound, "at %llu", (unsigned long long)next);
        struct bytes output = conn_output(rig.conn);
        struct mp_cursor cursor = mp_cursor_of(output);
        while (cursor.at != cursor.end) {
            cr_assert_eq(mp_read_array(&cursor), 4u);
            mp_read_int(&cursor, 1, 1);
            cr_assert_eq((uint64_t)mp_read_int(&cursor, 0, UINT32_MAX), next++);
            cr_assert(mp_read_nil(&cursor));
            mp_read_value(&cursor, 16);
            cr_assert_eq(cursor.error, MP_OK);
        }
        conn_output_sent(rig.conn, output.size);
        rig.state = conn_resume(rig.conn, rig.now_ms);
    }
    cr_assert_eq(next, first + count, "answered twice");
    cr_assert_eq(rig.state, CONN_READING);
    cr_assert(conn_is_idle(rig.conn));
}

Test(conn, pipelined_reads_of_big_values_stop_at_the_mark_and_go_on_when_they_are_read) {
    store_big();
    for (int i = 0; i < 500; i++) rig_add(&rig, 100 + i, "session.get", GET_X);
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    drain_in_order(100, 500, 64 * 1024 + BIG + 1000);
}

Test(conn, pipelined_reads_and_writes_of_big_values_stop_at_the_mark_too) {
    store_big();
    for (int i = 0; i < 500; i++) {
        if (i % 3 == 2)
            rig_add(&rig, 100 + i, "session.set", "['web', 'y', 1]");
        else
            rig_add(&rig, 100 + i, "session.get", i % 2 ? GET_X : "['web', 'x', {'touch': true}]");
    }
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    drain_in_order(100, 500, 64 * 1024 + BIG + 1000);
    cr_assert_eq(fake_find(rig.fake, BYTES_LITERAL("y"))->version, 1u + 166u, "each set was executed once");
}

Test(conn, small_reads_and_writes_share_a_batch) {
    for (int i = 0; i < 60; i++) {
        rig_add(&rig, i, "session.set", "['web', 'y', {'some': 'data'}]");
        rig_add(&rig, i, "session.get", "['web', 'y', {'touch': true}]");
    }
    rig_feed(&rig);
    cr_assert_leq(rig.fake->submits, 8u, "120 requests");
}

Test(conn, get_many_stops_at_the_mark_with_at_least_one_element) {
    store_big();
    rig_add(&rig, 5, "session.get_many", "['web', ['x', 'x', 'x'], {'fields': ['data']}]");
    rig_feed(&rig);
    struct bytes output = conn_output(rig.conn);
    struct mp_cursor cursor = mp_cursor_of(output);
    mp_read_array(&cursor);
    mp_read_int(&cursor, 1, 1), mp_read_int(&cursor, 5, 5), mp_read_nil(&cursor);
    cr_assert_eq(mp_read_array(&cursor), 1u);
    cr_assert_eq(rig.state, CONN_PAUSED);
}

Test(conn, input_that_comes_while_paused_is_kept_and_executed_after_it) {
    store_big();
    for (int i = 0; i < 10; i++) rig_add(&rig, 100 + i, "session.get", GET_X);
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    for (int i = 10; i < 20; i++) rig_add(&rig, 100 + i, "session.get", GET_X);
    struct bytes stream = buf_bytes(&rig.sent);
    conn_feed(rig.conn, bytes_of(stream.data, 33), rig.now_ms);
    conn_feed(rig.conn, bytes_of(stream.data + 33, stream.size - 33), rig.now_ms);
    drain_in_order(100, 20, 64 * 1024 + BIG + 1000);
}

Test(conn, one_buffer_flies_while_the_other_fills) {
    rig_add(&rig, 1, "server.ping", "[]");
    rig_feed(&rig);
    struct bytes flying = conn_output_fly(rig.conn);
    rig_add(&rig, 2, "server.ping", "[]");
    rig_feed(&rig);
    cr_assert_eq(conn_output_pending(rig.conn), 2 * flying.size);
    char *text = json_of(flying);
    cr_assert_str_eq(text, "[1, 1, null, {'now': 1767225600000}]\n");
    free(text);
    conn_output_landed(rig.conn);
    rig_expect_text(&rig, "[1, 2, null, {'now': 1767225600000}]\n");
    cr_assert(conn_is_idle(rig.conn));
}

Test(conn, what_flies_is_what_was_not_yet_written) {
    rig_add(&rig, 1, "server.ping", "[]");
    rig_feed(&rig);
    struct bytes output = conn_output(rig.conn);
    uint8_t third = output.data[3];
    conn_output_sent(rig.conn, 3);
    struct bytes flying = conn_output_fly(rig.conn);
    cr_assert_eq(flying.size, output.size - 3);
    cr_assert_eq(flying.data[0], third);
    conn_output_landed(rig.conn);
}

/* ---------------------------------------------------------------- the default namespace, draining */

Test(conn, nil_means_the_namespace_that_hello_named_from_then_on) {
    rig_add(&rig, 1, "session.set", "[null, 'x', 1]");
    rig_add(&rig, 2, "server.hello", "[{'namespace': 'web'}]");
    rig_add(&rig, 3, "session.set", "[null, 'x', 1]");
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, "[1, 1, {'code': 'BAD_REQUEST'", 28), 0, "%s", text);
    cr_assert(strstr(text, "[1, 3, null, {'version': 1"), "%s", text);
    free(text);
}

Test(conn, verbs_before_a_hello_in_the_same_pipeline_keep_the_old_default) {
    rig_add(&rig, 1, "server.hello", "[{'namespace': 'old'}]");
    rig_add(&rig, 2, "session.get", "[null, 'x']");
    rig_add(&rig, 3, "server.hello", "[{'namespace': 'new'}]");
    rig_feed(&rig);
    cr_assert_str_eq(rig.fake->last_namespace, "old");
    free(rig_take(&rig));
}

Test(conn, a_draining_server_answers_busy) {
    server_set_draining(rig.server);
    rig_add(&rig, 1, "session.set", "['web', 'x', 1, {'op_id': 5}]");
    rig_add(&rig, 2, "session.list", "['web']");
    rig_feed(&rig);
    char *text = rig_take(&rig);
    cr_assert_eq(strncmp(text, "[1, 1, {'code': 'BUSY'", 22), 0, "%s", text);
    cr_assert(strstr(text, "\n[1, 2, {'code': 'BUSY'"), "%s", text);
    cr_assert(strstr(text, "'retry_after_ms': 1000"), "%s", text);
    free(text);
    cr_assert_eq(rig.fake->count, 0u);
}

/* ---------------------------------------------------------------- verbs that are answered later */

static struct conn *notified;
static void note(void *context, struct conn *conn) {
    cr_assert_eq(context, &rig);
    notified = conn;
}

Test(conn, a_pending_request_is_answered_when_the_engine_is_done_and_others_overtake_it) {
    server_loop_on_output(rig.loop, note, &rig);
    rig_add(&rig, 1, "session.set", "['web', 'slow', {'n': 1}]");
    rig_add(&rig, 2, "session.get", "['web', 'slow', {'fields': ['id', 'data']}]");
    rig_add(&rig, 3, "server.ping", "[]");
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 3, null, {'now': 1767225600000}]\n");
    cr_assert(!conn_is_idle(rig.conn));
    fake_finish(rig.fake, 1);
    cr_assert_null(notified, "not from inside the engine");
    server_loop_advance(rig.loop, rig.now_ms, 100);
    cr_assert_eq(notified, rig.conn);
    rig_expect_text(&rig, "[1, 2, null, {'id': 'slow', 'data': {'n': 1}}]\n");
    fake_finish(rig.fake, 0);
    server_loop_advance(rig.loop, rig.now_ms, 100);
    rig_expect_text(&rig, "[1, 1, null, {'version': 1, 'expires_at': 1767312000000}]\n");
    cr_assert(conn_is_idle(rig.conn));
}

Test(conn, a_pending_requests_arguments_outlive_its_input) {
    rig_add(&rig, 1, "session.set", "['web', 'slow', 1]");
    rig_feed(&rig);
    uint64_t version = fake_find(rig.fake, BYTES_LITERAL("slow"))->version;
    char params[80];
    snprintf(params, sizeof params, "['web', 'slow', {'fields': ['id', 'data'], 'if_version': %llu}]",
             (unsigned long long)version);
    rig_add(&rig, 2, "session.get", params);
    rig_feed(&rig);
    memset(rig.sent.data, 0xff, rig.sent.capacity); /* what the shell reads next */
    fake_finish(rig.fake, 1);
    rig_expect_text(&rig, "[1, 2, null, {'id': 'slow'}]\n");
    fake_finish(rig.fake, 0);
}

Test(conn, a_connection_with_too_much_in_flight_waits) {
    struct server_limits limits = rig_limits;
    limits.max_in_flight = 2;
    server_set_limits(rig.server, &limits);
    for (int i = 1; i <= 3; i++) rig_add(&rig, i, "session.get", "['web', 'slow']");
    rig_add(&rig, 4, "server.ping", "[]");
    rig_feed(&rig);
    cr_assert_eq(rig.state, CONN_PAUSED);
    cr_assert_eq(rig.fake->pending_count, 2u);
    fake_finish(rig.fake, 0);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_PAUSED, "the third is in flight now");
    cr_assert_eq(rig.fake->pending_count, 2u);
    fake_finish(rig.fake, 0);
    cr_assert_eq(conn_resume(rig.conn, rig.now_ms), CONN_READING);
    fake_finish(rig.fake, 0);
    rig_expect_text(&rig, "[1, 1, null, null]\n[1, 2, null, null]\n[1, 4, null, {'now': 1767225600000}]\n"
                          "[1, 3, null, null]\n");
}

Test(conn, a_closed_connection_lives_until_its_last_pending_request_is_done) {
    server_loop_on_output(rig.loop, note, &rig);
    rig_add(&rig, 1, "session.get", "['web', 'slow']");
    rig_add(&rig, 2, "session.get", "['web', 'slow']");
    rig_feed(&rig);
    conn_close(rig.conn);
    fake_finish(rig.fake, 0);
    fake_finish(rig.fake, 0);
    server_loop_advance(rig.loop, rig.now_ms, 100);
    cr_assert_null(notified, "the shell has closed it");
    rig.conn = NULL;
}

Test(conn, a_turn_pauses_between_two_packets_and_goes_on) {
    for (int i = 1; i <= 2; i++) {
        rig_add(&rig, i, "server.ping", "[]");
        rig_feed(&rig);
        server_loop_pause(rig.loop);
        cr_assert_eq(rig.fake->turn_depth, 0);
        server_loop_resume(rig.loop);
        cr_assert_eq(rig.fake->turn_depth, 1);
    }
    rig_expect_text(&rig, "[1, 1, null, {'now': 1767225600000}]\n[1, 2, null, {'now': 1767225600000}]\n");
}
