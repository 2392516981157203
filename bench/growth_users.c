/* More sessions of one user, and of one client: as many sessions in all at each point, in a namespace of its own, whose
 * limit is what each user has. Every answer is judged. See growth_run.h.
 *
 * The sessions of a user are numbered: those from `first` on, --most-per-user's point many, are alive. */
#include "growth_run.h"
#include "sessiond_values.h"
#include "stream.h"

#include <poll.h>
#include <stdlib.h>

enum { USERS_FACTOR = 10, USERS_AT_MOST_POINT = 10, BATCH = 16, LOGINS = 2000, CURSOR_BYTES = 64 };
enum { SLEEP_MS = 3 };
enum { PAGE_LARGE = 1000, PAGE_SMALL = 100, CLIENT_PAGE = 1000 };

/* What is under way for one user of a batch. */
struct seat {
    uint64_t user, session;
    uint64_t listed;
    char cursor[CURSOR_BYTES]; /* empty: none */
};

struct users_run {
    struct growth *growth;
    struct growth_axis *axis;
    struct growth_server server;
    struct stream stream;
    struct buf request;
    unsigned point;
    uint64_t per_user, user_count;
    uint64_t *first; /* by user */
    uint64_t page;   /* of the lists */
    struct seat seats[BATCH];
    char namespace_name[32];
};

/* How a request is written for a seat, and its answer judged. */
struct ask {
    void (*write)(struct users_run *run, const struct seat *seat, struct buf *out);
    bool (*judge)(const struct users_run *run, struct seat *seat, const struct reply *reply);
};

/* ---- requests */

static void write_name(struct buf *out, const char *prefix, uint64_t number) {
    char name[40];
    snprintf(name, sizeof name, "%s-%llu", prefix, (unsigned long long)number);
    mp_write_string(out, name);
}

static void write_id(const struct users_run *run, const struct seat *seat, struct buf *out) {
    uint8_t id[KEY_ID_BYTES];
    key_id(run->growth->options->seed, seat->user << 32 | seat->session, id);
    mp_write_str(out, bytes_of(id, sizeof id));
}

static void begin(const struct users_run *run, const char *method, uint32_t parameters, struct buf *out) {
    mp_write_string(out, method);
    mp_write_array(out, parameters);
    mp_write_string(out, run->namespace_name);
}

static void write_fields(struct buf *out) {
    mp_write_string(out, "fields");
    mp_write_array(out, 1);
    mp_write_string(out, "id");
}

static void write_create(struct users_run *run, const struct seat *seat, struct buf *out) {
    begin(run, "session.create", 2, out);
    mp_write_map(out, 4);
    mp_write_string(out, "id");
    write_id(run, seat, out);
    mp_write_string(out, "user");
    write_name(out, "user", seat->user);
    mp_write_string(out, "client");
    write_name(out, "client", seat->user);
    write_fields(out);
}

static void write_destroy(struct users_run *run, const struct seat *seat, struct buf *out) {
    begin(run, "session.destroy", 2, out);
    write_id(run, seat, out);
}

static void write_of_user(struct users_run *run, const struct seat *seat, const char *method, struct buf *out) {
    begin(run, method, 2, out);
    mp_write_map(out, 1);
    mp_write_string(out, "user");
    write_name(out, "user", seat->user);
}

static void write_count(struct users_run *run, const struct seat *seat, struct buf *out) {
    write_of_user(run, seat, "session.count", out);
}

static void write_revoke_all(struct users_run *run, const struct seat *seat, struct buf *out) {
    write_of_user(run, seat, "session.revoke_all", out);
}

static void write_client(struct users_run *run, const struct seat *seat, struct buf *out) {
    begin(run, "client.get", 3, out);
    write_name(out, "client", seat->user);
    mp_write_map(out, 1);
    write_fields(out);
}

