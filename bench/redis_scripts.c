/* Redis: whole operations as EVALSHA of a script, atomic as sessiond's are. Secrets are hashed in the script by
 * redis.sha1hex: the nearest that Redis has, and cheaper than a keyed hash. See redis_scripts.h. */
#include "redis_scripts.h"

#include "resp.h"

#include <stdio.h>
#include <stdlib.h>

/* As sessiond's defaults. */
#define POOL_LIFETIME_MS "3000000"
#define SCORE_DECREMENT  "0.5"
#define SCORE_MAX        "3"
#define ROTATE_GRACE_MS  "10000"
#define SERVER_KEY       "0123456789abcdef0123456789abcdef" /* made up: rotate derives the new secret with it */
enum { EVALSHA_WORDS = 3 };

/* ---- requests */

static void begin_script(const struct driver_setup *setup, enum script script, unsigned keys, unsigned arguments,
                         struct template *template) {
    char count[12];
    snprintf(count, sizeof count, "%u", keys);
    resp_write_count(template, '*', EVALSHA_WORDS + keys + arguments);
    resp_write_word(template, "EVALSHA");
    resp_write_word(template, setup->script_hashes[script]);
    resp_write_word(template, count);
}

static void write_place(struct template *template, const char *prefix, enum place_source source, unsigned from,
                        unsigned size) {
    resp_write_count(template, '$', strlen(prefix) + size);
    template_text(template, prefix);
    template_place(template, source, (uint8_t)from, (uint8_t)size);
    template_text(template, "\r\n");
}

static void write_number(struct template *template, int64_t number) {
    char text[24];
    snprintf(text, sizeof text, "%lld", (long long)number);
    resp_write_word(template, text);
}

static void write_login(const struct driver_setup *setup, struct template *template) {
    begin_script(setup, SCRIPT_LOGIN, 2, 7, template);
    write_place(template, "s:", PLACE_FRESH, 0, KEY_ID_BYTES);
    write_place(template, "u:user-", PLACE_USER, 0, OWNER_BYTES);
    write_place(template, "", PLACE_FRESH, 0, KEY_ID_BYTES);
    write_place(template, "", PLACE_FRESH, SECRET_AT, SECRET_BYTES);
    write_place(template, "user-", PLACE_USER, 0, OWNER_BYTES);
    write_place(template, "client-", PLACE_CLIENT, 0, OWNER_BYTES);
    resp_write_value(setup, template);
    write_number(template, setup->idle_timeout_ms);
    write_number(template, SESSIONS_PER_USER_MAX);
}

static void write_validate(const struct driver_setup *setup, struct template *template) {
    begin_script(setup, SCRIPT_VALIDATE, 1, 2, template);
    write_place(template, "s:", PLACE_SUBJECT, 0, KEY_ID_BYTES);
    write_place(template, "", PLACE_SUBJECT, SECRET_AT, SECRET_BYTES);
    write_number(template, setup->idle_timeout_ms);
}

static void write_rotate(const struct driver_setup *setup, struct template *template) {
    begin_script(setup, SCRIPT_ROTATE, 1, 5, template);
    write_place(template, "s:", PLACE_SUBJECT, 0, KEY_ID_BYTES);
    write_place(template, "", PLACE_SUBJECT, 0, KEY_ID_BYTES);
    write_place(template, "", PLACE_SUBJECT, SECRET_AT, SECRET_BYTES);
    resp_write_word(template, SERVER_KEY);
    resp_write_word(template, ROTATE_GRACE_MS);
    write_number(template, setup->idle_timeout_ms);
}

static void write_logout(const struct driver_setup *setup, struct template *template) {
    begin_script(setup, SCRIPT_LOGOUT, 2, 1, template);
    write_place(template, "s:", PLACE_SUBJECT, 0, KEY_ID_BYTES);
    write_place(template, "u:user-", PLACE_USER, 0, OWNER_BYTES);
    write_place(template, "", PLACE_SUBJECT, 0, KEY_ID_BYTES);
}

/* The keys of a pool. */
static void write_pool_key(const struct driver_setup *setup, const char *prefix, struct template *template) {
    char key[sizeof setup->pool.name + 16];
    snprintf(key, sizeof key, "%s:%s", prefix, setup->pool.name);
    resp_write_word(template, key);
}

static bool is_by_use(const struct driver_setup *setup) {
    return strcmp(setup->pool.strategy, "least_used") == 0;
}

