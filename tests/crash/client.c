/* Connections: packets of requests, and what their answers promise. An answer that was read names, for each key that it
 * tells of, the newest change of that key at the step in which it was executed: whoever read it may rely on that. */
#define _GNU_SOURCE /* memrchr */
#include "base/mp.h"
#include "wire/codec.h"
#include "world.h"

#include <stdio.h>
#include <string.h>

enum { PACKET_MAX = 4 };

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

static bool is_nil(struct bytes encoded) {
    return encoded.size == 1 && encoded.data[0] == 0xc0;
}

static struct bytes text_of(struct bytes encoded) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    return encoded.data ? mp_read_bytes(&cursor) : BYTES_ABSENT;
}

/* ---------------------------------------------------------------- asking */

static unsigned namespace_of(const struct call *call) {
    for (unsigned i = 0; i < NAMESPACES_MAX; i++)
        if (strcmp(call->namespace, namespace_names[i]) == 0) return i;
    return 0;
}

static bool id_is_drawn(const struct call *calls, unsigned count, const struct call *call) {
    for (unsigned i = 0; i < count; i++)
        if (strcmp(calls[i].id, call->id) == 0) return true;
    return false;
}

static unsigned draw_packet(struct world *world, struct call *calls) {
    if (of(world, 70)) {
        draw_call(world, &calls[0]);
        return 1;
    }
    unsigned count = 0;
    for (unsigned wanted = 2 + (unsigned)below(world, PACKET_MAX - 1); wanted > 0; wanted--) {
        draw_plain(world, &calls[count]);
        if (!id_is_drawn(calls, count, &calls[count])) count++;
    }
    return count;
}

/* Of a clear and a purge in one millisecond nobody keeps which was first, and sessions that began in one millisecond
 * before and after a drop are told apart by nothing that this ledger knows. */
static bool ends_many(const struct call *call) {
    return call->op == OP_SESSION_CLEAR || call->op == OP_SESSION_PURGE || call->op == OP_NAMESPACE_DROP ||
           call->op == OP_POOL_RESET;
}

void client_feed(struct world *world, struct peer *peer) {
    struct call calls[PACKET_MAX];
    struct buf packet = BUF_EMPTY;
    if (peer->state != CONN_READING) return;
    world_enter(world, peer->loop);
    unsigned count = draw_packet(world, calls);
    if (ends_many(&calls[0])) world->now_ms++;
    ledger_step(&world->ledger);
    for (unsigned i = 0; i < count; i++) {
        struct call *call = &calls[i];
        call->msgid = world->msgid++;
        call_encode(call, &world->chance, &packet);
        world_note(world, "conn %u asks %u: %s %s %s%s", (unsigned)(peer - world->peers), call->msgid,
                   op_infos[call->op].method, call->namespace, call->id, count > 1 ? ", packed" : "");
        peer->sent[call->msgid % SENT_MAX] = (struct sent){.call = *call,
                                                           .moment = world->ledger.moment,
                                                           .executed_at = world->now_ms,
                                                           .is_alone = count == 1,
                                                           .was_failed = world->failed_at != INT64_MAX};
    }
    peer->state = conn_feed(peer->conn, buf_bytes(&packet), world->now_ms);
    buf_fini(&packet);
    look_write(world, peer->loop);
    if (calls[0].op == OP_SESSION_CLEAR || calls[0].op == OP_SESSION_PURGE)
        ledger_note_namespace(&world->ledger, namespace_of(&calls[0]), peer->loop);
    world->fed[peer->loop]++;
}

/* ---------------------------------------------------------------- hearing */

static void note_token(struct world *world, unsigned namespace, struct bytes result) {
    struct bytes text = text_of(map_value(result, "token"));
    struct token *token = &world->tokens[world->token_count % TOKENS_MAX];
    const uint8_t *dot = text.data ? memrchr(text.data, '.', text.size) : NULL;
    if (!dot || (size_t)(dot - text.data) >= sizeof token->id) return;
    size_t id_size = (size_t)(dot - text.data), size = text.size - id_size - 1;
    if (size >= sizeof token->secret) return;
    *token = (struct token){.namespace = namespace};
    memcpy(token->id, text.data, id_size);
    memcpy(token->secret, dot + 1, size);
    world->token_count++;
}

static uint64_t number_in(struct bytes map, const char *key) {
    struct bytes value = map_value(map, key);
    struct mp_cursor cursor = mp_cursor_of(value);
    return value.data ? (uint64_t)mp_read_int(&cursor, 0, INT64_MAX) : 0;
}

