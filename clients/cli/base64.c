/* Standard base64 with padding. Always true: what encode writes, decode reads, and decode reads nothing else. */
#include "base64.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void base64_encode(struct bytes bytes, struct buf *out) {
    for (size_t at = 0; at < bytes.size; at += 3) {
        size_t left = bytes.size - at;
        uint32_t group = (uint32_t)bytes.data[at] << 16 | (left > 1 ? (uint32_t)bytes.data[at + 1] << 8 : 0) |
                         (left > 2 ? bytes.data[at + 2] : 0);
        char text[4] = {digits[group >> 18], digits[group >> 12 & 63], left > 1 ? digits[group >> 6 & 63] : '=',
                        left > 2 ? digits[group & 63] : '='};
        buf_append(out, text, sizeof text);
    }
}

static int digit_value(char c) {
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* One group of four; `padding` of its characters are =. The bits that padding cuts off must be 0. */
static bool decode_group(const char *text, unsigned padding, struct buf *out) {
    uint32_t group = 0;
    for (unsigned i = 0; i < 4; i++) {
        int value = i < 4 - padding ? digit_value(text[i]) : 0;
        if (value < 0) return false;
        group = group << 6 | (uint32_t)value;
    }
    if ((padding == 1 && (group & 0xff)) || (padding == 2 && (group & 0xffff))) return false;
    uint8_t bytes[3] = {(uint8_t)(group >> 16), (uint8_t)(group >> 8), (uint8_t)group};
    buf_append(out, bytes, 3 - padding);
    return true;
}

bool base64_decode(const char *text, size_t size, struct buf *out) {
    if (size % 4) return false;
    for (size_t at = 0; at < size; at += 4) {
        bool is_last = at + 4 == size;
        unsigned padding = !is_last || text[at + 3] != '=' ? 0 : text[at + 2] == '=' ? 2 : 1;
        if (!decode_group(text + at, padding, out)) return false;
    }
    return true;
}
