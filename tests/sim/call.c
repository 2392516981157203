/* Calls to bytes. Options are written in the order below, each only where it is given. */
#include "call.h"

#include "base/mp.h"
#include "wire/codec.h"

struct options {
    struct buf body;
    uint32_t count;
    uint64_t *chance;
};

static void write_text(struct buf *out, uint64_t *chance, const char *text) {
    if (chance_of(chance, 20))
        mp_write_bin(out, bytes_of_string(text));
    else
        mp_write_string(out, text);
}

static void write_number(struct buf *out, uint64_t *chance, int64_t value) {
    if (chance_of(chance, 20) && value > -(INT64_C(1) << 53) && value < (INT64_C(1) << 53))
        mp_write_double(out, (double)value);
    else
        mp_write_int(out, value);
}

static void option_name(struct options *options, const char *name) {
    write_text(&options->body, options->chance, name);
    options->count++;
}

static void option_text(struct options *options, const char *name, const struct text *text) {
    if (!text->is_given) return;
    option_name(options, name);
    if (text->is_nil)
        mp_write_nil(&options->body);
    else
        write_text(&options->body, options->chance, text->bytes);
}

static void option_string(struct options *options, const char *name, const char *text) {
    if (!text[0]) return;
    option_name(options, name);
    write_text(&options->body, options->chance, text);
}

static void option_number(struct options *options, const char *name, const struct number *number) {
    if (!number->is_given) return;
    option_name(options, name);
    if (number->is_nil)
        mp_write_nil(&options->body);
    else
        write_number(&options->body, options->chance, number->value);
}

static void option_uint(struct options *options, const char *name, bool is_given, uint64_t value) {
    if (!is_given) return;
    option_name(options, name);
    mp_write_uint(&options->body, value);
}

static void option_bool(struct options *options, const char *name, bool is_given, bool value) {
    if (!is_given) return;
    option_name(options, name);
    mp_write_bool(&options->body, value);
}

static void option_score(struct options *options, const char *name, const struct score *score) {
    if (!score->is_given) return;
    option_name(options, name);
    mp_write_double(&options->body, score->value);
}

static void option_blob(struct options *options, const char *name, const struct blob *blob) {
    if (!blob->is_given) return;
    option_name(options, name);
    if (blob->is_nil)
        mp_write_nil(&options->body);
    else
        mp_write_raw(&options->body, blob->value);
}

/* Names of the bits that are set: of fields or statuses. */
static void option_names(struct options *options, const char *name, uint64_t bits, const char *(*name_of)(unsigned)) {
    if (!bits) return;
    option_name(options, name);
    mp_write_array(&options->body, (uint32_t)__builtin_popcountll(bits));
    for (unsigned i = 0; i < 64; i++)
        if (bits >> i & 1) mp_write_string(&options->body, name_of(i));
}
static const char *name_of_field(unsigned field) {
    return field_name((enum field)field);
}
static const char *name_of_event(unsigned kind) {
    return event_name((enum event_kind)kind);
}
static const char *name_of_status(unsigned status) {
    return status_name((enum status)status);
}

static void option_timeouts(struct options *options, const struct call *call) {
    struct options members = {.body = BUF_EMPTY, .chance = options->chance};
    option_number(&members, "idle_timeout_ms", &call->idle);
    option_number(&members, "absolute_timeout_ms", &call->absolute);
    option_number(&members, "abandon_timeout_ms", &call->abandon);
    if (members.count) {
        option_name(options, "timeouts");
        mp_write_map(&options->body, members.count);
        mp_write_raw(&options->body, buf_bytes(&members.body));
    }
    buf_fini(&members.body);
}

static void write_ids(const struct call *call, uint64_t *chance, struct buf *out) {
    mp_write_array(out, call->id_count);
    for (unsigned i = 0; i < call->id_count; i++) write_text(out, chance, call->ids[i]);
}

static void option_ids(struct options *options, const char *name, const struct call *call) {
    if (!call->id_count) return;
    option_name(options, name);
    write_ids(call, options->chance, &options->body);
}

