/* One connection: bytes in, bytes out, and the waiting between them.
 *
 * Always true between calls: `input` is empty, or holds the start of one message (then `scan` knows how far), or the
 * connection is paused or closing and it holds whatever arrived since. Output is two buffers: answers are written to
 * `filling` while `flying` belongs to the shell; beside them stands `held`, see gate.c. A connection that holds no
 * bytes holds no buffer. On the loop's thread, inside a turn where requests may be executed (feed, resume). */
#include "server/internal.h"

#include <stdlib.h>

/* The least that is copied at once of a message that comes in pieces. */
#define PIECE_MIN 1024

struct conn *conn_open(struct server_loop *loop, int64_t now_ms) {
    (void)now_ms;
    struct conn *conn = calloc(1, sizeof *conn);
    if (!conn) return NULL;
    conn->loop = loop;
    list_init(&conn->link);
    list_init(&conn->resting_link);
    list_init(&conn->watches);
    list_init(&conn->queued);
    list_init(&conn->held.link);
    metric_add(&loop->metrics, METRIC_CONNECTIONS_OPENED_TOTAL, 1);
    metric_add(&loop->metrics, METRIC_CONNECTIONS, 1);
    return conn;
}

void conn_free(struct conn *conn) {
    assert(conn->is_closed && conn->waiting_count == 0);
    list_remove(&conn->link);
    list_remove(&conn->resting_link);
    loop_give_buffer(conn->loop, &conn->filling);
    loop_give_buffer(conn->loop, &conn->flying);
    loop_give_buffer(conn->loop, &conn->input);
    free(conn);
}

/* An acquire whose answer was given already stays, for server_done to take off. */
void conn_end_waiting(struct conn *conn) {
    conn->has_ended = true;
    for (struct list *link = conn->queued.next, *next; link != &conn->queued; link = next) {
        next = link->next;
        loop_give_up(conn->loop, LIST_ENTRY(link, struct waiting, conn_link),
                     "The connection has ended its side, so this acquire waits no more; keep it open to wait.");
    }
}

void conn_close(struct conn *conn) {
    assert(!conn->is_closed);
    conn->is_closed = true;
    watches_close(conn);
    conn_end_waiting(conn);
    gate_drop(conn);
    list_remove(&conn->link);
    list_remove(&conn->resting_link);
    metric_add(&conn->loop->metrics, METRIC_CONNECTIONS, (uint64_t)-1);
    if (conn->waiting_count == 0) conn_free(conn);
}

void conn_set_context(struct conn *conn, void *context) {
    conn->context = context;
}
void *conn_context(const struct conn *conn) {
    return conn->context;
}
bool conn_has_spoken(const struct conn *conn) {
    return conn->has_spoken;
}

bool conn_is_idle(const struct conn *conn) {
    return conn->waiting_count == 0 && conn->input.size == 0 && conn_output_pending(conn) == 0;
}

bool conn_is_owed(const struct conn *conn) {
    return conn->waiting_count > 0 || conn->is_resting || conn_output_pending(conn) > 0;
}

bool conn_is_watching(const struct conn *conn) {
    return conn->watch_count > 0;
}

void conn_set_namespace(struct conn *conn, struct bytes name) {
    assert(name.size <= sizeof conn->namespace);
    memcpy(conn->namespace, name.data, name.size);
    conn->namespace_size = (uint8_t)name.size;
}

/* ---------------------------------------------------------------- output */

struct bytes conn_output(const struct conn *conn) {
    if (!conn->filling.data) return BYTES_ABSENT;
    return bytes_of(conn->filling.data + conn->sent, conn->filling.size - conn->sent);
}

static void conn_count_sent(struct conn *conn, size_t size) {
    metric_add(&conn->loop->metrics, METRIC_BYTES_OUT_TOTAL, size);
}

void conn_output_sent(struct conn *conn, size_t size) {
    assert(size <= conn->filling.size - conn->sent);
    conn_count_sent(conn, size);
    conn->sent += size;
    if (conn->sent < conn->filling.size) return;
    conn->sent = 0;
    loop_give_buffer(conn->loop, &conn->filling);
}

