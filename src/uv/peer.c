/* One connection: what comes in is fed to the core, what comes out is written; how the bytes move is its transport's.
 *
 * Always true: at most one write flies, and its bytes stay until it has landed; nothing is posted while one flies; a
 * peer that is cut does nothing more but wait for peer_closed. A peer reads while the core says READING, and while it
 * lingers. Everything here runs on the loop's thread, inside a turn. */
#include "uv/internal.h"

#include "config/address.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---------------------------------------------------------------- beginning */

static int64_t limit_of(const _Atomic int64_t *limit) {
    return atomic_load_explicit(limit, memory_order_relaxed);
}

/* The acceptor looks at these of all loops when the server is full. */
static void silent_publish(struct shell_loop *loop, int more) {
    int64_t oldest = INT64_MAX;
    if (!list_is_empty(&loop->silent)) oldest = LIST_ENTRY(loop->silent.next, struct peer, link)->opened_at;
    atomic_fetch_add_explicit(&loop->silent_count, (unsigned)more, memory_order_relaxed);
    atomic_store_explicit(&loop->oldest_silent_at, oldest, memory_order_relaxed);
}

static void count_closed(struct shell_loop *loop) {
    atomic_fetch_sub_explicit(&loop->connection_count, 1, memory_order_relaxed);
    atomic_fetch_sub_explicit(&loop->shell->connection_count, 1, memory_order_relaxed);
}

static const struct transport *transport_of(const struct peer *peer) {
    return peer->loop->transport;
}

static void socket_prepare(int fd, int64_t keepalive_ms) {
    const int on = 1, idle_s = (int)((keepalive_ms + 999) / 1000);
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!keepalive_ms) return;
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof idle_s);
}

void peer_closed(struct peer *peer) {
    loop_enter_turn(peer->loop);
    if (peer->is_flying) list_remove(&peer->flying_link);
    if (peer->is_flying && peer->conn) conn_output_landed(peer->conn);
    if (peer->conn) conn_close(peer->conn);
    count_closed(peer->loop);
    free(peer);
}

static void peer_start_reading(struct peer *peer, bool shall_read) {
    if (shall_read == peer->is_reading) return;
    peer->is_reading = shall_read;
    transport_of(peer)->read(peer, shall_read);
}

void peer_open(struct shell_loop *loop, int fd, bool is_unix) {
    int64_t now_ms = loop_now_ms(loop);
    struct peer *peer = calloc(1, sizeof *peer);
    loop_enter_turn(loop);
    if (!peer) {
        close(fd);
        count_closed(loop);
        return;
    }
    *peer = (struct peer){.fd = fd, .loop = loop, .opened_at = now_ms, .active_at = now_ms, .waits_from_now = true};
    list_init(&peer->flying_link);
    list_append(&loop->silent, &peer->link);
    silent_publish(loop, 1);
    if (!is_unix) socket_prepare(fd, limit_of(&loop->shell->limits.tcp_keepalive_ms));
    int status = loop->transport->open(peer, is_unix);
    if (status < 0) close(fd); /* else it belongs to the transport */
    peer->conn = status < 0 ? NULL : conn_open(loop->core, now_ms);
    if (!peer->conn) {
        peer_cut(peer, CUT_GONE);
        return;
    }
    conn_set_context(peer->conn, peer);
    peer_start_reading(peer, true);
}

/* ---------------------------------------------------------------- ending */

struct cut_info {
    const char *name; /* in the log */
    int metric;       /* -1: none of its own */
    enum log_level level;
};

static const struct cut_info cut_infos[CUT_COUNT] = {
    [CUT_GONE] = {"gone", -1, LOG_DEBUG},
    [CUT_DONE] = {"done", -1, LOG_DEBUG},
    [CUT_SLOW_READER] = {"slow_reader", METRIC_SLOW_READERS_TOTAL, LOG_WARN},
    [CUT_OUTPUT] = {"max_output", METRIC_SLOW_READERS_TOTAL, LOG_WARN},
    [CUT_SILENT] = {"handshake_timeout", METRIC_TIMED_OUT_TOTAL, LOG_INFO},
    [CUT_IDLE] = {"connection_idle_timeout", METRIC_TIMED_OUT_TOTAL, LOG_INFO},
    [CUT_EVICTED] = {"max_connections", METRIC_EVICTED_CONNECTIONS_TOTAL, LOG_WARN},
    [CUT_DRAIN] = {"drain_timeout", -1, LOG_WARN},
};

static void peer_name(struct peer *peer, char *out, size_t size) {
    struct sockaddr_storage address = {0};
    socklen_t address_size = sizeof address;
    getpeername(peer->fd, (struct sockaddr *)&address, &address_size);
    address_format(&address, out, size);
}

