/* The general check of UTF-8, for texts that are not ASCII throughout. */
#include "base/utf8.h"

/* How a sequence that starts with `first` goes on: its length, and the range of its second byte, which is where
 * overlong forms (e0, f0), surrogates (ed) and what is above U+10FFFF (f4) are shut out. Length 0: no sequence starts
 * so. */
struct sequence {
    uint8_t length, second_min, second_max;
};

static struct sequence sequence_of(uint8_t first) {
    if (first < 0x80) return (struct sequence){1, 0, 0};
    if (first < 0xc2) return (struct sequence){0, 0, 0};
    if (first < 0xe0) return (struct sequence){2, 0x80, 0xbf};
    if (first < 0xf0) return (struct sequence){3, first == 0xe0 ? 0xa0 : 0x80, first == 0xed ? 0x9f : 0xbf};
    if (first < 0xf5) return (struct sequence){4, first == 0xf0 ? 0x90 : 0x80, first == 0xf4 ? 0x8f : 0xbf};
    return (struct sequence){0, 0, 0};
}

bool utf8_is_valid_slow(struct bytes text) {
    for (size_t i = 0; i < text.size;) {
        struct sequence sequence = sequence_of(text.data[i]);
        if (sequence.length == 0 || sequence.length > text.size - i) return false;
        if (sequence.length > 1 && (text.data[i + 1] < sequence.second_min || text.data[i + 1] > sequence.second_max))
            return false;
        for (unsigned k = 2; k < sequence.length; k++) {
            if ((text.data[i + k] & 0xc0) != 0x80) return false;
        }
        i += sequence.length;
    }
    return true;
}
