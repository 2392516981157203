/* The log's lines and budgets.
 *
 * Always true here: a line is composed on the caller's stack and handed to the sink in one piece, with no lock held, so
 * lines of two threads never mix and a slow disk holds up only the thread that writes. The lock covers the budgets
 * alone: a search among at most LOG_EVENTS_MAX names and a few additions. */
#include "base/log.h"

#include "base/lock.h"

#include <assert.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

/* A bucket of lines that fills with time. In thousandths of a line, so that a millisecond counts. */
struct budget {
    const char *event; /* NULL: free */
    int64_t millilines;
    int64_t filled_at; /* ms */
    uint64_t dropped;  /* since the last line that was written */
};

static struct log_sink sink;
static _Atomic int threshold = LOG_ERROR + 1; /* above every level: closed */
static struct lock lock;                      /* over the budgets */
static struct budget budgets[LOG_EVENTS_MAX];
static _Atomic uint64_t dropped_total;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

/* ---- composing: everything past the end is dropped, one byte is kept for the newline */

struct line {
    char text[LOG_LINE_MAX];
    size_t size;
};

static void line_put(struct line *line, char c) {
    if (line->size < LOG_LINE_MAX - 1) line->text[line->size++] = c;
}

static void line_put_string(struct line *line, const char *text) {
    while (*text) line_put(line, *text++);
}

static bool is_plain(uint8_t c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c && strchr("._:/@+,-[]%", c) != NULL);
}

static void line_put_escaped(struct line *line, uint8_t c) {
    static const char digits[] = "0123456789abcdef";
    if (c == '"' || c == '\\') {
        line_put(line, '\\');
        line_put(line, (char)c);
    } else if (c >= 0x20 && c < 0x7f) {
        line_put(line, (char)c);
    } else if (c == '\n') {
        line_put_string(line, "\\n");
    } else {
        line_put_string(line, "\\x");
        line_put(line, digits[c >> 4]);
        line_put(line, digits[c & 15]);
    }
}

static void line_put_value(struct line *line, struct bytes value) {
    bool is_quoted = value.size == 0;
    for (size_t i = 0; i < value.size && !is_quoted; i++) is_quoted = !is_plain(value.data[i]);
    if (is_quoted) line_put(line, '"');
    for (size_t i = 0; i < value.size; i++) line_put_escaped(line, value.data[i]);
    if (is_quoted) line_put(line, '"');
}

static void line_put_time(struct line *line, int64_t wall_ms) {
    time_t seconds = (time_t)(wall_ms / 1000);
    int millis = (int)(wall_ms % 1000);
    struct tm tm;
    char text[64] = "0000-00-00T00:00:00";
    if (millis < 0) seconds--, millis += 1000;
    if (gmtime_r(&seconds, &tm)) strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &tm);
    line_put_string(line, text);
    snprintf(text, sizeof text, ".%03dZ", millis);
    line_put_string(line, text);
}

static void line_put_field(struct line *line, const struct log_field *field) {
    line_put(line, ' ');
    line_put_string(line, field->name);
    line_put(line, '=');
    if (field->kind == LOG_KIND_INT) {
        char text[24];
        snprintf(text, sizeof text, "%" PRId64, field->number);
        line_put_string(line, text);
    } else {
        line_put_value(line, field->text);
    }
}

static void line_write(enum log_level level, const char *event, const struct log_field *fields, size_t count,
                       int64_t wall_ms, uint64_t dropped) {
    struct line line = {.size = 0};
    line_put_string(&line, "time=");
    line_put_time(&line, wall_ms);
    line_put_string(&line, " level=");
    line_put_string(&line, level_names[level]);
    line_put_string(&line, " event=");
    line_put_string(&line, event);
    for (size_t i = 0; i < count; i++) line_put_field(&line, &fields[i]);
    if (dropped) line_put_field(&line, &(struct log_field)LOG_INT("dropped", dropped));
    line.text[line.size++] = '\n';
    sink.write(sink.context, line.text, line.size);
}

/* ---- budgets; all under the lock */

