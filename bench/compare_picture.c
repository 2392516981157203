/* The comparison drawn, so that it can stand in a README: a block for each number of connections and level, in it a row
 * for each workload and a column for each depth, and where they meet a bar for each server, as long as its CPU time for
 * one operation. Every such panel has a scale of its own, since an operation alone costs twenty times one of a batch.
 * The thin line at a bar's end spans the rounds; the dashed one is the goal. See compare_report.h. */
#include "compare_report.h"

#include "goals.h"

#include <math.h>

enum { LEFT = 170, PANEL = 264, VALUE_ROOM = 128, TOP = 66, BAR = 15, HEAD = 54, TITLE = 8, GAP = 12, MARGIN = 16 };

static const char *const goal_style = "<style>.chart .goal{stroke:#d0208a;stroke-width:1.5;stroke-dasharray:3 2}"
                                      ".chart .own{font-weight:600}</style>";

static const char *colour_of(const struct comparison *comparison, unsigned contender) {
    static const struct {
        const char *name, *colour;
    } colours[] = {{"sessiond", "#1668b8"}, {"sessiond-2", "#7fb0dc"}, {"sessiond-libuv", "#4f93c8"},
                   {"redis", "#c0492b"},    {"memcached", "#1a8a5a"},  {"ceiling", "#9a9a9a"}};
    static const char *const more[] = {"#8a5fb0", "#b08a1a", "#b03a7a", "#2a9aa0"};
    for (unsigned i = 0; i < sizeof colours / sizeof *colours; i++)
        if (strcmp(colours[i].name, comparison->contenders[contender].server) == 0) return colours[i].colour;
    return more[contender % (sizeof more / sizeof *more)];
}

/* ---- where things stand */

static bool are_of_one_block(const struct cell *one, const struct cell *other) {
    return one->connections == other->connections && one->level == other->level;
}

static bool are_of_one_row(const struct cell *one, const struct cell *other) {
    return are_of_one_block(one, other) && one->workload == other->workload && one->pool_size == other->pool_size;
}

static bool are_of_one_column(const struct cell *one, const struct cell *other) {
    return one->depth == other->depth;
}

/* True if no earlier cell is alike. */
static bool is_first(const struct comparison *comparison, unsigned cell,
                     bool (*are_alike)(const struct cell *, const struct cell *)) {
    for (unsigned i = 0; i < cell; i++)
        if (are_alike(&comparison->cells[i], &comparison->cells[cell])) return false;
    return true;
}

/* Depths have one column in the whole picture, so that all blocks line up. */
static unsigned column_of(const struct comparison *comparison, const struct cell *cell) {
    unsigned column = 0;
    for (unsigned i = 0; !are_of_one_column(&comparison->cells[i], cell); i++)
        column += is_first(comparison, i, are_of_one_column);
    return column;
}

static unsigned column_count(const struct comparison *comparison) {
    unsigned count = 0;
    for (unsigned i = 0; i < comparison->cell_count; i++) count += is_first(comparison, i, are_of_one_column);
    return count;
}

/* Whether a server has a bar in one of the row's cells. */
static bool is_in_row(const struct comparison *comparison, const struct cell *row, unsigned contender) {
    for (unsigned i = 0; i < comparison->cell_count; i++)
        if (are_of_one_row(&comparison->cells[i], row) && comparison->cells[i].samples[contender][0].is_taken)
            return true;
    return false;
}

static int row_height(const struct comparison *comparison, const struct cell *row) {
    int height = TITLE + GAP;
    for (unsigned i = 0; i < comparison->contender_count; i++) height += is_in_row(comparison, row, i) ? BAR : 0;
    return height;
}

/* ---- drawing */

static double longest_of(const struct comparison *comparison, const struct cell *cell) {
    double longest_ns = 1;
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        struct summary summary;
        if (summarize_cell(comparison, cell, i, &summary)) longest_ns = fmax(longest_ns, summary.cpu_max_ns);
    }
    return longest_ns;
}

/* What stands behind a bar: its length, and of sessiond's how it compares with the cheapest peer. */
static void draw_value(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                       const struct summary *summary, double x, int y, FILE *out) {
    bool is_own = comparison->contenders[contender].role == ROLE_SESSIOND;
    int peer = goals_best_peer(comparison, cell, FIGURE_CPU);
    fprintf(out, "<text%s x='%.1f' y='%d'>%.0f ns", is_own ? " class='own'" : "", x, y, summary->cpu_ns);
    if (is_own && peer >= 0 && are_compared(comparison, contender, (unsigned)peer))
        fprintf(out, ", %.2f x", compare_pair(comparison, cell, contender, (unsigned)peer, FIGURE_CPU).median);
    fprintf(out, "%s</text>\n", summary->noisy == summary->rounds ? " *" : "");
}

static void draw_bar(const struct comparison *comparison, const struct cell *cell, unsigned contender, int x, int y,
                     double scale, FILE *out) {
    struct summary summary;
    if (!summarize_cell(comparison, cell, contender, &summary)) return;
    int middle = y + BAR / 2;
    fprintf(out,
            "<rect x='%d' y='%d' width='%.1f' height='%d' fill='%s'><title>%s: %.0f ns (%.0f to %.0f), %.0f/s, p99 "
            "%.1f us, p99.9 %.1f us</title></rect>",
            x, y, summary.cpu_ns * scale, BAR - 3, colour_of(comparison, contender),
            comparison->contenders[contender].name, summary.cpu_ns, summary.cpu_min_ns, summary.cpu_max_ns,
            summary.rate, summary.p99_us, summary.p999_us);
    fprintf(out, "<path class='whisker' d='M%.1f %dH%.1f'/>", x + summary.cpu_min_ns * scale, middle - 1,
            x + summary.cpu_max_ns * scale);
    draw_value(comparison, cell, contender, &summary, x + summary.cpu_max_ns * scale + 5, middle + 4, out);
}

