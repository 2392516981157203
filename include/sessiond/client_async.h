/* libsessiond on a libuv loop of the caller's: requests with callbacks, pipelined, never blocking.
 *
 * What is always true:
 * - Each request gets exactly one callback, on the loop's thread, and never from within the call that sent it (the one
 *   exception: after sessiond_async_close). An error of the server, a lost connection, a timeout, a full queue and the
 *   closing of the client are all replies with an error.
 * - What is sent in one turn of the loop goes out in one write, in the order in which it was sent.
 * - A lost connection is made again with growing pauses. Requests wait for it until their timeout; those that were on
 *   their way are repeated if they are reads or carry an op_id.
 * - All functions are to be called on the loop's thread. An open client keeps the loop running. */
#ifndef SESSIOND_CLIENT_ASYNC_H
#define SESSIOND_CLIENT_ASYNC_H

#include <uv.h>

#include "sessiond/client.h"

#ifdef __cplusplus
extern "C" {
#endif

struct sessiond_async;

/* Takes the reply over: give it to sessiond_free, or to one of sessiond_reply_record and its like. reply->error.code
 * says whether it is an error. NULL: memory for the reply was lacking. It may send, and may close the client. */
typedef void (*sessiond_async_callback)(struct sessiond_reply *reply, void *data);

struct sessiond_async_options {
    struct sessiond_client_options client; /* timeout_ms is of each request; max_in_flight of all that wait */
    uint32_t max_offline; /* requests that may wait while there is no connection; more are OVERLOADED; 0: 1,024 */
};

/* Opens a client and begins to connect. Only a bad URL and a lack of memory fail here: the code is answered, *error
 * says more (it may be NULL) and *async is NULL. */
SESSIOND_API int sessiond_async_open(uv_loop_t *loop, const char *url, const struct sessiond_async_options *options,
                                     struct sessiond_async **async, struct sessiond_error *error);

/* Sends a request, which it takes over, as one of the sessiond_..._request functions made it. */
SESSIOND_API void sessiond_async_send(struct sessiond_async *async, struct sessiond_request *request,
                                      sessiond_async_callback callback, void *data);

/* Sends a request of any method; `params` is one encoded array and is copied. */
SESSIOND_API void sessiond_async_call(struct sessiond_async *async, const char *method, struct sessiond_bytes params,
                                      sessiond_async_callback callback, void *data);

/* Takes the event over: give it to sessiond_free. It may send, and may close the client. */
typedef void (*sessiond_async_event_callback)(struct sessiond_event *event, void *data);

/* Says who gets the events of all watches (sessiond_watch_start_request); NULL: nobody, they are dropped. After a lost
 * connection each watch goes on by itself, with SESSIOND_EVENT_RESUMED first. Comes from the loop only. */
SESSIOND_API void sessiond_async_on_event(struct sessiond_async *async, sessiond_async_event_callback callback,
                                          void *data);

/* The URL's namespace, for the sessiond_..._request functions; "" where it has none. Valid until the client is gone. */
SESSIOND_API const char *sessiond_async_namespace(const struct sessiond_async *async);

/* Whether requests go out at once. */
SESSIOND_API bool sessiond_async_is_connected(const struct sessiond_async *async);

/* How many requests have not been answered yet. */
SESSIOND_API size_t sessiond_async_pending_count(const struct sessiond_async *async);

/* Closes the client: what waits is answered with CLOSED, then `closed` is called (it may be NULL) and the client is
 * gone. All of that comes later, from the loop. A request that is sent in between is answered with CLOSED at once. */
SESSIOND_API void sessiond_async_close(struct sessiond_async *async, void (*closed)(void *data), void *data);

#ifdef __cplusplus
}
#endif

#endif
