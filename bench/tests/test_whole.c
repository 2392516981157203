/* Whole operations: what the drivers take for right and wrong, and a worker against a server that does wrong on
 * purpose.
 */
#include "base/mp.h"
#include "worker.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <pthread.h>
#include <unistd.h>

enum { VALUE_BYTES = 32, REQUESTS = 40, SESSIONS = 100 };
#define ID      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopq"
#define SECRET  "0123456789012345678901234567890123456789abc"
#define POOL_ID "session_ABCDEFGHIJKLMNOPQRSTUV"
#define DATA    "ABCDEFGHIJKLMNOPxxxxxxxxxxxxxxxx"

static struct driver_setup setup_of(int64_t lease_ms) {
    struct driver_setup setup = {.namespace_name = "bench", .value_bytes = VALUE_BYTES, .idle_timeout_ms = 1000};
    setup.pool = (struct pool_setup){"proxies", 10, 50, "random", lease_ms};
    memset(setup.script_hashes, 'f', sizeof setup.script_hashes);
    for (unsigned i = 0; i < SCRIPT_COUNT; i++) setup.script_hashes[i][SCRIPT_HASH_BYTES] = '\0';
    return setup;
}

static const char *judge(const struct driver *driver, enum request request, struct bytes bytes, struct found *found) {
    struct driver_setup setup = setup_of(0);
    struct reply reply = {.number = 0};
    *found = (struct found){.use = 0};
    cr_assert_eq(driver->scan(&setup, bytes, &reply), (long)bytes.size);
    return driver->judge(&setup, request, &reply, (const uint8_t *)ID, found);
}

static void expect(const struct driver *driver, enum request request, struct bytes bytes, const char *wrong) {
    struct found found;
    const char *problem = judge(driver, request, bytes, &found);
    if (wrong)
        cr_expect(problem && strstr(problem, wrong), "request %d: '%s'", request, problem ? problem : "right");
    else
        cr_expect_null(problem, "request %d: %s", request, problem);
}
#define EXPECT(request, text, wrong) expect(&driver_redis, request, BYTES_LITERAL(text), wrong)

Test(redis_scripts, a_validate_must_answer_this_session) {
    EXPECT(REQUEST_VALIDATE, "*4\r\n$1\r\nu\r\n$1\r\nc\r\n$1\r\n1\r\n$32\r\n" DATA "\r\n", NULL);
    EXPECT(REQUEST_VALIDATE, "*4\r\n$1\r\nu\r\n$1\r\nc\r\n$1\r\n1\r\n$32\r\nBBCDEFGHIJKLMNOPxxxxxxxxxxxxxxxx\r\n",
           "data");
    EXPECT(REQUEST_VALIDATE, "*3\r\n$1\r\nu\r\n$1\r\nc\r\n$1\r\n1\r\n", "valid");
    EXPECT(REQUEST_VALIDATE, "$-1\r\n", "valid");
}

Test(redis_scripts, a_hand_out_must_be_counted_and_within_its_limit) {
    struct found found;
    EXPECT(REQUEST_ACQUIRE, "*3\r\n$30\r\n" POOL_ID "\r\n:50\r\n$1\r\n0\r\n", NULL);
    EXPECT(REQUEST_ACQUIRE, "*3\r\n$30\r\n" POOL_ID "\r\n:51\r\n$1\r\n0\r\n", "more often");
    EXPECT(REQUEST_ACQUIRE, "*3\r\n$30\r\n" POOL_ID "\r\n:0\r\n$1\r\n0\r\n", "not counted");
    EXPECT(REQUEST_ACQUIRE, "*3\r\n$3\r\nabc\r\n:1\r\n$1\r\n0\r\n", "no pool");
    cr_assert_null(
        judge(&driver_redis, REQUEST_ACQUIRE, BYTES_LITERAL("*3\r\n$30\r\n" POOL_ID "\r\n:7\r\n$1\r\n0\r\n"), &found));
    cr_expect(bytes_equal(found.subject, BYTES_LITERAL(POOL_ID)) && found.use == 7);
}

