/* The bytes of a log segment and of a snapshot: a header, then frames.
 *
 * Both kinds of file are the same: a header of FILE_HEADER_BYTES that says what it is, and frames, each with one
 * checksum over all of it. All numbers are little-endian. A frame's checksum is seeded with the file's number and the
 * frame's place in it, so a frame that stands where it was not written is damage. A frame whose first eight bytes are
 * zero is none: the file's end, if nothing but zeros follows.
 *
 * What a power cut leaves of unfinished writes is told from damage by what is known to be synced: each frame says up to
 * where its file was when it was written, and a segment's header says how long the one before it became and up to where
 * that was synced. Something wrong at a place of segment k is damage if any whole frame or header says that it was
 * synced, and it is also if a frame of a later segment says that anything of its own file was: nothing of a segment
 * counts as synced before all of the earlier ones is. Else it is a torn tail, and it reaches through the segments
 * behind it too. A segment is complete with its FRAME_END, or with the length that the next one's header states; one
 * that is all zeros was never begun, and is the last. With a key, the payload of each frame is one message of a
 * libsodium secretstream whose header stands in the file's header, and the frame's header without its checksum is its
 * additional data; the checksum is over what is on disk. Frames without content (MARK, END) are messages too, so that
 * none can be taken out. Pure. */
#ifndef LOG_FORMAT_H
#define LOG_FORMAT_H

#include "base/buf.h"
#include "sessiond/bytes.h"
#include "sessiond/disk.h"

#define FILE_MAGIC         "SESSLOG\n"
#define FILE_FORMAT        1 /* of this release; a file with a greater one is left alone */
#define FILE_HEADER_BYTES  128
#define FRAME_HEADER_BYTES 40
#define FRAME_FIELDS_BYTES 32 /* of a frame's header before its checksum */
#define STORE_ID_BYTES     16
#define FRAME_PAYLOAD_MAX  (64u << 20) /* bytes; a length above that is damage */

enum file_kind { FILE_LOG = 1, FILE_SNAPSHOT = 2 };

struct file_header {
    uint32_t format;
    enum file_kind kind;
    uint8_t store_id[STORE_ID_BYTES]; /* of the data directory: files of another one are refused */
    uint64_t number;            /* of a segment: 1, 2, 3 ...; of a snapshot: the first segment that it does not cover */
    int64_t server_ms, wall_ms; /* the server's clock and the wall clock when the file was begun */
    uint64_t version;           /* the newest that was taken then */
    uint64_t previous_bytes;    /* of a segment: length of the one before it; 0: there was none */
    uint64_t previous_synced;   /* of them known to be synced when this header was written */
    bool is_sealed;             /* its frames are encrypted */
    uint8_t key_id[8];          /* with is_sealed: which key, without telling it */
    uint8_t stream_header[24];  /* with is_sealed */
};

enum frame_kind {
    FRAME_EFFECTS = 1, /* whole effects */
    FRAME_MARK = 2,    /* nothing but its header: written when nobody writes, to say what is synced */
    FRAME_END = 3      /* the last of a file that was ended in order */
};

struct frame_header {
    uint32_t size;     /* bytes of payload as they are on disk */
    uint32_t kind;     /* enum frame_kind */
    uint64_t synced;   /* bytes of this file that are known to be synced */
    int64_t server_ms; /* when it was made */
    uint64_t version;  /* every effect up to this version stands in this frame, before it, or in an earlier file */
    uint64_t checksum; /* over the other fields and the payload */
};

/* Times of some 140,000 years on either side; sums of a few of them do not overflow. */
static inline bool time_is_possible(int64_t at_ms) {
    return at_ms > -(INT64_C(1) << 52) && at_ms < INT64_C(1) << 52;
}

void file_header_write(const struct file_header *header, uint8_t out[FILE_HEADER_BYTES]);

enum header_state { HEADER_WHOLE, HEADER_FOREIGN, HEADER_NEWER, HEADER_DAMAGED };
/* FOREIGN: it does not begin with the magic. NEWER: of a later format, whose further fields nobody here knows. */
enum header_state file_header_read(const uint8_t in[FILE_HEADER_BYTES], struct file_header *out);

/* Fills in header->checksum and writes the header to `out`; header->size is the payload's already. `place`: the frame's
 * offset in its file. */
void frame_header_write(struct frame_header *header, uint64_t number, uint64_t place, struct bytes payload,
                        uint8_t out[FRAME_HEADER_BYTES]);
/* A header's fields as they stand on disk before the checksum: the additional data of a sealed payload. */
void frame_header_fields(const struct frame_header *header, uint8_t out[FRAME_FIELDS_BYTES]);
void frame_header_read(const uint8_t in[FRAME_HEADER_BYTES], struct frame_header *out);
/* Whether header and payload are what was written. */
bool frame_is_whole(const struct frame_header *header, uint64_t number, uint64_t place, struct bytes payload);

/* "log-0000000000000001" and "snapshot-0000000000000001"; `out` takes DISK_NAME_MAX + 1. */
void file_name_write(enum file_kind kind, uint64_t number, char *out);
/* False: it is no such name. */
bool file_name_read(const char *name, enum file_kind *kind, uint64_t *number);

#endif
