/* A file of frames, as segments and snapshots both are: its head and its frames as bytes. What is made here is written
 * by whoever asked for it. */
#include "log/internal.h"

static void header_fill(struct log *log, struct file_header *header, const struct file_out *out, enum file_kind kind,
                        int64_t now_ms) {
    struct disk *disk = log->options.disk;
    *header = (struct file_header){.format = FILE_FORMAT,
                                   .kind = kind,
                                   .number = out->number,
                                   .server_ms = now_ms,
                                   .wall_ms = disk->wall_ms(disk->context)};
    memcpy(header->store_id, log->store_id, STORE_ID_BYTES);
}

void file_begin(struct log *log, struct file_out *out, enum file_kind kind, int64_t now_ms, struct buf *bytes) {
    struct file_header header;
    struct seal_keys keys;
    header_fill(log, &header, out, kind, now_ms);
    lock_take(&log->lock);
    header.version = log->written_version;
    if (kind == FILE_LOG) header.previous_bytes = header.previous_synced = log->previous_bytes;
    out->is_sealed = log->has_keys;
    if (log->has_keys) keys = log->keys;
    lock_release(&log->lock);

    seal_begin(out->is_sealed ? &keys : NULL, log->options.env, &header, &out->stream);
    if (out->is_sealed) seal_keys_wipe(&keys);
    uint8_t *at = buf_reserve(bytes, FILE_HEADER_BYTES);
    if (!at) return;
    file_header_write(&header, at);
    bytes->size += FILE_HEADER_BYTES;

    struct buf preamble = BUF_EMPTY;
    log->engine->vtable->preamble(log->engine, &preamble);
    struct frame_header frame = {
        .kind = FRAME_EFFECTS, .server_ms = now_ms, .version = header.version, .size = (uint32_t)preamble.size};
    if (preamble.is_failed)
        bytes->is_failed = true;
    else if (preamble.size > 0)
        file_put_frame(out, &frame, buf_bytes(&preamble), bytes);
    buf_fini(&preamble);
}

void file_put_frame(struct file_out *out, struct frame_header *frame, struct bytes payload, struct buf *bytes) {
    uint64_t place = out->position + bytes->size;
    seal_append_frame(bytes, out->is_sealed ? &out->stream : NULL, out->number, place, frame, payload);
}

void file_close(struct log *log, struct file_out *out) {
    if (out->file) log->options.disk->close(out->file);
    out->file = NULL;
    if (out->is_sealed) stream_end(&out->stream);
    out->is_sealed = false;
}
