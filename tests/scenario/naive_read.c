/* Reading, listing, counting. See naive.h. */
#include <inttypes.h>
#include <stdio.h>

#include "base/mp.h"
#include "naive.h"

/* The session that a read of `id` sees, as a copy under that id; false: none. */
static bool read_one(struct space *space, struct bytes id, bool with_dead, int64_t now_ms, struct session *session,
                     struct entry **real) {
    struct entry *entry = entry_find(space, id);
    enum presence presence = naive_judge(space, entry, now_ms);
    if (entry && entry->session.is_alias && now_ms < entry->session.absolute_expires_at) {
        struct entry *target = entry_find(space, entry->session.replaced_by);
        if (naive_judge(space, target, now_ms) != PRESENCE_ALIVE) return false;
        *session = target->session;
        session->usage = target->seat ? &target->seat->usage : NULL;
        session->id = entry->session.id;
        *real = target;
        return true;
    }
    if (presence != PRESENCE_ALIVE && !(with_dead && presence == PRESENCE_DEAD)) return false;
    *session = entry->session;
    session->usage = entry->seat ? &entry->seat->usage : NULL;
    *real = entry;
    return true;
}

void naive_get(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    struct entry *real;
    verb->is_found = read_one(space, verb->id, verb->get.include_dead, now_ms, &verb->session, &real);
    if (verb->is_found && real->seat) verb->usage = real->seat->usage, verb->session.usage = &verb->usage;
    if (!verb->is_found || !verb->get.is_touch || !session_is_alive(&verb->session, now_ms)) return;
    /* Through an alias nothing is written. */
    if (!bytes_equal(real->session.id, verb->id)) return;
    touch_entry(naive, space, real, now_ms);
    verb->session.last_active_at = real->session.last_active_at;
}

void naive_touch(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    struct entry *entry = entry_find(space, verb->id);
    enum presence presence = naive_judge(space, entry, now_ms);
    verb->is_found = presence == PRESENCE_ALIVE;
    if (presence == PRESENCE_DEAD || presence == PRESENCE_TOMBSTONE) {
        verb->error = error_make(ERROR_GONE, "The session is gone; make a new one.");
        if (presence == PRESENCE_DEAD) verb->error.status = session_status(&entry->session, now_ms);
    }
    if (presence != PRESENCE_ALIVE) return;
    touch_entry(naive, space, entry, now_ms);
    show(verb, entry);
}

static void scan_ids(struct space *space, struct verb *verb, int64_t now_ms) {
    struct mp_cursor ids = mp_cursor_of(verb->scan.ids);
    struct entry *real;
    for (uint32_t left = mp_read_array(&ids); left > 0; left--) {
        struct session session;
        bool is_found = read_one(space, mp_read_bytes(&ids), false, now_ms, &session, &real);
        if (!verb->scan.each(verb->scan.context, is_found ? &session : NULL)) return;
    }
}

static bool is_wanted(const struct space *space, const struct entry *entry, const struct verb *verb, int64_t now_ms) {
    const struct session *session = &entry->session;
    if (!is_kept(space, entry, now_ms)) return false;
    if (!(verb->scan.statuses & STATUS_BIT(session_status(session, now_ms)))) return false;
    if (verb->scan.group != GROUP_NONE) return is_member(session, verb->scan.group, verb->scan.group_name);
    return bytes_is_absent(verb->scan.prefix) || bytes_has_prefix(session->id, verb->scan.prefix);
}

/* Negative: a comes first. Whole namespaces have no order but the entries' own. */
static int order(const struct verb *verb, int64_t a_at, uint64_t a, int64_t b_at, uint64_t b) {
    if (verb->scan.group == GROUP_NONE) return a < b ? -1 : a > b;
    int newest_first = a_at != b_at ? (a_at > b_at ? -1 : 1) : a > b ? -1 : a < b;
    return verb->scan.is_oldest_first ? -newest_first : newest_first;
}

static const struct entry *next_wanted(const struct space *space, const struct verb *verb, int64_t after_at,
                                       uint64_t after, bool has_after, int64_t now_ms) {
    const struct entry *best = NULL;
    for (int i = 0; i < (int)space->entry_count; i++) {
        const struct entry *entry = &space->entries[i];
        if (!entry->is_used || !is_wanted(space, entry, verb, now_ms)) continue;
        int64_t at = entry->session.created_at;
        if (has_after && order(verb, after_at, after, at, entry->sequence) >= 0) continue;
        if (!best || order(verb, at, entry->sequence, best->session.created_at, best->sequence) < 0) best = entry;
    }
    return best;
}

static void scan_page(const struct space *space, struct verb *verb, int64_t now_ms) {
    int64_t after_at = 0;
    uint64_t after = 0;
    bool has_after = !bytes_is_absent(verb->scan.cursor);
    char cursor[SCAN_CURSOR_MAX + 1] = {0};
    if (has_after) memcpy(cursor, verb->scan.cursor.data, verb->scan.cursor.size);
    if (has_after && sscanf(cursor, "%" SCNd64 ":%" SCNu64, &after_at, &after) != 2) {
        verb->error = error_make(ERROR_BAD_REQUEST, "This is no cursor.");
        return;
    }
    const struct entry *entry;
    for (uint32_t count = 0; (entry = next_wanted(space, verb, after_at, after, has_after, now_ms)); count++) {
        struct session session = entry->session;
        session.usage = entry->seat ? &entry->seat->usage : NULL;
        if (count == verb->scan.limit || !verb->scan.each(verb->scan.context, &session)) {
            verb->scan_result.cursor_size =
                (uint8_t)snprintf(verb->scan_result.cursor, SCAN_CURSOR_MAX, "%" PRId64 ":%" PRIu64, after_at, after);
            return;
        }
        after_at = entry->session.created_at, after = entry->sequence, has_after = true;
    }
}

void naive_scan(struct naive *naive, struct verb *verb, int64_t now_ms) {
    struct space *space = space_find(naive, verb->namespace);
    memset(&verb->scan_result, 0, sizeof(verb->scan_result));
    if (!bytes_is_absent(verb->scan.ids)) {
        scan_ids(space, verb, now_ms);
        return;
    }
    verb->scan_result.is_total_known = bytes_is_absent(verb->scan.prefix);
    for (int i = 0; space && i < (int)space->entry_count; i++)
        verb->scan_result.total += space->entries[i].is_used && is_wanted(space, &space->entries[i], verb, now_ms);
    if (space && verb->scan.each) scan_page(space, verb, now_ms);
}
