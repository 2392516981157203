/* See effect.h. */
#include "engine/memory/effect.h"
#include "base/mp.h"

#include <assert.h>

/* ---- writing */

void effect_put_u8(struct buf *out, uint8_t value) {
    buf_append(out, &value, sizeof(value));
}

void effect_put_u32(struct buf *out, uint32_t value) {
    buf_append(out, &value, sizeof(value));
}

void effect_put_u64(struct buf *out, uint64_t value) {
    buf_append(out, &value, sizeof(value));
}

void effect_put_text8(struct buf *out, struct bytes text) {
    assert(text.size <= UINT8_MAX);
    effect_put_u8(out, (uint8_t)text.size);
    buf_append(out, text.data, text.size);
}

size_t effect_begin(struct buf *out, enum effect_kind kind) {
    effect_put_u8(out, (uint8_t)kind);
    effect_put_u32(out, 0);
    return out->size;
}

void effect_end(struct buf *out, size_t begin) {
    if (out->is_failed) return;
    uint32_t size = (uint32_t)(out->size - begin);
    memcpy(out->data + begin - sizeof(size), &size, sizeof(size));
}

void effect_write_store(struct buf *out, const struct hash_key *key) {
    size_t begin = effect_begin(out, EFFECT_STORE);
    buf_append(out, key->secret, sizeof(key->secret));
    effect_end(out, begin);
}

void effect_write_namespace(struct buf *out, const struct effect_namespace *namespace) {
    size_t begin = effect_begin(out, EFFECT_NAMESPACE);
    effect_put_u64(out, namespace->key);
    effect_put_u64(out, namespace->version);
    effect_put_u64(out, namespace->made);
    effect_put_u64(out, namespace->tombstone_floor);
    effect_put_u64(out, (uint64_t) namespace->purge_interval_ms);
    effect_put_u8(out, namespace->is_purging);
    effect_put_text8(out, namespace->name);
    effect_put_u8(out, (uint8_t) namespace->clear_count);
    for (unsigned i = 0; i < namespace->clear_count; i++) {
        effect_put_u64(out, namespace->clears[i].version);
        effect_put_u64(out, (uint64_t) namespace->clears[i].retention_ms);
    }
    effect_put_u8(out, (uint8_t) namespace->purge_count);
    for (unsigned i = 0; i < namespace->purge_count; i++) {
        effect_put_u64(out, namespace->purges[i].version);
        effect_put_u64(out, (uint64_t) namespace->purges[i].at);
        effect_put_u64(out, (uint64_t) namespace->purges[i].until);
    }
    buf_append(out, namespace->policy.data, namespace->policy.size);
    effect_end(out, begin);
}

void effect_write_drop(struct buf *out, uint64_t namespace, uint64_t version) {
    size_t begin = effect_begin(out, EFFECT_DROP);
    effect_put_u64(out, namespace);
    effect_put_u64(out, version);
    effect_end(out, begin);
}

/* What stands before the payload in the body of a PUT. */
struct put_head {
    uint64_t namespace, version, active, born;
    int64_t idle_timeout_ms, absolute_timeout_ms, abandon_timeout_ms;
    uint32_t sizes; /* data size << 8 | id size */
} __attribute__((packed));

_Static_assert(sizeof(struct put_head) == 60, "the head of a PUT as effect.h says");

static size_t put_size(const struct record *record) {
    return sizeof(struct put_head) + record_parts(record).size + record_id_size(record) + record_data_size(record);
}

static void put_body(uint8_t *at, uint64_t namespace, const struct record *record, const struct terms *terms,
                     size_t size) {
    struct put_head head = {namespace,
                            record_version(record),
                            record_active(record),
                            (uint64_t)record_created_at(record) << 16 | (record_flags(record) & ~RECORD_IS_WIDE),
                            terms->idle_timeout_ms,
                            terms->absolute_timeout_ms,
                            terms->abandon_timeout_ms,
                            (uint32_t)(record_data_size(record) << 8 | record_id_size(record))};
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    if (record_is_plain(record)) {
        memcpy(at, record->payload, size - sizeof(head));
        return;
    }
    struct bytes parts = record_parts(record);
    memcpy(at, parts.data, parts.size);
    memcpy(at + parts.size, record->payload, record_id_size(record));
    memcpy(at + parts.size + record_id_size(record), parts.data + parts.size, record_data_size(record));
}

