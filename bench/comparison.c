/* See comparison.h. */
#include "comparison.h"

#include "figures.h"

static const double ceiling_limit = 1.15;

struct column {
    double values[ROUNDS_MAX];
    unsigned count;
};

static size_t place_of(enum figure figure) {
    static const size_t places[] = {[FIGURE_CPU] = offsetof(struct sample, cpu_ns),
                                    [FIGURE_RATE] = offsetof(struct sample, rate),
                                    [FIGURE_P999] = offsetof(struct sample, p999_us)};
    return places[figure];
}

static double member(const struct sample *sample, size_t place) {
    return *(const double *)((const char *)sample + place);
}

int contender_find(const struct comparison *comparison, enum role role, enum level level) {
    for (unsigned i = 0; i < comparison->contender_count; i++)
        if (comparison->contenders[i].role == role && comparison->contenders[i].level == level) return (int)i;
    return -1;
}

bool cell_has_level(const struct comparison *comparison, const struct cell *cell, enum level level) {
    return cell->level == LEVEL_ANY ? comparison->is_level[level] : cell->level == (unsigned)level;
}

/* ---- what counts */

static bool was_ceiling_slow(const struct comparison *comparison, const struct cell *cell, unsigned round) {
    int ceiling = contender_find(comparison, ROLE_CEILING, LEVEL_NONE);
    if (ceiling < 0) return false;
    const struct sample *samples = cell->samples[ceiling];
    double least_ns = samples[round].cpu_ns;
    if (!samples[round].is_taken || samples[round].is_disturbed) return false;
    for (unsigned i = 0; i < cell->rounds; i++)
        if (samples[i].is_taken && !samples[i].is_disturbed && samples[i].cpu_ns < least_ns)
            least_ns = samples[i].cpu_ns;
    return samples[round].cpu_ns > ceiling_limit * least_ns;
}

bool sample_is_quiet(const struct comparison *comparison, const struct cell *cell, unsigned contender, unsigned round) {
    const struct sample *sample = &cell->samples[contender][round];
    return sample->is_taken && !sample->is_disturbed && !was_ceiling_slow(comparison, cell, round);
}

struct noise comparison_noise(const struct comparison *comparison) {
    struct noise noise = {0};
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *cell = &comparison->cells[i];
        if (cell->rounds > comparison->rounds) noise.extra_rounds += cell->rounds - comparison->rounds;
        for (unsigned contender = 0; contender < comparison->contender_count; contender++)
            for (unsigned round = 0; round < cell->rounds; round++) {
                const struct sample *sample = &cell->samples[contender][round];
                noise.samples += sample->is_taken;
                noise.repeated += sample->attempts > 1;
                noise.noisy += sample->is_taken && !sample_is_quiet(comparison, cell, contender, round);
            }
    }
    return noise;
}

/* ---- one contender in one cell */

/* Which rounds of a contender the figures are taken from. */
static void choose_rounds(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                          struct summary *summary, bool chosen[ROUNDS_MAX]) {
    for (unsigned i = 0; i < cell->rounds; i++) {
        chosen[i] = sample_is_quiet(comparison, cell, contender, i);
        summary->rounds += cell->samples[contender][i].is_taken;
        summary->noisy += cell->samples[contender][i].is_taken && !chosen[i];
    }
    if (summary->noisy < summary->rounds) return;
    for (unsigned i = 0; i < cell->rounds; i++) chosen[i] = cell->samples[contender][i].is_taken;
}

static struct column column_of(const struct cell *cell, unsigned contender, const bool *chosen, size_t place) {
    struct column column = {.count = 0};
    for (unsigned i = 0; i < cell->rounds; i++)
        if (chosen[i]) column.values[column.count++] = member(&cell->samples[contender][i], place);
    return column;
}

static void find_extremes(const struct column *column, double *min, double *max) {
    *min = *max = column->values[0];
    for (unsigned i = 1; i < column->count; i++) {
        if (column->values[i] < *min) *min = column->values[i];
        if (column->values[i] > *max) *max = column->values[i];
    }
}

