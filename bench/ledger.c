/* See ledger.h. */
#include "ledger.h"

#include <assert.h>
#include <stdlib.h>

bool ledger_init(struct ledger *ledger, uint64_t count) {
    *ledger = (struct ledger){calloc(count, sizeof *ledger->entries), count};
    return ledger->entries != NULL && count <= UINT32_MAX;
}

void ledger_fini(struct ledger *ledger) {
    free(ledger->entries);
    *ledger = (struct ledger){0};
}

bool ledger_share_init(struct ledger_share *share, struct ledger *ledger, uint64_t threads, uint64_t ordinal) {
    *share = (struct ledger_share){.ledger = ledger, .threads = threads, .ordinal = ordinal};
    if (!ledger) return true;
    share->count = ledger->count / threads + (ordinal < ledger->count % threads);
    share->out = malloc((share->count ? share->count : 1) * sizeof *share->out);
    if (!share->out) return false;
    for (uint64_t i = 0; i < share->count; i++) {
        uint64_t index = i * threads + ordinal;
        ledger->entries[index].use_count = 0;
        if (ledger->entries[index].state != ENTRY_IN) share->out[share->out_count++] = (uint32_t)index;
    }
    return true;
}

void ledger_share_fini(struct ledger_share *share) {
    free(share->out);
    *share = (struct ledger_share){0};
}

bool ledger_share_is_empty(const struct ledger_share *share) {
    return share->out_count == 0;
}

bool ledger_share_is_full(const struct ledger_share *share) {
    return share->out_count >= share->count / 8;
}

/* An eighth may be out, and each request under way may hold another one; twice that keeps the search short. */
uint64_t ledger_share_needs(uint64_t in_flight) {
    return 2 * in_flight + 16;
}

/* The share's entry that is nearest to the wanted one. */
static uint64_t place_of(const struct ledger_share *share, uint64_t wanted) {
    return wanted / share->threads % share->count;
}

static uint64_t take(struct ledger_share *share, uint64_t wanted, bool is_alone) {
    uint64_t place = place_of(share, wanted);
    for (uint64_t tries = 0; tries < share->count; tries++) {
        uint64_t index = place * share->threads + share->ordinal;
        struct entry *entry = &share->ledger->entries[index];
        if (entry->state == ENTRY_IN && !(is_alone && entry->use_count)) {
            if (is_alone)
                entry->state = ENTRY_CHANGING;
            else
                entry->use_count++;
            return index;
        }
        place = place + 1 < share->count ? place + 1 : 0;
    }
    assert(!"a share is smaller than ledger_share_needs says");
    abort();
}

uint64_t ledger_take_shared(struct ledger_share *share, uint64_t wanted) {
    return take(share, wanted, false);
}

uint64_t ledger_take_alone(struct ledger_share *share, uint64_t wanted) {
    return take(share, wanted, true);
}

uint64_t ledger_take_out(struct ledger_share *share) {
    assert(share->out_count > 0);
    uint64_t index = share->out[--share->out_count];
    share->ledger->entries[index].state = ENTRY_CHANGING;
    return index;
}

void ledger_keep(struct ledger_share *share, uint64_t index) {
    struct entry *entry = &share->ledger->entries[index];
    if (entry->state == ENTRY_CHANGING)
        entry->state = ENTRY_IN;
    else
        entry->use_count--;
}

void ledger_change(struct ledger_share *share, uint64_t index, struct bytes subject) {
    struct entry *entry = &share->ledger->entries[index];
    entry->state = ENTRY_IN;
    if (bytes_is_absent(subject)) return;
    assert(subject.size <= sizeof entry->subject);
    memcpy(entry->subject, subject.data, subject.size);
}

void ledger_leave(struct ledger_share *share, uint64_t index) {
    share->ledger->entries[index].state = ENTRY_OUT;
    share->out[share->out_count++] = (uint32_t)index;
}
