/* Requests written as text, for tests: [ ] { } nil true false, numbers, 'texts', and x'c0ff' for raw bytes. Commas and
 * colons are only for the reader. */
#ifndef TESTS_WIRE_REQUEST_H
#define TESTS_WIRE_REQUEST_H

#include <stdio.h>
#include <stdlib.h>

#include "base/mp.h"

/* Counts the values of a container up to its closing bracket. */
static inline uint32_t text_count(const char *at) {
    uint32_t count = 0, depth = 0;
    for (; *at; at++) {
        if (strchr(" ,:", *at)) continue;
        if (*at == ']' || *at == '}') {
            if (depth-- == 0) return count;
            continue;
        }
        if (depth == 0) count++;
        if (*at == '[' || *at == '{')
            depth++;
        else if (*at == '\'' || *at == 'x')
            at = strchr(strchr(at, '\'') + 1, '\'');
        else
            while (at[1] && !strchr(" ,:[]{}", at[1])) at++;
    }
    abort(); /* a bracket is missing in the test itself */
}

static inline void write_hex(struct buf *out, const char *at, size_t digits) {
    for (size_t i = 0; i < digits; i += 2) {
        unsigned byte;
        if (sscanf(at + i, "%2x", &byte) != 1) abort();
        uint8_t small = (uint8_t)byte;
        buf_append(out, &small, 1);
    }
}

/* Appends every value of the text. */
static inline void write_text(struct buf *out, const char *at) {
    while (*at) {
        char *end = (char *)at + 1;
        if (strchr(" ,:]}", *at)) {
        } else if (*at == '[')
            mp_write_array(out, text_count(at + 1));
        else if (*at == '{')
            mp_write_map(out, text_count(at + 1) / 2);
        else if (*at == '\'' || *at == 'x') {
            bool is_raw = *at == 'x';
            at += is_raw ? 2 : 1;
            end = strchr(at, '\'');
            if (is_raw)
                write_hex(out, at, (size_t)(end - at));
            else
                mp_write_str(out, bytes_of(at, (size_t)(end - at)));
            end++;
        } else if (!strncmp(at, "nil", 3))
            mp_write_nil(out), end = (char *)at + 3;
        else if (!strncmp(at, "true", 4))
            mp_write_bool(out, true), end = (char *)at + 4;
        else if (!strncmp(at, "false", 5))
            mp_write_bool(out, false), end = (char *)at + 5;
        else {
            double number = strtod(at, &end);
            if (memchr(at, '.', (size_t)(end - at)))
                mp_write_double(out, number);
            else
                mp_write_int(out, strtoll(at, &end, 10));
        }
        at = end;
    }
}

#endif
