/* export: each session as one line of JSON, {"namespace": ..., "session": {...}}, by namespace.
 *
 * A session is what session.get would answer, the dead within their retention included; hashes of tokens and of what a
 * session is bound to are not told, as nowhere. */
#include "dump/dump.h"
#include "json_print.h"
#include "wire/codec.h"

#include <stdlib.h>

enum { PAGE = 256 };

struct export {
    struct engine *engine;
    int64_t now_ms;
    struct buf names; /* of namespaces: struct name */
    struct name {
        uint8_t size;
        uint8_t text[UINT8_MAX];
    } name;                   /* the one that is being written */
    struct buf encoded, line; /* of one session */
    bool is_failed;
};

static bool take_name(void *context, struct bytes text) {
    struct export *export = context;
    struct name name = {.size = (uint8_t)text.size};
    memcpy(name.text, text.data, text.size);
    buf_append(&export->names, &name, sizeof name);
    return true;
}

static void submit(struct export *export, struct verb *verb) {
    struct engine *engine = export->engine;
    enum submit_state state;
    engine->vtable->submit(engine, 0, verb, &state, 1, export->now_ms);
}

static bool write_session(void *context, const struct session *session) {
    struct export *export = context;
    struct buf *encoded = &export->encoded, *line = &export->line;
    buf_clear(encoded);
    buf_clear(line);
    mp_write_map(encoded, 2);
    mp_write_string(encoded, "namespace");
    mp_write_str(encoded, bytes_of(export->name.text, export->name.size));
    mp_write_string(encoded, "session");
    codec_write_record(encoded, session, FIELDS_ALL, export->now_ms);
    if (!encoded->is_failed) json_print(buf_bytes(encoded), (struct json_style){.is_indented = false}, line);
    buf_append(line, "\n", 1);
    export->is_failed =
        encoded->is_failed || line->is_failed || fwrite(line->data, 1, line->size, stdout) != line->size;
    return !export->is_failed;
}

/* One page, in a turn of its own; false: it was the last. */
static bool write_page(struct export *export, char cursor[SCAN_CURSOR_MAX], size_t *cursor_size) {
    struct engine *engine = export->engine;
    struct verb verb = {.kind = VERB_SCAN, .namespace = bytes_of(export->name.text, export->name.size)};
    verb.scan.statuses = UINT64_MAX;
    verb.scan.limit = PAGE;
    verb.scan.each = write_session;
    verb.scan.context = export;
    if (*cursor_size) verb.scan.cursor = bytes_of(cursor, *cursor_size);
    engine->vtable->enter(engine, 0);
    submit(export, &verb);
    *cursor_size = verb.error.code ? 0 : verb.scan_result.cursor_size;
    memcpy(cursor, verb.scan_result.cursor, *cursor_size);
    if (verb.error.code) export->is_failed = true;
    engine->vtable->leave(engine, 0);
    return *cursor_size > 0 && !export->is_failed;
}

static void write_all(struct export *export) {
    struct engine *engine = export->engine;
    struct verb verb = {.kind = VERB_CONFIGURE};
    verb.configure.each = take_name;
    verb.configure.context = export;
    engine->vtable->enter(engine, 0);
    submit(export, &verb);
    engine->vtable->leave(engine, 0);
    export->is_failed = export->names.is_failed;
    for (size_t at = 0; at < export->names.size && !export->is_failed; at += sizeof(struct name)) {
        char cursor[SCAN_CURSOR_MAX];
        size_t cursor_size = 0;
        memcpy(&export->name, export->names.data + at, sizeof export->name);
        while (write_page(export, cursor, &cursor_size)) {
        }
    }
}

int dump_export(struct dump *dump) {
    struct recovery_report report;
    char error[RECOVERY_ERROR_MAX];
    struct engine *engine = dump_engine_open();
    if (!engine) return dump_fail("there is not enough memory to recover into");
    struct export export = {.engine = engine, .names = BUF_EMPTY, .encoded = BUF_EMPTY, .line = BUF_EMPTY};
    int code = DUMP_DONE;
    if (!dump_recover(&dump->directory, dump->keys, engine, dump->at_ms, &report, error)) {
        code = dump_fail("%s would not start: %s", dump->path, error);
    } else {
        dump_tell(&report, stderr);
        export.now_ms = report.server_ms;
        write_all(&export);
        if (export.is_failed) code = dump_fail("not everything could be written, or memory is lacking");
    }
    buf_fini(&export.names);
    buf_fini(&export.encoded);
    buf_fini(&export.line);
    engine->vtable->close(engine);
    return code;
}
