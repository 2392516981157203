/* Cookies in the model: signing, verifying and the header, written from the protocol's page and not from the server's
 * files. The HMAC is libsodium's; base64, URL-encoding and the header are done here, character by character. */
#include "base/mp.h"
#include "parts.h"

#include <ctype.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---------------------------------------------------------------- signatures */

void write_base64(const uint8_t bytes[32], char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (unsigned bit = 0; bit < 256; bit += 6) {
        unsigned value = 0;
        for (unsigned i = bit; i < bit + 6; i++) value = value << 1 | (i < 256 ? bytes[i / 8] >> (7 - i % 8) & 1 : 0);
        *out++ = digits[value];
    }
    *out = 0;
}

void cookie_sign(const char *secret, const char *value, char *out) {
    crypto_auth_hmacsha256_state state;
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    char text[48];
    crypto_auth_hmacsha256_init(&state, (const uint8_t *)secret, strlen(secret));
    crypto_auth_hmacsha256_update(&state, (const uint8_t *)value, strlen(value));
    crypto_auth_hmacsha256_final(&state, mac);
    write_base64(mac, text);
    sprintf(out, "s:%s.%s", value, text);
}

/* What stands between "s:" and the last dot, if signing it again gives the same. -1: it does not. */
static int verify_raw(const struct namespace_model *namespace, const char *presented, char *value) {
    const char *dot = strrchr(presented, '.');
    char again[COOKIE_TEXT_MAX + 64];
    if (strncmp(presented, "s:", 2) != 0 || !dot) return -1;
    sprintf(value, "%.*s", (int)(dot - presented - 2), presented + 2);
    for (unsigned i = 0; i < namespace->secret_count; i++) {
        cookie_sign(namespace->secrets[i], value, again);
        if (strcmp(again, presented) == 0) return (int)i;
    }
    return -1;
}

static int verify(const struct namespace_model *namespace, const char *presented, char *value) {
    char decoded[COOKIE_TEXT_MAX], *out = decoded;
    int index = verify_raw(namespace, presented, value);
    for (const char *at = presented; index < 0 && *at; at++) {
        unsigned byte = (unsigned char)*at;
        if (*at == '%' && (!isxdigit((unsigned char)at[1]) || !isxdigit((unsigned char)at[2]))) return -1;
        if (*at == '%') sscanf(at + 1, "%2x", &byte), at += 2;
        *out++ = (char)byte;
    }
    *out = 0;
    return index >= 0 ? index : verify_raw(namespace, decoded, value);
}

/* ---------------------------------------------------------------- sign, unsign and what a cookie stands for */

static struct namespace_model *namespace_of(struct model *model, const struct call *call) {
    return &model->namespaces[model_namespace(model, call->namespace)];
}

static bool expect_string(struct model *model, struct bytes encoded, const char *expected) {
    struct mp_cursor cursor = mp_cursor_of(encoded);
    return (mp_peek(&cursor) == MP_STR && bytes_equal(mp_read_bytes(&cursor), bytes_of_string(expected))) ||
           complain(model, "should be '%s'", expected);
}

bool cookie_admits(struct model *model, const struct call *call, const struct answer *answer, bool *is_expected) {
    char value[COOKIE_TEXT_MAX];
    const struct namespace_model *namespace = namespace_of(model, call);
    *is_expected = true;
    if (namespace->secret_count && verify(namespace, call->presented, value) >= 0) return true;
    *is_expected = namespace->secret_count ? expect_nil(model, answer) : expect_error(model, answer, "FORBIDDEN");
    return false;
}

static bool do_sign(struct model *model, const struct call *call, const struct answer *answer) {
    char expected[COOKIE_TEXT_MAX + 64];
    const struct namespace_model *namespace = namespace_of(model, call);
    if (!namespace->secret_count) return expect_error(model, answer, "FORBIDDEN");
    if (!answer->error.data) return true;
    cookie_sign(namespace->secrets[0], call->presented, expected);
    return expect_ok(model, answer) && expect_string(model, answer->result, expected);
}