Test(redis_scripts, a_login_must_answer_a_token_and_a_mark_must_count) {
    struct found found;
    cr_assert_null(judge(&driver_redis, REQUEST_LOGIN, BYTES_LITERAL("$87\r\n" ID "." SECRET "\r\n"), &found));
    cr_expect(bytes_equal(found.subject, BYTES_LITERAL(ID "." SECRET)));
    EXPECT(REQUEST_ROTATE, "$5\r\nabcde\r\n", "token");
    EXPECT(REQUEST_MARK_GOOD, "*3\r\n:1\r\n$3\r\n0.5\r\n:0\r\n", NULL);
    EXPECT(REQUEST_MARK_GOOD, "*3\r\n:0\r\n$1\r\n0\r\n:0\r\n", "counts nothing");
    EXPECT(REQUEST_MARK_RETIRE, "*3\r\n:1\r\n$1\r\n0\r\n:0\r\n", "retire");
    EXPECT(REQUEST_MARK_RETIRE, "*3\r\n:1\r\n$1\r\n0\r\n:1\r\n", NULL);
    EXPECT(REQUEST_RELEASE, ":1\r\n", NULL);
    EXPECT(REQUEST_RELEASE, ":0\r\n", "not 1");
}

/* [1, 9, nil, {key: value, ...}] */
static struct buf *answer(uint32_t pairs) {
    static struct buf out;
    buf_clear(&out);
    buf_append(&out, (uint8_t[]){0x94, 0x01, 0x09, 0xc0}, 4);
    mp_write_map(&out, pairs);
    return &out;
}

static void add_text(struct buf *out, const char *key, const char *value) {
    mp_write_string(out, key);
    mp_write_string(out, value);
}

static void add_number(struct buf *out, const char *key, uint64_t value) {
    mp_write_string(out, key);
    mp_write_uint(out, value);
}

static void add_flag(struct buf *out, const char *key, bool value) {
    mp_write_string(out, key);
    mp_write_bool(out, value);
}

static void expect_sessiond(enum request request, struct buf *out, const char *wrong) {
    expect(&driver_sessiond, request, buf_bytes(out), wrong);
}

Test(sessiond_whole, a_validate_must_say_true_and_answer_this_session) {
    for (int fault = 0; fault < 3; fault++) {
        struct buf *out = answer(2);
        add_flag(out, "valid", fault != 1);
        mp_write_string(out, "session");
        mp_write_map(out, 1), mp_write_string(out, "data"), mp_write_map(out, 1);
        add_text(out, "d", fault == 2 ? "BBCDEFGHIJKLMNOPxxxxxxxxxxxxxxxx" : DATA);
        expect_sessiond(REQUEST_VALIDATE, out, fault == 1 ? "valid" : fault == 2 ? "data" : NULL);
    }
}

Test(sessiond_whole, a_login_must_answer_a_token_and_a_mark_must_count) {
    struct buf *out = answer(1);
    add_text(out, "token", ID "." SECRET);
    expect_sessiond(REQUEST_LOGIN, out, NULL);
    out = answer(1);
    add_text(out, "token", ID "-" SECRET);
    expect_sessiond(REQUEST_LOGIN, out, "token");
    out = answer(1);
    add_text(out, "error", "invalid_token");
    expect_sessiond(REQUEST_ROTATE, out, "token");
    out = answer(1);
    add_number(out, "usage_count", 1);
    expect_sessiond(REQUEST_MARK, out, NULL);
    out = answer(1);
    add_flag(out, "retired", false);
    expect_sessiond(REQUEST_MARK_BAD, out, "counts nothing");
    expect_sessiond(REQUEST_MARK_RETIRE, out, "retire");
}

Test(sessiond_whole, a_hand_out_must_be_counted_and_within_its_limit) {
    static const struct {
        uint64_t usage, use;
        const char *wrong;
    } rows[] = {{50, 9, NULL}, {51, 9, "more often"}, {0, 9, "not counted"}, {1, 0, "not counted"}};
    for (unsigned i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct buf *out = answer(3);
        add_text(out, "id", POOL_ID);
        add_number(out, "usage_count", rows[i].usage);
        add_number(out, "use", rows[i].use);
        expect_sessiond(REQUEST_ACQUIRE, out, rows[i].wrong);
    }
}

/* ---- a worker */

struct fake {
    int listener;
    size_t request_bytes;
    const char *reply, *faulty; /* what it answers, and once in the middle */
    pthread_t thread;
};

