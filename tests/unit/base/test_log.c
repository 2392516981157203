/* The log: lines that cannot be forged, budgets that hold. Time is a variable. */
#include "base/log.h"

#include <criterion/criterion.h>
#include <stdio.h>

static char written[65536];
static size_t written_size, line_count;
static int64_t wall_ms;

static void keep(void *context, const char *line, size_t size) {
    (void)context;
    cr_assert(written_size + size < sizeof written);
    memcpy(written + written_size, line, size);
    written_size += size;
    line_count++;
    written[written_size] = 0;
}

static int64_t told_time(void *context) {
    (void)context;
    return wall_ms;
}

static void begin(enum log_level level) {
    written_size = line_count = 0;
    written[0] = 0;
    wall_ms = 1792231872345; /* 2026-10-17T10:11:12.345Z */
    log_sink_open(&(struct log_sink){NULL, keep, told_time}, level);
}

Test(log, writes_one_line_with_time_level_event_and_fields) {
    begin(LOG_INFO);
    log_event(LOG_INFO, "ready", LOG_TEXT("tcp", "127.0.0.1:7420"), LOG_INT("threads", -2));
    cr_assert_str_eq(written, "time=2026-10-17T10:11:12.345Z level=info event=ready tcp=127.0.0.1:7420 threads=-2\n");
}

Test(log, writes_an_event_without_fields) {
    begin(LOG_INFO);
    log_event(LOG_WARN, "stopping");
    cr_assert_str_eq(written, "time=2026-10-17T10:11:12.345Z level=warn event=stopping\n");
}

Test(log, quotes_and_escapes_what_could_forge_a_line) {
    begin(LOG_INFO);
    log_event(LOG_INFO, "x", LOG_TEXT("a", "two words"), LOG_TEXT("b", "q\"\\"), LOG_TEXT("c", "1\nevent=forged"),
              LOG_BYTES("d", bytes_of("\0\xff", 2)), LOG_TEXT("e", ""));
    cr_assert_str_eq(written, "time=2026-10-17T10:11:12.345Z level=info event=x a=\"two words\" b=\"q\\\"\\\\\" "
                              "c=\"1\\nevent=forged\" d=\"\\x00\\xff\" e=\"\"\n");
}

Test(log, writes_nothing_below_its_level_and_nothing_after_close) {
    log_event(LOG_ERROR, "too_early");
    begin(LOG_WARN);
    log_event(LOG_INFO, "quiet");
    cr_assert_eq(line_count, 0);
    log_set_level(LOG_DEBUG);
    log_event(LOG_DEBUG, "heard");
    cr_assert_eq(line_count, 1);
    log_sink_close();
    log_event(LOG_ERROR, "too_late");
    cr_assert_eq(line_count, 1);
}

Test(log, cuts_a_long_line_and_still_ends_it) {
    char value[3 * LOG_LINE_MAX];
    begin(LOG_INFO);
    memset(value, 'a', sizeof value);
    log_event(LOG_INFO, "long", LOG_BYTES("value", bytes_of(value, sizeof value)));
    cr_assert_eq(written_size, LOG_LINE_MAX);
    cr_assert_eq(written[LOG_LINE_MAX - 1], '\n');
    cr_assert_eq(strchr(written, '\n'), written + LOG_LINE_MAX - 1);
}

Test(log, drops_what_is_over_an_events_budget_and_says_how_much) {
    begin(LOG_INFO);
    for (int i = 0; i < 1000; i++) log_event(LOG_WARN, "flood", LOG_INT("i", i));
    cr_assert_eq(line_count, LOG_BURST);
    cr_assert_eq(log_dropped_total(), 1000 - LOG_BURST);
    log_event(LOG_WARN, "other");
    cr_assert_eq(line_count, LOG_BURST + 1, "another event has a budget of its own");

    wall_ms += 1000;
    for (int i = 0; i < 10; i++) log_event(LOG_WARN, "flood", LOG_INT("i", i));
    cr_assert_eq(line_count, LOG_BURST + 1 + LOG_LINES_PER_SECOND);
    cr_assert(strstr(written, "event=flood i=0 dropped=980\n"), "%s", written);
}

Test(log, reports_dropped_lines_of_an_event_that_went_quiet) {
    begin(LOG_INFO);
    for (int i = 0; i < 30; i++) log_event(LOG_WARN, "flood");
    log_report_dropped();
    cr_assert_eq(line_count, LOG_BURST, "no budget for it yet");
    wall_ms += 1000;
    log_report_dropped();
    cr_assert(strstr(written, "event=log_dropped of=flood count=10\n"), "%s", written);
    log_report_dropped();
    cr_assert_eq(line_count, LOG_BURST + 1, "told once");
}

Test(log, gives_events_beyond_its_table_one_shared_budget) {
    static char names[LOG_EVENTS_MAX + 100][16];
    begin(LOG_INFO);
    for (size_t i = 0; i < LOG_EVENTS_MAX + 100; i++) {
        snprintf(names[i], sizeof names[i], "event%zu", i);
        log_event(LOG_INFO, names[i]);
    }
    cr_assert_eq(line_count, LOG_EVENTS_MAX - 1 + LOG_BURST);
}

Test(log, survives_a_wall_clock_that_goes_backwards) {
    begin(LOG_INFO);
    for (int i = 0; i < LOG_BURST; i++) log_event(LOG_INFO, "x");
    wall_ms -= 3600000;
    log_event(LOG_INFO, "x");
    cr_assert_eq(line_count, LOG_BURST);
    wall_ms += 500;
    log_event(LOG_INFO, "x");
    cr_assert_eq(line_count, LOG_BURST + 1);
}
