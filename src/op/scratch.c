/* See scratch.h. */
#include "op/scratch.h"

#include <stdlib.h>

enum { SCRATCH_SIZE_MIN = 1024 };

uint8_t *scratch_reserve(struct scratch *scratch, size_t more) {
    if (scratch->capacity - scratch->size < more) {
        size_t capacity = scratch->capacity ? scratch->capacity : SCRATCH_SIZE_MIN;
        while (capacity - scratch->size < more) capacity *= 2;
        uint8_t *data = realloc(scratch->data, capacity);
        if (!data) return NULL;
        scratch->data = data;
        scratch->capacity = capacity;
    }
    return scratch->data + scratch->size;
}