struct bytes conn_output_fly(struct conn *conn) {
    assert(!conn->is_flying && !conn->flying.data);
    struct bytes bytes = conn_output(conn);
    if (bytes.size == 0) return bytes;
    conn_count_sent(conn, bytes.size);
    conn->is_flying = true;
    conn->flying = conn->filling;
    conn->filling = BUF_EMPTY;
    conn->sent = 0;
    return bytes;
}

void conn_output_landed(struct conn *conn) {
    assert(conn->is_flying);
    conn->is_flying = false;
    loop_give_buffer(conn->loop, &conn->flying);
}

size_t conn_output_pending(const struct conn *conn) {
    return conn->filling.size - conn->sent + conn->flying.size + gate_held_bytes(conn);
}

/* ---------------------------------------------------------------- waiting and ending */

bool conn_must_wait(const struct conn *conn) {
    const struct server_loop *loop = conn->loop;
    return conn->is_resting || conn->blocking_count > 0 || conn_output_pending(conn) >= loop->output_mark ||
           conn->waiting_count - conn->queued_count >= loop->max_in_flight;
}

/* Its error is the last message, so it waits for those that wait; conn_settle closes after them. */
void conn_break(struct conn *conn, uint64_t msgid, const struct error *error) {
    conn_end_waiting(conn);
    size_t start = conn->filling.size;
    codec_write_error(&conn->filling, msgid, error);
    if (gate_is_holding(conn) && !conn->filling.is_failed) gate_hold(conn, start, 0, msgid);
    counter_add(&conn->loop->metrics.errors[error->code], 1);
    metric_add(&conn->loop->metrics, METRIC_ERRORS_TOTAL, 1);
    conn->is_closing = true;
}

/* What the shell is to do, after everything that could be executed was. */
static enum conn_state conn_settle(struct conn *conn) {
    if (conn->filling.is_failed && !conn->is_closing) {
        conn->is_closing = true;
        metric_add(&conn->loop->metrics, METRIC_NO_MEMORY_CLOSED_TOTAL, 1);
    }
    if (conn->filling.is_failed) gate_drop(conn);
    if (conn->is_closing) conn_end_waiting(conn);
    if (conn->filling.size == 0) loop_give_buffer(conn->loop, &conn->filling);
    if (conn->is_closing) {
        loop_give_buffer(conn->loop, &conn->input);
        return gate_is_holding(conn) ? CONN_PAUSED : CONN_CLOSING;
    }
    bool was_paused = conn->is_paused;
    conn->is_paused = conn_must_wait(conn);
    if (conn->is_paused && !was_paused) metric_add(&conn->loop->metrics, METRIC_PAUSES_TOTAL, 1);
    return conn->is_paused ? CONN_PAUSED : CONN_READING;
}

/* ---------------------------------------------------------------- input */

/* The msgid of a request of which only the start may be there; 0 where it cannot be told. */
static uint64_t msgid_of(struct bytes start) {
    struct mp_cursor cursor = mp_cursor_of(start);
    if (mp_peek(&cursor) != MP_ARRAY || (*cursor.at != 0x94 && *cursor.at < 0xdc)) return 0;
    mp_read_array(&cursor);
    if (mp_read_int(&cursor, 0, 0) != 0) return 0;
    int64_t msgid = mp_read_int(&cursor, 0, UINT32_MAX);
    return cursor.error == MP_OK ? (uint64_t)msgid : 0;
}

/* Keeps what could not be executed. */
static void conn_keep(struct conn *conn, struct bytes rest) {
    if (rest.size == 0 || conn->is_closing) return;
    if (!conn->input.data) loop_take_buffer(conn->loop, &conn->input);
    conn->input.is_secret = true; /* nobody has looked what it holds */
    buf_append(&conn->input, rest.data, rest.size);
    if (!conn->input.is_failed) return;
    conn->is_closing = true;
    metric_add(&conn->loop->metrics, METRIC_NO_MEMORY_CLOSED_TOTAL, 1);
}

/* Forgets the input that was executed. */
static void conn_drop_executed(struct conn *conn) {
    if (conn->input_at == conn->input.size)
        loop_give_buffer(conn->loop, &conn->input);
    else if (conn_must_wait(conn))
        return; /* much may be left; it is moved once, when it has come down to the start of a message */
    else
        buf_consume(&conn->input, conn->input_at);
    conn->input_at = 0;
    conn->scan = (struct mp_scan){0};
}

