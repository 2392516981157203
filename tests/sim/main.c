/* The simulator: seeds to worlds, each held against the naive model.
 *
 *   sim [--seeds N] [--seed S] [--steps N] [--file FILE] [--verbose] [--collide-sweeps] [--skip-check] [--naive]
 *
 * --naive puts the naive engine of the scenarios under the server: a seed that fails on both engines is the model's
 * fault or an operation's.
 *
 * First the seeds of FILE (those that failed once), then N seeds from S on. Exits 1 with the first seed that fails. */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct settings {
    uint64_t first, count;
    const char *file;
    struct world_options world;
};

static bool run_file(const struct settings *settings, struct world_totals *totals) {
    FILE *file = settings->file ? fopen(settings->file, "r") : NULL;
    char line[256];
    bool is_well = true;
    while (file && is_well && fgets(line, sizeof line, file)) {
        char *end;
        uint64_t seed = strtoull(line, &end, 10);
        struct world_options world = settings->world;
        world.steps = (unsigned)strtoul(end, NULL, 10);
        if (end != line) is_well = world_run(seed, &world, totals);
    }
    if (file) fclose(file);
    return is_well;
}

static struct settings settings_of(int argc, char **argv) {
    struct settings settings = {.first = 1, .count = 300, .world = {.steps = 400}};
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "0";
        if (strcmp(argv[i], "--verbose") == 0) settings.world.is_verbose = true;
        if (strcmp(argv[i], "--collide-sweeps") == 0) settings.world.collides_sweeps = true;
        if (strcmp(argv[i], "--naive") == 0) settings.world.is_naive = true;
        if (strcmp(argv[i], "--skip-check") == 0) settings.world.skips_check = true;
        if (strcmp(argv[i], "--seeds") == 0) settings.count = strtoull(value, NULL, 10);
        if (strcmp(argv[i], "--seed") == 0) settings.first = strtoull(value, NULL, 10);
        if (strcmp(argv[i], "--steps") == 0) settings.world.steps = (unsigned)strtoul(value, NULL, 10);
        if (strcmp(argv[i], "--file") == 0) settings.file = value;
    }
    return settings;
}

int main(int argc, char **argv) {
    struct settings settings = settings_of(argc, argv);
    struct world_totals totals = {0};
    if (!run_file(&settings, &totals)) return 1;
    for (uint64_t i = 0; i < settings.count; i++)
        if (!world_run(settings.first + i, &settings.world, &totals)) return 1;
    printf(
        "%llu seeds, %llu answers, all as the model says; %llu pauses, %llu reads put off, %llu remembered answers, "
        "%llu pairs at once, %llu events heard, %llu missed, %llu lives known by them, %llu waited and were served, "
        "%llu loaded, %llu purges, %llu moments of another clock, "
        "%llu refused at max_bytes, %llu at max_memory, %llu at max_namespaces, %llu since too much was remembered\n",
        (unsigned long long)settings.count, (unsigned long long)totals.answers, (unsigned long long)totals.pauses,
        (unsigned long long)totals.rereads, (unsigned long long)totals.replays, (unsigned long long)totals.interleaved,
        (unsigned long long)totals.heard, (unsigned long long)totals.lagged, (unsigned long long)totals.lives,
        (unsigned long long)totals.granted, (unsigned long long)totals.loaded, (unsigned long long)totals.purges,
        (unsigned long long)totals.on_clock, (unsigned long long)totals.full[0], (unsigned long long)totals.full[1],
        (unsigned long long)totals.full[2], (unsigned long long)totals.busy);
    /* A pass that never went these ways has shown nothing about them. */
    bool is_thorough = totals.answers && totals.pauses && totals.rereads && totals.replays &&
                       (totals.interleaved || settings.world.is_naive) && (totals.granted || !totals.with_pools) &&
                       totals.let_in && totals.reused && totals.heard && totals.lagged && totals.lives &&
                       totals.purges && totals.on_clock && (totals.loaded || !totals.with_pools) && totals.full[0] &&
                       (totals.full[1] || settings.world.is_naive) && totals.full[2] && totals.busy;
    tally_print(&totals);
    if (settings.count < 100) return 0; /* too few to say what they leave out */
    return tally_is_whole(&totals) && is_thorough ? 0 : 1;
}