static void option_patch(struct options *options, const struct call *call) {
    struct buf *out = &options->body;
    if (call->set_count) {
        option_name(options, "set");
        mp_write_map(out, call->set_count);
        for (unsigned i = 0; i < call->set_count; i++)
            mp_write_string(out, call->set[i].key), mp_write_raw(out, call->set[i].value);
    }
    if (call->unset_count) {
        option_name(options, "unset");
        mp_write_array(out, call->unset_count);
        for (unsigned i = 0; i < call->unset_count; i++) write_text(out, options->chance, call->unset[i]);
    }
    if (!call->incr_count) return;
    option_name(options, "incr");
    mp_write_map(out, call->incr_count);
    for (unsigned i = 0; i < call->incr_count; i++) {
        mp_write_string(out, call->incr[i].key);
        call->incr[i].is_real ? mp_write_double(out, call->incr[i].real) : mp_write_int(out, call->incr[i].whole);
    }
}

static void option_cookie_text(struct options *options, const char *name, bool is_given, bool is_nil,
                               const struct cookie_text *text) {
    if (!is_given) return;
    option_name(options, name);
    is_nil ? mp_write_nil(&options->body) : mp_write_str(&options->body, bytes_of(text->text, text->size));
}

/* One of several words, or the bool that stands for it. */
static void write_word(struct buf *out, uint64_t *chance, const char *word, int as_bool) {
    if (as_bool >= 0 && chance_of(chance, 70))
        mp_write_bool(out, as_bool);
    else
        mp_write_string(out, word);
}

static void write_attributes(struct buf *out, uint64_t *chance, const struct cookie_attributes *attributes) {
    struct options members = {.body = BUF_EMPTY, .chance = chance};
    static const struct {
        const char *word;
        int as_bool;
    } sites[] = {[SAME_SITE_ABSENT] = {"", 0},
                 [SAME_SITE_STRICT] = {"strict", 1},
                 [SAME_SITE_LAX] = {"lax", -1},
                 [SAME_SITE_NONE] = {"none", -1},
                 [SAME_SITE_AUTO] = {"auto", -1}};
    static const char *const priorities[] = {"low", "medium", "high"};
    struct buf *body = &members.body;
    uint64_t given = attributes->given, nil = attributes->nil;
    option_cookie_text(&members, "name", given & COOKIE_ATTRIBUTES_NAME, nil & COOKIE_ATTRIBUTES_NAME,
                       &attributes->name);
    option_cookie_text(&members, "path", given & COOKIE_ATTRIBUTES_PATH, nil & COOKIE_ATTRIBUTES_PATH,
                       &attributes->path);
    option_cookie_text(&members, "domain", given & COOKIE_ATTRIBUTES_DOMAIN, nil & COOKIE_ATTRIBUTES_DOMAIN,
                       &attributes->domain);
    for (uint64_t bit = COOKIE_ATTRIBUTES_EXPIRES_AT; bit <= COOKIE_ATTRIBUTES_PARTITIONED; bit <<= 1) {
        static const char *const names[] = {"expires_at", "max_age_ms", "http_only",  "secure",
                                            "same_site",  "priority",   "partitioned"};
        if (!(given & bit)) continue;
        option_name(&members, names[__builtin_ctzll(bit / COOKIE_ATTRIBUTES_EXPIRES_AT)]);
        if (nil & bit)
            mp_write_nil(body);
        else if (bit == COOKIE_ATTRIBUTES_EXPIRES_AT)
            mp_write_int(body, attributes->expires_at);
        else if (bit == COOKIE_ATTRIBUTES_MAX_AGE_MS)
            mp_write_int(body, attributes->max_age_ms);
        else if (bit == COOKIE_ATTRIBUTES_HTTP_ONLY)
            mp_write_bool(body, attributes->http_only);
        else if (bit == COOKIE_ATTRIBUTES_PARTITIONED)
            mp_write_bool(body, attributes->partitioned);
        else if (bit == COOKIE_ATTRIBUTES_PRIORITY)
            mp_write_string(body, priorities[attributes->priority]);
        else if (bit == COOKIE_ATTRIBUTES_SECURE && attributes->secure == COOKIE_SECURE_AUTO)
            mp_write_string(body, "auto");
        else if (bit == COOKIE_ATTRIBUTES_SECURE)
            mp_write_bool(body, attributes->secure == COOKIE_SECURE_TRUE);
        else if (attributes->same_site == SAME_SITE_ABSENT)
            mp_write_bool(body, false);
        else
            write_word(body, chance, sites[attributes->same_site].word, sites[attributes->same_site].as_bool);
    }
    mp_write_map(out, members.count);
    mp_write_raw(out, buf_bytes(body));
    buf_fini(body);
}

