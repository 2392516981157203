/* See options.h. */
#define _GNU_SOURCE
#include "options.h"

#include "growth.h"
#include "workload.h"

#include <getopt.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>

enum option_type { OPTION_TEXT, OPTION_TEXTS, OPTION_COUNT, OPTION_NUMBER, OPTION_FLAG };

struct option_row {
    const char *name;
    enum option_type type;
    size_t place;
    double min, max; /* of counts and numbers */
    const char *argument, *help;
};

#define PLACE(member) offsetof(struct options, member)
#define BIG           9e15 /* below 2^53: exact as a double */

static const struct option_row rows[] = {
    {"server", OPTION_TEXT, PLACE(server), 0, 0, "NAME", "sessiond, redis, memcached or echo (default sessiond)"},
    {"address", OPTION_TEXT, PLACE(address), 0, 0, "ADDR", "host:port or the path of a Unix socket (127.0.0.1:7420)"},
    {"spawn", OPTION_FLAG, PLACE(is_spawned), 0, 0, NULL, "start the server, as compare does, and end it afterwards"},
    {"workload", OPTION_TEXT, PLACE(workload), 0, 0, "NAME", "see below (default get)"},
    {"only", OPTION_TEXT, PLACE(only), 0, 0, "KIND",
     "of auth: validate, rotate or login; of scrape: acquire or mark; nothing else is done then"},
    {"strategy", OPTION_TEXT, PLACE(strategy), 0, 0, "NAME",
     "scrape: random (default), round_robin, least_recent, least_used or use_until_failure"},
    {"max-usage", OPTION_COUNT, PLACE(max_usage_count), 1, 1e12, "N", "scrape: hand-outs of a session (default 50)"},
    {"lease-ms", OPTION_COUNT, PLACE(lease_ms), 0, 3600000, "MS",
     "scrape: each hand-out is exclusive, and released after its mark (default 0: none)"},
    {"sessions", OPTION_COUNT, PLACE(sessions), 1, 4e9, "N",
     "sessions in the server, or in the pool (default 1m in compare, restart, snapshot, memory and tail, 100k "
     "otherwise)"},
    {"connections", OPTION_COUNT, PLACE(connections), 1, 60000, "C", "connections (default 50)"},
    {"depth", OPTION_COUNT, PLACE(depth), 1, 16384, "D", "operations under way on each connection (default 1)"},
    {"threads", OPTION_COUNT, PLACE(threads), 1, 64, "T", "threads of the generator (default 1)"},
    {"value-bytes", OPTION_COUNT, PLACE(value_bytes), VALUE_BYTES_MIN, VALUE_BYTES_MAX, "B",
     "data of a session (default 300)"},
    {"duration", OPTION_NUMBER, PLACE(duration_s), 0, 1e6, "S", "seconds to measure (default 5, in compare 1.1)"},
    {"requests", OPTION_COUNT, PLACE(requests), 0, BIG, "N", "operations to measure, instead of --duration"},
    {"warmup", OPTION_NUMBER, PLACE(warmup_s), 0, 1e6, "S",
     "seconds before that, not counted (default 0.5, in compare 0.25)"},
    {"rate", OPTION_NUMBER, PLACE(rate), 0, 1e9, "R",
     "operations a second, begun at fixed times whatever the server does (default: as many as it takes, in snapshot "
     "and tail 20k)"},
    {"window", OPTION_TEXT, PLACE(window), 0, 0, "HOW",
     "batch: D requests, then D replies (default); slide: each reply makes room at once"},
    {"keys", OPTION_TEXT, PLACE(keys), 0, 0, "HOW", "uniform, zipf or latest (default: the workload's)"},
    {"seed", OPTION_COUNT, PLACE(seed), 0, BIG, "N", "names the sessions and their order (default 1)"},
    {"check-every", OPTION_COUNT, PLACE(check_every), 0, 1 << 30, "N",
     "compare the data of one reply in N, a power of two; 0 is none (default 16)"},
    {"idle-timeout-ms", OPTION_COUNT, PLACE(idle_timeout_ms), 1000, 315576000000.0, "MS",
     "the deadline of a session (default 1800000)"},
    {"namespace", OPTION_TEXT, PLACE(namespace_name), 0, 0, "NAME", "sessiond: where the sessions are (default bench)"},
    {"numeric", OPTION_FLAG, PLACE(is_numeric), 0, 0, NULL,
     "sessiond: the numbers of server.hello instead of method names"},
    {"data-only", OPTION_FLAG, PLACE(is_data_only), 0, 0, NULL,
     "sessiond: gets ask for the field data, not the whole record"},
    {"explicit-deadline", OPTION_FLAG, PLACE(is_deadline_explicit), 0, 0, NULL,
     "sessiond: each set says its timeout, as the others must"},
    {"no-load", OPTION_FLAG, PLACE(is_load_skipped), 0, 0, NULL, "the sessions are there already"},
    {"pid", OPTION_COUNT, PLACE(pid), 1, 4194304, "PID", "the server's process, to measure its CPU time and memory"},
    {"json", OPTION_TEXT, PLACE(json), 0, 0, "FILE", "write all figures as JSON"},
    {"hgrm", OPTION_TEXT, PLACE(hgrm), 0, 0, "FILE",
     "write the latencies in HdrHistogram's percentile format, in microseconds"},
    {"svg", OPTION_TEXT, PLACE(svg), 0, 0, "FILE", "draw the latencies, or what was compared"},
    {"html", OPTION_TEXT, PLACE(html), 0, 0, "FILE", "the same in a page of its own, with the figures"},
    {"markdown", OPTION_TEXT, PLACE(markdown), 0, 0, "FILE", "compare: write what was compared as tables for a README"},
    {"quiet", OPTION_FLAG, PLACE(is_quiet), 0, 0, NULL, "no progress line"},
    {"expire-in", OPTION_NUMBER, PLACE(expire_in_s), 1, 86400, "S",
     "expire: seconds from the start of the load to the second in which all end (default 10 + 10 per million)"},
    {"observe", OPTION_NUMBER, PLACE(observe_s), 1, 86400, "S", "expire: seconds to go on after that (default 10)"},
    {"probe-sessions", OPTION_COUNT, PLACE(probe_sessions), 1, 1e9, "N",
     "expire: sessions that stay and are read meanwhile (default 10k)"},
    {"watchers", OPTION_COUNT, PLACE(watchers), 1, 1000, "N", "watch: how many watch where many do (default 100)"},
    {"rounds", OPTION_COUNT, PLACE(rounds), 1, 1000, "N",
     "compare, watch, restart, snapshot, tail, growth: how often each cell or case is measured (default 3)"},
    {"axes", OPTION_TEXT, PLACE(axes), 0, 0, "LIST",
     "growth: which of sessions,connections,users,values (default all)"},
    {"most-sessions", OPTION_COUNT, PLACE(most_sessions), 100, 100e6, "N",
     "growth: the most sessions; measured beside a tenth and a hundredth of them (default 10m, some 5 GB)"},
    {"most-connections", OPTION_COUNT, PLACE(most_connections), 1, 19000, "N",
     "growth: the most connections, after 1, 100 ... (default 10k)"},
    {"most-per-user", OPTION_COUNT, PLACE(most_per_user), 1, 100000, "N",
     "growth: the most sessions of one user and client, after 1, 10, 100 ... (default 10k)"},
    {"most-value-bytes", OPTION_COUNT, PLACE(most_value_bytes), 100, 1000000, "B",
     "growth: the largest value, after 100, 1,000 ... (default 100k)"},
    {"cells", OPTION_TEXT, PLACE(cells), 0, 0, "LIST",
     "compare: workload:depth, workload:depth:connections or workload:depth:connections:durability, with commas; "
     "workload@N for a pool of N sessions; goals and table (the default) are lists of such cells"},
    {"servers", OPTION_TEXT, PLACE(servers), 0, 0, "LIST",
     "compare: which of sessiond,sessiond-2,sessiond-libuv,redis,memcached,ceiling; sessiond-2 has two loops, "
     "sessiond-libuv does without io_uring (default all but that)"},
    {"durability", OPTION_TEXT, PLACE(durability), 0, 0, "LIST",
     "none, everysec or always, of servers that are started (default none); compare takes several, with commas, and "
     "starts each server once for each"},
    {"scratch", OPTION_TEXT, PLACE(scratch), 0, 0, "DIR",
     "where servers that keep their data get a directory, which is removed at the end (default /var/tmp)"},
    {"compaction", OPTION_FLAG, PLACE(compacts), 0, 0, NULL,
     "let them write all anew when their logs have grown, as they do by default; else logs only grow"},
    {"retries", OPTION_COUNT, PLACE(retries), 0, 100, "N",
     "compare: how often a disturbed measurement is repeated at once (default 2)"},
    {"extra-rounds", OPTION_COUNT, PLACE(extra_rounds), 0, 100, "N",
     "compare: how many rounds are added for cells that have fewer quiet ones than --rounds (default 2)"},
    {"patience", OPTION_NUMBER, PLACE(patience_s), 0, 1e6, "S",
     "compare: seconds to spend on both kinds of repetition, all in all (default 120)"},
    {"server-core", OPTION_COUNT, PLACE(server_core), 0, 1023, "N",
     "compare: the core that the servers run on (default 0)"},
    {"sessiond", OPTION_TEXT, PLACE(sessiond), 0, 0, "PATH", "compare: the program (default: beside this one)"},
    {"redis", OPTION_TEXT, PLACE(redis), 0, 0, "PATH", "compare: redis-server, or one of its kin"},
    {"memcached", OPTION_TEXT, PLACE(memcached), 0, 0, "PATH", "compare: memcached"},
    {"ceiling", OPTION_TEXT, PLACE(ceiling), 0, 0, "PATH", "compare: sessiond-ceiling (default: beside this one)"},
    {"peer", OPTION_TEXTS, PLACE(peers), 0, 0, "NAME:PROTOCOL:COMMAND",
     "compare: another server, which speaks resp (Redis) or meta (memcached) and is started by this command, with "
     "{port} for its port: 'valkey:resp:valkey-server --port {port}'. NAME/everysec and NAME/always keep their data "
     "in {dir}. May be given several times"},
    {"help", OPTION_FLAG, PLACE(is_help), 0, 0, NULL, "this text"},
    {"version", OPTION_FLAG, PLACE(is_version), 0, 0, NULL, "the version"},
};
enum { ROW_COUNT = sizeof rows / sizeof *rows };
enum { ROW_FIRST = 256 }; /* what getopt_long answers for the first: behind the ':' and '?' of what it refuses */

