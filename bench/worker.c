/* See worker.h. The loop: wait, receive, judge the replies, begin what may begin, flush. Time is read once per turn, so
 * a latency is known to within a turn; a turn is what one epoll_wait hands out. */
#define _GNU_SOURCE
#include "worker.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = 256, SILENCE_MAX_S = 10 };
#define SILENCE_MAX_NS ((uint64_t)SILENCE_MAX_S * 1000000000u)

static uint64_t clock_ns(clockid_t clock) {
    struct timespec time;
    clock_gettime(clock, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

uint64_t monotonic_ns(void) {
    return clock_ns(CLOCK_MONOTONIC);
}

int64_t plan_deadline_ms(const struct plan *plan, uint64_t index) {
    if (plan->deadline_span_ms == 0) return plan->deadline_first_ms;
    return plan->deadline_first_ms + (int64_t)(key_scramble(index) % (uint64_t)plan->deadline_span_ms);
}

/* ---- what fails */

static void note_problem(struct worker *worker, const char *text, struct bytes detail) {
    if (worker->problem[0]) return;
    int size = detail.size < 160 ? (int)detail.size : 160;
    snprintf(worker->problem, sizeof worker->problem, "%s%.*s", text, size, (const char *)detail.data);
    for (char *at = worker->problem; *at; at++)
        if ((unsigned char)*at < ' ' || (unsigned char)*at > '~') *at = '.';
}

static void fail(struct worker *worker, const char *text) {
    worker->is_failed = true;
    worker->problem[0] = '\0';
    note_problem(worker, text, bytes_of("", 0));
}

/* ---- what to ask for next */

static uint64_t insert_index(const struct worker *worker, uint64_t ordinal) {
    return worker->insert_origin + ordinal * worker->plan.threads + worker->ordinal;
}

static uint64_t latest_index(const struct worker *worker, uint64_t distance) {
    uint64_t known = worker->plan.session_count + worker->insert_known;
    uint64_t position = known - 1 - distance % known;
    if (position < worker->plan.session_count) return worker->plan.first_index + position;
    return insert_index(worker, position - worker->plan.session_count);
}

static uint64_t choose_index(struct worker *worker, enum kind kind) {
    switch (kind) {
    case KIND_CREATE: return insert_index(worker, worker->insert_next++);
    case KIND_DESTROY: return insert_index(worker, worker->destroy_next++);
    case KIND_PROBE: return worker->plan.probe_first + random_below(&worker->random, worker->plan.probe_count);
    default: break;
    }
    if (kind == KIND_LOGIN && worker->share.ledger) return ledger_take_out(&worker->share);
    uint64_t drawn = key_stream_next(&worker->keys);
    if (worker->share.ledger && (kind == KIND_VALIDATE || kind == KIND_MARK))
        return ledger_take_shared(&worker->share, drawn);
    if (worker->share.ledger && (kind == KIND_ROTATE || kind == KIND_LOGOUT))
        return ledger_take_alone(&worker->share, drawn);
    if (worker->keys.distribution == KEYS_LATEST) return latest_index(worker, drawn);
    return worker->plan.first_index + drawn;
}

/* Nobody can be destroyed twice, nor before its creation was acknowledged; the oldest goes first. And no more may be
 * created at once than the ring of acknowledgements remembers. */
static enum kind choose_kind(struct worker *worker) {
    enum kind kind = worker->kinds[random_below(&worker->random, 1000)];
    if (kind == KIND_DESTROY && worker->destroy_next >= worker->insert_known) return KIND_GET_TOUCH;
    if (kind == KIND_LOGIN && worker->share.ledger && ledger_share_is_empty(&worker->share)) return KIND_LOGOUT;
    if (kind == KIND_LOGOUT && worker->share.ledger && ledger_share_is_full(&worker->share)) return KIND_LOGIN;
    if (kind == KIND_CREATE && worker->insert_next - worker->insert_known >= INSERT_WINDOW) return KIND_GET;
    return kind;
}

/* Characters that no session had before, also of earlier runs. Good enough to be new; a server's are secret as well. */
static void draw_fresh(struct worker *worker, uint8_t fresh[TOKEN_BYTES]) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (unsigned at = 0; at < TOKEN_BYTES;) {
        uint64_t bits = random_next(&worker->fresh);
        for (unsigned i = 0; i < 10 && at < TOKEN_BYTES; i++, bits >>= 6) fresh[at++] = (uint8_t)alphabet[bits & 63];
    }
}

static void write_request(struct worker *worker, struct conn *conn, struct slot *slot) {
    const struct target *target = worker->target;
    const struct template *template = &target->templates.of[slot->request];
    uint8_t id[KEY_ID_BYTES], fresh[TOKEN_BYTES];
    struct fill fill = {.id = id, .fresh = fresh, .user = slot->index / SESSIONS_PER_USER, .client = slot->index};
    if (template->id_at != PLACE_NONE || template->stamp_at != PLACE_NONE) key_id(worker->plan.seed, slot->index, id);
    if (template->needs_fresh) draw_fresh(worker, fresh);
    if (slot->request >= REQUEST_MARK_GOOD)
        fill.subject = slot->subject, fill.use = slot->use;
    else if (worker->share.ledger && slot->request >= REQUEST_WHOLE_FIRST)
        fill.subject = worker->share.ledger->entries[slot->index].subject;
    if (slot->request == REQUEST_LOAD && target->setup.is_load_mortal)
        fill.deadline_ms = plan_deadline_ms(&worker->plan, slot->index);
    slot->sent_ns = worker->now_ns;
    conn_write(conn, slot, &target->templates, &fill);
    worker->tally.requests++;
    worker->tally.sent_bytes += template->text.size;
    if (conn->is_dirty) return;
    conn->is_dirty = true;
    worker->dirty[worker->dirty_count++] = conn;
}

static void begin_operation(struct worker *worker, struct conn *conn, uint64_t start_ns) {
    struct slot *slot = conn_take(conn);
    slot->start_ns = start_ns;
    if (worker->plan.is_load) {
        slot->kind = KIND_SET;
        slot->request = worker->plan.load_request;
        slot->next_request = slot->last_request = REQUEST_COUNT;
        slot->index = worker->plan.first_index + worker->load_next++ * worker->plan.threads + worker->ordinal;
    } else {
        enum kind kind = choose_kind(worker);
        struct steps steps =
            kind_steps(worker->target->driver, kind, worker->begun, worker->target->setup.pool.lease_ms > 0);
        slot->kind = (uint8_t)kind;
        slot->request = steps.first;
        slot->next_request = steps.second;
        slot->last_request = steps.third;
        slot->index = choose_index(worker, kind);
    }
    worker->begun++;
    worker->in_flight++;
    write_request(worker, conn, slot);
}

static bool may_begin(const struct worker *worker) {
    return worker->begun < worker->begin_limit && worker->now_ns < worker->end_ns;
}

/* ---- replies */

static void acknowledge_insert(struct worker *worker, uint64_t index) {
    uint64_t ordinal = (index - worker->insert_origin - worker->ordinal) / worker->plan.threads;
    worker->insert_acknowledged[ordinal % INSERT_WINDOW] = 1;
    uint8_t *next = &worker->insert_acknowledged[worker->insert_known % INSERT_WINDOW];
    while (*next) {
        *next = 0;
        worker->insert_known++;
        next = &worker->insert_acknowledged[worker->insert_known % INSERT_WINDOW];
    }
}

/* A dying session must be there before its moment and gone from it on, as exactly as the server says it can tell. */
static void judge_probe(struct worker *worker, const struct slot *slot, enum reply_kind kind) {
    int64_t grain_ms = worker->target->driver->deadline_grain_ms;
    int64_t deadline_ms = plan_deadline_ms(&worker->plan, slot->index);
    int64_t sent_ms = (int64_t)(slot->sent_ns / 1000000) + worker->wall_offset_ms;
    int64_t received_ms = (int64_t)(worker->now_ns / 1000000) + worker->wall_offset_ms;
    if (kind == REPLY_VALUE && sent_ms > deadline_ms + 2 * grain_ms) worker->tally.late++;
    if (kind == REPLY_MISS && received_ms < deadline_ms - 2 * grain_ms) worker->tally.early++;
}

static bool expects_value(enum request request) {
    return request == REQUEST_GET || request == REQUEST_GET_TOUCH;
}

static void check_value(struct worker *worker, const struct slot *slot, const struct reply *reply) {
    uint8_t id[KEY_ID_BYTES];
    key_id(worker->plan.seed, slot->index, id);
    worker->tally.checked++;
    if (worker->target->driver->check(&worker->target->setup, reply, id)) return;
    worker->tally.wrong++;
    note_problem(worker, "a reply does not carry the session's data: ", reply->value);
}

/* Notes what a whole operation's reply told for those that follow; the ledger stays right also where the reply is not,
 * since the run goes on to its end. */
static void settle(struct worker *worker, struct slot *slot, bool is_right, const struct found *found) {
    struct ledger_share *share = &worker->share;
    if (slot->request == REQUEST_ACQUIRE && is_right && !bytes_is_absent(found->subject)) {
        memcpy(slot->subject, found->subject.data, sizeof slot->subject);
        slot->use = found->use;
    }
    if (!share->ledger) return;
    if (worker->plan.is_load) {
        if (is_right) ledger_change(share, slot->index, found->subject);
    } else if (slot->kind == KIND_LOGOUT || (slot->kind == KIND_LOGIN && !is_right)) {
        ledger_leave(share, slot->index);
    } else if (slot->kind == KIND_LOGIN || slot->kind == KIND_ROTATE) {
        ledger_change(share, slot->index, found->subject);
    } else if (slot->kind == KIND_VALIDATE || slot->kind == KIND_MARK) {
        ledger_keep(share, slot->index);
    }
}

/* Every reply of a whole operation is looked at, and the data of one in so many. */
static bool judge_whole(struct worker *worker, const struct slot *slot, const struct reply *reply,
                        struct found *found) {
    const struct driver *driver = worker->target->driver;
    uint32_t every = worker->plan.check_every;
    bool has_data = slot->request == REQUEST_VALIDATE && every && (worker->tally.completed & (every - 1)) == 0;
    uint8_t id[KEY_ID_BYTES];
    if (!driver->judge) return true;
    if (has_data) key_id(worker->plan.seed, slot->index, id);
    worker->tally.checked++;
    const char *problem =
        driver->judge(&worker->target->setup, (enum request)slot->request, reply, has_data ? id : NULL, found);
    if (!problem) return true;
    worker->tally.wrong++;
    note_problem(worker, problem, reply->value);
    return false;
}

/* Counts what the reply is; true if the operation may go on to its second request. */
static bool judge_reply(struct worker *worker, const struct slot *slot, const struct reply *reply,
                        struct found *found) {
    if (reply->kind == REPLY_ERROR) {
        worker->tally.errors++;
        note_problem(worker, "the server answers an error: ", reply->value);
        return false;
    }
    if (slot->kind == KIND_PROBE) return judge_probe(worker, slot, reply->kind), true;
    bool is_value_due = expects_value(slot->request);
    if (reply->kind == REPLY_MISS || (is_value_due && reply->kind != REPLY_VALUE)) {
        worker->tally.misses++;
        note_problem(worker, "a session that must be there is not (or a new one is taken): ",
                     bytes_of_string(kind_names[slot->kind]));
        return false;
    }
    if (slot->request >= REQUEST_WHOLE_FIRST) return judge_whole(worker, slot, reply, found);
    uint32_t every = worker->plan.check_every;
    if (is_value_due && every && (worker->tally.completed & (every - 1)) == 0) check_value(worker, slot, reply);
    return true;
}

static void end_operation(struct worker *worker, struct conn *conn, struct slot *slot) {
    uint64_t latency_ns = worker->now_ns - slot->start_ns;
    histogram_record(worker->histograms[slot->kind], latency_ns);
    if (worker->windows) {
        uint64_t window = (worker->now_ns - worker->start_ns) / worker->plan.window_ns;
        if (window < worker->plan.window_count) histogram_record(&worker->windows[window], latency_ns);
    }
    worker->tally.completed++;
    worker->in_flight--;
    conn_free(conn, slot);
}

static void take_reply(struct worker *worker, struct conn *conn, const struct reply *reply) {
    struct slot *slot = conn_answered(conn, worker->target->driver->is_in_order, reply->number);
    if (!slot) return fail(worker, "the server answered a request that was not made, or answered one twice");
    conn->unanswered--;
    struct found found = {.use = 0};
    bool may_go_on = judge_reply(worker, slot, reply, &found);
    if (slot->request >= REQUEST_WHOLE_FIRST) settle(worker, slot, may_go_on, &found);
    if (may_go_on && slot->kind == KIND_CREATE) acknowledge_insert(worker, slot->index);
    if (may_go_on && slot->next_request != REQUEST_COUNT) {
        slot->request = slot->next_request;
        slot->next_request = slot->last_request;
        slot->last_request = REQUEST_COUNT;
        write_request(worker, conn, slot);
    } else {
        end_operation(worker, conn, slot);
    }
}

static void take_replies(struct worker *worker, struct conn *conn) {
    const struct target *target = worker->target;
    while (conn->in_first < conn->in_last && !worker->is_failed) {
        struct reply reply = {.number = 0};
        struct bytes left = bytes_of(conn->in + conn->in_first, conn->in_last - conn->in_first);
        long size = target->driver->scan(&target->setup, left, &reply);
        if (size == SCAN_MORE && left.size < conn->in_capacity) return;
        if (size <= 0) return fail(worker, "the server sent what is no reply of its protocol");
        take_reply(worker, conn, &reply);
        conn->in_first += (size_t)size;
        worker->tally.received_bytes += (uint64_t)size;
    }
}

/* ---- the loop */

/* A closed loop: with a sliding window each free slot is used at once; otherwise the connection waits until all is
 * answered and then sends as many requests as it is deep, so that every server meets batches of the same size. */
static void refill(struct worker *worker, struct conn *conn) {
    if (worker->plan.rate_per_s > 0) return;
    if (!worker->plan.is_sliding && conn->unanswered > 0) return;
    while (conn->free_count > 0 && may_begin(worker)) begin_operation(worker, conn, worker->now_ns);
}

static void watch_write(struct worker *worker, struct conn *conn, bool wants_write) {
    if (conn->wants_write == wants_write) return;
    conn->wants_write = wants_write;
    struct epoll_event event = {.events = EPOLLIN | (wants_write ? EPOLLOUT : 0), .data.ptr = conn};
    epoll_ctl(worker->epoll_fd, EPOLL_CTL_MOD, conn->fd, &event);
}

static void flush(struct worker *worker, struct conn *conn) {
    enum conn_state state = conn_flush(conn);
    if (state == CONN_CLOSED) return fail(worker, "the server closed a connection");
    watch_write(worker, conn, state == CONN_FULL);
}

/* In batches, second requests wait in the buffer until the whole batch is answered, and go with the next. */
static void flush_dirty(struct worker *worker) {
    uint32_t kept = 0;
    bool is_batched = !worker->plan.is_sliding && worker->plan.rate_per_s == 0;
    for (uint32_t i = 0; i < worker->dirty_count && !worker->is_failed; i++) {
        struct conn *conn = worker->dirty[i];
        if (is_batched && conn->unanswered > 0) {
            worker->dirty[kept++] = conn;
            continue;
        }
        conn->is_dirty = false;
        flush(worker, conn);
    }
    worker->dirty_count = kept;
}

static uint64_t due_ns(const struct worker *worker) {
    double interval_ns = 1e9 * worker->plan.threads / worker->plan.rate_per_s;
    return worker->start_ns +
           (uint64_t)(interval_ns * ((double)worker->due + (double)worker->ordinal / worker->plan.threads));
}

static struct conn *conn_with_room(struct worker *worker) {
    for (uint32_t i = 0; i < worker->conn_count; i++) {
        struct conn *conn = &worker->conns[worker->next_conn];
        worker->next_conn = worker->next_conn + 1 == worker->conn_count ? 0 : worker->next_conn + 1;
        if (conn->free_count > 0) return conn;
    }
    return NULL;
}

/* An open loop: an operation whose time has come begins, on whichever connection is next; if all are busy it waits, and
 * its latency counts from when it was due all the same. That is what keeps a stall of the server from hiding those who
 * would have come meanwhile. */
static void begin_due(struct worker *worker) {
    if (worker->plan.rate_per_s == 0) return;
    for (uint64_t start_ns = due_ns(worker); start_ns <= worker->now_ns; start_ns = due_ns(worker)) {
        if (worker->begun >= worker->begin_limit || start_ns >= worker->end_ns) return;
        struct conn *conn = conn_with_room(worker);
        if (!conn) return;
        worker->due++;
        begin_operation(worker, conn, start_ns);
    }
}

/* Operations that were due and found no room still have to begin after the end, or the worst would be left out. */
static bool is_over(const struct worker *worker) {
    if (worker->in_flight > 0) return false;
    if (worker->plan.rate_per_s == 0 || worker->begun >= worker->begin_limit) return !may_begin(worker);
    return due_ns(worker) >= worker->end_ns && worker->now_ns >= worker->end_ns;
}

static struct timespec time_to_wait(const struct worker *worker) {
    uint64_t until_ns = worker->now_ns + SILENCE_MAX_NS;
    if (worker->plan.rate_per_s > 0 && worker->begun < worker->begin_limit) {
        uint64_t next_ns = due_ns(worker);
        if (next_ns < worker->end_ns)
            until_ns = next_ns;
        else if (worker->in_flight == 0)
            until_ns = worker->end_ns;
    }
    /* Due already, but no connection was free: the replies will tell. */
    if (until_ns <= worker->now_ns) until_ns = worker->now_ns + 1000000;
    uint64_t wait_ns = until_ns - worker->now_ns;
    return (struct timespec){(time_t)(wait_ns / 1000000000u), (long)(wait_ns % 1000000000u)};
}

static void handle(struct worker *worker, const struct epoll_event *event) {
    struct conn *conn = event->data.ptr;
    if (event->events & EPOLLOUT) flush(worker, conn);
    if (!(event->events & ~(uint32_t)EPOLLOUT) || worker->is_failed) return;
    enum conn_state state = conn_receive(conn);
    if (state == CONN_CLOSED) return fail(worker, "the server closed a connection");
    take_replies(worker, conn);
    if (!worker->is_failed) refill(worker, conn);
}

static void turn(struct worker *worker) {
    struct epoll_event events[EVENTS_MAX];
    struct timespec wait = time_to_wait(worker);
    uint64_t before_ns = worker->now_ns;
    int count = epoll_pwait2(worker->epoll_fd, events, EVENTS_MAX, &wait, NULL);
    worker->now_ns = monotonic_ns();
    if (count < 0 && errno != EINTR) return fail(worker, "epoll_pwait2 does not work here; Linux 5.11 is needed");
    if (count == 0 && worker->in_flight > 0 && worker->now_ns - before_ns >= SILENCE_MAX_NS)
        return fail(worker, "the server was silent for ten seconds with requests before it");
    for (int i = 0; i < count && !worker->is_failed; i++) handle(worker, &events[i]);
    begin_due(worker);
    flush_dirty(worker);
    atomic_store_explicit(&worker->completed, worker->tally.completed, memory_order_relaxed);
}

/* The share of a total that falls to this worker. */
static uint64_t share_of(const struct worker *worker, uint64_t total) {
    return total / worker->plan.threads + (worker->ordinal < total % worker->plan.threads);
}

static void start(struct worker *worker, uint64_t duration_ns, uint64_t request_count) {
    worker->tally = (struct tally){0};
    for (unsigned i = 0; i < KIND_COUNT; i++)
        if (worker->histograms[i]) histogram_init(worker->histograms[i]);
    for (uint32_t i = 0; i < worker->plan.window_count; i++) histogram_init(&worker->windows[i]);
    worker->begun = worker->due = worker->in_flight = 0;
    worker->begin_limit = request_count ? share_of(worker, request_count) : UINT64_MAX;
    worker->now_ns = worker->start_ns = monotonic_ns();
    worker->wall_offset_ms = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000) - (int64_t)(worker->now_ns / 1000000);
    worker->end_ns = duration_ns ? worker->start_ns + duration_ns : UINT64_MAX;
    worker->problem[0] = '\0';
}

