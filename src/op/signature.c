/* See signature.h. */
#include "op/signature.h"

#include "base/mp.h"
#include "crypto/cipher.h"
#include "sessiond/protocol.h"

static const char prefix[] = {'s', ':'};

/* Whatever is signed here can be verified here, also when every byte of it has been URL-encoded. */
enum { SIGNED_SIZE_MAX = sizeof prefix + LIMIT_MAX_TEXT + 1 + HASH_TEXT_SIZE };
_Static_assert(3 * SIGNED_SIZE_MAX <= LIMIT_MAX_COOKIE, "the longest signed value is a cookie, encoded too");

/* ---------------------------------------------------------------- signing */

static void mac_text(struct bytes secret, struct bytes value, char out[HASH_TEXT_SIZE]) {
    uint8_t mac[HASH_SIZE];
    cipher_hmac(secret, value, mac);
    cipher_base64(mac, out);
    cipher_wipe(mac, sizeof mac);
}

void signature_write(struct bytes secrets, struct bytes value, struct buf *out) {
    struct mp_cursor cursor = mp_cursor_of(secrets);
    char mac[HASH_TEXT_SIZE];
    uint8_t text[SIGNED_SIZE_MAX], *at = text;
    mp_read_array(&cursor);
    mac_text(mp_read_bytes(&cursor), value, mac);
    memcpy(at, prefix, sizeof prefix);
    at += sizeof prefix;
    if (value.size) memcpy(at, value.data, value.size);
    at += value.size;
    *at++ = '.';
    memcpy(at, mac, sizeof mac);
    mp_write_str(out, bytes_of(text, (size_t)(at - text) + sizeof mac));
    cipher_wipe(text, sizeof text);
    cipher_wipe(mac, sizeof mac);
}

/* ---------------------------------------------------------------- verifying */

/* Verifies a raw one. Every secret is tried, so that the time does not tell which fits. */
static bool verify_raw(struct bytes secrets, struct bytes text, struct bytes *value, unsigned *secret_index) {
    struct mp_cursor cursor = mp_cursor_of(secrets);
    const size_t tail = 1 + HASH_TEXT_SIZE;
    char mac[HASH_TEXT_SIZE];
    unsigned found = 0;
    if (text.size < sizeof prefix + tail || memcmp(text.data, prefix, sizeof prefix) != 0) return false;
    /* The MAC has no dot, so this one is the last. */
    const uint8_t *presented = text.data + text.size - HASH_TEXT_SIZE;
    if (presented[-1] != '.' || memchr(presented, '.', HASH_TEXT_SIZE)) return false;
    *value = bytes_of(text.data + sizeof prefix, text.size - sizeof prefix - tail);
    uint32_t count = mp_read_array(&cursor);
    for (uint32_t i = 0; i < count; i++) {
        mac_text(mp_read_bytes(&cursor), *value, mac);
        unsigned is_it = cipher_is_equal(mac, presented, sizeof mac);
        found |= is_it << i;
    }
    cipher_wipe(mac, sizeof mac); /* of a value that somebody else chose */
    found = cipher_reveal(found);
    if (!found) return false;
    *secret_index = (unsigned)__builtin_ctz(found);
    return true;
}

static int hex_digit(uint8_t digit) {
    if (digit >= '0' && digit <= '9') return digit - '0';
    digit |= 0x20;
    return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

/* False: a per cent sign without two digits. */
static bool url_decode(struct bytes text, uint8_t *out, size_t *size) {
    *size = 0;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        if (byte == '%') {
            if (text.size - i < 3) return false;
            int high = hex_digit(text.data[i + 1]), low = hex_digit(text.data[i + 2]);
            if (high < 0 || low < 0) return false;
            byte = (uint8_t)(high << 4 | low);
            i += 2;
        }
        out[(*size)++] = byte;
    }
    return true;
}

bool signature_verify(struct bytes secrets, struct bytes signed_value, struct bytes room, struct bytes *value,
                      unsigned *secret_index) {
    uint8_t decoded[LIMIT_MAX_COOKIE];
    size_t size;
    if (signed_value.size > sizeof decoded) return false;
    if (verify_raw(secrets, signed_value, value, secret_index)) return true;
    if (!signed_value.size || !memchr(signed_value.data, '%', signed_value.size)) return false;
    bool is_it = url_decode(signed_value, decoded, &size) &&
                 verify_raw(secrets, bytes_of(decoded, size), value, secret_index) && value->size <= room.size;
    if (is_it) {
        if (value->size) memcpy((uint8_t *)room.data, value->data, value->size);
        *value = bytes_of(room.data, value->size);
    }
    cipher_wipe(decoded, sizeof decoded);
    return is_it;
}

/* ---------------------------------------------------------------- URL encoding */

void url_encode(struct bytes text, struct buf *out) {
    static const char digits[] = "0123456789ABCDEF", plain[] = "-_.!~*'()";
    uint8_t *begin = buf_reserve(out, 3 * text.size + 1), *at = begin;
    if (!begin) return;
    for (size_t i = 0; i < text.size; i++) {
        uint8_t byte = text.data[i];
        bool is_letter = (byte | 0x20) >= 'a' && (byte | 0x20) <= 'z';
        if (is_letter || (byte >= '0' && byte <= '9') || (byte && strchr(plain, byte))) {
            *at++ = byte;
        } else {
            *at++ = '%';
            *at++ = (uint8_t)digits[byte >> 4];
            *at++ = (uint8_t)digits[byte & 15];
        }
    }
    out->size += (size_t)(at - begin);
}
