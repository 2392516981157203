/* See expire.h. Two sets of sessions: --sessions that die within the second after T, and --probe-sessions that stay.
 * Reads start at once and go on until --observe seconds after T; nine of ten ask for one that stays, one for one that
 * dies, so that sessions served too long or gone too soon are found. Latencies and the server's memory are kept by
 * windows of 100 ms, counted from T. */
#include "expire.h"

#include "prepare.h"
#include "report.h"

#include <stdlib.h>
#include <time.h>

enum { WINDOW_MS = 100, DYING_MS = 1000, BACK_PERCENT = 20 };
static const double default_rate_per_s = 20000;

struct expiry {
    const struct options *options;
    const struct target *target;
    struct plan plan;
    struct run_result result;
    uint64_t *rss_bytes; /* at the end of each window; 0: not looked at */
    uint64_t empty_bytes, loaded_bytes;
    int64_t zero_window; /* the one that begins at T */
};

static int64_t wall_ms(void) {
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (int64_t)time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

static void watch_memory(void *context, const char *phase, uint64_t completed, uint64_t elapsed_ns) {
    (void)phase, (void)completed;
    struct expiry *expiry = context;
    struct process_sample sample;
    uint64_t window = elapsed_ns / (WINDOW_MS * 1000000u);
    if (window >= expiry->plan.window_count || !process_sample_take(&sample, expiry->target->pid)) return;
    expiry->rss_bytes[window] = sample.rss_bytes;
}

static uint64_t rss_now(const struct target *target) {
    struct process_sample sample;
    return target->pid && process_sample_take(&sample, target->pid) ? sample.rss_bytes : 0;
}

static bool load_all(struct expiry *expiry, struct target *target, const struct options *options) {
    const struct plan *plan = &expiry->plan;
    expiry->empty_bytes = rss_now(target);
    if (!target_load(target, plan, plan->probe_first, plan->probe_count, options, NULL)) return false;
    target->setup.is_load_mortal = false;
    bool is_fine =
        target_refresh(target) && target_load(target, plan, plan->first_index, plan->session_count, options, NULL);
    expiry->loaded_bytes = rss_now(target);
    return is_fine;
}

static bool prepare_windows(struct expiry *expiry, const struct options *options) {
    int64_t left_ms = expiry->plan.deadline_first_ms - wall_ms();
    if (left_ms < WINDOW_MS) {
        fprintf(stderr, "sessiond-bench: the load took too long; give a longer --expire-in\n");
        return false;
    }
    uint64_t length_ms = (uint64_t)left_ms + DYING_MS + (uint64_t)(options->observe_s * 1000);
    expiry->zero_window = left_ms / WINDOW_MS;
    expiry->plan.window_ns = WINDOW_MS * 1000000u;
    expiry->plan.window_count = (uint32_t)(length_ms / WINDOW_MS);
    expiry->plan.duration_ns = length_ms * 1000000u;
    expiry->plan.request_count = 0;
    expiry->rss_bytes = calloc(expiry->plan.window_count, sizeof *expiry->rss_bytes);
    return expiry->rss_bytes != NULL;
}

struct expiry_summary {
    uint64_t quiet_p999_ns, dying_p999_ns; /* before T, and from T until a second after the last death */
    uint64_t worst_window_p99_ns, worst_quiet_p99_ns;
    int64_t worst_window_ms; /* from T */
    int64_t back_ms;         /* from the last death until memory was back; -1: it was not, INT64_MIN: not known */
    uint64_t last_bytes;
};

static void summarize_windows(const struct expiry *expiry, struct expiry_summary *summary, struct histogram *quiet,
                              struct histogram *dying) {
    int64_t last = expiry->zero_window + 2 * DYING_MS / WINDOW_MS;
    for (int64_t i = 1; i < (int64_t)expiry->plan.window_count; i++) {
        const struct histogram *window = &expiry->result.windows[i];
        uint64_t p99_ns = histogram_percentile_ns(window, 99);
        if (i < expiry->zero_window) {
            histogram_merge(quiet, window);
            if (p99_ns > summary->worst_quiet_p99_ns) summary->worst_quiet_p99_ns = p99_ns;
        } else if (p99_ns > summary->worst_window_p99_ns) {
            summary->worst_window_p99_ns = p99_ns;
            summary->worst_window_ms = (i - expiry->zero_window) * WINDOW_MS;
        }
        if (i >= expiry->zero_window && i < last) histogram_merge(dying, window);
    }
}

/* Memory is back when no more than a fifth of what the load added is left, and it stays so. */
static void summarize_memory(const struct expiry *expiry, struct expiry_summary *summary) {
    uint64_t limit = expiry->empty_bytes + (expiry->loaded_bytes - expiry->empty_bytes) * BACK_PERCENT / 100;
    int64_t died_window = expiry->zero_window + DYING_MS / WINDOW_MS, back = -1;
    summary->back_ms = expiry->empty_bytes ? -1 : INT64_MIN;
    for (int64_t i = 0; i < (int64_t)expiry->plan.window_count; i++) {
        if (!expiry->rss_bytes[i]) continue;
        summary->last_bytes = expiry->rss_bytes[i];
        if (expiry->rss_bytes[i] > limit)
            back = -1;
        else if (back < 0)
            back = i;
    }
    if (back >= 0) summary->back_ms = back > died_window ? (back - died_window) * WINDOW_MS : 0;
}

static bool summarize(const struct expiry *expiry, struct expiry_summary *summary) {
    struct histogram *quiet = calloc(1, sizeof *quiet), *dying = calloc(1, sizeof *dying);
    *summary = (struct expiry_summary){0};
    if (quiet && dying) {
        summarize_windows(expiry, summary, quiet, dying);
        summary->quiet_p999_ns = histogram_percentile_ns(quiet, 99.9);
        summary->dying_p999_ns = histogram_percentile_ns(dying, 99.9);
    }
    free(quiet);
    free(dying);
    summarize_memory(expiry, summary);
    return quiet && dying;
}

static void report_windows(const struct expiry *expiry, FILE *out) {
    fprintf(out, "\n%10s %9s %9s %9s %9s %10s\n", "ms from T", "reads", "p50 us", "p99 us", "max us", "RSS MiB");
    for (int64_t i = expiry->zero_window > 10 ? expiry->zero_window - 10 : 0; i < (int64_t)expiry->plan.window_count;
         i++) {
        const struct histogram *window = &expiry->result.windows[i];
        fprintf(out, "%10lld %9llu %9.1f %9.1f %9.1f %10.1f\n", (long long)(i - expiry->zero_window) * WINDOW_MS,
                (unsigned long long)window->total, (double)histogram_percentile_ns(window, 50) / 1000,
                (double)histogram_percentile_ns(window, 99) / 1000, (double)window->max_ns / 1000,
                (double)expiry->rss_bytes[i] / 1048576);
    }
}

static void report_expiry_text(const struct expiry *expiry, const struct expiry_summary *summary, FILE *out) {
    const struct tally *tally = &expiry->result.tally;
    if (expiry->target->driver == &driver_sessiond)
        fputs("sessiond: the namespace has retention_ms 0 and tombstone_ms 0, so that nothing of the dead is kept\n",
              out);
    fprintf(out, "expire %s: %llu sessions die in the second after T, %llu stay; %.0f reads/s\n",
            expiry->target->driver->name, (unsigned long long)expiry->plan.probe_count,
            (unsigned long long)expiry->plan.session_count, run_rate(&expiry->result));
    report_windows(expiry, out);
    fprintf(out, "\np99.9 quiet %.1f us, while dying %.1f us; worst window p99 %.1f us at %lld ms (quiet: %.1f us)\n",
            (double)summary->quiet_p999_ns / 1000, (double)summary->dying_p999_ns / 1000,
            (double)summary->worst_window_p99_ns / 1000, (long long)summary->worst_window_ms,
            (double)summary->worst_quiet_p99_ns / 1000);
    fprintf(out, "served after the deadline %llu, gone before it %llu; missing %llu, errors %llu, wrong %llu%s%s\n",
            (unsigned long long)tally->late, (unsigned long long)tally->early, (unsigned long long)tally->misses,
            (unsigned long long)tally->errors, (unsigned long long)tally->wrong, expiry->result.problem[0] ? ": " : "",
            expiry->result.problem);
    if (summary->back_ms == INT64_MIN)
        fputs("memory unknown; give --pid to have it measured\n", out);
    else if (summary->back_ms < 0)
        fprintf(out, "memory is not back within 20 %% of the load: %.1f MiB empty, %.1f loaded, %.1f at the end\n",
                (double)expiry->empty_bytes / 1048576, (double)expiry->loaded_bytes / 1048576,
                (double)summary->last_bytes / 1048576);
    else
        fprintf(out,
                "memory back within 20 %% of the load %lld ms after the last death: %.1f MiB empty, %.1f loaded, %.1f "
                "at the end\n",
                (long long)summary->back_ms, (double)expiry->empty_bytes / 1048576,
                (double)expiry->loaded_bytes / 1048576, (double)summary->last_bytes / 1048576);
}

static void json_windows(struct json *json, const struct expiry *expiry) {
    json_array(json, "windows");
    for (int64_t i = 0; i < (int64_t)expiry->plan.window_count; i++) {
        const struct histogram *window = &expiry->result.windows[i];
        json_object(json, NULL);
        json_number(json, "from_ms", (double)(i - expiry->zero_window) * WINDOW_MS);
        json_count(json, "reads", window->total);
        json_number(json, "p50_us", (double)histogram_percentile_ns(window, 50) / 1000);
        json_number(json, "p99_us", (double)histogram_percentile_ns(window, 99) / 1000);
        json_number(json, "p99.9_us", (double)histogram_percentile_ns(window, 99.9) / 1000);
        json_number(json, "max_us", (double)window->max_ns / 1000);
        json_count(json, "rss_bytes", expiry->rss_bytes[i]);
        json_close(json, '}');
    }
    json_close(json, ']');
}

struct expiry_report {
    const struct expiry *expiry;
    const struct expiry_summary *summary;
};

static void report_expiry_json(const void *context, FILE *out) {
    const struct expiry_report *report = context;
    const struct expiry *expiry = report->expiry;
    struct json json;
    json_begin(&json, out);
    json_text(&json, "server_name", expiry->target->driver->name);
    report_plan_json(&json, expiry->options, &expiry->plan);
    json_count(&json, "dying_sessions", expiry->plan.probe_count);
    json_count(&json, "served_late", expiry->result.tally.late);
    json_count(&json, "gone_early", expiry->result.tally.early);
    json_number(&json, "quiet_p99.9_us", (double)report->summary->quiet_p999_ns / 1000);
    json_number(&json, "dying_p99.9_us", (double)report->summary->dying_p999_ns / 1000);
    json_number(&json, "worst_window_p99_us", (double)report->summary->worst_window_p99_ns / 1000);
    if (report->summary->back_ms >= 0) json_count(&json, "memory_back_ms", (uint64_t)report->summary->back_ms);
    json_count(&json, "empty_bytes", expiry->empty_bytes);
    json_count(&json, "loaded_bytes", expiry->loaded_bytes);
    json_count(&json, "last_bytes", report->summary->last_bytes);
    json_object(&json, "result");
    report_result_json(&json, &expiry->result, expiry->plan.threads);
    json_close(&json, '}');
    json_windows(&json, expiry);
    json_end(&json);
}

static int play(struct expiry *expiry, struct target *target) {
    struct run_watch watch = {
        .progress = watch_memory, .context = expiry, .phase = "expire", .every_ns = WINDOW_MS * 500000u};
    if (!run_plan(target, &expiry->plan, 0, &watch, &expiry->result)) {
        fprintf(stderr, "sessiond-bench: %s\n", expiry->result.problem);
        return 1;
    }
    struct expiry_summary summary;
    if (!summarize(expiry, &summary)) return 1;
    report_expiry_text(expiry, &summary, stdout);
    struct expiry_report report = {expiry, &summary};
    if (!report_file(expiry->options->json, report_expiry_json, &report)) return 1;
    bool is_right = run_is_correct(&expiry->result) && !expiry->result.tally.late && !expiry->result.tally.early;
    return is_right ? 0 : 3;
}

int expire_main(const struct options *options, struct target *target, struct plan *plan) {
    struct expiry expiry = {.options = options, .target = target, .plan = *plan};
    double expire_in_s = options->expire_in_s > 0 ? options->expire_in_s : 10 + 10e-6 * (double)plan->session_count;
    expiry.plan.probe_count = plan->session_count;
    expiry.plan.probe_first = options->probe_sessions;
    expiry.plan.first_index = 0;
    expiry.plan.session_count = options->probe_sessions;
    expiry.plan.is_sliding = true;
    if (expiry.plan.rate_per_s == 0) expiry.plan.rate_per_s = default_rate_per_s;
    if (expiry.plan.depth < 16) expiry.plan.depth = 16; /* room for what comes due while the server is busy */
    expiry.plan.deadline_first_ms = wall_ms() + (int64_t)(expire_in_s * 1000);
    /* memcached knows whole seconds: begin with one. */
    expiry.plan.deadline_first_ms += 999 - (expiry.plan.deadline_first_ms + 999) % 1000;
    expiry.plan.deadline_span_ms = DYING_MS;
    int status = 1;
    if (load_all(&expiry, target, options) && prepare_windows(&expiry, options)) status = play(&expiry, target);
    run_result_fini(&expiry.result);
    free(expiry.rss_bytes);
    return status;
}
