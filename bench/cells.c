/* See cells.h. */
#define _GNU_SOURCE
#include "cells.h"

#include <stdio.h>
#include <stdlib.h>

#define AT_THREE_DEPTHS(name) name ":1," name ":16," name ":64"
#define STORE_WITH(connections)                                                                                        \
    "get:1:" connections ",get:16:" connections ",get:64:" connections ",get_touch:1:" connections                     \
    ",get_touch:16:" connections ",get_touch:64:" connections ",set:1:" connections ",set:16:" connections             \
    ",set:64:" connections ",mix:1:" connections ",mix:16:" connections ",mix:64:" connections

/* Lists of cells that have a name: all that is measured of a store, and what a goal is set for (goals.c). */
static const struct {
    const char *name, *cells;
} lists[] = {
    {"table", STORE_WITH("50") "," STORE_WITH("1000") ",set:1:50:everysec,set:16:50:everysec,set:64:50:everysec,"
                                                      "mix:16:50:everysec"},
    {"goals", "get:1:50,get:16:50,get:64:50,get_touch:16:50,set:16:50,set:64:50,mix:16:50,get:1:1000,"
              "set:16:50:everysec"},
};

static const char *const auth_cells = AT_THREE_DEPTHS("auth") ",validate:16,rotate:16,login:16";
/* What has to be kept, alone and with reads between. */
static const char *const kept_cells = "set:1,set:16,mix:16,get:16";
/* A pool of one size against one a hundred times as large: what a hand-out costs must not tell them apart. */
static const char *const pool_cells = AT_THREE_DEPTHS("scrape@1000") ",scrape@100000:16,acquire@1000:16,"
                                                                     "acquire@100000:16,mark@1000:16,mark@100000:16";
enum { POOL_SIZE_DEFAULT = 1000, POOL_SIZE_MAX = 10000000, CONNECTIONS_MAX = 19000, LIST_BYTES = 4096 };

/* What is compared where no cells are given: the whole table, or what the workload is made of. */
static const char *cells_of(const struct options *options, char *text, size_t size) {
    if (options->cells) return options->cells;
    if (strcmp(options->workload, "auth") == 0) return auth_cells;
    if (strcmp(options->workload, "scrape") == 0) return pool_cells;
    if (!options->only) return strcmp(options->durability, "none") == 0 ? "table" : kept_cells;
    const struct workload *workload = workload_find(options->only);
    const char *name = options->only;
    if (workload->family == FAMILY_POOL)
        snprintf(text, size, "%s@1000:1,%s@1000:16,%s@100000:1,%s@100000:16", name, name, name, name);
    else
        snprintf(text, size, "%s:1,%s:16,%s:64", name, name, name);
    return text;
}

static bool parse_cell(struct cell *cell, const char *text, const struct options *options) {
    char name[32], level_name[16];
    unsigned depth = 1, connections = (unsigned)options->connections, pool_size = POOL_SIZE_DEFAULT;
    int used = 0, more = 0;
    enum level level;
    if (sscanf(text, "%31[a-z_-]%n@%u%n", name, &used, &pool_size, &used) < 1) return false;
    bool has_level =
        sscanf(text + used, ":%u%n:%u%n:%15[a-z]%n", &depth, &more, &connections, &more, level_name, &more) == 3;
    if (has_level && !level_find(level_name, &level)) return false;
    cell->workload = workload_find(name);
    cell->depth = depth;
    cell->connections = connections;
    cell->level = has_level ? level : LEVEL_ANY;
    if (!cell->workload || text[used + more] != '\0') return false;
    bool is_pool = cell->workload->family == FAMILY_POOL;
    cell->pool_size = is_pool ? pool_size : 0;
    return depth >= 1 && depth <= CONN_DEPTH_MAX && connections >= 1 && connections <= CONNECTIONS_MAX &&
           pool_size >= 1 && pool_size <= POOL_SIZE_MAX && (is_pool || !strchr(text, '@'));
}

static bool cell_has_room(const struct comparison *comparison, const struct cell *cell) {
    struct plan plan = comparison->plan;
    plan.depth = cell->depth;
    plan.connections = cell->connections;
    return workload_has_room(cell->workload, cell->pool_size ? cell->pool_size : plan.session_count, &plan,
                             comparison->options);
}

/* A cell that a list has too is measured once. */
static bool is_there(const struct comparison *comparison, const struct cell *cell) {
    for (unsigned i = 0; i < comparison->cell_count; i++) {
        const struct cell *other = &comparison->cells[i];
        if (other->workload == cell->workload && other->depth == cell->depth && other->level == cell->level &&
            other->connections == cell->connections && other->pool_size == cell->pool_size)
            return true;
    }
    return false;
}

static bool add_cell(struct comparison *comparison, const char *text) {
    if (comparison->cell_count == CELLS_MAX) {
        fprintf(stderr, "sessiond-bench: --cells takes %d cells, and '%s' is one more\n", CELLS_MAX, text);
        return false;
    }
    struct cell *cell = &comparison->cells[comparison->cell_count];
    if (!parse_cell(cell, text, comparison->options)) {
        fprintf(stderr,
                "sessiond-bench: '%s' is no cell; a cell is workload:depth, workload:depth:connections or "
                "workload:depth:connections:durability, and workload@N:depth for a pool of N sessions\n",
                text);
        return false;
    }
    if (is_there(comparison, cell)) return true;
    comparison->cell_count++;
    return cell_has_room(comparison, cell);
}

static bool add_list(struct comparison *comparison, const char *cells) {
    char list[LIST_BYTES];
    if ((size_t)snprintf(list, sizeof list, "%s", cells) >= sizeof list) {
        fprintf(stderr, "sessiond-bench: --cells takes less than %d bytes\n", LIST_BYTES);
        return false;
    }
    for (char *rest = list, *text; (text = strsep(&rest, ","));)
        if (!add_cell(comparison, text)) return false;
    return true;
}

/* Puts the cells of a list where its name stands. */
static bool unfold(const char *cells, char *out, size_t size) {
    char list[LIST_BYTES];
    size_t used = 0;
    if ((size_t)snprintf(list, sizeof list, "%s", cells) >= sizeof list) return false;
    for (char *rest = list, *text; (text = strsep(&rest, ","));) {
        const char *put = text;
        for (unsigned i = 0; i < sizeof lists / sizeof *lists; i++)
            if (strcmp(lists[i].name, text) == 0) put = lists[i].cells;
        used += (size_t)snprintf(out + used, size - used, "%s%s", used ? "," : "", put);
        if (used >= size) return false;
    }
    return true;
}

bool cells_parse(struct comparison *comparison) {
    char made[128], list[LIST_BYTES];
    comparison->cells = calloc(CELLS_MAX, sizeof *comparison->cells);
    if (!comparison->cells || !unfold(cells_of(comparison->options, made, sizeof made), list, sizeof list)) {
        fprintf(stderr, "sessiond-bench: --cells takes less than %d bytes\n", LIST_BYTES);
        return false;
    }
    return add_list(comparison, list);
}