static void peer_log_cut(struct peer *peer, const struct cut_info *info) {
    char name[80];
    if (!log_is_on(info->level)) return;
    peer_name(peer, name, sizeof name);
    log_event(info->level, "connection_cut", LOG_TEXT("why", info->name), LOG_TEXT("peer", name),
              LOG_INT("age_ms", loop_now_ms(peer->loop) - peer->opened_at),
              LOG_INT("output_bytes", peer->conn ? conn_output_pending(peer->conn) : 0));
}

/* Leaves the list that it is in; the loop's figures about silent ones follow. */
static void peer_leave_list(struct peer *peer) {
    bool is_silent = !peer->has_spoken && !peer->is_lingering;
    list_remove(&peer->link);
    if (is_silent) silent_publish(peer->loop, -1);
}

void peer_cut(struct peer *peer, enum cut why) {
    const struct cut_info *info = &cut_infos[why];
    if (peer->is_closed) return;
    peer_log_cut(peer, info);
    if (info->metric >= 0) metric_add(peer->loop->metrics, (enum metric)info->metric, 1);
    if (peer->conn) conn_end_waiting(peer->conn); /* now: closing takes until the loop's next round */
    peer_leave_list(peer);
    peer->is_closed = true;
    transport_of(peer)->close(peer);
}

/* The last word is written. Closing while the peer still sends would have the system answer with a reset, and a reset
 * can overtake that word: so it is told that nothing more comes, and what it sends meanwhile is thrown away. */
void peer_linger(struct peer *peer) {
    if (peer->is_lingering || peer->is_closed) return;
    assert(!peer->is_flying && !peer->is_posted);
    if (peer->has_ended || transport_of(peer)->shut_down(peer) < 0) { /* who has ended sends nothing any more */
        peer_cut(peer, CUT_DONE);
        return;
    }
    peer_leave_list(peer);
    peer->is_lingering = true;
    peer->opened_at = loop_now_ms(peer->loop);
    list_append(&peer->loop->lingering, &peer->link);
    peer_start_reading(peer, true);
}

static void peer_discard(struct peer *peer, size_t size) {
    peer->discarded_bytes += size;
    if (peer->discarded_bytes > LINGER_BYTES_MAX) peer_cut(peer, CUT_DONE);
}

/* ---------------------------------------------------------------- writing */

static void peer_fly(struct peer *peer, int64_t now_ms) {
    struct bytes bytes = conn_output_fly(peer->conn);
    peer->is_flying = true;
    peer->flight_bytes = bytes.size;
    list_append(&peer->loop->flying, &peer->flying_link);
    if (peer->waits_from_now) {
        peer->slow_since = now_ms;
        peer->slow_mark = peer->taken_bytes;
        peer->waits_from_now = false;
    }
    if (transport_of(peer)->fly(peer, bytes) == 0) return;
    list_remove(&peer->flying_link);
    peer->is_flying = false;
    conn_output_landed(peer->conn);
    peer_cut(peer, CUT_GONE);
}

/* The system took `taken` of the output, and tells what came of it: true where that was all. */
static bool peer_count_taken(struct peer *peer, struct bytes output, ssize_t taken) {
    if (taken < 0) {
        peer_cut(peer, CUT_GONE);
        return false;
    }
    conn_output_sent(peer->conn, (size_t)taken);
    peer->taken_bytes += (size_t)taken;
    peer->waits_from_now |= (size_t)taken == output.size;
    return (size_t)taken == output.size;
}

/* Writes what the system takes, if it may; the rest flies. */
static void peer_write(struct peer *peer, bool may_try, int64_t now_ms) {
    struct bytes output = conn_output(peer->conn);
    if (output.size == 0 || peer->is_flying || peer->is_posted) return;
    if (transport_of(peer)->post) {
        peer->is_posted = true;
        transport_of(peer)->post(peer);
        return;
    }
    if (may_try && peer_count_taken(peer, output, transport_of(peer)->write(peer, output))) return;
    if (!peer->is_closed) peer_fly(peer, now_ms);
}

bool peer_is_settled(const struct peer *peer) {
    return peer->settled == CONN_READING && peer->is_reading && !peer->has_ended && !peer->is_closed;
}

void peer_took(struct peer *peer, ssize_t taken) {
    bool is_settled = peer_is_settled(peer);
    peer->is_posted = false;
    if (peer->is_closed) return;
    loop_enter_turn(peer->loop);
    bool is_all = peer_count_taken(peer, conn_output(peer->conn), taken == -EAGAIN ? 0 : taken);
    if (peer->is_closed || (is_all && is_settled)) return;
    int64_t now_ms = loop_now_ms(peer->loop);
    if (!is_all) peer_fly(peer, now_ms);
    if (!peer->is_closed) peer_pump(peer, conn_resume(peer->conn, now_ms), now_ms);
}

