/* The comparison drawn: for each cell a group of bars, one for each server, as long as the server's CPU time for one
 * operation. Every group has a scale of its own, since an operation alone costs twenty times one of a batch. The thin
 * line at a bar's end spans the rounds. See compare.h. */
#include "compare.h"

#include <math.h>

enum { WIDTH = 860, LEFT = 236, RIGHT = 150, TOP = 60, BAR = 15, GAP = 22 };

static const char *colour_of(const char *name) {
    static const struct {
        const char *name, *colour;
    } colours[] = {{"sessiond", "#1668b8"}, {"redis", "#c0492b"}, {"memcached", "#1a8a5a"}, {"ceiling", "#9a9a9a"}};
    for (unsigned i = 0; i < sizeof colours / sizeof *colours; i++)
        if (strncmp(colours[i].name, name, strlen(colours[i].name)) == 0) return colours[i].colour;
    return "#8a5fb0";
}

static double longest_of(const struct comparison *comparison, const struct cell *cell) {
    double longest_ns = 1;
    for (unsigned i = 0; i < comparison->contender_count; i++) {
        struct summary summary;
        if (summarize_cell(comparison, cell, i, &summary)) longest_ns = fmax(longest_ns, summary.cpu_max_ns);
    }
    return longest_ns;
}

static void draw_bar(const struct comparison *comparison, const struct cell *cell, unsigned contender, int y,
                     double longest_ns, FILE *out) {
    struct summary summary;
    const char *name = comparison->contenders[contender].name;
    if (!summarize_cell(comparison, cell, contender, &summary)) return;
    double scale = (WIDTH - LEFT - RIGHT) / longest_ns;
    int middle = y + BAR / 2;
    fprintf(
        out,
        "<rect x='%d' y='%d' width='%.1f' height='%d' fill='%s'><title>%s: %.0f ns (%.0f to %.0f), %.0f/s, p99 %.1f us"
        "</title></rect>",
        LEFT, y, summary.cpu_ns * scale, BAR - 2, colour_of(name), name, summary.cpu_ns, summary.cpu_min_ns,
        summary.cpu_max_ns, summary.rate, summary.p99_us);
    fprintf(out, "<path class='whisker' d='M%.1f %dH%.1f'/>", LEFT + summary.cpu_min_ns * scale, middle,
            LEFT + summary.cpu_max_ns * scale);
    fprintf(out,
            "<text x='%.1f' y='%d'>%.0f ns%s</text><text class='faint' x='%d' y='%d' text-anchor='end'>%s</text>\n",
            LEFT + summary.cpu_max_ns * scale + 8, middle + 4, summary.cpu_ns,
            summary.disturbed == summary.rounds ? " (disturbed)" : "", LEFT - 8, middle + 4, name);
}

void comparison_svg(const void *context, FILE *out) {
    const struct comparison *comparison = context;
    int group = (int)comparison->contender_count * BAR + GAP, height = TOP + (int)comparison->cell_count * group + 20;
    fprintf(out, "<svg class='chart' xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>%s",
            WIDTH, height, WIDTH, height, picture_style);
    fprintf(out,
            "<text class='title' x='16' y='24'>Server CPU time for one operation, %llu sessions</text>"
            "<text class='faint' x='16' y='42'>median of %u rounds; shorter is better; each group has its own "
            "scale</text>\n",
            (unsigned long long)comparison->plan.session_count, comparison->rounds);
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        int y = TOP + (int)i * group;
        double longest_ns = longest_of(comparison, cell);
        char pool[32] = "";
        if (cell->pool_size) snprintf(pool, sizeof pool, " of %llu", (unsigned long long)cell->pool_size);
        fprintf(out, "<text x='16' y='%d'>%s%s</text><text class='faint' x='16' y='%d'>depth %u, %u conn.</text>\n",
                y + 12, cell->workload->name, pool, y + 28, cell->depth, cell->connections);
        for (unsigned contender = 0; contender < comparison->contender_count; contender++)
            draw_bar(comparison, cell, contender, y + (int)contender * BAR, longest_ns, out);
    }
    fputs("</svg>\n", out);
}

static void write_text(const void *context, FILE *out) {
    comparison_text(context, out);
}

void comparison_html(const void *context, FILE *out) {
    page_begin(out, "sessiond-bench: the comparison");
    comparison_svg(context, out);
    page_text(out, write_text, context);
    page_end(out);
}