static const struct options defaults = {
    .server = "sessiond",
    .address = "127.0.0.1:7420",
    .workload = "get",
    .window = "batch",
    .namespace_name = "bench",
    .strategy = "random",
    .max_usage_count = 50,
    .watchers = 100,
    .servers = "sessiond,sessiond-2,redis,memcached,ceiling",
    .durability = "none",
    .scratch = "/var/tmp",
    .redis = "redis-server",
    .memcached = "memcached",
    .connections = 50,
    .depth = 1,
    .threads = 1,
    .value_bytes = 300,
    .seed = 1,
    .check_every = 16,
    .idle_timeout_ms = 1800000,
    .rounds = 3,
    .retries = 2,
    .extra_rounds = 2,
    .patience_s = 120,
    .probe_sessions = 10000,
    .warmup_s = -1,
    .observe_s = 10,
    .axes = "sessions,connections,users,values",
    .most_sessions = 10000000,
    .most_connections = 10000,
    .most_per_user = 10000,
    .most_value_bytes = 100000,
};

/* A number with k, m or g for thousands, millions, thousands of millions. */
static bool parse_number(const char *text, double *value) {
    char *rest;
    *value = strtod(text, &rest);
    if (rest == text) return false;
    if (*rest == 'k')
        *value *= 1e3, rest++;
    else if (*rest == 'm')
        *value *= 1e6, rest++;
    else if (*rest == 'g')
        *value *= 1e9, rest++;
    return *rest == '\0' && isfinite(*value);
}