static bool do_unsign(struct model *model, const struct call *call, const struct answer *answer) {
    char value[COOKIE_TEXT_MAX];
    const struct namespace_model *namespace = namespace_of(model, call);
    if (!namespace->secret_count) return expect_error(model, answer, "FORBIDDEN");
    int index = verify(namespace, call->presented, value);
    if (index < 0) return expect_nil(model, answer);
    if (!answer->error.data) return true;
    if (!expect_ok(model, answer) || !expect_string(model, map_value(answer->result, "value"), value)) return false;
    return integer_of(map_value(answer->result, "key_index")) == index ||
           complain(model, "the secret that fits is number %d", index);
}

/* ---------------------------------------------------------------- the header */

/* The attributes that hold: those of the call where they are given, else those of the namespace. */
struct attributes {
    const struct cookie_attributes *of_call, *of_namespace;
};

static const struct cookie_attributes *source_of(const struct attributes *attributes, uint64_t bit) {
    const struct cookie_attributes *sources[] = {attributes->of_call, attributes->of_namespace};
    for (unsigned i = 0; i < 2; i++)
        if (sources[i] && sources[i]->given & bit && !(sources[i]->nil & bit)) return sources[i];
    return NULL;
}

static bool is_good_name(const struct cookie_text *name) {
    return name->size > 0 && !memchr(name->text, ' ', name->size);
}

bool cookie_is_good(const struct cookie_attributes *attributes) {
    const struct attributes alone = {attributes, NULL};
    if (source_of(&alone, COOKIE_ATTRIBUTES_NAME) && !is_good_name(&attributes->name)) return false;
    return !source_of(&alone, COOKIE_ATTRIBUTES_DOMAIN) || !attributes->domain.size ||
           attributes->domain.text[0] != '-';
}

static char *put(char *out, const char *text, const struct cookie_text *tail) {
    out = stpcpy(out, text);
    if (tail) memcpy(out, tail->text, tail->size), out += tail->size;
    *out = 0;
    return out;
}

static char *put_encoded(char *out, const char *value) {
    for (; *value; value++) {
        bool is_plain = (*value >= 'a' && *value <= 'z') || (*value >= 'A' && *value <= 'Z') ||
                        (*value >= '0' && *value <= '9') || strchr("-_.!~*'()", *value);
        out += is_plain ? sprintf(out, "%c", *value) : sprintf(out, "%%%02X", (unsigned)(unsigned char)*value);
    }
    return out;
}

/* max_age_ms and expires_at belong together: where the call gives one of them, the namespace's are not asked. */
static char *put_expires(char *out, const struct attributes *attributes, int64_t wall_ms) {
    const uint64_t both = COOKIE_ATTRIBUTES_EXPIRES_AT | COOKIE_ATTRIBUTES_MAX_AGE_MS;
    struct attributes chosen = *attributes;
    if (chosen.of_call && chosen.of_call->given & ~chosen.of_call->nil & both) chosen.of_namespace = NULL;
    const struct cookie_attributes *age = source_of(&chosen, COOKIE_ATTRIBUTES_MAX_AGE_MS),
                                   *moment = source_of(&chosen, COOKIE_ATTRIBUTES_EXPIRES_AT);
    if (age ? age->max_age_ms == 0 : !moment) return out;
    int64_t at_ms = age ? wall_ms + age->max_age_ms : moment->expires_at;
    time_t seconds = at_ms > 0 ? (time_t)(at_ms / 1000) : 0;
    struct tm parts;
    gmtime_r(&seconds, &parts);
    return out + strftime(out, 64, "; Expires=%a, %d %b %Y %H:%M:%S GMT", &parts);
}

