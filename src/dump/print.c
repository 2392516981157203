/* print: what stands in the files, a line for each frame and, indented, for each effect. What sessions hold is told by
 * its size alone. */
#include "dump/dump.h"
#include "engine/memory/pool_effect.h"
#include "wire/codec.h"

#include <inttypes.h>

static const char *const kind_names[] = {
    [EFFECT_STORE] = "store", [EFFECT_NAMESPACE] = "namespace", [EFFECT_DROP] = "drop",
    [EFFECT_PUT] = "put",     [EFFECT_MOVE] = "move",           [EFFECT_REMOVE] = "remove",
    [EFFECT_TOUCH] = "touch", [EFFECT_CLIENT] = "client",       [EFFECT_POOL] = "pool",
    [EFFECT_USAGE] = "usage", [EFFECT_TOMBSTONE] = "tombstone", [EFFECT_SNAPSHOT] = "snapshot"};
_Static_assert(sizeof kind_names / sizeof *kind_names == EFFECT_END, "every kind of effect has its name here");

static const char *const frame_names[] = {[FRAME_EFFECTS] = "effects", [FRAME_MARK] = "mark", [FRAME_END] = "end"};

/* ---------------------------------------------------------------- texts */

/* Ids and names as they are, but for what would drive a terminal or look like the next word. */
static void print_text(const char *name, struct bytes text) {
    if (bytes_is_absent(text)) return;
    printf(" %s=", name);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c > ' ' && c < 0x7f && c != '\\')
            putchar(c);
        else
            printf("\\x%02x", c);
    }
}

static void print_number(const char *name, int64_t number) {
    if (number) printf(" %s=%" PRId64, name, number);
}

/* ---------------------------------------------------------------- effects */

static void print_session(const struct effect_put *put) {
    const struct session *session = &put->session;
    printf(" namespace=%016" PRIx64, put->namespace);
    print_text("id", session->id);
    printf(" version=%" PRIu64 " status=%s", session->version, status_name(session->status));
    print_text("user", session->user);
    print_text("client", session->client);
    print_text("pool", session->pool);
    print_text("reason", session->reason);
    print_text("replaced_by", session->replaced_by);
    print_number("created_at", session->created_at);
    print_number("last_active_at", session->last_active_at);
    print_number("status_at", session->status_at);
    print_number("expires_at", session_expires_at(session));
    print_number("abandon_at", session_abandon_at(session));
    print_number("data_bytes", (int64_t)session->data.size);
    print_number("meta_bytes", (int64_t)session->meta.size);
    printf("%s%s%s%s", bytes_is_absent(session->token) ? "" : " has_token", session->is_alias ? " is_alias" : "",
           bytes_is_absent(session->bound) ? "" : " is_bound", put->is_reaped ? " is_reaped" : "");
}

static void print_namespace(const struct effect_namespace *namespace) {
    printf(" namespace=%016" PRIx64, namespace->key);
    print_text("name", namespace->name);
    printf(" version=%" PRIu64 " clears=%u purges=%u", namespace->version, namespace->clear_count,
           namespace->purge_count);
    if (namespace->is_purging) print_number("purge_interval_ms", namespace->purge_interval_ms);
    print_number("policy_bytes", (int64_t) namespace->policy.size);
}

static void print_client(const struct effect_client *client) {
    printf(" namespace=%016" PRIx64 " version=%" PRIu64, client->namespace, client->version);
    print_text("name", client->name);
    print_number("created_at", client->created_at);
    print_number("updated_at", client->updated_at);
}

/* False: they are none; *why says what is wrong. */
static bool print_pool(struct bytes body, const char **why) {
    struct effect_pool pool;
    if (!effect_read_pool(body, &pool, why)) return false;
    printf(" namespace=%016" PRIx64 " version=%" PRIu64, pool.namespace, pool.version);
    print_text("name", pool.name);
    print_number("policy_bytes", (int64_t)pool.policy.size);
    return true;
}

static bool print_usage(struct bytes body, const char **why) {
    struct effect_usage told;
    if (!effect_read_usage(body, &told, why)) return false;
    printf(" hash=%016" PRIx64 " life=%" PRIu64 " version=%" PRIu64 " usage_count=%" PRIu64 " max_usage_count=%" PRIu64,
           told.hash, told.life, told.version, told.usage.usage_count, told.usage.max_usage_count);
    if (told.usage.error_score != 0) printf(" error_score=%g", told.usage.error_score);
    print_number("error_count", (int64_t)told.usage.error_count);
    print_number("use", (int64_t)told.handed);
    print_number("fence", (int64_t)told.fence);
    print_number("last_used_at", told.usage.last_used_at);
    print_number("lease_expires_at", told.usage.lease_expires_at);
    print_number("retired_at", told.usage.retired_at);
    print_number("ready_at", told.ready_at);
    printf("%s%s", told.is_spent ? " is_spent" : "", told.is_forgotten ? " is_forgotten" : "");
    return true;
}

