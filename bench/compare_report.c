/* What the comparison found: the summary that all forms share, the table and the JSON. See compare.h. */
#include "compare.h"

#include <stdlib.h>

struct column {
    double values[ROUNDS_MAX];
    unsigned count;
};

static int by_value(const void *a, const void *b) {
    double left = *(const double *)a, right = *(const double *)b;
    return (left > right) - (left < right);
}

static double median(struct column *column) {
    qsort(column->values, column->count, sizeof *column->values, by_value);
    unsigned middle = column->count / 2;
    return column->count % 2 ? column->values[middle] : (column->values[middle - 1] + column->values[middle]) / 2;
}

/* The median of one member over the rounds that count. */
static double median_of(const struct sample *samples, unsigned rounds, bool is_quiet_only, size_t place) {
    struct column column = {.count = 0};
    for (unsigned i = 0; i < rounds; i++) {
        if (!samples[i].is_taken || (is_quiet_only && samples[i].is_disturbed)) continue;
        column.values[column.count++] = *(const double *)((const char *)&samples[i] + place);
    }
    return median(&column);
}

#define MEDIAN(member) median_of(samples, comparison->rounds, is_quiet_only, offsetof(struct sample, member))

static void find_extremes(const struct sample *samples, unsigned rounds, bool is_quiet_only, struct summary *summary) {
    bool is_first = true;
    for (unsigned i = 0; i < rounds; i++) {
        if (!samples[i].is_taken || (is_quiet_only && samples[i].is_disturbed)) continue;
        if (is_first || samples[i].cpu_ns < summary->cpu_min_ns) summary->cpu_min_ns = samples[i].cpu_ns;
        if (is_first || samples[i].cpu_ns > summary->cpu_max_ns) summary->cpu_max_ns = samples[i].cpu_ns;
        is_first = false;
    }
}

bool summarize_cell(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                    struct summary *summary) {
    const struct sample *samples = cell->samples[contender];
    *summary = (struct summary){0};
    for (unsigned i = 0; i < comparison->rounds; i++) {
        summary->rounds += samples[i].is_taken;
        summary->disturbed += samples[i].is_taken && samples[i].is_disturbed;
    }
    if (summary->rounds == 0) return false;
    bool is_quiet_only = summary->disturbed < summary->rounds;
    summary->cpu_ns = MEDIAN(cpu_ns);
    summary->rate = MEDIAN(rate);
    summary->p50_us = MEDIAN(p50_us);
    summary->p99_us = MEDIAN(p99_us);
    summary->p999_us = MEDIAN(p999_us);
    summary->server_share = MEDIAN(server_share);
    summary->generator_share = MEDIAN(generator_share);
    summary->reply_bytes = MEDIAN(reply_bytes);
    summary->request_bytes = MEDIAN(request_bytes);
    find_extremes(samples, comparison->rounds, is_quiet_only, summary);
    return true;
}

/* The rounds' own ratios of the member at `place`. */
static struct column pair_ratios(const struct comparison *comparison, const struct sample *left,
                                 const struct sample *right, size_t place, bool is_quiet_only) {
    struct column column = {.count = 0};
    for (unsigned i = 0; i < comparison->rounds; i++) {
        bool is_usable = left[i].is_taken && right[i].is_taken;
        if (is_quiet_only && (left[i].is_disturbed || right[i].is_disturbed)) is_usable = false;
        double over = *(const double *)((const char *)&left[i] + place);
        double under = *(const double *)((const char *)&right[i] + place);
        if (is_usable && under > 0) column.values[column.count++] = over / under;
    }
    return column;
}

static double median_ratio(const struct comparison *comparison, const struct sample *left, const struct sample *right,
                           size_t place) {
    struct column ratios = pair_ratios(comparison, left, right, place, true);
    if (ratios.count == 0) ratios = pair_ratios(comparison, left, right, place, false);
    return ratios.count ? median(&ratios) : 0;
}

double compare_pair(const struct comparison *comparison, const struct cell *cell, unsigned contender, unsigned other) {
    return median_ratio(comparison, cell->samples[contender], cell->samples[other], offsetof(struct sample, cpu_ns));
}

double compare_rates(const struct comparison *comparison, const struct cell *cell, unsigned contender, unsigned other) {
    return median_ratio(comparison, cell->samples[contender], cell->samples[other], offsetof(struct sample, rate));
}

bool are_compared(const struct comparison *comparison, unsigned contender, unsigned other) {
    const struct contender *left = &comparison->contenders[contender], *right = &comparison->contenders[other];
    bool is_less_kept = strcmp(left->server, right->server) == 0 && right->level == LEVEL_NONE;
    return contender != other && (left->level == right->level || is_less_kept);
}

