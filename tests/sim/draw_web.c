/* Drawing what browsers bring: clients, cookies, and what may stand in the place of an id. */
#include "world.h"

#include <stdio.h>
#include <string.h>

static uint64_t below(struct world *world, uint64_t bound) {
    return chance_below(&world->chance, bound);
}
static bool of(struct world *world, unsigned percent) {
    return chance_of(&world->chance, percent);
}

static const struct namespace_model *namespace_of(const struct world *world, const struct call *call) {
    return &world->model.namespaces[model_namespace(&world->model, call->namespace)];
}

/* ---------------------------------------------------------------- clients */

void draw_client(struct world *world, struct call *call) {
    const struct model *model = &world->model;
    const struct record *chosen = NULL;
    for (unsigned i = 0; i < model->record_count; i++) {
        const struct record *record = &model->records[i];
        if (!record->client[0] || strcmp(model->namespaces[record->namespace].name, call->namespace)) continue;
        if (!chosen || below(world, 3) == 0) chosen = record;
    }
    call->fields = call->op == OP_CLIENT_DESTROY ? 0 : draw_fields(world, true);
    snprintf(call->client_name, sizeof call->client_name, "c%u", (unsigned)below(world, 3));
    if (chosen && of(world, 85)) strcpy(call->client_name, chosen->client);
    if (chosen && of(world, 70)) strcpy(call->id, chosen->id);
    if (call->op == OP_CLIENT_ACTIVATE && of(world, 3)) call->id[0] = 0;
}

/* ---------------------------------------------------------------- cookies */

static void draw_cookie_text(struct world *world, struct cookie_text *text, const char *const texts[4]) {
    const char *chosen = texts[below(world, 4)];
    text->size = (uint8_t)strlen(chosen);
    memcpy(text->text, chosen, text->size);
}

static void draw_attributes(struct world *world, struct cookie_attributes *attributes) {
    static const char *const names[] = {"sid", "__Host-id", "n", "x.y"}, *const bad_names[] = {"", "a b", "sid", ""},
                             *const paths[] = {"/", "/app", "", "/a/b"},
                             *const domains[] = {"example.org", ".example.org", "", "a-b.c"},
                             *const bad_domains[] = {"-a.org", "-", "-x", "-1"};
    memset(attributes, 0, sizeof *attributes);
    attributes->given = below(world, 1024) & below(world, 1024);
    attributes->nil = attributes->given & below(world, 1024) & below(world, 1024) & below(world, 1024);
    draw_cookie_text(world, &attributes->name, of(world, 95) ? names : bad_names);
    draw_cookie_text(world, &attributes->path, paths);
    draw_cookie_text(world, &attributes->domain, of(world, 95) ? domains : bad_domains);
    attributes->expires_at =
        of(world, 10) ? (int64_t)below(world, 3000) - 1000 : (int64_t)below(world, UINT64_C(1) << 42);
    attributes->max_age_ms = of(world, 15) ? 0 : (int64_t)below(world, UINT64_C(1) << 34);
    attributes->http_only = of(world, 50);
    attributes->secure = (enum cookie_secure)below(world, 3);
    attributes->same_site = (enum same_site)below(world, 5);
    attributes->priority = (enum cookie_priority)below(world, 3);
    attributes->partitioned = of(world, 50);
}

void draw_secrets(struct world *world, struct call *call) {
    call->change.given |= POLICY_COOKIE_SECRETS;
    if (of(world, 15)) call->change.nil |= POLICY_COOKIE_SECRETS;
    call->secret_count = 1 + (unsigned)below(world, SECRETS_OF_COOKIES_MAX);
    for (unsigned i = 0; i < call->secret_count; i++)
        snprintf(call->secrets[i], sizeof call->secrets[i], "cat %u", (unsigned)below(world, 4));
}

void draw_cookie_policy(struct world *world, struct call *call) {
    struct policy_change *change = &call->change;
    if (of(world, 50)) draw_secrets(world, call);
    if (!of(world, 30)) return;
    change->given |= POLICY_COOKIE;
    if (of(world, 15)) change->nil |= POLICY_COOKIE;
    draw_attributes(world, &change->values.cookie);
}

