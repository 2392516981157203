/* The picture of one run's latencies, alone (SVG) or in a page (HTML): the percentiles towards 100 on a scale that
 * gives every further nine the same room, against microseconds on a logarithmic scale. See report.h. */
#define _GNU_SOURCE
#include "report.h"

#include <math.h>
#include <stdlib.h>

enum { WIDTH = 860, HEIGHT = 440, LEFT = 70, RIGHT = 120, TOP = 40, BOTTOM = 50 };
static const char *const colours[KIND_COUNT] = {"#1668b8", "#1a8a5a", "#c0492b", "#8a5fb0",
                                                "#b08a1a", "#707070", "#b03a7a", "#4a4a9a"};

const char *const picture_style =
    "<style>.chart{font:12px system-ui,sans-serif;background:#fff}.chart text{fill:#333}.chart .paper{fill:#fff}.chart "
    ".title{font-size:15px}"
    ".chart .grid{stroke:#ddd;stroke-width:1}.chart .axis{stroke:#888}.chart .faint{fill:#777}"
    ".chart .whisker{stroke:#333;stroke-width:1.5}"
    "@media(prefers-color-scheme:dark){.chart{background:#16181c}.chart .paper{fill:#16181c}.chart "
    "text{fill:#ddd}.chart .grid{stroke:#333}"
    ".chart .faint{fill:#999}.chart .whisker{stroke:#eee}}</style>";

void page_begin(FILE *out, const char *title) {
    fprintf(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        "<title>%s</title><style>body{font:15px/1.45 system-ui,sans-serif;max-width:60em;margin:2em auto;padding:0 1em;"
        "background:#fff;color:#222}svg{max-width:100%%;height:auto}pre{overflow-x:auto;font-size:12.5px}"
        "@media(prefers-color-scheme:dark){body{background:#16181c;color:#ddd}}</style><h1>%s</h1>\n",
        title, title);
}

void page_text(FILE *out, void (*write)(const void *context, FILE *out), const void *context) {
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    if (!memory) return;
    write(context, memory);
    fclose(memory);
    fputs("<pre>", out);
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '<')
            fputs("&lt;", out);
        else if (text[i] == '&')
            fputs("&amp;", out);
        else
            fputc(text[i], out);
    }
    fputs("</pre>\n", out);
    free(text);
}

void page_end(FILE *out) {
    fputs("</html>\n", out);
}

struct curve {
    FILE *out;
    double decades_x, low_y, decades_y; /* of 1/(1-p), and of microseconds */
    bool is_started;
    int legend_y; /* of the next line */
};

/* The maximum of n values stands where one in n does. */
static double place_x(const struct curve *curve, double percentile, uint64_t count) {
    double nines = log10(percentile < 100 ? 100 / (100 - percentile) : (double)count);
    if (nines > curve->decades_x) nines = curve->decades_x;
    return LEFT + nines / curve->decades_x * (WIDTH - LEFT - RIGHT);
}

static double place_y(const struct curve *curve, double value_us) {
    double decades = log10(value_us > 0 ? value_us : 0.001) - curve->low_y;
    return HEIGHT - BOTTOM - decades / curve->decades_y * (HEIGHT - TOP - BOTTOM);
}

static void draw_point(void *context, uint64_t value_ns, double percentile, uint64_t count) {
    struct curve *curve = context;
    double x = place_x(curve, percentile, count), y = place_y(curve, (double)value_ns / 1000);
    fprintf(curve->out, "%c%.1f %.1f", curve->is_started ? 'L' : 'M', x, y);
    curve->is_started = true;
}

static void draw_curve(struct curve *curve, const struct histogram *histogram, const char *name, const char *colour) {
    curve->is_started = false;
    fprintf(curve->out, "<path fill='none' stroke='%s' stroke-width='2' d='", colour);
    histogram_walk(histogram, 5, draw_point, curve);
    fprintf(curve->out, "'><title>%s: p50 %.1f us, p99 %.1f, p99.9 %.1f, max %.1f</title></path>", name,
            (double)histogram_percentile_ns(histogram, 50) / 1000,
            (double)histogram_percentile_ns(histogram, 99) / 1000,
            (double)histogram_percentile_ns(histogram, 99.9) / 1000, (double)histogram->max_ns / 1000);
    fprintf(curve->out, "<text x='%d' y='%d' style='fill:%s'>%s</text>\n", WIDTH - RIGHT + 12, curve->legend_y, colour,
            name);
    curve->legend_y += 18;
}

static void draw_grid(struct curve *curve) {
    static const char *const labels[] = {"0",       "90 %",     "99 %",      "99.9 %",
                                         "99.99 %", "99.999 %", "99.9999 %", "99.99999 %"};
    for (int i = 0; i <= (int)curve->decades_x && i < 8; i++) {
        double x = LEFT + i / curve->decades_x * (WIDTH - LEFT - RIGHT);
        fprintf(curve->out,
                "<path class='grid' d='M%.1f %dV%d'/><text x='%.1f' y='%d' text-anchor='middle'>%s</text>\n", x, TOP,
                HEIGHT - BOTTOM, x, HEIGHT - BOTTOM + 18, labels[i]);
    }
    for (int i = 0; i <= (int)curve->decades_y; i++) {
        double value_us = pow(10, curve->low_y + i), y = place_y(curve, value_us);
        fprintf(curve->out,
                "<path class='grid' d='M%d %.1fH%d'/><text x='%d' y='%.1f' text-anchor='end'>%g us</text>\n", LEFT, y,
                WIDTH - RIGHT, LEFT - 6, y + 4, value_us);
    }
}

static void choose_scales(struct curve *curve, const struct histogram *all) {
    double low_us = (double)(all->min_ns ? all->min_ns : 1) / 1000, high_us = (double)all->max_ns / 1000;
    curve->decades_x = ceil(log10(all->total > 10 ? (double)all->total : 10));
    if (curve->decades_x > 7) curve->decades_x = 7;
    curve->low_y = floor(log10(low_us));
    curve->decades_y = ceil(log10(high_us > low_us ? high_us : low_us * 10)) - curve->low_y;
    if (curve->decades_y < 1) curve->decades_y = 1;
}

void report_svg(const struct run_report *report, FILE *out) {
    const struct run_result *result = report->result;
    struct curve curve = {.out = out, .legend_y = TOP + 12};
    choose_scales(&curve, result->all);
    fprintf(out, "<svg class='chart' xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' width='%d' height='%d'>%s",
            WIDTH, HEIGHT, WIDTH, HEIGHT, picture_style);
    fprintf(out, "<text class='title' x='%d' y='22'>%s, %s: latency by percentile, %.0f operations/s</text>\n", LEFT,
            report->target->driver->name, report->plan->workload->name, run_rate(result));
    draw_grid(&curve);
    for (unsigned kind = 0; kind < KIND_COUNT; kind++)
        if (result->histograms[kind]) draw_curve(&curve, result->histograms[kind], kind_names[kind], colours[kind]);
    fputs("</svg>\n", out);
}

static void write_text(const void *report, FILE *out) {
    report_text(report, out);
}

void report_html(const struct run_report *report, FILE *out) {
    page_begin(out, "sessiond-bench: one run");
    report_svg(report, out);
    page_text(out, write_text, report);
    page_end(out);
}