/* No number of a hand-out or of a lease comes twice, and nothing is handed out more often than it may be. */
static void note_ticket(struct world *world, unsigned namespace, struct bytes result) {
    struct bytes id = text_of(map_value(result, "id"));
    struct ticket ticket = {.namespace = namespace,
                            .use = number_in(result, "use"),
                            .fence = number_in(result, "fence"),
                            .told_at = world->now_ms,
                            .created_at = (int64_t)number_in(result, "created_at")};
    uint64_t max_usage = number_in(result, "max_usage_count"), times = 1;
    if (!id.data || id.size >= sizeof ticket.id) return;
    memcpy(ticket.id, id.data, id.size);
    unsigned held = world->ticket_count < TICKETS_MAX ? world->ticket_count : TICKETS_MAX;
    for (unsigned i = 0; i < held; i++) {
        const struct ticket *other = &world->tickets[i];
        if (other->namespace != namespace || strcmp(other->id, ticket.id) != 0 ||
            other->created_at != ticket.created_at)
            continue;
        times++;
        if (other->use == ticket.use || (ticket.fence && other->fence == ticket.fence))
            world_fail(world, "%s is handed out twice as use %llu or fence %llu", ticket.id,
                       (unsigned long long)ticket.use, (unsigned long long)ticket.fence);
    }
    if (max_usage && times > max_usage + world->releases[ledger_key(&world->ledger, KEY_SESSION, namespace, id)])
        world_fail(world, "%s is handed out %llu times, and %llu are allowed", ticket.id, (unsigned long long)times,
                   (unsigned long long)max_usage);
    world->tickets[world->ticket_count++ % TICKETS_MAX] = ticket;
    world->totals->handed_out++;
}

struct hearing {
    struct world *world;
    const struct sent *sent;
    struct bytes error, result;
    uint64_t append;
    unsigned key; /* that it is for */
};

static void rely_on(struct hearing *hearing, unsigned key, enum told told, int user) {
    uint64_t append = ledger_depends(&hearing->world->ledger, key, hearing->sent->moment, told, user);
    if (append > hearing->append) hearing->append = append, hearing->key = key;
}

static void rely_on_id(struct hearing *hearing, const char *id, enum told told) {
    unsigned namespace = namespace_of(&hearing->sent->call);
    if (id[0])
        rely_on(hearing, ledger_key(&hearing->world->ledger, KEY_SESSION, namespace, bytes_of_string(id)), told, -1);
}

static void rely_on_user(struct hearing *hearing, enum told told) {
    const struct ledger *ledger = &hearing->world->ledger;
    unsigned namespace = namespace_of(&hearing->sent->call);
    int user = hearing->sent->call.user.bytes[1] - '0';
    for (unsigned i = 0; i < ledger->key_count; i++)
        if (ledger->keys[i].kind == KEY_SESSION && ledger->keys[i].namespace == namespace)
            rely_on(hearing, i, told, user);
}

/* What it names. */
static void rely_on_named(struct hearing *hearing) {
    const struct call *call = &hearing->sent->call;
    switch (call->op) {
    case OP_SESSION_LIST: rely_on_user(hearing, TOLD_LIST); return;
    case OP_SESSION_COUNT: rely_on_user(hearing, TOLD_COUNT); return;
    case OP_SESSION_GET_MANY:
        for (unsigned i = 0; i < call->id_count; i++) rely_on_id(hearing, call->ids[i], TOLD_ALL);
        return;
    case OP_CLIENT_ACTIVATE:
        if (!hearing->world->has_clients) return;
        rely_on(hearing,
                ledger_key(&hearing->world->ledger, KEY_CLIENT, namespace_of(call), bytes_of_string(call->client_name)),
                TOLD_ALL, -1);
        return;
    case OP_NAMESPACE_DESCRIBE:
        rely_on(
            hearing,
            ledger_key(&hearing->world->ledger, KEY_NAMESPACE, namespace_of(call), bytes_of_string(call->namespace)),
            TOLD_ALL, -1);
        return;
    case OP_SESSION_CREATE:
    case OP_SESSION_GET:
    case OP_SESSION_TAKE:
    case OP_SESSION_SET:
    case OP_SESSION_PATCH:
    case OP_SESSION_TOUCH:
    case OP_SESSION_DESTROY:
    case OP_SESSION_REGENERATE:
    case OP_SESSION_EXPIRE:
    case OP_SESSION_ACTIVATE:
    case OP_SESSION_END:
    case OP_SESSION_REMOVE:
    case OP_SESSION_REVOKE:
    case OP_SESSION_ABANDON:
    case OP_SESSION_REPLACE: rely_on_id(hearing, call->id, TOLD_ALL); return;
    default: return;
    }
}

static bool is_refused(const struct hearing *hearing, const char *code) {
    return bytes_equal(text_of(map_value(hearing->error, "code")), bytes_of_string(code));
}