static void write_list(struct users_run *run, const struct seat *seat, struct buf *out) {
    begin(run, "session.list", 2, out);
    mp_write_map(out, 3 + (seat->cursor[0] != '\0'));
    mp_write_string(out, "user");
    write_name(out, "user", seat->user);
    mp_write_string(out, "limit");
    mp_write_uint(out, run->page);
    write_fields(out);
    if (!seat->cursor[0]) return;
    mp_write_string(out, "cursor");
    mp_write_string(out, seat->cursor);
}

/* ---- answers */

static uint64_t items_in(struct bytes array) {
    if (bytes_is_absent(array)) return 0;
    struct mp_cursor cursor = mp_cursor_of(array);
    uint32_t count = mp_read_array(&cursor);
    return cursor.error == MP_OK ? count : 0;
}

static bool is_number(const struct reply *reply, uint64_t number) {
    struct mp_cursor cursor = mp_cursor_of(reply->value);
    return mp_read_int(&cursor, 0, INT64_MAX) == (int64_t)number && cursor.error == MP_OK;
}

static bool judge_create(const struct users_run *run, struct seat *seat, const struct reply *reply) {
    (void)run, (void)seat;
    return reply->kind == REPLY_VALUE;
}

static bool judge_destroy(const struct users_run *run, struct seat *seat, const struct reply *reply) {
    (void)run, (void)seat;
    return reply->kind == REPLY_DONE;
}

static bool judge_all(const struct users_run *run, struct seat *seat, const struct reply *reply) {
    (void)seat;
    return is_number(reply, run->per_user);
}

static bool judge_client(const struct users_run *run, struct seat *seat, const struct reply *reply) {
    (void)seat;
    uint64_t expected = run->per_user < CLIENT_PAGE ? run->per_user : CLIENT_PAGE;
    return items_in(sessiond_find(reply->value, "sessions")) == expected;
}

/* Counts, and keeps the cursor. */
static bool judge_page(const struct users_run *run, struct seat *seat, const struct reply *reply) {
    (void)run;
    struct bytes cursor = sessiond_text(sessiond_find(reply->value, "cursor"));
    seat->listed += items_in(sessiond_find(reply->value, "sessions"));
    seat->cursor[0] = '\0';
    if (bytes_is_absent(cursor) || cursor.size >= CURSOR_BYTES) return bytes_is_absent(cursor);
    memcpy(seat->cursor, cursor.data, cursor.size);
    seat->cursor[cursor.size] = '\0';
    return true;
}

static const struct ask ask_create = {write_create, judge_create}, ask_destroy = {write_destroy, judge_destroy},
                        ask_count = {write_count, judge_all}, ask_revoke_all = {write_revoke_all, judge_all},
                        ask_client = {write_client, judge_client}, ask_list = {write_list, judge_page};

/* ---- plays */

struct judging {
    const struct users_run *run;
    const struct ask *ask;
    struct seat *seats[BATCH];
};

static bool judge_reply(void *context, const struct reply *reply) {
    struct judging *judging = context;
    return reply->number < BATCH && judging->ask->judge(judging->run, judging->seats[reply->number], reply);
}

static void add(struct users_run *run, const struct ask *ask, const struct seat *seat) {
    uint32_t number = run->stream.added;
    buf_clear(&run->request);
    buf_append(&run->request, (uint8_t[]){0x94, 0x00, (uint8_t)number}, 3);
    ask->write(run, seat, &run->request);
    stream_add_bytes(&run->stream, buf_bytes(&run->request));
}

/* Asks for the first `count` seats at once. */
static bool play_seats(struct users_run *run, const struct ask *ask, unsigned count) {
    struct judging judging = {.run = run, .ask = ask};
    for (unsigned i = 0; i < count; i++) {
        judging.seats[i] = &run->seats[i];
        add(run, ask, &run->seats[i]);
    }
    run->stream.on_reply = judge_reply;
    run->stream.context = &judging;
    return stream_play(&run->stream, run->growth->problem);
}

