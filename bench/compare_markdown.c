/* The comparison as tables for a README: one for each number of connections and level, a row for each workload and
 * depth, nanoseconds of server CPU for one operation. See compare_report.h. */
#include "compare_report.h"

#include "goals.h"

static bool are_of_one_table(const struct cell *one, const struct cell *other) {
    return one->connections == other->connections && one->level == other->level;
}

static bool begins_table(const struct comparison *comparison, unsigned cell) {
    for (unsigned i = 0; i < cell; i++)
        if (are_of_one_table(&comparison->cells[i], &comparison->cells[cell])) return false;
    return true;
}

/* Whether a server was measured in one of the table's cells; the others have no column. */
static bool has_column(const struct comparison *comparison, const struct cell *table, unsigned contender) {
    struct summary summary;
    for (unsigned i = 0; i < comparison->cell_count; i++)
        if (are_of_one_table(&comparison->cells[i], table) &&
            summarize_cell(comparison, &comparison->cells[i], contender, &summary))
            return true;
    return false;
}

/* A whole number with commas between its thousands. */
static void put_number(double value, FILE *out) {
    char digits[32];
    int count = snprintf(digits, sizeof digits, "%.0f", value);
    for (int i = 0; i < count; i++) fprintf(out, "%s%c", i && (count - i) % 3 == 0 ? "," : "", digits[i]);
}

static void put_head(const struct comparison *comparison, const struct cell *table, FILE *out) {
    bool has_level = table->level != LEVEL_ANY;
    unsigned columns = 0;
    fprintf(out, "| %u connections%s%s |", table->connections, has_level ? ", " : "",
            has_level ? level_names[table->level] : "");
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        if (!has_column(comparison, table, i)) continue;
        fprintf(out, " %s |", has_level ? comparison->contenders[i].server : comparison->contenders[i].name);
        columns++;
    }
    fputs(" against the cheapest peer (extremes) | goal | p99.9 in ms / of the best peer |\n|---|", out);
    for (unsigned i = 0; i < columns; i++) fputs("---|", out);
    fputs("---|---|---|\n", out);
}

static void put_server(const struct comparison *comparison, const struct cell *cell, unsigned contender, FILE *out) {
    struct summary summary;
    const char *mark = comparison->contenders[contender].role == ROLE_SESSIOND ? "**" : "";
    if (!summarize_cell(comparison, cell, contender, &summary)) {
        fputs(" |", out);
        return;
    }
    fprintf(out, " %s", mark);
    put_number(summary.cpu_ns, out);
    fprintf(out, "%s%s |", mark, summary.noisy == summary.rounds ? " (noisy)" : "");
}

static void put_ratio(const struct comparison *comparison, const struct cell *cell, int own, FILE *out) {
    int peer = goals_best_peer(comparison, cell, FIGURE_CPU);
    struct ratio ratio = {0};
    double bound = goals_bound(cell);
    if (own >= 0 && peer >= 0) ratio = compare_pair(comparison, cell, (unsigned)own, (unsigned)peer, FIGURE_CPU);
    if (ratio.rounds)
        fprintf(out, " %.2f (%.2f to %.2f, %s) |", ratio.median, ratio.min, ratio.max,
                comparison->contenders[peer].server);
    else
        fputs(" |", out);
    if (bound > 0)
        fprintf(out, " %.2f |", bound);
    else
        fputs(" |", out);
}

static void put_tail(const struct comparison *comparison, const struct cell *cell, int own, FILE *out) {
    int peer = goals_best_peer(comparison, cell, FIGURE_P999);
    struct summary summary;
    if (own >= 0 && summarize_cell(comparison, cell, (unsigned)own, &summary))
        fprintf(out, " %.1f", summary.p999_us / 1000);
    if (peer >= 0 && summarize_cell(comparison, cell, (unsigned)peer, &summary))
        fprintf(out, " / %.1f (%s)", summary.p999_us / 1000, comparison->contenders[peer].server);
    fputs(" |\n", out);
}

static void put_row(const struct comparison *comparison, const struct cell *table, const struct cell *cell, FILE *out) {
    enum level level = cell->level == LEVEL_ANY ? LEVEL_NONE : (enum level)cell->level;
    int own = contender_find(comparison, ROLE_SESSIOND, level);
    fprintf(out, "| %s", cell->workload->name);
    if (cell->pool_size) fprintf(out, " of %llu", (unsigned long long)cell->pool_size);
    fprintf(out, ", depth %u |", cell->depth);
    for (unsigned i = 0; i < comparison->contender_count; i++)
        if (has_column(comparison, table, i)) put_server(comparison, cell, i, out);
    put_ratio(comparison, cell, own, out);
    put_tail(comparison, cell, own, out);
}

void comparison_markdown(const void *context, FILE *out) {
    const struct comparison *comparison = context;
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *table = &comparison->cells[i];
        if (!begins_table(comparison, i)) continue;
        put_head(comparison, table, out);
        for (unsigned row = i; row < comparison->cell_count; row++)
            if (are_of_one_table(&comparison->cells[row], table))
                put_row(comparison, table, &comparison->cells[row], out);
        fputc('\n', out);
    }
}
