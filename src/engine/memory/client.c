/* Clients: what the group of a browser or device knows beside its sessions. See memory.h.
 *
 * A client exists as long as a record of its sessions is kept, which is judged and not left to when the reaper passes:
 * a group of which all is forgotten begins anew with the next session that enters it. Which session was active last is
 * kept as a group's entry, so a session that has left, or came again under the same id, is not taken for it. */
#include "engine/memory/stage.h"

/* ---- notes */

static struct group *client_take(struct context *context, struct namespace *namespace, struct bytes client,
                                 struct group_table **table) {
    struct group_key key = group_key_of(context->engine, namespace, GROUP_CLIENT, client);
    *table = group_table_of(context->engine, &key);
    group_table_take(context->engine, *table);
    return group_find(*table, &key);
}

static void client_update(struct group_client *client, int64_t now_ms) {
    if (now_ms > client->updated_at) client->updated_at = now_ms;
}

void client_note_touch(struct context *context, struct namespace *namespace, struct bytes client,
                       struct group_entry entry, bool is_thinned) {
    struct group_table *table;
    if (!client.data) return;
    struct group *group = client_take(context, namespace, client, &table);
    if (group) {
        struct group_client *note = group_client(group);
        bool is_other = !note->has_last_active || !group_entry_equal(note->last_active, entry);
        note->last_active = entry;
        note->has_last_active = true;
        int64_t updated_before = note->updated_at;
        client_update(note, context->now_ms);
        bool is_told = is_other || (!is_thinned && note->updated_at != updated_before);
        if (is_told && stage_takes_touches(context)) stage_client(context, group);
    }
    lock_release(&table->lock);
}

void client_note_move(struct context *context, struct namespace *namespace, struct bytes client, struct group_entry old,
                      struct group_entry new) {
    struct group_table *table;
    struct group *group = client_take(context, namespace, client, &table);
    if (group && group_client(group)->has_last_active && group_entry_equal(group_client(group)->last_active, old))
        group_client(group)->last_active = new;
    if (group) stage_client(context, group);
    lock_release(&table->lock);
}

void clients_note_entered(struct context *context, struct namespace *namespace, const struct places *places) {
    const struct place *place = &places->groups[GROUP_CLIENT - GROUP_USER];
    struct group_table *table;
    if (!place->is_held || !stage_is_wanted(context)) return;
    struct group *group = client_take(context, namespace, bytes_of(place->name, place->name_size), &table);
    if (group) stage_client(context, group);
    lock_release(&table->lock);
}

/* Whether the entry's session is alive or within its retention; then `session` is whole. */
static bool entry_is_kept(struct context *context, const struct group_key *key, struct group_entry entry,
                          struct session *session) {
    struct record *record = group_entry_record(context->engine, key, entry);
    int64_t now_ms = context->now_ms;
    uint64_t tombstone;
    if (!record) return false;
    enum judged judged = record_judge(context->engine, record, record_active(record), &now_ms, session, &tombstone);
    if (judged != JUDGED_ALIVE && judged != JUDGED_DEAD) return false;
    record_view_bytes(record, session);
    return true;
}

/* Whether anything of the group is kept. The newest first: most often that is. */
static bool group_is_kept(struct context *context, const struct group_key *key, const struct group *group) {
    struct session session;
    for (uint32_t i = group->leaf_count; i-- > 0;) {
        const struct group_leaf *leaf = group_leaf(group, i);
        for (uint32_t j = leaf->count; j-- > 0;)
            if (entry_is_kept(context, key, leaf->entries[j], &session)) return true;
    }
    return false;
}

int64_t client_enter(struct context *context, const struct group_key *key, struct group *group) {
    struct group_client *client = group_client(group);
    if (!group_is_kept(context, key, group))
        *client = (struct group_client){.created_at = context->now_ms, .updated_at = context->now_ms};
    int64_t updated_before = client->updated_at;
    client_update(client, context->now_ms);
    return updated_before;
}

/* ---- CONFIGURE */

/* Whether the verb's session is a living one of the client. An old id in its grace is not: it may only be read. */
static bool client_has(struct context *context, struct verb *verb, struct namespace *namespace,
                       const struct group_key *key, struct group_entry *entry) {
    uint64_t hash = id_hash(context->engine, namespace, verb->id);
    struct record *record = record_find(context->engine, namespace, hash, verb->id, NULL);
    struct session session;
    if (record) *entry = record_entry(record, hash);
    if (!record || !entry_is_kept(context, key, *entry, &session)) {
        verb->error = error_make(ERROR_CONFLICT, "The client has no session of this id; see client.get for those that "
                                                 "it has.");
        return false;
    }
    if (session_is_alive(&session, context->now_ms)) return true;
    verb->error = error_make(ERROR_CONFLICT, "Only a living session can be the client's active one; choose another.");
    verb->error.status = session_status(&session, context->now_ms);
    verb->error.version = session.version;
    return false;
}

void verb_client(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct client_state *state = &verb->client_state;
    struct group_entry chosen, last;
    struct group_table *table;
    if (!namespace) return;
    struct group_key key = group_key_of(context->engine, namespace, GROUP_CLIENT, verb->configure.group_name);
    bool has_chosen = verb->id.data && client_has(context, verb, namespace, &key, &chosen);
    struct group *group = client_take(context, namespace, key.name, &table);
    verb->is_found = group && group_is_kept(context, &key, group);
    if (verb->is_found) {
        struct group_client *client = group_client(group);
        if (has_chosen) {
            client->last_active = chosen;
            client->has_last_active = true;
            client_update(client, context->now_ms);
            stage_client(context, group);
            verb->depends_on = client->version;
        }
        state->created_at = client->created_at;
        state->updated_at = client->updated_at;
        state->has_last_active = client->has_last_active;
        last = client->last_active;
    }
    lock_release(&table->lock);
    if (!verb->is_found) {
        verb->error = error_make(ERROR_NONE, NULL); /* of an unknown client nothing more is to be said */
    } else if (state->has_last_active) {
        state->has_last_active = entry_is_kept(context, &key, last, &state->last_active);
    }
    if (verb->error.code) verb->is_found = false;
}
