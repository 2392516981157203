/* What happens by itself, at its own millisecond: deadlines are told, leases end, those who wait are served or waited
 * too long. Everything else is judged where somebody looks. See naive.h. */
#include "naive.h"

static int64_t earlier(int64_t a, int64_t b) {
    return b && b < a ? b : a;
}

static bool awaits_deadline(const struct space *space, const struct entry *entry) {
    int64_t deadline = session_deadline(&entry->session);
    if (entry->is_tombstone || entry->session.is_alias || entry->is_told || !deadline) return false;
    if (naive_forgotten_at(space, entry) < deadline) return false;
    return status_is_living(entry->session.status);
}

static int64_t space_due(const struct space *space) {
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < space->entry_count; i++) {
        const struct entry *entry = &space->entries[i];
        if (awaits_deadline(space, entry)) due = earlier(due, session_deadline(&entry->session));
        due = earlier(due, naive_forgotten_at(space, entry));
        if (entry->seat) due = earlier(due, entry->seat->usage.lease_expires_at);
        if (entry->seat) due = earlier(due, entry->seat->ready_at);
    }
    for (unsigned i = 0; i < POOLS_MAX; i++)
        if (space->pools[i] && space->pools[i]->hold_count) due = earlier(due, space->pools[i]->holds[0]);
    return due;
}

int64_t naive_next_due(const struct naive *naive) {
    int64_t due = INT64_MAX;
    for (unsigned i = 0; i < NAMESPACES_MAX; i++)
        if (naive->spaces[i] && naive->spaces[i]->is_used) due = earlier(due, space_due(naive->spaces[i]));
    for (const struct waiter *waiter = naive->waiters; waiter; waiter = waiter->next)
        if (!waiter->is_answered && !waiter->is_over) due = earlier(due, waiter->until);
    return due;
}

static void tell_deadlines(struct naive *naive, struct space *space, int64_t moment) {
    for (unsigned i = 0; i < space->entry_count; i++) {
        struct entry *entry = &space->entries[i];
        if (!awaits_deadline(space, entry) || session_deadline(&entry->session) > moment) continue;
        entry->is_told = true;
        bool is_expired = session_status(&entry->session, moment) == STATUS_EXPIRED;
        tell(naive, space, is_expired ? EVENT_EXPIRED : EVENT_ABANDONED, &entry->session,
             session_deadline(&entry->session));
    }
}

static void end_leases(struct naive *naive, struct space *space, int64_t moment) {
    for (unsigned i = 0; i < space->entry_count; i++) {
        struct seat *seat = space->entries[i].seat;
        if (!seat) continue;
        if (seat->usage.lease_expires_at && seat->usage.lease_expires_at <= moment)
            naive_lease_end(naive, space, &space->entries[i], seat->usage.lease_expires_at);
        if (seat->ready_at && seat->ready_at <= moment) seat->ready_at = 0;
    }
}

static void forget_retired(struct naive *naive, struct space *space, int64_t moment) {
    for (unsigned i = 0; i < space->entry_count; i++) {
        struct entry *entry = &space->entries[i];
        int64_t forgotten_at = naive_forgotten_at(space, entry);
        if (forgotten_at > moment) continue;
        tell(naive, space, EVENT_DESTROYED, &entry->session, forgotten_at);
        put_tombstone(naive, entry, entry->seat->usage.retired_at);
    }
}

static void end_holds(struct space *space, int64_t moment) {
    for (unsigned i = 0; i < POOLS_MAX; i++) {
        struct pool *pool = space->pools[i];
        while (pool && pool->hold_count && pool->holds[0] <= moment)
            memmove(pool->holds, pool->holds + 1, --pool->hold_count * sizeof(pool->holds[0]));
    }
}

/* In one millisecond: deadlines, then leases, ends of retention, grants, waiting time-outs. */
static void pass_moment(struct naive *naive, int64_t moment) {
    for (unsigned i = 0; i < NAMESPACES_MAX; i++) {
        struct space *space = naive->spaces[i];
        if (!space || !space->is_used) continue;
        tell_deadlines(naive, space, moment);
        end_leases(naive, space, moment);
        forget_retired(naive, space, moment);
        end_holds(space, moment);
    }
    naive_serve_waiters(naive, moment);
    time_out_waiters(naive, moment);
}

void pass_time(struct naive *naive, int64_t now_ms) {
    for (int64_t due; (due = naive_next_due(naive)) <= now_ms;) {
        /* A deadline may have been in the past when it was written. */
        if (due > naive->moment) naive->moment = due;
        pass_moment(naive, naive->moment);
    }
    if (now_ms > naive->moment) naive->moment = now_ms;
}
