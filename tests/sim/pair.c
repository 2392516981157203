/* Pairs: which two requests run at once, and which orders of the two explain what came of it.
 *
 * Before, what they are about is read, so that no version is unknown that one of them could show; afterwards it is read
 * again, and an order explains the pair only if it explains that too. */
#include "pair.h"

#include "base/mp.h"

#include <stdio.h>
#include <string.h>

/* A request, and its answer, copied. */
struct probe {
    struct call call;
    struct answer answer;
};

#define PROBES_MAX 10

/* The one answer that a connection holds, copied. */
static struct answer single_answer(struct world *world, const struct peer *peer) {
    struct mp_cursor cursor = mp_cursor_of(model_copy(&world->model, conn_output(peer->conn)));
    mp_read_array(&cursor);
    mp_read_value(&cursor, 0), mp_read_value(&cursor, 0);
    struct bytes error = mp_read_value(&cursor, MP_DEPTH_MAX), result = mp_read_value(&cursor, MP_DEPTH_MAX);
    return (struct answer){error, result};
}

/* Reads, and does not compare yet. What is drawn for it is nobody else's chance. */
static void probe_ask(struct world *world, struct peer *peer, struct probe *probe) {
    uint64_t chance = world->chance;
    struct buf message = BUF_EMPTY;
    call_encode(&probe->call, &chance, &message);
    conn_feed(peer->conn, buf_bytes(&message), world->now_ms);
    buf_fini(&message);
    probe->answer = single_answer(world, peer);
    conn_output_sent(peer->conn, conn_output(peer->conn).size);
    conn_resume(peer->conn, world->now_ms);
}

/* Which of its sessions a client was active in last tells the order of two as well. */
static void probe_client(struct world *world, struct peer *peer, const char *namespace, const char *client,
                         struct probe *probe) {
    *probe = (struct probe){.call = {.op = OP_CLIENT_GET}};
    strcpy(probe->call.namespace, namespace);
    strcpy(probe->call.client_name, client);
    probe_ask(world, peer, probe);
}

/* The client of what stood under an id before the pair, or for a while still stands there; "": none. */
static const char *client_before(const struct world *world, const struct call *call) {
    const struct model *model = &world->model;
    unsigned namespace = model_namespace(model, call->namespace);
    const char *id = call->id, *client = "";
    for (unsigned hops = 0; id && hops < 2; hops++) {
        const char *alias_of = NULL;
        for (unsigned i = 0; i < model->record_count; i++) {
            const struct record *record = &model->records[i];
            if (record->namespace != namespace || strcmp(record->id, id) != 0) continue;
            if (record->kind == KIND_RECORD) client = record->client;
            if (record->kind == KIND_ALIAS) alias_of = record->alias_of;
        }
        id = alias_of;
    }
    return client;
}

/* What stands under the ids of a pair afterwards, and what became of the clients that it names or whose sessions it is
 * about: a regenerate and a touch of one session differ by their order in nothing else. */
static unsigned probe_all(struct world *world, struct peer *peer, const struct probe *pair, struct probe *probes) {
    unsigned count = 0;
    for (unsigned i = 0; i < 2; i++) {
        const struct call *call = &pair[i].call;
        const char *ids[] = {call->id, call->new_id};
        for (unsigned k = 0; k < 2; k++) {
            if (!ids[k][0]) continue;
            struct probe *probe = &probes[count++];
            *probe = (struct probe){.call = {.op = OP_SESSION_GET, .include_dead = true}};
            strcpy(probe->call.namespace, call->namespace);
            strcpy(probe->call.id, ids[k]);
            probe_ask(world, peer, probe);
        }
        if (call->client.is_given && !call->client.is_nil)
            probe_client(world, peer, call->namespace, call->client.bytes, &probes[count++]);
        const char *client = call->id[0] ? client_before(world, call) : "";
        if (client[0]) probe_client(world, peer, call->namespace, client, &probes[count++]);
    }
    return count;
}

static const char *execute_or_believe(struct world *world, const struct probe *probe) {
    bool is_limit = answer_is_refused(&probe->answer, "LIMIT") || answer_is_refused(&probe->answer, "NO_MEMORY");
    if (is_limit) { /* it may have made its namespace before it was refused */
        struct model *model = &world->model;
        struct namespace_model *namespace = &model->namespaces[model_namespace(model, probe->call.namespace)];
        if (namespace->existence == EXISTS_NO) namespace->existence = EXISTS_MAYBE;
    }
    return is_limit ? NULL : model_execute(&world->model, &probe->call, world->now_ms, &probe->answer);
}

