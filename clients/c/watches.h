/* What a client keeps of its watches: so that each goes on, and says so, after its connection was lost, and so that
 * events that nobody takes stay bounded.
 *
 * Always true: a watch has one number for its caller, never used twice in a client, whatever number the server gives it
 * on each connection. Every loss of events is told: by a lagged event of the server or of this side, by
 * SESSIOND_EVENT_RESUMED after a new connection, or by SESSIOND_EVENT_STOPPED. One thread, that of the exchange. */
#ifndef CLIENT_WATCHES_H
#define CLIENT_WATCHES_H

#include "base/list.h"
#include "results.h"

struct exchange;
struct pending;

struct watches {
    struct list all;   /* of struct watch */
    struct list queue; /* events that were not taken yet, oldest first; only where exchange.event is NULL */
    size_t queued_bytes;
    int64_t next_number;
    unsigned resuming_count; /* whose requests to start again are not answered yet */
};

void watches_init(struct watches *watches);
void watches_fini(struct watches *watches);

/* A pending is about to be answered by `incoming`: a watch that began is remembered (its request is taken over, and the
 * answer gets the caller's number, encoded in `room`), one that was stopped is forgotten. */
enum { WATCH_ANSWER_MAX = 16 };
void watches_answered(struct exchange *exchange, struct pending *pending, struct incoming *incoming,
                      uint8_t room[WATCH_ANSWER_MAX]);
/* Writes a watch.stop with the server's number in place of the caller's. */
void watches_write_stop(struct exchange *exchange, struct sessiond_request *request);

/* The connection is gone: no watch runs. */
void watches_lost(struct exchange *exchange);
/* A connection was greeted: asks for all watches again. False: there are none, nothing is to be waited for. */
bool watches_resume(struct exchange *exchange);
/* Whether a reply is one to that; then it is dealt with. */
bool watches_take_reply(struct exchange *exchange, const struct incoming *incoming);

/* A notification came. */
void watches_take_event(struct exchange *exchange, const struct incoming *incoming);
/* The oldest event that was kept; NULL: none. To be given back by the caller. */
struct sessiond_event *watches_next_event(struct exchange *exchange);

#endif
