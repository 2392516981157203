/* Effects: what is written is read, whatever parts it has; what was cut or changed is refused or within bounds. */
#include "base/mp.h"
#include "engine/memory/effect.h"

#include <criterion/criterion.h>
#include <stdlib.h>

#define NAMESPACE UINT64_C(0x1122334455667788)
#define NOW       INT64_C(1767225600000)

static const struct terms terms = {.idle_timeout_ms = 100, .absolute_timeout_ms = 200, .abandon_timeout_ms = 300};

static struct session whole_session(void) {
    return (struct session){.id = BYTES_LITERAL("an id"),
                            .data = BYTES_LITERAL("\x81\xa1x\x01"),
                            .user = BYTES_LITERAL("ann"),
                            .client = BYTES_LITERAL("phone"),
                            .pool = BYTES_LITERAL("crawlers"),
                            .reason = BYTES_LITERAL("signed out"),
                            .replaced_by = BYTES_LITERAL("another id"),
                            .meta = BYTES_LITERAL("\x81\xa1m\xc0"),
                            .tags = BYTES_LITERAL("\x92\xa1"
                                                  "a\xa1"
                                                  "b"),
                            .token = BYTES_LITERAL("token's hash"),
                            .bound = BYTES_LITERAL("browser's hash"),
                            .status = STATUS_REPLACED,
                            .status_at = NOW - 1,
                            .created_at = NOW - 500,
                            .last_active_at = NOW - 2,
                            .absolute_expires_at = NOW + 10,
                            .idle_timeout_ms = 7,
                            .absolute_timeout_ms = 8,
                            .abandon_timeout_ms = 9,
                            .birth = 0x5a5b};
}

static struct record *record_in(const struct session *session, struct record_frame *frame) {
    struct record *record = malloc(record_size_of(session, frame));
    record_fill(record, session, frame);
    return record;
}

static struct record *record_of(const struct session *session, bool has_own_timeouts, bool is_reaped) {
    return record_in(session,
                     &(struct record_frame){
                         .version = 77, .terms = 42, .has_own_timeouts = has_own_timeouts, .is_reaped = is_reaped});
}

static struct effect read_one(const struct buf *out) {
    struct bytes left = buf_bytes(out);
    struct effect effect;
    const char *why = "nothing";
    cr_assert(effect_read(&left, &effect, &why), "%s", why);
    cr_assert_eq(left.size, 0);
    return effect;
}

static void expect_session(const struct session *actual, const struct session *expected) {
    cr_assert(bytes_equal(actual->id, expected->id) && bytes_equal(actual->data, expected->data));
    cr_assert(bytes_equal(actual->user, expected->user) && bytes_equal(actual->client, expected->client));
    cr_assert(bytes_equal(actual->pool, expected->pool) && bytes_equal(actual->reason, expected->reason));
    cr_assert(bytes_equal(actual->replaced_by, expected->replaced_by) && bytes_equal(actual->meta, expected->meta));
    cr_assert(bytes_equal(actual->tags, expected->tags) && bytes_equal(actual->token, expected->token));
    cr_assert(bytes_equal(actual->bound, expected->bound));
    cr_assert_eq(actual->version, 77);
    cr_assert_eq(actual->created_at, expected->created_at);
    cr_assert_eq(actual->last_active_at, expected->last_active_at);
    cr_assert_eq(actual->birth, expected->birth);
    cr_assert_eq(actual->status, expected->status);
    cr_assert_eq(actual->status_at, expected->status_at);
    cr_assert_eq(actual->absolute_expires_at, expected->absolute_expires_at);
    cr_assert_eq(actual->is_alias, expected->is_alias);
    cr_assert_null(actual->usage);
}

/* Bit by bit: which of its ten optional parts the session has. */
static struct session session_with(unsigned parts) {
    struct session session = whole_session();
    if (parts & 1) session.user = BYTES_ABSENT;
    if (parts & 2) session.client = BYTES_ABSENT;
    if (parts & 4) session.pool = BYTES_ABSENT;
    if (parts & 8) session.reason = BYTES_ABSENT;
    if (parts & 16) session.replaced_by = BYTES_ABSENT;
    if (parts & 32) session.meta = BYTES_ABSENT;
    if (parts & 64) session.tags = BYTES_ABSENT;
    if (parts & 128) session.token = BYTES_ABSENT;
    if (parts & 256) session.bound = BYTES_ABSENT;
    if (parts & 512) session.absolute_expires_at = session.status_at = 0;
    return session;
}