/* NULL: executing the pair in this order answers what was answered, and leaves what was found afterwards. */
static const char *compare_order(struct world *world, const struct probe *pair, unsigned first,
                                 const struct probe *probes, unsigned count) {
    const char *complaint = execute_or_believe(world, &pair[first]);
    if (!complaint) complaint = execute_or_believe(world, &pair[1 - first]);
    /* Versions that were not shown, and births, may have been taken in the other order. */
    for (unsigned i = 0; i < world->model.record_count; i++) {
        struct record *record = &world->model.records[i];
        if (!record->version && record->version_floor > world->saved->version_max)
            record->version_floor = world->saved->version_max;
        bool is_of_pair = record->birth > world->saved->births && record->birth <= world->model.births;
        if (is_of_pair) record->birth = world->saved->births + 1; /* which of the two began first is not told */
    }
    for (unsigned i = 0; i < count && !complaint; i++)
        complaint = model_execute(&world->model, &probes[i].call, world->now_ms, &probes[i].answer);
    return complaint;
}

static void compare_pair(struct world *world, struct peer *peers[2], const struct probe *pair,
                         const struct probe *probes, unsigned count) {
    char first_complaint[512], both[1100];
    model_save(&world->model, world->saved);
    const char *complaint = compare_order(world, pair, 0, probes, count);
    if (!complaint) return;
    snprintf(first_complaint, sizeof first_complaint, "%s", complaint);
    model_restore(&world->model, world->saved);
    complaint = compare_order(world, pair, 1, probes, count);
    if (!complaint) return;
    for (unsigned i = 0; i < count; i++) {
        world_note_bytes(world, peers[0], "then", probes[i].answer.result);
    }
    snprintf(both, sizeof both, "no order of the two explains it: %s; or: %s", first_complaint, complaint);
    world_fail(world, both);
}

bool world_is_at_rest(const struct peer *peer) {
    return peer->is_prompt && peer->queue_begin == peer->queue_end && peer->outbox.size == 0 &&
           peer->state == CONN_READING && conn_output(peer->conn).size == 0;
}

/* Events would stand among the answers. */
static bool may_pair(const struct peer *peer) {
    return world_is_at_rest(peer) && !peer->watch_number;
}

/* Two connections at rest, on two loops. */
static bool choose_two(struct world *world, struct peer *peers[2]) {
    peers[0] = &world->peers[chance_below(&world->chance, world->peer_count)];
    for (unsigned i = 0; i < world->peer_count; i++) {
        peers[1] = &world->peers[i];
        if (peers[0]->loop != peers[1]->loop && may_pair(peers[0]) && may_pair(peers[1])) return true;
    }
    return false;
}

/* Reads what the pair is about first, so that no version is unknown that one of them could show. */
static void look_before(struct world *world, struct peer *peer, const struct probe *pair) {
    for (unsigned i = 0; i < 2; i++) {
        struct call call = {.op = OP_SESSION_GET, .include_dead = true};
        strcpy(call.namespace, pair[i].call.namespace);
        strcpy(call.id, pair[i].call.id);
        if (call.id[0]) world_ask(world, peer, &call);
    }
}

/* Takes what the two answered, and their connections back into the ordinary way of things. */
static void pair_end(struct world *world, struct peer *peers[2], const struct pair *pair, struct probe *asked) {
    for (unsigned i = 0; i < 2; i++) {
        struct peer *peer = peers[i];
        world_note_bytes(world, peer, "< (at once)", conn_output(peer->conn));
        asked[i].answer = single_answer(world, peer);
        peer->state = pair->sides[i].state;
        peer->fed += peer->outbox.size;
        buf_clear(&peer->outbox);
        peer->queue_begin = peer->queue_end;
        peer->parsed = conn_output(peer->conn).size;
        world->totals->answers++;
        tally_play(world->totals, asked[i].call.op, &asked[i].answer);
        world_read_all(world, peer);
    }
}

/* Two requests at once, each on a loop of its own. */
void pair_step(struct world *world) {
    struct peer *peers[2];
    struct probe asked[2], probes[PROBES_MAX];
    struct pair pair = {.world = world};
    if (!choose_two(world, peers)) return;
    draw_pair(world, &asked[0].call, &asked[1].call);
    look_before(world, peers[0], asked);
    for (unsigned i = 0; i < 2; i++) {
        world_enter(world, peers[i]->loop);
        world_issue(world, peers[i], &asked[i].call);
        pair.sides[i] = (struct pair_side){.conn = peers[i]->conn, .input = buf_bytes(&peers[i]->outbox)};
    }
    pair_run(&pair);
    world->totals->interleaved += pair.switches > 2;
    pair_end(world, peers, &pair, asked);
    compare_pair(world, peers, asked, probes, probe_all(world, peers[0], asked, probes));
}
