/* See cookie_header.h. The order of attributes is that of npm's cookie. */
#include "op/cookie_header.h"

#include "base/mp.h"
#include "op/signature.h"

#include <stdio.h>

#define MS_PER_DAY INT64_C(86400000)

/* Given, and not nil: nil is the same as leaving it out. */
static bool has(const struct cookie_attributes *attributes, uint64_t bit) {
    return attributes->given & ~attributes->nil & bit;
}

struct cookie_attributes cookie_attributes_merge(const struct cookie_attributes *of_namespace,
                                                 const struct cookie_attributes *of_call, struct cookie_text name) {
    const uint64_t lives = COOKIE_ATTRIBUTES_EXPIRES_AT | COOKIE_ATTRIBUTES_MAX_AGE_MS;
    struct cookie_attributes merged = *of_namespace;
    uint64_t given = of_call->given & ~of_call->nil;
    merged.given &= ~merged.nil;
    merged.nil = 0;
    if (given & lives) merged.given &= ~lives;
    merged.given |= given;
    if (given & COOKIE_ATTRIBUTES_NAME) merged.name = of_call->name;
    if (given & COOKIE_ATTRIBUTES_PATH) merged.path = of_call->path;
    if (given & COOKIE_ATTRIBUTES_DOMAIN) merged.domain = of_call->domain;
    if (given & COOKIE_ATTRIBUTES_EXPIRES_AT) merged.expires_at = of_call->expires_at;
    if (given & COOKIE_ATTRIBUTES_MAX_AGE_MS) merged.max_age_ms = of_call->max_age_ms;
    if (given & COOKIE_ATTRIBUTES_HTTP_ONLY) merged.http_only = of_call->http_only;
    if (given & COOKIE_ATTRIBUTES_SECURE) merged.secure = of_call->secure;
    if (given & COOKIE_ATTRIBUTES_SAME_SITE) merged.same_site = of_call->same_site;
    if (given & COOKIE_ATTRIBUTES_PRIORITY) merged.priority = of_call->priority;
    if (given & COOKIE_ATTRIBUTES_PARTITIONED) merged.partitioned = of_call->partitioned;
    if (name.size) merged.name = name;
    if (name.size) merged.given |= COOKIE_ATTRIBUTES_NAME;
    return merged;
}

/* RFC 6265: a token. */
static bool is_name(const struct cookie_text *name) {
    static const char separators[] = "()<>@,;:\\\"/[]?={} ";
    for (unsigned i = 0; i < name->size; i++)
        if (name->text[i] <= 0x20 || name->text[i] > 0x7e || strchr(separators, name->text[i])) return false;
    return name->size > 0;
}

static bool is_letter_or_digit(char byte) {
    return (byte >= '0' && byte <= '9') || ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
}

/* Labels of letters, digits and inner hyphens, with dots between them and perhaps before. A browser drops a cookie of
 * any other domain, and its user sees that nobody stays logged in. */
static bool is_domain(const struct cookie_text *domain) {
    char before = '.';
    for (unsigned i = domain->text[0] == '.'; i < domain->size; i++) {
        char byte = domain->text[i];
        if (byte != '.' && byte != '-' && !is_letter_or_digit(byte)) return false;
        if (!is_letter_or_digit(byte) && before == '.') return false; /* a label that begins so */
        if (byte == '.' && before == '-') return false;
        before = byte;
    }
    return is_letter_or_digit(before);
}

const char *cookie_attributes_refusal(const struct cookie_attributes *attributes) {
    if (has(attributes, COOKIE_ATTRIBUTES_NAME) && !is_name(&attributes->name))
        return "A cookie's name is at least one letter, digit or one of !#$%&'*+-.^_`|~; choose another name.";
    if (has(attributes, COOKIE_ATTRIBUTES_DOMAIN) && attributes->domain.size && !is_domain(&attributes->domain))
        return "A cookie's domain is letters, digits, dots and inner hyphens; give one like example.org, or none.";
    return NULL;
}

/* ---------------------------------------------------------------- writing */

static void append_string(struct buf *out, const char *text) {
    buf_append(out, text, strlen(text));
}

static void append_text(struct buf *out, const char *key, const struct cookie_text *text) {
    append_string(out, key);
    buf_append(out, text->text, text->size);
}

/* The date of a number of days since 1970-01-01, by the 400 years after which the calendar repeats. */
static void date_of_days(int64_t days, int64_t *year, unsigned *month, unsigned *day) {
    int64_t shifted = days + 719468; /* since 0000-03-01: leap days come last */
    int64_t era = shifted / 146097, of_era = shifted % 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * of_year + 2) / 153;
    *day = (unsigned)(of_year - (153 * from_march + 2) / 5 + 1);
    *month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = era * 400 + year_of_era + (*month <= 2);
}