bool worker_run(struct worker *worker, uint64_t duration_ns, uint64_t request_count) {
    assert(duration_ns || request_count);
    prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0); /* an open loop must wake in time */
    uint64_t cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    start(worker, duration_ns, request_count);
    for (uint32_t i = 0; i < worker->conn_count; i++) refill(worker, &worker->conns[i]);
    begin_due(worker);
    flush_dirty(worker);
    while (!worker->is_failed && !is_over(worker)) turn(worker);
    worker->tally.elapsed_ns = worker->now_ns - worker->start_ns;
    worker->tally.cpu_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_ns;
    return !worker->is_failed;
}

/* ---- open and close */

static void spread_kinds(struct worker *worker) {
    unsigned at = 0;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        for (unsigned i = 0; i < worker->plan.workload->per_mille[kind]; i++) worker->kinds[at++] = (uint8_t)kind;
    assert(at == 1000);
}

static bool make_histograms(struct worker *worker) {
    bool is_whole = true;
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        /* Where destroys and creates find nothing to do they become reads. */
        bool is_stand_in = kind == KIND_GET || kind == KIND_GET_TOUCH;
        if (!worker->plan.workload->per_mille[kind] && !is_stand_in) continue;
        worker->histograms[kind] = malloc(sizeof *worker->histograms[kind]);
        if (!worker->histograms[kind]) is_whole = false;
    }
    if (worker->plan.window_count) {
        worker->windows = malloc(worker->plan.window_count * sizeof *worker->windows);
        if (!worker->windows) is_whole = false;
    }
    return is_whole;
}