static void option_cookie_policy(struct options *options, const struct call *call) {
    const struct policy_change *change = &call->change;
    struct buf *out = &options->body;
    if (change->given & POLICY_COOKIE) {
        option_name(options, "cookie");
        change->nil &POLICY_COOKIE ? mp_write_nil(out) : write_attributes(out, options->chance, &change->values.cookie);
    }
    if (!(change->given & POLICY_COOKIE_SECRETS)) return;
    option_name(options, "cookie_secrets");
    if (change->nil & POLICY_COOKIE_SECRETS) {
        mp_write_nil(out);
        return;
    }
    mp_write_array(out, call->secret_count);
    for (unsigned i = 0; i < call->secret_count; i++) write_text(out, options->chance, call->secrets[i]);
}

static void option_header(struct options *options, const struct call *call) {
    if (call->attributes)
        option_name(options, "attributes"), write_attributes(&options->body, options->chance, call->attributes);
    option_bool(options, "is_secure", call->is_secure, true);
    option_string(options, "name", call->cookie_name);
}

static void option_policy(struct options *options, const struct policy_change *change) {
    static const struct {
        const char *name;
        size_t offset;
    } durations[] = {{"idle_timeout_ms", offsetof(struct policy, idle_timeout_ms)},
                     {"absolute_timeout_ms", offsetof(struct policy, absolute_timeout_ms)},
                     {"max_idle_timeout_ms", offsetof(struct policy, max_idle_timeout_ms)},
                     {"max_absolute_timeout_ms", offsetof(struct policy, max_absolute_timeout_ms)},
                     {"abandon_timeout_ms", offsetof(struct policy, abandon_timeout_ms)},
                     {"retention_ms", offsetof(struct policy, retention_ms)},
                     {"tombstone_ms", offsetof(struct policy, tombstone_ms)},
                     {"touch_after_ms", offsetof(struct policy, touch_after_ms)}};
    static const char *const limit_policies[] = {"reject", "evict_oldest", "evict_idle"};
    for (unsigned i = 0; i < sizeof durations / sizeof durations[0]; i++) {
        int64_t value;
        memcpy(&value, (const char *)&change->values + durations[i].offset, sizeof value);
        struct number number = {change->given >> i & 1, change->nil >> i & 1, value};
        option_number(options, durations[i].name, &number);
    }
    option_bool(options, "slide", change->given & POLICY_SLIDE, change->values.slide);
    if (change->given & POLICY_BINDING_POLICY)
        option_string(options, "binding_policy",
                      change->values.binding_policy == BINDING_POLICY_REPORT ? "report" : "deny");
    if (change->given & change->nil & POLICY_HASH_IDS)
        option_name(options, "hash_ids"), mp_write_nil(&options->body);
    else
        option_bool(options, "hash_ids", change->given & POLICY_HASH_IDS, change->values.hash_ids);
    option_bool(options, "strict_ids", change->given & POLICY_STRICT_IDS, change->values.strict_ids);
    option_bool(options, "single_session", change->given & POLICY_SINGLE_SESSION, change->values.single_session);
    option_uint(options, "max_bytes", change->given & POLICY_MAX_BYTES, change->values.max_bytes);
    option_uint(options, "max_sessions", change->given & POLICY_MAX_SESSIONS, change->values.max_sessions);
    option_uint(options, "max_sessions_per_user", change->given & POLICY_MAX_SESSIONS_PER_USER,
                change->values.max_sessions_per_user);
    if (change->given & POLICY_SESSION_LIMIT_POLICY)
        option_string(options, "session_limit_policy", limit_policies[change->values.session_limit_policy]);
}

static void write_tags(struct options *options, unsigned tags) {
    char name[] = "t0";
    mp_write_array(&options->body, (uint32_t)__builtin_popcount(tags));
    for (unsigned i = 0; i < 8; i++) {
        name[1] = (char)('0' + i);
        if (tags >> i & 1) write_text(&options->body, options->chance, name);
    }
}

