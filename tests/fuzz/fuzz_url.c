/* url_parse over any text: what it takes holds together and can be written and read again, what it refuses has a
 * sentence. */
#include "url.h"

#include <string.h>

#include "fuzz/target.h"

/* Appends `name` with every byte of it percent-encoded, but slashes where they are kept. */
static char *put_encoded(char *out, const char *name, bool keeps_slashes) {
    for (; *name; name++) out += sprintf(out, keeps_slashes && *name == '/' ? "/" : "%%%02X", (unsigned char)*name);
    return out;
}

/* The same URL in other words. */
static void write_again(const struct url *url, char *out) {
    const struct endpoint *first = url->endpoints;
    if (first->is_unix) {
        out = put_encoded(out + sprintf(out, "sessiond+unix://"), first->name, true);
        if (*url->namespace_name) out += sprintf(out, "?namespace=");
    } else {
        out += sprintf(out, "sessiond://");
        for (size_t i = 0; i < url->endpoint_count; i++) {
            endpoint_print(&url->endpoints[i], out, URL_HOST_MAX + 16);
            out += strlen(out);
            *out++ = i + 1 < url->endpoint_count ? ',' : '/';
        }
        *out = '\0';
    }
    put_encoded(out, url->namespace_name, false);
}

static void check_endpoint(const struct endpoint *endpoint) {
    REQUIRE(memchr(endpoint->name, '\0', sizeof endpoint->name) && *endpoint->name);
    if (endpoint->is_unix)
        REQUIRE(endpoint->name[0] == '/' && strlen(endpoint->name) <= URL_PATH_MAX);
    else
        REQUIRE(endpoint->port != 0 && !strpbrk(endpoint->name, "/?@,"));
}

static void check_url(const struct url *url) {
    static char text[(URL_HOST_MAX + 16) * URL_ENDPOINTS_MAX + 1024];
    struct sessiond_error error;
    static struct url again;
    REQUIRE(url->endpoint_count >= 1 && url->endpoint_count <= URL_ENDPOINTS_MAX);
    REQUIRE(memchr(url->namespace_name, '\0', sizeof url->namespace_name));
    for (size_t i = 0; i < url->endpoint_count; i++) check_endpoint(&url->endpoints[i]);
    write_again(url, text);
    REQUIRE(url_parse(text, &again, &error) == 0);
    REQUIRE(again.endpoint_count == url->endpoint_count && strcmp(again.namespace_name, url->namespace_name) == 0);
    for (size_t i = 0; i < url->endpoint_count; i++) {
        const struct endpoint *a = &url->endpoints[i], *b = &again.endpoints[i];
        REQUIRE(a->is_unix == b->is_unix && a->port == b->port && strcmp(a->name, b->name) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct url url;
    struct sessiond_error error;
    char *text = malloc(size + 1);
    if (!text) abort();
    if (size) memcpy(text, data, size);
    text[size] = '\0';
    memset(&url, 0xee, sizeof url);
    int code = url_parse(text, &url, &error);
    if (code == 0)
        check_url(&url);
    else
        REQUIRE(code == SESSIOND_ERROR_URL && error.code == code && strlen(error.message) > 20);
    free(text);
    return 0;
}
