/* Watches over several connections.
 *
 * The happy path: the answer to watch.start makes a watch; each event finds it by the server's number and is handed on
 * under the caller's. What can fail: the connection (all watches are asked for again before anything else is sent, and
 * each says that it was interrupted), the asking (the watch is over, and says so), a caller that takes no events (those
 * that find no room are counted, and told as one). */
#include "watches.h"

#include <stdlib.h>
#include <string.h>

#include "exchange.h"
#include "failure.h"
#include "request.h"
#include "shape.h"

struct watch {
    struct list link;
    int64_t number;                   /* the caller's */
    int64_t server_number;            /* on the connection that is open; 0: it does not run */
    uint32_t msgid;                   /* of the request that starts it again; 0: none is under way */
    uint64_t missed, missed_seq;      /* events that found no room, and the last one's seq */
    struct sessiond_request *request; /* the one that started it; owned */
};

/* An event in the queue. */
struct queued {
    struct list link;
    struct sessiond_event *event; /* owned */
    size_t size;
};

void watches_init(struct watches *watches) {
    *watches = (struct watches){.next_number = 1};
    list_init(&watches->all);
    list_init(&watches->queue);
}

static void drop_watch(struct watch *watch) {
    list_remove(&watch->link);
    sessiond_request_free(watch->request);
    free(watch);
}

static struct queued *oldest(const struct watches *watches) {
    return list_is_empty(&watches->queue) ? NULL : LIST_ENTRY(watches->queue.next, struct queued, link);
}

/* Takes an entry out of the queue and answers its event. */
static struct sessiond_event *dequeue(struct watches *watches, struct queued *queued) {
    struct sessiond_event *event = queued->event;
    list_remove(&queued->link);
    watches->queued_bytes -= queued->size;
    free(queued);
    return event;
}

void watches_fini(struct watches *watches) {
    while (!list_is_empty(&watches->all)) drop_watch(LIST_ENTRY(watches->all.next, struct watch, link));
    for (struct queued *queued; (queued = oldest(watches));) sessiond_free(dequeue(watches, queued));
}

#define EACH_WATCH(watches, watch)                                                                                     \
    for (struct list *link = (watches)->all.next, *next;                                                               \
         link != &(watches)->all && (watch = LIST_ENTRY(link, struct watch, link), next = link->next, true);           \
         link = next)

static struct watch *find_number(struct watches *watches, int64_t number) {
    struct watch *watch;
    EACH_WATCH(watches, watch) if (watch->number == number) return watch;
    return NULL;
}

static struct watch *find_server_number(struct watches *watches, int64_t number) {
    struct watch *watch;
    EACH_WATCH(watches, watch) if (number && watch->server_number == number) return watch;
    return NULL;
}

/* ---------------------------------------------------------------- starting and stopping */

/* The number under the key "watch" of a map; 0: there is none. */
static int64_t read_watch(struct bytes map) {
    struct mp_cursor cursor = mp_cursor_of(map);
    int64_t number = 0;
    for (uint32_t left = mp_peek(&cursor) == MP_MAP ? mp_read_map(&cursor) : 0; left > 0 && !cursor.error; left--) {
        bool is_watch = is_key(read_text(&cursor), "watch");
        int64_t value = read_number(&cursor, 0);
        if (is_watch) number = value;
    }
    return number;
}

static bool is_nil(struct bytes value) {
    return value.size == 1 && value.data[0] == 0xc0;
}

/* Where the options of a watch.stop name the watch, in the request's own bytes; absent: nowhere. */
static struct bytes named_watch(const struct sessiond_request *request) {
    struct mp_cursor cursor = mp_cursor_of(bytes_of(request->frame.data, request->frame.size));
    mp_read_array(&cursor);
    for (int i = 0; i < 3; i++) mp_read_value(&cursor, REPLY_DEPTH_MAX); /* type, msgid, method */
    uint32_t params = mp_read_array(&cursor);
    if (params > 0) mp_read_value(&cursor, REPLY_DEPTH_MAX);
    struct bytes found = BYTES_ABSENT;
    for (uint32_t left = params > 1 && mp_peek(&cursor) == MP_MAP ? mp_read_map(&cursor) : 0; left > 0 && !cursor.error;
         left--) {
        bool is_watch = is_key(read_text(&cursor), "watch");
        struct bytes value = mp_read_value(&cursor, REPLY_DEPTH_MAX);
        if (is_watch) found = value;
    }
    return found;
}

static struct watch *stopped_watch(struct watches *watches, const struct sessiond_request *request) {
    struct mp_cursor cursor = mp_cursor_of(named_watch(request));
    return cursor.at == cursor.end ? NULL : find_number(watches, read_number(&cursor, 0));
}

