/* See conn.h. */
#include "conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

static bool make_room(struct conn *conn, const struct driver_setup *setup, const struct templates *templates) {
    uint32_t slot_count = conn->slot_mask + 1;
    /* Each slot has at most one request that is not sent, so this cannot overflow once what was sent is squeezed out.
     */
    conn->out_capacity = (size_t)conn->depth * templates->bytes_max;
    conn->in_capacity = CONN_RECEIVE_BYTES + 2 * (size_t)setup->value_bytes + 2 * (size_t)setup->echo_reply_bytes;
    conn->slots = calloc(slot_count, sizeof *conn->slots);
    conn->free_slots = calloc(slot_count, sizeof *conn->free_slots);
    conn->order = calloc(slot_count, sizeof *conn->order);
    conn->out = malloc(conn->out_capacity);
    conn->in = malloc(conn->in_capacity);
    return conn->slots && conn->free_slots && conn->order && conn->out && conn->in;
}

bool conn_open(struct conn *conn, const struct endpoint *endpoint, const struct driver *driver,
               const struct driver_setup *setup, const struct templates *templates, uint32_t depth) {
    assert(depth >= 1 && depth <= CONN_DEPTH_MAX);
    *conn = (struct conn){.fd = endpoint_connect(endpoint), .depth = depth, .slot_mask = 0};
    if (conn->fd < 0) return false;
    while (conn->slot_mask + 1 < depth) conn->slot_mask = conn->slot_mask * 2 + 1;
    if (!make_room(conn, setup, templates)) return errno = ENOMEM, false;
    for (uint32_t i = 0; i < depth; i++) conn->free_slots[i] = (uint16_t)(depth - 1 - i);
    conn->free_count = depth;
    uint8_t greeting[64];
    size_t size = driver->greet(setup, greeting);
    if (size && send(conn->fd, greeting, size, MSG_NOSIGNAL) != (ssize_t)size) return false;
    return fcntl(conn->fd, F_SETFL, O_NONBLOCK) == 0;
}

void conn_close(struct conn *conn) {
    if (conn->fd >= 0) close(conn->fd);
    free(conn->slots);
    free(conn->free_slots);
    free(conn->order);
    free(conn->out);
    free(conn->in);
    *conn = (struct conn){.fd = -1};
}

struct slot *conn_take(struct conn *conn) {
    assert(conn->free_count > 0);
    uint16_t place = conn->free_slots[--conn->free_count];
    struct slot *slot = &conn->slots[place];
    /* The slot is the low part of the number and the turn the high one: a reply sent twice, or one to a request of
     * long ago, meets a slot that is closed or has moved on. */
    slot->number = conn->turn++ * (conn->slot_mask + 1) + place;
    slot->is_open = true;
    return slot;
}

void conn_free(struct conn *conn, struct slot *slot) {
    slot->is_open = false;
    conn->free_slots[conn->free_count++] = (uint16_t)(slot - conn->slots);
}

static void squeeze(struct conn *conn) {
    memmove(conn->out, conn->out + conn->out_first, conn->out_last - conn->out_first);
    conn->out_last -= conn->out_first;
    conn->out_first = 0;
}

void conn_write(struct conn *conn, struct slot *slot, const struct templates *templates, struct fill *fill) {
    const struct template *template = &templates->of[slot->request];
    if (conn->out_last + template->text.size > conn->out_capacity) squeeze(conn);
    assert(conn->out_last + template->text.size <= conn->out_capacity);
    fill->number = slot->number;
    conn->out_last += template_write(template, conn->out + conn->out_last, fill);
    conn->order[conn->order_last++ & conn->slot_mask] = (uint16_t)(slot - conn->slots);
    conn->unsent++;
}

enum conn_state conn_flush(struct conn *conn) {
    /* What is in the buffer counts as sent from now on, though the socket may take it in pieces. */
    conn->unanswered += conn->unsent;
    conn->unsent = 0;
    while (conn->out_first < conn->out_last) {
        ssize_t sent = send(conn->fd, conn->out + conn->out_first, conn->out_last - conn->out_first, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) continue;
        if (sent < 0) return errno == EAGAIN || errno == EWOULDBLOCK ? CONN_FULL : CONN_CLOSED;
        conn->out_first += (size_t)sent;
    }
    conn->out_first = conn->out_last = 0;
    return CONN_FINE;
}

enum conn_state conn_receive(struct conn *conn) {
    if (conn->in_first > 0) {
        memmove(conn->in, conn->in + conn->in_first, conn->in_last - conn->in_first);
        conn->in_last -= conn->in_first;
        conn->in_first = 0;
    }
    ssize_t received = recv(conn->fd, conn->in + conn->in_last, conn->in_capacity - conn->in_last, 0);
    if (received < 0) return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? CONN_FULL : CONN_CLOSED;
    if (received == 0) return CONN_CLOSED;
    conn->in_last += (size_t)received;
    return CONN_FINE;
}

struct slot *conn_answered(struct conn *conn, bool is_in_order, uint32_t number) {
    uint32_t place;
    if (is_in_order) {
        if (conn->order_first == conn->order_last) return NULL;
        place = conn->order[conn->order_first++ & conn->slot_mask];
    } else {
        place = number & conn->slot_mask;
        if (conn->slots[place].number != number) return NULL;
    }
    return conn->slots[place].is_open ? &conn->slots[place] : NULL;
}
