/* One event loop: turns, the core's time, housekeeping, draining.
 *
 * A turn of the core begins with the first callback after sleeping (loop_enter_turn) and ends in prepare, before libuv
 * sleeps; check and prepare alone would leave the poll phase's callbacks outside. Always true: a loop sleeps only
 * outside a turn, only with the core's next deadline in a timer, and never while the core has work that is due. On the
 * loop's own thread, but for loop_wake (any), and loop_open and loop_close (main, while no thread runs it). */
#include "uv/internal.h"

#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#define YIELD_AFTER_NS UINT64_C(1000000)

/* The loop that this thread runs: waking oneself needs no system call. */
static _Thread_local struct shell_loop *current;

int64_t loop_now_ms(const struct shell_loop *loop) {
    return clock_now_ms(&loop->shell->clock);
}

/* ---------------------------------------------------------------- turns and the core's time */

void loop_enter_turn(struct shell_loop *loop) {
    if (loop->is_in_turn) return;
    loop->is_in_turn = true;
    loop->turn_began_ns = uv_hrtime();
    server_loop_enter(loop->core);
}

static void loop_leave_turn(struct shell_loop *loop) {
    if (!loop->is_in_turn) return;
    server_loop_leave(loop->core);
    loop->is_in_turn = false;
    metric_raise(loop->metrics, METRIC_TURN_WORST_US, (uv_hrtime() - loop->turn_began_ns) / 1000);
}

static void on_busy(uv_idle_t *handle);
static void on_timer(uv_timer_t *handle);

/* Lets the core work off what is due, and sleeps no longer than until it wants to be called again. What is due at once
 * keeps an idle handle active rather than a timer of 0 ms: libuv before 1.45 would run that without ever polling. */
static void loop_advance(struct shell_loop *loop) {
    atomic_store(&loop->wants_advance, false);
    loop_enter_turn(loop);
    int64_t now_ms = loop_now_ms(loop);
    int64_t next_ms = server_loop_advance(loop->core, now_ms, ADVANCE_BUDGET);
    if (next_ms <= now_ms) {
        uv_idle_start(&loop->busy, on_busy);
        return;
    }
    uv_idle_stop(&loop->busy);
    uv_timer_stop(&loop->timer);
    if (next_ms == INT64_MAX) return;
    uv_update_time(&loop->uv); /* the timer counts from the loop's own idea of now, which is as old as the turn */
    uv_timer_start(&loop->timer, on_timer, (uint64_t)(next_ms - now_ms), 0);
}

static void on_busy(uv_idle_t *handle) {
    loop_advance(handle->data);
}
static void on_timer(uv_timer_t *handle) {
    loop_advance(handle->data);
}

void loop_settle(struct shell_loop *loop) {
    loop_leave_turn(loop); /* tells of late output, which may arm an earlier deadline */
    if (!atomic_load(&loop->wants_advance)) return;
    loop_advance(loop);
    loop_leave_turn(loop);
    /* Armed once more by what leaving executed: there is something to do before sleeping. */
    if (atomic_load(&loop->wants_advance)) uv_idle_start(&loop->busy, on_busy);
}

bool loop_is_to_yield(const struct shell_loop *loop) {
    return loop->has_to_share && uv_hrtime() - loop->yielded_at >= YIELD_AFTER_NS;
}

/* A loop that is made to give way inside its turn keeps all that the others retire meanwhile from being freed, for some
 * milliseconds: they write to memory that nobody has had at hand for long, and a set costs a quarter more. So it gives
 * way by itself where it holds nothing, before the system's patience ends (base_slice_ns, 0.75 ms and more). Alone on
 * its processor it does not: whoever yields to strangers gets less than they do. */
void loop_yield(struct shell_loop *loop) {
    assert(!loop->is_in_turn);
    if (!loop_is_to_yield(loop)) return;
    sched_yield();
    loop->yielded_at = uv_hrtime();
    uv_update_time(&loop->uv); /* else it would sleep beyond its timers for as long as the others had */
}

static void note_processors(struct shell_loop *loop) {
    loop->has_to_share = loop->shell->loop_count > uv_available_parallelism();
}

static void on_prepare(uv_prepare_t *handle) {
    struct shell_loop *loop = handle->data;
    loop_settle(loop);
    loop_yield(loop);
}