static bool connect_all(struct worker *worker) {
    const struct target *target = worker->target;
    for (uint32_t i = 0; i < worker->conn_count; i++) worker->conns[i].fd = -1;
    for (uint32_t i = 0; i < worker->conn_count; i++) {
        struct conn *conn = &worker->conns[i];
        if (!conn_open(conn, &target->endpoint, target->driver, &target->setup, &target->templates,
                       worker->plan.depth)) {
            snprintf(worker->problem, sizeof worker->problem, "cannot connect to the %s server: %s",
                     target->driver->name, strerror(errno));
            return false;
        }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = conn};
        if (epoll_ctl(worker->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event) != 0) return false;
    }
    return true;
}

/* Sessions that are made while measuring must be new to the server, also if this run is repeated: the wall clock is
 * in their indexes, far above those that are loaded. */
static uint64_t fresh_origin(void) {
    return (clock_ns(CLOCK_REALTIME) / 1000000 & UINT32_MAX) << 32;
}

bool worker_open(struct worker *worker, const struct target *target, const struct plan *plan, uint32_t ordinal) {
    *worker = (struct worker){.target = target, .plan = *plan, .ordinal = ordinal, .insert_origin = fresh_origin()};
    worker->random.state = plan->seed ^ ((uint64_t)ordinal + 1) << 32;
    worker->fresh.state = key_scramble(worker->insert_origin ^ monotonic_ns()) + ordinal;
    worker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    worker->conn_count = plan->connections / plan->threads + (ordinal < plan->connections % plan->threads);
    spread_kinds(worker);
    worker->conns = calloc(worker->conn_count, sizeof *worker->conns);
    worker->dirty = calloc(worker->conn_count, sizeof(struct conn *));
    worker->insert_acknowledged = calloc(INSERT_WINDOW, 1);
    bool is_whole =
        worker->epoll_fd >= 0 && worker->conns && worker->dirty && worker->insert_acknowledged &&
        make_histograms(worker) &&
        ledger_share_init(&worker->share, target->driver->judge ? target->ledger : NULL, plan->threads, ordinal) &&
        key_stream_init(&worker->keys, plan->distribution, plan->session_count, plan->seed + ordinal);
    if (!is_whole) snprintf(worker->problem, sizeof worker->problem, "not enough memory or file descriptors");
    return is_whole && connect_all(worker);
}

void worker_close(struct worker *worker) {
    for (uint32_t i = 0; worker->conns && i < worker->conn_count; i++) conn_close(&worker->conns[i]);
    if (worker->epoll_fd >= 0) close(worker->epoll_fd);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) free(worker->histograms[kind]);
    key_stream_fini(&worker->keys);
    ledger_share_fini(&worker->share);
    free(worker->windows);
    free(worker->insert_acknowledged);
    free(worker->dirty);
    free(worker->conns);
    *worker = (struct worker){.epoll_fd = -1};
}
