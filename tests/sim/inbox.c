/* Answers that have come: taken from the connections as soon as they are written, compared in the order of the
 * requests; but who waits for a hand-out is answered when the model says so, and the model asks for it then. */
#include "world.h"

#include "base/mp.h"

static void push(struct world *world, struct peer *peer, struct bytes message) {
    struct mp_cursor cursor = mp_cursor_of(message);
    if (mp_read_array(&cursor) == 3) {
        hear_keep(world, peer, message);
        return;
    }
    struct received *received = &peer->inbox[peer->inbox_end++ % QUEUE_MAX];
    if (message.data[0] != 0x94) world_fail(world, "this is no answer");
    mp_read_int(&cursor, 1, 1);
    received->is_taken = false;
    received->msgid = (uint32_t)mp_read_int(&cursor, 0, UINT32_MAX);
    received->both = bytes_of(cursor.at, (size_t)(cursor.end - cursor.at));
    received->error = mp_read_value(&cursor, MP_DEPTH_MAX);
    received->result = mp_read_value(&cursor, MP_DEPTH_MAX);
    if (cursor.error != MP_OK || cursor.at != cursor.end) world_fail(world, "this is no answer");
}

void inbox_collect(struct world *world, struct peer *peer) {
    struct bytes output = conn_output(peer->conn);
    struct mp_cursor cursor = mp_cursor_of(bytes_of(output.data + peer->parsed, output.size - peer->parsed));
    while (cursor.at != cursor.end && !world->has_failed) {
        const uint8_t *start = cursor.at;
        mp_read_value(&cursor, MP_DEPTH_MAX);
        struct bytes message = bytes_of(start, (size_t)(cursor.at - start));
        if (cursor.error != MP_OK) world_fail(world, "the output holds no whole message");
        world_note_bytes(world, peer, "<", message);
        push(world, peer, model_copy(&world->model, message));
    }
    peer->parsed = output.size;
}

void run_woken(struct world *world) {
    for (unsigned i = 0, rounds = 0; i < world->loop_count && !world->has_failed; i++) {
        if (!world->is_woken[i]) continue;
        world->is_woken[i] = false;
        world_enter(world, i);
        int64_t next_ms = server_loop_advance(world->loops[i], world->now_ms, 1000);
        if (next_ms <= world->now_ms && world_turns_are_small(world)) { /* who waits is served when all is done */
            world_leave_all(world);
            world->is_woken[i] = true;
        }
        if (++rounds > 10000) world_fail(world, "the loops wake each other for ever");
        i = UINT32_MAX; /* from the first one on */
    }
}

static struct received *inbox_first(struct peer *peer) {
    while (peer->inbox_begin != peer->inbox_end && peer->inbox[peer->inbox_begin % QUEUE_MAX].is_taken)
        peer->inbox_begin++;
    return peer->inbox_begin == peer->inbox_end ? NULL : &peer->inbox[peer->inbox_begin % QUEUE_MAX];
}

/* Whether something was fed, and is not compared yet, that changes what a pool makes. */
static bool has_policy_ahead(const struct world *world) {
    for (unsigned i = 0; i < world->peer_count; i++) {
        const struct peer *peer = &world->peers[i];
        for (unsigned k = peer->queue_begin; k != peer->queue_end; k++) {
            const struct sent *sent = &peer->queue[k % QUEUE_MAX];
            bool is_policy = sent->call->op == OP_NAMESPACE_CONFIGURE || sent->call->op == OP_POOL_CONFIGURE;
            if (is_policy && sent->end_offset <= peer->fed) return true;
        }
    }
    return false;
}

bool world_pull(void *context, unsigned peer_index, uint32_t msgid, struct answer *answer) {
    struct world *world = context;
    struct peer *peer = &world->peers[peer_index];
    run_woken(world);
    inbox_collect(world, peer);
    world->model.has_policy_ahead = has_policy_ahead(world);
    for (unsigned i = peer->inbox_begin; i != peer->inbox_end; i++) {
        struct received *received = &peer->inbox[i % QUEUE_MAX];
        if (received->is_taken || received->msgid != msgid) continue;
        received->is_taken = true;
        *answer = (struct answer){received->error, received->result};
        world->totals->answers++, world->totals->granted++;
        tally_refusal(world->totals, OP_POOL_ACQUIRE, answer);
        return true;
    }
    return false;
}

static bool may_wait(const struct call *call) {
    return call->is_notification || (call->op == OP_POOL_ACQUIRE && call->wait.is_given);
}

/* Executes what is not answered and stands before the request `msgid`, or before the end of what was fed.
 * True: there was some. */
static bool skip(struct world *world, struct peer *peer, bool has_msgid, uint32_t msgid) {
    bool has_skipped = false;
    while (peer->queue_begin != peer->queue_end && !world->has_failed) {
        const struct sent *sent = &peer->queue[peer->queue_begin % QUEUE_MAX];
        if (has_msgid ? !sent->call->is_notification && sent->call->msgid == msgid : sent->end_offset > peer->fed)
            break;
        if (!may_wait(sent->call)) break;
        peer->queue_begin++;
        world_execute(world, sent, peer);
        has_skipped = true;
    }
    return has_skipped;
}

void inbox_compare(struct world *world, struct peer *peer) {
    for (struct received *received; !world->has_failed && (received = inbox_first(peer));) {
        bool is_granted = model_waits(&world->model, (unsigned)(peer - world->peers), received->msgid);
        /* It may have been served by a notification that stands behind the last answer. */
        if (is_granted && peer->state == CONN_READING && skip(world, peer, false, 0)) continue;
        if (is_granted) {
            world_fail(world, "nobody should have been served");
            break;
        }
        skip(world, peer, true, received->msgid);
        if (world->has_failed) break;
        const struct sent *sent = &peer->queue[peer->queue_begin % QUEUE_MAX];
        if (peer->queue_begin == peer->queue_end || sent->call->msgid != received->msgid) {
            world_fail(world, "answers should come in the order of the requests, each once");
            break;
        }
        peer->queue_begin++;
        received->is_taken = true;
        world_compare(world, peer, sent, received);
    }
    if (peer->state == CONN_CLOSING) world_fail(world, "the server should not close this connection");
    if (peer->state != CONN_READING || world->has_failed) return;
    skip(world, peer, false, 0);
    if (peer->queue_begin != peer->queue_end && peer->queue[peer->queue_begin % QUEUE_MAX].end_offset <= peer->fed)
        world_fail(world, "a whole request was not answered although the connection is reading");
}
