/* See growth.h. Points of an axis are compared within a round: their servers live side by side, or one server meets all
 * of them in turn, beginning with another one in each round. Each figure is the median over the rounds. */
#define _GNU_SOURCE
#include "growth.h"

#include "growth_run.h"
#include "report.h"

#include <stdlib.h>

static const struct {
    const char *name, *points_of;
    bool (*measure)(struct growth *growth, struct growth_axis *axis);
} axes[] = {{"sessions", "sessions", growth_sessions},
            {"connections", "connections", growth_connections},
            {"users", "sessions of one user", growth_users},
            {"values", "bytes of a value", growth_values}};
enum { AXES = sizeof axes / sizeof *axes };

struct growth_report {
    struct growth growth;
    struct growth_axis axes[AXES];
    unsigned count; /* of them that were measured */
};

static bool list_has(const char *list, const char *name) {
    size_t size = strlen(name);
    for (const char *at = list; at; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0')) return true;
    return false;
}

bool growth_axes_known(const char *list) {
    char copy[128];
    if ((size_t)snprintf(copy, sizeof copy, "%s", list) >= sizeof copy) return false;
    for (char *rest = copy, *name; (name = strsep(&rest, ","));) {
        unsigned i = 0;
        while (i < AXES && strcmp(axes[i].name, name) != 0) i++;
        if (i == AXES) return false;
    }
    return true;
}

static void write_json(const void *context, FILE *out) {
    const struct growth_report *report = context;
    const struct options *options = report->growth.options;
    struct json json;
    char machine[256];
    machine_describe(machine, sizeof machine);
    json_begin(&json, out);
    json_text(&json, "machine", machine);
    json_count(&json, "rounds", report->growth.rounds);
    json_count(&json, "value_bytes", options->value_bytes);
    json_object(&json, "axes");
    for (unsigned i = 0; i < report->count; i++) growth_json(&report->axes[i], &json);
    json_close(&json, '}');
    json_end(&json);
}

int growth_main(const struct options *options) {
    struct options own = *options;
    if (own.duration_s <= 0) own.duration_s = 1;
    struct growth_report *report = calloc(1, sizeof *report);
    if (!report) return 1;
    report->growth = (struct growth){.options = &own, .is_pinned = core_count() > 1};
    report->growth.rounds = own.rounds < FIGURES_MAX ? (unsigned)own.rounds : FIGURES_MAX;
    bool is_fine = true;
    for (unsigned i = 0; i < AXES && is_fine; i++) {
        struct growth_axis *axis = &report->axes[report->count];
        if (!list_has(own.axes, axes[i].name)) continue;
        *axis = (struct growth_axis){.name = axes[i].name, .points_of = axes[i].points_of};
        report->count++;
        is_fine = axes[i].measure(&report->growth, axis);
        if (is_fine) growth_text(axis, stdout), fflush(stdout);
    }
    if (!is_fine) fprintf(stderr, "sessiond-bench: %s\n", report->growth.problem);
    is_fine = is_fine && report_file(own.json, write_json, report);
    free(report);
    return is_fine ? 0 : 1;
}