static void put_write_body(struct buf *out, uint64_t namespace, const struct record *record, const struct terms *terms,
                           size_t size) {
    uint8_t *at = buf_reserve(out, size);
    if (!at) return;
    put_body(at, namespace, record, terms, size);
    out->size += size;
}

/* One look for room, one head and one copy: it is what nearly every write costs. */
void effect_write_put(struct buf *out, uint64_t namespace, const struct record *record, const struct terms *terms) {
    uint32_t size = (uint32_t)put_size(record);
    uint8_t *at = buf_reserve(out, EFFECT_HEAD_BYTES + size);
    if (!at) return;
    *at = EFFECT_PUT;
    memcpy(at + 1, &size, sizeof(size));
    put_body(at + EFFECT_HEAD_BYTES, namespace, record, terms, size);
    out->size += EFFECT_HEAD_BYTES + size;
}

void effect_write_move(struct buf *out, uint64_t namespace, const struct record *record, const struct terms *terms,
                       struct bytes old_id, const struct record *alias, const struct terms *alias_terms) {
    size_t size = put_size(record);
    size_t begin = effect_begin(out, EFFECT_MOVE);
    effect_put_u32(out, (uint32_t)size);
    put_write_body(out, namespace, record, terms, size);
    effect_put_text8(out, old_id);
    if (alias) put_write_body(out, namespace, alias, alias_terms, put_size(alias));
    effect_end(out, begin);
}

void effect_write_remove(struct buf *out, uint64_t namespace, uint64_t version, struct bytes id) {
    size_t begin = effect_begin(out, EFFECT_REMOVE);
    effect_put_u64(out, namespace);
    effect_put_u64(out, version);
    effect_put_text8(out, id);
    effect_end(out, begin);
}

void effect_write_touch(struct buf *out, uint64_t hash, uint64_t version, int64_t last_active_at) {
    size_t begin = effect_begin(out, EFFECT_TOUCH);
    effect_put_u64(out, hash);
    effect_put_u64(out, version);
    effect_put_u64(out, (uint64_t)last_active_at);
    effect_end(out, begin);
}

void effect_write_client(struct buf *out, const struct effect_client *client) {
    size_t begin = effect_begin(out, EFFECT_CLIENT);
    effect_put_u64(out, client->namespace);
    effect_put_u64(out, client->version);
    effect_put_u64(out, (uint64_t)client->created_at);
    effect_put_u64(out, (uint64_t)client->updated_at);
    effect_put_u8(out, client->has_last_active);
    effect_put_u64(out, client->last_born);
    effect_put_u64(out, client->last_hash);
    effect_put_text8(out, client->name);
    effect_end(out, begin);
}

void effect_write_tombstone(struct buf *out, uint64_t hash, uint64_t version) {
    size_t begin = effect_begin(out, EFFECT_TOMBSTONE);
    effect_put_u64(out, hash);
    effect_put_u64(out, version);
    effect_end(out, begin);
}

void effect_write_snapshot(struct buf *out, uint64_t version) {
    size_t begin = effect_begin(out, EFFECT_SNAPSHOT);
    effect_put_u64(out, version);
    effect_end(out, begin);
}

/* ---- reading */

struct bytes effect_take(struct effect_cursor *cursor, size_t size) {
    if (cursor->is_short || size > cursor->left) {
        cursor->is_short = true;
        return BYTES_LITERAL("");
    }
    struct bytes bytes = {cursor->at, size};
    cursor->at += size;
    cursor->left -= size;
    return bytes;
}

/* A number of `width` bytes; 0 where they are not there. */
static uint64_t take_number(struct effect_cursor *cursor, size_t width) {
    uint64_t value = 0;
    struct bytes bytes = effect_take(cursor, width);
    memcpy(&value, bytes.data, bytes.size);
    return value;
}

uint8_t effect_take_u8(struct effect_cursor *cursor) {
    return (uint8_t)take_number(cursor, 1);
}

uint32_t effect_take_u32(struct effect_cursor *cursor) {
    return (uint32_t)take_number(cursor, 4);
}