Test(effect, of_a_session_is_read_with_whatever_parts_it_has) {
    for (unsigned parts = 0; parts < 1024; parts++)
        for (unsigned has_own = 0; has_own < 2; has_own++) {
            struct session session = session_with(parts);
            struct record *record = record_of(&session, has_own, parts & 1);
            struct buf out = BUF_EMPTY;
            effect_write_put(&out, NAMESPACE, record, &terms);
            struct effect effect = read_one(&out);
            cr_assert_eq(effect.kind, EFFECT_PUT);
            cr_assert_eq(effect.put.namespace, NAMESPACE);
            cr_assert_eq(effect.put.is_reaped, parts & 1);
            expect_session(&effect.put.session, &session);
            cr_assert_eq(effect.put.session.idle_timeout_ms, has_own ? 7 : 100);
            cr_assert_eq(effect.put.session.absolute_timeout_ms, has_own ? 8 : 200);
            cr_assert_eq(effect.put.session.abandon_timeout_ms, has_own ? 9 : 300);
            free(record);
            buf_fini(&out);
        }
}

static struct session alias_session(void) {
    return (struct session){.id = BYTES_LITERAL("old id"),
                            .replaced_by = BYTES_LITERAL("an id"),
                            .data = BYTES_LITERAL("\x80"),
                            .status = STATUS_REPLACED,
                            .status_at = NOW,
                            .created_at = NOW,
                            .last_active_at = NOW,
                            .absolute_expires_at = NOW + 30,
                            .is_alias = true};
}

static void write_move(struct buf *out, bool has_alias) {
    struct session session = whole_session(), old = alias_session();
    struct record *record = record_of(&session, true, false), *alias = record_of(&old, false, false);
    effect_write_move(out, NAMESPACE, record, &terms, old.id, has_alias ? alias : NULL, &terms);
    free(record);
    free(alias);
}

Test(effect, of_a_move_says_what_stands_under_both_ids) {
    for (unsigned has_alias = 0; has_alias < 2; has_alias++) {
        struct session session = whole_session(), old = alias_session();
        struct buf out = BUF_EMPTY;
        write_move(&out, has_alias);
        struct effect effect = read_one(&out);
        cr_assert_eq(effect.kind, EFFECT_MOVE);
        expect_session(&effect.move.put.session, &session);
        cr_assert(bytes_equal(effect.move.old_id, old.id));
        cr_assert_eq(effect.move.alias.data != NULL, has_alias);
        struct effect_put alias;
        const char *why;
        if (has_alias) {
            cr_assert(effect_read_put(effect.move.alias, &alias, &why));
            expect_session(&alias.session, &old);
        }
        buf_fini(&out);
    }
}

static struct effect_namespace whole_namespace(void) {
    return (struct effect_namespace){.key = NAMESPACE,
                                     .version = 50,
                                     .made = 10,
                                     .tombstone_floor = 9,
                                     .purge_interval_ms = 60000,
                                     .is_purging = true,
                                     .clear_count = 2,
                                     .clears = {{11, 1000}, {12, 0}},
                                     .purge_count = 3,
                                     .purges = {{13, NOW, NOW - 1}, {14, NOW, NOW}, {50, NOW + 1, -5}},
                                     .name = BYTES_LITERAL("web"),
                                     .policy = BYTES_LITERAL("\x80")};
}

Test(effect, of_a_namespace_is_read_as_it_was_written) {
    struct effect_namespace written = whole_namespace();
    struct buf out = BUF_EMPTY;
    effect_write_namespace(&out, &written);
    struct effect_namespace read = read_one(&out).namespace;
    cr_assert(read.key == NAMESPACE && read.version == 50 && read.made == 10 && read.tombstone_floor == 9);
    cr_assert(read.purge_interval_ms == 60000 && read.is_purging);
    cr_assert(read.clear_count == 2 && read.purge_count == 3);
    for (unsigned i = 0; i < 2; i++)
        cr_assert(read.clears[i].version == written.clears[i].version &&
                  read.clears[i].retention_ms == written.clears[i].retention_ms);
    for (unsigned i = 0; i < 3; i++)
        cr_assert(read.purges[i].version == written.purges[i].version && read.purges[i].at == written.purges[i].at &&
                  read.purges[i].until == written.purges[i].until);
    cr_assert(bytes_equal(read.name, written.name) && bytes_equal(read.policy, written.policy));
    buf_fini(&out);
}

