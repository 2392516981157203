/* SCAN: lists and counts. See memory.h.
 *
 * Nothing here takes a shard's lock: sessions are read as they are at that moment, one after the other. A session that
 * exists throughout is listed once; one that comes or goes meanwhile may be listed or not. A group is read in chunks of
 * its entries under its lock, each entry then looked up without it. A namespace is walked in the order of hashes, which
 * survives growth, so a cursor is a hash; the work of one call is bounded, and a page may be short. */
#include "base/mp.h"
#include "engine/memory/memory.h"

#include <stdio.h>

#define VISITS_MAX      20000 /* records and buckets that one page of a namespace looks at */
#define GROUP_COUNT_MAX 20000 /* entries up to which the first page of a group also counts the total */
#define GROUP_CHUNK     64    /* entries copied under the lock at a time */
#define BUCKET_MAX      512   /* records of one chain; hashes are keyed, so the longest in practice has some twenty */
#define REAP_FOR_COUNT  4096

struct scan {
    struct context *context;
    struct verb *verb;
    struct namespace *namespace;
    uint32_t handed;    /* sessions taken by `each` */
    bool is_full;       /* `each` took no more, or the limit is reached */
    struct usage usage; /* of the session that is handed out, where it is in a pool */
};

/* Whether the record is one that is asked for; then `session` is whole. */
static bool scan_matches(const struct scan *scan, const struct record *record, struct session *session) {
    int64_t now_ms = scan->context->now_ms;
    uint64_t tombstone;
    switch (record_judge(scan->context->engine, record, record_active(record), &now_ms, session, &tombstone)) {
    case JUDGED_ALIVE:
    case JUDGED_DEAD: break;
    case JUDGED_ALIAS:
    case JUDGED_FORGOTTEN: return false;
    }
    if (!(scan->verb->scan.statuses & STATUS_BIT(session_status(session, now_ms)))) return false;
    struct bytes prefix = scan->verb->scan.prefix;
    if (prefix.data && !bytes_has_prefix(record_id(record), prefix)) return false;
    record_view_bytes(record, session);
    return true;
}

/* Hands one out. False: it was not taken, and nothing more is. */
static bool scan_hand_out(struct scan *scan, struct session *session) {
    struct verb *verb = scan->verb;
    if (scan->is_full) return false;
    if (session && session->pool.data && verb->scan.each && scan->handed < verb->scan.limit)
        depend_on(&verb->depends_on, session_add_usage(scan->context, scan->namespace,
                                                       id_hash(scan->context->engine, scan->namespace, session->id),
                                                       session, &scan->usage));
    if (!verb->scan.each || scan->handed >= verb->scan.limit || !verb->scan.each(verb->scan.context, session)) {
        scan->is_full = true;
        return false;
    }
    scan->handed++;
    return true;
}

/* ---- cursors: a letter and 16 digits for each number */

static void cursor_write(struct verb *verb, char kind, const uint64_t *numbers, unsigned count) {
    char *at = verb->scan_result.cursor;
    *at++ = kind;
    for (unsigned i = 0; i < count; i++, at += 16) {
        char digits[17];
        snprintf(digits, sizeof(digits), "%016llx", (unsigned long long)numbers[i]);
        memcpy(at, digits, 16);
    }
    verb->scan_result.cursor_size = (uint8_t)(at - verb->scan_result.cursor);
}

static bool digits_read(const uint8_t *digits, uint64_t *number) {
    *number = 0;
    for (unsigned i = 0; i < 16; i++) {
        uint8_t digit = digits[i];
        if (digit >= '0' && digit <= '9')
            digit = (uint8_t)(digit - '0');
        else if (digit >= 'a' && digit <= 'f')
            digit = (uint8_t)(digit - 'a' + 10);
        else
            return false;
        *number = *number << 4 | digit;
    }
    return true;
}

/* False: these bytes are no cursor of that kind, and the verb says so. */
static bool cursor_read(struct verb *verb, char kind, uint64_t *numbers, unsigned count) {
    struct bytes cursor = verb->scan.cursor;
    bool is_good = cursor.size == 1 + 16 * (size_t)count && cursor.data[0] == (uint8_t)kind;
    for (unsigned i = 0; is_good && i < count; i++) is_good = digits_read(cursor.data + 1 + 16 * i, &numbers[i]);
    if (!is_good)
        verb->error = error_make(ERROR_BAD_REQUEST, "The cursor is not one that this list answered; leave it out to "
                                                    "start from the beginning.");
    return is_good;
}

/* ---- given ids */

