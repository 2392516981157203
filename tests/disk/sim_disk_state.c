/* See sim_disk_state.h. */
#include "disk/sim_disk_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *must_have(void *memory) {
    if (memory) return memory;
    fprintf(stderr, "the simulated disk has no memory left\n");
    abort();
}

static void content_resize(struct buf *content, uint64_t size) {
    if (size <= content->size) {
        content->size = (size_t)size;
        return;
    }
    size_t more = (size_t)size - content->size;
    memset(must_have(buf_reserve(content, more)), 0, more);
    content->size = (size_t)size;
}

static void content_write(struct buf *content, uint64_t offset, const void *bytes, size_t size) {
    if (size == 0) return;
    if (content->size < offset + size) content_resize(content, offset + size);
    memcpy(content->data + offset, bytes, size);
}

void content_set(struct buf *content, struct bytes bytes) {
    content->size = 0;
    content_write(content, 0, bytes.data, bytes.size);
}

/* ---------------------------------------------------------------- names and inodes */

struct entry *names_find(struct names *names, const char *name) {
    for (size_t i = 0; i < names->count; i++)
        if (strcmp(names->entries[i].name, name) == 0) return &names->entries[i];
    return NULL;
}

void names_put(struct names *names, const char *name, struct inode *inode) {
    struct entry *entry = names_find(names, name);
    if (!entry) {
        if (names->count == FILES_MAX) must_have(NULL);
        entry = &names->entries[names->count++];
        snprintf(entry->name, sizeof entry->name, "%s", name);
    }
    entry->inode = inode;
}

void names_remove(struct names *names, const char *name) {
    struct entry *entry = names_find(names, name);
    if (entry) *entry = names->entries[--names->count];
}

static void names_play(struct names *names, const struct name_change *change) {
    switch (change->kind) {
    case NAME_MADE: names_put(names, change->name, change->inode); break;
    case NAME_REMOVED: names_remove(names, change->name); break;
    case NAME_MOVED:
        names_remove(names, change->name);
        names_put(names, change->to, change->inode);
        break;
    }
}

void name_changed(struct sim_disk *sim, enum name_kind kind, struct inode *inode, const char *name, const char *to) {
    struct name_change *change = must_have(calloc(1, sizeof *change));
    change->kind = kind;
    change->inode = inode;
    change->number = ++sim->number;
    snprintf(change->name, sizeof change->name, "%s", name);
    snprintf(change->to, sizeof change->to, "%s", to);
    list_append(&sim->name_changes, &change->link);
    names_play(&sim->now, change);
}

void names_sync(struct sim_disk *sim, uint64_t number) {
    while (!list_is_empty(&sim->name_changes)) {
        struct name_change *change = LIST_ENTRY(sim->name_changes.next, struct name_change, link);
        if (change->number > number) break;
        names_play(&sim->safe, change);
        list_remove(&change->link);
        free(change);
    }
}

struct inode *inode_make(struct sim_disk *sim) {
    struct inode *inode = must_have(calloc(1, sizeof *inode));
    list_init(&inode->changes);
    list_append(&sim->inodes, &inode->link);
    return inode;
}

static void changes_forget(struct inode *inode) {
    while (!list_is_empty(&inode->changes)) {
        struct change *change = LIST_ENTRY(inode->changes.next, struct change, link);
        list_remove(&change->link);
        free(change);
    }
}

void inode_free(struct inode *inode) {
    changes_forget(inode);
    buf_fini(&inode->safe);
    buf_fini(&inode->now);
    list_remove(&inode->link);
    free(inode);
}

static bool is_named(const struct names *names, const struct inode *inode) {
    for (size_t i = 0; i < names->count; i++)
        if (names->entries[i].inode == inode) return true;
    return false;
}

static bool is_in_changes(struct sim_disk *sim, const struct inode *inode) {
    for (struct list *link = sim->name_changes.next; link != &sim->name_changes; link = link->next)
        if (LIST_ENTRY(link, struct name_change, link)->inode == inode) return true;
    return false;
}

void inodes_sweep(struct sim_disk *sim) {
    for (struct list *link = sim->inodes.next, *next; link != &sim->inodes; link = next) {
        struct inode *inode = LIST_ENTRY(link, struct inode, link);
        next = link->next;
        if (!inode->open_count && !is_named(&sim->safe, inode) && !is_named(&sim->now, inode) &&
            !is_in_changes(sim, inode))
            inode_free(inode);
    }
}

uint64_t used_bytes(struct sim_disk *sim) {
    uint64_t used = 0;
    for (struct list *link = sim->inodes.next; link != &sim->inodes; link = link->next) {
        struct inode *inode = LIST_ENTRY(link, struct inode, link);
        if (inode->open_count || is_named(&sim->now, inode)) used += inode->now.size;
    }
    return used;
}

/* ---------------------------------------------------------------- the changes of a file */

void inode_change(struct sim_disk *sim, struct inode *inode, bool is_size, uint64_t offset, struct bytes bytes) {
    struct change *change = must_have(malloc(sizeof *change + bytes.size));
    *change = (struct change){.number = ++sim->number, .is_size = is_size, .offset = offset, .size = bytes.size};
    if (bytes.size) memcpy(change->bytes, bytes.data, bytes.size);
    list_append(&inode->changes, &change->link);
    if (is_size)
        content_resize(&inode->now, offset);
    else
        content_write(&inode->now, offset, bytes.data, bytes.size);
}

