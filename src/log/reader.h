/* Reading a segment or a snapshot from its beginning: header, then frame by frame, and looking behind a damage.
 *
 * Always true: a reader changes nothing on disk and judges nothing; it says what stands where, and recovery (or
 * sessiond-dump) decides what that means. It reads in pieces of READER_PIECE_BYTES and holds one frame at most beside
 * one piece. One thread; storage threads and starts only, since it blocks for as long as the disk does. */
#ifndef LOG_READER_H
#define LOG_READER_H

#include "log/seal.h"

#define READER_PIECE_BYTES (1u << 20)

enum file_beginning {
    FILE_BEGUN,     /* the header is whole, of this format, and of the name that the file has */
    FILE_BLANK,     /* nothing but zeros in all of it, or empty: a segment that was never begun */
    FILE_TORN,      /* the header is not whole */
    FILE_MISNAMED,  /* the header is whole and another file's */
    FILE_NOT_OURS,  /* it begins with something else, which no torn write of a header leaves */
    FILE_OF_NEWER,  /* of a later format */
    FILE_NO_KEY,    /* it is sealed, and its key is missing */
    FILE_UNREADABLE /* the disk refused, or memory is lacking: see why */
};

enum frame_state {
    FRAME_READ,
    FRAME_DONE,      /* the frames end here: nothing follows, or nothing but zeros */
    FRAME_DAMAGED,   /* what stands here is no whole frame */
    FRAME_STRANGE,   /* a whole frame that should not be: unknown, not to be opened, or something behind the end */
    FRAME_UNREADABLE /* the disk refused, or memory is lacking: see why */
};

struct file_reader {
    struct disk *disk;
    struct disk_file *file; /* NULL: not open */
    uint64_t size;          /* of the file */
    struct file_header header;
    uint64_t number;      /* by the file's name */
    uint64_t place;       /* of the next frame; of the one that is no whole one where next said so */
    uint64_t frame_place; /* of the frame that was read last */
    bool is_ended;        /* FRAME_END was read */
    bool is_raw;          /* set by the caller: payloads stay sealed; the one way to go on after FILE_NO_KEY */
    struct bytes frame;   /* the whole frame that was read last, as it is on disk */
    const char *why;      /* with UNREADABLE and STRANGE */
    struct stream stream;
    struct buf window; /* bytes from window_place on */
    uint64_t window_place;
    uint64_t synced;    /* up to there the file is on its device, as the frames that were read say */
    uint64_t forgotten; /* up to there the system was told that it need not keep it in memory */
    struct buf plain;   /* the opened payload */
};

/* What stands behind a place where frames end. */
struct file_rest {
    uint64_t synced;   /* the highest mark that a whole frame states; 0: there is none */
    uint64_t end;      /* behind the last byte that is not zero; at least the place itself */
    int64_t server_ms; /* the latest that a whole frame states; INT64_MIN: there is none */
    uint64_t frames;   /* whole ones */
};

/* Opens the file of that kind and number and reads its header. Close it in any case. */
enum file_beginning file_reader_open(struct file_reader *reader, struct disk *disk, enum file_kind kind,
                                     uint64_t number, const struct seal_keys *keys);

/* The next frame, of a file that was begun; the payload is opened, and valid until the next call. After anything but
 * FRAME_READ no more is to be asked but file_reader_rest. */
enum frame_state file_reader_next(struct file_reader *reader, struct frame_header *header, struct bytes *payload);

/* Looks for whole frames at every place from the reader's on, which need not be one where a frame begins. Looks at a
 * bounded number of bytes (see reader.c). False: see why. */
bool file_reader_rest(struct file_reader *reader, struct file_rest *out);

void file_reader_close(struct file_reader *reader);

#endif