uint64_t effect_take_u64(struct effect_cursor *cursor) {
    return take_number(cursor, 8);
}

struct bytes effect_take_text8(struct effect_cursor *cursor) {
    size_t size = effect_take_u8(cursor);
    return effect_take(cursor, size);
}

static bool refuse(const char **why, const char *what) {
    *why = what;
    return false;
}

/* ---- the record in a PUT */

static struct bytes take_sized(struct effect_cursor *cursor, unsigned width) {
    size_t size = (size_t)take_number(cursor, width);
    return effect_take(cursor, size);
}

static int64_t take_moment(struct effect_cursor *cursor) {
    int64_t moment = (int64_t)effect_take_u64(cursor);
    if (!effect_moment_is_fine(moment)) cursor->is_short = true;
    return moment;
}

/* The name of a group: never empty. */
static struct bytes take_name(struct effect_cursor *cursor) {
    struct bytes name = effect_take_text8(cursor);
    if (name.size == 0) cursor->is_short = true;
    return name;
}

static void take_parts(struct effect_cursor *cursor, unsigned flags, struct session *out) {
    unsigned more = flags & RECORD_HAS_MORE ? effect_take_u8(cursor) : 0;
    unsigned known = RECORD_MORE_POOL | RECORD_MORE_TAGS | RECORD_MORE_TOKEN | RECORD_MORE_BOUND;
    if (more & ~known || (flags & RECORD_HAS_MORE && !more)) cursor->is_short = true;
    if (flags & RECORD_HAS_ABSOLUTE) out->absolute_expires_at = take_moment(cursor);
    if (flags & RECORD_HAS_STATUS_AT) out->status_at = take_moment(cursor);
    if (flags & RECORD_HAS_TIMEOUTS) {
        out->idle_timeout_ms = take_moment(cursor);
        out->absolute_timeout_ms = take_moment(cursor);
        out->abandon_timeout_ms = take_moment(cursor);
    }
    if (flags & RECORD_HAS_USER) out->user = take_name(cursor);
    if (flags & RECORD_HAS_CLIENT) out->client = take_name(cursor);
    if (more & RECORD_MORE_POOL) out->pool = take_name(cursor);
    if (flags & RECORD_HAS_REASON) out->reason = take_sized(cursor, 2);
    if (flags & RECORD_HAS_REPLACED_BY) out->replaced_by = take_name(cursor);
    if (flags & RECORD_HAS_META) out->meta = take_sized(cursor, 4);
    if (more & RECORD_MORE_TAGS) out->tags = take_sized(cursor, 2);
    if (more & RECORD_MORE_TOKEN) out->token = take_sized(cursor, 2);
    if (more & RECORD_MORE_BOUND) out->bound = take_sized(cursor, 2);
}

/* One whole value and nothing behind it. */
static bool value_is_whole(struct bytes value, enum mp_type type) {
    struct mp_cursor cursor = mp_cursor_of(value);
    if (type != MP_END && mp_peek(&cursor) != type) return false;
    mp_read_value(&cursor, LIMIT_MAX_DATA_DEPTH);
    return cursor.error == MP_OK && cursor.at == cursor.end;
}

static bool tags_are_fine(struct bytes tags) {
    struct mp_cursor cursor = mp_cursor_of(tags);
    if (mp_peek(&cursor) != MP_ARRAY) return false;
    for (uint32_t left = mp_read_array(&cursor); left > 0; left--) mp_read_bytes(&cursor);
    return cursor.error == MP_OK && cursor.at == cursor.end;
}

/* What the rules and the engine take for granted in a stored session. */
static bool session_is_sound(const struct session *session) {
    if (session->status <= STATUS_NONE || session->status >= STATUS_END) return false;
    if (!effect_version_is_fine(session->version)) return false;
    if (session->idle_timeout_ms < 0 || session->absolute_timeout_ms < 0 || session->abandon_timeout_ms < 0)
        return false;
    if (session->id.size == 0) return false;
    if (session->is_alias)
        return session->replaced_by.data && session->absolute_expires_at && !status_is_living(session->status);
    return session->birth > 0;
}

