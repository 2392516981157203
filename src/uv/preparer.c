/* See preparer.h. It is told once for each few megabytes, so a mutex and a condition are cheap enough. */
#include "uv/preparer.h"

#include "uv/patience.h"

/* Sleeps until `until_ms`, or until it is told something. False: it is to end. */
static bool preparer_sleep(struct preparer *preparer, int64_t until_ms) {
    uv_mutex_lock(&preparer->mutex);
    while (!preparer->is_told && !preparer->is_stopping) {
        if (until_ms == INT64_MAX) {
            uv_cond_wait(&preparer->cond, &preparer->mutex);
            continue;
        }
        int64_t left_ms = until_ms - clock_now_ms(preparer->clock);
        if (left_ms <= 0) break;
        uv_cond_timedwait(&preparer->cond, &preparer->mutex, (uint64_t)left_ms * 1000000);
    }
    preparer->is_told = false;
    bool goes_on = !preparer->is_stopping;
    uv_mutex_unlock(&preparer->mutex);
    return goes_on;
}

static void preparer_run(void *context) {
    struct preparer *preparer = context;
    struct engine *engine = preparer->engine;
    int64_t next_ms;
    thread_be_patient();
    do {
        next_ms = engine->vtable->prepare(engine, clock_now_ms(preparer->clock));
    } while (preparer_sleep(preparer, next_ms));
}

bool preparer_begin(struct preparer *preparer, struct engine *engine, const struct clock *clock) {
    preparer->engine = engine;
    preparer->clock = clock;
    if (!engine->vtable->prepare) return true;
    if (uv_mutex_init(&preparer->mutex) < 0) return false;
    if (uv_cond_init(&preparer->cond) < 0) goto failed_cond;
    if (uv_thread_create(&preparer->thread, preparer_run, preparer) < 0) goto failed_thread;
    atomic_store(&preparer->is_running, true);
    preparer_wake(preparer); /* for what was asked before it could be told */
    return true;
failed_thread:
    uv_cond_destroy(&preparer->cond);
failed_cond:
    uv_mutex_destroy(&preparer->mutex);
    return false;
}

void preparer_wake(struct preparer *preparer) {
    if (!atomic_load(&preparer->is_running)) return;
    uv_mutex_lock(&preparer->mutex);
    preparer->is_told = true;
    uv_cond_signal(&preparer->cond);
    uv_mutex_unlock(&preparer->mutex);
}

void preparer_end(struct preparer *preparer) {
    if (!atomic_exchange(&preparer->is_running, false)) return;
    uv_mutex_lock(&preparer->mutex);
    preparer->is_stopping = true;
    uv_cond_signal(&preparer->cond);
    uv_mutex_unlock(&preparer->mutex);
    uv_thread_join(&preparer->thread);
    uv_cond_destroy(&preparer->cond);
    uv_mutex_destroy(&preparer->mutex);
}