static struct budget *budget_of(const char *event, int64_t now_ms) {
    struct budget *budget = budgets;
    while (budget < budgets + LOG_EVENTS_MAX - 1 && budget->event && strcmp(budget->event, event) != 0) budget++;
    if (!budget->event) *budget = (struct budget){event, LOG_BURST * 1000, now_ms, 0};
    return budget;
}

static void budget_fill(struct budget *budget, int64_t now_ms) {
    int64_t passed_ms = now_ms - budget->filled_at;
    budget->filled_at = now_ms;
    if (passed_ms <= 0) return; /* the wall clock went backwards: no credit, no debt */
    if (passed_ms > LOG_BURST * 1000) passed_ms = LOG_BURST * 1000;
    budget->millilines += passed_ms * LOG_LINES_PER_SECOND;
    if (budget->millilines > LOG_BURST * 1000) budget->millilines = LOG_BURST * 1000;
}

/* Takes one line of the budget, and with it the count of those that were dropped before it. */
static bool budget_take(const char *event, int64_t now_ms, uint64_t *dropped) {
    lock_take(&lock);
    struct budget *budget = budget_of(event, now_ms);
    budget_fill(budget, now_ms);
    bool is_granted = budget->millilines >= 1000;
    if (is_granted) {
        budget->millilines -= 1000;
        *dropped = budget->dropped;
        budget->dropped = 0;
    } else {
        budget->dropped++;
    }
    lock_release(&lock);
    if (!is_granted) atomic_fetch_add_explicit(&dropped_total, 1, memory_order_relaxed);
    return is_granted;
}

/* ---- the contract */

void log_sink_open(const struct log_sink *given, enum log_level level) {
    assert(given->write && given->wall_ms);
    sink = *given;
    memset(budgets, 0, sizeof budgets);
    atomic_store(&dropped_total, 0);
    atomic_store(&threshold, (int)level);
}

void log_sink_close(void) {
    int64_t now_ms = log_is_on(LOG_ERROR) ? sink.wall_ms(sink.context) : 0;
    for (size_t i = 0; i < LOG_EVENTS_MAX && log_is_on(LOG_ERROR); i++) {
        if (!budgets[i].dropped) continue;
        line_write(LOG_WARN, "log_dropped",
                   (struct log_field[]){LOG_TEXT("of", budgets[i].event), LOG_INT("count", budgets[i].dropped)}, 2,
                   now_ms, 0);
        budgets[i].dropped = 0;
    }
    atomic_store(&threshold, LOG_ERROR + 1);
}

void log_set_level(enum log_level level) {
    atomic_store(&threshold, (int)level);
}

bool log_is_on(enum log_level level) {
    return (int)level >= atomic_load_explicit(&threshold, memory_order_acquire);
}

void log_line_write(enum log_level level, const char *event, const struct log_field *fields, size_t count) {
    if (!log_is_on(level)) return;
    int64_t now_ms = sink.wall_ms(sink.context);
    uint64_t dropped = 0;
    if (budget_take(event, now_ms, &dropped)) line_write(level, event, fields, count, now_ms, dropped);
}

void log_report_dropped(void) {
    if (!log_is_on(LOG_WARN)) return;
    int64_t now_ms = sink.wall_ms(sink.context);
    for (size_t i = 0; i < LOG_EVENTS_MAX; i++) {
        lock_take(&lock);
        struct budget *budget = &budgets[i];
        const char *event = budget->event;
        uint64_t dropped = 0;
        if (event && budget->dropped) {
            budget_fill(budget, now_ms);
            if (budget->millilines >= 1000) {
                budget->millilines -= 1000;
                dropped = budget->dropped;
                budget->dropped = 0;
            }
        }
        lock_release(&lock);
        if (!dropped) continue;
        line_write(LOG_WARN, "log_dropped", (struct log_field[]){LOG_TEXT("of", event), LOG_INT("count", dropped)}, 2,
                   now_ms, 0);
    }
}

uint64_t log_dropped_total(void) {
    return atomic_load_explicit(&dropped_total, memory_order_relaxed);
}