static bool has_order(const struct driver_setup *setup) {
    return is_by_use(setup) || strcmp(setup->pool.strategy, "least_recent") == 0 ||
           strcmp(setup->pool.strategy, "round_robin") == 0;
}

static void write_flag(struct template *template, bool flag) {
    resp_write_word(template, flag ? "1" : "0");
}

static void write_add(const struct driver_setup *setup, struct template *template) {
    begin_script(setup, SCRIPT_ADD, 2, 4, template);
    write_place(template, "p:" POOL_ID_PREFIX, PLACE_FRESH, 0, POOL_ID_RANDOM_BYTES);
    write_pool_key(setup, "free", template);
    write_place(template, POOL_ID_PREFIX, PLACE_FRESH, 0, POOL_ID_RANDOM_BYTES);
    resp_write_word(template, POOL_LIFETIME_MS);
    write_number(template, (int64_t)setup->pool.max_usage_count);
    write_flag(template, has_order(setup));
}

static void write_acquire(const struct driver_setup *setup, struct template *template) {
    bool is_ordered = has_order(setup);
    begin_script(setup, is_ordered ? SCRIPT_ACQUIRE_ORDERED : SCRIPT_ACQUIRE, 3, 6, template);
    write_pool_key(setup, "free", template);
    write_pool_key(setup, "leased", template);
    write_pool_key(setup, is_ordered ? "turn" : "last", template);
    write_number(template, (int64_t)setup->pool.size);
    write_number(template, (int64_t)setup->pool.max_usage_count);
    resp_write_word(template, POOL_LIFETIME_MS);
    write_number(template, setup->pool.lease_ms);
    write_place(template, POOL_ID_PREFIX, PLACE_FRESH, 0, POOL_ID_RANDOM_BYTES);
    resp_write_word(template, setup->pool.strategy);
}

static void write_mark(const struct driver_setup *setup, const char *outcome, bool is_counted,
                       struct template *template) {
    begin_script(setup, SCRIPT_MARK, 2, 6, template);
    write_place(template, "p:", PLACE_SUBJECT, 0, POOL_ID_BYTES);
    write_pool_key(setup, "free", template);
    write_place(template, "", PLACE_SUBJECT, 0, POOL_ID_BYTES);
    resp_write_word(template, outcome);
    write_flag(template, !is_counted);
    resp_write_word(template, SCORE_DECREMENT);
    resp_write_word(template, SCORE_MAX);
    write_flag(template, has_order(setup));
}

static void write_release(const struct driver_setup *setup, struct template *template) {
    begin_script(setup, SCRIPT_RELEASE, 3, 3, template);
    write_place(template, "p:", PLACE_SUBJECT, 0, POOL_ID_BYTES);
    write_pool_key(setup, "free", template);
    write_pool_key(setup, "leased", template);
    write_place(template, "", PLACE_SUBJECT, 0, POOL_ID_BYTES);
    write_flag(template, has_order(setup));
    write_flag(template, is_by_use(setup));
}

bool redis_make_whole(const struct driver_setup *setup, enum request request, struct template *template) {
    if (setup->script_hashes[0][0] == '\0') return false;
    switch (request) {
    case REQUEST_LOGIN: write_login(setup, template); break;
    case REQUEST_VALIDATE: write_validate(setup, template); break;
    case REQUEST_ROTATE: write_rotate(setup, template); break;
    case REQUEST_LOGOUT: write_logout(setup, template); break;
    case REQUEST_POOL_ADD: write_add(setup, template); break;
    case REQUEST_ACQUIRE: write_acquire(setup, template); break;
    case REQUEST_MARK: write_mark(setup, "good", false, template); break;
    case REQUEST_MARK_GOOD: write_mark(setup, "good", true, template); break;
    case REQUEST_MARK_BAD: write_mark(setup, "bad", true, template); break;
    case REQUEST_MARK_RETIRE: write_mark(setup, "retire", true, template); break;
    case REQUEST_RELEASE: write_release(setup, template); break;
    default: return false;
    }
    return true;
}

/* ---- replies */

