/* The gate of durability: an answer goes out when everything that it tells of is safe, and a write begins while the
 * journal takes some.
 *
 * Each answer depends on a version. While the journal's mark stands below it, the answer waits in the connection's
 * `held`, where whole answers stand in the order in which they were executed, each behind a head (struct held_answer).
 * The first of them goes to the output once the mark has reached its version, then the one behind it; what need not
 * wait is not put behind them. Always true: a connection is in loop->holding exactly while it holds something, and
 * whenever a turn has ended the journal knows a version that is no newer than the oldest one waited for (`awaited`).
 * After the journal has failed nothing is held any more: what the mark has not reached becomes an error.
 * Without a journal nothing of this costs more than a look. On the loop's thread. */
#include "crypto/cipher.h"
#include "server/internal.h"

/* What a client is told to wait before it repeats a write. */
#define RETRY_WHILE_BEHIND_MS    100
#define RETRY_WHILE_DISK_FULL_MS 1000

/* Below this, what was released is not worth moving the rest to the start of its buffer. */
#define RELEASED_BYTES_MIN 4096

/* Stands before each answer in held.bytes, at any address. */
struct held_answer {
    uint64_t version; /* 0: it waits only for those before it */
    uint64_t msgid;
    size_t size;
};

static bool journal_is_failed(const struct journal *journal) {
    return atomic_load_explicit(&((struct journal *)journal)->state, memory_order_acquire) == JOURNAL_FAILED;
}

/* ---------------------------------------------------------------- writes */

void gate_refuse_write(struct server_loop *loop, struct request *request) {
    switch (journal_state_at(loop->journal, request->now_ms)) {
    case JOURNAL_OPEN: return;
    case JOURNAL_BUSY:
        refuse_busy(request, "The server's disk is behind; try again in a moment.", RETRY_WHILE_BEHIND_MS);
        break;
    case JOURNAL_FULL:
        request->error = error_make(ERROR_STORAGE, "The server's disk is full, so nothing was changed; make room on "
                                                   "it, and try again.");
        request->error.retry_after_ms = RETRY_WHILE_DISK_FULL_MS;
        break;
    case JOURNAL_FAILED:
        request->error = error_make(ERROR_READ_ONLY, "The server's disk has failed, so it takes no writes; see its "
                                                     "log, repair the disk and start it again.");
        break;
    }
    metric_add(&loop->metrics, METRIC_STORAGE_REFUSED_TOTAL, 1);
}

/* ---------------------------------------------------------------- holding */

bool gate_is_holding(const struct conn *conn) {
    return conn->held.at < conn->held.bytes.size;
}

size_t gate_held_bytes(const struct conn *conn) {
    return conn->held.bytes.size - conn->held.at;
}

/* Takes what stands behind `start` off the output. */
static void filling_cut(struct conn *conn, size_t start) {
    struct buf *filling = &conn->filling;
    if (filling->is_secret) cipher_wipe(filling->data + start, filling->size - start);
    filling->size = start;
}

static void write_unknown(struct conn *conn, uint64_t msgid) {
    struct error error = error_make(ERROR_STORAGE, "The server's disk failed before this was safe, and it is not known "
                                                   "whether it was kept; ask again when the server was restarted.");
    size_t start = conn->filling.size;
    codec_write_error(&conn->filling, msgid, &error);
    if (conn->filling.is_failed) conn->filling.size = start; /* conn_settle closes it */
    metric_add(&conn->loop->metrics, METRIC_STORAGE_REFUSED_TOTAL, 1);
}

/* Forgets what was released, where that is worth it. */
static void held_compact(struct held *held) {
    if (held->at < RELEASED_BYTES_MIN || held->at < held->bytes.size / 2) return;
    buf_consume(&held->bytes, held->at);
    held->at = 0;
}

/* False: memory is lacking. */
static bool held_append(struct held *held, const struct held_answer *answer, const uint8_t *bytes) {
    held_compact(held);
    if (!buf_reserve(&held->bytes, sizeof *answer + answer->size)) return false;
    buf_append(&held->bytes, answer, sizeof *answer);
    buf_append(&held->bytes, bytes, answer->size);
    return true;
}

static void loop_await_version(struct server_loop *loop, uint64_t version) {
    if (loop->held_min == 0 || version < loop->held_min) loop->held_min = version;
}