#define MEDIAN(member)                                                                                                 \
    (column = column_of(cell, contender, chosen, offsetof(struct sample, member)),                                     \
     figures_median(column.values, column.count))

bool summarize_cell(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                    struct summary *summary) {
    bool chosen[ROUNDS_MAX] = {false};
    struct column column;
    *summary = (struct summary){0};
    choose_rounds(comparison, cell, contender, summary, chosen);
    if (summary->rounds == 0) return false;
    summary->rate = MEDIAN(rate);
    summary->p50_us = MEDIAN(p50_us);
    summary->p99_us = MEDIAN(p99_us);
    summary->p999_us = MEDIAN(p999_us);
    summary->server_share = MEDIAN(server_share);
    summary->generator_share = MEDIAN(generator_share);
    summary->reply_bytes = MEDIAN(reply_bytes);
    summary->request_bytes = MEDIAN(request_bytes);
    summary->cpu_ns = MEDIAN(cpu_ns);
    find_extremes(&column, &summary->cpu_min_ns, &summary->cpu_max_ns);
    return true;
}

/* ---- two against each other */

/* One of the two sides of a ratio: a contender in a cell. */
struct side {
    const struct cell *cell;
    unsigned contender;
};

static struct column pair_ratios(const struct comparison *comparison, struct side left, struct side right, size_t place,
                                 bool is_quiet_only) {
    struct column column = {.count = 0};
    for (unsigned i = 0; i < left.cell->rounds && i < right.cell->rounds; i++) {
        const struct sample *above = &left.cell->samples[left.contender][i];
        const struct sample *below = &right.cell->samples[right.contender][i];
        bool are_quiet = sample_is_quiet(comparison, left.cell, left.contender, i) &&
                         sample_is_quiet(comparison, right.cell, right.contender, i);
        if (!above->is_taken || !below->is_taken || (is_quiet_only && !are_quiet)) continue;
        if (member(below, place) > 0) column.values[column.count++] = member(above, place) / member(below, place);
    }
    return column;
}

static struct ratio ratio_of(const struct comparison *comparison, struct side left, struct side right, size_t place) {
    struct ratio ratio = {0};
    struct column ratios = pair_ratios(comparison, left, right, place, true);
    if (ratios.count == 0) ratios = pair_ratios(comparison, left, right, place, false);
    if (ratios.count == 0) return ratio;
    ratio.median = figures_median(ratios.values, ratios.count);
    ratio.rounds = ratios.count;
    find_extremes(&ratios, &ratio.min, &ratio.max);
    return ratio;
}

struct ratio compare_pair(const struct comparison *comparison, const struct cell *cell, unsigned contender,
                          unsigned other, enum figure figure) {
    return ratio_of(comparison, (struct side){cell, contender}, (struct side){cell, other}, place_of(figure));
}

struct ratio compare_cells(const struct comparison *comparison, unsigned contender, const struct cell *cell,
                           const struct cell *other) {
    return ratio_of(comparison, (struct side){cell, contender}, (struct side){other, contender}, place_of(FIGURE_CPU));
}

bool are_compared(const struct comparison *comparison, unsigned contender, unsigned other) {
    const struct contender *left = &comparison->contenders[contender], *right = &comparison->contenders[other];
    bool is_less_kept = strcmp(left->server, right->server) == 0 && right->level == LEVEL_NONE;
    return contender != other && (left->level == right->level || is_less_kept);
}

/* ---- names */

const char *cell_title(const struct cell *cell) {
    static char title[128];
    char pool[40] = "";
    bool has_level = cell->level != LEVEL_ANY;
    if (cell->pool_size) snprintf(pool, sizeof pool, " from a pool of %llu", (unsigned long long)cell->pool_size);
    snprintf(title, sizeof title, "%s%s, depth %u, %u connections%s%s", cell->workload->name, pool, cell->depth,
             cell->connections, has_level ? ", " : "", has_level ? level_names[cell->level] : "");
    return title;
}
