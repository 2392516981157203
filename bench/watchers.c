/* See watchers.h. */
#include "watchers.h"

#include "sessiond_values.h"
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { EVENTS_MAX = 64, CHUNK_BYTES = 65536, LOOK_EVERY_MS = 20, SETTLE_MS = 100, EVENT_DEPTH_MAX = 16 };
#define SILENCE_MAX_NS UINT64_C(5000000000)

/* ---- what is told */

static uint64_t number_of(struct bytes value) {
    if (bytes_is_absent(value)) return 0;
    struct mp_cursor cursor = mp_cursor_of(value);
    int64_t number = mp_read_int(&cursor, 0, INT64_MAX);
    return cursor.error == MP_OK ? (uint64_t)number : 0;
}

/* seq is the last one and 1, or the last one and what was left out. */
static const char *take_event(struct watcher *watcher, struct bytes event) {
    uint64_t seq = number_of(sessiond_find(event, "seq"));
    struct bytes kind = sessiond_text(sessiond_find(event, "kind"));
    bool is_lagged = bytes_equal(kind, BYTES_LITERAL("lagged"));
    uint64_t step = is_lagged ? number_of(sessiond_find(event, "missed")) : 1;
    if (bytes_is_absent(kind) || step == 0) return "an event has no kind, or a lagged does not say how many";
    if (seq != watcher->last_seq + step) return "events are missing or told twice, by their seq";
    watcher->last_seq = seq;
    atomic_fetch_add_explicit(is_lagged ? &watcher->missed_count : &watcher->event_count, step, memory_order_relaxed);
    return NULL;
}

/* [2, "event", [map]] */
static const char *take_message(struct watcher *watcher, struct mp_cursor *cursor) {
    bool is_event = mp_read_array(cursor) == 3 && mp_read_int(cursor, 2, 2) == 2 && cursor->error == MP_OK;
    struct bytes name = mp_read_bytes(cursor);
    is_event = is_event && bytes_equal(name, BYTES_LITERAL("event")) && mp_read_array(cursor) == 1;
    struct bytes event = mp_read_value(cursor, EVENT_DEPTH_MAX);
    return is_event && cursor->error == MP_OK ? take_event(watcher, event) : "what a watcher is sent is no event";
}

static const char *take_messages(struct watcher *watcher) {
    size_t used = 0;
    const char *problem = NULL;
    while (!problem && used < watcher->in.size) {
        struct bytes left = bytes_of(watcher->in.data + used, watcher->in.size - used);
        struct mp_cursor whole = mp_cursor_of(left), cursor = mp_cursor_of(left);
        struct bytes message = mp_read_value(&whole, EVENT_DEPTH_MAX);
        if (whole.error != MP_OK) break; /* cut short; the rest is to come */
        problem = take_message(watcher, &cursor);
        used += message.size;
    }
    buf_consume(&watcher->in, used);
    return problem;
}

static const char *read_watcher(struct watcher *watcher) {
    uint8_t *room = buf_reserve(&watcher->in, CHUNK_BYTES);
    if (!room) return "not enough memory for what a watcher is sent";
    ssize_t size = recv(watcher->fd, room, CHUNK_BYTES, 0);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR)) return "the server closed a watching connection";
    if (size > 0) watcher->in.size += (size_t)size;
    return size > 0 ? take_messages(watcher) : NULL;
}

/* True if all is well. */
static bool note(struct watchers *watchers, const char *problem) {
    if (problem) atomic_store(&watchers->problem, problem);
    return !problem;
}

static void *watchers_main(void *argument) {
    struct watchers *watchers = argument;
    struct epoll_event events[EVENTS_MAX];
    /* Events may have come in one piece with the answer to watch.start. */
    for (unsigned i = 0; i < watchers->count; i++)
        if (!note(watchers, take_messages(&watchers->items[i]))) return NULL;
    while (!atomic_load(&watchers->must_stop)) {
        int count = epoll_wait(watchers->epoll_fd, events, EVENTS_MAX, LOOK_EVERY_MS);
        for (int i = 0; i < count; i++)
            if (!note(watchers, read_watcher(events[i].data.ptr))) return NULL;
    }
    return NULL;
}

/* ---- start and stop */

static bool send_start(int fd, const struct driver_setup *setup, const char *kind) {
    struct buf out = BUF_EMPTY;
    buf_append(&out, (uint8_t[]){0x94, 0x00, 0x01}, 3);
    mp_write_string(&out, "watch.start");
    mp_write_array(&out, kind ? 2 : 1);
    mp_write_string(&out, setup->namespace_name);
    if (kind) mp_write_map(&out, 1), mp_write_string(&out, "kinds"), mp_write_string(&out, kind);
    bool is_sent = send(fd, out.data, out.size, MSG_NOSIGNAL) == (ssize_t)out.size;
    buf_fini(&out);
    return is_sent;
}

