/* A worker against a server of our own, which does wrong on purpose: what is wrong must be found and named. The server
 * speaks just enough of Redis's protocol: it takes requests of one known size and answers a script. */
#include "worker.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { VALUE_BYTES = 32, REQUESTS = 40 };

enum fault { NO_FAULT, FAULT_OTHER_SESSION, FAULT_MISSING, FAULT_ERROR, FAULT_TWICE, FAULT_NONSENSE, FAULT_HANGS_UP };

struct fake {
    int listener;
    enum fault fault;
    size_t request_bytes, id_at;
    bool is_dripping; /* answers a byte at a time */
    pthread_t thread;
    struct target target;
};

static void append_reply(struct buf *out, const uint8_t *request, const struct fake *fake, unsigned number) {
    bool is_faulty = number == REQUESTS / 2;
    uint8_t value[VALUE_BYTES];
    memset(value, VALUE_FILLING, sizeof value);
    memcpy(value, request + fake->id_at, VALUE_STAMP_BYTES);
    if (is_faulty && fake->fault == FAULT_OTHER_SESSION) value[0] ^= 1;
    if (is_faulty && fake->fault == FAULT_MISSING) {
        buf_append(out, "$-1\r\n", 5);
    } else if (is_faulty && fake->fault == FAULT_ERROR) {
        buf_append(out, "-ERR on purpose\r\n", 17);
    } else if (is_faulty && fake->fault == FAULT_NONSENSE) {
        buf_append(out, "what?\r\n", 7);
    } else {
        buf_append(out, "$32\r\n", 5);
        buf_append(out, value, sizeof value);
        buf_append(out, "\r\n", 2);
    }
    if (number == REQUESTS - 1 && fake->fault == FAULT_TWICE) buf_append(out, "$-1\r\n", 5);
}

static void send_out(int fd, struct buf *out, bool is_dripping) {
    size_t piece = is_dripping ? 1 : out->size;
    for (size_t sent = 0; sent < out->size; sent += piece)
        cr_assert(send(fd, out->data + sent, piece, MSG_NOSIGNAL) > 0);
    buf_clear(out);
}

static void *fake_main(void *argument) {
    struct fake *fake = argument;
    struct buf in = BUF_EMPTY, out = BUF_EMPTY;
    unsigned number = 0;
    int fd = accept(fake->listener, NULL, NULL);
    for (bool is_open = true; is_open;) {
        ssize_t size = recv(fd, buf_reserve(&in, 65536), 65536, 0);
        if (size <= 0) break;
        in.size += (size_t)size;
        for (; in.size >= fake->request_bytes; buf_consume(&in, fake->request_bytes), number++) {
            if (fake->fault == FAULT_HANGS_UP && number == REQUESTS / 2) is_open = false;
            append_reply(&out, in.data, fake, number);
        }
        if (is_open && out.size) send_out(fd, &out, fake->is_dripping);
    }
    close(fd);
    buf_fini(&in);
    buf_fini(&out);
    return NULL;
}

static void fake_start(struct fake *fake) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    fake->listener = socket(AF_INET, SOCK_STREAM, 0);
    cr_assert(bind(fake->listener, (struct sockaddr *)&address, size) == 0 && listen(fake->listener, 1) == 0);
    cr_assert(getsockname(fake->listener, (struct sockaddr *)&address, &size) == 0);
    fake->target =
        (struct target){.driver = &driver_redis, .setup = {.value_bytes = VALUE_BYTES, .idle_timeout_ms = 1000}};
    memcpy(&fake->target.endpoint.address, &address, size);
    fake->target.endpoint.address_size = size;
    cr_assert(templates_make(&fake->target.templates, &driver_redis, &fake->target.setup));
    fake->request_bytes = fake->target.templates.of[REQUEST_GET].text.size;
    fake->id_at = fake->target.templates.of[REQUEST_GET].id_at;
    cr_assert(pthread_create(&fake->thread, NULL, fake_main, fake) == 0);
}

/* Plays forty gets, at most eight at once; fills in what the worker found. */
static bool play(struct fake *fake, struct plan plan, struct tally *tally, char problem[PROBLEM_BYTES]) {
    struct worker worker;
    plan.workload = workload_find("get");
    plan.distribution = KEYS_UNIFORM;
    plan.session_count = 1000, plan.connections = plan.threads = 1, plan.depth = 8, plan.check_every = 1;
    fake_start(fake);
    cr_assert(worker_open(&worker, &fake->target, &plan, 0), "%s", worker.problem);
    bool is_played = worker_run(&worker, 0, REQUESTS);
    *tally = worker.tally;
    memcpy(problem, worker.problem, PROBLEM_BYTES);
    cr_expect_eq(worker.histograms[KIND_GET]->total, tally->completed);
    worker_close(&worker);
    pthread_join(fake->thread, NULL);
    close(fake->listener);
    templates_fini(&fake->target.templates);
    return is_played;
}

static const struct plan in_batches = {.is_sliding = false}, sliding = {.is_sliding = true},
                         at_a_rate = {.rate_per_s = 4000};

Test(worker, counts_what_is_right_in_every_kind_of_loop) {
    const struct plan plans[] = {in_batches, sliding, at_a_rate};
    for (int i = 0; i < 6; i++) {
        struct fake fake = {.is_dripping = i >= 3};
        struct tally tally;
        char problem[PROBLEM_BYTES];
        cr_expect(play(&fake, plans[i % 3], &tally, problem), "%s", problem);
        cr_expect_eq(tally.completed, REQUESTS);
        cr_expect_eq(tally.checked, REQUESTS);
        cr_expect_eq(tally.wrong + tally.misses + tally.errors, 0, "%s", problem);
        cr_expect_eq(tally.received_bytes, REQUESTS * 39);
    }
}

Test(worker, lasts_as_long_as_its_rate_says) {
    struct fake fake = {0};
    struct tally tally;
    char problem[PROBLEM_BYTES];
    cr_expect(play(&fake, at_a_rate, &tally, problem), "%s", problem);
    cr_expect(tally.elapsed_ns >= (REQUESTS - 1) * 250000, "forty at 4,000 a second took %lu ns", tally.elapsed_ns);
}

Test(worker, finds_another_session_s_data_a_missing_session_and_an_error) {
    static const enum fault faults[] = {FAULT_OTHER_SESSION, FAULT_MISSING, FAULT_ERROR};
    for (int i = 0; i < 3; i++) {
        struct fake fake = {.fault = faults[i]};
        struct tally tally;
        char problem[PROBLEM_BYTES];
        cr_expect(play(&fake, in_batches, &tally, problem), "%s", problem);
        cr_expect_eq(tally.completed, REQUESTS);
        cr_expect_eq(tally.wrong, i == 0);
        cr_expect_eq(tally.misses, i == 1);
        cr_expect_eq(tally.errors, i == 2);
        cr_expect_neq(problem[0], '\0');
    }
}

static void expect_failure(enum fault fault, const char *expected) {
    struct fake fake = {.fault = fault};
    struct tally tally;
    char problem[PROBLEM_BYTES];
    cr_expect_not(play(&fake, in_batches, &tally, problem), "fault %d was not noticed", fault);
    cr_expect_not_null(strstr(problem, expected), "fault %d is called '%s'", fault, problem);
}

Test(worker, stops_at_what_it_cannot_count) {
    expect_failure(FAULT_TWICE, "was not made");
    expect_failure(FAULT_NONSENSE, "no reply");
    expect_failure(FAULT_HANGS_UP, "closed");
}
