/* See event_ring.h. */
#include "engine/memory/event_ring.h"
#include "base/check.h"

#include <assert.h>
#include <string.h>

/* An event as it lies in the ring: this, then its names and data, filled up to a multiple of 8, so that the first word
 * of an entry never stands on both ends of the ring. */
struct entry {
    uint32_t size; /* of the whole entry */
    uint8_t kind;
    bool has_data, has_after, is_hashed;
    uint8_t namespace_size;
    uint16_t id_size, user_size, client_size, pool_size;
    uint32_t data_size;
    uint16_t reason_size;
    uint64_t version, depends_on, serial;
    int64_t at;
    uint64_t after_position;
    uint32_t after_shard;
};

static size_t payload_size(const struct entry *entry) {
    return (size_t)entry->namespace_size + entry->id_size + entry->user_size + entry->client_size + entry->pool_size +
           entry->reason_size + entry->data_size;
}

static size_t size_round(size_t size) {
    return (size + 7) & ~(size_t)7;
}

static struct entry entry_of(const struct event *event) {
    struct entry entry;
    memset(&entry, 0, sizeof(entry));
    entry.kind = (uint8_t)event->kind;
    entry.namespace_size = (uint8_t)event->namespace.size;
    entry.id_size = (uint16_t)event->id.size;
    entry.user_size = (uint16_t)event->user.size;
    entry.client_size = (uint16_t)event->client.size;
    entry.pool_size = (uint16_t)event->pool.size;
    entry.reason_size = (uint16_t)event->reason.size;
    entry.has_data = event->data.data != NULL;
    entry.is_hashed = event->is_hashed;
    entry.data_size = (uint32_t)event->data.size;
    entry.version = event->version;
    entry.depends_on = event->depends_on;
    entry.serial = event->serial;
    entry.at = event->at;
    entry.size = (uint32_t)size_round(sizeof(entry) + payload_size(&entry));
    return entry;
}

size_t event_ring_size(const struct event *event) {
    return entry_of(event).size;
}

/* ---- bytes that may stand on both ends */

static void ring_write(struct event_ring *ring, uint64_t position, const void *from, size_t size) {
    uint32_t at = (uint32_t)(position & (ring->capacity - 1));
    size_t first = ring->capacity - at < size ? ring->capacity - at : size;
    if (size) memcpy(ring->data + at, from, first);
    if (size > first) memcpy(ring->data, (const uint8_t *)from + first, size - first);
}

static void ring_read(const struct event_ring *ring, uint64_t position, void *to, size_t size) {
    uint32_t at = (uint32_t)(position & (ring->capacity - 1));
    size_t first = ring->capacity - at < size ? ring->capacity - at : size;
    memcpy(to, ring->data + at, first);
    if (size > first) memcpy((uint8_t *)to + first, ring->data, size - first);
}

static uint32_t entry_size_at(const struct event_ring *ring, uint64_t position) {
    uint32_t size;
    ring_read(ring, position, &size, sizeof(size));
    return size;
}

static void ring_drop_oldest(struct event_ring *ring) {
    ring->tail.position += entry_size_at(ring, ring->tail.position);
    ring->tail.count++;
}

/* ---- memory */

void event_ring_clear(struct event_ring *ring, struct slab *slab) {
    slab_free(slab, ring->data, ring->capacity);
    ring->data = NULL;
    ring->capacity = 0;
    ring->tail = ring->head;
}

bool event_ring_has_room(const struct event_ring *ring, size_t size) {
    uint64_t kept = ring->tail.position > ring->read ? ring->tail.position : ring->read;
    return ring->head.position + size <= kept + ring->capacity;
}

bool event_ring_resize(struct event_ring *ring, struct slab *slab, unsigned arena, uint32_t capacity) {
    assert(capacity >= ring->capacity && (capacity & (capacity - 1)) == 0);
    uint8_t *data = slab_alloc(slab, arena, capacity);
    if (!data) return false;
    struct event_ring old = *ring;
    ring->data = data;
    ring->capacity = capacity;
    for (uint64_t at = old.tail.position, size; at < old.head.position; at += size) {
        size = old.capacity - (at & (old.capacity - 1));
        if (size > old.head.position - at) size = old.head.position - at;
        ring_write(ring, at, old.data + (at & (old.capacity - 1)), size);
    }
    slab_free(slab, old.data, old.capacity);
    return true;
}

