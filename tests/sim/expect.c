/* Answers of the simplest kinds against what the model expects. An absent answer (of a notification) is as expected. */
#include "base/mp.h"
#include "parts.h"
#include "wire/codec.h"

#include <string.h>

bool expect_ok(struct model *model, const struct answer *answer) {
    if (!answer->error.data || is_nil(answer->error)) return true;
    struct mp_cursor code = mp_cursor_of(map_value(answer->error, "code"));
    struct bytes text = mp_read_bytes(&code);
    return complain(model, "should not be refused with %.*s", (int)text.size, text.data);
}

bool answer_is_refused(const struct answer *answer, const char *code) {
    struct mp_cursor cursor = mp_cursor_of(map_value(answer->error, "code"));
    return cursor.at && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(code));
}

bool expect_nil(struct model *model, const struct answer *answer) {
    if (!answer->error.data) return true;
    return expect_ok(model, answer) && (is_nil(answer->result) || complain(model, "should be nil"));
}

bool expect_integer(struct model *model, const struct answer *answer, int64_t expected) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    return integer_of(answer->result) == expected ||
           complain(model, "should be %lld, not %lld", (long long)expected, (long long)integer_of(answer->result));
}

bool expect_bool(struct model *model, const struct answer *answer, bool expected) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    uint8_t byte = expected ? 0xc3 : 0xc2;
    return bytes_equal(answer->result, bytes_of(&byte, 1)) || complain(model, "should be %d", expected);
}

bool expect_error(struct model *model, const struct answer *answer, const char *code) {
    return !answer->error.data || compare_error(model, answer, code);
}

bool expect_record(struct model *model, const struct answer *answer, struct record *record, const char *id,
                   uint64_t fields, int64_t now_ms) {
    if (!answer->error.data) return true;
    return expect_ok(model, answer) &&
           compare_record(model, record, id, fields ? fields : FIELDS_DEFAULT, now_ms, answer->result);
}

/* {expires_at} and, if asked, the version. */
bool expect_deadline(struct model *model, const struct answer *answer, struct record *record, bool has_version) {
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer)) return false;
    int64_t got = integer_of(map_value(answer->result, "expires_at"));
    if (got != record_expires_at(record))
        return complain(model, "expires_at should be %lld, not %lld", (long long)record_expires_at(record),
                        (long long)got);
    if (!has_version) return true;
    return compare_version(model, record, (uint64_t)integer_of(map_value(answer->result, "version")));
}

/* GONE, saying which status a dead one has. */
bool expect_gone(struct model *model, const struct answer *answer, const struct record *record, enum stands stands,
                 int64_t now_ms) {
    if (!expect_error(model, answer, "GONE")) return false;
    if (stands != STANDS_DEAD || !answer->error.data) return true;
    struct mp_cursor cursor = mp_cursor_of(map_value(answer->error, "status"));
    const char *expected = status_name(record_status(record, now_ms));
    return (cursor.at && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(expected))) ||
           complain(model, "GONE should say that it is %s", expected);
}

bool expect_version_error(struct model *model, const struct answer *answer, struct record *record, const char *code) {
    if (!answer->error.data) return true;
    return compare_error(model, answer, code) &&
           compare_version(model, record, (uint64_t)integer_of(map_value(answer->error, "version")));
}