static struct effect_client whole_client(void) {
    return (struct effect_client){.namespace = NAMESPACE,
                                  .version = 5,
                                  .created_at = NOW,
                                  .updated_at = NOW + 1,
                                  .last_born = 8,
                                  .last_hash = 9,
                                  .has_last_active = true,
                                  .name = BYTES_LITERAL("phone")};
}

/* One of each kind. */
static void write_all(struct buf *out) {
    struct hash_key key;
    struct session session = whole_session();
    struct record *record = record_of(&session, false, 0);
    struct effect_namespace namespace = whole_namespace();
    struct effect_client client = whole_client();
    memset(key.secret, 0xab, sizeof(key.secret));
    effect_write_store(out, &key);
    effect_write_namespace(out, &namespace);
    effect_write_drop(out, NAMESPACE, 3);
    effect_write_put(out, NAMESPACE, record, &terms);
    write_move(out, true);
    write_move(out, false);
    effect_write_remove(out, NAMESPACE, 4, BYTES_LITERAL("an id"));
    effect_write_touch(out, 21, 22, NOW);
    effect_write_client(out, &client);
    effect_write_tombstone(out, 23, 24);
    free(record);
}

Test(effect, of_each_kind_is_read_one_after_the_other) {
    static const enum effect_kind kinds[] = {EFFECT_STORE,  EFFECT_NAMESPACE, EFFECT_DROP,   EFFECT_PUT,
                                             EFFECT_MOVE,   EFFECT_MOVE,      EFFECT_REMOVE, EFFECT_TOUCH,
                                             EFFECT_CLIENT, EFFECT_TOMBSTONE};
    struct buf out = BUF_EMPTY;
    struct effect effects[10];
    const char *why;
    write_all(&out);
    struct bytes left = buf_bytes(&out);
    for (unsigned i = 0; i < 10; i++) {
        cr_assert(effect_read(&left, &effects[i], &why));
        cr_assert_eq(effects[i].kind, kinds[i]);
    }
    cr_assert_eq(left.size, 0);
    cr_assert_eq(effects[0].store.secret[HASH_SECRET_BYTES - 1], 0xab);
    cr_assert(effects[2].gone.namespace == NAMESPACE && effects[2].gone.version == 3);
    cr_assert(effects[6].gone.namespace == NAMESPACE && effects[6].gone.version == 4);
    cr_assert(bytes_equal(effects[6].gone.id, BYTES_LITERAL("an id")));
    cr_assert(effects[7].mark.hash == 21 && effects[7].mark.version == 22 && effects[7].mark.last_active_at == NOW);
    struct effect_client client = effects[8].client;
    cr_assert(client.namespace == NAMESPACE && client.version == 5 && client.created_at == NOW);
    cr_assert(client.updated_at == NOW + 1 && client.has_last_active && client.last_born == 8 && client.last_hash == 9);
    cr_assert(bytes_equal(client.name, BYTES_LITERAL("phone")));
    cr_assert(effects[9].mark.hash == 23 && effects[9].mark.version == 24);
    buf_fini(&out);
}

/* Reads all; answers how many there were before one was refused. */
static unsigned read_all(struct bytes left, bool *is_refused) {
    unsigned count = 0;
    struct effect effect;
    const char *why = NULL;
    *is_refused = false;
    for (; left.size; count++)
        if (!effect_read(&left, &effect, &why)) {
            cr_assert(why && *why);
            *is_refused = true;
            break;
        }
    return count;
}

/* In memory of exactly its size, so that a sanitizer sees any byte that is read too many. */
static unsigned read_copy(const uint8_t *data, size_t size, bool *is_refused) {
    uint8_t *copy = malloc(size ? size : 1);
    memcpy(copy, data, size);
    unsigned count = read_all(bytes_of(copy, size), is_refused);
    free(copy);
    return count;
}

Test(effect, that_was_cut_off_is_refused_wherever_that_was) {
    struct buf out = BUF_EMPTY;
    bool is_refused;
    unsigned whole = 0;
    write_all(&out);
    for (size_t size = 0; size < out.size; size++) {
        unsigned count = read_copy(out.data, size, &is_refused);
        cr_assert(count >= whole && count < 10);
        cr_assert(is_refused || count > whole || size == 0, "cut at %zu of %zu it is taken", size, out.size);
        whole = count;
    }
    buf_fini(&out);
}