static bool contents_are_sound(const struct session *session) {
    if (!value_is_whole(session->data, MP_END)) return false;
    if (session->meta.data && !value_is_whole(session->meta, MP_MAP)) return false;
    return !session->tags.data || tags_are_fine(session->tags);
}

bool effect_read_put(struct bytes body, struct effect_put *out, const char **why) {
    struct effect_cursor cursor = effect_cursor_of(body);
    struct put_head head;
    struct bytes read = effect_take(&cursor, sizeof(head));
    if (cursor.is_short) return refuse(why, "a session's effect is shorter than its head");
    memcpy(&head, read.data, sizeof(head));
    struct session *session = &out->session;
    unsigned flags = (unsigned)(head.born & 0xffff);
    *session = (struct session){.version = head.version,
                                .created_at = (int64_t)(head.born >> 16),
                                .last_active_at = (int64_t)(head.active >> 16),
                                .birth = (uint16_t)(head.active >> 1 & BIRTH_MAX),
                                .status = (enum status)(flags & 15),
                                .is_alias = flags & RECORD_IS_ALIAS,
                                .idle_timeout_ms = head.idle_timeout_ms,
                                .absolute_timeout_ms = head.absolute_timeout_ms,
                                .abandon_timeout_ms = head.abandon_timeout_ms};
    out->namespace = head.namespace;
    out->is_reaped = head.active & RECORD_MARK_REAPED;
    if (flags & ~(15u | RECORD_HAS_ANY | RECORD_IS_ALIAS))
        return refuse(why, "a session's effect has flags that this release does not know");
    if (!effect_moment_is_fine(head.idle_timeout_ms) || !effect_moment_is_fine(head.absolute_timeout_ms) ||
        !effect_moment_is_fine(head.abandon_timeout_ms))
        return refuse(why, "a session's timeouts are out of bounds");
    take_parts(&cursor, flags, session);
    session->id = effect_take(&cursor, head.sizes & 0xff);
    session->data = effect_take(&cursor, head.sizes >> 8);
    if (cursor.is_short || cursor.left) return refuse(why, "a session's parts do not fill its effect");
    if (!session_is_sound(session)) return refuse(why, "a session's fields are out of bounds");
    if (!contents_are_sound(session)) return refuse(why, "a session's data, meta or tags are no MessagePack");
    return true;
}

/* ---- the others */

static bool read_namespace(struct effect_cursor *cursor, struct effect_namespace *out) {
    out->key = effect_take_u64(cursor);
    out->version = effect_take_u64(cursor);
    out->made = effect_take_u64(cursor);
    out->tombstone_floor = effect_take_u64(cursor);
    out->purge_interval_ms = (int64_t)effect_take_u64(cursor);
    uint8_t is_purging = effect_take_u8(cursor);
    out->is_purging = is_purging;
    out->name = effect_take_text8(cursor);
    out->clear_count = effect_take_u8(cursor);
    if (out->clear_count > ENDS_KEPT) return false;
    for (unsigned i = 0; i < out->clear_count; i++) {
        struct effect_clear *clear = &out->clears[i];
        *clear = (struct effect_clear){effect_take_u64(cursor), 0};
        clear->retention_ms = take_moment(cursor);
        if (!effect_version_is_fine(clear->version) || (i && clear->version < clear[-1].version)) return false;
    }
    out->purge_count = effect_take_u8(cursor);
    if (out->purge_count > ENDS_KEPT) return false;
    for (unsigned i = 0; i < out->purge_count; i++) {
        struct effect_purge *purge = &out->purges[i];
        *purge = (struct effect_purge){effect_take_u64(cursor), 0, 0};
        purge->at = take_moment(cursor);
        purge->until = take_moment(cursor);
        if (!effect_version_is_fine(purge->version) || (i && purge->version < purge[-1].version)) return false;
    }
    out->policy = effect_take(cursor, cursor->left);
    return is_purging <= 1 && effect_version_is_fine(out->version) && effect_version_is_fine(out->made) &&
           out->made <= out->version && out->tombstone_floor <= EFFECT_VERSION_MAX && out->purge_interval_ms > 0 &&
           effect_moment_is_fine(out->purge_interval_ms) && out->name.size >= 1 &&
           out->name.size <= LIMIT_MAX_NAMESPACE && out->policy.size > 0;
}

