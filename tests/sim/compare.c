/* Answers against records of the model: every field that was asked for and is set is there, with its value, and no
 * other. */
#include "base/mp.h"
#include "model.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool complain(struct model *model, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(model->complaint, sizeof model->complaint, format, arguments);
    va_end(arguments);
    return false;
}

/* ---------------------------------------------------------------- a record's moments */

int64_t record_expires_at(const struct record *record) {
    int64_t absolute = record->deadline ? record->deadline : 0;
    if (!absolute && record->absolute_ms) absolute = record->created_at + record->absolute_ms;
    int64_t idle = record->idle_ms ? record->last_active_at + record->idle_ms : 0;
    if (!absolute) return idle;
    if (!idle) return absolute;
    return idle < absolute ? idle : absolute;
}

int64_t record_abandon_at(const struct record *record) {
    return record->abandon_ms ? record->last_active_at + record->abandon_ms : 0;
}

enum status record_status(const struct record *record, int64_t now_ms) {
    if (!status_is_living(record->status)) return record->status;
    int64_t expires_at = record_expires_at(record), abandon_at = record_abandon_at(record);
    bool expired = expires_at && now_ms >= expires_at, abandoned = abandon_at && now_ms >= abandon_at;
    if (expired && abandoned) return expires_at <= abandon_at ? STATUS_EXPIRED : STATUS_ABANDONED;
    return expired ? STATUS_EXPIRED : abandoned ? STATUS_ABANDONED : record->status;
}

/* When it left active, as it is answered. */
static int64_t record_status_at(const struct record *record, int64_t now_ms) {
    if (!status_is_living(record->status)) return record->status_at;
    switch (record_status(record, now_ms)) {
    case STATUS_EXPIRED: return record_expires_at(record);
    case STATUS_ABANDONED: return record_abandon_at(record);
    default: return 0;
    }
}

static int64_t record_written_at(const struct record *record) {
    return record->version ? version_time(record->version) : record->written_at;
}

int64_t record_died_at(const struct record *record, int64_t now_ms) {
    int64_t status_at = record_status_at(record, now_ms), written_at = record_written_at(record);
    return status_at && written_at > status_at ? written_at : status_at;
}

/* ---------------------------------------------------------------- encoded values */

struct bytes map_value(struct bytes map, const char *key) {
    struct mp_cursor cursor = mp_cursor_of(map);
    if (mp_peek(&cursor) != MP_MAP) return BYTES_ABSENT;
    for (uint32_t pairs = mp_read_map(&cursor); pairs > 0; pairs--) {
        struct bytes name = mp_read_bytes(&cursor), value = mp_read_value(&cursor, MP_DEPTH_MAX);
        if (cursor.error != MP_OK) return BYTES_ABSENT;
        if (bytes_equal(name, bytes_of_string(key))) return value;
    }
    return BYTES_ABSENT;
}

int64_t integer_of(struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    int64_t value = mp_read_int(&cursor, INT64_MIN, INT64_MAX);
    return cursor.error == MP_OK ? value : INT64_MIN;
}

bool is_nil(struct bytes encoded) {
    return encoded.size == 1 && encoded.data[0] == 0xc0;
}

/* ---------------------------------------------------------------- fields */

static bool compare_text(struct model *model, const char *name, struct bytes encoded, const char *expected) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    struct bytes text = mp_read_bytes(&cursor);
    if (cursor.error == MP_OK && bytes_equal(text, bytes_of_string(expected))) return true;
    return complain(model, "%s should be '%s'", name, expected);
}

static bool compare_integer(struct model *model, const char *name, struct bytes encoded, int64_t expected) {
    if (integer_of(encoded) == expected) return true;
    return complain(model, "%s should be %lld, not %lld", name, (long long)expected, (long long)integer_of(encoded));
}

bool compare_version(struct model *model, struct record *record, uint64_t version) {
    if (record->version) {
        if (record->version == version) return true;
        return complain(model, "version should still be %llu, not %llu", (unsigned long long)record->version,
                        (unsigned long long)version);
    }
    if (version <= record->version_floor)
        return complain(model, "version %llu should be above %llu", (unsigned long long)version,
                        (unsigned long long)record->version_floor);
    if (version_time(version) < record->written_at || version_time(version) > record->written_at + 1)
        return complain(model, "version %llu is not of the moment %lld", (unsigned long long)version,
                        (long long)record->written_at);
    record->version = version;
    /* What a pool makes for who waits may be made behind what comes after it. */
    if (!record->is_made && version > model->version_max) model->version_max = version;
    return true;
}

