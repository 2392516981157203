/* See seal.h. */
#include "log/seal.h"

#include <assert.h>

_Static_assert(SEAL_KEY_BYTES == KEY_SIZE, "one size of keys");
_Static_assert(sizeof(((struct file_header *)0)->stream_header) == STREAM_HEADER_BYTES, "one size of stream headers");

/* ---------------------------------------------------------------- keys */

/* 16: it is none. The text of a key is read once, at a start, by whoever may read the file: this may branch. */
static unsigned digit_of(uint8_t character) {
    if (character >= '0' && character <= '9') return character - '0';
    if (character >= 'a' && character <= 'f') return character - 'a' + 10;
    if (character >= 'A' && character <= 'F') return character - 'A' + 10;
    return 16;
}

static bool is_space(uint8_t character) {
    return character == ' ' || character == '\t' || character == '\r';
}

/* The line at the beginning of `text`, without the spaces around it; moves `text` behind it. */
static struct bytes take_line(struct bytes *text) {
    const uint8_t *end = memchr(text->data, '\n', text->size);
    struct bytes line = bytes_of(text->data, end ? (size_t)(end - text->data) : text->size);
    size_t size = line.size + (end ? 1 : 0);
    *text = bytes_of(text->data + size, text->size - size);
    while (line.size && is_space(line.data[line.size - 1])) line.size--;
    while (line.size && is_space(line.data[0])) line = bytes_of(line.data + 1, line.size - 1);
    return line;
}

static bool key_read(struct bytes line, uint8_t out[SEAL_KEY_BYTES]) {
    if (line.size != 2 * SEAL_KEY_BYTES) return false;
    for (size_t i = 0; i < SEAL_KEY_BYTES; i++) {
        unsigned high = digit_of(line.data[2 * i]), low = digit_of(line.data[2 * i + 1]);
        if (high > 15 || low > 15) return false;
        out[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

bool seal_keys_read(struct bytes text, struct seal_keys *out, const char **why) {
    memset(out, 0, sizeof *out);
    *why = NULL;
    while (text.size && !*why) {
        struct bytes line = take_line(&text);
        if (line.size == 0 || line.data[0] == '#') continue;
        if (out->count == SEAL_KEYS_MAX)
            *why = "holds more than 16 keys; leave out those that no file needs any more";
        else if (!key_read(line, out->keys[out->count]))
            *why = "has a line that is no key; each is 64 hexadecimal digits, as `openssl rand -hex 32` writes them";
        else
            out->count++;
    }
    if (!*why && out->count == 0)
        *why = "holds no key; write one line of 64 hexadecimal digits, as by `openssl rand -hex 32`";
    if (*why) seal_keys_wipe(out);
    return !*why;
}

void seal_keys_wipe(struct seal_keys *keys) {
    cipher_wipe(keys, sizeof *keys);
}

static void key_id_of(const uint8_t key[SEAL_KEY_BYTES], uint8_t out[8]) {
    uint8_t hash[HASH_SIZE];
    cipher_hash(key, HASH_STORE_KEY, BYTES_ABSENT, 0, hash);
    memcpy(out, hash, 8);
}

/* ---------------------------------------------------------------- files */

void seal_begin(const struct seal_keys *keys, const struct env *env, struct file_header *header,
                struct stream *stream) {
    header->is_sealed = keys != NULL;
    if (!keys) return;
    assert(keys->count > 0);
    key_id_of(keys->keys[0], header->key_id);
    env->random(env->context, header->stream_header, sizeof header->stream_header);
    stream_begin(stream, keys->keys[0], header->stream_header);
}

bool seal_resume(const struct seal_keys *keys, const struct file_header *header, struct stream *stream) {
    if (!header->is_sealed) return true;
    for (unsigned i = 0; keys && i < keys->count; i++) {
        uint8_t id[8];
        key_id_of(keys->keys[i], id);
        if (memcmp(id, header->key_id, sizeof id) != 0) continue;
        stream_begin(stream, keys->keys[i], header->stream_header);
        return true;
    }
    return false;
}

void seal_append_frame(struct buf *out, struct stream *stream, uint64_t number, uint64_t place,
                       struct frame_header *header, struct bytes payload) {
    assert(payload.size + STREAM_OVERHEAD_BYTES <= FRAME_PAYLOAD_MAX);
    uint8_t fields[FRAME_FIELDS_BYTES];
    header->size = (uint32_t)payload.size + (stream ? STREAM_OVERHEAD_BYTES : 0);
    /* Made room for before the stream moves: a message that is sealed and not written would leave a hole in it. */
    uint8_t *at = buf_reserve(out, FRAME_HEADER_BYTES + header->size);
    if (!at) return;
    uint8_t *body = at + FRAME_HEADER_BYTES;
    frame_header_fields(header, fields);
    if (stream)
        stream_seal(stream, payload, bytes_of(fields, sizeof fields), body);
    else if (payload.size)
        memcpy(body, payload.data, payload.size);
    frame_header_write(header, number, place, bytes_of(body, header->size), at);
    out->size += FRAME_HEADER_BYTES + header->size;
}

bool seal_open_payload(struct stream *stream, const struct frame_header *header, struct bytes sealed, uint8_t *out) {
    uint8_t fields[FRAME_FIELDS_BYTES];
    frame_header_fields(header, fields);
    return stream_open(stream, sealed, bytes_of(fields, sizeof fields), out);
}
