/* pool.load: puts sessions as pool.state answered them into a pool.
 *
 * The records are checked before anything is loaded: a malformed one is refused by its place in the array. Then each
 * is a step of its own with the rule of pool.add. What is not usable, or has an id that is taken, is left out; a full
 * pool ends it. What a record says of itself that only the server knows (version, expires_at, a lease ...) is ignored,
 * so that an answer of pool.state can be given back as it is. Any loop's thread. */
#include "base/id.h"
#include "base/utf8.h"
#include "op/op_table.gen.h"
#include "op/pool.h"
#include "wire/refusal.h"

#include <assert.h>
#include <stdio.h>

/* Where in the array the next record stands, how many are left, and how many were taken. */
enum { CARRIED_AT, CARRIED_LEFT, CARRIED_TAKEN };

/* A record as arguments of pool.add, and what alone would keep it out. */
struct loaded {
    struct args_pool_add args;
    bool is_unusable; /* it is retired, or has left active */
};

/* One record being read; errors stick in `cursor` or in `subject`. */
struct reading {
    struct mp_cursor cursor;
    struct subject subject;
    struct loaded *loaded;
};

/* ---------------------------------------------------------------- values */

/* The value at the cursor is of another type than the entry takes. What is wrong is its meaning: as MessagePack it was
 * checked before. */
static bool refuse_type(struct reading *reading) {
    reading->cursor.error = MP_OK;
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "is %s",
                           refusal_type_name(mp_peek(&reading->cursor)));
}

static bool refuse(struct reading *reading, const char *problem) {
    return refuse_argument(&reading->subject, ERROR_BAD_REQUEST, -1, "%s", problem);
}

static bool read_text(struct reading *reading, size_t min, size_t max, struct bytes *out) {
    struct bytes text = mp_read_bytes(&reading->cursor);
    if (reading->cursor.error != MP_OK) return refuse_type(reading);
    if (text.size < min) return refuse(reading, "is empty");
    if (text.size > max) return refuse(reading, "is too long");
    if (!utf8_is_valid(text)) return refuse(reading, "is not valid UTF-8");
    *out = text;
    return true;
}

static bool read_number(struct reading *reading, int64_t min, int64_t max, void *out) {
    int64_t number = mp_read_int(&reading->cursor, min, max);
    if (reading->cursor.error == MP_RANGE) return refuse(reading, "is out of range");
    if (reading->cursor.error != MP_OK) return refuse_type(reading);
    memcpy(out, &number, sizeof number);
    return true;
}

#define UINT53_MAX ((INT64_C(1) << 53) - 1)

static bool read_score(struct reading *reading, double *out) {
    double score = mp_read_double(&reading->cursor);
    if (reading->cursor.error != MP_OK) return refuse_type(reading);
    if (!(score >= 0 && score <= (double)UINT53_MAX)) return refuse(reading, "is out of range"); /* NaN too */
    *out = score;
    return true;
}

static bool read_tags(struct reading *reading, struct bytes *out) {
    const uint8_t *begin = reading->cursor.at;
    if (mp_peek(&reading->cursor) != MP_ARRAY) return refuse_type(reading);
    uint32_t count = mp_read_array(&reading->cursor);
    if (count > LIMIT_MAX_TAGS)
        return refuse_argument(&reading->subject, ERROR_TOO_BIG, LIMIT_MAX_TAGS, "has %u elements", (unsigned)count);
    for (uint32_t i = 0; i < count; i++) {
        struct bytes tag;
        if (!read_text(reading, 1, TAG_SIZE_MAX, &tag)) return false;
    }
    *out = bytes_of(begin, (size_t)(reading->cursor.at - begin));
    return true;
}

static bool read_value(struct reading *reading, enum mp_type type, struct bytes *out) {
    if (type != MP_END && mp_peek(&reading->cursor) != type) return refuse_type(reading);
    *out = mp_read_value(&reading->cursor, LIMIT_MAX_DATA_DEPTH);
    return true;
}

/* The moments that a caller may give are wider than what a record holds; moment_of cuts them. */
#define MOMENT_SPAN_MS INT64_C(377705116800000)

