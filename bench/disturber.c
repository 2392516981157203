/* See disturber.h. */
#define _GNU_SOURCE
#include "disturber.h"

#include "base/mp.h"
#include "snapshot.h"
#include "stream.h"

#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

enum { GROW_BATCH = 16, FLOOD_BATCH = 1000, LIST_LIMIT = 100, BIG_VALUE_BYTES = 100000, NICENESS = 10 };
/* No session of a load has that number. */
#define BIG_INDEX (UINT64_C(1) << 40)

static void add(struct disturber *disturber, struct stream *stream, const struct template *template, uint64_t index) {
    uint8_t id[KEY_ID_BYTES];
    struct fill fill = {.id = id};
    key_id(disturber->seed, index, id);
    stream_add(stream, template, &fill);
}

static void add_list(struct disturber *disturber, struct stream *stream) {
    struct buf request = BUF_EMPTY;
    buf_append(&request, (uint8_t[]){0x94, 0x00, 0x01}, 3);
    mp_write_string(&request, "session.list");
    mp_write_array(&request, 2);
    mp_write_string(&request, disturber->target->setup.namespace_name);
    mp_write_map(&request, 1);
    mp_write_string(&request, "limit");
    mp_write_uint(&request, LIST_LIMIT);
    stream_add_bytes(stream, buf_bytes(&request));
    buf_fini(&request);
}

/* A session that is too large for one write. */
static bool make_big(struct disturber *disturber, struct stream *stream) {
    struct driver_setup setup = disturber->target->setup;
    struct templates templates;
    setup.value_bytes = BIG_VALUE_BYTES;
    bool is_fine = templates_make(&templates, disturber->target->driver, &setup);
    if (is_fine) {
        add(disturber, stream, &templates.of[REQUEST_SET], BIG_INDEX);
        is_fine = stream_play(stream, disturber->problem);
    }
    templates_fini(&templates);
    return is_fine;
}

static bool play_batch(struct disturber *disturber, struct stream *stream, struct random *random) {
    const struct template *of = disturber->target->templates.of;
    unsigned count = disturber->kind == DISTURB_GROW ? GROW_BATCH : FLOOD_BATCH;
    for (unsigned i = 0; i < count; i++) {
        uint64_t index = random_below(random, disturber->session_count);
        switch (disturber->kind) {
        case DISTURB_GROW: add(disturber, stream, &of[REQUEST_SET], disturber->next_index++); break;
        case DISTURB_SETS: add(disturber, stream, &of[REQUEST_SET], index); break;
        case DISTURB_LISTS: add_list(disturber, stream); break;
        case DISTURB_BIG_VALUES: add(disturber, stream, &of[REQUEST_GET], BIG_INDEX); break;
        default: add(disturber, stream, &of[REQUEST_GET], index); break;
        }
    }
    if (!stream_play(stream, disturber->problem)) return false;
    disturber->done += count;
    return true;
}

static void flood(struct disturber *disturber) {
    struct stream stream;
    struct random random = {disturber->seed};
    bool is_fine = stream_open(&stream, disturber->target, disturber->problem);
    if (disturber->kind == DISTURB_BIG_VALUES) is_fine = is_fine && make_big(disturber, &stream);
    while (is_fine && !atomic_load(&disturber->must_stop)) is_fine = play_batch(disturber, &stream, &random);
    stream_close(&stream);
}

static void *disturber_main(void *context) {
    struct disturber *disturber = context;
    /* Only this thread: who measures is not to wait for us on the core that both share. */
    setpriority(PRIO_PROCESS, (id_t)gettid(), NICENESS);
    if (disturber->kind != DISTURB_SNAPSHOTS) {
        flood(disturber);
        return NULL;
    }
    while (!atomic_load(&disturber->must_stop)) {
        if (!snapshot_make(disturber->target, disturber->problem, sizeof disturber->problem)) break;
        disturber->done++;
    }
    return NULL;
}

bool disturber_begin(struct disturber *disturber) {
    disturber->done = 0;
    disturber->problem[0] = '\0';
    atomic_store(&disturber->must_stop, false);
    return pthread_create(&disturber->thread, NULL, disturber_main, disturber) == 0;
}

bool disturber_end(struct disturber *disturber) {
    atomic_store(&disturber->must_stop, true);
    pthread_join(disturber->thread, NULL);
    return !disturber->problem[0];
}