static void text_line(const struct comparison *comparison, const struct cell *cell, unsigned contender, FILE *out) {
    struct summary summary;
    if (!summarize_cell(comparison, cell, contender, &summary)) return;
    char spread[40];
    snprintf(spread, sizeof spread, "%.0f-%.0f", summary.cpu_min_ns, summary.cpu_max_ns);
    fprintf(out, "  %-17s %8.0f ns  %-13s %9.0f/s %9.1f %9.1f %6.0f %6.0f ", comparison->contenders[contender].name,
            summary.cpu_ns, spread, summary.rate, summary.p50_us, summary.p99_us, 100 * summary.server_share,
            100 * summary.generator_share);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        double ratio = are_compared(comparison, contender, i) ? compare_pair(comparison, cell, contender, i) : 0;
        if (ratio <= 0) continue;
        fprintf(out, " %.2f x %s", ratio, comparison->contenders[i].name);
        if (comparison->contenders[i].level != LEVEL_NONE)
            fprintf(out, " (rate %.2f x)", compare_rates(comparison, cell, contender, i));
    }
    if (summary.disturbed) fprintf(out, "  (%u of %u rounds disturbed)", summary.disturbed, summary.rounds);
    fputc('\n', out);
}

/* How many times as much a contender takes in one cell as in another: the median of the rounds' own ratios. */
static double compare_cells(const struct comparison *comparison, unsigned contender, const struct cell *cell,
                            const struct cell *other) {
    return median_ratio(comparison, cell->samples[contender], other->samples[contender],
                        offsetof(struct sample, cpu_ns));
}

static bool is_larger_pool(const struct cell *cell, const struct cell *other) {
    return other->pool_size && cell->pool_size > other->pool_size && cell->workload == other->workload &&
           cell->depth == other->depth && cell->connections == other->connections;
}

static void text_pool_pair(const struct comparison *comparison, const struct cell *cell, const struct cell *other,
                           FILE *out) {
    fprintf(out, "%s against %llu sessions:", cell_title(cell), (unsigned long long)other->pool_size);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        /* The ceiling has no pools; its ratio would be noise. */
        bool has_pools = comparison->contenders[i].target.driver->judge != NULL;
        double ratio = has_pools ? compare_cells(comparison, i, cell, other) : 0;
        if (ratio > 0) fprintf(out, "  %s %.2f x", comparison->contenders[i].name, ratio);
    }
    fputc('\n', out);
}

/* Whether an operation on a larger pool costs more. */
static void text_pools(const struct comparison *comparison, FILE *out) {
    for (unsigned i = 0; i < comparison->cell_count; i++)
        for (unsigned other = 0; other < comparison->cell_count; other++)
            if (is_larger_pool(&comparison->cells[i], &comparison->cells[other]))
                text_pool_pair(comparison, &comparison->cells[i], &comparison->cells[other], out);
}

static void text_memory(const struct comparison *comparison, FILE *out) {
    bool is_known = false;
    for (unsigned i = 0; i < comparison->contender_count; i++) is_known |= comparison->contenders[i].memory.is_known;
    if (!is_known) return;
    fputs("\nmemory, bytes of resident memory per session beyond id and data; CPU per session loaded\n", out);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        const struct contender *contender = &comparison->contenders[i];
        if (!contender->memory.is_known) continue;
        fprintf(out, "  %-17s %8.1f bytes   (%.1f MiB empty, %.1f MiB loaded)  %.0f ns\n", contender->name,
                contender->memory.overhead_bytes, (double)contender->memory.empty_bytes / 1048576,
                (double)contender->memory.loaded_bytes / 1048576, contender->load_cpu_ns);
    }
}

void comparison_text(const struct comparison *comparison, FILE *out) {
    for (unsigned i = 0; i < comparison->contender_count; i++)
        fprintf(out, "%-17s %s\n", comparison->contenders[i].name, comparison->contenders[i].process.version);
    fprintf(out, "%llu sessions of %llu bytes, %u rounds; CPU of the server per operation: median, extremes\n",
            (unsigned long long)comparison->plan.session_count, (unsigned long long)comparison->options->value_bytes,
            comparison->rounds);
    fprintf(out, "  %-17s %11s  %-13s %11s %9s %9s %6s %6s  %s\n", "", "CPU", "extremes", "rate", "p50 us", "p99 us",
            "srv %", "gen %", "CPU against the others");
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        fprintf(out, "%s\n", cell_title(cell));
        for (unsigned contender = 0; contender < comparison->contender_count; contender++)
            text_line(comparison, cell, contender, out);
    }
    text_pools(comparison, out);
    text_memory(comparison, out);
    if (!comparison->is_pinned) fputs("one core only: servers and generator shared it\n", out);
}