static void scan_ids(struct scan *scan) {
    struct verb *verb = scan->verb;
    struct memory_engine *engine = scan->context->engine;
    struct mp_cursor cursor = mp_cursor_of(verb->scan.ids);
    struct mp_cursor ahead = cursor;
    uint32_t count = mp_read_array(&cursor);
    mp_read_array(&ahead);
    if (!scan->namespace) verb->depends_on = missing_depends(engine, NULL, 0);
    for (uint32_t i = 0; i < count && scan->namespace; i++) {
        uint64_t hash = id_hash(engine, scan->namespace, mp_read_bytes(&ahead));
        table_prefetch(&shard_of(engine, hash)->table, hash);
    }
    for (uint32_t i = 0; i < count && !scan->is_full; i++) {
        struct bytes id = mp_read_bytes(&cursor);
        struct session session;
        bool is_found =
            scan->namespace && session_read(scan->context, scan->namespace, id_hash(engine, scan->namespace, id), id,
                                            false, &session, &verb->depends_on);
        scan_hand_out(scan, is_found ? &session : NULL);
    }
    verb->scan_result.total = scan->handed;
    verb->scan_result.is_total_known = true;
    verb->scan_result.work = count;
}

/* ---- groups */

struct group_scan {
    struct scan *scan;
    struct group_key key;
    struct group_entry after; /* the cursor's: where the last page ended */
    bool has_after;
    bool counts_all; /* the total is wanted, so it goes on behind a full page */
    bool has_total;  /* the first page had counted all; the cursor says so */
    uint64_t total;
    struct group_entry handed; /* the last one taken */
    bool has_handed, has_more;
};

static void group_scan_entry(struct group_scan *group, struct group_entry entry) {
    struct session session;
    struct record *record = group_entry_record(group->scan->context->engine, &group->key, entry);
    group->scan->verb->scan_result.work++;
    if (!record || !scan_matches(group->scan, record, &session)) return;
    if (group->counts_all) group->total++;
    if (scan_hand_out(group->scan, &session)) {
        group->handed = entry;
        group->has_handed = true;
    } else {
        group->has_more = true;
    }
}

/* The next entries behind `last` (NULL: from the start); *size is the group's. */
static uint32_t group_scan_copy(struct group_scan *group, const struct group_entry *last, struct group_entry *entries,
                                uint32_t *size) {
    struct memory_engine *engine = group->scan->context->engine;
    struct group_table *table = group_table_of(engine, &group->key);
    group_table_take(engine, table);
    struct group *found = group_find(table, &group->key);
    uint32_t count = found ? group_copy(found, last, group->scan->verb->scan.is_oldest_first, entries, GROUP_CHUNK) : 0;
    *size = found ? found->count : 0;
    lock_release(&table->lock);
    group_entries_prefetch(engine, entries, count);
    return count;
}

/* Only the first page counts all: a list of many pages would cost the square of what it lists. */
static void group_scan_run(struct group_scan *group) {
    struct group_entry entries[GROUP_CHUNK], last = group->after;
    uint32_t size = 0;
    bool has_last = group->has_after;
    for (;;) {
        uint32_t count = group_scan_copy(group, has_last ? &last : NULL, entries, &size);
        bool counts = !group->scan->verb->scan.skips_total && size <= GROUP_COUNT_MAX;
        if (!has_last && counts) group->counts_all = group->has_total = true;
        for (uint32_t i = 0; i < count; i++) {
            /* Equal entries are one session on its way out of the group and in again. */
            if (!has_last || !group_entry_equal(last, entries[i])) group_scan_entry(group, entries[i]);
            if (group->has_more && !group->counts_all) return;
            last = entries[i];
            has_last = true;
        }
        if (count < GROUP_CHUNK) return;
    }
}

static void scan_group(struct scan *scan) {
    struct verb *verb = scan->verb;
    struct group_scan group = {.scan = scan, .counts_all = !verb->scan.each, .has_total = !verb->scan.each};
    uint64_t numbers[3]; /* the last entry's two, and one more than the total; 0: it was not counted */
    if (verb->scan.cursor.data) {
        if (!cursor_read(verb, 'g', numbers, 3)) return;
        group.after = (struct group_entry){numbers[0] << 1, numbers[1]};
        group.has_after = true;
        group.has_total = numbers[2] > 0;
        group.total = group.has_total ? numbers[2] - 1 : 0;
    }
    verb->scan_result.is_total_known = true;
    if (!scan->namespace) return;
    group.key = group_key_of(scan->context->engine, scan->namespace, verb->scan.group, verb->scan.group_name);
    group_scan_run(&group);
    verb->scan_result.total = group.total;
    verb->scan_result.is_total_known = group.has_total;
    if (!group.has_more || !verb->scan.each) return;
    struct group_entry start = {verb->scan.is_oldest_first ? 0 : UINT64_MAX,
                                verb->scan.is_oldest_first ? 0 : UINT64_MAX};
    struct group_entry place = group.has_handed ? group.handed : group.has_after ? group.after : start;
    numbers[0] = group_entry_age(place);
    numbers[1] = place.hash;
    numbers[2] = group.has_total ? group.total + 1 : 0;
    cursor_write(verb, 'g', numbers, 3);
}

