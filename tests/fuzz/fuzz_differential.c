/* Our cursor against msgpack-c: what the one takes for a whole value the other takes too, and both see the same value.
 *
 * msgpack-c reserves memory for a declared count before it has seen an element, so bytes are given to it only when our
 * scan has gone over them, which bounds every count by the bytes that follow. */
#include <msgpack.h>

#include "base/mp.h"
#include "fuzz/target.h"

/* msgpack-c refuses what is nested deeper than its own stack. */
#define DEPTH_MAX 30

static void compare(struct mp_cursor *cursor, const msgpack_object *object);

static void compare_text(struct mp_cursor *cursor, const char *data, uint32_t size) {
    struct bytes text = mp_read_bytes(cursor);
    REQUIRE(text.size == size && (size == 0 || memcmp(text.data, data, size) == 0));
}

static void compare_double(struct mp_cursor *cursor, double expected) {
    double value = mp_read_double(cursor);
    REQUIRE(memcmp(&value, &expected, sizeof value) == 0 || (value != value && expected != expected));
}

static void compare_integer(struct mp_cursor *cursor, const msgpack_object *object) {
    if (object->type == MSGPACK_OBJECT_NEGATIVE_INTEGER) {
        REQUIRE(mp_read_int(cursor, INT64_MIN, -1) == object->via.i64);
    } else if (object->via.u64 <= INT64_MAX) {
        REQUIRE(mp_read_int(cursor, 0, INT64_MAX) == (int64_t)object->via.u64);
    } else {
        struct mp_cursor ahead = *cursor;
        mp_read_int(&ahead, INT64_MIN, INT64_MAX);
        REQUIRE(ahead.error == MP_RANGE);
        REQUIRE(mp_read_double(cursor) == (double)object->via.u64);
    }
}

static void compare_array(struct mp_cursor *cursor, const msgpack_object *object) {
    REQUIRE(mp_read_array(cursor) == object->via.array.size);
    for (uint32_t i = 0; i < object->via.array.size; i++) compare(cursor, &object->via.array.ptr[i]);
}

static void compare_map(struct mp_cursor *cursor, const msgpack_object *object) {
    REQUIRE(mp_read_map(cursor) == object->via.map.size);
    for (uint32_t i = 0; i < object->via.map.size; i++) {
        compare(cursor, &object->via.map.ptr[i].key);
        compare(cursor, &object->via.map.ptr[i].val);
    }
}

static void compare(struct mp_cursor *cursor, const msgpack_object *object) {
    switch (object->type) {
    case MSGPACK_OBJECT_NIL: REQUIRE(mp_read_nil(cursor)); break;
    case MSGPACK_OBJECT_BOOLEAN: REQUIRE(mp_read_bool(cursor) == object->via.boolean); break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
    case MSGPACK_OBJECT_NEGATIVE_INTEGER: compare_integer(cursor, object); break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64: compare_double(cursor, object->via.f64); break;
    case MSGPACK_OBJECT_STR: compare_text(cursor, object->via.str.ptr, object->via.str.size); break;
    case MSGPACK_OBJECT_BIN: compare_text(cursor, object->via.bin.ptr, object->via.bin.size); break;
    case MSGPACK_OBJECT_ARRAY: compare_array(cursor, object); break;
    case MSGPACK_OBJECT_MAP: compare_map(cursor, object); break;
    case MSGPACK_OBJECT_EXT: REQUIRE(mp_peek(cursor) == MP_EXT && mp_read_value(cursor, 0).data); break;
    }
    REQUIRE(cursor->error == MP_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct mp_cursor cursor = mp_cursor_of(bytes_of(data, size));
    struct bytes value = mp_read_value(&cursor, DEPTH_MAX);
    struct mp_scan scan = {0};
    enum mp_error scan_error;
    mp_scan_feed(&scan, bytes_of(data, size), &scan_error);
    /* Cut off or malformed: the declared counts may be anything, so msgpack-c gets only what was understood so far, and
     * then only if little is still to come. It must not take that for a whole value either. */
    if (!value.data && (cursor.error == MP_DEEP || scan.pending > 1000)) return 0;
    size_t given = value.data ? size : scan.scanned, offset = 0;
    msgpack_unpacked unpacked;
    msgpack_unpacked_init(&unpacked);
    msgpack_unpack_return outcome = msgpack_unpack_next(&unpacked, (const char *)data, given, &offset);
    REQUIRE((outcome == MSGPACK_UNPACK_SUCCESS) == (value.data != NULL));
    if (value.data) {
        REQUIRE(offset == value.size);
        cursor = mp_cursor_of(value);
        compare(&cursor, &unpacked.data);
        REQUIRE(cursor.at == cursor.end);
    }
    msgpack_unpacked_destroy(&unpacked);
    return 0;
}