/* The element of that number of an array of bulk strings and numbers; absent if there is none. */
static struct bytes element(struct bytes array, unsigned number) {
    const uint8_t *at = array.data, *end = array.data + array.size;
    long size = line_scan(array);
    if (size <= 0 || at[0] != '*') return BYTES_ABSENT;
    for (at += size; at < end; number--) {
        size = line_scan(bytes_of(at, (size_t)(end - at)));
        if (size <= 0) return BYTES_ABSENT;
        const uint8_t *text = at + 1;
        long text_size = size - 3, rest = 0;
        if (at[0] == '$') {
            text_size = strtol((const char *)at + 1, NULL, 10);
            if (text_size < 0) return BYTES_ABSENT;
            text = at + size;
            rest = text_size + 2;
        }
        if (number == 0) return bytes_of(text, (size_t)text_size);
        at += size + rest;
    }
    return BYTES_ABSENT;
}

/* -1 where it is no whole number. A reply's texts end in CR LF, so strtol stops in time. */
static long number_of(struct bytes text) {
    return text.size && text.data[0] >= '0' && text.data[0] <= '9' ? strtol((const char *)text.data, NULL, 10) : -1;
}

static const char *judge_token(const struct reply *reply, struct found *found) {
    if (reply->kind != REPLY_VALUE || reply->value.size != TOKEN_BYTES) return "no token is answered: ";
    found->subject = reply->value;
    return NULL;
}

static const char *judge_validate(const struct driver_setup *setup, const struct reply *reply, const uint8_t *id) {
    struct bytes data = element(reply->value, 3);
    if (data.size != setup->value_bytes) return "a token that must be valid is not: ";
    return id && !filling_is(data, id) ? "a validate does not answer the session's data: " : NULL;
}

static const char *judge_handed_out(const struct driver_setup *setup, enum request request, const struct reply *reply,
                                    struct found *found) {
    struct bytes id = element(reply->value, 0);
    if (id.size != POOL_ID_BYTES) return "no pool's session is answered: ";
    found->subject = id;
    if (request == REQUEST_POOL_ADD) return NULL;
    long usage = number_of(element(reply->value, 1));
    if (usage < 1) return "a hand-out is not counted: ";
    found->use = (uint64_t)usage;
    return (uint64_t)usage > setup->pool.max_usage_count ? "a session was handed out more often than it may be: "
                                                         : NULL;
}

const char *redis_judge(const struct driver_setup *setup, enum request request, const struct reply *reply,
                        const uint8_t *id, struct found *found) {
    switch (request) {
    case REQUEST_LOGIN:
    case REQUEST_ROTATE: return judge_token(reply, found);
    case REQUEST_VALIDATE: return judge_validate(setup, reply, id);
    case REQUEST_POOL_ADD:
    case REQUEST_ACQUIRE: return judge_handed_out(setup, request, reply, found);
    case REQUEST_MARK:
    case REQUEST_MARK_GOOD:
    case REQUEST_MARK_BAD: return number_of(element(reply->value, 0)) < 1 ? "a mark counts nothing: " : NULL;
    case REQUEST_MARK_RETIRE: return number_of(element(reply->value, 2)) == 1 ? NULL : "a mark does not retire: ";
    default: return reply->kind == REPLY_DONE ? NULL : "the answer is not 1: ";
    }
}

/* ---- setup */

static bool load_script(struct driver_setup *setup, enum script script, const struct endpoint *endpoint,
                        const struct driver *driver) {
    struct buf out = BUF_EMPTY, in = BUF_EMPTY;
    struct reply reply;
    char head[80], problem[256];
    size_t size = strlen(bench_scripts[script]);
    snprintf(head, sizeof head, "*3\r\n$6\r\nSCRIPT\r\n$4\r\nLOAD\r\n$%zu\r\n", size);
    buf_append(&out, head, strlen(head));
    buf_append(&out, bench_scripts[script], size);
    buf_append(&out, "\r\n", 2);
    bool is_fine = endpoint_ask(endpoint, driver, setup, buf_bytes(&out), &in, &reply, problem, sizeof problem) &&
                   reply.value.size == SCRIPT_HASH_BYTES;
    if (is_fine) memcpy(setup->script_hashes[script], reply.value.data, SCRIPT_HASH_BYTES);
    buf_fini(&out);
    buf_fini(&in);
    return is_fine;
}

void redis_load_scripts(struct driver_setup *setup, const struct endpoint *endpoint, const struct driver *driver) {
    bool is_fine = true;
    memset(setup->script_hashes, 0, sizeof setup->script_hashes);
    for (unsigned i = 0; is_fine && i < SCRIPT_COUNT; i++)
        is_fine = load_script(setup, (enum script)i, endpoint, driver);
    if (!is_fine) memset(setup->script_hashes, 0, sizeof setup->script_hashes);
}