static void json_sample(struct json *json, const struct sample *sample) {
    json_object(json, NULL);
    json_number(json, "cpu_ns_per_operation", sample->cpu_ns);
    json_number(json, "operations_per_s", sample->rate);
    json_number(json, "p50_us", sample->p50_us);
    json_number(json, "p99_us", sample->p99_us);
    json_number(json, "p99.9_us", sample->p999_us);
    json_number(json, "server_busy_share", sample->server_share);
    json_number(json, "server_wait_share", sample->wait_share);
    json_number(json, "generator_busy_share", sample->generator_share);
    json_number(json, "request_bytes", sample->request_bytes);
    json_number(json, "reply_bytes", sample->reply_bytes);
    json_number(json, "steal_share", sample->disturbance.steal_share);
    json_number(json, "foreign_share", sample->disturbance.foreign_share);
    json_bool(json, "disturbed", sample->is_disturbed);
    json_bool(json, "correct", sample->is_correct);
    json_count(json, "attempts", sample->attempts);
    json_close(json, '}');
}

static void json_ratios(struct json *json, const struct comparison *comparison, const struct cell *cell,
                        unsigned contender, const char *name,
                        double (*compare)(const struct comparison *, const struct cell *, unsigned, unsigned)) {
    json_object(json, name);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        double ratio = are_compared(comparison, contender, i) ? compare(comparison, cell, contender, i) : 0;
        if (ratio > 0) json_number(json, comparison->contenders[i].name, ratio);
    }
    json_close(json, '}');
}

static void json_server(struct json *json, const struct comparison *comparison, const struct cell *cell,
                        unsigned contender) {
    struct summary summary;
    if (!summarize_cell(comparison, cell, contender, &summary)) return;
    json_object(json, comparison->contenders[contender].name);
    json_number(json, "cpu_ns_per_operation", summary.cpu_ns);
    json_number(json, "cpu_ns_min", summary.cpu_min_ns);
    json_number(json, "cpu_ns_max", summary.cpu_max_ns);
    json_number(json, "operations_per_s", summary.rate);
    json_number(json, "p99_us", summary.p99_us);
    json_number(json, "p99.9_us", summary.p999_us);
    json_count(json, "rounds", summary.rounds);
    json_count(json, "rounds_disturbed", summary.disturbed);
    json_ratios(json, comparison, cell, contender, "cpu_against", compare_pair);
    json_ratios(json, comparison, cell, contender, "rate_against", compare_rates);
    json_array(json, "samples");
    for (unsigned i = 0; i < comparison->rounds; i++)
        if (cell->samples[contender][i].is_taken) json_sample(json, &cell->samples[contender][i]);
    json_close(json, ']');
    json_close(json, '}');
}

static void json_contenders(struct json *json, const struct comparison *comparison) {
    json_object(json, "servers");
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        const struct contender *contender = &comparison->contenders[i];
        json_object(json, contender->name);
        json_text(json, "version", contender->process.version);
        json_number(json, "load_cpu_ns_per_session", contender->load_cpu_ns);
        report_memory_json(json, &contender->memory);
        json_close(json, '}');
    }
    json_close(json, '}');
}

void comparison_json(const void *context, FILE *out) {
    const struct comparison *comparison = context;
    struct json json;
    json_begin(&json, out);
    json_count(&json, "sessions", comparison->plan.session_count);
    json_count(&json, "value_bytes", comparison->options->value_bytes);
    json_count(&json, "rounds", comparison->rounds);
    json_number(&json, "duration_s", (double)comparison->plan.duration_ns / 1e9);
    json_bool(&json, "pinned", comparison->is_pinned);
    json_text(&json, "durability", comparison->options->durability);
    json_bool(&json, "compaction", comparison->options->compacts);
    json_contenders(&json, comparison);
    json_array(&json, "cells");
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        json_object(&json, NULL);
        json_text(&json, "workload", cell->workload->name);
        json_count(&json, "depth", cell->depth);
        json_count(&json, "connections", cell->connections);
        if (cell->pool_size) json_count(&json, "pool_size", cell->pool_size);
        json_object(&json, "servers");
        for (unsigned contender = 0; contender < comparison->contender_count; contender++)
            json_server(&json, comparison, cell, contender);
        json_close(&json, '}');
        json_close(&json, '}');
    }
    json_close(&json, ']');
    json_end(&json);
}
