/* What the system says about the memory behind an address, for tests of the slab allocator. */
#ifndef UNIT_ENGINE_MEMORY_HUGE_PAGES_H
#define UNIT_ENGINE_MEMORY_HUGE_PAGES_H

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Whether the system may back the mapping that holds `block` by huge pages; -1 where it does not tell. */
static inline int huge_pages_wanted(const void *block) {
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    int wanted = -1;
    bool is_ours = false;
    while (maps && wanted < 0 && fgets(line, sizeof line, maps)) {
        uintptr_t from, to;
        if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " ", &from, &to) == 2)
            is_ours = from <= (uintptr_t)block && (uintptr_t)block < to;
        else if (is_ours && strncmp(line, "VmFlags:", 8) == 0)
            wanted = strstr(line, " hg") != NULL;
    }
    if (maps) fclose(maps);
    return wanted;
}

#endif