static void begin_watch(struct exchange *exchange, struct pending *pending, struct incoming *incoming,
                        uint8_t room[WATCH_ANSWER_MAX]) {
    int64_t server_number = read_watch(incoming->result);
    struct watch *watch = server_number > 0 ? calloc(1, sizeof *watch) : NULL;
    if (!watch) return; /* without memory its events are not understood: it is as if it were stopped at once */
    watch->number = exchange->watches.next_number++;
    watch->server_number = server_number;
    watch->request = pending->request;
    exchange->held_bytes -= pending->request->frame.size;
    pending->request = NULL;
    list_append(&exchange->watches.all, &watch->link);
    memcpy(room, "\x81\xa5watch", 7);
    uint8_t *end = mp_put_uint(room + 7, (uint64_t)watch->number);
    incoming->result = bytes_of(room, (size_t)(end - room));
}

void watches_answered(struct exchange *exchange, struct pending *pending, struct incoming *incoming,
                      uint8_t room[WATCH_ANSWER_MAX]) {
    if (pending->request->purpose == REQUEST_OTHER || !is_nil(incoming->error)) return;
    if (pending->request->purpose == REQUEST_WATCH_START) {
        begin_watch(exchange, pending, incoming, room);
        return;
    }
    struct watch *watch = stopped_watch(&exchange->watches, pending->request);
    if (watch) drop_watch(watch);
}

void watches_write_stop(struct exchange *exchange, struct sessiond_request *request) {
    struct buf *frame = &request->frame;
    struct bytes named = named_watch(request);
    struct watch *watch = stopped_watch(&exchange->watches, request);
    if (!watch) {
        buf_append(&exchange->out, frame->data, frame->size);
        return;
    }
    buf_append(&exchange->out, frame->data, (size_t)(named.data - frame->data));
    mp_write_int(&exchange->out, watch->server_number);
    const uint8_t *rest = named.data + named.size;
    buf_append(&exchange->out, rest, (size_t)(frame->data + frame->size - rest));
}

/* ---------------------------------------------------------------- events */

static bool event_entry(void *result, struct bytes key, struct block *block, struct mp_cursor *cursor) {
    struct sessiond_event *event = result;
    const struct {
        const char *name;
        struct sessiond_text *text;
    } texts[] = {{"id", &event->id},         {"handle", &event->handle}, {"user", &event->user},
                 {"client", &event->client}, {"pool", &event->pool},     {"reason", &event->reason}};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (is_key(key, texts[i].name)) {
            *texts[i].text = block_text(block, cursor);
            return true;
        }
    if (is_key(key, "watch"))
        event->watch = read_number(cursor, 0);
    else if (is_key(key, "seq"))
        event->seq = (uint64_t)read_number(cursor, 0);
    else if (is_key(key, "kind"))
        event->kind_name = block_text(block, cursor);
    else if (is_key(key, "at"))
        event->at = read_number(cursor, 0);
    else if (is_key(key, "version"))
        event->version = (uint64_t)read_number(cursor, 0);
    else if (is_key(key, "missed"))
        event->missed = (uint64_t)read_number(cursor, 0);
    else if (is_key(key, "data"))
        event->data = block_value(block, cursor);
    else
        return false;
    return true;
}

/* The event of an encoded map; NULL: it is none, or memory is lacking. Texts and values need as many bytes as the map
 * has, and the whole map as many again. */
static struct sessiond_event *event_make(struct bytes map) {
    struct block block;
    struct sessiond_event *event = block_make(&block, sizeof *event, 0, 2 * map.size);
    struct mp_cursor cursor = mp_cursor_of(map);
    if (!event) return NULL;
    map_read(&cursor, event_entry, event, &block);
    cursor.error = cursor.error || cursor.at != cursor.end ? MP_MISTYPED : MP_OK;
    struct mp_cursor whole = mp_cursor_of(map);
    event->value = block_value(&block, &whole);
    if (cursor.error || !event->kind_name.text) {
        sessiond_free(event);
        return NULL;
    }
    event->kind = (int)event_of_word(event->kind_name.text, event->kind_name.size);
    return event;
}

