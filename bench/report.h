/* What was measured, for people (text, SVG, HTML) and for programs (JSON, hgrm). Called once, at the end, by the main
 * thread; nothing here changes a result. */
#ifndef BENCH_REPORT_H
#define BENCH_REPORT_H

#include "json.h"
#include "options.h"
#include "run.h"

/* Bytes that a session takes beyond its id and its data; 0 where it is not known. */
struct memory_report {
    bool is_known;
    uint64_t empty_bytes, loaded_bytes, sessions;
    double overhead_bytes;
};
struct memory_report memory_report_of(const struct run_result *load, uint64_t sessions, uint32_t value_bytes);

struct run_report {
    const struct options *options;
    const struct plan *plan;
    const struct target *target;
    const struct run_result *result;
    struct memory_report memory;
};

void report_text(const struct run_report *report, FILE *out);
void report_json(const struct run_report *report, FILE *out);
void report_svg(const struct run_report *report, FILE *out);
void report_html(const struct run_report *report, FILE *out);

/* Members that every report has about one result. */
void report_result_json(struct json *json, const struct run_result *result, uint32_t threads);
void report_memory_json(struct json *json, const struct memory_report *memory);
void report_plan_json(struct json *json, const struct options *options, const struct plan *plan);

/* Opens `path`, hands it to `write`, closes it; false with a sentence on stderr. "-" is stdout. NULL does nothing. */
bool report_file(const char *path, void (*write)(const void *report, FILE *out), const void *report);

/* A page around a picture: head with style, and the end. */
void page_begin(FILE *out, const char *title);
void page_end(FILE *out);

/* What `write` writes, as text of the page. */
void page_text(FILE *out, void (*write)(const void *context, FILE *out), const void *context);

/* The style that a picture brings along, for light and dark. */
extern const char *const picture_style;

#endif