static void write_codes(struct buf *out, const struct status_codes *codes) {
    uint32_t count = 0;
    for (uint32_t code = 0; code < STATUS_CODE_END; code++) count += codes->bits[code / 64] >> (code % 64) & 1;
    mp_write_array(out, count);
    for (uint32_t code = 0; code < STATUS_CODE_END; code++)
        if (codes->bits[code / 64] >> (code % 64) & 1) mp_write_uint(out, code);
}

static const char *const strategies[] = {"random", "round_robin", "use_until_failure", "least_used", "least_recent"};
static const char *const makings[] = {"auto", "ask", "never"};

/* Entries that go back to their defaults; what is left of the change. */
static struct pool_policy_change option_pool_defaults(struct options *options, struct pool_policy_change change) {
    static const char *const names[] = {
        "max_pool_size",         "absolute_timeout_ms",  "idle_timeout_ms", "max_usage_count", "max_error_score",
        "error_score_decrement", "blocked_status_codes", "cooldown_ms",     "max_concurrent",  "strategy"};
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (change.given & change.nil & UINT64_C(1) << i) option_name(options, names[i]), mp_write_nil(&options->body);
    change.given &= ~change.nil;
    return change;
}

static void option_pool_policy(struct options *options, const struct pool_policy_change *asked) {
    const struct pool_policy_change left = option_pool_defaults(options, *asked), *change = &left;
    const struct pool_policy *values = &change->values;
    struct buf *out = &options->body;
    option_uint(options, "max_pool_size", change->given & POOL_POLICY_MAX_POOL_SIZE, values->max_pool_size);
    option_uint(options, "absolute_timeout_ms", change->given & POOL_POLICY_ABSOLUTE_TIMEOUT_MS,
                (uint64_t)values->absolute_timeout_ms);
    option_uint(options, "idle_timeout_ms", change->given & POOL_POLICY_IDLE_TIMEOUT_MS,
                (uint64_t)values->idle_timeout_ms);
    option_uint(options, "max_usage_count", change->given & POOL_POLICY_MAX_USAGE_COUNT, values->max_usage_count);
    if (change->given & POOL_POLICY_MAX_ERROR_SCORE)
        option_name(options, "max_error_score"), mp_write_double(out, values->max_error_score);
    if (change->given & POOL_POLICY_ERROR_SCORE_DECREMENT)
        option_name(options, "error_score_decrement"), mp_write_double(out, values->error_score_decrement);
    if (change->given & POOL_POLICY_BLOCKED_STATUS_CODES)
        option_name(options, "blocked_status_codes"), write_codes(out, &values->blocked_status_codes);
    option_uint(options, "cooldown_ms", change->given & POOL_POLICY_COOLDOWN_MS, (uint64_t)values->cooldown_ms);
    option_uint(options, "max_concurrent", change->given & POOL_POLICY_MAX_CONCURRENT, values->max_concurrent);
    if (change->given & POOL_POLICY_STRATEGY) option_string(options, "strategy", strategies[values->strategy]);
}

static void option_pool(struct options *options, const struct call *call) {
    option_text(options, "pool", &call->in_pool);
    if (call->has_strategy) option_string(options, "strategy", strategies[call->strategy]);
    if (call->making != POOL_CREATE_AUTO) option_string(options, "create", makings[call->making]);
    option_number(options, "lease_ms", &call->lease);
    option_number(options, "wait_ms", &call->wait);
    option_uint(options, "count", call->count > 0, call->count);
    if (call->has_tags) option_name(options, "tags"), write_tags(options, call->tags);
    option_uint(options, "use", call->use > 0, call->use);
    option_uint(options, "fence", call->fence > 0, call->fence);
    if (call->extra_code) {
        option_name(options, "extra_codes");
        mp_write_array(&options->body, 1), mp_write_uint(&options->body, call->extra_code);
    }
    option_number(options, "usage_count", &call->usage_count);
    option_number(options, "max_usage_count", &call->max_usage);
    option_number(options, "error_count", &call->error_count);
    option_score(options, "error_score", &call->score);
    option_score(options, "max_error_score", &call->max_score);
    option_score(options, "error_score_decrement", &call->decrement);
    option_bool(options, "force", call->force, true);
}

static const char *const proofs[] = {"user_agent", "address", "device_key"};

