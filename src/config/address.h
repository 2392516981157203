/* The address that `bind` names. Pure; any thread. */
#ifndef CONFIG_ADDRESS_H
#define CONFIG_ADDRESS_H

#include "sessiond/bytes.h"

#include <sys/socket.h>

struct address {
    bool is_none;                           /* no TCP at all */
    bool is_loopback;                       /* only this machine can reach it */
    struct sockaddr_storage socket_address; /* with the port */
    socklen_t size;
};

/* Reads an IPv4 or IPv6 address (in brackets or not), "localhost" or "none". False: `error` holds a sentence that says
 * what is accepted. */
bool address_parse(const char *text, int port, struct address *address, char *error, size_t error_size);
/* "127.0.0.1:7420" or "[::1]:7420". */
void address_format(const struct sockaddr_storage *socket_address, char *out, size_t out_size);

#endif
