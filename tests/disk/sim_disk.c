/* See sim_disk.h: the functions of a disk, what makes them fail, and what looks at them from outside. What a disk is
 * stands in sim_disk_state. */
#include "disk/sim_disk_state.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local char why_text[64] = "no error";

/* How large a file may become, when it is `size` now. */
static uint64_t size_limit(struct sim_disk *sim, uint64_t size) {
    uint64_t used = used_bytes(sim);
    return sim->space == UINT64_MAX ? UINT64_MAX : size + (sim->space > used ? sim->space - used : 0);
}

/* ---------------------------------------------------------------- the end of a life */

static void faults_end(struct sim_disk *sim) {
    memset(sim->faults, 0, sizeof sim->faults);
    sim->calls_left = UINT64_MAX;
}

static void life_ends(struct sim_disk *sim) {
    sim->life++;
    faults_end(sim);
    sim->space = UINT64_MAX;
    sim->hook = NULL;
}

void sim_disk_crash(struct sim_disk *sim, struct prng *prng) {
    lock_take(&sim->lock);
    state_crash(sim, prng);
    life_ends(sim);
    inodes_sweep(sim);
    lock_release(&sim->lock);
}

void sim_disk_kill(struct sim_disk *sim) {
    lock_take(&sim->lock);
    life_ends(sim);
    lock_release(&sim->lock);
}

/* ---------------------------------------------------------------- the beginning of each call */

static enum disk_error answer(enum disk_error error) {
    static const char *const texts[] = {"no error",
                                        "No space left on the simulated device",
                                        "No such simulated file",
                                        "The simulated file exists",
                                        "The simulated file may not be written",
                                        "Simulated input/output error"};
    snprintf(why_text, sizeof why_text, "%s", texts[error]);
    return error;
}

static enum disk_error fault_of(struct sim_disk *sim, enum sim_call call) {
    struct fault *fault = &sim->faults[call];
    if (sim->calls_left == 0) return DISK_FAILED;
    if (sim->calls_left != UINT64_MAX) sim->calls_left--;
    if (fault->countdown == 0 || --fault->countdown > 0) return DISK_OK;
    if (fault->is_for_ever) fault->countdown = 1;
    return fault->error;
}

/* Takes the lock. *number: of the newest change at the moment when the call began; what happens while the hook holds it
 * is not covered by a sync. `file` may be NULL. */
static enum disk_error call_begin(struct sim_disk *sim, enum sim_call call, const char *name,
                                  const struct disk_file *file, uint64_t *number) {
    lock_take(&sim->lock);
    *number = sim->number;
    uint64_t life = sim->life;
    sim_hook hook = sim->hook;
    void *context = sim->hook_context;
    sim->calls[call]++;
    lock_release(&sim->lock);
    if (hook) hook(context, call, name);
    lock_take(&sim->lock);
    if (sim->life != life || (file && file->life != life)) return DISK_FAILED;
    return fault_of(sim, call);
}

static enum disk_error call_end(struct sim_disk *sim, enum disk_error error) {
    lock_release(&sim->lock);
    return answer(error);
}

/* ---------------------------------------------------------------- the disk's functions: files */

static enum disk_error on_open(void *context, const char *name, enum disk_mode mode, struct disk_file **out) {
    struct sim_disk *sim = context;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_OPEN, name, NULL, &number);
    if (error) return call_end(sim, error);
    struct entry *entry = names_find(&sim->now, name);
    if (!entry && mode != DISK_MAKE) return call_end(sim, DISK_MISSING);
    if (entry && mode == DISK_MAKE) return call_end(sim, DISK_EXISTS);
    struct inode *inode = entry ? entry->inode : inode_make(sim);
    if (!entry) name_changed(sim, NAME_MADE, inode, name, "");
    struct disk_file *file = must_have(calloc(1, sizeof *file));
    *file = (struct disk_file){.sim = sim, .inode = inode, .life = sim->life, .may_write = mode != DISK_READ};
    snprintf(file->name, sizeof file->name, "%s", name);
    list_append(&sim->files, &file->link);
    inode->open_count++;
    *out = file;
    return call_end(sim, DISK_OK);
}

static enum disk_error on_write(struct disk_file *file, uint64_t offset, struct bytes bytes) {
    struct sim_disk *sim = file->sim;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_WRITE, file->name, file, &number);
    if (file->life != sim->life) return call_end(sim, DISK_FAILED);
    if (!file->may_write) return call_end(sim, DISK_REFUSED);
    if (error && sim->calls_left == 0) return call_end(sim, error);
    uint64_t limit = size_limit(sim, file->inode->now.size);
    if (error) bytes.size /= 2; /* a part of it */
    if (offset + bytes.size > limit) {
        bytes.size = limit > offset ? (size_t)(limit - offset) : 0;
        error = error ? error : DISK_FULL;
    }
    if (bytes.size) inode_change(sim, file->inode, false, offset, bytes);
    return call_end(sim, error);
}

