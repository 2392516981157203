/* MessagePack as text, by msgpack-c: an opinion of another library on what ours writes. */
#ifndef E2E_CLIENT_MP_TEXT_H
#define E2E_CLIENT_MP_TEXT_H

#include <msgpack.h>
#include <stdio.h>
#include <string.h>

#include "sessiond/client.h"

/* The value as msgpack-c prints it; the bytes must be exactly one value. Valid until the next call. */
static inline const char *mp_text(const void *bytes, size_t size) {
    static char text[1 << 16];
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    size_t used = 0;
    text[0] = '\0';
    if (msgpack_unpack_next(&unpacked, bytes, size, &used) == MSGPACK_UNPACK_SUCCESS && used == size)
        msgpack_object_print_buffer(text, sizeof text, unpacked.data);
    else
        strcpy(text, "not one value");
    msgpack_unpacked_destroy(&unpacked);
    return text;
}

/* A string literal of MessagePack bytes as a value. */
#define MP(literal) ((struct sessiond_bytes){"" literal, sizeof(literal) - 1})

#endif