/* Once for each user. */
static bool play_users(struct users_run *run, const struct ask *ask) {
    for (uint64_t user = 0; user < run->user_count;) {
        unsigned count = 0;
        for (; count < BATCH && user < run->user_count; count++) run->seats[count] = (struct seat){.user = user++};
        if (!play_seats(run, ask, count)) return false;
    }
    return true;
}

/* Every user's list, page by page, to its end. */
static bool play_lists(struct users_run *run) {
    for (uint64_t user = 0; user < run->user_count;) {
        unsigned count = 0;
        for (; count < BATCH && user < run->user_count; count++) run->seats[count] = (struct seat){.user = user++};
        while (count > 0) {
            if (!play_seats(run, &ask_list, count)) return false;
            unsigned left = 0;
            for (unsigned i = 0; i < count; i++) {
                if (run->seats[i].cursor[0])
                    run->seats[left++] = run->seats[i];
                else if (run->seats[i].listed != run->per_user)
                    return growth_refuse(run->growth, "a list has not all of a user's sessions");
            }
            count = left;
        }
    }
    return true;
}

/* So many of each user's sessions, from number `skip` on of those that are alive, users in turn. */
static bool play_sessions(struct users_run *run, const struct ask *ask, uint64_t skip, uint64_t count) {
    unsigned filled = 0;
    for (uint64_t i = 0; i < count; i++)
        for (uint64_t user = 0; user < run->user_count; user++) {
            run->seats[filled++] = (struct seat){.user = user, .session = run->first[user] + skip + i};
            if (filled < BATCH) continue;
            if (!play_seats(run, ask, filled)) return false;
            filled = 0;
        }
    return filled == 0 || play_seats(run, ask, filled);
}

/* Each login finds its user at the limit and ends one of the others. */
static bool play_logins(struct users_run *run, uint64_t count) {
    uint64_t user = 0;
    for (uint64_t done = 0; done < count;) {
        unsigned filled = 0;
        for (; filled < BATCH && done < count; filled++, done++, user = (user + 1) % run->user_count)
            run->seats[filled] = (struct seat){.user = user, .session = run->per_user + run->first[user]++};
        if (!play_seats(run, &ask_create, filled)) return false;
    }
    return true;
}

/* ---- a point in a round */

static bool configure(struct users_run *run, const char *limit_policy) {
    struct buf out = BUF_EMPTY, in = BUF_EMPTY;
    struct reply reply;
    buf_append(&out, (uint8_t[]){0x94, 0x00, 0x01}, 3);
    begin(run, "namespace.configure", 2, &out);
    mp_write_map(&out, 4);
    mp_write_string(&out, "max_sessions_per_user");
    mp_write_uint(&out, run->per_user);
    mp_write_string(&out, "session_limit_policy");
    mp_write_string(&out, limit_policy);
    /* Nothing is kept of what has ended: what is measured is the living. */
    mp_write_string(&out, "retention_ms");
    mp_write_uint(&out, 0);
    mp_write_string(&out, "tombstone_ms");
    mp_write_uint(&out, 0);
    struct target *target = &run->server.target;
    bool is_fine = endpoint_ask(&target->endpoint, target->driver, &target->setup, buf_bytes(&out), &in, &reply,
                                run->growth->problem, sizeof run->growth->problem);
    buf_fini(&out);
    buf_fini(&in);
    return is_fine;
}

/* The scheduler counts what a thread has used when it next leaves its core: the server is to sleep again first. */
static uint64_t cpu_ns(const struct users_run *run) {
    poll(NULL, 0, SLEEP_MS);
    return process_cpu_ns(run->server.process.pid);
}

/* Notes what was used since `from_ns` by so many operations, each of which did `work`. */
static void note(struct users_run *run, const char *name, uint64_t work, uint64_t operations, uint64_t from_ns) {
    double used_ns = (double)(cpu_ns(run) - from_ns);
    growth_note(run->axis, run->point, name, "ns", work ? "session" : NULL, work ? (double)work : 1,
                used_ns / (double)operations);
}