void loop_wake(struct shell_loop *loop) {
    if (atomic_exchange(&loop->wants_advance, true)) return;
    if (current != loop) loop->transport->signal(loop);
}

static void on_output(void *context, struct conn *conn) {
    struct shell_loop *loop = context;
    struct peer *peer = conn_context(conn);
    if (peer->is_closed || peer->is_flying) return; /* a landing looks at the output itself */
    int64_t now_ms = loop_now_ms(loop);
    peer_pump(peer, conn_resume(conn, now_ms), now_ms);
}

/* ---------------------------------------------------------------- housekeeping */

static struct peer *first_of(struct list *list) {
    return list_is_empty(list) ? NULL : LIST_ENTRY(list->next, struct peer, link);
}

static int64_t limit_of(const _Atomic int64_t *limit) {
    return atomic_load_explicit(limit, memory_order_relaxed);
}

/* Closes from the start of a list, which is the oldest first, what is older than `age_ms`. */
static void cut_older(struct list *list, int64_t age_ms, enum cut why, int64_t now_ms) {
    for (struct peer *peer; (peer = first_of(list)) && now_ms - peer->opened_at >= age_ms;) peer_cut(peer, why);
}

static void cut_slow_readers(struct shell_loop *loop, int64_t now_ms) {
    for (struct list *link = loop->flying.next, *next; link != &loop->flying; link = next) {
        struct peer *peer = LIST_ENTRY(link, struct peer, flying_link);
        next = link->next;
        if (!peer->is_closed && peer_is_slow(peer, now_ms)) peer_cut(peer, CUT_SLOW_READER);
    }
}

/* Looks at some of them each time, and has the list go round. */
static void cut_idle(struct shell_loop *loop, int64_t timeout_ms, int64_t now_ms) {
    struct peer *peer;
    for (unsigned i = 0; i < IDLE_CHECKS_PER_TICK && (peer = first_of(&loop->spoken)); i++) {
        list_remove(&peer->link);
        list_append(&loop->spoken, &peer->link);
        if (now_ms - peer->active_at >= timeout_ms && !peer_is_owed(peer) && !peer_is_watching(peer))
            peer_cut(peer, CUT_IDLE);
    }
}

static void on_tick(uv_timer_t *handle) {
    struct shell_loop *loop = handle->data;
    struct shell *shell = loop->shell;
    loop_enter_turn(loop);
    int64_t now_ms = loop_now_ms(loop);
    int64_t handshake_ms = limit_of(&shell->limits.handshake_timeout_ms);
    int64_t idle_ms = limit_of(&shell->limits.connection_idle_timeout_ms);
    note_processors(loop);
    if (shell->transport->rest) shell->transport->rest(loop);
    cut_slow_readers(loop, now_ms);
    cut_older(&loop->lingering, LINGER_MS, CUT_DONE, now_ms);
    if (handshake_ms) cut_older(&loop->silent, handshake_ms, CUT_SILENT, now_ms);
    if (idle_ms) cut_idle(loop, idle_ms, now_ms);
    if (loop->index != 0) return;
    server_set_clock_offset(shell->server, clock_offset_ms(&shell->clock));
    log_report_dropped();
    listener_resume_all(shell);
}

/* ---------------------------------------------------------------- draining */

/* A connection that is quiet is closed. One that is not is told by a half-close that its answers end here, once it had
 * time to hear of it from a BUSY; closing over bytes that it still sends could take its last answers with it. */
static void drain_list(struct list *list, int64_t began_at, int64_t now_ms) {
    for (struct list *link = list->next, *next; link != list; link = next) {
        struct peer *peer = LIST_ENTRY(link, struct peer, link);
        next = link->next;
        if (peer_is_owed(peer)) continue;
        if (peer_is_quiet(peer, now_ms))
            peer_cut(peer, CUT_DONE);
        else if (now_ms - began_at >= DRAIN_PATIENCE_MS)
            peer_linger(peer);
    }
}

static void cut_all(struct list *list) {
    for (struct peer *peer; (peer = first_of(list));) peer_cut(peer, CUT_DRAIN);
}

/* Loop 0 ends last: it has the signals. */
static bool is_drained(struct shell_loop *loop) {
    if (atomic_load(&loop->connection_count) > 0) return false;
    if (!loop->is_finished) atomic_fetch_add(&loop->shell->finished_count, 1);
    loop->is_finished = true;
    return loop->index != 0 || atomic_load(&loop->shell->finished_count) == loop->shell->loop_count;
}