void gate_hold(struct conn *conn, size_t start, uint64_t version, uint64_t msgid) {
    struct server_loop *loop = conn->loop;
    struct held *held = &conn->held;
    struct held_answer answer = {version, msgid, conn->filling.size - start};
    bool is_first = !gate_is_holding(conn);
    if (is_first && journal_is_failed(loop->journal)) {
        if (version <= journal_mark(loop->journal)) return; /* its last move came just before */
        filling_cut(conn, start);
        write_unknown(conn, msgid);
        return;
    }
    if (!held->bytes.data) loop_take_buffer(loop, &held->bytes);
    held->bytes.is_secret |= conn->filling.is_secret;
    bool is_held = held_append(held, &answer, conn->filling.data + start);
    filling_cut(conn, start);
    if (!is_held) {
        conn->filling.is_failed = true; /* the end of the connection says it */
        return;
    }
    if (is_first) {
        list_append(&loop->holding, &held->link);
        loop_await_version(loop, version);
    }
    metric_add(&loop->metrics, METRIC_HELD_TOTAL, 1);
    metric_add(&loop->metrics, METRIC_HELD, 1);
    metric_add(&loop->metrics, METRIC_HELD_BYTES, answer.size);
}

/* ---------------------------------------------------------------- releasing */

static struct held_answer held_first(const struct held *held) {
    struct held_answer answer;
    memcpy(&answer, held->bytes.data + held->at, sizeof answer);
    return answer;
}

/* Counts the first answer as gone. */
static void held_skip(struct conn *conn, const struct held_answer *answer) {
    struct metrics *metrics = &conn->loop->metrics;
    conn->held.at += sizeof *answer + answer->size;
    metric_add(metrics, METRIC_HELD, (uint64_t)-1);
    metric_add(metrics, METRIC_HELD_BYTES, (uint64_t)0 - answer->size);
}

static void held_close(struct conn *conn) {
    list_remove(&conn->held.link);
    loop_give_buffer(conn->loop, &conn->held.bytes);
    conn->held.at = 0;
}

void gate_drop(struct conn *conn) {
    while (gate_is_holding(conn)) {
        struct held_answer answer = held_first(&conn->held);
        held_skip(conn, &answer);
    }
    held_close(conn);
}

/* Moves to the output what may go. Answers whether that was anything. */
static bool conn_release(struct conn *conn, uint64_t mark, bool is_failed) {
    struct held *held = &conn->held;
    if (!is_failed && held_first(held).version > mark) return false;
    if (!conn->filling.data) loop_take_buffer(conn->loop, &conn->filling);
    conn->filling.is_secret |= held->bytes.is_secret;
    while (gate_is_holding(conn)) {
        struct held_answer answer = held_first(held);
        bool is_safe = answer.version <= mark;
        if (!is_safe && !is_failed) break;
        if (is_safe)
            buf_append(&conn->filling, held->bytes.data + held->at + sizeof answer, answer.size);
        else
            write_unknown(conn, answer.msgid);
        held_skip(conn, &answer);
    }
    if (!gate_is_holding(conn)) held_close(conn);
    return true;
}

/* The state is looked at before the mark: once it says FAILED, the mark has stopped. */
void gate_advance(struct server_loop *loop) {
    if (loop->awaited == 0 && loop->held_min == 0) return;
    bool is_failed = journal_is_failed(loop->journal);
    uint64_t mark = journal_mark(loop->journal);
    if (is_failed || mark >= loop->awaited) loop->awaited = 0;
    if (loop->held_min == 0 || (!is_failed && mark < loop->held_min)) return;
    loop->held_min = 0;
    for (struct list *link = loop->holding.next, *next; link != &loop->holding; link = next) {
        struct conn *conn = LIST_ENTRY(link, struct conn, held.link);
        next = link->next;
        if (conn_release(conn, mark, is_failed)) loop_queue_notify(loop, conn);
        if (gate_is_holding(conn)) loop_await_version(loop, held_first(&conn->held).version);
    }
}

/* What is awaited already is not asked for again. Of events nothing more comes after a failure. */
void gate_await(struct server_loop *loop) {
    struct journal *journal = loop->journal;
    uint64_t version = loop->held_min;
    if (loop->events_wait != 0 && (version == 0 || loop->events_wait < version) && !journal_is_failed(journal))
        version = loop->events_wait;
    if (version == 0 || (loop->awaited != 0 && loop->awaited <= version)) return;
    loop->awaited = version;
    journal->await(journal, loop->index, version);
}