static void *fake_main(void *argument) {
    struct fake *fake = argument;
    struct buf in = BUF_EMPTY;
    unsigned number = 0;
    int fd = accept(fake->listener, NULL, NULL);
    for (ssize_t size; (size = recv(fd, buf_reserve(&in, 65536), 65536, 0)) > 0;) {
        in.size += (size_t)size;
        for (; in.size >= fake->request_bytes; buf_consume(&in, fake->request_bytes), number++) {
            const char *reply = number == REQUESTS / 2 ? fake->faulty : fake->reply;
            cr_assert(send(fd, reply, strlen(reply), MSG_NOSIGNAL) > 0);
        }
    }
    close(fd);
    buf_fini(&in);
    return NULL;
}

static void play(const char *workload, enum request request, const char *reply, const char *faulty,
                 struct tally *tally) {
    struct fake fake = {.listener = socket(AF_INET, SOCK_STREAM, 0), .reply = reply, .faulty = faulty};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct ledger ledger;
    struct target target = {.driver = &driver_redis, .setup = setup_of(0), .ledger = &ledger};
    struct plan plan = {
        .workload = workload_find(workload), .session_count = SESSIONS, .connections = 1, .depth = 4, .threads = 1};
    struct worker worker;
    cr_assert(bind(fake.listener, (struct sockaddr *)&address, size) == 0 && listen(fake.listener, 1) == 0);
    cr_assert(getsockname(fake.listener, (struct sockaddr *)&address, &size) == 0);
    memcpy(&target.endpoint.address, &address, size);
    target.endpoint.address_size = size;
    cr_assert(ledger_init(&ledger, SESSIONS) && templates_make(&target.templates, &driver_redis, &target.setup));
    for (unsigned i = 0; i < SESSIONS; i++) ledger.entries[i].state = ENTRY_IN;
    fake.request_bytes = target.templates.of[request].text.size;
    cr_assert(pthread_create(&fake.thread, NULL, fake_main, &fake) == 0);
    cr_assert(worker_open(&worker, &target, &plan, 0), "%s", worker.problem);
    cr_expect(worker_run(&worker, 0, REQUESTS), "%s", worker.problem);
    *tally = worker.tally;
    worker_close(&worker);
    pthread_join(fake.thread, NULL);
    close(fake.listener);
    templates_fini(&target.templates);
    for (unsigned i = 0; i < SESSIONS; i++)
        cr_expect(ledger.entries[i].state == ENTRY_IN && ledger.entries[i].use_count == 0, "entry %u is still held", i);
    ledger_fini(&ledger);
}

Test(worker, counts_a_token_that_is_not_valid_and_an_error) {
    struct tally tally;
    static const char right[] = "*4\r\n$1\r\nu\r\n$1\r\nc\r\n$1\r\n1\r\n$32\r\n" DATA "\r\n";
    play("validate", REQUEST_VALIDATE, right, right, &tally);
    cr_expect(tally.completed == REQUESTS && tally.checked == REQUESTS && tally.wrong + tally.errors == 0);
    play("validate", REQUEST_VALIDATE, right, "*1\r\n$1\r\nu\r\n", &tally);
    cr_expect(tally.completed == REQUESTS && tally.wrong == 1 && tally.errors == 0);
    play("validate", REQUEST_VALIDATE, right, "-INVALID wrong secret\r\n", &tally);
    cr_expect(tally.completed == REQUESTS && tally.wrong == 0 && tally.errors == 1);
}

Test(worker, keeps_the_token_that_a_rotate_answers) {
    struct tally tally;
    static const char right[] = "$87\r\n" ID "." SECRET "\r\n";
    play("rotate", REQUEST_ROTATE, right, right, &tally);
    cr_expect(tally.completed == REQUESTS && tally.wrong + tally.errors + tally.misses == 0);
    play("rotate", REQUEST_ROTATE, right, "-REUSED an old secret\r\n", &tally);
    cr_expect(tally.errors == 1);
}

Test(worker, counts_a_session_that_is_handed_out_too_often) {
    struct tally tally;
    static const char right[] = "*3\r\n$30\r\n" POOL_ID "\r\n:1\r\n$1\r\n0\r\n";
    play("acquire", REQUEST_ACQUIRE, right, right, &tally);
    cr_expect(tally.completed == REQUESTS && tally.wrong + tally.errors + tally.misses == 0);
    play("acquire", REQUEST_ACQUIRE, right, "*3\r\n$30\r\n" POOL_ID "\r\n:51\r\n$1\r\n0\r\n", &tally);
    cr_expect(tally.completed == REQUESTS && tally.wrong == 1);
}