static bool print_effect(const struct effect *effect) {
    const char *why = NULL;
    printf("  %s", kind_names[effect->kind]);
    switch (effect->kind) {
    case EFFECT_NAMESPACE: print_namespace(&effect->namespace); break;
    case EFFECT_PUT: print_session(&effect->put); break;
    case EFFECT_MOVE:
        print_session(&effect->move.put);
        print_text("old_id", effect->move.old_id);
        printf("%s", bytes_is_absent(effect->move.alias) ? " leaves=tombstone" : " leaves=alias");
        break;
    case EFFECT_DROP:
    case EFFECT_REMOVE:
        printf(" namespace=%016" PRIx64, effect->gone.namespace);
        if (effect->kind == EFFECT_REMOVE) print_text("id", effect->gone.id);
        printf(" version=%" PRIu64, effect->gone.version);
        break;
    case EFFECT_TOUCH:
    case EFFECT_TOMBSTONE:
        printf(" hash=%016" PRIx64 " version=%" PRIu64, effect->mark.hash, effect->mark.version);
        if (effect->kind == EFFECT_TOUCH) print_number("last_active_at", effect->mark.last_active_at);
        break;
    case EFFECT_CLIENT: print_client(&effect->client); break;
    case EFFECT_SNAPSHOT: printf(" version=%" PRIu64, effect->gone.version); break;
    case EFFECT_POOL: print_pool(effect->body, &why); break;
    case EFFECT_USAGE: print_usage(effect->body, &why); break;
    default: printf(" bytes=%zu", effect->body.size); break;
    }
    if (why) printf(" damaged: %s", why);
    putchar('\n');
    return !why;
}

static bool print_effects(struct bytes effects) {
    const char *why = "";
    struct effect effect;
    bool is_good = true;
    while (effects.size > 0) {
        if (!effect_read(&effects, &effect, &why)) {
            printf("  damaged: %s\n", why);
            return false;
        }
        is_good &= print_effect(&effect);
    }
    return is_good;
}

/* ---------------------------------------------------------------- files */

static void print_header(const struct log_file *file, const struct file_reader *reader) {
    const struct file_header *header = &reader->header;
    printf("%s size=%" PRIu64 " format=%" PRIu32 " server_ms=%" PRId64 " wall_ms=%" PRId64 " version=%" PRIu64
           " previous_bytes=%" PRIu64 " previous_synced=%" PRIu64 "%s store_id=",
           file->name, reader->size, header->format, header->server_ms, header->wall_ms, header->version,
           header->previous_bytes, header->previous_synced, header->is_sealed ? " encrypted" : "");
    for (unsigned i = 0; i < STORE_ID_BYTES; i++) printf("%02x", header->store_id[i]);
    putchar('\n');
}

/* False: something in it is not whole. */
static bool print_frames(const struct log_file *file, struct file_reader *reader) {
    enum frame_state state;
    struct frame_header header;
    struct bytes payload;
    bool is_good = true;
    while ((state = file_reader_next(reader, &header, &payload)) == FRAME_READ) {
        printf("%s %" PRIu64 " %s size=%" PRIu32 " synced=%" PRIu64 " server_ms=%" PRId64 " version=%" PRIu64 "\n",
               file->name, reader->frame_place, frame_names[header.kind], header.size, header.synced, header.server_ms,
               header.version);
        if (header.kind == FRAME_EFFECTS && !reader->is_raw) is_good &= print_effects(payload);
    }
    if (state == FRAME_DONE) return is_good;
    printf("%s %" PRIu64 " damaged: %s\n", file->name, reader->place, dump_state_text(state, reader));
    return false;
}

static bool print_file(struct dump *dump, const struct log_file *file) {
    struct file_reader reader;
    bool is_good = true;
    enum file_beginning beginning =
        file_reader_open(&reader, &dump->directory.disk, file->kind, file->number, dump->keys);
    reader.is_raw = beginning == FILE_NO_KEY;
    if (beginning == FILE_BEGUN || reader.is_raw) {
        print_header(file, &reader);
        if (reader.is_raw) printf("%s %s\n", file->name, dump_beginning_text(beginning, &reader));
        is_good = print_frames(file, &reader) && !reader.is_raw;
    } else {
        printf("%s %s\n", file->name, dump_beginning_text(beginning, &reader));
        is_good = beginning == FILE_BLANK;
    }
    file_reader_close(&reader);
    return is_good;
}

int dump_print(struct dump *dump) {
    struct log_files files;
    bool is_good = true;
    if (!log_files_list(&files, &dump->directory, dump->path)) return DUMP_BAD;
    for (size_t i = 0; i < files.count; i++) is_good &= print_file(dump, &files.files[i]);
    log_files_fini(&files);
    return is_good ? DUMP_DONE
                   : dump_fail("not everything in %s is whole; `sessiond-dump verify` says what a start "
                               "makes of it",
                               dump->path);
}