/* Whole seconds, rounded down. What lies before 1970 is told as 1970: browsers ignore dates before 1601, and the cookie
 * would live. */
static void append_expires(struct buf *out, int64_t moment) {
    static const char *const days[] = {"Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"};
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    char text[64];
    int64_t year, at = moment > 0 ? moment : 0, second = at % MS_PER_DAY / 1000;
    unsigned month, day;
    date_of_days(at / MS_PER_DAY, &year, &month, &day);
    snprintf(text, sizeof text, "; Expires=%s, %02u %s %04lld %02d:%02d:%02d GMT", days[at / MS_PER_DAY % 7], day,
             months[month - 1], (long long)year, (int)(second / 3600), (int)(second / 60 % 60), (int)(second % 60));
    append_string(out, text);
}

/* A max_age_ms of 0 is none, as for every duration: the cookie ends with the browser. */
static void append_life(struct buf *out, const struct cookie_attributes *attributes, int64_t wall_ms) {
    if (!has(attributes, COOKIE_ATTRIBUTES_MAX_AGE_MS)) {
        if (has(attributes, COOKIE_ATTRIBUTES_EXPIRES_AT)) append_expires(out, attributes->expires_at);
    } else if (attributes->max_age_ms) {
        append_expires(out, wall_ms + attributes->max_age_ms);
    }
}

static void append_same_site(struct buf *out, const struct cookie_attributes *attributes, bool is_secure) {
    static const char *const words[] = {
        [SAME_SITE_STRICT] = "Strict", [SAME_SITE_LAX] = "Lax", [SAME_SITE_NONE] = "None"};
    enum same_site same_site = has(attributes, COOKIE_ATTRIBUTES_SAME_SITE) ? attributes->same_site : SAME_SITE_ABSENT;
    if (same_site == SAME_SITE_AUTO) same_site = is_secure ? SAME_SITE_NONE : SAME_SITE_LAX;
    if (same_site == SAME_SITE_ABSENT) return;
    append_string(out, "; SameSite=");
    append_string(out, words[same_site]);
}

static void append_priority(struct buf *out, const struct cookie_attributes *attributes) {
    static const char *const words[] = {
        [COOKIE_PRIORITY_LOW] = "Low", [COOKIE_PRIORITY_MEDIUM] = "Medium", [COOKIE_PRIORITY_HIGH] = "High"};
    if (!has(attributes, COOKIE_ATTRIBUTES_PRIORITY)) return;
    append_string(out, "; Priority=");
    append_string(out, words[attributes->priority]);
}

static void append_header(struct buf *out, const struct cookie_attributes *attributes, struct bytes value,
                          bool is_secure, int64_t wall_ms) {
    enum cookie_secure secure = has(attributes, COOKIE_ATTRIBUTES_SECURE) ? attributes->secure : COOKIE_SECURE_FALSE;
    bool has_path = has(attributes, COOKIE_ATTRIBUTES_PATH);
    if (has(attributes, COOKIE_ATTRIBUTES_NAME))
        append_text(out, "", &attributes->name);
    else
        append_string(out, "connect.sid");
    append_string(out, "=");
    url_encode(value, out);
    if (has(attributes, COOKIE_ATTRIBUTES_DOMAIN) && attributes->domain.size)
        append_text(out, "; Domain=", &attributes->domain);
    if (!has_path) append_string(out, "; Path=/");
    if (has_path && attributes->path.size) append_text(out, "; Path=", &attributes->path);
    append_life(out, attributes, wall_ms);
    if (!has(attributes, COOKIE_ATTRIBUTES_HTTP_ONLY) || attributes->http_only) append_string(out, "; HttpOnly");
    if (secure == COOKIE_SECURE_TRUE || (secure == COOKIE_SECURE_AUTO && is_secure)) append_string(out, "; Secure");
    if (has(attributes, COOKIE_ATTRIBUTES_PARTITIONED) && attributes->partitioned) append_string(out, "; Partitioned");
    append_priority(out, attributes);
    append_same_site(out, attributes, is_secure);
}

bool cookie_header_write(const struct cookie_attributes *attributes, struct bytes value, bool is_secure,
                         int64_t wall_ms, struct buf *out) {
    struct buf header = BUF_EMPTY;
    if (has(attributes, COOKIE_ATTRIBUTES_SECURE) && attributes->secure == COOKIE_SECURE_TRUE && !is_secure)
        return false;
    header.is_secret = true;
    append_header(&header, attributes, value, is_secure, wall_ms);
    if (header.is_failed) out->is_failed = true;
    if (!header.is_failed) mp_write_str(out, buf_bytes(&header));
    buf_fini(&header);
    return true;
}