/* An event of this side, as the server would have sent it. */
static struct sessiond_event *event_of_client(const struct watch *watch, int kind, const char *word, uint64_t missed) {
    struct buf map = BUF_EMPTY;
    mp_write_map(&map, missed ? 4 : 2);
    mp_write_string(&map, "watch");
    mp_write_int(&map, watch->number);
    mp_write_string(&map, "kind");
    mp_write_string(&map, word);
    if (missed) {
        mp_write_string(&map, "seq");
        mp_write_uint(&map, watch->missed_seq);
        mp_write_string(&map, "missed");
        mp_write_uint(&map, missed);
    }
    struct sessiond_event *event = map.is_failed ? NULL : event_make(buf_bytes(&map));
    if (event) event->kind = kind;
    buf_fini(&map);
    return event;
}

static struct sessiond_event *event_lagged(struct watch *watch) {
    struct sessiond_event *event = event_of_client(watch, SESSIOND_EVENT_LAGGED, "lagged", watch->missed);
    if (event) watch->missed = 0;
    return event;
}

static bool enqueue(struct watches *watches, struct sessiond_event *event) {
    struct queued *queued = malloc(sizeof *queued);
    if (!queued) return false;
    *queued = (struct queued){.event = event, .size = sizeof *queued + sizeof *event + 2 * event->value.size};
    list_append(&watches->queue, &queued->link);
    watches->queued_bytes += queued->size;
    return true;
}

/* Hands an event on, or keeps it, or counts it as missed. NULL: it got lost for lack of memory. */
static void deliver(struct exchange *exchange, struct watch *watch, struct sessiond_event *event, uint64_t seq) {
    struct watches *watches = &exchange->watches;
    bool has_room = exchange->event || watches->queued_bytes < exchange->options.max_event_bytes;
    if (event && has_room && watch->missed) {
        struct sessiond_event *lagged = event_lagged(watch);
        if (lagged && exchange->event)
            exchange->event(exchange->holder, lagged);
        else if (lagged && !enqueue(watches, lagged))
            sessiond_free(lagged);
    }
    if (event && exchange->event) {
        exchange->event(exchange->holder, event);
    } else if (!event || !has_room || !enqueue(watches, event)) {
        watch->missed++;
        watch->missed_seq = seq;
        sessiond_free(event);
    }
}

void watches_take_event(struct exchange *exchange, const struct incoming *incoming) {
    struct mp_cursor method = mp_cursor_of(incoming->error), params = mp_cursor_of(incoming->result);
    if (!is_key(read_text(&method), "event") || mp_peek(&params) != MP_ARRAY || mp_read_array(&params) < 1) return;
    struct bytes map = mp_read_value(&params, REPLY_DEPTH_MAX);
    struct watch *watch = find_server_number(&exchange->watches, params.error ? 0 : read_watch(map));
    if (!watch) return; /* of one that was stopped meanwhile */
    struct sessiond_event *event = event_make(map);
    if (event) event->watch = watch->number;
    deliver(exchange, watch, event, event ? event->seq : watch->missed_seq + 1);
}

struct sessiond_event *watches_next_event(struct exchange *exchange) {
    struct queued *queued = oldest(&exchange->watches);
    if (queued) return dequeue(&exchange->watches, queued);
    struct watch *watch;
    EACH_WATCH(&exchange->watches, watch) if (watch->missed) return event_lagged(watch);
    return NULL;
}

/* ---------------------------------------------------------------- connections */

void watches_lost(struct exchange *exchange) {
    struct watch *watch;
    EACH_WATCH(&exchange->watches, watch) {
        watch->server_number = 0;
        watch->msgid = 0;
    }
    exchange->watches.resuming_count = 0;
}

bool watches_resume(struct exchange *exchange) {
    struct watch *watch;
    EACH_WATCH(&exchange->watches, watch) {
        watch->msgid = (uint32_t)exchange_new_ticket(exchange);
        request_set_msgid(watch->request, watch->msgid);
        buf_append(&exchange->out, watch->request->frame.data, watch->request->frame.size);
        exchange->watches.resuming_count++;
    }
    return exchange->watches.resuming_count > 0;
}

bool watches_take_reply(struct exchange *exchange, const struct incoming *incoming) {
    struct watch *watch = NULL, *found = NULL;
    EACH_WATCH(&exchange->watches, watch) if (watch->msgid == incoming->msgid) found = watch;
    if (!found) return false;
    found->msgid = 0;
    exchange->watches.resuming_count--;
    found->server_number = is_nil(incoming->error) ? read_watch(incoming->result) : 0;
    bool is_running = found->server_number > 0;
    /* What found no room before the connection was lost is part of the interruption. */
    found->missed = 0;
    deliver(exchange, found,
            event_of_client(found, is_running ? SESSIOND_EVENT_RESUMED : SESSIOND_EVENT_STOPPED,
                            is_running ? "resumed" : "stopped", 0),
            0);
    if (!is_running) drop_watch(found);
    return true;
}
