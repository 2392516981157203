/* See reader.h. */
#include "log/reader.h"

/* Bytes that file_reader_rest checks the sums of beyond the file's own length. In what our server writes and a disk
 * tears there is no false beginning of a frame worth mentioning; but who may choose what sessions hold could store a
 * million of them, each with a length that is to be summed. */
#define REST_WORK_MAX (UINT64_C(1) << 30)

/* ---------------------------------------------------------------- the window */

static bool fails(struct file_reader *reader, const char *why) {
    reader->why = why;
    return false;
}

/* Reads on until the window holds `want` bytes, or the file ends. */
static bool window_fill(struct file_reader *reader, size_t want) {
    struct buf *window = &reader->window;
    size_t got = 1;
    while (window->size < want && got > 0) {
        uint8_t *at = buf_reserve(window, want - window->size);
        if (!at) return fails(reader, "there is not enough memory to read it");
        uint64_t place = reader->window_place + window->size;
        if (reader->disk->read(reader->file, place, at, want - window->size, &got) != DISK_OK)
            return fails(reader, reader->disk->why(reader->disk->context));
        window->size += got;
    }
    return window->size >= want || fails(reader, "it became shorter while it was read");
}

/* What has been read and is on the device goes out of the system's memory: the next piece then comes into pages that
 * were just in use, which costs half. What nothing says was synced stays, since recovery writes it once more from
 * there. */
static void window_forget(struct file_reader *reader) {
    uint64_t offset = reader->window_place < reader->synced ? reader->window_place : reader->synced;
    if (offset <= reader->forgotten) return;
    reader->disk->forget(reader->file, offset);
    reader->forgotten = offset;
}

/* The bytes of that range, which ends within the file; valid until the next call. NULL: see why. */
static const uint8_t *window_get(struct file_reader *reader, uint64_t place, size_t size) {
    struct buf *window = &reader->window;
    if (place < reader->window_place || place - reader->window_place > window->size) {
        window->size = 0;
        reader->window_place = place;
    }
    size_t skipped = (size_t)(place - reader->window_place);
    if (window->size - skipped < size) {
        buf_consume(window, skipped);
        reader->window_place = place;
        window_forget(reader);
        skipped = 0;
        uint64_t left = reader->size - place;
        size_t want = size > READER_PIECE_BYTES ? size : READER_PIECE_BYTES;
        if (!window_fill(reader, want < left ? want : (size_t)left)) return NULL;
    }
    return window->data + skipped;
}

static size_t zeros_of(const uint8_t *bytes, size_t size) {
    static const uint8_t zeros[4096];
    size_t count = 0;
    while (size - count >= sizeof zeros && memcmp(bytes + count, zeros, sizeof zeros) == 0) count += sizeof zeros;
    while (count < size && bytes[count] == 0) count++;
    return count;
}

/* Whether there is nothing but zeros from there to the file's end; *is_done false: see why. */
static bool is_zero_from(struct file_reader *reader, uint64_t place, bool *is_done) {
    *is_done = true;
    while (place < reader->size) {
        uint64_t left = reader->size - place;
        size_t size = left < READER_PIECE_BYTES ? (size_t)left : READER_PIECE_BYTES;
        const uint8_t *at = window_get(reader, place, size);
        if (!at) return *is_done = false;
        if (zeros_of(at, size) < size) return false;
        place += size;
    }
    return true;
}

/* ---------------------------------------------------------------- the header */

/* Whether a header that does not begin with the magic may be what was written of one: its beginning, then zeros. */
static bool is_torn_magic(const uint8_t *bytes) {
    size_t size = 0;
    while (size < sizeof FILE_MAGIC - 1 && bytes[size] == (uint8_t)FILE_MAGIC[size]) size++;
    return zeros_of(bytes + size, FILE_HEADER_BYTES - size) == FILE_HEADER_BYTES - size;
}