static enum disk_error on_read(struct disk_file *file, uint64_t offset, void *out, size_t size, size_t *got) {
    struct sim_disk *sim = file->sim;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_READ, file->name, file, &number);
    *got = 0;
    if (error) return call_end(sim, error);
    const struct buf *now = &file->inode->now;
    if (offset < now->size) *got = now->size - (size_t)offset < size ? now->size - (size_t)offset : size;
    if (*got) memcpy(out, now->data + offset, *got);
    return call_end(sim, DISK_OK);
}

static enum disk_error on_sync(struct disk_file *file) {
    struct sim_disk *sim = file->sim;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_SYNC, file->name, file, &number);
    if (file->life != sim->life) return call_end(sim, DISK_FAILED);
    if (error)
        inode_forsake(file->inode);
    else
        inode_sync(file->inode, number);
    return call_end(sim, error);
}

/* A real disk reads it from the device from now on: there it has to be. */
static void on_forget(struct disk_file *file, uint64_t offset) {
    struct sim_disk *sim = file->sim;
    lock_take(&sim->lock);
    for (struct list *link = file->inode->changes.next; link != &file->inode->changes; link = link->next) {
        struct change *change = LIST_ENTRY(link, struct change, link);
        if (change->is_synced || change->is_size || change->offset >= offset) continue;
        fprintf(stderr, "%s: what stands before %llu is forgotten, and of it %llu is not synced\n", file->name,
                (unsigned long long)offset, (unsigned long long)change->offset);
        abort();
    }
    lock_release(&sim->lock);
}

static enum disk_error resize(struct disk_file *file, enum sim_call call, uint64_t size) {
    struct sim_disk *sim = file->sim;
    uint64_t number;
    enum disk_error error = call_begin(sim, call, file->name, file, &number);
    if (error) return call_end(sim, error);
    if (!file->may_write) return call_end(sim, DISK_REFUSED);
    if (call == SIM_ALLOCATE && size <= file->inode->now.size) return call_end(sim, DISK_OK);
    if (size > size_limit(sim, file->inode->now.size)) return call_end(sim, DISK_FULL);
    inode_change(sim, file->inode, true, size, (struct bytes){0});
    return call_end(sim, DISK_OK);
}

static enum disk_error on_allocate(struct disk_file *file, uint64_t size) {
    return resize(file, SIM_ALLOCATE, size);
}

static enum disk_error on_truncate(struct disk_file *file, uint64_t size) {
    return resize(file, SIM_TRUNCATE, size);
}

static enum disk_error on_size(struct disk_file *file, uint64_t *out) {
    uint64_t number;
    enum disk_error error = call_begin(file->sim, SIM_SIZE, file->name, file, &number);
    *out = error ? 0 : file->inode->now.size;
    return call_end(file->sim, error);
}

static void on_close(struct disk_file *file) {
    struct sim_disk *sim = file->sim;
    lock_take(&sim->lock);
    file->inode->open_count--;
    list_remove(&file->link);
    inodes_sweep(sim);
    lock_release(&sim->lock);
    free(file);
}

/* ---------------------------------------------------------------- the disk's functions: names */

static enum disk_error on_rename(void *context, const char *from, const char *to) {
    struct sim_disk *sim = context;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_RENAME, from, NULL, &number);
    if (error) return call_end(sim, error);
    struct entry *entry = names_find(&sim->now, from);
    if (!entry) return call_end(sim, DISK_MISSING);
    if (strcmp(from, to) != 0) name_changed(sim, NAME_MOVED, entry->inode, from, to);
    return call_end(sim, DISK_OK);
}

static enum disk_error on_remove(void *context, const char *name) {
    struct sim_disk *sim = context;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_REMOVE, name, NULL, &number);
    if (error) return call_end(sim, error);
    struct entry *entry = names_find(&sim->now, name);
    if (!entry) return call_end(sim, DISK_MISSING);
    name_changed(sim, NAME_REMOVED, entry->inode, name, "");
    return call_end(sim, DISK_OK);
}

static enum disk_error on_sync_directory(void *context) {
    struct sim_disk *sim = context;
    uint64_t number;
    enum disk_error error = call_begin(sim, SIM_SYNC_DIRECTORY, "", NULL, &number);
    if (!error) names_sync(sim, number);
    inodes_sweep(sim);
    return call_end(sim, error);
}

static enum disk_error on_list(void *context, disk_each each, void *each_context) {
    struct sim_disk *sim = context;
    uint64_t number, sizes[FILES_MAX];
    enum disk_error error = call_begin(sim, SIM_LIST, "", NULL, &number);
    if (error) return call_end(sim, error);
    struct names *names = must_have(malloc(sizeof *names));
    *names = sim->now;
    for (size_t i = 0; i < names->count; i++) sizes[i] = names->entries[i].inode->now.size;
    call_end(sim, DISK_OK);
    for (size_t i = 0; i < names->count; i++) each(each_context, names->entries[i].name, sizes[i]);
    free(names);
    return DISK_OK;
}

