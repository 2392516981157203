/* When memory that readers may still look at can be freed.
 *
 * Each reader (a loop, a walker) has one counter: odd inside a turn, even outside. A reader inside a turn may hold
 * pointers to anything that was published during it; outside it holds none. What a writer has unlinked it *retires*;
 * it is freed once every counter that was odd has moved. A reader that sleeps (even) holds nobody up.
 *
 * Each reader has a few batches: one being filled, and those that wait for the readers which were inside a turn when
 * they were closed. Retired blocks are not written to (readers may be reading them), so the batches are arrays of their
 * own. The counters are moved by read-modify-write operations alone on both sides: either the snapshot finds the reader
 * odd, or the reader's entering has read what the snapshot wrote and so sees all that was unlinked before. This needs
 * no fences, which ThreadSanitizer does not understand.
 *
 * A batch is closed whenever its reader enters, leaves or polls, also while others wait: a reader that has lost its
 * processor inside a turn keeps all that is retired meanwhile, but as soon as it has moved all of that goes, and not
 * only what was closed before it stopped. Why nothing goes too early: a batch is freed when each turn in its own
 * snapshot is over, or those of a snapshot that contains it. A batch whose snapshot has no turn that the newest closed
 * one does not wait for is joined to that; a turn that was found over is never found again, since counters only grow.
 * And batches come free in the order in which they were closed: a turn that the earlier one waits for is over, or the
 * later one's snapshot has found it too.
 *
 * Threads: every function that takes a reader's index is called on that reader's thread only (or in its place, with the
 * usual happens-before). reclaim_bytes, reclaim_note_bytes: any thread. init, fini: nobody else inside. */
#ifndef ENGINE_MEMORY_RECLAIM_H
#define ENGINE_MEMORY_RECLAIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Frees one block that `reader` retired; called on that reader's thread, which is outside its turn or inside one. It
 * may retire further blocks. `kind` is what was given to reclaim_retire. */
typedef void (*reclaim_free)(void *context, unsigned reader, void *pointer, size_t size, unsigned kind);

struct reclaim_reader;

struct reclaim {
    struct reclaim_reader *readers;
    unsigned reader_count;
    reclaim_free free;
    void *context; /* of free */
};

/* Prepares for readers 0 to reader_count - 1, all outside a turn. False where memory is lacking. */
bool reclaim_init(struct reclaim *reclaim, unsigned reader_count, reclaim_free free, void *context);

/* Frees all that was retired. All readers are outside their turns. */
void reclaim_fini(struct reclaim *reclaim);

/* Begins and ends a turn. Not nested. Both free what can be freed, outside the turn. */
void reclaim_enter(struct reclaim *reclaim, unsigned reader);
void reclaim_leave(struct reclaim *reclaim, unsigned reader);

/* Begins a turn shortly after the last one ended, which has freed what could be freed: this frees nothing. */
void reclaim_resume(struct reclaim *reclaim, unsigned reader);

/* Hands over a block that no new reader can find any more. Inside a turn or not; never waits. `size` (below 2^56) is
 * counted until the block is freed; `kind` is below 256. Where memory is lacking even for the note, the block is never
 * freed, and stays counted. */
void reclaim_retire(struct reclaim *reclaim, unsigned reader, void *pointer, size_t size, unsigned kind);

/* Frees what this reader retired and nobody can see any more. enter and leave do this too; a loop that has nothing to
 * do but has retired blocks (reclaim_is_waiting) calls it from time to time. */
void reclaim_poll(struct reclaim *reclaim, unsigned reader);

/* Whether this reader has retired blocks that are not freed yet. */
bool reclaim_is_waiting(const struct reclaim *reclaim, unsigned reader);

/* Whether this reader is inside a turn; for assertions. */
bool reclaim_is_inside(const struct reclaim *reclaim, unsigned reader);

/* Bytes that were retired and are not freed yet, over all readers. */
uint64_t reclaim_bytes(const struct reclaim *reclaim);

/* Bytes of the notes about them: while a reader sleeps inside its turn they grow with what is retired. */
uint64_t reclaim_note_bytes(const struct reclaim *reclaim);

#endif
