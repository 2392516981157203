#include "endpoint.h"
#include "options.h"
#include "workload.h"

#include <criterion/criterion.h>
#include <netinet/in.h>

static bool parse(struct options *options, const char *first, const char *second) {
    char *arguments[] = {(char[]){"sessiond-bench"}, (char *)(uintptr_t)first, (char *)(uintptr_t)second, NULL};
    FILE *err = fopen("/dev/null", "w");
    bool is_fine = options_parse(options, second ? 3 : first ? 2 : 1, arguments, err);
    fclose(err);
    return is_fine;
}

Test(options, take_thousands_and_millions_and_refuse_the_rest) {
    struct options options;
    cr_expect(parse(&options, "--sessions", "1.5m") && options.sessions == 1500000);
    cr_expect(parse(&options, "--sessions", "20k") && options.sessions == 20000);
    cr_expect(parse(&options, NULL, NULL) && options.connections == 50);
    cr_expect_not(parse(&options, "--sessions", "0"));
    cr_expect_not(parse(&options, "--sessions", "1.5"));
    cr_expect_not(parse(&options, "--sessions", "-3"));
    cr_expect_not(parse(&options, "--depth", "17000"));
    cr_expect_not(parse(&options, "--rate", "nan"));
    cr_expect_not(parse(&options, "--check-every", "3"));
    cr_expect_not(parse(&options, "--no-such-thing", NULL));
    cr_expect_not(parse(&options, "--sessions", NULL));
    cr_expect_not(parse(&options, "stray", NULL));
    cr_expect_not(parse(&options, "--strategy", "best"));
    cr_expect(parse(&options, "--strategy", "least_used"));
    cr_expect_not(parse(&options, "--only", "validate"), "the workload is get");
}

Test(endpoint, reads_addresses_and_paths) {
    struct endpoint endpoint;
    cr_assert(endpoint_parse(&endpoint, "127.0.0.1:7420"));
    cr_expect_eq(((struct sockaddr_in *)&endpoint.address)->sin_port, htons(7420));
    cr_assert(endpoint_parse(&endpoint, "[::1]:80"));
    cr_expect_eq(endpoint.address.ss_family, AF_INET6);
    cr_assert(endpoint_parse(&endpoint, "unix:some/path"));
    cr_expect_str_eq(((struct sockaddr_un *)&endpoint.address)->sun_path, "some/path");
    cr_expect_not(endpoint_parse(&endpoint, "127.0.0.1"));
    cr_expect_not(endpoint_parse(&endpoint, ":7420"));
    cr_expect_not(endpoint_parse(&endpoint, "127.0.0.1:"));
}

Test(workload, has_shares_that_add_up_to_a_thousand) {
    for (unsigned i = 0; i < workload_count; i++) {
        unsigned sum = 0;
        for (unsigned kind = 0; kind < KIND_COUNT; kind++) sum += workloads[i].per_mille[kind];
        cr_expect_eq(sum, 1000, "%s has %u", workloads[i].name, sum);
        cr_expect_eq(workload_find(workloads[i].name), &workloads[i]);
    }
    cr_expect_null(workload_find("nothing"));
}
