/* UTF-8: what is well-formed, at every length and place that the fast way treats apart. */
#include "base/utf8.h"

#include <criterion/criterion.h>

static bool valid(const char *text) {
    return utf8_is_valid(bytes_of_string(text));
}

Test(utf8, takes_ascii_of_any_length) {
    char text[64];
    memset(text, 'a', sizeof text);
    for (size_t size = 0; size <= sizeof text; size++) cr_assert(utf8_is_valid(bytes_of(text, size)), "size %zu", size);
}

Test(utf8, finds_a_stray_byte_at_every_place_of_every_length) {
    char text[40];
    for (size_t size = 1; size <= sizeof text; size++) {
        for (size_t at = 0; at < size; at++) {
            memset(text, 'a', sizeof text);
            text[at] = (char)0x80;
            cr_assert_not(utf8_is_valid(bytes_of(text, size)), "size %zu, byte %zu", size, at);
        }
    }
}

Test(utf8, takes_the_first_and_last_of_each_length) {
    const char *texts[] = {"\xc2\x80",     "\xdf\xbf",         "\xe0\xa0\x80",     "\xed\x9f\xbf", "\xee\x80\x80",
                           "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xe2\x82\xac", "a\xf0\x9f\x8d\xaa"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cr_assert(valid(texts[i]), "text %zu", i);
}

Test(utf8, refuses_overlong_forms_surrogates_and_what_is_too_high) {
    const char *texts[] = {"\xc0\x80",     "\xc1\xbf",     "\xe0\x9f\xbf",     "\xf0\x8f\xbf\xbf",
                           "\xed\xa0\x80", "\xed\xbf\xbf", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80",
                           "\xff",         "\xfe"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cr_assert_not(valid(texts[i]), "text %zu", i);
}

Test(utf8, refuses_a_sequence_that_is_cut_off) {
    const char *texts[] = {"\xc3",
                           "\xe2\x82",
                           "\xf0\x9f\x8d",
                           "\xc3"
                           "a",
                           "\xe2\x82"
                           "a",
                           "\xf0\x9f\x8d"
                           "a"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) cr_assert_not(valid(texts[i]), "text %zu", i);
}

/* Every code point, encoded here by the definition, and every two-byte string. */
Test(utf8, takes_every_code_point_but_the_surrogates) {
    for (uint32_t point = 0; point < 0x110000; point++) {
        uint8_t text[4];
        size_t size;
        if (point < 0x80) {
            text[0] = (uint8_t)point, size = 1;
        } else if (point < 0x800) {
            text[0] = (uint8_t)(0xc0 | point >> 6), size = 2;
        } else if (point < 0x10000) {
            text[0] = (uint8_t)(0xe0 | point >> 12), size = 3;
        } else {
            text[0] = (uint8_t)(0xf0 | point >> 18), size = 4;
        }
        for (size_t i = 1; i < size; i++) text[i] = (uint8_t)(0x80 | (point >> (6 * (size - 1 - i)) & 0x3f));
        bool is_surrogate = point >= 0xd800 && point < 0xe000;
        cr_assert_eq(utf8_is_valid(bytes_of(text, size)), !is_surrogate, "U+%X", point);
    }
}

Test(utf8, takes_of_two_bytes_exactly_the_pairs_that_are_text) {
    for (unsigned first = 0; first < 256; first++) {
        for (unsigned second = 0; second < 256; second++) {
            uint8_t text[2] = {(uint8_t)first, (uint8_t)second};
            bool is_text =
                (first < 0x80 && second < 0x80) || (first >= 0xc2 && first < 0xe0 && second >= 0x80 && second < 0xc0);
            cr_assert_eq(utf8_is_valid(bytes_of(text, 2)), is_text, "%02x %02x", first, second);
        }
    }
}
