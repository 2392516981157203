/* See notices.h. */
#include "notices.h"

#include <stdio.h>
#include <string.h>

bool notices_add(struct notices *notices, unsigned conn, int line, struct bytes message) {
    struct mp_cursor cursor = mp_cursor_of(message);
    if (notices->count == NOTICE_MAX || mp_read_array(&cursor) != 3 || mp_read_int(&cursor, 2, 2) != 2) return false;
    struct bytes method = mp_read_bytes(&cursor);
    if (cursor.error || !bytes_equal(method, BYTES_LITERAL("event")) || mp_read_array(&cursor) != 1) return false;
    if (cursor.error || mp_peek(&cursor) != MP_MAP) return false;
    struct notice *notice = &notices->all[notices->count++];
    *notice = (struct notice){.conn = conn, .line = line, .map = BUF_EMPTY};
    struct bytes map = value_read(&cursor);
    buf_append(&notice->map, map.data, map.size);
    return cursor.at == cursor.end;
}

/* The encoded value of a key; absent: it has none. */
static struct bytes value_of(const struct notice *notice, const char *key) {
    struct mp_cursor cursor = mp_cursor_of(buf_bytes(&notice->map));
    for (uint32_t pairs = mp_read_map(&cursor); pairs > 0; pairs--) {
        struct bytes name = mp_read_bytes(&cursor), value = value_read(&cursor);
        if (bytes_equal(name, bytes_of_string(key))) return value;
    }
    return BYTES_ABSENT;
}

static bool is_same(const struct notice *a, const struct notice *b, const char *key) {
    struct bytes x = value_of(a, key), y = value_of(b, key);
    return x.data && y.data && bytes_equal(x, y);
}

/* One that came before it, of the same session and watch, was not looked at. */
static bool is_blocked(const struct notices *notices, unsigned index) {
    const struct notice *notice = &notices->all[index];
    for (unsigned i = 0; i < index; i++) {
        const struct notice *earlier = &notices->all[i];
        if (earlier->conn != notice->conn || earlier->is_looked_at || !is_same(earlier, notice, "watch")) continue;
        if (is_same(earlier, notice, "id") || is_same(earlier, notice, "handle")) return true;
    }
    return false;
}

/* Forgets what a match that failed has captured. */
static void captures_cut(struct captures *captures, unsigned count) {
    while (captures->count > count) buf_fini(&captures->all[--captures->count].value);
}

bool notices_look(struct notices *notices, unsigned conn, bool is_next, struct reading *pattern, char *why,
                  size_t why_size) {
    snprintf(why, why_size, "no event came");
    for (unsigned i = 0; i < notices->count; i++) {
        struct notice *notice = &notices->all[i];
        if (notice->conn != conn || notice->is_looked_at) continue;
        struct reading reading = *pattern;
        unsigned captured = reading.captures->count;
        if ((is_next || !is_blocked(notices, i)) && value_match(&reading, buf_bytes(&notice->map), why, why_size)) {
            notice->is_looked_at = true;
            *pattern = reading;
            return true;
        }
        captures_cut(reading.captures, captured);
        if (is_next) return false;
    }
    return false;
}

const struct notice *notices_rest(const struct notices *notices, int conn) {
    for (unsigned i = 0; i < notices->count; i++)
        if (!notices->all[i].is_looked_at && (conn < 0 || notices->all[i].conn == (unsigned)conn))
            return &notices->all[i];
    return NULL;
}

void notices_clear(struct notices *notices) {
    for (unsigned i = 0; i < notices->count; i++) buf_fini(&notices->all[i].map);
    notices->count = 0;
}
