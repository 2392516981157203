/* Sockets of the blocking client: connected within a deadline, and never blocking afterwards. Any thread. */
#ifndef CLIENT_SOCKET_H
#define CLIENT_SOCKET_H

#include "sessiond/client.h"
#include "url.h"

int64_t clock_now_ms(void); /* of a clock that does not jump */

/* Connects to one endpoint, trying each address of its name; answers the socket, or -1 with *error filled. The name's
 * lookup is the system's and is not bounded by the deadline. */
int socket_connect(const struct endpoint *endpoint, int64_t deadline_ms, struct sessiond_error *error);

/* Waits until the socket can be read or, if `for_write`, written; false: the deadline passed first. */
bool socket_wait(int fd, bool for_read, bool for_write, int64_t deadline_ms);

#endif