static enum file_beginning beginning_of(struct file_reader *reader, enum file_kind kind, const struct seal_keys *keys,
                                        const uint8_t *bytes) {
    switch (file_header_read(bytes, &reader->header)) {
    case HEADER_FOREIGN: return is_torn_magic(bytes) ? FILE_TORN : FILE_NOT_OURS;
    case HEADER_NEWER: return FILE_OF_NEWER;
    case HEADER_DAMAGED: return FILE_TORN;
    case HEADER_WHOLE: break;
    }
    if (reader->header.kind != kind || reader->header.number != reader->number) return FILE_MISNAMED;
    reader->place = FILE_HEADER_BYTES;
    return seal_resume(keys, &reader->header, &reader->stream) ? FILE_BEGUN : FILE_NO_KEY;
}

enum file_beginning file_reader_open(struct file_reader *reader, struct disk *disk, enum file_kind kind,
                                     uint64_t number, const struct seal_keys *keys) {
    char name[DISK_NAME_MAX + 1];
    uint8_t bytes[FILE_HEADER_BYTES] = {0};
    bool is_read;
    *reader = (struct file_reader){.disk = disk, .number = number, .window = BUF_EMPTY, .plain = BUF_EMPTY};
    reader->plain.is_secret = true;
    file_name_write(kind, number, name);
    if (disk->open(disk->context, name, DISK_READ, &reader->file) != DISK_OK ||
        disk->size(reader->file, &reader->size) != DISK_OK) {
        fails(reader, disk->why(disk->context));
        return FILE_UNREADABLE;
    }
    bool is_blank = is_zero_from(reader, 0, &is_read);
    if (is_blank) return FILE_BLANK;
    size_t size = reader->size < FILE_HEADER_BYTES ? (size_t)reader->size : FILE_HEADER_BYTES;
    const uint8_t *at = is_read ? window_get(reader, 0, size) : NULL;
    if (!at) return FILE_UNREADABLE;
    memcpy(bytes, at, size);
    return beginning_of(reader, kind, keys, bytes);
}

/* ---------------------------------------------------------------- frames */

/* Reads the frame at `place`, as it is on disk. DAMAGED: there is none. */
static enum frame_state frame_at(struct file_reader *reader, uint64_t place, struct frame_header *header,
                                 struct bytes *payload) {
    if (reader->size - place < FRAME_HEADER_BYTES) return FRAME_DAMAGED;
    const uint8_t *at = window_get(reader, place, FRAME_HEADER_BYTES);
    if (!at) return FRAME_UNREADABLE;
    frame_header_read(at, header);
    if (header->size > FRAME_PAYLOAD_MAX || header->size > reader->size - place - FRAME_HEADER_BYTES)
        return FRAME_DAMAGED;
    at = window_get(reader, place, FRAME_HEADER_BYTES + (size_t)header->size);
    if (!at) return FRAME_UNREADABLE;
    *payload = bytes_of(at + FRAME_HEADER_BYTES, header->size);
    reader->frame = bytes_of(at, FRAME_HEADER_BYTES + (size_t)header->size);
    return frame_is_whole(header, reader->number, place, *payload) ? FRAME_READ : FRAME_DAMAGED;
}

/* Whether the frames may end where the reader is: at the file's end, or where eight zeros are, with zeros behind. */
static bool ends_here(struct file_reader *reader, bool *is_done) {
    uint64_t left = reader->size - reader->place;
    size_t size = left < 8 ? (size_t)left : 8;
    *is_done = true;
    if (size == 0) return true;
    const uint8_t *at = window_get(reader, reader->place, size);
    if (!at) return *is_done = false;
    return zeros_of(at, size) == size && is_zero_from(reader, reader->place, is_done);
}

static bool open_payload(struct file_reader *reader, const struct frame_header *header, struct bytes *payload) {
    buf_cut(&reader->plain, 0);
    uint8_t *plain = buf_reserve(&reader->plain, payload->size ? payload->size : 1);
    if (!plain) return fails(reader, "there is not enough memory to open it");
    if (!seal_open_payload(&reader->stream, header, *payload, plain))
        return fails(reader, "it does not open with its key, as if another hand had written it");
    *payload = bytes_of(plain, payload->size - STREAM_OVERHEAD_BYTES);
    reader->plain.size = payload->size;
    return true;
}

static enum frame_state strange(struct file_reader *reader, const char *why) {
    reader->why = why;
    return FRAME_STRANGE;
}

