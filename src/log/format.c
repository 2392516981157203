/* See format.h. Where each field stands is said once, by the order in which it is written and read here. */
#include "log/format.h"

#include "base/hash.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

enum {
    HEADER_CHECKSUM_AT = FILE_HEADER_BYTES - 8,
    FRAME_CHECKSUM_AT = FRAME_HEADER_BYTES - 8,
    FLAG_SEALED = 1,
    NAME_DIGITS = 16
};

/* No file's number, so that the checksum of a file's header is none of a frame. */
static const uint64_t header_seed = UINT64_MAX;

/* ---------------------------------------------------------------- numbers */

static uint8_t *put(uint8_t *at, uint64_t value, unsigned size) {
    for (unsigned i = 0; i < size; i++) at[i] = (uint8_t)(value >> (8 * i));
    return at + size;
}

static uint64_t take(const uint8_t **at, unsigned size) {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; i++) value |= (uint64_t)(*at)[i] << (8 * i);
    *at += size;
    return value;
}

static uint8_t *put_bytes(uint8_t *at, const void *bytes, size_t size) {
    memcpy(at, bytes, size);
    return at + size;
}

static void take_bytes(const uint8_t **at, void *out, size_t size) {
    memcpy(out, *at, size);
    *at += size;
}

/* ---------------------------------------------------------------- the file's header */

void file_header_write(const struct file_header *header, uint8_t out[FILE_HEADER_BYTES]) {
    uint8_t *at = out;
    memset(out, 0, FILE_HEADER_BYTES);
    at = put_bytes(at, FILE_MAGIC, sizeof FILE_MAGIC - 1);
    at = put(at, header->format, 4);
    at = put(at, header->kind, 4);
    at = put_bytes(at, header->store_id, STORE_ID_BYTES);
    at = put(at, header->number, 8);
    at = put(at, (uint64_t)header->server_ms, 8);
    at = put(at, (uint64_t)header->wall_ms, 8);
    at = put(at, header->version, 8);
    at = put(at, header->previous_bytes, 8);
    at = put(at, header->previous_synced, 8);
    at = put(at, header->is_sealed ? FLAG_SEALED : 0, 8);
    if (header->is_sealed) {
        at = put_bytes(at, header->key_id, sizeof header->key_id);
        at = put_bytes(at, header->stream_header, sizeof header->stream_header);
    }
    assert(at <= out + HEADER_CHECKSUM_AT);
    put(out + HEADER_CHECKSUM_AT, hash_checksum(header_seed, bytes_of(out, HEADER_CHECKSUM_AT)), 8);
}

enum header_state file_header_read(const uint8_t in[FILE_HEADER_BYTES], struct file_header *out) {
    const uint8_t *at = in + sizeof FILE_MAGIC - 1, *checksum = in + HEADER_CHECKSUM_AT;
    memset(out, 0, sizeof *out);
    if (memcmp(in, FILE_MAGIC, sizeof FILE_MAGIC - 1) != 0) return HEADER_FOREIGN;
    /* Only the magic and the format have the same place in every format, the checksum may have another one. */
    out->format = (uint32_t)take(&at, 4);
    if (out->format > FILE_FORMAT) return HEADER_NEWER;
    if (take(&checksum, 8) != hash_checksum(header_seed, bytes_of(in, HEADER_CHECKSUM_AT))) return HEADER_DAMAGED;
    uint64_t kind = take(&at, 4);
    out->kind = kind == FILE_SNAPSHOT ? FILE_SNAPSHOT : FILE_LOG;
    take_bytes(&at, out->store_id, STORE_ID_BYTES);
    out->number = take(&at, 8);
    out->server_ms = (int64_t)take(&at, 8);
    out->wall_ms = (int64_t)take(&at, 8);
    out->version = take(&at, 8);
    out->previous_bytes = take(&at, 8);
    out->previous_synced = take(&at, 8);
    uint64_t flags = take(&at, 8);
    out->is_sealed = flags == FLAG_SEALED;
    if (out->is_sealed) {
        take_bytes(&at, out->key_id, sizeof out->key_id);
        take_bytes(&at, out->stream_header, sizeof out->stream_header);
    }
    bool is_known = out->format == FILE_FORMAT && kind == out->kind && out->number > 0 && flags <= FLAG_SEALED &&
                    time_is_possible(out->server_ms) && time_is_possible(out->wall_ms);
    return is_known ? HEADER_WHOLE : HEADER_DAMAGED;
}

/* ---------------------------------------------------------------- frames */

void frame_header_fields(const struct frame_header *header, uint8_t out[FRAME_FIELDS_BYTES]) {
    uint8_t *at = put(out, header->size, 4);
    at = put(at, header->kind, 4);
    at = put(at, header->synced, 8);
    at = put(at, (uint64_t)header->server_ms, 8);
    at = put(at, header->version, 8);
    assert(at == out + FRAME_FIELDS_BYTES);
}

/* The payload's checksum seeds the one of the header's fields, so one number is over both and neither is copied. */
static uint64_t frame_checksum(const uint8_t fields[FRAME_FIELDS_BYTES], uint64_t number, uint64_t place,
                               struct bytes payload) {
    uint64_t seed = hash_mix(number) ^ hash_mix(~place);
    return hash_checksum(hash_checksum(seed, payload), bytes_of(fields, FRAME_FIELDS_BYTES));
}

void frame_header_write(struct frame_header *header, uint64_t number, uint64_t place, struct bytes payload,
                        uint8_t out[FRAME_HEADER_BYTES]) {
    assert(header->size == payload.size && header->kind != 0);
    frame_header_fields(header, out);
    header->checksum = frame_checksum(out, number, place, payload);
    put(out + FRAME_CHECKSUM_AT, header->checksum, 8);
}

void frame_header_read(const uint8_t in[FRAME_HEADER_BYTES], struct frame_header *out) {
    const uint8_t *at = in;
    out->size = (uint32_t)take(&at, 4);
    out->kind = (uint32_t)take(&at, 4);
    out->synced = take(&at, 8);
    out->server_ms = (int64_t)take(&at, 8);
    out->version = take(&at, 8);
    out->checksum = take(&at, 8);
}

bool frame_is_whole(const struct frame_header *header, uint64_t number, uint64_t place, struct bytes payload) {
    uint8_t fields[FRAME_FIELDS_BYTES];
    frame_header_fields(header, fields);
    return header->size == payload.size && header->checksum == frame_checksum(fields, number, place, payload);
}

/* ---------------------------------------------------------------- names */

static const char *const kind_prefixes[] = {[FILE_LOG] = "log-", [FILE_SNAPSHOT] = "snapshot-"};

void file_name_write(enum file_kind kind, uint64_t number, char *out) {
    snprintf(out, DISK_NAME_MAX + 1, "%s%0*" PRIu64, kind_prefixes[kind], NAME_DIGITS, number);
}

static bool digits_read(const char *text, uint64_t *out) {
    if (strlen(text) != NAME_DIGITS) return false;
    *out = 0;
    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        *out = *out * 10 + (uint64_t)(text[i] - '0');
    }
    return *out > 0;
}

bool file_name_read(const char *name, enum file_kind *kind, uint64_t *number) {
    for (unsigned i = FILE_LOG; i <= FILE_SNAPSHOT; i++) {
        size_t size = strlen(kind_prefixes[i]);
        if (strncmp(name, kind_prefixes[i], size) != 0) continue;
        *kind = (enum file_kind)i;
        return digits_read(name + size, number);
    }
    return false;
}