static void change_play(struct buf *content, const struct change *change) {
    if (change->is_size)
        content_resize(content, change->offset);
    else
        content_write(content, change->offset, change->bytes, change->size);
}

void inode_sync(struct inode *inode, uint64_t number) {
    for (struct list *link = inode->changes.next; link != &inode->changes; link = link->next) {
        struct change *change = LIST_ENTRY(link, struct change, link);
        if (change->number <= number && !change->is_forsaken) change->is_synced = true;
    }
    while (!list_is_empty(&inode->changes)) {
        struct change *change = LIST_ENTRY(inode->changes.next, struct change, link);
        if (!change->is_synced) break;
        change_play(&inode->safe, change);
        list_remove(&change->link);
        free(change);
    }
}

void inode_forsake(struct inode *inode) {
    for (struct list *link = inode->changes.next; link != &inode->changes; link = link->next) {
        struct change *change = LIST_ENTRY(link, struct change, link);
        if (!change->is_synced) change->is_forsaken = true;
    }
}

/* ---------------------------------------------------------------- the crash */

/* How a crash treats what was not safe: one manner for a whole crash makes the extremes happen too. */
enum manner { MANNER_ALL_LOST, MANNER_ALL_KEPT, MANNER_PREFIX, MANNER_EACH, MANNER_COUNT };
enum fate { FATE_LOST, FATE_KEPT, FATE_TORN };

struct cut {
    enum manner manner;
    uint64_t number; /* MANNER_PREFIX: the change that was under way */
    struct prng *prng;
};

static enum fate fate_of(const struct cut *cut, uint64_t number) {
    switch (cut->manner) {
    case MANNER_ALL_LOST: return FATE_LOST;
    case MANNER_ALL_KEPT: return FATE_KEPT;
    case MANNER_PREFIX: return number < cut->number ? FATE_KEPT : number == cut->number ? FATE_TORN : FATE_LOST;
    default: return (enum fate)prng_below(cut->prng, 3);
    }
}

/* A prefix of a write, or any of its sectors; the size may have been written ahead of what it counts. */
static void change_tear(struct buf *content, const struct change *change, struct prng *prng) {
    if (change->is_size) {
        if (prng_happens(prng, 1, 2)) content_resize(content, change->offset);
        return;
    }
    uint64_t end = change->offset + change->size;
    if (prng_happens(prng, 1, 2) && content->size < end) content_resize(content, end);
    if (prng_happens(prng, 1, 2)) {
        content_write(content, change->offset, change->bytes, (size_t)prng_below(prng, change->size + 1));
        return;
    }
    for (uint64_t at = change->offset; at < end;) {
        uint64_t next = (at / SIM_SECTOR_BYTES + 1) * SIM_SECTOR_BYTES;
        if (next > end) next = end;
        if (prng_happens(prng, 1, 2))
            content_write(content, at, change->bytes + (at - change->offset), (size_t)(next - at));
        at = next;
    }
}

static void inode_crash(struct inode *inode, const struct cut *cut) {
    for (struct list *link = inode->changes.next; link != &inode->changes; link = link->next) {
        struct change *change = LIST_ENTRY(link, struct change, link);
        enum fate fate = change->is_synced ? FATE_KEPT : fate_of(cut, change->number);
        if (fate == FATE_KEPT) change_play(&inode->safe, change);
        if (fate == FATE_TORN) change_tear(&inode->safe, change, cut->prng);
    }
    changes_forget(inode);
    content_set(&inode->now, buf_bytes(&inode->safe));
}

static void names_crash(struct sim_disk *sim, const struct cut *cut) {
    while (!list_is_empty(&sim->name_changes)) {
        struct name_change *change = LIST_ENTRY(sim->name_changes.next, struct name_change, link);
        enum fate fate = fate_of(cut, change->number);
        if (fate == FATE_TORN) fate = prng_happens(cut->prng, 1, 2) ? FATE_KEPT : FATE_LOST;
        if (fate == FATE_KEPT) names_play(&sim->safe, change);
        list_remove(&change->link);
        free(change);
    }
    sim->now = sim->safe;
}

static uint64_t oldest_unsafe(struct sim_disk *sim) {
    uint64_t oldest = sim->number;
    for (struct list *link = sim->inodes.next; link != &sim->inodes; link = link->next) {
        struct inode *inode = LIST_ENTRY(link, struct inode, link);
        if (list_is_empty(&inode->changes)) continue;
        uint64_t number = LIST_ENTRY(inode->changes.next, struct change, link)->number;
        if (number < oldest) oldest = number;
    }
    if (!list_is_empty(&sim->name_changes)) {
        uint64_t number = LIST_ENTRY(sim->name_changes.next, struct name_change, link)->number;
        if (number < oldest) oldest = number;
    }
    return oldest;
}

void state_crash(struct sim_disk *sim, struct prng *prng) {
    struct cut cut = {.manner = (enum manner)prng_below(prng, MANNER_COUNT), .prng = prng};
    uint64_t oldest = oldest_unsafe(sim);
    cut.number = oldest + prng_below(prng, sim->number - oldest + 2);
    for (struct list *link = sim->inodes.next; link != &sim->inodes; link = link->next)
        inode_crash(LIST_ENTRY(link, struct inode, link), &cut);
    names_crash(sim, &cut);
}