static int64_t on_wall_ms(void *context) {
    struct sim_disk *sim = context;
    return atomic_load(&sim->wall_ms);
}

static const char *on_why(void *context) {
    (void)context;
    return why_text;
}

/* ---------------------------------------------------------------- opening, faults, looking */

struct sim_disk *sim_disk_open(void) {
    struct sim_disk *sim = must_have(calloc(1, sizeof *sim));
    list_init(&sim->inodes);
    list_init(&sim->files);
    list_init(&sim->name_changes);
    sim->space = sim->calls_left = UINT64_MAX;
    atomic_store(&sim->wall_ms, INT64_C(1600000000000));
    sim->disk = (struct disk){.context = sim,
                              .open = on_open,
                              .write = on_write,
                              .read = on_read,
                              .sync = on_sync,
                              .forget = on_forget,
                              .allocate = on_allocate,
                              .truncate = on_truncate,
                              .size = on_size,
                              .close = on_close,
                              .rename = on_rename,
                              .remove = on_remove,
                              .sync_directory = on_sync_directory,
                              .list = on_list,
                              .wall_ms = on_wall_ms,
                              .why = on_why};
    return sim;
}

void sim_disk_close(struct sim_disk *sim) {
    while (!list_is_empty(&sim->files)) on_close(LIST_ENTRY(sim->files.next, struct disk_file, link));
    names_sync(sim, UINT64_MAX);
    while (!list_is_empty(&sim->inodes)) inode_free(LIST_ENTRY(sim->inodes.next, struct inode, link));
    free(sim);
}

struct disk *sim_disk_of(struct sim_disk *sim) {
    return &sim->disk;
}

void sim_disk_fail(struct sim_disk *sim, enum sim_call call, uint64_t nth, bool is_for_ever, enum disk_error error) {
    lock_take(&sim->lock);
    sim->faults[call] = (struct fault){nth, is_for_ever, error};
    lock_release(&sim->lock);
}

void sim_disk_stop_after(struct sim_disk *sim, uint64_t calls) {
    lock_take(&sim->lock);
    sim->calls_left = calls;
    lock_release(&sim->lock);
}

void sim_disk_heal(struct sim_disk *sim) {
    lock_take(&sim->lock);
    faults_end(sim);
    lock_release(&sim->lock);
}

void sim_disk_set_space(struct sim_disk *sim, uint64_t size) {
    lock_take(&sim->lock);
    sim->space = size;
    lock_release(&sim->lock);
}

void sim_disk_set_hook(struct sim_disk *sim, sim_hook hook, void *context) {
    lock_take(&sim->lock);
    sim->hook = hook;
    sim->hook_context = context;
    lock_release(&sim->lock);
}

uint64_t sim_disk_calls(struct sim_disk *sim, enum sim_call call) {
    lock_take(&sim->lock);
    uint64_t calls = sim->calls[call];
    lock_release(&sim->lock);
    return calls;
}

uint64_t sim_disk_used(struct sim_disk *sim) {
    lock_take(&sim->lock);
    uint64_t used = used_bytes(sim);
    lock_release(&sim->lock);
    return used;
}

void sim_disk_set_wall_ms(struct sim_disk *sim, int64_t wall_ms) {
    atomic_store(&sim->wall_ms, wall_ms);
}

bool sim_disk_get(struct sim_disk *sim, const char *name, struct buf *out) {
    lock_take(&sim->lock);
    struct entry *entry = names_find(&sim->now, name);
    if (entry) buf_append(out, entry->inode->now.data, entry->inode->now.size);
    lock_release(&sim->lock);
    return entry != NULL;
}

void sim_disk_put(struct sim_disk *sim, const char *name, struct bytes content) {
    lock_take(&sim->lock);
    struct inode *inode = inode_make(sim);
    content_set(&inode->safe, content);
    content_set(&inode->now, content);
    names_put(&sim->safe, name, inode);
    names_put(&sim->now, name, inode);
    inodes_sweep(sim);
    lock_release(&sim->lock);
}

void sim_disk_drop(struct sim_disk *sim, const char *name) {
    lock_take(&sim->lock);
    names_remove(&sim->safe, name);
    names_remove(&sim->now, name);
    inodes_sweep(sim);
    lock_release(&sim->lock);
}

struct sim_disk *sim_disk_copy(struct sim_disk *sim) {
    struct sim_disk *copy = sim_disk_open();
    lock_take(&sim->lock);
    for (size_t i = 0; i < sim->now.count; i++)
        sim_disk_put(copy, sim->now.entries[i].name, buf_bytes(&sim->now.entries[i].inode->now));
    atomic_store(&copy->wall_ms, atomic_load(&sim->wall_ms));
    lock_release(&sim->lock);
    return copy;
}
