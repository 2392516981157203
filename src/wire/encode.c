/* Replies: results and errors to the bytes of one MessagePack-RPC message.
 *
 * A record is written in one reservation: which fields it will have is one mask, so the map's head and an upper bound
 * of the size are known before the first byte; each key is a template from the schema. Numbers take their shortest
 * form, texts are str, data and meta go out byte for byte. Pure; any thread. */
#include <assert.h>

#include "wire/tables.h"

const char *error_code_name(enum error_code code) {
    return code > ERROR_NONE && code < ERROR_END && error_words[code].text ? error_words[code].text : "NONE";
}

const char *status_name(enum status status) {
    return status > STATUS_NONE && status < STATUS_END && status_words[status].text ? status_words[status].text
                                                                                    : "none";
}

const char *field_name(enum field field) {
    return field > FIELD_NONE && field < FIELD_END && field_words[field].text ? field_words[field].text : "none";
}

const char *event_name(enum event_kind kind) {
    return kind > EVENT_NONE && kind < EVENT_END && event_words[kind].text ? event_words[kind].text : "none";
}

/* ---- envelopes */

/* [1, msgid, : the head of every answer, at most eight bytes. */
static inline uint8_t *put_answer(uint8_t *at, uint64_t msgid) {
    *at++ = 0x94;
    *at++ = 0x01;
    if (msgid > UINT16_MAX) return mp_put_big_endian(at, 0xce, msgid, 4); /* of whoever counts for long, or draws it */
    return mp_put_uint(at, msgid);
}

void codec_begin_result(struct buf *out, uint64_t msgid) {
    assert(msgid <= UINT32_MAX);
    uint8_t *begin = buf_reserve(out, 8);
    if (!begin) return;
    uint8_t *at = put_answer(begin, msgid);
    *at++ = 0xc0;
    out->size += (size_t)(at - begin);
}

static void write_number_pair(struct buf *out, const char *key, int64_t value) {
    mp_write_string(out, key);
    mp_write_int(out, value);
}

/* {code, message, version?, status?, limit?, retry_after_ms?} */
static void write_error_map(struct buf *out, const struct error *error) {
    bool has_version = error->version != 0, has_status = error->status != STATUS_NONE;
    bool has_limit = error->limit >= 0, has_retry = error->retry_after_ms > 0;
    mp_write_map(out, 2u + has_version + has_status + has_limit + has_retry);
    mp_write_string(out, "code");
    mp_write_string(out, error_code_name(error->code));
    mp_write_string(out, "message");
    mp_write_string(out, error->message ? error->message : error_code_name(error->code));
    if (has_version) write_number_pair(out, "version", (int64_t)error->version);
    if (has_status) {
        mp_write_string(out, "status");
        mp_write_string(out, status_name(error->status));
    }
    if (has_limit) write_number_pair(out, "limit", error->limit);
    if (has_retry) write_number_pair(out, "retry_after_ms", error->retry_after_ms);
}

void codec_write_error(struct buf *out, uint64_t msgid, const struct error *error) {
    assert(msgid <= UINT32_MAX && error->code != ERROR_NONE);
    uint8_t *begin = buf_reserve(out, 8);
    if (!begin) return;
    out->size += (size_t)(put_answer(begin, msgid) - begin);
    write_error_map(out, error);
    mp_write_nil(out);
}

/* ---- records */

/* A number's longest form, and a text's longest head. */
#define NUMBER_MAX    9
#define TEXT_HEAD_MAX 5

static inline uint8_t *put_int(uint8_t *at, int64_t value) {
    if (value > UINT32_MAX) return mp_put_big_endian(at, 0xcf, (uint64_t)value, 8); /* a moment of today */
    if (value >= 0) return mp_put_uint(at, (uint64_t)value);
    /* Only moments before 1970, which are rare: no need for the shorter forms' own functions. */
    if (value >= -32) {
        *at = (uint8_t)value;
        return at + 1;
    }
    if (value >= INT8_MIN) return mp_put_big_endian(at, 0xd0, (uint64_t)value, 1);
    if (value >= INT16_MIN) return mp_put_big_endian(at, 0xd1, (uint64_t)value, 2);
    if (value >= INT32_MIN) return mp_put_big_endian(at, 0xd2, (uint64_t)value, 4);
    return mp_put_big_endian(at, 0xd3, (uint64_t)value, 8);
}

