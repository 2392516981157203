/* Clients in the model: a name, two moments, and which session was active last. It exists as long as something of its
 * sessions is kept; everything else is looked up among the records. */
#include "base/mp.h"
#include "parts.h"
#include "sessiond/session.h"
#include "wire/codec.h"

#include <assert.h>
#include <string.h>

/* Removed and revoked sessions have left their client. */
#define OF_CLIENT                                                                                                      \
    (LIVING | STATUS_BIT(STATUS_ENDED) | STATUS_BIT(STATUS_REPLACED) | STATUS_BIT(STATUS_EXPIRED) |                    \
     STATUS_BIT(STATUS_ABANDONED))
#define RECORD_BYTES_MAX 800 /* of a listed session without its data and meta */

/* ---------------------------------------------------------------- what is known of it */

static bool is_kept(const struct model *model, const struct record *record, int64_t now_ms) {
    enum stands stands = judge(model, record, now_ms);
    return stands == STANDS_ALIVE || stands == STANDS_DEAD;
}

static bool is_of(const struct record *record, unsigned namespace, const char *client) {
    return record->namespace == namespace && record->kind == KIND_RECORD && strcmp(record->client, client) == 0;
}

static bool client_exists(const struct model *model, unsigned namespace, const char *client, int64_t now_ms) {
    for (unsigned i = 0; i < model->record_count; i++)
        if (is_of(&model->records[i], namespace, client) && is_kept(model, &model->records[i], now_ms)) return true;
    return false;
}

static struct client_model *client_find(struct model *model, unsigned namespace, const char *name) {
    for (unsigned i = 0; i < model->client_count; i++)
        if (model->clients[i].namespace == namespace && strcmp(model->clients[i].name, name) == 0)
            return &model->clients[i];
    assert(model->client_count < CLIENTS_MAX);
    struct client_model *client = &model->clients[model->client_count++];
    *client = (struct client_model){.namespace = namespace};
    strcpy(client->name, name);
    return client;
}

void enter_client(struct model *model, unsigned namespace, const char *name, int64_t now_ms) {
    struct client_model *client = client_find(model, namespace, name);
    if (!client_exists(model, namespace, name, now_ms)) {
        client->created_at = now_ms;
        client->last_id[0] = 0;
    }
    client->updated_at = now_ms;
}

void touch_client(struct model *model, const struct record *record, int64_t now_ms) {
    if (!record->client[0]) return;
    struct client_model *client = client_find(model, record->namespace, record->client);
    strcpy(client->last_id, record->id);
    client->last_life = record->life;
    client->updated_at = now_ms;
}

void move_client(struct model *model, const struct record *moved, const char *old_id) {
    if (!moved->client[0]) return;
    struct client_model *client = client_find(model, moved->namespace, moved->client);
    if (strcmp(client->last_id, old_id) == 0 && client->last_life == moved->life) strcpy(client->last_id, moved->id);
}

/* The session that was active last, if it is this client's still, and the same one. */
static struct record *client_last(struct model *model, const struct client_model *client, int64_t now_ms) {
    struct record *record = client->last_id[0] ? find(model, client->namespace, client->last_id) : NULL;
    bool is_it = record && is_of(record, client->namespace, client->name) && record->life == client->last_life &&
                 is_kept(model, record, now_ms) && (OF_CLIENT & STATUS_BIT(record_status(record, now_ms)));
    return is_it ? record : NULL;
}

/* ---------------------------------------------------------------- answers */

static bool compare_moment(struct model *model, struct bytes map, const char *key, int64_t expected) {
    int64_t got = integer_of(map_value(map, key));
    return got == expected ||
           complain(model, "the client's %s should be %lld, not %lld", key, (long long)expected, (long long)got);
}

/* A session by its name, or nil. */
static bool compare_named(struct model *model, struct bytes map, const char *key, const struct record *expected) {
    struct bytes encoded = map_value(map, key);
    if (!expected) return is_nil(encoded) || complain(model, "%s should be nil", key);
    struct mp_cursor cursor = mp_cursor_of(encoded);
    return (encoded.data && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(name_of(model, expected)))) ||
           complain(model, "%s should be %s", key, expected->id);
}

static bool compare_heads(struct model *model, const struct client_model *client, struct bytes map,
                          int64_t updated_at) {
    struct mp_cursor cursor = mp_cursor_of(map), id = mp_cursor_of(map_value(map, "id"));
    if (mp_peek(&cursor) != MP_MAP || mp_read_map(&cursor) != 6) return complain(model, "a client has six entries");
    if (!id.at || !bytes_equal(mp_read_bytes(&id), bytes_of_string(client->name)))
        return complain(model, "the client should be %s", client->name);
    return compare_moment(model, map, "created_at", client->created_at) &&
           compare_moment(model, map, "updated_at", updated_at);
}

