/* A borrowed run of bytes: the one way in which texts and values are passed.
 *
 * `data` NULL means "absent"; a present but empty run has a non-NULL data and size 0. Whoever holds a
 * `struct bytes` never frees it; the function that hands it out says how long it stays valid. */
#ifndef SESSIOND_BYTES_H
#define SESSIOND_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct bytes {
    const uint8_t *data; /* NULL: absent */
    size_t size;         /* bytes */
};

#define BYTES_ABSENT ((struct bytes){NULL, 0})
/* A string literal as bytes, without its NUL. */
#define BYTES_LITERAL(text) ((struct bytes){(const uint8_t *)("" text), sizeof(text) - 1})

static inline struct bytes bytes_of(const void *data, size_t size) {
    return (struct bytes){(const uint8_t *)data, size};
}

/* A NUL-terminated string as bytes; NULL is absent. */
static inline struct bytes bytes_of_string(const char *text) {
    return (struct bytes){(const uint8_t *)text, text ? strlen(text) : 0};
}

static inline bool bytes_is_absent(struct bytes bytes) { return bytes.data == NULL; }

/* Two absent runs are equal; an absent and an empty one are not. */
static inline bool bytes_equal(struct bytes a, struct bytes b) {
    return a.size == b.size && (a.data == NULL) == (b.data == NULL) &&
           (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static inline bool bytes_has_prefix(struct bytes bytes, struct bytes prefix) {
    return bytes.size >= prefix.size && (prefix.size == 0 || memcmp(bytes.data, prefix.data, prefix.size) == 0);
}

#endif
