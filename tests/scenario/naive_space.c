/* Finding what stands under an id, and judging it at a moment. See naive.h. */
#include <stdlib.h>

#include "naive.h"

enum { RECORD_OVERHEAD = 48 };

void *naive_keep(struct naive *naive, size_t size) {
    struct block *block = calloc(1, sizeof(*block) + size);
    block->next = naive->blocks;
    naive->blocks = block;
    return block + 1;
}

struct bytes naive_copy(struct naive *naive, struct bytes bytes) {
    if (bytes_is_absent(bytes)) return bytes;
    uint8_t *data = naive_keep(naive, bytes.size + 1);
    memcpy(data, bytes.data, bytes.size);
    return bytes_of(data, bytes.size);
}

uint64_t next_version(struct naive *naive, int64_t now_ms) {
    uint64_t floor = (uint64_t)(now_ms - VERSION_EPOCH_MS) * VERSIONS_PER_MS;
    naive->version = naive->version + 1 > floor ? naive->version + 1 : floor;
    return naive->version;
}

/* ---- finding and judging */

struct space *space_find(struct naive *naive, struct bytes name) {
    for (int i = 0; i < NAMESPACES_MAX; i++)
        if (naive->spaces[i] && naive->spaces[i]->is_used && bytes_equal(naive->spaces[i]->name, name))
            return naive->spaces[i];
    return NULL;
}

struct space *space_make(struct naive *naive, struct bytes name, struct error *error) {
    struct space *space = space_find(naive, name);
    uint32_t count = 0;
    if (space) return space;
    for (int i = 0; i < NAMESPACES_MAX; i++) count += naive->spaces[i] && naive->spaces[i]->is_used;
    if (count >= naive->options.limits.max_namespaces) {
        *error = error_make(ERROR_LIMIT, "The server holds as many namespaces as it may; drop one.");
        error->limit = naive->options.limits.max_namespaces;
        return NULL;
    }
    for (int i = 0; i < NAMESPACES_MAX; i++) {
        if (naive->spaces[i] && naive->spaces[i]->is_used) continue;
        space = naive->spaces[i] = naive_keep(naive, sizeof(*space));
        *space =
            (struct space){.is_used = true, .name = naive_copy(naive, name), .policy = *naive->options.default_policy};
        space->purge_interval_ms = PURGE_INTERVAL_DEFAULT_MS;
        return space;
    }
    abort();
}

struct entry *entry_find(struct space *space, struct bytes id) {
    for (int i = 0; space && i < (int)space->entry_count; i++)
        if (space->entries[i].is_used && bytes_equal(space->entries[i].session.id, id)) return &space->entries[i];
    return NULL;
}

static bool covers(const struct space *space, const struct entry *entry, int64_t died_at, int64_t now_ms) {
    return !entry->is_uncovered && now_ms < died_at + space->policy.tombstone_ms;
}

int64_t naive_forgotten_at(const struct space *space, const struct entry *entry) {
    const struct seat *seat = entry->seat;
    if (entry->is_tombstone || entry->session.is_alias || !seat || !seat->usage.retired_at) return INT64_MAX;
    int64_t at = seat->usage.retired_at + space->policy.retention_ms;
    return session_is_alive(&entry->session, at) ? at : INT64_MAX;
}

enum presence naive_judge(const struct space *space, const struct entry *entry, int64_t now_ms) {
    if (!entry) return PRESENCE_NONE;
    const struct session *session = &entry->session;
    bool is_readable = session->is_alias && now_ms < session->absolute_expires_at;
    if (entry->is_tombstone || session->is_alias)
        return is_readable || covers(space, entry, entry->died_at, now_ms) ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
    if (naive_forgotten_at(space, entry) <= now_ms)
        return covers(space, entry, entry->seat->usage.retired_at, now_ms) ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
    if (session_is_alive(session, now_ms)) return PRESENCE_ALIVE;
    int64_t died_at = session_died_at(session, now_ms);
    if (!entry->is_forgotten && now_ms < died_at + space->policy.retention_ms) return PRESENCE_DEAD;
    return covers(space, entry, died_at, now_ms) ? PRESENCE_TOMBSTONE : PRESENCE_NONE;
}

void naive_forget_for_good(struct space *space, int64_t now_ms) {
    for (unsigned i = 0; i < space->entry_count; i++) {
        struct entry *entry = &space->entries[i];
        enum presence presence = naive_judge(space, entry, now_ms);
        if (!entry->is_used || entry->seat || presence == PRESENCE_ALIVE) continue;
        bool is_record = !entry->is_tombstone && !entry->session.is_alias;
        int64_t died_at = is_record ? session_died_at(&entry->session, now_ms) : entry->died_at;
        entry->is_forgotten |= presence != PRESENCE_DEAD;
        entry->is_uncovered |= !covers(space, entry, died_at, now_ms);
    }
}

bool is_kept(const struct space *space, const struct entry *entry, int64_t now_ms) {
    enum presence presence = entry->is_used ? naive_judge(space, entry, now_ms) : PRESENCE_NONE;
    return presence == PRESENCE_ALIVE || presence == PRESENCE_DEAD;
}

uint64_t size_of(const struct session *s) {
    return RECORD_OVERHEAD + s->id.size + s->data.size + s->meta.size + s->user.size + s->client.size + s->pool.size;
}

uint64_t bytes_used(const struct space *space, int64_t now_ms) {
    uint64_t sum = 0;
    for (int i = 0; i < (int)space->entry_count; i++)
        if (is_kept(space, &space->entries[i], now_ms)) sum += size_of(&space->entries[i].session);
    return sum;
}

bool is_member(const struct session *session, enum group_kind group, struct bytes name) {
    if (group == GROUP_NONE) return true;
    struct bytes own = group == GROUP_USER ? session->user : group == GROUP_CLIENT ? session->client : session->pool;
    return bytes_equal(own, name);
}

uint64_t count_living(const struct space *space, enum group_kind group, struct bytes name, int64_t now_ms) {
    uint64_t count = 0;
    for (unsigned i = 0; i < space->entry_count; i++)
        count += naive_judge(space, &space->entries[i], now_ms) == PRESENCE_ALIVE &&
                 is_member(&space->entries[i].session, group, name);
    return count;
}

struct entry *entry_make(struct space *space) {
    if (space->entry_count == ENTRIES_MAX) abort();
    struct entry *entry = &space->entries[space->entry_count++];
    *entry = (struct entry){.is_used = true};
    return entry;
}

struct client *client_find(struct space *space, struct bytes name, int64_t now_ms) {
    bool has_member = false;
    for (unsigned i = 0; space && i < space->entry_count && !has_member; i++)
        has_member =
            is_kept(space, &space->entries[i], now_ms) && is_member(&space->entries[i].session, GROUP_CLIENT, name);
    for (unsigned i = 0; has_member && i < space->client_count; i++)
        if (bytes_equal(space->clients[i].name, name)) return &space->clients[i];
    return NULL;
}

void show(struct verb *verb, const struct entry *entry) {
    verb->is_found = true;
    verb->session = entry->session;
    verb->session.usage = NULL;
    if (!entry->seat) return;
    verb->usage = entry->seat->usage;
    verb->session.usage = &verb->usage;
}
