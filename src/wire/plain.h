/* The shapes in which nearly every request comes, read without a call.
 *
 * Each of these reads one thing if it stands there whole, in its usual form and within its bounds. Else it answers
 * false and has moved nothing: then the general way reads it, or says what is wrong with it. So nothing is accepted
 * here that the general way would not accept, and nothing is refused. The cursor has no error. For decode.c. */
#ifndef WIRE_PLAIN_H
#define WIRE_PLAIN_H

#include "base/mp.h"
#include "base/utf8.h"

#define PLAIN inline __attribute__((always_inline))

/* Past a fixarray's head. */
static PLAIN bool plain_array(struct mp_cursor *cursor, uint32_t *count) {
    size_t left = (size_t)(cursor->end - cursor->at);
    if (left == 0 || (*cursor->at & 0xf0) != 0x90 || (*cursor->at & 0x0fu) >= left) return false;
    *count = *cursor->at++ & 0x0fu;
    return true;
}

/* [0, msgid, of an array of four, the msgid as a positive fixint or in one, two or four bytes. */
static PLAIN bool plain_envelope(struct mp_cursor *cursor, uint64_t *msgid) {
    const uint8_t *at = cursor->at;
    if (cursor->end - at < 8 || at[0] != 0x94 || at[1] != 0x00) return false;
    uint8_t form = at[2];
    if (form < 0x80) {
        *msgid = form;
        cursor->at = at + 3;
        return true;
    }
    if (form < 0xcc || form > 0xce) return false;
    uint32_t number;
    unsigned size = 1u << (form - 0xcc);
    memcpy(&number, at + 3, sizeof number);
    *msgid = __builtin_bswap32(number) >> (32 - 8 * size);
    cursor->at = at + 3 + size;
    return true;
}

/* A fixstr. */
static PLAIN bool plain_word(struct mp_cursor *cursor, struct bytes *out) {
    size_t left = (size_t)(cursor->end - cursor->at);
    if (left == 0 || (*cursor->at & 0xe0) != 0xa0 || (*cursor->at & 0x1fu) >= left) return false;
    *out = bytes_of(cursor->at + 1, *cursor->at & 0x1fu);
    cursor->at += 1 + out->size;
    return true;
}

/* A fixstr or a str8 of 1 to `max` bytes, all of them ASCII. */
static PLAIN bool plain_text(struct mp_cursor *cursor, size_t max, struct bytes *out) {
    size_t left = (size_t)(cursor->end - cursor->at);
    if (left < 2) return false;
    const uint8_t *data = cursor->at + 1;
    size_t size = *cursor->at ^ 0xa0u;
    if (*cursor->at == 0xd9)
        size = *data++, left--;
    else if (size >= 32)
        return false;
    if (size == 0 || size > max || size >= left || !utf8_is_ascii(bytes_of(data, size))) return false;
    *out = bytes_of(data, size);
    cursor->at = data + size;
    return true;
}

/* Whether both are the same `size` bytes, at least 8. Names of methods are 8 to 24 bytes: three words hold them. */
static PLAIN bool plain_is_name(const uint8_t *name, const char *known, size_t size) {
    if (size > 24) return memcmp(name, known, size) == 0;
    const uint8_t *other = (const uint8_t *)known;
    size_t middle = size > 16 ? 8 : 0;
    uint64_t difference = utf8_word(name) ^ utf8_word(other);
    difference |= utf8_word(name + middle) ^ utf8_word(other + middle);
    difference |= utf8_word(name + size - 8) ^ utf8_word(other + size - 8);
    return difference == 0;
}

#endif