static bool take_text(struct texts *texts, const struct option_row *row, const char *text, FILE *err) {
    bool has_room = texts->count < PEERS_MAX;
    if (has_room) texts->at[texts->count++] = text;
    if (!has_room) fprintf(err, "sessiond-bench: --%s may be given %d times\n", row->name, PEERS_MAX);
    return has_room;
}

static bool take_option(struct options *options, const struct option_row *row, const char *text, FILE *err) {
    void *place = (char *)options + row->place;
    double value;
    if (row->type == OPTION_TEXTS) return take_text(place, row, text, err);
    if (row->type == OPTION_FLAG) return *(bool *)place = true;
    if (row->type == OPTION_TEXT) return *(const char **)place = text, true;
    bool is_number = parse_number(text, &value) && (row->type == OPTION_NUMBER || value == floor(value));
    if (!is_number || value < row->min || value > row->max) {
        fprintf(err, "sessiond-bench: --%s takes a number from %.15g to %.15g, not '%s'\n", row->name, row->min,
                row->max, text);
        return false;
    }
    if (row->type == OPTION_COUNT)
        *(uint64_t *)place = (uint64_t)value;
    else
        *(double *)place = value;
    return true;
}

static bool is_one_of(const char *text, const char *const *names) {
    while (*names && strcmp(text, *names) != 0) names++;
    return *names != NULL;
}