/* A score: as an integer where it is one. */
static uint8_t *put_score(uint8_t *at, double value) {
    uint64_t bits;
    if (value >= 0 && value < 9007199254740992.0 && value == (double)(uint64_t)value)
        return mp_put_uint(at, (uint64_t)value);
    memcpy(&bits, &value, sizeof bits);
    return mp_put_big_endian(at, 0xcb, bits, 8);
}

void codec_write_score(struct buf *out, double score) {
    uint8_t *at = buf_reserve(out, NUMBER_MAX);
    if (at) out->size += (size_t)(put_score(at, score) - at);
}

static uint8_t *put_true(uint8_t *at) {
    *at = 0xc3;
    return at + 1;
}

static uint8_t *put_raw(uint8_t *at, struct bytes encoded) {
    memcpy(at, encoded.data, encoded.size);
    return at + encoded.size;
}

/* The same for what is short: a few copies of sixteen bytes, the last of which overlaps the one before, cost less than
 * a call. */
static inline uint8_t *put_short(uint8_t *at, struct bytes text) {
    if (text.size < 16) return put_raw(at, text);
    for (size_t i = 0; i + 16 < text.size; i += 16) memcpy(at + i, text.data + i, 16);
    memcpy(at + text.size - 16, text.data + text.size - 16, 16);
    return at + text.size;
}

static inline uint8_t *put_text(uint8_t *at, struct bytes text) {
    if (text.size < 32)
        *at++ = (uint8_t)(0xa0 | text.size);
    else if (text.size <= UINT8_MAX)
        at = mp_put_big_endian(at, 0xd9, text.size, 1);
    else if (text.size <= UINT16_MAX)
        at = mp_put_big_endian(at, 0xda, text.size, 2);
    else
        at = mp_put_big_endian(at, 0xdb, text.size, 4);
    return put_short(at, text);
}

static const struct record_extra no_extra;

/* What of a record is derived from the moment of reading. */
struct derived {
    int64_t expires_at, abandon_at, status_at;
    enum status status;
};

/* The fields that the session has; those of FIELDS_ALWAYS every session has. */
#define FIELDS_ALWAYS                                                                                                  \
    (FIELD_BIT(FIELD_ID) | FIELD_BIT(FIELD_STATUS) | FIELD_BIT(FIELD_VERSION) | FIELD_BIT(FIELD_CREATED_AT) |          \
     FIELD_BIT(FIELD_UPDATED_AT) | FIELD_BIT(FIELD_LAST_ACTIVE_AT) | FIELD_BIT(FIELD_EXPIRES_AT) |                     \
     FIELD_BIT(FIELD_IDLE_TIMEOUT_MS) | FIELD_BIT(FIELD_ABSOLUTE_TIMEOUT_MS))
#define FIELDS_USAGE                                                                                                   \
    (FIELD_BIT(FIELD_USAGE_COUNT) | FIELD_BIT(FIELD_MAX_USAGE_COUNT) | FIELD_BIT(FIELD_ERROR_COUNT) |                  \
     FIELD_BIT(FIELD_ERROR_SCORE) | FIELD_BIT(FIELD_MAX_ERROR_SCORE) | FIELD_BIT(FIELD_ERROR_SCORE_DECREMENT))
static uint64_t usage_fields_of(const struct usage *usage) {
    uint64_t fields = FIELDS_USAGE;
    if (usage->retired_at) fields |= FIELD_BIT(FIELD_RETIRED);
    if (usage->last_used_at) fields |= FIELD_BIT(FIELD_LAST_USED_AT);
    if (usage->lease_expires_at) fields |= FIELD_BIT(FIELD_LEASE_EXPIRES_AT);
    return fields;
}

static uint64_t extra_fields_of(const struct record_extra *extra) {
    uint64_t fields = 0;
    if (extra->is_hashed) fields |= FIELD_BIT(FIELD_HANDLE);
    if (extra->token.data) fields |= FIELD_BIT(FIELD_TOKEN);
    if (extra->use) fields |= FIELD_BIT(FIELD_USE);
    if (extra->fence) fields |= FIELD_BIT(FIELD_FENCE);
    return fields;
}

