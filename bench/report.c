/* Text and JSON of a single run. See report.h. */
#include "report.h"

#include <errno.h>
#include <string.h>

static const struct {
    const char *name;
    double percentile;
} percentiles[] = {{"p50", 50}, {"p90", 90}, {"p99", 99}, {"p99.9", 99.9}, {"p99.99", 99.99}, {"max", 100}};
enum { PERCENTILE_COUNT = sizeof percentiles / sizeof *percentiles };

/* Where the sessions were there before, loading them again shows nothing: a load that added less than half of their ids
 * and data is taken for that. */
struct memory_report memory_report_of(const struct run_result *load, uint64_t sessions, uint32_t value_bytes) {
    struct memory_report memory = {false, load->rss_before_bytes, load->rss_after_bytes, sessions, 0};
    double growth = (double)memory.loaded_bytes - (double)memory.empty_bytes;
    double content = (double)sessions * (KEY_ID_BYTES + (double)value_bytes);
    memory.is_known = load->has_server && growth > content / 2;
    if (memory.is_known) memory.overhead_bytes = (growth - content) / (double)sessions;
    return memory;
}

static void text_latencies(const char *name, const struct histogram *histogram, FILE *out) {
    fprintf(out, "  %-10s %12llu", name, (unsigned long long)histogram->total);
    for (int i = 0; i < PERCENTILE_COUNT; i++)
        fprintf(out, " %10.1f", (double)histogram_percentile_ns(histogram, percentiles[i].percentile) / 1000.0);
    fputc('\n', out);
}

static void text_all_latencies(const struct run_result *result, FILE *out) {
    unsigned kinds = 0;
    fprintf(out, "\n  %-10s %12s", "us", "count");
    for (int i = 0; i < PERCENTILE_COUNT; i++) fprintf(out, " %10s", percentiles[i].name);
    fputc('\n', out);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++) {
        if (!result->histograms[kind]) continue;
        text_latencies(kind_names[kind], result->histograms[kind], out);
        kinds++;
    }
    if (kinds > 1) text_latencies("all", result->all, out);
}

static void text_server(const struct run_result *result, FILE *out) {
    double elapsed_ns = (double)result->tally.elapsed_ns;
    if (!result->has_server) {
        fputs("server      CPU time and memory unknown; give --pid to have them measured\n", out);
        return;
    }
    fprintf(out, "server      %.0f ns CPU per operation (%.0f %% user), busy %.0f %%, waited for a core %.1f %%\n",
            run_cpu_per_operation_ns(result), 100 * result->server_user_share,
            100 * (double)result->server_cpu_ns / elapsed_ns, 100 * (double)result->server_wait_ns / elapsed_ns);
}

static void text_correctness(const struct run_result *result, FILE *out) {
    const struct tally *tally = &result->tally;
    fprintf(out, "correct     %llu errors, %llu missing, %llu of %llu values looked at were wrong%s%s\n",
            (unsigned long long)tally->errors, (unsigned long long)tally->misses, (unsigned long long)tally->wrong,
            (unsigned long long)tally->checked, result->problem[0] ? "; first: " : "", result->problem);
}

static void text_plan(const struct run_report *report, FILE *out) {
    const struct plan *plan = report->plan;
    static const char *const distributions[] = {"uniform", "zipf", "latest"};
    fprintf(out, "%s at %s: %s, %llu sessions of %u bytes, %s keys, %u connections, depth %u, %u thread%s",
            report->target->driver->name, report->target->address, plan->workload->name,
            (unsigned long long)plan->session_count, report->target->setup.value_bytes,
            distributions[plan->distribution], plan->connections, plan->depth, plan->threads,
            plan->threads == 1 ? "" : "s");
    if (plan->rate_per_s > 0)
        fprintf(out, ", open loop at %.0f/s\n", plan->rate_per_s);
    else
        fprintf(out, ", closed loop, %s\n", plan->is_sliding ? "sliding window" : "in batches");
}

void report_text(const struct run_report *report, FILE *out) {
    const struct run_result *result = report->result;
    text_plan(report, out);
    fprintf(out, "throughput  %.0f operations/s (%.0f requests/s), %.1f bytes out and %.1f in per request\n",
            run_rate(result), (double)result->tally.requests * 1e9 / (double)result->tally.elapsed_ns,
            (double)result->tally.sent_bytes / (double)result->tally.requests,
            (double)result->tally.received_bytes / (double)result->tally.requests);
    text_server(result, out);
    fprintf(out, "generator   busy %.0f %%; other programs %.1f %% of a core, stolen %.1f %%\n",
            100 * run_generator_share(result, report->plan->threads), 100 * result->disturbance.foreign_share,
            100 * result->disturbance.steal_share);
    if (report->memory.is_known)
        fprintf(out, "memory      %.1f bytes per session beyond id and data (%.1f MiB empty, %.1f MiB loaded)\n",
                report->memory.overhead_bytes, (double)report->memory.empty_bytes / 1048576,
                (double)report->memory.loaded_bytes / 1048576);
    text_correctness(result, out);
    text_all_latencies(result, out);
}

