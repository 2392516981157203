/* One request being read, and the readers of single values: texts, numbers, words, lists, and what a choice is made of.
 *
 * A reader that returns false has either filled the error (the request is refused) or left the cursor with MP_TRUNCATED
 * (more bytes are needed) or MP_MALFORMED (never MessagePack). What is read is borrowed from the message. For the files
 * of this folder; any thread. */
#ifndef WIRE_READING_H
#define WIRE_READING_H

#include "base/utf8.h"
#include "wire/refusal.h"
#include "wire/tables.h"

#define UINT53_MAX ((INT64_C(1) << 53) - 1)

/* One request being read. */
struct reading {
    struct mp_cursor cursor;
    struct subject subject;
};

/* After a read: was it refused for its form? A text or container that is not all there is no refusal. */
static inline bool reading_is_fine(const struct reading *reading) {
    return reading->cursor.error == MP_OK;
}

/* No value stands there to be refused: the bytes end, or it is 0xc1. Nothing is said then, since a message that comes
 * in pieces passes here once for each piece. */
bool reading_is_lacking(struct reading *reading, enum mp_type type);
/* The value is of another type than its argument takes. */
bool reading_refuse_type(struct reading *reading);
/* The name of an element in sentences: "ids[3]"; the argument itself where index is below 0. */
bool reading_refuse_text(struct reading *reading, int64_t index, const char *problem, int64_t limit);

/* A text of `min` to `max` bytes of UTF-8. */
static inline bool reading_text(struct reading *reading, int64_t index, size_t min, size_t max, struct bytes *out) {
    enum mp_type type = mp_peek(&reading->cursor);
    if (type != MP_STR && type != MP_BIN) return reading_refuse_type(reading);
    struct bytes text = mp_read_bytes(&reading->cursor);
    if (!reading_is_fine(reading)) return false;
    if (text.size < min) return reading_refuse_text(reading, index, "is empty", -1);
    if (text.size > max) return reading_refuse_text(reading, index, "is too long", (int64_t)max);
    if (!utf8_is_valid(text)) return reading_refuse_text(reading, index, "is not valid UTF-8", -1);
    *out = text;
    return true;
}

/* Each reads one value of what its argument may be; numbers and words into *out, all else as it stands. */
bool reading_number(struct reading *reading, int64_t min, int64_t max, int64_t *out);
bool reading_bool(struct reading *reading, bool *out);
bool reading_value(struct reading *reading, struct bytes *out);
bool reading_map_value(struct reading *reading, struct bytes *out);
bool reading_ids(struct reading *reading, struct bytes *out);
bool reading_keys(struct reading *reading, struct bytes *out);
bool reading_deltas(struct reading *reading, struct bytes *out);
bool reading_words(struct reading *reading, const struct word *words, unsigned count, uint64_t *out);
bool reading_statuses(struct reading *reading, uint64_t *out);
bool reading_events(struct reading *reading, uint64_t *out);
bool reading_choice(struct reading *reading, enum argument_type type, void *out);
bool reading_presented(struct reading *reading, struct bytes *out);
bool reading_id_choice(struct reading *reading, enum id_kind kind, const char *key, struct id_choice *out);
bool reading_tags(struct reading *reading, struct bytes *out);
bool reading_score(struct reading *reading, double *out);
bool reading_status_codes(struct reading *reading, struct status_codes *out);
bool reading_mark_outcome(struct reading *reading, struct mark_outcome *out);
bool reading_records(struct reading *reading, struct bytes *out);
bool reading_secrets(struct reading *reading, struct bytes *out);
bool reading_cookie_secure(struct reading *reading, enum cookie_secure *out);
bool reading_same_site(struct reading *reading, enum same_site *out);
bool reading_cookie_text(struct reading *reading, struct cookie_text *out);

#endif
