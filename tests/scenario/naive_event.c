/* What happened to sessions, in the order in which it did; each loop reads from where it began to watch. See naive.h.
 */
#include "naive.h"

void tell(struct naive *naive, const struct space *space, enum event_kind kind, const struct session *session,
          int64_t at) {
    bool is_watched = false, wants_data = false;
    for (unsigned i = 0; i < NAIVE_LOOPS_MAX; i++) {
        is_watched |= naive->watching[i].is_on;
        wants_data |= naive->watching[i].is_on && naive->watching[i].wants_data;
    }
    if (!is_watched) return;
    struct told *told = naive_keep(naive, sizeof(*told));
    told->event = (struct event){.kind = kind,
                                 .namespace = space->name,
                                 .id = session->id,
                                 .user = session->user,
                                 .client = session->client,
                                 .pool = session->pool,
                                 .reason = session->reason,
                                 .data = wants_data ? session->data : BYTES_ABSENT,
                                 .is_hashed = space->policy.hash_ids,
                                 .version = session->version,
                                 .at = at};
    naive->told->next = told;
    naive->told = told;
    for (unsigned i = 0; i < naive->options.loop_count; i++)
        if (naive->watching[i].is_on) naive->options.env->wake(naive->options.env->context, i);
}

static enum event_kind kind_of(const struct session *old, const struct session *session) {
    if (!old) return EVENT_CREATED;
    if (old->status == session->status) return EVENT_UPDATED;
    switch (session->status) {
    case STATUS_ACTIVE: return EVENT_ACTIVATED;
    case STATUS_ENDED: return EVENT_ENDED;
    case STATUS_REMOVED: return EVENT_REMOVED;
    case STATUS_REVOKED: return EVENT_REVOKED;
    case STATUS_REPLACED: return EVENT_REPLACED;
    case STATUS_ABANDONED: return EVENT_ABANDONED;
    default: return EVENT_UPDATED;
    }
}

void tell_change(struct naive *naive, const struct space *space, const struct session *old,
                 const struct session *session, int64_t now_ms) {
    if (session->event) tell(naive, space, session->event, session, now_ms);
    tell(naive, space, kind_of(old, session), session, now_ms);
}

uint64_t naive_watch(struct engine *self, unsigned loop, bool is_on, bool wants_data) {
    struct naive *naive = (struct naive *)self;
    struct watching *watching = &naive->watching[loop];
    if (is_on && !watching->is_on) watching->last = naive->told;
    watching->is_on = is_on;
    watching->wants_data = wants_data;
    return 0; /* nothing ever waits */
}

uint64_t naive_read_events(struct engine *self, unsigned loop, event_each each, void *context) {
    struct watching *watching = &((struct naive *)self)->watching[loop];
    while (watching->is_on && watching->last->next) {
        watching->last = watching->last->next;
        each(context, &watching->last->event);
    }
    return 0;
}