/* ---- a namespace */

struct found {
    uint64_t hash;
    struct record *record;
};

/* The namespace's records of one bucket behind the cursor, in the order of their hashes. */
static unsigned bucket_collect(const struct scan *scan, struct table_walk *walk, bool has_after, uint64_t after,
                               struct found *found, unsigned *visits) {
    struct memory_engine *engine = scan->context->engine;
    unsigned count = 0;
    for (struct record *record; (record = table_walk_next(walk)) && count < BUCKET_MAX;) {
        ++*visits;
        if (record_terms(engine, record)->namespace != scan->namespace) continue;
        uint64_t hash = id_hash(engine, scan->namespace, record_id(record));
        if (has_after && hash <= after) continue;
        unsigned at = count++;
        for (; at > 0 && found[at - 1].hash > hash; at--) found[at] = found[at - 1];
        found[at] = (struct found){hash, record};
    }
    return count;
}

/* Where a walk through all shards stands. */
struct place_in_hashes {
    bool has_after;
    uint64_t after; /* all hashes up to it are done */
    unsigned visits;
};

/* One bucket; false: the page ends in it. */
static bool scan_bucket(struct scan *scan, struct table_walk *walk, struct place_in_hashes *place) {
    struct found found[BUCKET_MAX];
    unsigned count = bucket_collect(scan, walk, place->has_after, place->after, found, &place->visits);
    for (unsigned i = 0; i < count; i++) {
        struct session session;
        if (scan_matches(scan, found[i].record, &session) && !scan_hand_out(scan, &session)) return false;
        place->after = found[i].hash;
        place->has_after = true;
    }
    return true;
}

/* One shard, from the cursor on; false: the page ends in it. */
static bool scan_shard(struct scan *scan, struct shard *shard, bool is_first, struct place_in_hashes *place) {
    struct table_walk walk =
        is_first && place->has_after ? table_walk_from(&shard->table, place->after) : table_walk_at(&shard->table, 0);
    for (; table_walk_is_in(&walk); table_walk_bucket(&walk)) {
        if (!scan_bucket(scan, &walk, place)) return false;
        uint64_t next = table_bucket_first_hash(&shard->table, walk.number + 1, walk.bucket_count);
        if (next == 0) return true; /* the last bucket of the last shard */
        if (!place->has_after || next - 1 > place->after) place->after = next - 1;
        place->has_after = true;
        if (++place->visits >= VISITS_MAX) return false;
    }
    return true;
}

static void scan_walk(struct scan *scan) {
    struct verb *verb = scan->verb;
    struct memory_engine *engine = scan->context->engine;
    struct place_in_hashes place = {false, 0, 0};
    if (verb->scan.cursor.data) {
        if (!cursor_read(verb, 'n', &place.after, 1)) return;
        place.has_after = true;
    }
    if (!scan->namespace || !verb->scan.each) return;
    uint32_t first = place.has_after ? shard_of(engine, place.after)->index : 0;
    bool is_through = true;
    for (uint32_t i = first; is_through && i < engine->shard_count; i++)
        is_through = scan_shard(scan, &engine->shards[i], i == first, &place);
    if (!is_through) cursor_write(verb, 'n', &place.after, 1);
    verb->scan_result.work = place.visits;
}

static void scan_namespace(struct scan *scan) {
    struct verb *verb = scan->verb;
    scan_walk(scan);
    if (verb->error.code || verb->scan.prefix.data) return;
    verb->scan_result.is_total_known = true;
    if (!scan->namespace) return;
    reap_due(scan->context, REAP_FOR_COUNT);
    for (unsigned status = STATUS_NONE + 1; status < STATUS_END; status++)
        if (verb->scan.statuses & STATUS_BIT(status))
            verb->scan_result.total += (uint64_t)namespace_count(scan->namespace, status);
}

void verb_scan(struct context *context, struct verb *verb, struct namespace *namespace) {
    struct scan scan = {.context = context, .verb = verb, .namespace = namespace};
    verb->error.code = ERROR_NONE;
    verb->is_found = namespace != NULL;
    verb->depends_on = 0;
    verb->scan_result.total = 0;
    verb->scan_result.is_total_known = false;
    verb->scan_result.work = 0;
    verb->scan_result.cursor_size = 0;
    if (verb->scan.ids.data)
        scan_ids(&scan);
    else if (verb->scan.group != GROUP_NONE)
        scan_group(&scan);
    else
        scan_namespace(&scan);
}