static bool measure_reads(struct users_run *run) {
    uint64_t from_ns = cpu_ns(run);
    run->page = PAGE_LARGE;
    if (!play_lists(run)) return false;
    note(run, "list", run->per_user, run->user_count, from_ns);
    run->page = PAGE_SMALL;
    from_ns = cpu_ns(run);
    if (!play_lists(run)) return false;
    note(run, "list by 100", run->per_user, run->user_count, from_ns);
    from_ns = cpu_ns(run);
    if (!play_users(run, &ask_count)) return false;
    note(run, "count", run->per_user, run->user_count, from_ns);
    from_ns = cpu_ns(run);
    if (!play_users(run, &ask_client)) return false;
    note(run, "client.get", run->per_user < CLIENT_PAGE ? run->per_user : CLIENT_PAGE, run->user_count, from_ns);
    return true;
}

static bool measure_limits(struct users_run *run) {
    static const char *const policies[][2] = {{"evict_oldest", "create, evict_oldest"},
                                              {"evict_idle", "create, evict_idle"}};
    uint64_t logins = run->user_count * run->per_user < LOGINS ? run->user_count * run->per_user : LOGINS;
    for (unsigned i = 0; i < 2; i++) {
        if (!configure(run, policies[i][0])) return false;
        uint64_t from_ns = cpu_ns(run);
        if (!play_logins(run, logins)) return false;
        note(run, policies[i][1], 0, logins, from_ns);
    }
    return true;
}

/* All sessions come, are asked for, and end: once together, once one by one. */
static bool play_point(struct users_run *run) {
    uint64_t total = run->user_count * run->per_user, from_ns;
    snprintf(run->namespace_name, sizeof run->namespace_name, "users-%llu", (unsigned long long)run->per_user);
    memset(run->first, 0, run->user_count * sizeof *run->first);
    if (!configure(run, "evict_oldest")) return false;
    from_ns = cpu_ns(run);
    if (!play_sessions(run, &ask_create, 0, run->per_user)) return false;
    note(run, "create", 0, total, from_ns);
    if (!measure_reads(run) || !measure_limits(run)) return false;
    from_ns = cpu_ns(run);
    if (!play_users(run, &ask_revoke_all)) return false;
    note(run, "revoke_all", run->per_user, run->user_count, from_ns);
    memset(run->first, 0, run->user_count * sizeof *run->first);
    if (!play_sessions(run, &ask_create, 0, run->per_user)) return false;
    from_ns = cpu_ns(run);
    if (!play_sessions(run, &ask_destroy, 0, run->per_user)) return false;
    note(run, "destroy", 0, total, from_ns);
    return true;
}

static bool play_rounds(struct users_run *run, uint64_t total) {
    for (unsigned round = 0; round < run->growth->rounds; round++)
        for (unsigned turn = 0; turn < run->axis->point_count; turn++) {
            run->point = (turn + round) % run->axis->point_count;
            run->per_user = run->axis->points[run->point];
            run->user_count = total / run->per_user;
            if (!play_point(run)) return false;
        }
    return true;
}

bool growth_users(struct growth *growth, struct growth_axis *axis) {
    uint64_t most = growth->options->most_per_user, total = most * USERS_AT_MOST_POINT;
    struct users_run run = {.growth = growth,
                            .axis = axis,
                            .server = {.process = {.said_fd = -1}},
                            .stream = {.fd = -1},
                            .request = BUF_EMPTY,
                            .first = calloc(total, sizeof *run.first)};
    growth_points(axis, 1, USERS_FACTOR, most);
    bool is_fine = run.first && growth_server_open(growth, &run.server, "sessiond", growth->options->value_bytes) &&
                   stream_open(&run.stream, &run.server.target, growth->problem) && play_rounds(&run, total);
    stream_close(&run.stream);
    growth_server_close(&run.server);
    buf_fini(&run.request);
    free(run.first);
    return is_fine;
}