Test(effect, of_which_a_bit_was_changed_is_refused_or_within_bounds) {
    struct buf out = BUF_EMPTY;
    bool is_refused;
    unsigned refused = 0;
    write_all(&out);
    for (size_t bit = 0; bit < out.size * 8; bit++) {
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        read_copy(out.data, out.size, &is_refused);
        refused += is_refused;
        out.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    cr_assert_gt(refused, 1000);
    buf_fini(&out);
}

/* ---- what a checksum may let pass */

static bool is_taken(const struct buf *out) {
    bool is_refused;
    read_all(buf_bytes(out), &is_refused);
    return !is_refused;
}

static bool is_taken_with(void (*change)(struct record *record, struct session *session)) {
    struct session session = whole_session();
    session.data = BYTES_LITERAL("\x81\xa1x\x01");
    if (change) change(NULL, &session);
    struct record *record = record_of(&session, false, false);
    if (change) change(record, NULL);
    struct buf out = BUF_EMPTY;
    effect_write_put(&out, NAMESPACE, record, &terms);
    bool taken = is_taken(&out);
    buf_fini(&out);
    free(record);
    return taken;
}

#define CHANGE(name, of_session, of_record)                                                                            \
    static void name(struct record *record, struct session *session) {                                                 \
        (void)record;                                                                                                  \
        if (session) {                                                                                                 \
            of_session;                                                                                                \
        } else {                                                                                                       \
            of_record;                                                                                                 \
        }                                                                                                              \
    }

/* The flags of one that is rare, as that session is: behind its id. */
static void flags_change(struct record *record, unsigned taken, unsigned given) {
    uint8_t *at = record->payload + record_id_size(record);
    at[0] = (uint8_t)((at[0] & ~taken) | given);
    at[1] = (uint8_t)((at[1] & ~(taken >> 8)) | given >> 8);
}

CHANGE(no_status, , flags_change(record, 15, 0))
CHANGE(high_status, , flags_change(record, 0, 15))
CHANGE(unknown_flag, , flags_change(record, 0, 1 << 15))
CHANGE(no_version, , record_set_version(record, 0))
CHANGE(no_birth, session->birth = 0, )
CHANGE(two_values, session->data = BYTES_LITERAL("\x01\x02"), )
CHANGE(no_value, session->data = BYTES_LITERAL(""), )
CHANGE(half_a_value, session->data = BYTES_LITERAL("\x81\xa1x"), )
CHANGE(meta_no_map, session->meta = BYTES_LITERAL("\x91\x01"), )
CHANGE(tags_no_array, session->tags = BYTES_LITERAL("\x80"), )
CHANGE(tags_no_texts, session->tags = BYTES_LITERAL("\x91\x01"), )
CHANGE(far_end, session->absolute_expires_at = INT64_MAX, )
CHANGE(alias_that_lives, session->is_alias = true; session->status = STATUS_ACTIVE, )
CHANGE(alias_without_target, session->is_alias = true; session->replaced_by = BYTES_ABSENT, )

Test(effect, of_a_session_that_no_engine_could_have_had_is_refused) {
    cr_assert(is_taken_with(NULL));
    void (*const changes[])(struct record * record, struct session * session) = {
        no_status,    high_status, unknown_flag,  no_version,    no_birth, two_values,       no_value,
        half_a_value, meta_no_map, tags_no_array, tags_no_texts, far_end,  alias_that_lives, alias_without_target};
    for (unsigned i = 0; i < sizeof(changes) / sizeof(*changes); i++)
        cr_assert(!is_taken_with(changes[i]), "the change %u is taken", i);
}

/* Whether a PUT is taken of which eight bytes of its body have become `number`. */
static bool is_taken_with_number(size_t at, uint64_t number) {
    struct session session = whole_session();
    struct record *record = record_of(&session, false, false);
    struct buf out = BUF_EMPTY;
    effect_write_put(&out, NAMESPACE, record, &terms);
    memcpy(out.data + EFFECT_HEAD_BYTES + at, &number, sizeof(number));
    bool taken = is_taken(&out);
    buf_fini(&out);
    free(record);
    return taken;
}

Test(effect, of_a_session_takes_versions_up_to_53_bits) {
    cr_assert(!is_taken_with_number(8, 0));
    cr_assert(is_taken_with_number(8, 1));
    cr_assert(is_taken_with_number(8, EFFECT_VERSION_MAX));
    cr_assert(!is_taken_with_number(8, EFFECT_VERSION_MAX + 1));
}

Test(effect, of_a_session_without_an_id_is_refused) {
    struct session session = whole_session();
    struct record *record = record_of(&session, false, false);
    struct buf out = BUF_EMPTY;
    effect_write_put(&out, NAMESPACE, record, &terms);
    /* The id's place goes to the data, so that all sizes fit. */
    uint32_t sizes = (uint32_t)(session.id.size + session.data.size) << 8;
    memcpy(out.data + EFFECT_HEAD_BYTES + 56, &sizes, sizeof(sizes));
    uint8_t *id = out.data + out.size - session.data.size - session.id.size;
    memset(id, 0xc0, session.id.size + session.data.size);
    /* An array of nils, as data may be: that alone would be taken. */
    *id = (uint8_t)(0x90 + session.id.size + session.data.size - 1);
    struct bytes left = buf_bytes(&out);
    struct effect effect;
    const char *why = NULL;
    cr_assert(!effect_read(&left, &effect, &why));
    cr_assert_str_eq(why, "a session's fields are out of bounds");
    buf_fini(&out);
    free(record);
}

/* ---- whatever a record had to do to hold it */

static void expect_put_of(const struct session *session, struct record_frame *frame) {
    struct record *record = record_in(session, frame);
    struct buf out = BUF_EMPTY;
    effect_write_put(&out, NAMESPACE, record, &terms);
    struct effect effect = read_one(&out);
    cr_assert_eq(effect.put.session.version, frame->version);
    effect.put.session.version = 77;
    expect_session(&effect.put.session, session);
    free(record);
    buf_fini(&out);
}

Test(effect, of_a_session_says_nothing_of_how_its_record_holds_numbers) {
    static uint8_t data[70000] = {0xc6};
    uint32_t sizes[] = {RECORD_WIDE_DATA - 1, RECORD_WIDE_DATA, RECORD_WIDE_DATA + 1, 65535, 65536, sizeof(data)};
    const uint64_t versions[] = {1, EFFECT_VERSION_MAX - 1, EFFECT_VERSION_MAX};
    const int64_t moments[] = {0, VERSION_EPOCH_MS - 1, VERSION_EPOCH_MS, NOW, (INT64_C(1) << 48) - 1};
    const uint32_t numbers[] = {0, RECORD_WIDE_TERMS - 1, RECORD_WIDE_TERMS, UINT32_MAX - 1};
    for (unsigned i = 0; i < 6 * 3 * 5 * 4 * 2; i++) {
        bool is_plain = i % 2;
        struct session session =
            is_plain ? (struct session){.id = BYTES_LITERAL("an id"), .status = STATUS_ACTIVE, .birth = 1}
                     : whole_session();
        uint32_t size = sizes[i / 2 % 6];
        for (unsigned k = 0; k < 4; k++) data[1 + k] = (uint8_t)((size - 5) >> (24 - 8 * k));
        session.data = bytes_of(data, size);
        session.created_at = session.last_active_at = moments[i / 36 % 5];
        expect_put_of(&session, &(struct record_frame){.version = versions[i / 12 % 3], .terms = numbers[i / 180]});
    }
}

Test(effect, of_a_namespace_that_cannot_be_is_refused) {
    for (unsigned i = 0; i < 8; i++) {
        struct effect_namespace namespace = whole_namespace();
        struct buf out = BUF_EMPTY;
        switch (i) {
        case 0: break;
        case 1:
            namespace.made
            = 51;
            break;
        case 2:
            namespace.name
            = BYTES_LITERAL("");
            break;
        case 3:
            namespace.purge_interval_ms
            = 0;
            break;
        case 4:
            namespace.clears[1].version
            = 10;
            break;
        case 5:
            namespace.purges[0].at
            = INT64_MAX;
            break;
        case 6:
            namespace.policy
            = BYTES_LITERAL("");
            break;
        default: namespace.version = 0;
        }
        effect_write_namespace(&out, &namespace);
        cr_assert_eq(is_taken(&out), i == 0, "the change %u", i);
        buf_fini(&out);
    }
}

Test(effect, of_a_kind_that_nobody_knows_is_refused) {
    for (unsigned kind = 0; kind < 256; kind++) {
        struct buf out = BUF_EMPTY;
        effect_end(&out, effect_begin(&out, (enum effect_kind)kind));
        cr_assert_eq(is_taken(&out), kind == EFFECT_POOL || kind == EFFECT_USAGE);
        buf_fini(&out);
    }
}