static void json_latencies(struct json *json, const char *name, const struct histogram *histogram) {
    json_object(json, name);
    json_count(json, "count", histogram->total);
    json_number(json, "mean", histogram_mean_ns(histogram) / 1000.0);
    json_number(json, "min", (double)histogram->min_ns / 1000.0);
    for (int i = 0; i < PERCENTILE_COUNT; i++)
        json_number(json, percentiles[i].name,
                    (double)histogram_percentile_ns(histogram, percentiles[i].percentile) / 1000.0);
    json_close(json, '}');
}

static void json_server(struct json *json, const struct run_result *result) {
    json_object(json, "server");
    json_number(json, "cpu_ns_per_operation", run_cpu_per_operation_ns(result));
    json_count(json, "cpu_ns", result->server_cpu_ns);
    json_number(json, "user_share", result->server_user_share);
    json_number(json, "busy_share", (double)result->server_cpu_ns / (double)result->tally.elapsed_ns);
    json_number(json, "wait_share", (double)result->server_wait_ns / (double)result->tally.elapsed_ns);
    json_count(json, "rss_bytes", result->rss_after_bytes);
    json_close(json, '}');
}

void report_result_json(struct json *json, const struct run_result *result, uint32_t threads) {
    const struct tally *tally = &result->tally;
    json_number(json, "operations_per_s", run_rate(result));
    json_count(json, "operations", tally->completed);
    json_count(json, "requests", tally->requests);
    json_number(json, "elapsed_s", (double)tally->elapsed_ns / 1e9);
    json_count(json, "sent_bytes", tally->sent_bytes);
    json_count(json, "received_bytes", tally->received_bytes);
    json_count(json, "errors", tally->errors);
    json_count(json, "misses", tally->misses);
    json_count(json, "values_checked", tally->checked);
    json_count(json, "values_wrong", tally->wrong);
    if (result->problem[0]) json_text(json, "first_problem", result->problem);
    if (result->has_server) json_server(json, result);
    json_number(json, "generator_busy_share", run_generator_share(result, threads));
    json_number(json, "steal_share", result->disturbance.steal_share);
    json_number(json, "foreign_share", result->disturbance.foreign_share);
    json_object(json, "latency_us");
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        if (result->histograms[kind]) json_latencies(json, kind_names[kind], result->histograms[kind]);
    if (result->all) json_latencies(json, "all", result->all);
    json_close(json, '}');
}

void report_memory_json(struct json *json, const struct memory_report *memory) {
    if (!memory->is_known) return;
    json_object(json, "memory");
    json_count(json, "empty_bytes", memory->empty_bytes);
    json_count(json, "loaded_bytes", memory->loaded_bytes);
    json_count(json, "sessions", memory->sessions);
    json_number(json, "overhead_bytes_per_session", memory->overhead_bytes);
    json_close(json, '}');
}

void report_plan_json(struct json *json, const struct options *options, const struct plan *plan) {
    json_object(json, "plan");
    json_text(json, "workload", plan->workload->name);
    json_count(json, "sessions", plan->session_count);
    json_count(json, "value_bytes", options->value_bytes);
    json_count(json, "connections", plan->connections);
    json_count(json, "depth", plan->depth);
    json_count(json, "threads", plan->threads);
    json_number(json, "rate", plan->rate_per_s);
    json_text(json, "window", options->window);
    json_count(json, "seed", plan->seed);
    json_bool(json, "numeric", options->is_numeric);
    json_bool(json, "data_only", options->is_data_only);
    json_bool(json, "explicit_deadline", options->is_deadline_explicit);
    json_close(json, '}');
}

void report_json(const struct run_report *report, FILE *out) {
    struct json json;
    json_begin(&json, out);
    json_text(&json, "server_name", report->target->driver->name);
    report_plan_json(&json, report->options, report->plan);
    json_object(&json, "result");
    report_result_json(&json, report->result, report->plan->threads);
    json_close(&json, '}');
    report_memory_json(&json, &report->memory);
    json_end(&json);
}

bool report_file(const char *path, void (*write)(const void *report, FILE *out), const void *report) {
    if (!path) return true;
    bool is_stdout = strcmp(path, "-") == 0;
    FILE *out = is_stdout ? stdout : fopen(path, "we");
    if (out) write(report, out);
    bool is_fine = out && fflush(out) == 0 && !ferror(out);
    if (!is_fine) fprintf(stderr, "sessiond-bench: cannot write %s: %s\n", path, strerror(errno));
    if (out && !is_stdout) fclose(out);
    return is_fine;
}