static bool read_entry(struct reading *reading, void *place) {
    switch ((enum argument_type)reading->subject.argument->type) {
    case ARGUMENT_ID:
    case ARGUMENT_NAME: return read_text(reading, 1, LIMIT_MAX_ID, place);
    case ARGUMENT_VALUE: return read_value(reading, MP_END, place);
    case ARGUMENT_MAP: return read_value(reading, MP_MAP, place);
    case ARGUMENT_DURATION: return read_number(reading, 0, LIMIT_MAX_DURATION_MS, place);
    case ARGUMENT_MOMENT: return read_number(reading, -MOMENT_SPAN_MS, MOMENT_MAX_MS, place);
    case ARGUMENT_COUNT: return read_number(reading, 0, UINT53_MAX, place);
    case ARGUMENT_SCORE: return read_score(reading, place);
    case ARGUMENT_TAGS: return read_tags(reading, place);
    default: assert(!"an entry of a record of a type that pool.add does not take"); return false;
    }
}

/* ---------------------------------------------------------------- records */

static const struct argument *find(const struct argument *arguments, unsigned count, const char *name) {
    for (unsigned i = 0; i < count; i++)
        if (strcmp(arguments[i].name, name) == 0) return &arguments[i];
    return NULL;
}

static enum field field_find(struct bytes name) {
    for (int field = FIELD_NONE + 1; field < FIELD_END; field++)
        if (bytes_equal(name, bytes_of_string(field_name(field)))) return field;
    return FIELD_NONE;
}

/* Entries that only tell whether it is usable. */
static void note_life(struct loaded *loaded, enum field field, struct bytes value) {
    struct mp_cursor cursor = mp_cursor_of(value);
    if (field == FIELD_STATUS) {
        struct bytes active = bytes_of_string(status_name(STATUS_ACTIVE));
        if (!bytes_equal(mp_read_bytes(&cursor), active) || cursor.error != MP_OK) loaded->is_unusable = true;
    } else if (field == FIELD_RETIRED) {
        if (mp_peek(&cursor) != MP_BOOL || mp_read_bool(&cursor)) loaded->is_unusable = true;
    }
}

/* One entry of a record: an argument of pool.add, a timeout, or something of the server's own. */
static bool read_pair(struct reading *reading, enum field field) {
    const struct op_shape *shape = &op_shapes[OP_POOL_ADD];
    struct args_pool_add *args = &reading->loaded->args;
    const char *name = field_name(field);
    const struct argument *argument =
        find(shape->arguments + shape->positional_count, shape->count - shape->positional_count, name);
    const struct argument *timeout = find(timeouts_members, timeouts_member_count, name);
    if (!argument && !timeout) {
        note_life(reading->loaded, field, mp_read_value(&reading->cursor, LIMIT_MAX_DATA_DEPTH));
        return true;
    }
    reading->subject.argument = argument ? argument : timeout;
    if (reading->subject.argument->type != ARGUMENT_VALUE && mp_read_nil(&reading->cursor)) return true; /* left out */
    *(argument ? &args->given : &args->timeouts.given) |= reading->subject.argument->bit;
    return read_entry(reading, (char *)(argument ? (void *)args : &args->timeouts) + reading->subject.argument->offset);
}

static bool read_pairs(struct reading *reading, const char *place) {
    uint64_t seen = 0;
    for (uint32_t left = mp_read_map(&reading->cursor); left > 0; left--) {
        enum mp_type type = mp_peek(&reading->cursor);
        if (type != MP_STR && type != MP_BIN)
            return refuse_request(&reading->subject, ERROR_BAD_REQUEST, "%s has a name that is %s", place,
                                  refusal_type_name(type));
        struct bytes name = mp_read_bytes(&reading->cursor);
        enum field field = field_find(name);
        if (field == FIELD_NONE)
            return refuse_request(&reading->subject, ERROR_BAD_REQUEST, "%s: no record has an entry \"%s\"", place,
                                  refusal_quote(name).text);
        if (seen & FIELD_BIT(field))
            return refuse_request(&reading->subject, ERROR_BAD_REQUEST, "%s: %s is given twice", place,
                                  field_name(field));
        seen |= FIELD_BIT(field);
        if (!read_pair(reading, field)) return false;
    }
    return true;
}

/* Reads the record at the cursor, which moves behind it. `index` is its place in the array, for sentences. */
static bool record_read(struct mp_cursor *cursor, uint64_t index, struct loaded *loaded, struct error *error) {
    char place[32], within[40];
    snprintf(place, sizeof place, "sessions[%u]", (unsigned)index);
    snprintf(within, sizeof within, "%s.", place);
    *loaded = (struct loaded){.is_unusable = false};
    struct reading reading = {*cursor, {.op = OP_POOL_LOAD, .within = within, .error = error}, loaded};
    if (!read_pairs(&reading, place)) return false;
    assert(reading.cursor.error == MP_OK); /* decoding has found it well formed */
    *cursor = reading.cursor;
    return true;
}

