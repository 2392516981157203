/* Events as notifications: [2, "event", [{watch, seq, kind, ...}]]. See codec.h. Pure; any thread. */
#include "wire/codec.h"

#include <assert.h>

static void pair_uint(struct buf *out, const char *key, uint64_t value) {
    mp_write_string(out, key);
    mp_write_uint(out, value);
}

/* What an event does not have is left out; answers whether it has it. */
static uint32_t pair_text(struct buf *out, const char *key, struct bytes text) {
    if (bytes_is_absent(text)) return 0;
    mp_write_string(out, key);
    mp_write_str(out, text);
    return 1;
}

static uint32_t write_session_pairs(struct buf *out, const struct event *event, const struct event_extra *extra) {
    uint32_t pairs = 2;
    pairs += pair_text(out, extra->is_hashed ? "handle" : "id", event->id);
    pairs += pair_text(out, "user", event->user);
    pairs += pair_text(out, "client", event->client);
    pairs += pair_text(out, "pool", event->pool);
    mp_write_string(out, "at");
    mp_write_int(out, event->at);
    pair_uint(out, "version", event->version);
    pairs += pair_text(out, "reason", event->reason);
    if (!extra->wants_data || bytes_is_absent(event->data)) return pairs;
    mp_write_string(out, "data");
    mp_write_raw(out, event->data);
    return pairs + 1;
}

void codec_write_event(struct buf *out, const struct event *event, const struct event_extra *extra) {
    assert(event->kind > EVENT_NONE && event->kind < EVENT_END);
    mp_write_array(out, 3);
    mp_write_uint(out, 2);
    mp_write_string(out, "event");
    mp_write_array(out, 1);
    size_t begin = mp_begin_map(out);
    uint32_t pairs = 3;
    pair_uint(out, "watch", extra->watch);
    pair_uint(out, "seq", extra->seq);
    mp_write_string(out, "kind");
    mp_write_string(out, event_name(event->kind));
    if (event->kind == EVENT_LAGGED) {
        pair_uint(out, "missed", event->missed);
        pairs++;
    } else {
        pairs += write_session_pairs(out, event, extra);
    }
    mp_end_map(out, begin, pairs);
}
