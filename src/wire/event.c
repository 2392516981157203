/* Events as notifications: [2, "event", [{watch, seq, kind, ...}]]. See codec.h. Pure; any thread. */
#include "wire/codec.h"

#include <assert.h>

static void pair_uint(struct buf *out, const char *key, uint64_t value) {
    mp_write_string(out, key);
    mp_write_uint(out, value);
}

/* What an event does not have is left out. */
static void pair_text(struct buf *out, const char *key, struct bytes text) {
    if (bytes_is_absent(text)) return;
    mp_write_string(out, key);
    mp_write_str(out, text);
}

/* Id, at and version are always there. */
static uint32_t count_session_pairs(const struct event *event, bool has_data) {
    return 3u + !bytes_is_absent(event->user) + !bytes_is_absent(event->client) + !bytes_is_absent(event->pool) +
           !bytes_is_absent(event->reason) + has_data;
}

static void write_session_pairs(struct buf *out, const struct event *event, bool has_data) {
    pair_text(out, event->is_hashed ? "handle" : "id", event->id);
    pair_text(out, "user", event->user);
    pair_text(out, "client", event->client);
    pair_text(out, "pool", event->pool);
    mp_write_string(out, "at");
    mp_write_int(out, event->at);
    pair_uint(out, "version", event->version);
    pair_text(out, "reason", event->reason);
    if (!has_data) return;
    mp_write_string(out, "data");
    mp_write_raw(out, event->data);
}

void codec_write_event(struct buf *out, const struct event *event, const struct event_extra *extra) {
    bool is_lagged = event->kind == EVENT_LAGGED, has_data = extra->wants_data && !bytes_is_absent(event->data);
    assert(event->kind > EVENT_NONE && event->kind < EVENT_END);
    mp_write_array(out, 3);
    mp_write_uint(out, 2);
    mp_write_string(out, "event");
    mp_write_array(out, 1);
    mp_write_map(out, 3 + (is_lagged ? 1 : count_session_pairs(event, has_data)));
    pair_uint(out, "watch", extra->watch);
    pair_uint(out, "seq", extra->seq);
    mp_write_string(out, "kind");
    mp_write_string(out, event_name(event->kind));
    if (is_lagged)
        pair_uint(out, "missed", event->missed);
    else
        write_session_pairs(out, event, has_data);
}