/* "Not now": it has changed nothing. */
static bool is_put_off(const struct hearing *hearing) {
    bool has_retry = map_value(hearing->error, "retry_after_ms").data != NULL;
    return is_refused(hearing, "BUSY") || is_refused(hearing, "READ_ONLY") ||
           (is_refused(hearing, "STORAGE") && has_retry);
}

static void hear_put_off(struct hearing *hearing) {
    struct world *world = hearing->world;
    world->totals->full += is_refused(hearing, "STORAGE");
    if (hearing->sent->is_alone && ledger_step_changed(&world->ledger, hearing->sent->moment))
        world_fail(world, "request %u was refused, and has changed something", hearing->sent->call.msgid);
}

/* What a refusal tells of the id: that it is dead, or there. */
static void rely_on_refused(struct hearing *hearing) {
    const struct call *call = &hearing->sent->call;
    bool tells = is_refused(hearing, "GONE") || is_refused(hearing, "CONFLICT") ||
                 (is_refused(hearing, "EXISTS") && call->op != OP_SESSION_REGENERATE);
    if (tells) rely_on_id(hearing, call->id, TOLD_LIFE);
}

static void hear_promise(struct hearing *hearing) {
    struct world *world = hearing->world;
    const struct sent *sent = hearing->sent;
    const struct ledger *ledger = &world->ledger;
    bool is_write = sent->is_alone && ledger_step_changed(&world->ledger, sent->moment);
    is_nil(hearing->error) ? rely_on_named(hearing) : rely_on_refused(hearing);
    if (is_write && is_nil(hearing->error)) {
        uint64_t append = ledger_depends_on_step(&world->ledger, sent->moment, &hearing->key);
        if (append > hearing->append) hearing->append = append;
    }
    if (hearing->append == APPEND_NONE)
        world_fail(world, "request %u (%s) is answered, and what it tells of %s.%s (%s) was not even appended",
                   sent->call.msgid, op_infos[sent->call.op].method,
                   namespace_names[ledger->keys[hearing->key].namespace], ledger->keys[hearing->key].name,
                   ledger->now[hearing->key].says);
    if (is_write && is_nil(hearing->error) && sent->was_failed)
        world_fail(world, "request %u has changed something after the journal had failed", sent->call.msgid);
    ledger_promise(&world->ledger,
                   (struct promise){hearing->append, sent->executed_at, world->now_ms, is_write, sent->call.msgid});
    world->totals->promises += hearing->append > 0;
}

static void hear(struct world *world, struct peer *peer, uint32_t msgid, struct bytes error, struct bytes result) {
    struct sent *sent = &peer->sent[msgid % SENT_MAX];
    struct hearing hearing = {world, sent, error, result, 0, 0};
    if (sent->call.msgid != msgid || sent->is_answered) {
        world_fail(world, "answer %u was not asked for", msgid);
        return;
    }
    sent->is_answered = true;
    world->totals->answers++;
    if (is_nil(error)) world->totals->played[sent->call.op]++;
    struct bytes code = text_of(map_value(error, "code"));
    world_note(world, "conn %u hears %u: %.*s", (unsigned)(peer - world->peers), msgid,
               (int)(code.data ? code.size : 2), code.data ? (const char *)code.data : "ok");
    if (is_put_off(&hearing))
        hear_put_off(&hearing);
    else if (!is_refused(&hearing, "STORAGE"))
        hear_promise(&hearing);
    if (!is_nil(error)) return;
    note_token(world, namespace_of(&sent->call), result);
    if (sent->call.op == OP_POOL_ACQUIRE) note_ticket(world, namespace_of(&sent->call), result);
}

void client_read(struct world *world, struct peer *peer) {
    struct bytes output = conn_output(peer->conn);
    struct mp_cursor cursor = mp_cursor_of(output);
    while (cursor.at < cursor.end && !world->has_failed) {
        if (mp_read_array(&cursor) != 4 || mp_read_int(&cursor, 0, 9) != 1) {
            world_fail(world, "what came is no answer");
            return;
        }
        uint32_t msgid = (uint32_t)mp_read_int(&cursor, 0, UINT32_MAX);
        struct bytes error = mp_read_value(&cursor, MP_DEPTH_MAX), result = mp_read_value(&cursor, MP_DEPTH_MAX);
        if (cursor.error != MP_OK) world_fail(world, "half an answer came");
        if (cursor.error == MP_OK) hear(world, peer, msgid, error, result);
    }
    world_enter(world, peer->loop);
    conn_output_sent(peer->conn, output.size);
    peer->state = conn_resume(peer->conn, world->now_ms);
    look_write(world, peer->loop);
}