static char *put_same_site(char *out, const struct attributes *attributes, bool is_secure) {
    const struct cookie_attributes *source = source_of(attributes, COOKIE_ATTRIBUTES_SAME_SITE);
    enum same_site same_site = source ? source->same_site : SAME_SITE_ABSENT;
    if (same_site == SAME_SITE_AUTO) same_site = is_secure ? SAME_SITE_NONE : SAME_SITE_LAX;
    switch (same_site) {
    case SAME_SITE_STRICT: return put(out, "; SameSite=Strict", NULL);
    case SAME_SITE_LAX: return put(out, "; SameSite=Lax", NULL);
    case SAME_SITE_NONE: return put(out, "; SameSite=None", NULL);
    default: return out;
    }
}

static enum cookie_secure secure_of(const struct attributes *attributes) {
    const struct cookie_attributes *source = source_of(attributes, COOKIE_ATTRIBUTES_SECURE);
    return source ? source->secure : COOKIE_SECURE_FALSE;
}

static void write_header(const struct attributes *attributes, const struct call *call, int64_t wall_ms, char *out) {
    static const char *const priorities[] = {"; Priority=Low", "; Priority=Medium", "; Priority=High"};
    const struct cookie_attributes *name = source_of(attributes, COOKIE_ATTRIBUTES_NAME),
                                   *domain = source_of(attributes, COOKIE_ATTRIBUTES_DOMAIN),
                                   *path = source_of(attributes, COOKIE_ATTRIBUTES_PATH),
                                   *http_only = source_of(attributes, COOKIE_ATTRIBUTES_HTTP_ONLY),
                                   *partitioned = source_of(attributes, COOKIE_ATTRIBUTES_PARTITIONED),
                                   *priority = source_of(attributes, COOKIE_ATTRIBUTES_PRIORITY);
    enum cookie_secure secure = secure_of(attributes);
    if (call->cookie_name[0])
        out = put(out, call->cookie_name, NULL);
    else
        out = name ? put(out, "", &name->name) : put(out, "connect.sid", NULL);
    out = put_encoded(put(out, "=", NULL), call->presented);
    if (domain && domain->domain.size) out = put(out, "; Domain=", &domain->domain);
    if (!path || path->path.size) out = path ? put(out, "; Path=", &path->path) : put(out, "; Path=/", NULL);
    out = put_expires(out, attributes, wall_ms);
    if (!http_only || http_only->http_only) out = put(out, "; HttpOnly", NULL);
    if (secure == COOKIE_SECURE_TRUE || (secure == COOKIE_SECURE_AUTO && call->is_secure))
        out = put(out, "; Secure", NULL);
    if (partitioned && partitioned->partitioned) out = put(out, "; Partitioned", NULL);
    if (priority) out = put(out, priorities[priority->priority], NULL);
    *put_same_site(out, attributes, call->is_secure) = 0;
}

static bool do_header(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    char expected[2 * COOKIE_TEXT_MAX + 2048];
    struct attributes attributes = {call->attributes, &namespace_of(model, call)->policy.cookie};
    bool is_named = call->cookie_name[0] && !strchr(call->cookie_name, ' ');
    if (call->cookie_name[0] && !is_named) return expect_error(model, answer, "BAD_REQUEST");
    if (call->attributes) {
        struct cookie_attributes judged = *call->attributes;
        if (is_named) judged.given &= ~(uint64_t)COOKIE_ATTRIBUTES_NAME; /* it is not asked for */
        if (!cookie_is_good(&judged)) return expect_error(model, answer, "BAD_REQUEST");
    }
    if (secure_of(&attributes) == COOKIE_SECURE_TRUE && !call->is_secure) return expect_nil(model, answer);
    if (!answer->error.data) return true;
    write_header(&attributes, call, now_ms - model->clock_offset_ms, expected);
    return expect_ok(model, answer) && expect_string(model, answer->result, expected);
}

bool do_cookie(struct model *model, const struct call *call, int64_t now_ms, const struct answer *answer) {
    switch (call->op) {
    case OP_COOKIE_SIGN: return do_sign(model, call, answer);
    case OP_COOKIE_UNSIGN: return do_unsign(model, call, answer);
    default: return do_header(model, call, now_ms, answer);
    }
}
