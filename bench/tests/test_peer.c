#include "options.h"
#include "peer.h"

#include <criterion/criterion.h>

static struct peer peer;

/* The sentence about what is wrong; empty where nothing is. */
static const char *parse(const char *text) {
    const char *problem;
    bool is_fine = peer_parse(&peer, text, &problem);
    cr_expect_eq(is_fine, problem == NULL);
    return problem ? problem : "";
}

Test(peer, is_a_name_a_protocol_and_the_words_of_a_command) {
    cr_expect_str_eq(parse("valkey:resp: valkey-server  --port {port} --save '' --x \"a 'b' c\" y='1 2'z"), "");
    cr_expect_str_eq(peer.name, "valkey");
    cr_expect_str_eq(peer.driver, "redis");
    cr_expect_eq(peer.level, LEVEL_NONE);
    static const char *const words[] = {"valkey-server", "--port", "{port}", "--save", "", "--x", "a 'b' c", "y=1 2z"};
    for (unsigned i = 0; i < 8; i++) cr_expect_str_eq(peer.words[i], words[i]);
    cr_expect_null(peer.words[8]);
}

Test(peer, may_have_colons_in_its_command_and_a_level_after_its_name) {
    cr_expect_str_eq(parse("segcache/always:meta:twemcache --listen=127.0.0.1:{port} --data {dir}/x"), "");
    cr_expect_str_eq(peer.name, "segcache");
    cr_expect_str_eq(peer.driver, "memcached");
    cr_expect_eq(peer.level, LEVEL_ALWAYS);
    struct server_recipe recipe;
    recipe_of_peer(&recipe, &peer, "somewhere");
    cr_expect_str_eq(recipe.path, "twemcache");
    cr_expect_str_eq(recipe.arguments[0], "--listen=127.0.0.1:{port}");
    cr_expect_null(recipe.arguments[3]);
    cr_expect(recipe.role == ROLE_PEER && recipe.level == LEVEL_ALWAYS && recipe_has_directory(&recipe));
}

Test(peer, says_what_is_wrong_with_it) {
    cr_expect(strstr(parse(""), "NAME:PROTOCOL:COMMAND"));
    cr_expect(strstr(parse("valkey:resp"), "NAME:PROTOCOL:COMMAND"));
    cr_expect(strstr(parse(":resp:x {port}"), "a name"));
    cr_expect(strstr(parse("a b:resp:x {port}"), "a name"));
    cr_expect(strstr(parse("a2345678901234567890abcde:resp:x {port}"), "a name"));
    cr_expect(strstr(parse("a/sometimes:resp:x {port}"), "a level"));
    cr_expect(strstr(parse("a:http:x {port}"), "a protocol"));
    cr_expect(strstr(parse("a:resp:"), "{port}"));
    cr_expect(strstr(parse("a:resp:x --port 6379"), "{port}"));
    cr_expect(strstr(parse("a:resp:{port}"), "{port}"), "the program's name is no place for it");
    cr_expect(strstr(parse("a/everysec:resp:x {port}"), "{dir}"));
    cr_expect(strstr(parse("a:resp:x {port} 'open"), "a quote"));
    static char long_text[PEER_TEXT_BYTES + 10];
    memset(long_text, 'x', sizeof long_text - 1);
    cr_expect(strstr(parse(long_text), "2047"));
    static char many[ARGUMENTS_MAX * 2 + 32] = "a:resp:x {port}";
    for (unsigned i = 0; i < ARGUMENTS_MAX; i++) strcat(many, " y");
    cr_expect(strstr(parse(many), "too many"));
}

/* What the options say of up to three peers; empty where they take them. */
static const char *take(const char *first, const char *second) {
    static char said[512];
    char *arguments[] = {(char[]){"sessiond-bench"}, (char[]){"--peer"},        (char *)(uintptr_t)first,
                         (char[]){"--peer"},         (char *)(uintptr_t)second, NULL};
    struct options options;
    memset(said, 0, sizeof said);
    FILE *err = fmemopen(said, sizeof said - 1, "w");
    bool is_fine = options_parse(&options, second ? 5 : 3, arguments, err);
    fclose(err);
    cr_expect_eq(is_fine, said[0] == '\0', "%s", said);
    if (is_fine) cr_expect_eq(options.peers.count, second ? 2 : 1);
    return said;
}

Test(peer, has_a_name_that_no_other_server_has) {
    cr_expect_str_eq(take("a:resp:x {port}", NULL), "");
    cr_expect_str_eq(take("a:resp:x {port}", "b:meta:x {port}"), "");
    cr_expect_str_eq(take("a:resp:x {port}", "a/everysec:resp:x {port} {dir}"), "", "of each level there is one");
    cr_expect(strstr(take("a:resp:x {port}", "a:meta:x {port}"), "another one"));
    cr_expect(strstr(take("redis:resp:x {port}", NULL), "known already"));
    cr_expect(strstr(take("nonsense", NULL), "nonsense"));
}