static void option_token(struct options *options, const struct call *call) {
    struct options bound = {.body = BUF_EMPTY, .chance = options->chance};
    bool binds = call->op == OP_SESSION_CREATE;
    for (unsigned i = 0; i < 3; i++) option_text(binds ? &bound : options, proofs[i], &call->proof[i]);
    if (bound.count) {
        option_name(options, "bind");
        mp_write_map(&options->body, bound.count);
        mp_write_raw(&options->body, buf_bytes(&bound.body));
    }
    buf_fini(&bound.body);
    option_bool(options, "token", call->token, true);
    option_bool(options, "pending", call->pending, true);
    option_bool(options, "slide", call->slide, true);
    option_bool(options, "allow_pending", call->allow_pending, true);
}

static const char *const modes[] = {"upsert", "create", "update", "if_version"};

static void write_options(struct options *options, const struct call *call) {
    if (call->op == OP_SESSION_CREATE || call->op == OP_POOL_ADD || call->op == OP_POOL_ACQUIRE)
        option_string(options, "id", call->id);
    if (call->op == OP_SERVER_HELLO) option_string(options, "namespace", call->namespace);
    option_bool(options, "touch", call->touch, true);
    option_bool(options, "public_only", call->public_only, true);
    if (call->op == OP_SERVER_HELLO) option_string(options, "client_name", call->client_name);
    option_bool(options, "include_dead", call->include_dead, true);
    option_bool(options, "revive", call->revive, true);
    option_bool(options, "create", call->create, true);
    option_bool(options, "keep_data", call->drops_data, false);
    option_bool(options, "restart_lifetime", call->restarts, true);
    option_bool(options, "extend", call->extends, true);
    option_string(options, "new_id", call->new_id);
    option_text(options, "user", &call->user);
    option_text(options, "client", &call->client);
    if (call->op == OP_SESSION_CREATE || call->op == OP_POOL_ADD) option_blob(options, "data", &call->data);
    option_blob(options, "meta", &call->meta);
    option_timeouts(options, call);
    option_number(options, "absolute_expires_at", &call->deadline);
    option_number(options, "created_at", &call->created_at);
    option_number(options, "extend_ms", &call->extend);
    option_number(options, "grace_ms", &call->grace);
    if (call->op == OP_SESSION_SET && call->mode != SET_MODE_UPSERT) option_string(options, "mode", modes[call->mode]);
    option_uint(options, call->op == OP_SESSION_GET ? "if_version" : "version", call->has_version, call->version);
    option_names(options, "fields", call->fields, name_of_field);
    option_names(options, "status", call->statuses, name_of_status);
    option_uint(options, "limit", call->limit > 0, call->limit);
    if (call->oldest_first) option_string(options, "order", "oldest");
    option_string(options, "prefix", call->prefix);
    option_string(options, "reason", call->reason);
    option_string(options, "by", call->by);
    if (call->op == OP_SESSION_REVOKE_ALL) option_ids(options, "except", call);
    option_patch(options, call);
    if (call->target == PATCH_TARGET_META) option_string(options, "target", "meta");
    if (!bytes_is_absent(call->cursor)) option_name(options, "cursor"), mp_write_str(&options->body, call->cursor);
    if (call->op == OP_CLIENT_ACTIVATE) option_string(options, "session", call->id);
    option_pool(options, call);
    option_token(options, call);
    option_header(options, call);
    if (call->enabled.is_given) {
        option_name(options, "enabled");
        call->enabled.is_nil ? mp_write_nil(&options->body) : mp_write_bool(&options->body, call->enabled.value);
    }
    option_number(options, "interval_ms", &call->interval);
    option_names(options, "kinds", call->kinds, name_of_event);
    option_bool(options, "data", call->wants_data, true);
    option_uint(options, "watch", call->watch > 0, call->watch);
    option_uint(options, "op_id", call->op_id != 0, call->op_id);
}