static uint64_t fields_of(const struct session *session, const struct derived *derived) {
    uint64_t fields = FIELDS_ALWAYS;
    if (session->pool.data) fields |= FIELD_BIT(FIELD_POOL);
    if (session->tags.data) fields |= FIELD_BIT(FIELD_TAGS);
    if (session->usage) fields |= usage_fields_of(session->usage);
    if (session->abandon_timeout_ms) fields |= FIELD_BIT(FIELD_ABANDON_TIMEOUT_MS) | FIELD_BIT(FIELD_ABANDON_AT);
    if (session->absolute_expires_at) fields |= FIELD_BIT(FIELD_ABSOLUTE_EXPIRES_AT);
    if (derived->status_at) fields |= FIELD_BIT(FIELD_STATUS_AT);
    if (session->reason.data) fields |= FIELD_BIT(FIELD_REASON);
    if (session->replaced_by.data) fields |= FIELD_BIT(FIELD_REPLACED_BY);
    if (session->user.data) fields |= FIELD_BIT(FIELD_USER);
    if (session->client.data) fields |= FIELD_BIT(FIELD_CLIENT);
    if (session->data.data) fields |= FIELD_BIT(FIELD_DATA);
    if (session->meta.data) fields |= FIELD_BIT(FIELD_META);
    return fields;
}

/* An upper bound of what the fields take: every key and number, and the texts. */
static size_t record_size_max(const struct session *session, const struct record_extra *extra, uint64_t fields) {
    size_t size = 3 + FIELD_END * (32 + NUMBER_MAX) + session->id.size + session->reason.size +
                  session->replaced_by.size + session->user.size + session->client.size + session->pool.size +
                  session->tags.size + extra->id.size + extra->token.size;
    if (fields & FIELD_BIT(FIELD_DATA)) size += session->data.size;
    if (fields & FIELD_BIT(FIELD_META)) size += session->meta.size;
    return size;
}
_Static_assert(TEXT_HEAD_MAX <= NUMBER_MAX, "record_size_max counts a text's head as a number");

