/* Sets of the tags "a" to "h", each a number of eight bits: many sets that share their tags. */
#ifndef SUPPORT_TAG_BITS_H
#define SUPPORT_TAG_BITS_H

#include "sessiond/bytes.h"

#define TAG_BITS_SIZE 17 /* bytes of the largest set */

/* The set of those tags that have a bit, as a session has it; stands in `text`. */
static inline struct bytes tags_of_bits(unsigned bits, uint8_t text[TAG_BITS_SIZE]) {
    size_t size = 1;
    for (unsigned i = 0; i < 8; i++) {
        if (!(bits >> i & 1)) continue;
        text[size++] = 0xa1;
        text[size++] = (uint8_t)('a' + i);
    }
    text[0] = (uint8_t)(0x90 | (size - 1) / 2);
    return bytes_of(text, size);
}

#endif
