/* What the files of the simulated disk share: inodes, names, and what of them is not safe yet.
 *
 * A file is an inode: its content as of the last sync, and the changes since in their order; its content now is kept
 * beside. The directory is the same with names. A crash plays the changes again, each by chance. Everything here is
 * called under the disk's lock. */
#ifndef DISK_SIM_DISK_STATE_H
#define DISK_SIM_DISK_STATE_H

#include "base/list.h"
#include "base/lock.h"
#include "disk/sim_disk.h"

#define FILES_MAX 256 /* names */

/* One change that is not safe yet. */
struct change {
    struct list link;
    uint64_t number;
    bool is_synced;   /* it stands behind one that is not, which may have to be played before it */
    bool is_forsaken; /* a sync of it has failed */
    bool is_size;     /* the file's size becomes `offset`; else `size` bytes are written there */
    uint64_t offset;
    size_t size;
    uint8_t bytes[];
};

struct inode {
    struct list link;
    struct list changes;
    struct buf safe, now; /* content */
    unsigned open_count;
};

struct entry {
    char name[DISK_NAME_MAX + 1];
    struct inode *inode;
};

struct names {
    struct entry entries[FILES_MAX];
    size_t count;
};

enum name_kind { NAME_MADE, NAME_MOVED, NAME_REMOVED };

struct name_change {
    struct list link;
    uint64_t number;
    enum name_kind kind;
    struct inode *inode;
    char name[DISK_NAME_MAX + 1], to[DISK_NAME_MAX + 1];
};

struct disk_file {
    struct list link;
    struct sim_disk *sim;
    struct inode *inode;
    uint64_t life; /* of the disk when it was opened */
    bool may_write;
    char name[DISK_NAME_MAX + 1]; /* that it was opened by */
};

struct fault {
    uint64_t countdown; /* 0: none */
    bool is_for_ever;
    enum disk_error error;
};

struct sim_disk {
    struct disk disk;
    struct lock lock; /* over everything below */
    struct list inodes, files, name_changes;
    struct names safe, now;
    struct fault faults[SIM_CALL_COUNT];
    uint64_t calls[SIM_CALL_COUNT];
    uint64_t calls_left; /* until it stops; UINT64_MAX: for ever */
    uint64_t space, number, life;
    _Atomic int64_t wall_ms;
    sim_hook hook;
    void *hook_context;
};

/* Aborts where it is NULL. */
void *must_have(void *memory);
void content_set(struct buf *content, struct bytes bytes);

struct entry *names_find(struct names *names, const char *name); /* NULL: there is none */
void names_put(struct names *names, const char *name, struct inode *inode);
void names_remove(struct names *names, const char *name);
/* What a process sees changes at once; what is safe, with names_sync. */
void name_changed(struct sim_disk *sim, enum name_kind kind, struct inode *inode, const char *name, const char *to);
/* Makes safe what was done to names up to that change. */
void names_sync(struct sim_disk *sim, uint64_t number);

struct inode *inode_make(struct sim_disk *sim);
void inode_free(struct inode *inode);
/* Frees what nobody can reach any more, whatever a crash does. */
void inodes_sweep(struct sim_disk *sim);
uint64_t used_bytes(struct sim_disk *sim);
/* Writes bytes at that place, or with is_size makes `offset` the size. */
void inode_change(struct sim_disk *sim, struct inode *inode, bool is_size, uint64_t offset, struct bytes bytes);
/* Makes safe what was done up to that change. What stands behind a forsaken change waits for its turn in the order. */
void inode_sync(struct inode *inode, uint64_t number);
/* A sync has failed: what is not safe now never will be. */
void inode_forsake(struct inode *inode);

/* What was not safe is kept, lost or torn. */
void state_crash(struct sim_disk *sim, struct prng *prng);

#endif
