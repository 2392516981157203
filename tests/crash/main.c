/* Seeds to servers that crash: see world.h and ledger.h.
 *
 *   crash [--seeds N] [--seed S] [--lives N] [--level everysec|always] [--kind power|kill] [--file FILE] [--verbose]
 * [--dump DIR]
 *
 * First the seeds of FILE (those that failed once), then N seeds from S on. Exits 1 with the first seed that fails. */
#include "world.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    uint64_t first, count;
    const char *file;
    struct options options;
};

static int index_of(const char *value, const char *zero, const char *one) {
    return strcmp(value, zero) == 0 ? 0 : strcmp(value, one) == 0 ? 1 : -1;
}

static struct settings settings_of(int argc, char **argv) {
    struct settings settings = {.first = 1, .count = 300, .options = {.level = -1, .ending = -1, .lives = 5}};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (strcmp(argv[i], "--verbose") == 0) settings.options.is_verbose = true;
        if (strcmp(argv[i], "--seeds") == 0) settings.count = strtoull(value, NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) settings.first = strtoull(value, NULL, 10);
        if (strcmp(argv[i], "--lives") == 0) settings.options.lives = (unsigned)strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--level") == 0) settings.options.level = index_of(value, "everysec", "always");
        if (strcmp(argv[i], "--kind") == 0) settings.options.ending = index_of(value, "power", "kill");
        if (strcmp(argv[i], "--dump") == 0) settings.options.dump = value;
        if (strcmp(argv[i], "--file") == 0) settings.file = value;
    }
    return settings;
}

static bool run_file(const struct settings *settings, struct totals *totals) {
    FILE *file = settings->file ? fopen(settings->file, "r") : NULL;
    char line[256];
    bool is_well = true;
    while (file && is_well && fgets(line, sizeof line, file)) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        struct options options = settings->options;
        if (strcmp(end, " everysec\n") == 0) options.level = LOG_EVERYSEC;
        if (strcmp(end, " always\n") == 0) options.level = LOG_ALWAYS;
        if (end != line) is_well = world_run(seed, &options, totals);
    }
    if (file) fclose(file);
    return is_well;
}

/* A pass that never went these ways has shown nothing about them. */
static bool is_thorough(const struct totals *totals) {
    return totals->answers && totals->promises && totals->crashes[ENDING_POWER] && totals->crashes[ENDING_KILL] &&
           totals->crashes[ENDING_STOP] && totals->again && totals->failed && totals->full && totals->torn &&
           totals->lost && totals->handed_out && totals->snapshots;
}

int main(int argc, char **argv) {
    struct settings settings = settings_of(argc, argv);
    struct totals totals = {0};
    if (sodium_init() < 0 || !run_file(&settings, &totals)) return 1;
    for (uint64_t i = 0; i < settings.count; i++)
        if (!world_run(settings.first + i, &settings.options, &totals)) return 1;
    printf("%llu seeds, %llu recoveries after %llu power cuts, %llu kills and %llu ends in order, %llu of them cut "
           "short themselves; %llu answers, %llu of them promises, all kept, %llu hand-outs; %llu appends lost that "
           "nobody was promised, %llu torn tails, %llu failed journals, %llu refused for space, %llu snapshots\n",
           (unsigned long long)settings.count, (unsigned long long)totals.recoveries,
           (unsigned long long)totals.crashes[ENDING_POWER], (unsigned long long)totals.crashes[ENDING_KILL],
           (unsigned long long)totals.crashes[ENDING_STOP], (unsigned long long)totals.again,
           (unsigned long long)totals.answers, (unsigned long long)totals.promises,
           (unsigned long long)totals.handed_out, (unsigned long long)totals.lost, (unsigned long long)totals.torn,
           (unsigned long long)totals.failed, (unsigned long long)totals.full, (unsigned long long)totals.snapshots);
    bool is_free = settings.options.level < 0 && settings.options.ending < 0 && settings.count >= 100;
    return !is_free || is_thorough(&totals) ? 0 : 1;
}
