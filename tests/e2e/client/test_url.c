#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "url.h"

static struct url url;
static struct sessiond_error error;

static void refuses(const char *text, const char *word) {
    cr_assert_eq(url_parse(text, &url, &error), SESSIOND_ERROR_URL, "%s", text);
    cr_assert_str_eq(error.code_name, "URL");
    cr_assert(strstr(error.message, word), "%s: %s", text, error.message);
}

Test(url, names_a_host_a_port_and_a_namespace) {
    cr_assert_eq(url_parse("sessiond://localhost:7421/web", &url, &error), 0);
    cr_assert_eq(url.endpoint_count, 1);
    cr_assert_str_eq(url.endpoints[0].name, "localhost");
    cr_assert_eq(url.endpoints[0].port, 7421);
    cr_assert_str_eq(url.namespace_name, "web");
}

Test(url, leaves_out_what_has_a_default) {
    for (const char **text = (const char *[]){"sessiond://db", "sessiond://db/", "sessiond://db:7420", NULL}; *text;
         text++) {
        cr_assert_eq(url_parse(*text, &url, &error), 0, "%s", *text);
        cr_assert_eq(url.endpoints[0].port, 7420);
        cr_assert_str_eq(url.endpoints[0].name, "db");
        cr_assert_str_eq(url.namespace_name, "");
    }
}

Test(url, names_several_hosts_each_with_its_port) {
    cr_assert_eq(url_parse("sessiond://a,b:1,[::1]:65535,[fe80::2]/n", &url, &error), 0);
    cr_assert_eq(url.endpoint_count, 4);
    char text[300];
    const char *expected[] = {"a:7420", "b:1", "[::1]:65535", "[fe80::2]:7420"};
    for (size_t i = 0; i < 4; i++) {
        endpoint_print(&url.endpoints[i], text, sizeof text);
        cr_assert_str_eq(text, expected[i]);
    }
}

Test(url, names_a_unix_socket_and_its_namespace) {
    cr_assert_eq(url_parse("sessiond+unix:///run/a%20b.sock?namespace=w%2Fb", &url, &error), 0);
    cr_assert(url.endpoints[0].is_unix);
    cr_assert_str_eq(url.endpoints[0].name, "/run/a b.sock");
    cr_assert_str_eq(url.namespace_name, "w/b");
    char text[300];
    endpoint_print(&url.endpoints[0], text, sizeof text);
    cr_assert_str_eq(text, "unix:/run/a b.sock");
}

Test(url, takes_the_namespace_as_a_parameter_too) {
    cr_assert_eq(url_parse("sessiond://db?namespace=web", &url, &error), 0);
    cr_assert_str_eq(url.namespace_name, "web");
}

Test(url, refuses_with_a_sentence_what_it_cannot_use) {
    refuses(NULL, "sessiond://host:7420/namespace");
    refuses("", "sessiond://host:7420/namespace");
    refuses("localhost:7420", "sessiond://host:7420/namespace");
    refuses("http://db/", "sessiond://host:7420/namespace");
    refuses("sessionds://db/", "TLS");
    refuses("sessiond://ann:secret@db/", "secret");
    refuses("sessiond:///web", "no host");
    refuses("sessiond://a,,b/", "no host");
    refuses("sessiond://a,/", "no host");
    refuses("sessiond://[]:1/", "no host");
    refuses("sessiond://[::1/", "[::1]:7420");
    refuses("sessiond://[::1]x/", "[::1]:7420");
    refuses("sessiond://[[]/", "[::1]:7420");
    refuses("sessiond://a]/", "[::1]:7420");
    for (const char **port = (const char *[]){"", "0", "65536", "100000", "x", "+1", "1x", "-1", NULL}; *port; port++) {
        char text[64];
        snprintf(text, sizeof text, "sessiond://db:%s/web", *port);
        refuses(text, "port");
    }
    refuses("sessiond://db/web/more", "%2F");
    refuses("sessiond://db/web?x=1", "%2F");
    refuses("sessiond://db?x=1", "namespace=name");
    refuses("sessiond://db?namespace=a&b=c", "namespace=name");
    refuses("sessiond://db/%", "namespace");
    refuses("sessiond://db/%0", "namespace");
    refuses("sessiond://db/%zz", "namespace");
    refuses("sessiond://db/%00", "namespace");
    refuses("sessiond+unix://run/s.sock", "begin with /");
    refuses("sessiond+unix://", "begin with /");
}

Test(url, holds_exactly_what_its_limits_say) {
    char text[2048], name[300];
    for (size_t size = 64; size <= 65; size++) {
        memset(name, 'n', size);
        name[size] = '\0';
        snprintf(text, sizeof text, "sessiond://db/%s", name);
        cr_assert_eq(url_parse(text, &url, &error), size == 64 ? 0 : SESSIOND_ERROR_URL);
    }
    for (size_t size = 255; size <= 256; size++) {
        memset(name, 'h', size);
        name[size] = '\0';
        snprintf(text, sizeof text, "sessiond://%s/", name);
        cr_assert_eq(url_parse(text, &url, &error), size == 255 ? 0 : SESSIOND_ERROR_URL);
    }
    for (size_t size = 107; size <= 108; size++) {
        memset(name, 'p', size);
        name[0] = '/';
        name[size] = '\0';
        snprintf(text, sizeof text, "sessiond+unix://%s", name);
        cr_assert_eq(url_parse(text, &url, &error), size == 107 ? 0 : SESSIOND_ERROR_URL);
    }
    for (size_t count = 16; count <= 17; count++) {
        strcpy(text, "sessiond://h");
        for (size_t i = 1; i < count; i++) strcat(text, ",h");
        cr_assert_eq(url_parse(text, &url, &error), count == 16 ? 0 : SESSIOND_ERROR_URL);
    }
}
