/* Nanoseconds per call of the codec's hot paths, on one core: `bench_codec [milliseconds per case]`.
 *
 * Each case is repeated in rounds and the best round counts, so that a neighbour on the machine does not. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "wire/codec.h"

#define ROUNDS          20
#define CALLS_PER_CHECK 1000

static int64_t monotonic_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* What a case works on. */
struct work {
    struct bytes request;
    struct buf out;
    struct session session;
    uint64_t sink; /* keeps results alive */
};

static void decode(struct work *work) {
    struct frame frame;
    union op_args args;
    struct error error;
    if (codec_decode(work->request, &frame, &args, &error) != DECODE_OK) abort();
    work->sink += frame.size + args.any.given;
}

static void write_record(struct work *work) {
    buf_clear(&work->out);
    codec_begin_result(&work->out, 70000);
    codec_write_record(&work->out, &work->session, FIELDS_ALL, 1767225600000);
    work->sink += work->out.size;
}

static double best_ns(void (*call)(struct work *), struct work *work, int64_t budget_ns) {
    double best = 1e9;
    for (int round = 0; round < ROUNDS; round++) {
        int64_t begin = monotonic_ns(), end = begin;
        uint64_t calls = 0;
        while (end - begin < budget_ns / ROUNDS) {
            for (int i = 0; i < CALLS_PER_CHECK; i++) call(work);
            calls += CALLS_PER_CHECK;
            end = monotonic_ns();
        }
        double ns = (double)(end - begin) / (double)calls;
        if (ns < best) best = ns;
    }
    return best;
}

/* [0, 70000, method, ["web", <43 bytes>, ...]] */
static void begin_request(struct buf *out, const char *method, uint32_t params) {
    mp_write_array(out, 4);
    mp_write_uint(out, 0);
    mp_write_uint(out, 70000);
    mp_write_string(out, method);
    mp_write_array(out, params);
    mp_write_string(out, "web");
    mp_write_string(out, "abcQWERTYUIOPasdfghjklZXCVBNM0123456789-_xy");
}

static void write_data(struct buf *out, size_t size) {
    char text[4096];
    memset(text, 'x', sizeof text);
    mp_write_map(out, 1);
    mp_write_string(out, "cart");
    mp_write_str(out, bytes_of(text, size));
}

static void report(const char *name, double ns) {
    printf("%-44s %7.1f ns\n", name, ns);
}

static void bench_decode(const char *name, struct work *work, struct buf *request, int64_t budget_ns) {
    work->request = buf_bytes(request);
    report(name, best_ns(decode, work, budget_ns));
    buf_fini(request);
}

int main(int count, char **arguments) {
    int64_t budget_ns = (count > 1 ? atoll(arguments[1]) : 200) * 1000000;
    struct work work = {.out = BUF_EMPTY};
    struct buf request = BUF_EMPTY;

    begin_request(&request, "session.get", 2);
    bench_decode("decode session.get", &work, &request, budget_ns);
    begin_request(&request, "session.get", 3);
    mp_write_map(&request, 1);
    mp_write_string(&request, "touch");
    mp_write_bool(&request, true);
    bench_decode("decode session.get {touch}", &work, &request, budget_ns);
    begin_request(&request, "session.touch", 2);
    bench_decode("decode session.touch", &work, &request, budget_ns);
    begin_request(&request, "session.set", 3);
    write_data(&request, 300);
    bench_decode("decode session.set of 300 bytes", &work, &request, budget_ns);
    begin_request(&request, "session.set", 4);
    write_data(&request, 300);
    mp_write_map(&request, 2);
    mp_write_string(&request, "mode");
    mp_write_string(&request, "update");
    mp_write_string(&request, "user");
    mp_write_string(&request, "ann");
    bench_decode("decode session.set {mode, user}", &work, &request, budget_ns);

    struct buf data = BUF_EMPTY;
    write_data(&data, 300);
    work.session = (struct session){.id = BYTES_LITERAL("abcQWERTYUIOPasdfghjklZXCVBNM0123456789-_xy"),
                                    .user = BYTES_LITERAL("ann"),
                                    .data = buf_bytes(&data),
                                    .version = 775736524800001,
                                    .created_at = 1767225600000,
                                    .last_active_at = 1767225600000,
                                    .idle_timeout_ms = 86400000,
                                    .status = STATUS_ACTIVE};
    report("write a record with 300 bytes of data", best_ns(write_record, &work, budget_ns));
    buf_fini(&data);
    buf_fini(&work.out);
    return work.sink == 0;
}
