/* The URL of a server, taken apart. Pure; any thread. */
#ifndef CLIENT_URL_H
#define CLIENT_URL_H

#include "sessiond/client.h"

enum { URL_ENDPOINTS_MAX = 16, URL_HOST_MAX = 255, URL_PATH_MAX = 107 /* what sun_path holds */ };

struct endpoint {
    bool is_unix;
    uint16_t port;               /* of a host */
    char name[URL_HOST_MAX + 1]; /* the host's name or address without brackets, or the socket's path */
};

struct url {
    struct endpoint endpoints[URL_ENDPOINTS_MAX];
    size_t endpoint_count;                                 /* at least 1 */
    char namespace_name[SESSIOND_LIMIT_MAX_NAMESPACE + 1]; /* "" where none was given */
};

/* Takes a URL apart; answers 0, or SESSIOND_ERROR_URL with a sentence in *error. client.h has the grammar. */
int url_parse(const char *text, struct url *url, struct sessiond_error *error);

/* "127.0.0.1:7420", "[::1]:7420" or "unix:/run/sessiond.sock", for messages; cut to fit. */
void endpoint_print(const struct endpoint *endpoint, char *text, size_t size);

#endif
