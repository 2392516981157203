/* The command line: one row per option in options.c, from which parsing and --help both come. */
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include "peer.h"

#include <stdio.h>

/* What an option that may be given several times was given. */
struct texts {
    const char *at[PEERS_MAX];
    unsigned count;
};

struct options {
    /* Texts point into argv or to constants. */
    const char *server, *address, *workload, *keys, *window, *namespace_name;
    const char *json, *hgrm, *svg, *html, *markdown;
    const char *only, *strategy; /* workload auth or scrape */
    const char *durability, *scratch;
    const char *axes; /* of growth */
    const char *cells, *servers, *sessiond, *redis, *memcached, *ceiling;
    struct texts peers; /* see peer.h */
    uint64_t sessions, connections, depth, threads, value_bytes, requests, seed, check_every, idle_timeout_ms;
    uint64_t pid, rounds, retries, server_core, probe_sessions, max_usage_count, lease_ms, watchers;
    uint64_t extra_rounds;
    uint64_t most_sessions, most_connections, most_per_user, most_value_bytes; /* growth: the last points of its axes */
    double patience_s;                                                         /* for repeating what was disturbed */
    double duration_s, warmup_s /* below 0: not given */, rate, expire_in_s, observe_s;
    bool is_numeric, is_data_only, is_deadline_explicit, is_load_skipped, is_spawned, is_quiet, is_help, is_version;
    bool compacts;
};

/* Fills in the defaults and then what argv says, from argv[1] on. False with a sentence on `err` for what is no option
 * or has an impossible value. */
bool options_parse(struct options *options, int argc, char **argv, FILE *err);

/* The first of the levels in --durability. */
enum level options_level(const struct options *options);

/* How long to warm up: what --warmup says, or what is usual where it was not given. */
uint64_t options_warmup_ns(const struct options *options, double usual_s);

void options_help(FILE *out);

#endif