static void on_drain_tick(uv_timer_t *handle) {
    struct shell_loop *loop = handle->data;
    loop_enter_turn(loop);
    int64_t now_ms = loop_now_ms(loop);
    drain_list(&loop->silent, loop->drain_began_at, now_ms);
    drain_list(&loop->spoken, loop->drain_began_at, now_ms);
    cut_older(&loop->lingering, LINGER_MS, CUT_DONE, now_ms);
    if (now_ms - loop->drain_began_at >= limit_of(&loop->shell->limits.drain_timeout_ms)) {
        cut_all(&loop->silent);
        cut_all(&loop->spoken);
        cut_all(&loop->lingering);
    }
    loop->is_over = is_drained(loop);
    if (loop->is_over) uv_stop(&loop->uv);
}

/* From now on the tick looks only at who may go. Between the signal and its first look lies a turn, in which what the
 * system has already received is read and answered. */
static void loop_drain(struct shell_loop *loop) {
    if (loop->is_draining) return;
    loop->is_draining = true;
    loop->drain_began_at = loop_now_ms(loop);
    uv_timer_start(&loop->tick, on_drain_tick, DRAIN_TICK_MS, DRAIN_TICK_MS);
}

void loop_take_signal(struct shell_loop *loop) {
    struct inbox_item item;
    loop_enter_turn(loop);
    while (inbox_take(&loop->inbox, &item)) listener_take(loop, item);
    if (atomic_load(&loop->shell->is_draining)) loop_drain(loop);
}

static void on_async(uv_async_t *handle) {
    loop_take_signal(handle->data);
}

/* ---------------------------------------------------------------- opening and closing */

static void close_handle(uv_handle_t *handle, void *context) {
    (void)context;
    if (!uv_is_closing(handle)) uv_close(handle, NULL);
}

static bool loop_open_handles(struct shell_loop *loop) {
    if (uv_async_init(&loop->uv, &loop->async, on_async) < 0) return false;
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_idle_init(&loop->uv, &loop->busy);
    uv_timer_init(&loop->uv, &loop->timer);
    uv_timer_init(&loop->uv, &loop->tick);
    loop->async.data = loop->prepare.data = loop->busy.data = loop->timer.data = loop->tick.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_timer_start(&loop->tick, on_tick, TICK_MS, TICK_MS);
    return true;
}

struct shell_loop *loop_open(struct shell *shell, unsigned index) {
    struct shell_loop *loop = calloc(1, sizeof *loop);
    if (!loop) return NULL;
    loop->shell = shell;
    loop->index = index;
    loop->transport = shell->transport;
    loop->ring = shell->rings[index];
    list_init(&loop->silent);
    list_init(&loop->spoken);
    list_init(&loop->lingering);
    list_init(&loop->flying);
    atomic_init(&loop->oldest_silent_at, INT64_MAX);
    atomic_init(&loop->wants_advance, true); /* to learn the first deadline */
    if (uv_loop_init(&loop->uv) < 0) goto failed_loop;
    if (!loop_open_handles(loop)) goto failed_handles;
    loop->core = server_loop_open(shell->server, index);
    if (!loop->core) goto failed_core;
    loop->metrics = server_loop_metrics(loop->core);
    server_loop_on_output(loop->core, on_output, loop);
    return loop;
failed_core:
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
failed_handles:
    uv_loop_close(&loop->uv);
failed_loop:
    free(loop);
    return NULL;
}

void loop_run(struct shell_loop *loop) {
    current = loop;
    note_processors(loop);
    loop->transport->run(loop);
    loop_leave_turn(loop);
    current = NULL;
}

/* Handles are closed only here, when every loop's thread has ended: until then another loop may still send to `async`.
 */
void loop_close(struct shell_loop *loop) {
    struct inbox_item item;
    while (inbox_take(&loop->inbox, &item)) close(item.fd);
    assert(list_is_empty(&loop->silent) && list_is_empty(&loop->spoken) && list_is_empty(&loop->lingering));
    uv_prepare_stop(&loop->prepare); /* else the turn would be left while peers are still being freed */
    uv_walk(&loop->uv, close_handle, NULL);
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop_leave_turn(loop);
    int status = uv_loop_close(&loop->uv);
    assert(status == 0);
    (void)status;
    server_loop_close(loop->core);
    free(loop);
}
