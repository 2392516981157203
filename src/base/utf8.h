/* Is it UTF-8? Asked of every name that comes from outside, so ASCII, which nearly all of them are, is checked eight
 * bytes at a time and inline. Pure; any thread. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include "sessiond/bytes.h"

/* The general way: well-formed as Unicode defines it (shortest forms only, no surrogates, up to U+10FFFF). */
bool utf8_is_valid_slow(struct bytes text);

static inline uint64_t utf8_word(const uint8_t *at) {
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

static inline uint64_t utf8_half_word(const uint8_t *at) {
    uint32_t half;
    memcpy(&half, at, sizeof half);
    return half;
}

/* True if no byte is above 127; text.data is not NULL. The last words overlap those before: cheaper than a loop over
 * the rest. */
static inline bool utf8_is_ascii(struct bytes text) {
    uint64_t all = 0;
    const uint8_t *at = text.data, *end = at + text.size;
    if (text.size >= 16) {
        for (; end - at > 16; at += 16) all |= utf8_word(at) | utf8_word(at + 8);
        all |= utf8_word(end - 16) | utf8_word(end - 8);
    } else if (text.size >= 8) {
        all = utf8_word(at) | utf8_word(end - 8);
    } else if (text.size >= 4) {
        all = utf8_half_word(at) | utf8_half_word(end - 4);
    } else {
        for (; at < end; at++) all |= *at;
    }
    return (all & UINT64_C(0x8080808080808080)) == 0;
}

/* True for well-formed UTF-8, the empty text included; text.data is not NULL. */
static inline bool utf8_is_valid(struct bytes text) {
    return utf8_is_ascii(text) || utf8_is_valid_slow(text);
}

#endif