/* The answer comes before any event. */
static bool receive_answer(struct watcher *watcher, const struct driver_setup *setup, struct reply *reply) {
    struct timeval timeout = {.tv_sec = 5};
    setsockopt(watcher->fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    for (;;) {
        uint8_t *room = buf_reserve(&watcher->in, CHUNK_BYTES);
        ssize_t size = room ? recv(watcher->fd, room, CHUNK_BYTES, 0) : -1;
        if (size <= 0) return false;
        watcher->in.size += (size_t)size;
        long scanned = driver_sessiond.scan(setup, buf_bytes(&watcher->in), reply);
        if (scanned == SCAN_MORE) continue;
        bool is_fine = scanned > 0 && reply->kind == REPLY_VALUE;
        if (is_fine) buf_consume(&watcher->in, (size_t)scanned);
        return is_fine;
    }
}

static bool start_one(struct watchers *watchers, const struct endpoint *endpoint, const struct driver_setup *setup,
                      const char *kind, char *problem, size_t problem_size) {
    struct watcher *watcher = &watchers->items[watchers->count];
    struct reply reply = {.number = 0};
    watcher->fd = endpoint_connect(endpoint);
    if (watcher->fd < 0) {
        snprintf(problem, problem_size, "a watcher cannot connect: %s", strerror(errno));
        return false;
    }
    watchers->count++;
    if (!send_start(watcher->fd, setup, kind) || !receive_answer(watcher, setup, &reply)) {
        snprintf(problem, problem_size, "watch.start is refused: %.*s",
                 reply.value.size < 150 ? (int)reply.value.size : 150, (const char *)reply.value.data);
        return false;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = watcher};
    return fcntl(watcher->fd, F_SETFL, O_NONBLOCK) == 0 &&
           epoll_ctl(watchers->epoll_fd, EPOLL_CTL_ADD, watcher->fd, &event) == 0;
}

bool watchers_start(struct watchers *watchers, const struct endpoint *endpoint, const struct driver_setup *setup,
                    unsigned count, const char *kind, char *problem, size_t problem_size) {
    *watchers = (struct watchers){.items = calloc(count ? count : 1, sizeof *watchers->items),
                                  .epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    snprintf(problem, problem_size, "not enough memory or file descriptors for the watchers");
    if (!watchers->items || watchers->epoll_fd < 0) return false;
    while (watchers->count < count)
        if (!start_one(watchers, endpoint, setup, kind, problem, problem_size)) return false;
    watchers->is_running = pthread_create(&watchers->thread, NULL, watchers_main, watchers) == 0;
    return watchers->is_running;
}

void watchers_stop(struct watchers *watchers) {
    atomic_store(&watchers->must_stop, true);
    if (watchers->is_running) pthread_join(watchers->thread, NULL);
    for (unsigned i = 0; i < watchers->count; i++) {
        close(watchers->items[i].fd);
        buf_fini(&watchers->items[i].in);
    }
    if (watchers->epoll_fd >= 0) close(watchers->epoll_fd);
    free(watchers->items);
}

/* ---- counts */

uint64_t watchers_told(const struct watchers *watchers) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < watchers->count; i++) sum += atomic_load(&watchers->items[i].event_count);
    return sum;
}

uint64_t watchers_missed(const struct watchers *watchers) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < watchers->count; i++) sum += atomic_load(&watchers->items[i].missed_count);
    return sum;
}

/* 0 while some have not been told of all, 1 when all have, 2 if one was told of more. */
static int how_far(const struct watchers *watchers, uint64_t expected) {
    bool is_done = true;
    for (unsigned i = 0; i < watchers->count; i++) {
        const struct watcher *watcher = &watchers->items[i];
        uint64_t sum = atomic_load(&watcher->event_count) + atomic_load(&watcher->missed_count);
        if (sum > expected) return 2;
        if (sum < expected) is_done = false;
    }
    return is_done;
}

static const char *wait_for_all(struct watchers *watchers, uint64_t expected) {
    uint64_t seen = 0, quiet_since_ns = monotonic_ns();
    bool is_settled = false;
    for (;;) {
        int far = how_far(watchers, expected);
        const char *problem = atomic_load(&watchers->problem);
        if (problem) return problem;
        if (far == 2) return "a watcher was told of more than happened";
        if (far == 1 && is_settled) return NULL;
        uint64_t sum = watchers_told(watchers) + watchers_missed(watchers);
        if (sum != seen) seen = sum, quiet_since_ns = monotonic_ns();
        if (far == 0 && monotonic_ns() - quiet_since_ns > SILENCE_MAX_NS)
            return "a watcher was not told of all that happened, nor that it missed some";
        /* What is told beyond the last would come right behind it. */
        usleep(far == 1 ? SETTLE_MS * 1000 : 1000);
        is_settled = far == 1;
    }
}

bool watchers_wait(struct watchers *watchers, uint64_t expected, char *problem, size_t problem_size) {
    const char *wrong = wait_for_all(watchers, expected);
    if (wrong)
        snprintf(problem, problem_size, "%s (%llu of %llu, %u watchers)", wrong,
                 (unsigned long long)(watchers_told(watchers) + watchers_missed(watchers)),
                 (unsigned long long)(expected * watchers->count), watchers->count);
    return !wrong;
}