/* --only names a workload of its own. */
static const char *check_only(const struct options *options) {
    static const char *const of_auth[] = {"validate", "rotate", "login", NULL};
    static const char *const of_scrape[] = {"acquire", "mark", NULL};
    if (!options->only) return NULL;
    if (strcmp(options->workload, "auth") == 0 && is_one_of(options->only, of_auth)) return NULL;
    if (strcmp(options->workload, "scrape") == 0 && is_one_of(options->only, of_scrape)) return NULL;
    return "--only is validate, rotate or login with --workload auth, acquire or mark with --workload scrape";
}

static const char *check_durability(const struct options *options) {
    char list[64];
    enum level level;
    const char *problem = "--durability is none, everysec or always, or several of them with commas";
    if ((size_t)snprintf(list, sizeof list, "%s", options->durability) >= sizeof list) return problem;
    for (char *rest = list, *name; (name = strsep(&rest, ","));)
        if (!level_find(name, &level)) return problem;
    return NULL;
}

enum level options_level(const struct options *options) {
    char first[16];
    enum level level = LEVEL_NONE;
    snprintf(first, sizeof first, "%.*s", (int)strcspn(options->durability, ","), options->durability);
    level_find(first, &level);
    return level;
}

/* Each is one, and no other server has its name. */
static bool check_peers(const struct options *options, FILE *err) {
    struct peer peers[PEERS_MAX];
    struct server_recipe recipe;
    const char *problem;
    for (unsigned i = 0; i < options->peers.count; i++) {
        struct peer *peer = &peers[i];
        bool is_fine = peer_parse(peer, options->peers.at[i], &problem);
        if (is_fine && recipe_find(&recipe, peer->name, LEVEL_NONE, options)) problem = "that server is known already";
        for (unsigned other = 0; is_fine && other < i; other++)
            if (strcmp(peers[other].name, peer->name) == 0 && peers[other].level == peer->level)
                problem = "there is another one of that name";
        if (!problem) continue;
        fprintf(err, "sessiond-bench: --peer '%s': %s\n", options->peers.at[i], problem);
        return false;
    }
    return true;
}

uint64_t options_warmup_ns(const struct options *options, double usual_s) {
    return (uint64_t)((options->warmup_s < 0 ? usual_s : options->warmup_s) * 1e9);
}