/* Every character that is no letter, or every one, as a browser or a careless proxy may send it. */
static void encode_url(struct world *world, char *text) {
    char encoded[COOKIE_TEXT_MAX] = "", *out = encoded;
    bool is_all = of(world, 20);
    for (const char *at = text; *at; at++) {
        bool is_letter = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') || (*at >= '0' && *at <= '9');
        out += is_letter && !is_all ? sprintf(out, "%c", *at) : sprintf(out, of(world, 50) ? "%%%02x" : "%%%02X", *at);
    }
    strcpy(text, encoded);
}

/* The value signed with one of the namespace's secrets, or nearly. */
static void draw_signed(struct world *world, const struct call *call, const char *value, char *text) {
    const struct namespace_model *namespace = namespace_of(world, call);
    bool is_ours = namespace->secret_count && of(world, 90);
    cookie_sign(is_ours ? namespace->secrets[below(world, namespace->secret_count)] : "cat 9", value, text);
    if (of(world, 8)) text[below(world, strlen(text))] ^= 1;
    if (of(world, 3)) text[below(world, strlen(text))] = 0;
    if (of(world, 30)) encode_url(world, text);
}

static const char *keep(struct world *world, const char *text) {
    return (const char *)model_copy(&world->model, bytes_of(text, strlen(text) + 1)).data;
}

static void draw_cookie_value(struct world *world, const struct call *call, char *value) {
    static const char *const values[] = {"", ".", "a.b", "s:x.y", "a b/c", "100%", "~!*'()", "%41"};
    strcpy(value, of(world, 60) ? call->id : values[below(world, 8)]);
}

void draw_cookie(struct world *world, struct call *call) {
    static const char *const names[] = {"", "sid", "other", "a b"};
    char value[ID_TEXT_MAX], text[COOKIE_TEXT_MAX];
    draw_cookie_value(world, call, value);
    strcpy(text, value);
    if (call->op == OP_COOKIE_UNSIGN && of(world, 95)) draw_signed(world, call, value, text);
    call->presented = keep(world, text);
    if (call->op != OP_COOKIE_HEADER) return;
    call->is_secure = of(world, 60);
    if (of(world, 40)) strcpy(call->cookie_name, names[below(world, of(world, 90) ? 3 : 4)]);
    if (!of(world, 60)) return;
    struct cookie_attributes *attributes = model_alloc(&world->model, sizeof *attributes);
    draw_attributes(world, attributes);
    call->attributes = attributes;
}

/* ---------------------------------------------------------------- in place of an id */

void draw_hashing(struct world *world, struct call *call, bool is_first) {
    struct policy_change *change = &call->change;
    if (!world->has_hashed || !of(world, !is_first ? 20 : world->has_pools ? 35 : 70)) return;
    bool is_hashed = namespace_of(world, call)->policy.hash_ids;
    change->given |= POLICY_HASH_IDS;
    change->values.hash_ids = is_first || of(world, 30) ? of(world, 80) : is_hashed;
    if (of(world, 5)) change->nil |= POLICY_HASH_IDS;
}

static bool takes_handle(enum op op) {
    return op == OP_SESSION_DESTROY || (op >= OP_SESSION_ACTIVATE && op <= OP_SESSION_REPLACE);
}

static void draw_handle(struct world *world, struct call *call) {
    char handle[HANDLE_SIZE + 1];
    handle_of_id(&world->model, call->id, handle);
    call->form = ID_HANDLE;
    call->presented = keep(world, of(world, 95) ? handle : call->id);
}

void draw_form(struct world *world, struct call *call) {
    char text[COOKIE_TEXT_MAX];
    call->form = ID_PLAIN;
    bool is_hashed = namespace_of(world, call)->policy.hash_ids;
    if (world->has_hashed && takes_handle(call->op) && of(world, is_hashed ? 50 : 3)) draw_handle(world, call);
    if (world->has_hashed && call->op == OP_SESSION_GET) call->public_only = of(world, 15);
    bool takes_cookie = call->op == OP_SESSION_GET || call->op == OP_SESSION_TOUCH;
    if (takes_cookie && world->has_cookies && of(world, 40)) {
        call->form = ID_COOKIE;
        draw_signed(world, call, call->id, text);
        call->presented = keep(world, text);
    }
}