static bool has_namespace(enum op op) {
    return op > OP_SERVER_STATS && op != OP_NAMESPACE_LIST;
}
static bool has_id(enum op op) {
    return op == OP_SESSION_GET || op == OP_SESSION_TAKE || (op >= OP_SESSION_SET && op <= OP_SESSION_EXPIRE) ||
           (op >= OP_SESSION_ACTIVATE && op <= OP_SESSION_REPLACE) || (op >= OP_POOL_MARK && op <= OP_POOL_RENEW);
}
static bool has_pool(enum op op) {
    return (op >= OP_POOL_CONFIGURE && op <= OP_POOL_ACQUIRE) || op == OP_POOL_ADD || op == OP_POOL_STATE ||
           op == OP_POOL_LOAD;
}
static bool has_client(enum op op) {
    return op >= OP_CLIENT_GET && op <= OP_CLIENT_DESTROY;
}
static bool has_token(enum op op) {
    return op == OP_SESSION_VALIDATE || op == OP_SESSION_ROTATE;
}
static void write_token(struct buf *out, uint64_t *chance, const struct call *call) {
    char token[sizeof call->id + sizeof call->secret];
    size_t size = strlen(call->id);
    memcpy(token, call->id, size);
    token[size] = '.';
    strcpy(token + size + 1, call->secret);
    write_text(out, chance, token);
}
static bool has_value(enum op op) {
    return op >= OP_COOKIE_SIGN && op <= OP_COOKIE_HEADER;
}
/* The id, or what stands in its place. */
static void write_id(struct buf *out, uint64_t *chance, const struct call *call) {
    if (call->form == ID_PLAIN) {
        write_text(out, chance, call->id);
        return;
    }
    mp_write_map(out, 1);
    mp_write_string(out, call->form == ID_HANDLE ? "handle" : "cookie");
    write_text(out, chance, call->presented);
}
static void write_outcome(struct buf *out, struct mark_outcome outcome) {
    static const char *const names[] = {"good", "bad", "retire"};
    if (outcome.kind == MARK_STATUS_CODE)
        mp_write_uint(out, outcome.status_code);
    else
        mp_write_string(out, names[outcome.kind]);
}

void call_encode(const struct call *call, uint64_t *chance, struct buf *out) {
    struct options options = {.body = BUF_EMPTY, .chance = chance};
    if (call->op == OP_NAMESPACE_CONFIGURE)
        option_policy(&options, &call->change), option_cookie_policy(&options, call);
    else if (call->op == OP_POOL_CONFIGURE)
        option_pool_policy(&options, &call->pool_change);
    else
        write_options(&options, call);
    bool has_records = call->op == OP_POOL_LOAD, has_data = call->op == OP_SESSION_SET,
         has_ids = call->op == OP_SESSION_GET_MANY,
         has_policy = call->op == OP_NAMESPACE_CONFIGURE || call->op == OP_POOL_CONFIGURE;
    bool has_options = options.count > 0 || has_policy || chance_of(chance, 10);
    mp_write_array(out, call->is_notification ? 3 : 4);
    mp_write_uint(out, call->is_notification ? 2 : 0);
    if (!call->is_notification) mp_write_uint(out, call->msgid);
    if (chance_of(chance, 30))
        mp_write_uint(out, op_infos[call->op].wire_id);
    else
        mp_write_string(out, op_infos[call->op].method);
    bool takes_options = call->op != OP_SERVER_PING && call->op != OP_NAMESPACE_LIST &&
                         call->op != OP_NAMESPACE_DESCRIBE && call->op != OP_POOL_INFO && call->op != OP_POOL_RESET;
    mp_write_array(out,
                   (uint32_t)(has_namespace(call->op) + has_id(call->op) + has_pool(call->op) + has_client(call->op) +
                              has_token(call->op) + has_value(call->op) + (call->op == OP_POOL_MARK) + has_records +
                              has_data + has_ids + (has_options && takes_options)));
    if (has_namespace(call->op)) {
        if (call->is_default_namespace)
            mp_write_nil(out);
        else
            write_text(out, chance, call->namespace);
    }
    if (has_id(call->op)) write_id(out, chance, call);
    if (has_value(call->op)) write_text(out, chance, call->presented);
    if (has_pool(call->op)) write_text(out, chance, call->pool);
    if (has_token(call->op)) write_token(out, chance, call);
    if (has_client(call->op)) write_text(out, chance, call->client_name);
    if (call->op == OP_POOL_MARK) write_outcome(out, call->outcome);
    if (has_records) mp_write_raw(out, call->records);
    if (has_data) mp_write_raw(out, call->data.value);
    if (has_ids) write_ids(call, chance, out);
    if (has_options && takes_options) {
        mp_write_map(out, options.count);
        mp_write_raw(out, buf_bytes(&options.body));
    }
    buf_fini(&options.body);
}