static bool check_together(const struct options *options, FILE *err) {
    static const char *const strategies[] = {"random",     "round_robin",       "least_recent",
                                             "least_used", "use_until_failure", NULL};
    const char *problem = check_only(options);
    if (!problem) problem = check_durability(options);
    if (!is_one_of(options->strategy, strategies))
        problem = "--strategy is random, round_robin, least_recent, least_used or use_until_failure";
    if (!growth_axes_known(options->axes))
        problem = "--axes is sessions, connections, users or values, or several of them with commas";
    if (options->check_every & (options->check_every - 1)) problem = "--check-every must be a power of two, or 0";
    if (options->threads > options->connections) problem = "--threads must not be above --connections";
    if (strcmp(options->window, "batch") != 0 && strcmp(options->window, "slide") != 0)
        problem = "--window is batch or slide";
    if (options->namespace_name[0] == '\0' || strlen(options->namespace_name) > 64)
        problem = "--namespace takes 1 to 64 bytes";
    if (problem) fprintf(err, "sessiond-bench: %s\n", problem);
    return !problem;
}

bool options_parse(struct options *options, int argc, char **argv, FILE *err) {
    struct option known[ROW_COUNT + 1] = {{0}};
    for (int i = 0; i < ROW_COUNT; i++) {
        int has_argument = rows[i].type == OPTION_FLAG ? no_argument : required_argument;
        known[i] = (struct option){rows[i].name, has_argument, NULL, ROW_FIRST + i};
    }
    *options = defaults;
    optind = 0;
    opterr = 0;
    for (int row; (row = getopt_long(argc, argv, ":", known, NULL)) != -1;) {
        if (row == ':' || row == '?') {
            fprintf(err, "sessiond-bench: %s '%s'; --help lists the options\n",
                    row == ':' ? "an argument is missing after" : "no such option", argv[optind - 1]);
            return false;
        }
        if (!take_option(options, &rows[row - ROW_FIRST], optarg, err)) return false;
    }
    if (optind < argc) fprintf(err, "sessiond-bench: what is '%s'? --help lists the options\n", argv[optind]);
    if (optind < argc || !check_together(options, err) || !check_peers(options, err)) return false;
    if (options->only) options->workload = options->only;
    return true;
}

void options_help(FILE *out) {
    fputs("sessiond-bench [run] [options]      loads sessions and measures one workload\n"
          "sessiond-bench compare [options]    starts sessiond, Redis and memcached and measures them in turn\n"
          "                                    (with --workload auth or scrape: whole operations, against Redis' "
          "scripts)\n"
          "sessiond-bench watch [options]      measures what a set costs sessiond with 0, 1 and 100 watchers\n"
          "sessiond-bench restart [options]    measures how sessiond comes back from its log and from a snapshot\n"
          "sessiond-bench snapshot [options]   measures what requests feel of snapshots that are made meanwhile\n"
          "sessiond-bench memory [options]     measures what sessions take, as they come, change in size and end\n"
          "sessiond-bench tail [options]       measures what gets feel of expiry, growth, floods and snapshots\n"
          "sessiond-bench growth [options]     measures how cost grows with sessions, connections, a user's sessions "
          "and values\n\n"
          "Counts may end in k, m or g.\n\n",
          out);
    for (int i = 0; i < ROW_COUNT; i++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, rows[i].argument ? " " : "",
                 rows[i].argument ? rows[i].argument : "");
        fprintf(out, "  %-26s %s\n", left, rows[i].help);
    }
    fputs("\nWorkloads:\n", out);
    for (unsigned i = 0; i < workload_count; i++) fprintf(out, "  %-10s %s\n", workloads[i].name, workloads[i].story);
    fputs(
        "  load       fills the server and ends\n"
        "  expire     all sessions end within one second, while others are read\n\n"
        "Exit status: 0 all was answered as it must be; 1 it could not be measured; 2 bad options; 3 errors, missing\n"
        "sessions or wrong data among the replies.\n",
        out);
}
