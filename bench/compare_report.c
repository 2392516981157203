/* The comparison as text: a line for each server of a cell, the goals, what else was found. See compare_report.h. */
#include "compare_report.h"

#include "goals.h"

/* sessiond's line tells its ratios to the others, those of two loops and of libuv's transport the one to sessiond;
 * where sessiond is not among them, every line tells all. */
static bool is_told(const struct comparison *comparison, unsigned contender, unsigned other) {
    enum role role = comparison->contenders[contender].role, against = comparison->contenders[other].role;
    bool has_sessiond = false;
    for (unsigned i = 0; i < comparison->contender_count; i++)
        has_sessiond |= comparison->contenders[i].role == ROLE_SESSIOND;
    if (!are_compared(comparison, contender, other)) return false;
    if ((role == ROLE_TWO_LOOPS || role == ROLE_LIBUV) && has_sessiond) return against == ROLE_SESSIOND;
    return !has_sessiond || (role == ROLE_SESSIOND && against != ROLE_TWO_LOOPS && against != ROLE_LIBUV);
}

static void text_ratios(const struct comparison *comparison, const struct cell *cell, unsigned contender, FILE *out) {
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        if (!is_told(comparison, contender, i)) continue;
        const struct contender *other = &comparison->contenders[i];
        struct ratio ratio = compare_pair(comparison, cell, contender, i, FIGURE_CPU);
        struct ratio rate = compare_pair(comparison, cell, contender, i, FIGURE_RATE);
        if (ratio.rounds == 0) continue;
        fprintf(out, "  %.2f x %s (%.2f-%.2f", ratio.median, other->name, ratio.min, ratio.max);
        if (other->level != LEVEL_NONE) fprintf(out, ", rate %.2f x", rate.median);
        fputc(')', out);
    }
}

static void text_line(const struct comparison *comparison, const struct cell *cell, unsigned contender, FILE *out) {
    struct summary summary;
    if (!summarize_cell(comparison, cell, contender, &summary)) return;
    char spread[40];
    snprintf(spread, sizeof spread, "%.0f-%.0f", summary.cpu_min_ns, summary.cpu_max_ns);
    fprintf(out, "  %-17s %8.0f ns  %-13s %9.0f/s %9.1f %9.1f %9.1f %5.0f %5.0f",
            comparison->contenders[contender].name, summary.cpu_ns, spread, summary.rate, summary.p50_us,
            summary.p99_us, summary.p999_us, 100 * summary.server_share, 100 * summary.generator_share);
    text_ratios(comparison, cell, contender, out);
    if (summary.noisy) fprintf(out, "  [%u of %u rounds noisy]", summary.noisy, summary.rounds);
    fputc('\n', out);
}

static void text_cells(const struct comparison *comparison, FILE *out) {
    fprintf(out, "  %-17s %11s  %-13s %11s %9s %9s %9s %5s %5s  %s\n", "", "CPU", "extremes", "rate", "p50 us",
            "p99 us", "p99.9 us", "srv %", "gen %", "CPU against the others (extremes)");
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        fprintf(out, "%s\n", cell_title(cell));
        for (unsigned contender = 0; contender < comparison->contender_count; contender++)
            text_line(comparison, cell, contender, out);
    }
}

/* ---- goals */

static const char *what_of(const struct verdict *verdict) {
    if (verdict->against == AGAINST_NOTHING) return "bytes";
    if (verdict->against == AGAINST_ONE_LOOP) return "CPU of two loops";
    return verdict->figure == FIGURE_RATE ? "rate" : verdict->figure == FIGURE_P999 ? "p99.9" : "CPU";
}