static void draw_goal(const struct comparison *comparison, const struct cell *cell, int x, int y, double scale,
                      FILE *out) {
    struct summary summary;
    double bound = goals_bound(cell);
    int peer = goals_best_peer(comparison, cell, FIGURE_CPU);
    if (bound == 0 || peer < 0 || !summarize_cell(comparison, cell, (unsigned)peer, &summary)) return;
    fprintf(out, "<path class='goal' d='M%.1f %dV%d'><title>the goal: %.2f x %s</title></path>\n",
            x + bound * summary.cpu_ns * scale, y - 3, y + BAR, bound, comparison->contenders[peer].name);
}

static void draw_panel(const struct comparison *comparison, const struct cell *cell, int y, FILE *out) {
    int x = LEFT + (int)column_of(comparison, cell) * PANEL, own_y = -1;
    double scale = (PANEL - VALUE_ROOM) / longest_of(comparison, cell);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        if (!is_in_row(comparison, cell, i)) continue;
        draw_bar(comparison, cell, i, x, y, scale, out);
        if (comparison->contenders[i].role == ROLE_SESSIOND && own_y < 0) own_y = y;
        y += BAR;
    }
    if (own_y >= 0) draw_goal(comparison, cell, x, own_y, scale, out);
}

static void draw_row(const struct comparison *comparison, const struct cell *row, int y, FILE *out) {
    char pool[32] = "";
    int name_y = y;
    if (row->pool_size) snprintf(pool, sizeof pool, " of %llu", (unsigned long long)row->pool_size);
    fprintf(out, "<text x='%d' y='%d'>%s%s</text>\n", MARGIN, y + BAR - 4, row->workload->name, pool);
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        if (!is_in_row(comparison, row, i)) continue;
        fprintf(out, "<text class='faint' x='%d' y='%d' text-anchor='end'>%s</text>\n", LEFT - 6, name_y + BAR - 4,
                row->level == LEVEL_ANY ? comparison->contenders[i].name : comparison->contenders[i].server);
        name_y += BAR;
    }
    for (unsigned i = 0; i < comparison->cell_count; i++)
        if (are_of_one_row(&comparison->cells[i], row)) draw_panel(comparison, &comparison->cells[i], y, out);
}

static void draw_head(const struct comparison *comparison, const struct cell *block, int y, FILE *out) {
    bool has_level = block->level != LEVEL_ANY;
    fprintf(out, "<text class='title' x='%d' y='%d'>%u connections%s%s</text>\n", MARGIN, y + 24, block->connections,
            has_level ? ", " : "", has_level ? level_names[block->level] : "");
    for (unsigned i = 0; i < comparison->cell_count; i++)
        if (is_first(comparison, i, are_of_one_column))
            fprintf(out, "<text class='faint' x='%d' y='%d'>depth %u</text>\n",
                    LEFT + (int)column_of(comparison, &comparison->cells[i]) * PANEL, y + 44,
                    comparison->cells[i].depth);
}

/* Draws a block, or only measures it where `out` is NULL; answers where the next one begins. */
static int draw_block(const struct comparison *comparison, const struct cell *block, int y, FILE *out) {
    if (out) draw_head(comparison, block, y, out);
    y += HEAD;
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *row = &comparison->cells[i];
        if (!are_of_one_block(row, block) || !is_first(comparison, i, are_of_one_row)) continue;
        if (out) draw_row(comparison, row, y, out);
        y += row_height(comparison, row);
    }
    return y;
}

static int draw_blocks(const struct comparison *comparison, FILE *out) {
    int y = TOP;
    for (unsigned i = 0; i < comparison->cell_count; i++)
        if (is_first(comparison, i, are_of_one_block)) y = draw_block(comparison, &comparison->cells[i], y, out);
    return y;
}

void comparison_svg(const void *context, FILE *out) {
    const struct comparison *comparison = context;
    int width = LEFT + (int)column_count(comparison) * PANEL + MARGIN, height = draw_blocks(comparison, NULL) + MARGIN;
    width = width < 700 ? 700 : width;
    fprintf(out,
            "<svg class='chart' xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>%s%s"
            "<rect class='paper' width='100%%' height='100%%'/>\n",
            width, height, width, height, picture_style, goal_style);
    fprintf(out,
            "<text class='title' x='%d' y='26'>Server CPU time for one operation, %llu sessions of %llu bytes</text>"
            "<text class='faint' x='%d' y='46'>medians of quiet rounds (*: none was quiet); shorter is better; each "
            "panel has its own "
            "scale; x: against the cheapest peer; dashed: the goal</text>\n",
            MARGIN, (unsigned long long)comparison->plan.session_count,
            (unsigned long long)comparison->options->value_bytes, MARGIN);
    draw_blocks(comparison, out);
    fputs("</svg>\n", out);
}

void comparison_html(const void *context, FILE *out) {
    page_begin(out, "sessiond-bench: the comparison");
    comparison_svg(context, out);
    page_text(out, comparison_text, context);
    page_end(out);
}
