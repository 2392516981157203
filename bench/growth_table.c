/* See growth_table.h. */
#include "growth_table.h"

#include <assert.h>
#include <string.h>

void growth_points(struct growth_axis *axis, uint64_t first, uint64_t factor, uint64_t most) {
    axis->point_count = 0;
    for (uint64_t at = first ? first : 1; at < most && axis->point_count < GROWTH_POINTS_MAX - 1; at *= factor)
        axis->points[axis->point_count++] = at;
    axis->points[axis->point_count++] = most;
}

static struct growth_measure *measure_of(struct growth_axis *axis, const char *name) {
    for (unsigned i = 0; i < axis->measure_count; i++)
        if (strcmp(axis->measures[i].name, name) == 0) return &axis->measures[i];
    assert(axis->measure_count < GROWTH_MEASURES_MAX);
    return &axis->measures[axis->measure_count++];
}

void growth_note(struct growth_axis *axis, unsigned point, const char *name, const char *unit, const char *each,
                 double work, double value) {
    struct growth_measure *measure = measure_of(axis, name);
    struct growth_cell *cell = &measure->cells[point];
    measure->name = name;
    measure->unit = unit;
    measure->each = each;
    cell->work = work;
    assert(cell->count < FIGURES_MAX);
    cell->values[cell->count++] = value;
}

double growth_value(const struct growth_measure *measure, unsigned point) {
    return figures_median(measure->cells[point].values, measure->cells[point].count);
}

double growth_ratio(const struct growth_measure *measure, unsigned point, bool per_work) {
    const struct growth_cell *cell = &measure->cells[point], *smallest = measure->cells;
    while (smallest < cell && smallest->count == 0) smallest++;
    double ratios[FIGURES_MAX], work = per_work ? cell->work / smallest->work : 1;
    unsigned count = 0;
    for (; count < cell->count && count < smallest->count; count++)
        ratios[count] = cell->values[count] / smallest->values[count] / work;
    return figures_median(ratios, count);
}

/* ---- for people */

static void number_text(double value, char *text, size_t size) {
    char digits[32];
    int length = snprintf(digits, sizeof digits, value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value);
    size_t used = 0;
    bool is_whole = value >= 100;
    for (int i = 0; i < length && used + 2 < size; i++) {
        if (is_whole && i > 0 && (length - i) % 3 == 0) text[used++] = ',';
        text[used++] = digits[i];
    }
    text[used] = '\0';
}

static void write_line(const struct growth_axis *axis, const struct growth_measure *measure, bool per_work, FILE *out) {
    char left[48], value[32];
    if (per_work)
        snprintf(left, sizeof left, "  a %s", measure->each);
    else
        snprintf(left, sizeof left, "%s, %s", measure->name, measure->unit);
    fprintf(out, "  %-26s", left);
    for (unsigned i = 0; i < axis->point_count; i++) {
        const struct growth_cell *cell = &measure->cells[i];
        if (cell->count == 0) {
            fprintf(out, " %10s %9s", "-", "");
            continue;
        }
        number_text(growth_value(measure, i) / (per_work ? cell->work : 1), value, sizeof value);
        fprintf(out, " %10s %7.*f x", value, growth_ratio(measure, i, per_work) < 100 ? 2 : 0,
                growth_ratio(measure, i, per_work));
    }
    fputc('\n', out);
}

void growth_text(const struct growth_axis *axis, FILE *out) {
    char point[32];
    fprintf(out, "%-28s", axis->points_of);
    for (unsigned i = 0; i < axis->point_count; i++) {
        number_text((double)axis->points[i], point, sizeof point);
        if (axis->points[i] < 100) snprintf(point, sizeof point, "%u", (unsigned)axis->points[i]);
        fprintf(out, " %10s %9s", point, "");
    }
    fputc('\n', out);
    for (unsigned i = 0; i < axis->measure_count; i++) {
        write_line(axis, &axis->measures[i], false, out);
        if (axis->measures[i].each) write_line(axis, &axis->measures[i], true, out);
    }
}

/* ---- for programs */

static void json_cell(struct json *json, const struct growth_axis *axis, const struct growth_measure *measure,
                      unsigned point) {
    const struct growth_cell *cell = &measure->cells[point];
    double least = cell->values[0], most = cell->values[0];
    for (unsigned i = 1; i < cell->count; i++) {
        if (cell->values[i] < least) least = cell->values[i];
        if (cell->values[i] > most) most = cell->values[i];
    }
    json_object(json, NULL);
    json_count(json, "at", axis->points[point]);
    json_number(json, "value", growth_value(measure, point));
    json_number(json, "least", least);
    json_number(json, "most", most);
    json_number(json, "ratio", growth_ratio(measure, point, false));
    if (measure->each) {
        json_number(json, "work", cell->work);
        json_number(json, "ratio_per_work", growth_ratio(measure, point, true));
    }
    json_close(json, '}');
}

void growth_json(const struct growth_axis *axis, struct json *json) {
    json_object(json, axis->name);
    for (unsigned i = 0; i < axis->measure_count; i++) {
        const struct growth_measure *measure = &axis->measures[i];
        json_object(json, measure->name);
        json_text(json, "unit", measure->unit);
        if (measure->each) json_text(json, "work_is", measure->each);
        json_array(json, "points");
        for (unsigned point = 0; point < axis->point_count; point++)
            if (measure->cells[point].count) json_cell(json, axis, measure, point);
        json_close(json, ']');
        json_close(json, '}');
    }
    json_close(json, '}');
}
