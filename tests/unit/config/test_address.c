/* What `bind` accepts, and which addresses count as this machine only. */
#include "config/address.h"

#include <criterion/criterion.h>
#include <netinet/in.h>

struct example {
    const char *text, *formatted;
    bool is_loopback;
};

Test(address, reads_addresses_and_knows_which_are_loopback) {
    static const struct example examples[] = {
        {"127.0.0.1", "127.0.0.1:7", true}, {"127.9.9.9", "127.9.9.9:7", true},
        {"localhost", "127.0.0.1:7", true}, {"::1", "[::1]:7", true},
        {"[::1]", "[::1]:7", true},         {"::ffff:127.0.0.1", "[::ffff:127.0.0.1]:7", true},
        {"0.0.0.0", "0.0.0.0:7", false},    {"::", "[::]:7", false},
        {"10.0.0.1", "10.0.0.1:7", false},  {"::ffff:10.0.0.1", "[::ffff:10.0.0.1]:7", false}};
    for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
        struct address address;
        char error[200], text[100];
        cr_expect(address_parse(examples[i].text, 7, &address, error, sizeof error), "%s: %s", examples[i].text, error);
        address_format(&address.socket_address, text, sizeof text);
        cr_expect_str_eq(text, examples[i].formatted);
        cr_expect_eq(address.is_loopback, examples[i].is_loopback, "%s", examples[i].text);
        cr_expect_not(address.is_none);
    }
}

Test(address, takes_none_as_no_address) {
    struct address address;
    char error[200];
    cr_assert(address_parse("none", 7, &address, error, sizeof error));
    cr_assert(address.is_none);
    cr_assert_not(address.is_loopback);
}

Test(address, refuses_names_ports_and_urls) {
    static const char *const texts[] = {"",           "example.org", "127.0.0.1:80",  "127.1",    "[::1", "[]", "::1]",
                                        "tcp://[::]", "*",           "sessionds://x", "300.0.0.1"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct address address;
        char error[200] = "";
        cr_expect_not(address_parse(texts[i], 7, &address, error, sizeof error), "%s", texts[i]);
        cr_expect(strstr(error, "give an IPv4 or IPv6 address"), "%s", error);
    }
}
