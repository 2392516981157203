/* Addresses as text and as what the system wants. Names are not looked up: what a server listens on should not depend
 * on what a name server answers today. */
#include "config/address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

static const char *const ACCEPTED = "give an IPv4 or IPv6 address such as 127.0.0.1 or ::1, localhost, or none";

static bool refuse_url(const char *text, char *error, size_t error_size) {
    if (strncmp(text, "sessiond+unix://", 16) == 0)
        snprintf(error, error_size, "is a URL of a Unix socket; give its path as unix_socket");
    else if (strncmp(text, "sessionds", 9) == 0)
        snprintf(error, error_size, "asks for TLS, which this version does not have; %s", ACCEPTED);
    else
        snprintf(error, error_size, "is a URL; %s, and the port as port", ACCEPTED);
    return false;
}

static void set_v4(struct address *address, struct in_addr in, int port) {
    struct sockaddr_in *out = (struct sockaddr_in *)&address->socket_address;
    out->sin_family = AF_INET;
    out->sin_addr = in;
    out->sin_port = htons((uint16_t)port);
    address->size = sizeof *out;
    address->is_loopback = (ntohl(in.s_addr) >> 24) == 127;
}

static void set_v6(struct address *address, struct in6_addr in, int port) {
    struct sockaddr_in6 *out = (struct sockaddr_in6 *)&address->socket_address;
    out->sin6_family = AF_INET6;
    out->sin6_addr = in;
    out->sin6_port = htons((uint16_t)port);
    address->size = sizeof *out;
    address->is_loopback = IN6_IS_ADDR_LOOPBACK(&in) || (IN6_IS_ADDR_V4MAPPED(&in) && in.s6_addr[12] == 127);
}

bool address_parse(const char *text, int port, struct address *address, char *error, size_t error_size) {
    struct in_addr v4;
    struct in6_addr v6;
    char bare[INET6_ADDRSTRLEN];
    size_t size = strlen(text);
    *address = (struct address){0};
    if (strstr(text, "://")) return refuse_url(text, error, error_size);
    if (strcmp(text, "none") == 0) {
        address->is_none = true;
        return true;
    }
    if (strcmp(text, "localhost") == 0) text = "127.0.0.1";
    if (size > 2 && size < sizeof bare && text[0] == '[' && text[size - 1] == ']') {
        snprintf(bare, sizeof bare, "%.*s", (int)(size - 2), text + 1);
        text = bare;
    }
    if (inet_pton(AF_INET, text, &v4) == 1) {
        set_v4(address, v4, port);
        return true;
    }
    if (inet_pton(AF_INET6, text, &v6) == 1) {
        set_v6(address, v6, port);
        return true;
    }
    snprintf(error, error_size, "is no address; %s", ACCEPTED);
    return false;
}

void address_format(const struct sockaddr_storage *socket_address, char *out, size_t out_size) {
    char text[INET6_ADDRSTRLEN] = "?";
    if (socket_address->ss_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)socket_address;
        inet_ntop(AF_INET, &in->sin_addr, text, sizeof text);
        snprintf(out, out_size, "%s:%d", text, ntohs(in->sin_port));
    } else if (socket_address->ss_family == AF_INET6) {
        const struct sockaddr_in6 *in = (const struct sockaddr_in6 *)socket_address;
        inet_ntop(AF_INET6, &in->sin6_addr, text, sizeof text);
        snprintf(out, out_size, "[%s]:%d", text, ntohs(in->sin6_port));
    } else {
        snprintf(out, out_size, "unix");
    }
}