static bool read_client(struct effect_cursor *cursor, struct effect_client *out) {
    out->namespace = effect_take_u64(cursor);
    out->version = effect_take_u64(cursor);
    out->created_at = take_moment(cursor);
    out->updated_at = take_moment(cursor);
    uint8_t has_last_active = effect_take_u8(cursor);
    out->has_last_active = has_last_active;
    out->last_born = effect_take_u64(cursor);
    out->last_hash = effect_take_u64(cursor);
    out->name = take_name(cursor);
    return has_last_active <= 1 && effect_version_is_fine(out->version) && !(out->last_born & 1);
}

static bool read_move(struct effect_cursor *cursor, struct effect *out, const char **why) {
    struct bytes put = take_sized(cursor, 4);
    out->move.old_id = take_name(cursor);
    out->move.alias = cursor->left ? effect_take(cursor, cursor->left) : BYTES_ABSENT;
    if (cursor->is_short) return refuse(why, "a move's parts do not fill its effect");
    if (!effect_read_put(put, &out->move.put, why)) return false;
    if (!out->move.alias.data) return true;
    struct effect_put alias;
    if (!effect_read_put(out->move.alias, &alias, why)) return false;
    if (alias.session.is_alias && bytes_equal(alias.session.id, out->move.old_id) &&
        alias.namespace == out->move.put.namespace && alias.session.version == out->move.put.session.version)
        return true;
    return refuse(why, "a move's alias is not that of its old id");
}

/* The kinds whose bodies are a few numbers. False: they are not within bounds. */
static bool read_plain(struct effect_cursor *cursor, struct effect *out) {
    switch (out->kind) {
    case EFFECT_STORE: {
        struct bytes secret = effect_take(cursor, HASH_SECRET_BYTES);
        memcpy(out->store.secret, secret.data, secret.size);
        return true;
    }
    case EFFECT_SNAPSHOT:
    case EFFECT_DROP:
    case EFFECT_REMOVE:
        out->gone.namespace = out->kind == EFFECT_SNAPSHOT ? 0 : effect_take_u64(cursor);
        out->gone.version = effect_take_u64(cursor);
        out->gone.id = out->kind == EFFECT_REMOVE ? take_name(cursor) : BYTES_ABSENT;
        return effect_version_is_fine(out->gone.version);
    case EFFECT_TOUCH:
    case EFFECT_TOMBSTONE:
        out->mark.hash = effect_take_u64(cursor);
        out->mark.version = effect_take_u64(cursor);
        out->mark.last_active_at = out->kind == EFFECT_TOUCH ? (int64_t)effect_take_u64(cursor) : 0;
        return effect_version_is_fine(out->mark.version) && out->mark.last_active_at >= 0 &&
               out->mark.last_active_at < INT64_C(1) << 48;
    case EFFECT_NAMESPACE: return read_namespace(cursor, &out->namespace);
    case EFFECT_CLIENT: return read_client(cursor, &out->client);
    default: return false;
    }
}

bool effect_read(struct bytes *effects, struct effect *out, const char **why) {
    struct effect_cursor cursor = effect_cursor_of(*effects);
    uint8_t kind = effect_take_u8(&cursor);
    uint32_t size = effect_take_u32(&cursor);
    out->kind = (enum effect_kind)kind;
    out->body = effect_take(&cursor, size);
    if (cursor.is_short) return refuse(why, "an effect is cut off");
    if (kind <= EFFECT_NONE || kind >= EFFECT_END)
        return refuse(why, "there is an effect of a kind that this release does not know");
    *effects = (struct bytes){cursor.at, cursor.left};
    struct effect_cursor body = effect_cursor_of(out->body);
    switch (out->kind) {
    case EFFECT_PUT: return effect_read_put(out->body, &out->put, why);
    case EFFECT_MOVE: return read_move(&body, out, why);
    case EFFECT_POOL:
    case EFFECT_USAGE: return true;
    default: break;
    }
    if (read_plain(&body, out) && !body.is_short && body.left == 0) return true;
    return refuse(why, "the fields of an effect are out of bounds");
}
