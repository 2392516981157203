/* The watchers against a server that tells them a script: what is missing, told twice or no event must be found. */
#include "watchers.h"

#include "base/mp.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <unistd.h>

struct teller {
    const char *kinds; /* an event for each character: u is updated, l a lagged of three, s one with a wrong seq */
    int listener;
    pthread_t thread;
};

static void write_event(struct buf *out, char kind, uint64_t *seq) {
    *seq += kind == 'l' ? 3 : kind == 's' ? 2 : 1;
    mp_write_array(out, 3);
    mp_write_uint(out, 2), mp_write_string(out, "event"), mp_write_array(out, 1);
    mp_write_map(out, kind == 'l' ? 4 : 3);
    mp_write_string(out, "watch"), mp_write_uint(out, 1);
    mp_write_string(out, "seq"), mp_write_uint(out, *seq);
    mp_write_string(out, "kind"), mp_write_string(out, kind == 'l' ? "lagged" : "updated");
    if (kind == 'l') mp_write_string(out, "missed"), mp_write_uint(out, 3);
}

/* Answers watch.start and tells in the same breath, a few bytes at a time. */
static void *teller_main(void *argument) {
    struct teller *teller = argument;
    struct buf out = BUF_EMPTY;
    uint8_t request[256];
    uint64_t seq = 0;
    int fd = accept(teller->listener, NULL, NULL);
    cr_assert(recv(fd, request, sizeof request, 0) > 0);
    buf_append(&out, "\x94\x01\x01\xc0\x81\xa5watch\x01", 12);
    for (const char *kind = teller->kinds; *kind; kind++) write_event(&out, *kind, &seq);
    for (size_t sent = 0; sent < out.size; sent += 7) {
        size_t size = out.size - sent < 7 ? out.size - sent : 7;
        if (send(fd, out.data + sent, size, MSG_NOSIGNAL) < 0) break;
    }
    while (recv(fd, request, sizeof request, 0) > 0) continue;
    close(fd);
    buf_fini(&out);
    return NULL;
}

/* True if all is well with so many expected; else what was said. */
static bool play(const char *kinds, uint64_t expected, uint64_t *missed, char problem[256]) {
    struct teller teller = {.kinds = kinds, .listener = socket(AF_INET, SOCK_STREAM, 0)};
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    struct driver_setup setup = {.namespace_name = "bench"};
    struct endpoint endpoint = {.address_size = size};
    struct watchers watchers;
    cr_assert(bind(teller.listener, (struct sockaddr *)&address, size) == 0 && listen(teller.listener, 1) == 0);
    cr_assert(getsockname(teller.listener, (struct sockaddr *)&address, &size) == 0);
    memcpy(&endpoint.address, &address, size);
    cr_assert(pthread_create(&teller.thread, NULL, teller_main, &teller) == 0);
    cr_assert(watchers_start(&watchers, &endpoint, &setup, 1, NULL, problem, 256), "%s", problem);
    bool is_fine = watchers_wait(&watchers, expected, problem, 256);
    *missed = watchers_missed(&watchers);
    watchers_stop(&watchers);
    pthread_join(teller.thread, NULL);
    close(teller.listener);
    return is_fine;
}

Test(watchers, count_what_they_are_told_and_what_they_missed) {
    uint64_t missed;
    char problem[256];
    cr_expect(play("uuuuu", 5, &missed, problem), "%s", problem);
    cr_expect_eq(missed, 0);
    cr_expect(play("uuluu", 7, &missed, problem), "%s", problem);
    cr_expect_eq(missed, 3);
}

Test(watchers, find_what_is_missing_and_what_is_too_much) {
    uint64_t missed;
    char problem[256];
    cr_expect_not(play("uusuu", 6, &missed, problem));
    cr_expect_not_null(strstr(problem, "seq"), "%s", problem);
    cr_expect_not(play("uuuuu", 4, &missed, problem));
    cr_expect_not_null(strstr(problem, "more than"), "%s", problem);
    cr_expect_not(play("uuuuu", 6, &missed, problem), "this takes the five seconds of silence");
    cr_expect_not_null(strstr(problem, "not told"), "%s", problem);
}