/* The oldest living one; where two have no order, the one that the answer names. */
static bool compare_default(struct model *model, struct record *const *page, uint32_t count, struct bytes map,
                            const struct record *last, int64_t now_ms) {
    const struct record *first = last && is_alive(model, last, now_ms) ? last : NULL;
    for (uint32_t i = 0; i < count && !first; i++)
        if (is_alive(model, page[i], now_ms)) first = page[i];
    return compare_named(model, map, "default_session", first);
}

/* What it lists, as a session.list would be asked for it. */
static struct call list_of(const struct call *call) {
    struct call list = {.op = OP_SESSION_LIST, .statuses = OF_CLIENT, .oldest_first = true, .fields = call->fields};
    strcpy(list.namespace, call->namespace);
    list.client.is_given = true;
    strcpy(list.client.bytes, call->client_name);
    return list;
}

/* Only what may be longer than the mark is refused for its length. */
static bool expect_too_big(struct model *model, const struct call *list, int64_t now_ms, const struct answer *answer) {
    uint64_t size = 300;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (is_listed(model, record, list, now_ms)) size += RECORD_BYTES_MAX + record->data.size + record->meta.size;
    }
    if (size < model->output_mark) return complain(model, "these sessions fit into one answer");
    if (integer_of(map_value(answer->error, "limit")) != model->output_mark)
        return complain(model, "TOO_BIG should say that the limit is %u", model->output_mark);
    return expect_error(model, answer, "TOO_BIG");
}

static bool expect_client(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    static struct record *page[1000];
    struct call list = list_of(call);
    struct client_model *client = client_find(model, model_namespace(model, call->namespace), call->client_name);
    uint64_t listed = model_count_listed(model, &list, now_ms);
    uint32_t count = 0;
    if (listed == 0) return expect_nil(model, answer);
    if (!answer->error.data) return true;
    if (listed > 1 && !is_nil(answer->error)) return expect_too_big(model, &list, now_ms, answer);
    if (!expect_ok(model, answer) || !compare_heads(model, client, answer->result, client->updated_at)) return false;
    if (!expect_page(model, &list, now_ms, map_value(answer->result, "sessions"), page, &count)) return false;
    if (count != listed) return complain(model, "the client should list %llu sessions", (unsigned long long)listed);
    const struct record *last = client_last(model, client, now_ms);
    return compare_named(model, answer->result, "last_active_session", last) &&
           compare_default(model, page, count, answer->result, last, now_ms);
}

/* ---------------------------------------------------------------- operations */

static bool expect_conflict(struct model *model, struct record *record, int64_t now_ms, const struct answer *answer) {
    if (!expect_error(model, answer, "CONFLICT") || !answer->error.data) return !answer->error.data;
    struct mp_cursor status = mp_cursor_of(map_value(answer->error, "status"));
    if (!record) return !status.at || complain(model, "CONFLICT about no session should tell no status");
    const char *expected = status_name(record_status(record, now_ms));
    if (!status.at || !bytes_equal(mp_read_bytes(&status), bytes_of_string(expected)))
        return complain(model, "CONFLICT should say that it is %s", expected);
    return compare_version(model, record, (uint64_t)integer_of(map_value(answer->error, "version")));
}

static bool do_client_destroy(struct model *model, const struct call *call, int64_t now_ms,
                              const struct answer *answer) {
    struct call list = list_of(call);
    struct client_model *client = client_find(model, model_namespace(model, call->namespace), call->client_name);
    bool is_any = false;
    for (unsigned i = 0; i < model->record_count; i++) {
        if (!is_listed(model, &model->records[i], &list, now_ms)) continue;
        set_status(model, &model->records[i], STATUS_REMOVED, "", "", now_ms);
        is_any = true;
    }
    if (!is_any) return expect_nil(model, answer);
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer) || !compare_heads(model, client, answer->result, now_ms)) return false;
    struct mp_cursor sessions = mp_cursor_of(map_value(answer->result, "sessions"));
    if (!sessions.at || mp_read_array(&sessions) != 0) return complain(model, "no session should be left");
    return compare_named(model, answer->result, "last_active_session", NULL) &&
           compare_named(model, answer->result, "default_session", NULL);
}

bool do_client(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    unsigned namespace = model_namespace(model, call->namespace);
    bool is_activate = call->op == OP_CLIENT_ACTIVATE;
    if (is_activate && !call->id[0]) return expect_error(model, answer, "BAD_REQUEST");
    if (!client_exists(model, namespace, call->client_name, now_ms)) return expect_nil(model, answer);
    if (call->op == OP_CLIENT_DESTROY) return do_client_destroy(model, call, now_ms, answer);
    if (is_activate) {
        struct record *record = find(model, namespace, call->id);
        bool is_its = record && is_of(record, namespace, call->client_name) && is_kept(model, record, now_ms);
        if (!is_its) return expect_conflict(model, NULL, now_ms, answer);
        if (!is_alive(model, record, now_ms)) return expect_conflict(model, record, now_ms, answer);
        touch_client(model, record, now_ms);
    }
    return expect_client(model, call, now_ms, answer);
}