/* ---- writing */

static uint64_t put_bytes(struct event_ring *ring, uint64_t position, struct bytes bytes) {
    ring_write(ring, position, bytes.data, bytes.size);
    return position + bytes.size;
}

static void put_entry(struct event_ring *ring, const struct entry *entry, const struct event *event) {
    uint64_t at = ring->head.position;
    ring_write(ring, at, entry, sizeof(*entry));
    at = put_bytes(ring, at + sizeof(*entry), event->namespace);
    at = put_bytes(ring, at, event->id);
    at = put_bytes(ring, at, event->user);
    at = put_bytes(ring, at, event->client);
    at = put_bytes(ring, at, event->pool);
    at = put_bytes(ring, at, event->reason);
    put_bytes(ring, at, event->data);
}

void event_ring_put(struct event_ring *ring, const struct event *event, const struct event_after *after) {
    struct entry entry = entry_of(event);
    if (after && after->is_given) {
        entry.has_after = true;
        entry.after_shard = after->shard;
        entry.after_position = after->position;
    }
    bool fits = entry.size <= ring->capacity;
    while (fits && ring->head.position + entry.size > ring->tail.position + ring->capacity) ring_drop_oldest(ring);
    if (fits) put_entry(ring, &entry, event);
    ring->head.position += entry.size;
    ring->head.count++;
    if (!fits) ring->tail = ring->head;
}

/* ---- reading */

size_t event_ring_copy(const struct event_ring *ring, struct event_place *place, uint64_t end, uint8_t *buffer,
                       uint64_t *missed) {
    *missed = 0;
    if (place->position < ring->tail.position) {
        *missed = ring->tail.count - place->count;
        *place = ring->tail;
    }
    size_t copied = 0;
    for (uint64_t at = place->position; at < end;) {
        uint32_t size = entry_size_at(ring, at);
        if (copied && copied + size > EVENT_CHUNK) break;
        assert(size <= EVENT_BUFFER);
        ring_read(ring, at, buffer + copied, size);
        copied += size;
        at += size;
    }
    return copied;
}

static struct bytes take_bytes(const uint8_t **at, size_t size) {
    struct bytes bytes = size ? bytes_of(*at, size) : BYTES_ABSENT;
    *at += size;
    return bytes;
}

size_t event_entry_read(const uint8_t *from, struct event *event, struct event_after *after) {
    struct entry entry;
    memcpy(&entry, from, sizeof(entry));
    const uint8_t *at = from + sizeof(entry);
    memset(event, 0, sizeof(*event));
    event->kind = (enum event_kind)entry.kind;
    event->is_hashed = entry.is_hashed;
    event->version = entry.version;
    event->depends_on = entry.depends_on;
    event->serial = entry.serial;
    event->at = entry.at;
    event->namespace = take_bytes(&at, entry.namespace_size);
    event->id = take_bytes(&at, entry.id_size);
    event->user = take_bytes(&at, entry.user_size);
    event->client = take_bytes(&at, entry.client_size);
    event->pool = take_bytes(&at, entry.pool_size);
    event->reason = take_bytes(&at, entry.reason_size);
    event->data = entry.has_data ? bytes_of(at, entry.data_size) : BYTES_ABSENT;
    *after = (struct event_after){entry.has_after, entry.after_shard, entry.after_position};
    return entry.size;
}

void event_ring_check(const struct event_ring *ring) {
    uint64_t count = ring->tail.count, at = ring->tail.position;
    CHECK((ring->data != NULL) == (ring->capacity != 0) && (ring->capacity & (ring->capacity - 1)) == 0);
    CHECK(ring->head.position - ring->tail.position <= ring->capacity && ring->read <= ring->head.position);
    for (; at < ring->head.position; count++) {
        uint32_t size = entry_size_at(ring, at);
        CHECK(size >= sizeof(struct entry) && size % 8 == 0 && size <= EVENT_ENTRY_MAX);
        at += size;
    }
    CHECK(at == ring->head.position && count == ring->head.count);
}
