/* What sessiond-cli writes. A result reaches the terminal escaped (see json.c), or with --raw as it is. */
#include "output.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct output output_for_stdout(bool is_raw) {
    const char *no_colour = getenv("NO_COLOR");
    bool is_terminal = isatty(STDOUT_FILENO);
    return (struct output){{is_terminal, is_terminal && !(no_colour && *no_colour)}, is_raw};
}

static bool put_line(struct buf *line) {
    buf_append(line, "\n", 1);
    bool is_fine = !line->is_failed && fwrite(line->data, 1, line->size, stdout) == line->size && fflush(stdout) == 0;
    buf_fini(line);
    return is_fine;
}

bool output_result(const struct output *output, struct sessiond_bytes result) {
    struct buf line = BUF_EMPTY;
    struct mp_cursor cursor = mp_cursor_of(bytes_of(result.bytes, result.size));
    enum mp_type type = mp_peek(&cursor);
    if (output->is_raw && (type == MP_STR || type == MP_BIN)) {
        struct bytes text = mp_read_bytes(&cursor);
        buf_append(&line, text.data, text.size);
    } else if (!output->is_raw || type != MP_NIL) {
        struct json_style style = output->is_raw ? (struct json_style){false, false} : output->style;
        json_print(bytes_of(result.bytes, result.size), style, &line);
    }
    return put_line(&line);
}

/* A server's text on a terminal: what could drive it is replaced. */
static void put_clean(const char *text) {
    for (; *text; text++) fputc(iscntrl((unsigned char)*text) ? '?' : *text, stderr);
}

int output_error(const struct sessiond_error *error) {
    fputs("sessiond-cli: ", stderr);
    put_clean(error->code_name);
    fputs(": ", stderr);
    put_clean(error->message);
    if (error->status) fprintf(stderr, " status=%s", sessiond_status_name(error->status));
    if (error->version) fprintf(stderr, " version=%llu", (unsigned long long)error->version);
    if (error->limit >= 0) fprintf(stderr, " limit=%lld", (long long)error->limit);
    if (error->retry_after_ms) fprintf(stderr, " retry_after_ms=%lld", (long long)error->retry_after_ms);
    fputc('\n', stderr);
    if (error->code <= SESSIOND_ERROR_OTHER) return EXIT_ERROR_REPLY;
    return error->code == SESSIOND_ERROR_URL || error->code == SESSIOND_ERROR_ARGUMENT ? EXIT_USAGE : EXIT_CONNECTION;
}

bool output_error_line(const struct sessiond_reply *reply) {
    static const char head[] = "{\"$error\": "; /* no result can look like this: json.h prints such a map as $map */
    struct buf line = BUF_EMPTY, encoded = BUF_EMPTY;
    if (reply->details.bytes) {
        mp_write_raw(&encoded, bytes_of(reply->details.bytes, reply->details.size));
    } else {
        mp_write_map(&encoded, 2);
        mp_write_string(&encoded, "code");
        mp_write_string(&encoded, reply->error.code_name);
        mp_write_string(&encoded, "message");
        mp_write_string(&encoded, reply->error.message);
    }
    buf_append(&line, head, sizeof head - 1);
    if (!encoded.is_failed) json_print(buf_bytes(&encoded), (struct json_style){false, false}, &line);
    buf_append(&line, "}", 1);
    line.is_failed = line.is_failed || encoded.is_failed;
    buf_fini(&encoded);
    return put_line(&line);
}

int output_problem(const char *problem) {
    fprintf(stderr, "sessiond-cli: %s\n", problem);
    return EXIT_USAGE;
}