/* ---------------------------------------------------------------- steps */

static struct mp_cursor carried_cursor(const struct request *request) {
    struct mp_cursor cursor = mp_cursor_of(request->args.pool_load.sessions);
    cursor.at += request->carried[CARRIED_AT];
    return cursor;
}

/* Before the first step: all are looked at. False: one is malformed. */
static bool load_check(struct request *request) {
    const struct bytes sessions = request->args.pool_load.sessions;
    struct mp_cursor cursor = mp_cursor_of(sessions);
    struct loaded loaded;
    request->carried[CARRIED_LEFT] = mp_read_array(&cursor);
    request->carried[CARRIED_AT] = (uint64_t)(cursor.at - sessions.data);
    for (uint64_t i = 0; i < request->carried[CARRIED_LEFT]; i++)
        if (!record_read(&cursor, i, &loaded, &request->error)) return false;
    return true;
}

/* The rule runs perhaps more than once: it reads the record again each time, out of the arguments alone. */
static enum outcome load_rule(const struct update_input *input, struct session *draft, struct error *error) {
    const struct request *request = input->arguments;
    struct mp_cursor cursor = carried_cursor(request);
    struct loaded loaded;
    bool is_read = record_read(&cursor, 0, &loaded, error);
    assert(is_read);
    (void)is_read;
    /* Somebody's id: that one stays as it is. Strict namespaces are told nothing of it. */
    if (input->presence != PRESENCE_NONE && !input->policy->strict_ids) return OUTCOME_KEEP;
    if (pool_add_by(request, &loaded.args, input, draft, error) == OUTCOME_ERROR) return OUTCOME_ERROR;
    bool is_usable = session_is_alive(draft, input->now_ms) && usage_is_usable(draft->usage);
    return is_usable ? OUTCOME_REPLACE : OUTCOME_KEEP;
}

/* The next record that is worth a step; false: there is none. */
static bool load_find(struct request *request, struct loaded *loaded) {
    const struct bytes sessions = request->args.pool_load.sessions;
    struct error error;
    while (request->carried[CARRIED_LEFT] > 0) {
        struct mp_cursor cursor = carried_cursor(request);
        if (record_read(&cursor, 0, loaded, &error) && !loaded->is_unusable) return true;
        request->carried[CARRIED_AT] = (uint64_t)(cursor.at - sessions.data);
        request->carried[CARRIED_LEFT]--;
    }
    return false;
}

enum op_step pool_load_begin(struct request *request) {
    const struct args_pool_load *args = &request->args.pool_load;
    struct loaded loaded;
    if (!pool_take_namespace(request, args->namespace)) return STEP_ERROR;
    if (request->step == 0 && !load_check(request)) return STEP_ERROR;
    if (!load_find(request, &loaded)) return STEP_ANSWER;
    struct bytes id = loaded.args.id;
    if (bytes_is_absent(id)) {
        id_make_pool(request->env, request->id_buffer);
        id = bytes_of(request->id_buffer, POOL_ID_SIZE);
    }
    if (request_update(request, args->namespace, id, load_rule) == STEP_ERROR) return STEP_ERROR;
    request->verb->update.pool = args->pool;
    request->takes_errors = true;
    return STEP_SUBMIT;
}

/* Past the record that was tried. */
static void load_advance(struct request *request) {
    struct mp_cursor cursor = carried_cursor(request);
    mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH);
    request->carried[CARRIED_AT] = (uint64_t)(cursor.at - request->args.pool_load.sessions.data);
    request->carried[CARRIED_LEFT]--;
}

void pool_load_end(struct request *request, struct buf *out) {
    const struct verb *verb = request->verb;
    if (verb && verb->error.code != ERROR_NONE && verb->error.code != ERROR_EXHAUSTED) {
        request->error = verb->error;
        return;
    }
    bool is_full = verb && verb->error.code == ERROR_EXHAUSTED;
    if (verb && !is_full) {
        request->carried[CARRIED_TAKEN] += verb->outcome == OUTCOME_REPLACE;
        load_advance(request);
    }
    request->is_unfinished = verb && !is_full && request->carried[CARRIED_LEFT] > 0;
    mp_write_uint(out, request->carried[CARRIED_TAKEN]);
}
