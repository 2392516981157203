/* The URL of a server, taken apart: scheme, then hosts or a path, then the namespace.
 *
 * Always true: nothing is cut silently; what is too long, unknown or not yet offered is refused with a sentence.
 * Pure; any thread. */
#include "url.h"

#include <stdio.h>
#include <string.h>

#include "failure.h"

#define SCHEME_TCP  "sessiond://"
#define SCHEME_UNIX "sessiond+unix://"
#define SCHEME_TLS  "sessionds://"

static bool has_prefix(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Percent-decodes `size` bytes into a text of at most `max` bytes. False: a bad escape, a NUL, or too long. */
static bool decode(const char *from, size_t size, char *to, size_t max) {
    size_t used = 0;
    for (size_t i = 0; i < size; i++) {
        int c = (unsigned char)from[i];
        if (c == '%') {
            int high = i + 2 < size ? hex_digit(from[i + 1]) : -1, low = i + 2 < size ? hex_digit(from[i + 2]) : -1;
            if (high < 0 || low < 0) return false;
            c = high << 4 | low;
            i += 2;
        }
        if (c == 0 || used == max) return false;
        to[used++] = (char)c;
    }
    to[used] = '\0';
    return true;
}

static int parse_namespace(const char *from, size_t size, struct url *url, struct sessiond_error *error) {
    if (decode(from, size, url->namespace_name, SESSIOND_LIMIT_MAX_NAMESPACE)) return 0;
    return failure_set(error, SESSIOND_ERROR_URL,
                       "The URL's namespace is no percent-encoded name of at most %d bytes; shorten or encode it.",
                       (int)SESSIOND_LIMIT_MAX_NAMESPACE);
}

/* What stands behind '?': namespace=name, and nothing else yet. */
static int parse_query(const char *query, struct url *url, struct sessiond_error *error) {
    static const char key[] = "namespace=";
    if (!has_prefix(query, key) || strchr(query, '&'))
        return failure_set(error, SESSIOND_ERROR_URL, "The only parameter that a URL may have is ?namespace=name.");
    return parse_namespace(query + strlen(key), strlen(query) - strlen(key), url, error);
}

static int parse_port(const char *from, size_t size, uint16_t *port, struct sessiond_error *error) {
    unsigned value = 0;
    bool is_number = size > 0 && size <= 5;
    for (size_t i = 0; is_number && i < size; i++) {
        is_number = from[i] >= '0' && from[i] <= '9';
        value = value * 10 + (unsigned)(from[i] - '0');
    }
    if (!is_number || value == 0 || value > 65535)
        return failure_set(error, SESSIOND_ERROR_URL, "The URL's port must be a number from 1 to 65535.");
    *port = (uint16_t)value;
    return 0;
}

/* One host of the list: name, address or [address], and perhaps a port. */
static int parse_host(const char *from, size_t size, struct endpoint *endpoint, struct sessiond_error *error) {
    const char *name = from, *end = from + size, *colon = memchr(from, ':', size);
    size_t name_size = colon ? (size_t)(colon - from) : size;
    if (size && from[0] == '[') {
        const char *bracket = memchr(from, ']', size);
        if (!bracket || (bracket + 1 != end && bracket[1] != ':'))
            return failure_set(error, SESSIOND_ERROR_URL, "Write an IPv6 address in the URL as [::1]:7420.");
        name = from + 1;
        name_size = (size_t)(bracket - name);
        colon = bracket + 1 == end ? NULL : bracket + 1;
    }
    if (name_size == 0)
        return failure_set(error, SESSIOND_ERROR_URL, "The URL names no host; use sessiond://host/namespace.");
    if (memchr(name, '[', name_size) || memchr(name, ']', name_size))
        return failure_set(error, SESSIOND_ERROR_URL, "Write an IPv6 address in the URL as [::1]:7420.");
    if (name_size > URL_HOST_MAX)
        return failure_set(error, SESSIOND_ERROR_URL, "A host in the URL is longer than %d bytes.", URL_HOST_MAX);
    endpoint->is_unix = false;
    endpoint->port = SESSIOND_DEFAULT_PORT;
    memcpy(endpoint->name, name, name_size);
    endpoint->name[name_size] = '\0';
    return colon ? parse_port(colon + 1, (size_t)(end - colon - 1), &endpoint->port, error) : 0;
}

static int parse_hosts(const char *from, size_t size, struct url *url, struct sessiond_error *error) {
    if (memchr(from, '@', size))
        return failure_set(
            error, SESSIOND_ERROR_URL,
            "A user or a secret in the URL needs TLS (sessionds://), which this library does not offer yet.");
    for (const char *end = from + size;; from++) {
        const char *comma = memchr(from, ',', (size_t)(end - from)), *stop = comma ? comma : end;
        if (url->endpoint_count == URL_ENDPOINTS_MAX)
            return failure_set(error, SESSIOND_ERROR_URL, "A URL may name at most %d hosts.", URL_ENDPOINTS_MAX);
        int code = parse_host(from, (size_t)(stop - from), &url->endpoints[url->endpoint_count++], error);
        if (code || !comma) return code;
        from = comma;
    }
}

static int parse_tcp(const char *rest, struct url *url, struct sessiond_error *error) {
    size_t hosts_size = strcspn(rest, "/?");
    int code = parse_hosts(rest, hosts_size, url, error);
    if (code) return code;
    rest += hosts_size;
    if (*rest == '?') return parse_query(rest + 1, url, error);
    if (*rest == '/') rest++;
    if (strpbrk(rest, "/?#"))
        return failure_set(error, SESSIOND_ERROR_URL,
                           "Behind the hosts a URL has one name, the namespace; write a / in it as %%2F.");
    return parse_namespace(rest, strlen(rest), url, error);
}

static int parse_unix(const char *rest, struct url *url, struct sessiond_error *error) {
    const char *query = strchr(rest, '?');
    size_t path_size = query ? (size_t)(query - rest) : strlen(rest);
    struct endpoint *endpoint = &url->endpoints[url->endpoint_count++];
    endpoint->is_unix = true;
    if (rest[0] != '/' || !decode(rest, path_size, endpoint->name, URL_PATH_MAX))
        return failure_set(error, SESSIOND_ERROR_URL,
                           "The path of a Unix socket must begin with / and have at most %d bytes: "
                           "sessiond+unix:///run/sessiond.sock.",
                           URL_PATH_MAX);
    return query ? parse_query(query + 1, url, error) : 0;
}

int url_parse(const char *text, struct url *url, struct sessiond_error *error) {
    memset(url, 0, sizeof *url);
    if (text && has_prefix(text, SCHEME_TCP)) return parse_tcp(text + strlen(SCHEME_TCP), url, error);
    if (text && has_prefix(text, SCHEME_UNIX)) return parse_unix(text + strlen(SCHEME_UNIX), url, error);
    if (text && has_prefix(text, SCHEME_TLS))
        return failure_set(
            error, SESSIOND_ERROR_URL,
            "TLS (sessionds://) is not offered yet; use sessiond:// or sessiond+unix:// on a trusted network.");
    return failure_set(error, SESSIOND_ERROR_URL,
                       "A server's URL is sessiond://host:7420/namespace or sessiond+unix:///path?namespace=name.");
}

void endpoint_print(const struct endpoint *endpoint, char *text, size_t size) {
    if (endpoint->is_unix)
        snprintf(text, size, "unix:%s", endpoint->name);
    else
        snprintf(text, size, strchr(endpoint->name, ':') ? "[%s]:%u" : "%s:%u", endpoint->name, endpoint->port);
}