enum frame_state file_reader_next(struct file_reader *reader, struct frame_header *header, struct bytes *payload) {
    bool is_done, is_end = ends_here(reader, &is_done);
    if (!is_done) return FRAME_UNREADABLE;
    if (is_end) return FRAME_DONE;
    if (reader->is_ended) return strange(reader, "something stands behind the frame that ends the file");
    enum frame_state state = frame_at(reader, reader->place, header, payload);
    if (state != FRAME_READ) return state;
    if (header->kind < FRAME_EFFECTS || header->kind > FRAME_END)
        return strange(reader, "the frame is of a kind that this release does not know");
    if (header->synced > reader->place || !time_is_possible(header->server_ms))
        return strange(reader, "the frame says what cannot be");
    bool is_sealed = reader->header.is_sealed;
    if (is_sealed && !reader->is_raw && !open_payload(reader, header, payload)) return FRAME_STRANGE;
    if (header->kind != FRAME_EFFECTS && payload->size > 0 && !(is_sealed && reader->is_raw))
        return strange(reader, "the frame holds something where there should be nothing");
    if (header->synced > reader->synced) reader->synced = header->synced;
    reader->frame_place = reader->place;
    reader->place += FRAME_HEADER_BYTES + header->size;
    reader->is_ended = header->kind == FRAME_END;
    return FRAME_READ;
}

/* ---------------------------------------------------------------- behind a damage */

/* What a frame that somebody wrote has there, whatever its sum. */
static bool may_be_frame(const struct file_reader *reader, uint64_t place, const uint8_t *at) {
    struct frame_header header;
    if (at[4] == 0 || at[5] != 0) return false; /* no kind: asked first, since this is asked of every byte */
    frame_header_read(at, &header);
    return header.kind >= FRAME_EFFECTS && header.kind <= FRAME_END && header.size <= FRAME_PAYLOAD_MAX &&
           header.size <= reader->size - place - FRAME_HEADER_BYTES && header.synced <= place;
}

/* Looks for the beginning of a frame at `*place` and behind, as far as the window reaches; moves the place to it, or to
 * where to look next. */
static bool find_beginning(struct file_reader *reader, uint64_t *place, struct file_rest *out) {
    uint64_t left = reader->size - *place;
    const uint8_t *at = window_get(reader, *place, left < FRAME_HEADER_BYTES ? (size_t)left : FRAME_HEADER_BYTES);
    if (!at) return false;
    size_t size = (size_t)(reader->window_place + reader->window.size - *place), i = 0;
    for (; i < size; i++) {
        /* A frame's second word is its kind: zeros reach its beginning by three bytes of its length at most. */
        size_t zeros = at[i] ? 0 : zeros_of(at + i, size - i);
        if (zeros > 8) i += zeros - 8;
        if (at[i]) out->end = *place + i + 1;
        if (size - i < FRAME_HEADER_BYTES) {
            if (left > size) break; /* the window ends within it */
            continue;
        }
        if (may_be_frame(reader, *place + i, at + i)) break;
    }
    *place += i;
    return true;
}

bool file_reader_rest(struct file_reader *reader, struct file_rest *out) {
    uint64_t place = reader->place, work = 0;
    *out = (struct file_rest){.end = place, .server_ms = INT64_MIN};
    while (place < reader->size && work <= REST_WORK_MAX) {
        struct frame_header header;
        struct bytes payload;
        if (!find_beginning(reader, &place, out)) return false;
        if (place == reader->size) break;
        enum frame_state state = frame_at(reader, place, &header, &payload);
        if (state == FRAME_UNREADABLE) return false;
        if (state == FRAME_READ) {
            out->frames++;
            if (header.synced > out->synced) out->synced = header.synced;
            if (header.server_ms > out->server_ms && time_is_possible(header.server_ms))
                out->server_ms = header.server_ms;
            place += FRAME_HEADER_BYTES + header.size;
            out->end = place;
        } else {
            work += state == FRAME_DAMAGED ? header.size : 0;
            place++;
        }
    }
    if (place < reader->size) out->end = reader->size;
    return true;
}

void file_reader_close(struct file_reader *reader) {
    if (reader->file) reader->disk->close(reader->file);
    reader->file = NULL;
    stream_end(&reader->stream);
    buf_fini(&reader->window);
    buf_fini(&reader->plain);
}
