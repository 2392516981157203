/* The comparison as JSON: all that the text tells, and every sample. See compare_report.h. */
#include "compare_report.h"

#include "goals.h"

static void json_sample(struct json *json, const struct sample *sample, bool is_quiet) {
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
    json_bool(json, "quiet", is_quiet);
    json_bool(json, "correct", sample->is_correct);
    json_count(json, "attempts", sample->attempts);
    json_close(json, '}');
}

static void json_ratio(struct json *json, const char *name, const struct ratio *ratio) {
    if (ratio->rounds == 0) return;
    json_object(json, name);
    json_number(json, "ratio", ratio->median);
    json_number(json, "min", ratio->min);
    json_number(json, "max", ratio->max);
    json_count(json, "rounds", ratio->rounds);
    json_close(json, '}');
}

static void json_ratios(struct json *json, const struct comparison *comparison, const struct cell *cell,
                        unsigned contender, const char *name, enum figure figure) {
    json_object(json, name);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        if (!are_compared(comparison, contender, i)) continue;
        struct ratio ratio = compare_pair(comparison, cell, contender, i, figure);
        json_ratio(json, comparison->contenders[i].name, &ratio);
    }
    json_close(json, '}');
}

static void json_summary(struct json *json, const struct summary *summary) {
    json_number(json, "cpu_ns_per_operation", summary->cpu_ns);
    json_number(json, "cpu_ns_min", summary->cpu_min_ns);
    json_number(json, "cpu_ns_max", summary->cpu_max_ns);
    json_number(json, "operations_per_s", summary->rate);
    json_number(json, "p50_us", summary->p50_us);
    json_number(json, "p99_us", summary->p99_us);
    json_number(json, "p99.9_us", summary->p999_us);
    json_count(json, "rounds", summary->rounds);
    json_count(json, "rounds_noisy", summary->noisy);
}

static void json_server(struct json *json, const struct comparison *comparison, const struct cell *cell,
                        unsigned contender) {
    struct summary summary;
    if (!summarize_cell(comparison, cell, contender, &summary)) return;
    json_object(json, comparison->contenders[contender].name);
    json_summary(json, &summary);
    json_ratios(json, comparison, cell, contender, "cpu_against", FIGURE_CPU);
    json_ratios(json, comparison, cell, contender, "rate_against", FIGURE_RATE);
    json_ratios(json, comparison, cell, contender, "p99.9_against", FIGURE_P999);
    json_array(json, "samples");
    for (unsigned i = 0; i < cell->rounds; i++)
        if (cell->samples[contender][i].is_taken)
            json_sample(json, &cell->samples[contender][i], sample_is_quiet(comparison, cell, contender, i));
    json_close(json, ']');
    json_close(json, '}');
}

static void json_contenders(struct json *json, const struct comparison *comparison) {
    static const char *const roles[] = {[ROLE_SESSIOND] = "sessiond",
                                        [ROLE_TWO_LOOPS] = "two_loops",
                                        [ROLE_LIBUV] = "libuv",
                                        [ROLE_PEER] = "peer",
                                        [ROLE_CEILING] = "ceiling"};
    json_object(json, "servers");
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        const struct contender *contender = &comparison->contenders[i];
        json_object(json, contender->name);
        json_text(json, "role", roles[contender->role]);
        json_text(json, "durability", level_names[contender->level]);
        json_text(json, "version", contender->process.version);
        json_number(json, "load_cpu_ns_per_session", contender->load_cpu_ns);
        report_memory_json(json, &contender->memory);
        json_close(json, '}');
    }
    json_close(json, '}');
}

static void json_cell_names(struct json *json, const struct cell *cell) {
    json_text(json, "workload", cell->workload->name);
    json_count(json, "depth", cell->depth);
    json_count(json, "connections", cell->connections);
    if (cell->level != LEVEL_ANY) json_text(json, "durability", level_names[cell->level]);
    if (cell->pool_size) json_count(json, "pool_size", cell->pool_size);
}

static void json_cells(struct json *json, const struct comparison *comparison) {
    json_array(json, "cells");
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        json_object(json, NULL);
        json_cell_names(json, cell);
        json_object(json, "servers");
        for (unsigned contender = 0; contender < comparison->contender_count; contender++)
            json_server(json, comparison, cell, contender);
        json_close(json, '}');
        json_close(json, '}');
    }
    json_close(json, ']');
}

static void json_verdict(struct json *json, const struct verdict *verdict) {
    static const char *const figures[] = {
        [FIGURE_CPU] = "cpu", [FIGURE_RATE] = "rate", [FIGURE_P999] = "p99.9_latency"};
    static const char *const against[] = {[AGAINST_PEER] = "best_peer",
                                          [AGAINST_CEILING] = "ceiling",
                                          [AGAINST_ONE_LOOP] = "one_loop",
                                          [AGAINST_NOTHING] = "nothing"};
    json_object(json, NULL);
    if (verdict->cell) json_cell_names(json, verdict->cell);
    json_text(json, "figure", verdict->cell ? figures[verdict->figure] : "bytes_per_session");
    json_text(json, "against", against[verdict->against]);
    if (verdict->other) json_text(json, "server", verdict->other);
    json_number(json, verdict->is_least ? "at_least" : "at_most", verdict->bound);
    json_bool(json, "further_step", verdict->is_further);
    json_ratio(json, "found", &verdict->ratio);
    json_bool(json, "reached", verdict->is_reached);
    json_close(json, '}');
}

static void json_goals(struct json *json, const struct comparison *comparison) {
    static struct verdict verdicts[VERDICTS_MAX];
    unsigned count = goals_judge(comparison, verdicts);
    json_bool(json, "goals_conditions_met", goals_have_conditions(comparison));
    json_array(json, "goals");
    for (unsigned i = 0; i < count; i++) json_verdict(json, &verdicts[i]);
    json_close(json, ']');
}

static void json_noise(struct json *json, const struct comparison *comparison) {
    struct noise noise = comparison_noise(comparison);
    json_object(json, "noise");
    json_count(json, "measurements", noise.samples);
    json_count(json, "repeated", noise.repeated);
    json_count(json, "rounds_added", noise.extra_rounds);
    json_count(json, "stayed_noisy", noise.noisy);
    json_number(json, "spent_s", (double)comparison->repeat_ns / 1e9);
    json_close(json, '}');
}

void comparison_json(const void *context, FILE *out) {
    const struct comparison *comparison = context;
    struct json json;
    json_begin(&json, out);
    json_text(&json, "machine", comparison->machine);
    json_count(&json, "sessions", comparison->plan.session_count);
    json_count(&json, "value_bytes", comparison->options->value_bytes);
    json_count(&json, "rounds", comparison->rounds);
    json_number(&json, "duration_s", (double)comparison->plan.duration_ns / 1e9);
    json_bool(&json, "pinned", comparison->is_pinned);
    json_text(&json, "durability", comparison->options->durability);
    json_bool(&json, "compaction", comparison->options->compacts);
    json_contenders(&json, comparison);
    json_cells(&json, comparison);
    json_goals(&json, comparison);
    json_noise(&json, comparison);
    json_end(&json);
}