/* What a field should hold. */
struct expectation {
    bool is_there;
    const char *text; /* not NULL: a text */
    struct bytes raw; /* not absent: these bytes */
    int64_t integer;
    bool is_score, is_bool, is_tags;
    double score;
    unsigned tags;
};

static struct expectation expect_integer(bool is_there, int64_t value) {
    return (struct expectation){.is_there = is_there, .integer = value};
}
static struct expectation expect_text(const char *text) {
    return (struct expectation){.is_there = text[0] != 0, .text = text};
}

static struct expectation expect_usage(const struct seat *seat, enum field field) {
    switch (field) {
    case FIELD_USAGE_COUNT: return expect_integer(true, (int64_t)seat->usage_count);
    case FIELD_MAX_USAGE_COUNT: return expect_integer(true, (int64_t)seat->max_usage);
    case FIELD_ERROR_COUNT: return expect_integer(true, (int64_t)seat->error_count);
    case FIELD_ERROR_SCORE: return (struct expectation){.is_there = true, .is_score = true, .score = seat->score};
    case FIELD_MAX_ERROR_SCORE:
        return (struct expectation){.is_there = true, .is_score = true, .score = seat->max_score};
    case FIELD_ERROR_SCORE_DECREMENT:
        return (struct expectation){.is_there = true, .is_score = true, .score = seat->decrement};
    case FIELD_RETIRED: return (struct expectation){.is_there = seat->retired_at != 0, .is_bool = true};
    case FIELD_LAST_USED_AT: return expect_integer(seat->last_used_at != 0, seat->last_used_at);
    case FIELD_LEASE_EXPIRES_AT: return expect_integer(seat->leased_until != 0, seat->leased_until);
    default: return (struct expectation){.is_there = false};
    }
}

/* What it is called in an answer; "": the answer does not say. */
struct names {
    char id[ID_TEXT_MAX], handle[HANDLE_SIZE + 1];
};

static struct names names_of(const struct model *model, const struct record *record, const char *id) {
    struct names names = {"", ""};
    if (shows_id(model, record->namespace)) strcpy(names.id, id);
    if (model->namespaces[record->namespace].policy.hash_ids) handle_of_id(model, id, names.handle);
    return names;
}

static struct expectation expect(const struct record *record, const struct names *names, enum field field,
                                 int64_t now_ms) {
    int64_t status_at = record_status_at(record, now_ms);
    int64_t updated_at = record_written_at(record);
    switch (field) {
    case FIELD_ID: return expect_text(names->id);
    case FIELD_HANDLE: return expect_text(names->handle);
    case FIELD_STATUS: return expect_text(status_name(record_status(record, now_ms)));
    case FIELD_CREATED_AT: return expect_integer(true, record->created_at);
    case FIELD_UPDATED_AT:
        return expect_integer(true, updated_at > record->last_active_at ? updated_at : record->last_active_at);
    case FIELD_LAST_ACTIVE_AT: return expect_integer(true, record->last_active_at);
    case FIELD_EXPIRES_AT: return expect_integer(true, record_expires_at(record));
    case FIELD_IDLE_TIMEOUT_MS: return expect_integer(true, record->idle_ms);
    case FIELD_ABSOLUTE_TIMEOUT_MS: return expect_integer(true, record->absolute_ms);
    case FIELD_ABANDON_TIMEOUT_MS: return expect_integer(record->abandon_ms != 0, record->abandon_ms);
    case FIELD_ABANDON_AT: return expect_integer(record->abandon_ms != 0, record_abandon_at(record));
    case FIELD_ABSOLUTE_EXPIRES_AT: return expect_integer(record->deadline != 0, record->deadline);
    case FIELD_STATUS_AT: return expect_integer(status_at != 0, status_at);
    case FIELD_REASON: return expect_text(record->reason);
    case FIELD_REPLACED_BY: return expect_text(record->replaced_by);
    case FIELD_USER: return expect_text(record->user);
    case FIELD_CLIENT: return expect_text(record->client);
    case FIELD_DATA: return (struct expectation){.is_there = true, .raw = record->data};
    case FIELD_META: return (struct expectation){.is_there = record->meta.data != NULL, .raw = record->meta};
    case FIELD_POOL: return expect_text(record->pool);
    case FIELD_TAGS: return (struct expectation){.is_there = record->tags != 0, .is_tags = true, .tags = record->tags};
    default: return record->seat ? expect_usage(record->seat, field) : (struct expectation){.is_there = false};
    }
}