void peer_landed(struct peer *peer, int reason) {
    loop_enter_turn(peer->loop);
    list_remove(&peer->flying_link);
    peer->is_flying = false;
    peer->taken_bytes += peer->flight_bytes;
    conn_output_landed(peer->conn);
    if (reason < 0) {
        peer_cut(peer, CUT_GONE);
        return;
    }
    if (conn_output(peer->conn).size == 0) peer->waits_from_now = true;
    int64_t now_ms = loop_now_ms(peer->loop);
    peer_pump(peer, conn_resume(peer->conn, now_ms), now_ms);
}

bool peer_is_slow(struct peer *peer, int64_t now_ms) {
    assert(peer->is_flying);
    uint64_t taken = peer->taken_bytes + peer->flight_bytes - transport_of(peer)->unsent(peer);
    if (taken - peer->slow_mark >= SLOW_READER_BYTES_MIN) {
        peer->slow_mark = taken;
        peer->slow_since = now_ms;
    }
    return now_ms - peer->slow_since >= limit_of(&peer->loop->shell->limits.slow_reader_timeout_ms);
}

bool peer_is_owed(const struct peer *peer) {
    return peer->is_flying || peer->is_posted || (peer->conn && !peer->is_lingering && conn_is_owed(peer->conn));
}

bool peer_is_watching(const struct peer *peer) {
    return peer->conn && conn_is_watching(peer->conn);
}

bool peer_is_quiet(const struct peer *peer, int64_t now_ms) {
    int unread = 0;
    ioctl(peer->fd, FIONREAD, &unread);
    return unread == 0 && now_ms - peer->active_at >= DRAIN_TICK_MS;
}

/* ---------------------------------------------------------------- both */

/* Writes and goes on with waiting input by turns, as long as the system takes everything at once: a flight instead
 * would cost two epoll_ctl for a reader that is not slow. After some rounds the others' turn has come: the next page
 * flies, and its landing goes on in the next turn. */
static enum conn_state peer_alternate(struct peer *peer, enum conn_state state, int64_t now_ms) {
    for (unsigned round = 0; !peer->is_closed; round++) {
        peer_write(peer, round < WRITE_ROUNDS_MAX, now_ms);
        if (state != CONN_PAUSED || peer->is_flying || peer->is_posted || peer->is_closed) break;
        state = conn_resume(peer->conn, now_ms);
        if (state == CONN_PAUSED && conn_output(peer->conn).size == 0) break; /* the engine's turn: on_output goes on */
    }
    return state;
}

void peer_pump(struct peer *peer, enum conn_state state, int64_t now_ms) {
    if (peer->is_closed || peer->is_lingering) return;
    peer->settled = state;
    state = peer_alternate(peer, state, now_ms);
    if (peer->is_closed || peer->is_posted) return; /* peer_took goes on */
    if ((int64_t)conn_output_pending(peer->conn) > limit_of(&peer->loop->shell->limits.max_output)) {
        peer_cut(peer, CUT_OUTPUT);
        return;
    }
    peer_start_reading(peer, state == CONN_READING && !peer->has_ended);
    if (peer->is_flying) return;
    if (state == CONN_CLOSING)
        peer_linger(peer);
    else if (peer->has_ended && !conn_is_owed(peer->conn))
        peer_cut(peer, CUT_DONE);
}

static void peer_notice_speech(struct peer *peer) {
    if (peer->has_spoken || peer->is_closed || peer->is_lingering || !conn_has_spoken(peer->conn)) return;
    peer_leave_list(peer);
    peer->has_spoken = true;
    list_append(&peer->loop->spoken, &peer->link);
}

/* The other side sends no more. What it asked before is still answered, but for acquires that wait: who is gone would
 * be handed a session. A half message is not waited for. */
static void peer_end_of_input(struct peer *peer) {
    int64_t now_ms = loop_now_ms(peer->loop);
    peer->has_ended = true;
    conn_end_waiting(peer->conn);
    peer_pump(peer, conn_resume(peer->conn, now_ms), now_ms);
}

void peer_input_ended(struct peer *peer, int reason) {
    loop_enter_turn(peer->loop);
    if (peer->is_lingering)
        peer_cut(peer, CUT_DONE);
    else if (reason < 0)
        peer_cut(peer, CUT_GONE);
    else
        peer_end_of_input(peer);
}

void peer_received(struct peer *peer, uint8_t *data, size_t size) {
    loop_enter_turn(peer->loop);
    if (peer->is_lingering || peer->is_closed) {
        explicit_bzero(data, size);
        peer_discard(peer, size);
        return;
    }
    int64_t now_ms = loop_now_ms(peer->loop);
    peer->active_at = now_ms;
    enum conn_state state = conn_feed(peer->conn, bytes_of(data, size), now_ms);
    if (conn_input_is_secret(peer->conn)) explicit_bzero(data, size);
    peer_notice_speech(peer);
    peer_pump(peer, state, now_ms);
}