static void text_verdict(const struct verdict *verdict, FILE *out) {
    bool is_memory = verdict->against == AGAINST_NOTHING;
    char bound[80], found[80];
    snprintf(bound, sizeof bound, is_memory ? "%s%s %.0f" : "%s%s %.2f x ", verdict->is_further ? "then " : "",
             verdict->is_least ? ">=" : "<=", verdict->bound);
    if (is_memory)
        snprintf(found, sizeof found, "%.1f", verdict->ratio.median);
    else
        snprintf(found, sizeof found, "%.2f x (%.2f-%.2f)", verdict->ratio.median, verdict->ratio.min,
                 verdict->ratio.max);
    fprintf(out, "  %-48s %-17s %14s%-18s %-19s %s\n",
            verdict->cell ? cell_title(verdict->cell) : "memory per session, beyond id and data", what_of(verdict),
            bound, verdict->other ? verdict->other : "", found, verdict->is_reached ? "reached" : "NOT reached");
}

/* Two loops have a goal in every cell: those that are missed are told, the others counted. */
static void text_two_loops(const struct verdict *verdicts, unsigned count, FILE *out) {
    unsigned all = 0, reached = 0;
    for (unsigned i = 0; i < count; i++) {
        if (verdicts[i].against != AGAINST_ONE_LOOP) continue;
        all++;
        reached += verdicts[i].is_reached;
        if (!verdicts[i].is_reached) text_verdict(&verdicts[i], out);
    }
    if (all) fprintf(out, "  two loops cost at most 1.10 x one in %u of %u cells\n", reached, all);
}

static void text_goals(const struct comparison *comparison, FILE *out) {
    static struct verdict verdicts[VERDICTS_MAX];
    unsigned count = goals_judge(comparison, verdicts);
    if (count == 0) return;
    fputs("\ngoals: sessiond against the best of the peers measured here; medians of the rounds' own ratios\n", out);
    if (!goals_have_conditions(comparison))
        fputs("  (they are set for 1,000,000 sessions of 300 bytes, which this run had not)\n", out);
    for (unsigned i = 0; i < count; i++)
        if (verdicts[i].against != AGAINST_ONE_LOOP) text_verdict(&verdicts[i], out);
    text_two_loops(verdicts, count, out);
}

/* ---- pools and memory */

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
        struct ratio ratio = compare_cells(comparison, i, cell, other);
        if (has_pools && ratio.rounds)
            fprintf(out, "  %s %.2f x (%.2f-%.2f)", comparison->contenders[i].name, ratio.median, ratio.min, ratio.max);
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

static void text_noise(const struct comparison *comparison, FILE *out) {
    struct noise noise = comparison_noise(comparison);
    fprintf(out,
            "\nnoise: of %u measurements %u were made more than once, %u rounds were added to cells, and %u "
            "measurements stayed noisy; %.0f s were spent on that\n",
            noise.samples, noise.repeated, noise.extra_rounds, noise.noisy, (double)comparison->repeat_ns / 1e9);
}

static void text_contender(const struct comparison *comparison, const struct contender *contender, FILE *out) {
    const char *more = "";
    if (contender->role == ROLE_CEILING) more = "answers as many bytes as sessiond, and reads none";
    if (contender->role == ROLE_LIBUV) more = ", transport libuv";
    if (contender->role == ROLE_TWO_LOOPS)
        more = comparison->has_second_core ? ", two loops on two cores" : ", two loops on the core of one";
    fprintf(out, "%-17s %s%s\n", contender->name, contender->process.version, more);
}

void comparison_text(const void *context, FILE *out) {
    const struct comparison *comparison = context;
    for (unsigned i = 0; i < comparison->contender_count; i++)
        text_contender(comparison, &comparison->contenders[i], out);
    fprintf(out,
            "%llu sessions of %llu bytes, %u quiet rounds wanted; CPU of the server per operation: median, extremes\n",
            (unsigned long long)comparison->plan.session_count, (unsigned long long)comparison->options->value_bytes,
            comparison->rounds);
    fprintf(out, "%s\n", comparison->machine);
    text_cells(comparison, out);
    text_pools(comparison, out);
    text_memory(comparison, out);
    text_goals(comparison, out);
    text_noise(comparison, out);
    if (!comparison->is_pinned) fputs("one core only: servers and generator shared it\n", out);
}