static bool compare_score(struct model *model, const char *name, struct bytes encoded, double expected) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    double got = mp_peek(&cursor) == MP_FLOAT ? mp_read_double(&cursor) : (double)integer_of(encoded);
    return got == expected || complain(model, "%s should be %g, not %g", name, expected, got);
}

static bool compare_tags(struct model *model, struct bytes encoded, unsigned expected) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    unsigned tags = 0;
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--) {
        struct bytes tag = mp_read_bytes(&cursor);
        if (tag.size == 2) tags |= 1u << (tag.data[1] - '0');
    }
    return tags == expected || complain(model, "the tags are others");
}

static bool compare_field(struct model *model, struct record *record, const struct names *names, enum field field,
                          int64_t now_ms, struct bytes encoded) {
    const char *name = field_name(field);
    if (field == FIELD_VERSION) {
        if (!encoded.data) return complain(model, "version is missing");
        return compare_version(model, record, (uint64_t)integer_of(encoded));
    }
    struct expectation expected = expect(record, names, field, now_ms);
    if (!expected.is_there) return !encoded.data || complain(model, "%s should not be there", name);
    if (!encoded.data) return complain(model, "%s is missing", name);
    if (expected.is_score) return compare_score(model, name, encoded, expected.score);
    if (expected.is_tags) return compare_tags(model, encoded, expected.tags);
    if (expected.is_bool)
        return bytes_equal(encoded, bytes_of("\xc3", 1)) || complain(model, "%s should be true", name);
    if (expected.text) return compare_text(model, name, encoded, expected.text);
    if (expected.raw.data) return bytes_equal(encoded, expected.raw) || complain(model, "%s has other bytes", name);
    return compare_integer(model, name, encoded, expected.integer);
}

bool compare_record(struct model *model, struct record *record, const char *id, uint64_t fields, int64_t now_ms,
                    struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    if (mp_peek(&cursor) != MP_MAP) return complain(model, "the answer should be the record of %s", id);
    uint32_t pairs = mp_read_map(&cursor), found = 0;
    struct names names = names_of(model, record, id);
    struct bytes token = map_value(encoded, "token");
    if ((token.data != NULL) != model->expects_token)
        return complain(model, model->expects_token ? "the token is missing" : "a token is told once");
    if (token.data && !token_keep(model, record, id, token)) return false;
    model->expects_token = false;
    /* The version first: the others may depend on it. */
    for (enum field field = FIELD_NONE + 1; field < FIELD_END; field++) {
        enum field turn = field == FIELD_ID ? FIELD_VERSION : field == FIELD_VERSION ? FIELD_ID : field;
        struct bytes value = map_value(encoded, field_name(turn));
        found += value.data != NULL;
        if (turn == FIELD_TOKEN) continue;
        if (turn == FIELD_USE || turn == FIELD_FENCE) continue; /* looked at where a session is handed out */
        if (!(fields & FIELD_BIT(turn))) {
            if (value.data) return complain(model, "%s was not asked for", field_name(turn));
        } else if (!compare_field(model, record, &names, turn, now_ms, value)) {
            return false;
        }
    }
    return found == pairs || complain(model, "the record has unknown or repeated fields");
}

bool compare_error(struct model *model, const struct answer *answer, const char *code) {
    if (is_nil(answer->error)) return complain(model, "should be refused with %s", code);
    if (!is_nil(answer->result)) return complain(model, "an error and a result at once");
    struct mp_cursor message = mp_cursor_of(map_value(answer->error, "message"));
    if (!message.at || mp_read_bytes(&message).size < 10) return complain(model, "an error without a sentence");
    return compare_text(model, "error", map_value(answer->error, "code"), code);
}
