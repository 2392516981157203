#include "endpoint.h"
#include "options.h"
#include "workload.h"

#include <criterion/criterion.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <unistd.h>

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
    cr_expect(parse(&options, "--help", NULL) && options.is_help);
    cr_expect(parse(&options, "--version", NULL) && options.is_version);
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
    cr_expect(parse(&options, NULL, NULL) && options_level(&options) == LEVEL_NONE);
    cr_expect(parse(&options, "--durability", "always,everysec") && options_level(&options) == LEVEL_ALWAYS);
    cr_expect_not(parse(&options, "--durability", "sometimes"));
    cr_expect_not(parse(&options, "--durability", "none,"));
}

static void read_recipe(struct server_recipe *recipe, const char *name, enum level level, char *line, size_t size) {
    struct options options;
    cr_assert(parse(&options, NULL, NULL) && recipe_find(recipe, name, level, &options));
    line[0] = '\0';
    for (const char *const *at = recipe->arguments; *at; at++)
        snprintf(line + strlen(line), size - strlen(line), "%s ", *at);
}

Test(recipe, keeps_what_the_level_says_and_in_its_own_directory) {
    struct server_recipe recipe;
    char line[1024];
    read_recipe(&recipe, "redis", LEVEL_ALWAYS, line, sizeof line);
    cr_expect(!recipe.refusal && recipe_has_directory(&recipe) &&
              strstr(line, "--dir {dir} --appendonly yes --appendfsync always "));
    read_recipe(&recipe, "redis", LEVEL_NONE, line, sizeof line);
    cr_expect(strstr(line, "--appendonly no ") && !recipe_has_directory(&recipe));
    read_recipe(&recipe, "sessiond", LEVEL_EVERYSEC, line, sizeof line);
    cr_expect(strstr(line, "--durability everysec --data-dir {dir} "));
    read_recipe(&recipe, "sessiond", LEVEL_NONE, line, sizeof line);
    cr_expect(strstr(line, "--durability none ") && !recipe_has_directory(&recipe));
    read_recipe(&recipe, "memcached", LEVEL_EVERYSEC, line, sizeof line);
    cr_expect(recipe.refusal);
    cr_expect_not(recipe_find(&recipe, "nothing", LEVEL_NONE, &(struct options){0}));
}

static void touch_file(const char *directory, const char *name) {
    char path[SCRATCH_PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    FILE *file = fopen(path, "w");
    cr_assert(file);
    fclose(file);
}

Test(scratch, is_gone_with_all_in_it) {
    char path[SCRATCH_PATH_MAX], below[SCRATCH_PATH_MAX + 64], problem[300] = "";
    cr_assert(scratch_make(".", path, problem, sizeof problem), "%s", problem);
    snprintf(below, sizeof below, "%s/below", path);
    cr_assert_eq(mkdir(below, 0700), 0);
    touch_file(path, "log-1");
    touch_file(below, "aof");
    scratch_remove(path);
    cr_expect_neq(access(path, F_OK), 0);
    cr_expect_not(scratch_make("./no such directory", path, problem, sizeof problem));
    cr_expect(path[0] == '\0' && strstr(problem, "--scratch"));
    scratch_remove(path);
    cr_expect_eq(access(".", F_OK), 0);
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