/* Executes what is kept. */
static void conn_run_kept(struct conn *conn, int64_t now_ms) {
    size_t size = conn->input.size - conn->input_at;
    if (size == 0) return;
    conn->input_at += batch_run(conn, bytes_of(conn->input.data + conn->input_at, size), now_ms);
    conn_drop_executed(conn);
}

static void conn_refuse_size(struct conn *conn) {
    struct error error = error_make(ERROR_TOO_BIG, "The message is longer than the server takes; send less at once.");
    error.limit = conn->loop->max_frame;
    metric_add(&conn->loop->metrics, METRIC_OVERSIZED_TOTAL, 1);
    conn_break(conn, msgid_of(buf_bytes(&conn->input)), &error);
}

/* Adds `more` to the message that has begun until it is whole, or cannot become so (then decoding it says why). Each
 * byte is looked at once, and at most one piece is copied that the message does not need. Answers how much was taken.
 */
static size_t conn_complete(struct conn *conn, struct bytes more, bool *is_ready) {
    size_t taken = 0;
    enum mp_error error = MP_TRUNCATED;
    bool is_whole = mp_scan_feed(&conn->scan, buf_bytes(&conn->input), &error);
    while (!is_whole && error == MP_TRUNCATED && taken < more.size && !conn->is_closing) {
        size_t piece = conn->input.size > PIECE_MIN ? conn->input.size : PIECE_MIN;
        if (piece > more.size - taken) piece = more.size - taken;
        conn_keep(conn, bytes_of(more.data + taken, piece));
        taken += piece;
        is_whole = mp_scan_feed(&conn->scan, buf_bytes(&conn->input), &error);
    }
    if (is_whole) {
        size_t surplus = conn->input.size - conn->scan.scanned;
        assert(surplus <= taken);
        buf_cut(&conn->input, conn->scan.scanned);
        taken -= surplus;
    }
    *is_ready = is_whole || error != MP_TRUNCATED;
    return taken;
}

/* Goes on with a message that has begun; answers what of `input` is left behind it. */
static struct bytes conn_feed_begun(struct conn *conn, struct bytes input, int64_t now_ms) {
    bool is_ready;
    size_t taken = conn_complete(conn, input, &is_ready);
    if (conn->input.size > conn->loop->max_frame && !conn->is_closing) conn_refuse_size(conn);
    if (is_ready && !conn->is_closing) conn_run_kept(conn, now_ms);
    return bytes_of(input.data + taken, input.size - taken);
}

enum conn_state conn_feed(struct conn *conn, struct bytes input, int64_t now_ms) {
    assert(conn->loop->is_in_turn && !conn->is_closed);
    loop_read_limits(conn->loop);
    conn->loop->now_ms = now_ms;
    metric_add(&conn->loop->metrics, METRIC_BYTES_IN_TOTAL, input.size);
    conn->input_is_secret = false;
    if (conn->is_closing) return conn_settle(conn);
    if (conn->is_paused) {
        conn_keep(conn, input);
        return conn_resume(conn, now_ms);
    }
    if (input.size == 0) return conn_settle(conn);
    if (conn->input.size > 0) input = conn_feed_begun(conn, input, now_ms);
    if (conn->input.size == 0 && !conn->is_closing) {
        size_t executed = batch_run(conn, input, now_ms);
        input = bytes_of(input.data + executed, input.size - executed);
    }
    conn_keep(conn, input);
    return conn_settle(conn);
}

bool conn_input_is_secret(const struct conn *conn) {
    return conn->input_is_secret || conn->input.size > 0 || conn->is_closing;
}

enum conn_state conn_resume(struct conn *conn, int64_t now_ms) {
    assert(conn->loop->is_in_turn && !conn->is_closed);
    loop_read_limits(conn->loop);
    conn->loop->now_ms = now_ms;
    watches_resume(conn);
    if (conn->is_paused && !conn->is_closing && !conn_must_wait(conn)) conn_run_kept(conn, now_ms);
    return conn_settle(conn);
}
