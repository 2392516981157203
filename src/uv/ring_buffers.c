/* The buffers into which a ring receives, in two groups: many of a few pages, and a few large ones.
 *
 * They belong to the ring and not to connections, so an idle connection has none. Always true: a buffer is the kernel's
 * from ring_buffers_return until a completion names it, and the loop's from there on. On the loop's thread, but for
 * opening and closing. */
#include "uv/ring.h"

#include <errno.h>
#include <sys/mman.h>

static void *map_pages(size_t size) {
    void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return pages == MAP_FAILED ? NULL : pages;
}

static size_t table_size(const struct ring_buffers *buffers) {
    return buffers->count * sizeof(struct io_uring_buf);
}

/* Puts one behind those that are given back already. */
static void give(struct ring_buffers *buffers, unsigned number) {
    io_uring_buf_ring_add(buffers->table, buffers->memory + number * buffers->size, (unsigned)buffers->size,
                          (unsigned short)number, io_uring_buf_ring_mask(buffers->count), (int)buffers->given_back++);
}

static void group_rest(struct ring_buffers *buffers) {
    bool is_idle = buffers->fed < buffers->count;
    buffers->is_backed |= buffers->fed > 0;
    buffers->fed = 0;
    if (!is_idle || !buffers->is_backed) return;
    madvise(buffers->memory, buffers->count * buffers->size, MADV_DONTNEED);
    buffers->is_backed = false;
}

static void return_all(struct ring_buffers *buffers) {
    if (buffers->given_back == 0) return;
    io_uring_buf_ring_advance(buffers->table, (int)buffers->given_back);
    buffers->given_back = 0;
}

static int group_open(struct ring *ring, struct ring_buffers *buffers) {
    struct io_uring_buf_reg registration = {.ring_entries = buffers->count, .bgid = buffers->group};
    buffers->memory = map_pages(buffers->count * buffers->size);
    buffers->table = map_pages(table_size(buffers));
    if (!buffers->memory || !buffers->table) return -ENOMEM;
    registration.ring_addr = (uint64_t)(uintptr_t)buffers->table;
    int status = io_uring_register_buf_ring(&ring->uring, &registration, 0);
    if (status < 0) return status;
    io_uring_buf_ring_init(buffers->table);
    for (unsigned i = 0; i < buffers->count; i++) give(buffers, i);
    return_all(buffers);
    return 0;
}

int ring_buffers_open(struct ring *ring) {
    ring->buffers[RING_LIGHT] =
        (struct ring_buffers){.group = RING_LIGHT, .count = RING_BUFFERS, .size = RING_BUFFER_BYTES};
    ring->buffers[RING_HEAVY] =
        (struct ring_buffers){.group = RING_HEAVY, .count = RING_HEAVY_BUFFERS, .size = RING_HEAVY_BUFFER_BYTES};
    int status = group_open(ring, &ring->buffers[RING_LIGHT]);
    return status < 0 ? status : group_open(ring, &ring->buffers[RING_HEAVY]);
}

void ring_buffers_close(struct ring *ring) {
    for (unsigned i = 0; i < RING_GROUPS; i++) {
        struct ring_buffers *buffers = &ring->buffers[i];
        if (buffers->memory) munmap(buffers->memory, buffers->count * buffers->size);
        if (buffers->table) munmap(buffers->table, table_size(buffers));
    }
}

uint8_t *ring_buffer_of(const struct ring_buffers *buffers, const struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_BUFFER)) return NULL;
    return buffers->memory + (cqe->flags >> IORING_CQE_BUFFER_SHIFT) * buffers->size;
}

void ring_buffer_give(struct ring_buffers *buffers, const struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_BUFFER)) return;
    give(buffers, cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    buffers->fed++;
}

void ring_buffers_return(struct ring *ring) {
    for (unsigned i = 0; i < RING_GROUPS; i++) return_all(&ring->buffers[i]);
}

/* The kernel writes into buffers by their addresses, and only while it is asked for completions: between two rounds
 * there is nothing in any of them. */
void ring_buffers_rest(struct ring *ring) {
    for (unsigned i = 0; i < RING_GROUPS; i++) group_rest(&ring->buffers[i]);
}
