/* The server's log: one line per event, key=value, for people and for grep.
 *
 * A line is `time=... level=... event=... name=value ...`; values are quoted where they hold anything but plain
 * characters, and control characters are escaped, so that no client can forge a line. Each event has a budget
 * (LOG_BURST lines at once, then LOG_LINES_PER_SECOND), so that a flood of bad clients cannot fill a disk; what was
 * dropped is counted and told. Where lines go and what time it is are given by the shell (log_sink_open): nothing here
 * knows a clock or a file. All functions but log_sink_open and log_sink_close may be called from any thread at any
 * time; before log_sink_open they do nothing. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "sessiond/bytes.h"

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

#define LOG_BURST            20
#define LOG_LINES_PER_SECOND 2
#define LOG_LINE_MAX         1024 /* bytes; what does not fit is cut off */
#define LOG_EVENTS_MAX       64   /* events with a budget of their own; those beyond share the last one */

struct log_sink {
    void *context;
    void (*write)(void *context, const char *line, size_t size); /* a whole line with its newline; any thread */
    int64_t (*wall_ms)(void *context);                           /* milliseconds since the Unix epoch; any thread */
};

/* From now on events of `level` and above go to `sink`, which is copied. */
void log_sink_open(const struct log_sink *sink, enum log_level level);
/* Tells what was dropped, and is silent afterwards. */
void log_sink_close(void);
void log_set_level(enum log_level level);
bool log_is_on(enum log_level level);

enum log_kind { LOG_KIND_TEXT, LOG_KIND_BYTES, LOG_KIND_INT };

/* One name=value; made with the macros below. */
struct log_field {
    const char *name;
    enum log_kind kind;
    struct bytes text;
    int64_t number;
};

#define LOG_TEXT(field_name, value)                                                                                    \
    { .name = (field_name), .kind = LOG_KIND_TEXT, .text = bytes_of_string(value) }
#define LOG_BYTES(field_name, value)                                                                                   \
    { .name = (field_name), .kind = LOG_KIND_BYTES, .text = (value) }
#define LOG_INT(field_name, value)                                                                                     \
    { .name = (field_name), .kind = LOG_KIND_INT, .number = (int64_t)(value) }

/* Writes one line if `level` is on and `event`, a string literal, is within its budget. */
void log_line_write(enum log_level level, const char *event, const struct log_field *fields, size_t count);

/* log_event(LOG_WARN, "connection_cut", LOG_TEXT("why", "slow_reader"), LOG_INT("bytes", size)) */
#define log_event(level, event, ...)                                                                                   \
    log_line_write(level, event, (const struct log_field[]){__VA_ARGS__},                                              \
                   sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

/* Writes a line event=log_dropped for each event that has lost lines and has budget again; call it about once a second.
 */
void log_report_dropped(void);
/* Lines lost to the budgets since log_sink_open. */
uint64_t log_dropped_total(void);

#endif