/* One field: its key, and its value at the end of it. `put` moves `at`. */
#define PUT_FIELD(field, put)                                                                                          \
    if (fields & FIELD_BIT(FIELD_##field)) {                                                                           \
        memcpy(at, KEY_##field, sizeof(KEY_##field) - 1);                                                              \
        at += sizeof(KEY_##field) - 1;                                                                                 \
        at = put;                                                                                                      \
    }

static uint8_t *put_usage(uint8_t *at, const struct usage *usage, uint64_t fields) {
    PUT_FIELD(USAGE_COUNT, mp_put_uint(at, usage->usage_count))
    PUT_FIELD(MAX_USAGE_COUNT, mp_put_uint(at, usage->max_usage_count))
    PUT_FIELD(ERROR_COUNT, mp_put_uint(at, usage->error_count))
    PUT_FIELD(ERROR_SCORE, put_score(at, usage->error_score))
    PUT_FIELD(MAX_ERROR_SCORE, put_score(at, usage->max_error_score))
    PUT_FIELD(ERROR_SCORE_DECREMENT, put_score(at, usage->error_score_decrement))
    PUT_FIELD(RETIRED, put_true(at))
    PUT_FIELD(LAST_USED_AT, put_int(at, usage->last_used_at))
    PUT_FIELD(LEASE_EXPIRES_AT, put_int(at, usage->lease_expires_at))
    return at;
}

/* What not every session has stands in functions of its own, so that what all have is one run of code without calls. */
static __attribute__((noinline)) uint8_t *put_life_and_groups(uint8_t *at, const struct session *session,
                                                              const struct derived *derived, uint64_t fields) {
    PUT_FIELD(ABANDON_TIMEOUT_MS, put_int(at, session->abandon_timeout_ms))
    PUT_FIELD(ABANDON_AT, put_int(at, derived->abandon_at))
    PUT_FIELD(ABSOLUTE_EXPIRES_AT, put_int(at, session->absolute_expires_at))
    PUT_FIELD(STATUS_AT, put_int(at, derived->status_at))
    PUT_FIELD(REASON, put_text(at, session->reason))
    PUT_FIELD(REPLACED_BY, put_text(at, session->replaced_by))
    PUT_FIELD(USER, put_text(at, session->user))
    PUT_FIELD(CLIENT, put_text(at, session->client))
    return at;
}
#define FIELDS_LIFE_AND_GROUPS                                                                                         \
    (FIELD_BIT(FIELD_ABANDON_TIMEOUT_MS) | FIELD_BIT(FIELD_ABANDON_AT) | FIELD_BIT(FIELD_ABSOLUTE_EXPIRES_AT) |        \
     FIELD_BIT(FIELD_STATUS_AT) | FIELD_BIT(FIELD_REASON) | FIELD_BIT(FIELD_REPLACED_BY) | FIELD_BIT(FIELD_USER) |     \
     FIELD_BIT(FIELD_CLIENT))

static __attribute__((noinline)) uint8_t *put_rest(uint8_t *at, const struct session *session,
                                                   const struct record_extra *extra, uint64_t fields) {
    PUT_FIELD(META, put_raw(at, session->meta))
    PUT_FIELD(POOL, put_text(at, session->pool))
    PUT_FIELD(HANDLE, put_text(at, session->id))
    PUT_FIELD(TAGS, put_raw(at, session->tags))
    if (session->usage) at = put_usage(at, session->usage, fields);
    PUT_FIELD(USE, mp_put_uint(at, extra->use))
    PUT_FIELD(FENCE, mp_put_uint(at, extra->fence))
    PUT_FIELD(TOKEN, put_text(at, extra->token))
    return at;
}

/* The life of an active session whose moments are of today: with these numbers all in eight bytes it is one text with
 * five holes. NUMBER_HOLE is a number's head and room for it. */
#define NUMBER_HOLE "\xcf........"
#define LIFE_BEGIN                                                                                                     \
    KEY_STATUS "\xa6"                                                                                                  \
               "active" KEY_VERSION
#define LIFE_TO_1 LIFE_BEGIN NUMBER_HOLE KEY_CREATED_AT
#define LIFE_TO_2 LIFE_TO_1 NUMBER_HOLE KEY_UPDATED_AT
#define LIFE_TO_3 LIFE_TO_2 NUMBER_HOLE KEY_LAST_ACTIVE_AT
#define LIFE_TO_4 LIFE_TO_3 NUMBER_HOLE KEY_EXPIRES_AT
static const char life_text[] = LIFE_TO_4 NUMBER_HOLE;
#define FIELDS_LIFE                                                                                                    \
    (FIELD_BIT(FIELD_STATUS) | FIELD_BIT(FIELD_VERSION) | FIELD_BIT(FIELD_CREATED_AT) | FIELD_BIT(FIELD_UPDATED_AT) |  \
     FIELD_BIT(FIELD_LAST_ACTIVE_AT) | FIELD_BIT(FIELD_EXPIRES_AT))

/* Fills the hole behind `text`. */
#define PUT_HOLE(text, value) mp_put_big_endian(at + sizeof(text) - 1, 0xcf, (uint64_t)(value), 8)

static inline bool life_is_text(const struct session *session, const struct derived *derived, uint64_t fields) {
    int64_t last_active_at = session->last_active_at, created_at = session->created_at;
    return (fields & FIELDS_LIFE) == FIELDS_LIFE && derived->status == STATUS_ACTIVE && created_at > UINT32_MAX &&
           last_active_at > UINT32_MAX && derived->expires_at > UINT32_MAX && session->version > UINT32_MAX;
}

static inline uint8_t *put_life(uint8_t *at, const struct session *session, const struct derived *derived) {
    memcpy(at, life_text, sizeof life_text - 1);
    PUT_HOLE(LIFE_BEGIN, session->version);
    PUT_HOLE(LIFE_TO_1, session->created_at);
    PUT_HOLE(LIFE_TO_2, session_updated_at(session));
    PUT_HOLE(LIFE_TO_3, session->last_active_at);
    PUT_HOLE(LIFE_TO_4, derived->expires_at);
    return at + sizeof life_text - 1;
}

static __attribute__((noinline)) uint8_t *put_life_by_field(uint8_t *at, const struct session *session,
                                                            const struct derived *derived, uint64_t fields) {
    const struct word *status = &status_words[derived->status];
    PUT_FIELD(STATUS, put_text(at, bytes_of(status->text, status->size)))
    PUT_FIELD(VERSION, mp_put_uint(at, session->version))
    PUT_FIELD(CREATED_AT, put_int(at, session->created_at))
    PUT_FIELD(UPDATED_AT, put_int(at, session_updated_at(session)))
    PUT_FIELD(LAST_ACTIVE_AT, put_int(at, session->last_active_at))
    PUT_FIELD(EXPIRES_AT, put_int(at, derived->expires_at))
    return at;
}

/* Inlined into whoever knows the fields: what they are not is then not asked. */
static inline __attribute__((always_inline)) uint8_t *put_record(uint8_t *at, const struct session *session,
                                                                 const struct record_extra *extra,
                                                                 const struct derived *derived, uint64_t fields) {
    PUT_FIELD(ID, put_text(at, extra->id.data ? extra->id : session->id))
    if (life_is_text(session, derived, fields))
        at = put_life(at, session, derived);
    else
        at = put_life_by_field(at, session, derived, fields);
    PUT_FIELD(IDLE_TIMEOUT_MS, put_int(at, session->idle_timeout_ms))
    PUT_FIELD(ABSOLUTE_TIMEOUT_MS, put_int(at, session->absolute_timeout_ms))
    if (fields & FIELDS_LIFE_AND_GROUPS) at = put_life_and_groups(at, session, derived, fields);
    PUT_FIELD(DATA, put_raw(at, session->data))
    const uint64_t written = FIELDS_ALWAYS | FIELDS_LIFE_AND_GROUPS | FIELD_BIT(FIELD_DATA);
    return fields & ~written ? put_rest(at, session, extra, fields) : at;
}

static inline struct derived derive(const struct session *session, int64_t now_ms) {
    int64_t expires_at = session_expires_at(session);
    bool is_expired = expires_at && expires_at <= now_ms;
    if (session->status == STATUS_ACTIVE && !is_expired && !session->abandon_timeout_ms)
        return (struct derived){.expires_at = expires_at,
                                .status = STATUS_ACTIVE}; /* as most are, so without a doubt */
    return (struct derived){.expires_at = expires_at,
                            .abandon_at = session_abandon_at(session),
                            .status_at = session_status_at(session, now_ms),
                            .status = session_status(session, now_ms)};
}

/* Whether what the session has of `fields` is FIELDS_PLAIN: nothing but what all have, and all of that. */
#define FIELDS_PLAIN (FIELDS_ALWAYS | FIELD_BIT(FIELD_DATA))
static inline bool record_is_plain(const struct session *session, const struct derived *derived,
                                   const struct record_extra *extra, uint64_t fields) {
    uintptr_t rare = (uintptr_t)session->user.data | (uintptr_t)session->client.data | (uintptr_t)session->meta.data |
                     (uintptr_t)session->pool.data | (uintptr_t)session->tags.data | (uintptr_t)session->reason.data |
                     (uintptr_t)session->replaced_by.data | (uintptr_t)session->usage |
                     (uintptr_t)session->abandon_timeout_ms | (uintptr_t)session->absolute_expires_at |
                     (uintptr_t)derived->status_at;
    return extra == &no_extra && !rare && session->data.data && (fields & FIELDS_PLAIN) == FIELDS_PLAIN;
}

static void write_plain_record(struct buf *out, const struct session *session, const struct derived *derived) {
    size_t size_max = FIELD_END * (32 + NUMBER_MAX) + session->id.size + session->data.size;
    uint8_t *begin = buf_reserve(out, size_max), *at = begin;
    if (!begin) return;
    *at++ = (uint8_t)(0x80 | __builtin_popcountll(FIELDS_PLAIN));
    at = put_record(at, session, &no_extra, derived, FIELDS_PLAIN);
    assert((size_t)(at - begin) <= size_max);
    out->size += (size_t)(at - begin);
}

void codec_write_record(struct buf *out, const struct session *session, uint64_t fields, int64_t now_ms) {
    codec_write_record_with(out, session, &no_extra, fields, now_ms);
}

void codec_write_record_with(struct buf *out, const struct session *session, const struct record_extra *extra,
                             uint64_t fields, int64_t now_ms) {
    struct derived derived = derive(session, now_ms);
    assert(derived.status > STATUS_NONE && derived.status < STATUS_END && session->id.data);
    if (record_is_plain(session, &derived, extra, fields)) {
        write_plain_record(out, session, &derived);
        return;
    }
    fields &= fields_of(session, &derived) | extra_fields_of(extra);
    if (extra->is_hashed && !extra->id.data) fields &= ~FIELD_BIT(FIELD_ID);
    unsigned count = (unsigned)__builtin_popcountll(fields);
    size_t size_max = record_size_max(session, extra, fields);
    uint8_t *begin = buf_reserve(out, size_max), *at = begin;
    if (!begin) return;
    if (count < 16)
        *at++ = (uint8_t)(0x80 | count);
    else
        at = mp_put_big_endian(at, 0xde, count, 2);
    at = put_record(at, session, extra, &derived, fields);
    assert((size_t)(at - begin) <= size_max);
    out->size += (size_t)(at - begin);
}

static inline void write_pair(struct buf *out, const char *key, size_t key_size, int64_t value) {
    uint8_t *begin = buf_reserve(out, key_size + NUMBER_MAX);
    if (!begin) return;
    memcpy(begin, key, key_size);
    out->size += (size_t)(put_int(begin + key_size, value) - begin);
}

void codec_write_version(struct buf *out, const struct session *session) {
    write_pair(out, KEY_VERSION, sizeof KEY_VERSION - 1, (int64_t)session->version);
}

void codec_write_expires_at(struct buf *out, const struct session *session) {
    write_pair(out, KEY_EXPIRES_AT, sizeof KEY_EXPIRES_AT - 1, session_expires_at(session));
}

/* ---- policies */

static void write_status_codes(struct buf *out, const struct status_codes *codes) {
    size_t begin = mp_begin_array(out);
    uint32_t count = 0;
    for (uint32_t code = 0; code < STATUS_CODE_END; code++)
        if (status_codes_have(codes, code)) {
            mp_write_uint(out, code);
            count++;
        }
    mp_end_array(out, begin, count);
}

static void write_entry(struct buf *out, const struct argument *entry, const void *place);

static void write_cookie_attributes(struct buf *out, const struct cookie_attributes *attributes) {
    mp_write_map(out, (uint32_t)__builtin_popcountll(attributes->given & ~attributes->nil));
    for (unsigned i = 0; i < cookie_attributes_member_count; i++) {
        const struct argument *member = &cookie_attributes_members[i];
        if (attributes->given & ~attributes->nil & member->bit)
            write_entry(out, member, (const char *)attributes + member->offset);
    }
}

static void write_cookie_secure(struct buf *out, enum cookie_secure secure) {
    if (secure == COOKIE_SECURE_AUTO)
        mp_write_string(out, "auto");
    else
        mp_write_bool(out, secure == COOKIE_SECURE_TRUE);
}

static void write_same_site(struct buf *out, enum same_site same_site) {
    static const char *const words[] = {
        [SAME_SITE_STRICT] = "strict", [SAME_SITE_LAX] = "lax", [SAME_SITE_NONE] = "none", [SAME_SITE_AUTO] = "auto"};
    if (same_site == SAME_SITE_ABSENT)
        mp_write_bool(out, false);
    else
        mp_write_string(out, words[same_site]);
}

static void write_choice(struct buf *out, const struct argument *entry, const void *place) {
    unsigned choice;
    memcpy(&choice, place, sizeof choice);
    mp_write_string(out, argument_words[entry->type].words[choice].text);
}

static void write_number(struct buf *out, const void *place) {
    int64_t number; /* a count is below 2^53, so its sign does not matter */
    memcpy(&number, place, sizeof number);
    mp_write_int(out, number);
}

/* The value of an entry of a policy, or of a cookie's attributes. */
static void write_entry_value(struct buf *out, const struct argument *entry, const void *place) {
    const struct cookie_text *text = place;
    switch ((enum argument_type)entry->type) {
    case ARGUMENT_BOOL: mp_write_bool(out, *(const bool *)place); break;
    case ARGUMENT_SESSION_LIMIT_POLICY:
    case ARGUMENT_BINDING_POLICY:
    case ARGUMENT_POOL_STRATEGY:
    case ARGUMENT_COOKIE_PRIORITY: write_choice(out, entry, place); break;
    case ARGUMENT_DURATION:
    case ARGUMENT_MOMENT:
    case ARGUMENT_COUNT: write_number(out, place); break;
    case ARGUMENT_SCORE: codec_write_score(out, *(const double *)place); break;
    case ARGUMENT_STATUS_CODES: write_status_codes(out, place); break;
    case ARGUMENT_COOKIE_ATTRIBUTES: write_cookie_attributes(out, place); break;
    case ARGUMENT_COOKIE_TEXT: mp_write_str(out, bytes_of(text->text, text->size)); break;
    case ARGUMENT_COOKIE_SECURE: write_cookie_secure(out, *(const enum cookie_secure *)place); break;
    case ARGUMENT_SAME_SITE: write_same_site(out, *(const enum same_site *)place); break;
    default: assert(!"an entry of a type that cannot be written"); mp_write_nil(out);
    }
}

static void write_entry(struct buf *out, const struct argument *entry, const void *place) {
    mp_write_str(out, bytes_of(entry->name, entry->name_size));
    write_entry_value(out, entry, place);
}

/* Secrets are never answered. */
static bool is_answered(const struct argument *entry) {
    return entry->type != ARGUMENT_SECRETS;
}

static void write_entries(struct buf *out, const struct argument *entries, unsigned count, const void *values) {
    unsigned answered = 0;
    for (unsigned i = 0; i < count; i++) answered += is_answered(&entries[i]);
    mp_write_map(out, answered);
    for (unsigned i = 0; i < count; i++)
        if (is_answered(&entries[i])) write_entry(out, &entries[i], (const char *)values + entries[i].offset);
}

void codec_write_policy(struct buf *out, const struct policy *policy) {
    write_entries(out, policy_members, policy_member_count, policy);
}

void codec_write_pool_policy(struct buf *out, const struct pool_policy *policy) {
    write_entries(out, pool_policy_members, pool_policy_member_count, policy);
}

/* Bytes of an entry's value. */
static size_t entry_size(const struct argument *entry) {
    switch ((enum argument_type)entry->type) {
    case ARGUMENT_BOOL: return sizeof(bool);
    case ARGUMENT_SESSION_LIMIT_POLICY:
    case ARGUMENT_BINDING_POLICY:
    case ARGUMENT_POOL_STRATEGY: return sizeof(enum session_limit_policy);
    case ARGUMENT_STATUS_CODES: return sizeof(struct status_codes);
    case ARGUMENT_COOKIE_ATTRIBUTES: return sizeof(struct cookie_attributes);
    default: return sizeof(int64_t); /* a duration, a count, a score */
    }
}

static void entries_apply(const struct argument *entries, unsigned count, void *values, uint64_t given, uint64_t nil,
                          const void *changed, const void *defaults) {
    for (unsigned i = 0; i < count; i++) {
        const struct argument *entry = &entries[i];
        if (!(given & entry->bit) || !is_answered(entry)) continue; /* secrets are kept elsewhere */
        const void *source = nil & entry->bit ? defaults : changed;
        memcpy((char *)values + entry->offset, (const char *)source + entry->offset, entry_size(entry));
    }
}

void policy_apply(struct policy *policy, const struct policy_change *change) {
    entries_apply(policy_members, policy_member_count, policy, change->given, change->nil, &change->values,
                  &policy_defaults);
}

void pool_policy_apply(struct pool_policy *policy, const struct pool_policy_change *change) {
    entries_apply(pool_policy_members, pool_policy_member_count, policy, change->given, change->nil, &change->values,
                  &pool_policy_defaults);
}
