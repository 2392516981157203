#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fake.h"
#include "process.h"
#include "sessiond/client_constants.h"

static struct server server;
static struct ran ran;

static void setup(void) {
    server_start(&server);
    setenv("SESSIOND_URL", server.url, 1);
}
static void teardown(void) {
    server_kill(&server);
}

TestSuite(cli, .init = setup, .fini = teardown);

/* It was not let in within the second that it has for that: it has asked nothing. */
static bool was_late(void) {
    return ran.code == 3 && (strstr(ran.err, "TIMEOUT") || strstr(ran.out, "TIMEOUT"));
}

/* Runs sessiond-cli with the namespace web, `input` on its stdin and time for an answer. */
#define CLI_WITH(input, ...)                                                                                           \
    for (int tries = 0; tries == 0 || (tries < 20 && was_late()); tries++)                                             \
    run_program(&ran, input, SESSIOND_CLI, "--timeout", "60000", __VA_ARGS__)

/* The same without input; what it answers, without its line end. */
#define CLI(...)                                                                                                       \
    ({                                                                                                                 \
        CLI_WITH(NULL, __VA_ARGS__, NULL);                                                                             \
        ran.out[strcspn(ran.out, "\n")] = '\0';                                                                        \
        (const char *)ran.out;                                                                                         \
    })

Test(cli, does_one_request_and_prints_json) {
    CLI("session.set", "s1", "{\"cart\": [3]}", "user=ann");
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    cr_assert_str_eq(CLI("session.get", "s1", "{\"fields\": [\"id\", \"data\"]}"),
                     "{\"id\": \"s1\", \"data\": {\"cart\": [3]}}");
    cr_assert_str_eq(CLI("session.get", "s1", "fields=[\"user\"]", "touch=true"), "{\"user\": \"ann\"}");
    cr_assert_str_eq(CLI("session.get", "none"), "null");
    cr_assert_eq(ran.code, 0);
}

Test(cli, takes_ids_as_they_are) {
    const char *ids[] = {"123", "true", "null", "{x}", "1.5", "-", "a=b"};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        if (strcmp(ids[i], "-") == 0) continue;
        CLI("session.set", ids[i], "1");
        cr_assert_eq(ran.code, 0, "%s: %s", ids[i], ran.err);
    }
    cr_assert_str_eq(CLI("--scan", "12"), "123");
    cr_assert_str_eq(CLI("session.count"), "6");
    cr_assert_str_eq(CLI("session.get", "\"123\"", "fields=[\"id\"]"), "{\"id\": \"123\"}", "in quotes it is JSON");
}

Test(cli, loses_nothing_between_json_and_messagepack) {
    const char *values[] = {
        "{\"$bin\": \"AQI=\"}",
        "{\"$str\": \"/w==\"}",
        "{\"$float\": \"nan\"}",
        "{\"$float\": \"-inf\"}",
        "{\"$ext\": [-5, \"AQID\"]}",
        "{\"$map\": [[1, \"one\"], [[2], null]]}",
        "{\"$map\": [[\"$bin\", \"not bytes\"]]}",
        "{\"$map\": [[\"twice\", 1], [\"b\", 2], [\"twice\", 3]]}",
        "{\"$map\": [[\"a\\u0000b\", 1]]}",
        "{\"z\": 1, \"a\": [true, false, null], \"m\": {\"$x\": 1, \"$y\": 2}}",
        "[9223372036854775807, -9223372036854775808, 0, 1.0, 0.1, 1e+300, -0.0]",
        "\"q\\\" \\\\ \\n\\r\\t \\u0001\\u007f \\u0085 \u00e9 \U0001f600\"",
        "{}",
        "[]",
    };
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        CLI("session.set", "s", values[i]);
        cr_assert_eq(ran.code, 0, "%s: %s", values[i], ran.err);
        char expected[600];
        snprintf(expected, sizeof expected, "{\"data\": %s}", values[i]);
        cr_assert_str_eq(CLI("session.get", "s", "fields=[\"data\"]"), expected);
    }
    CLI("session.set", "s", "{\"$int\": \"18446744073709551615\"}");
    cr_assert_str_eq(CLI("session.get", "s", "fields=[\"data\"]"), "{\"data\": 18446744073709551615}");
    CLI("session.set", "s", "bare");
    cr_assert_str_eq(CLI("session.get", "s", "fields=[\"data\"]"), "{\"data\": \"bare\"}");
}

Test(cli, refuses_values_with_a_sentence) {
    const char *bad[] = {"{\"a\":",
                         "[1,]",
                         "\"open",
                         "99999999999999999999",
                         "{\"a\": 1, \"a\": 2}",
                         "{\"$bin\": \"A\"}",
                         "{\"$bin\": 5}",
                         "{\"$int\": \"x\"}",
                         "{\"$int\": \"1\\u0000x\"}",
                         "{\"$int\": \"18446744073709551616\"}",
                         "{\"$ext\": [1]}",
                         "{\"$map\": [1]}",
                         "{\"$what\": 1}",
                         "{\"$float\": \"1\"}",
                         "{\"$str\": \"AB==\"}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CLI("session.set", "s", bad[i]);
        cr_assert_eq(ran.code, 2, "%s: %d %s", bad[i], ran.code, ran.out);
        cr_assert(strstr(ran.err, "sessiond-cli: session.set: "), "%s", ran.err);
    }
}

Test(cli, says_when_to_try_again) {
    static const char full[] = "\x94\x01\x01\x83\xa4"
                               "code\xa7"
                               "STORAGE\xa7"
                               "message\xa5"
                               "Full.\xae"
                               "retry_after_ms\xcd\x03\xe8\xc0";
    struct fake fake = {.mode = FAKE_SENDS, .bytes = full, .size = sizeof full - 1};
    fake_start(&fake);
    CLI("-u", fake.url, "session.set", "s", "1");
    cr_assert_eq(ran.code, 1);
    cr_assert_str_eq(ran.err, "sessiond-cli: STORAGE: Full. retry_after_ms=1000\n");
    fake_stop(&fake);
}

Test(cli, says_how_it_ended) {
    CLI("session.create", "id=s", "id=s");
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    CLI("session.create", "id=s");
    cr_assert_eq(ran.code, 1);
    cr_assert(strncmp(ran.err, "sessiond-cli: EXISTS: ", 22) == 0, "%s", ran.err);
    cr_assert_eq(strchr(ran.err, '\n'), ran.err + strlen(ran.err) - 1, "one line");
    CLI("session.get");
    cr_assert_eq(ran.code, 2);
    cr_assert(strstr(ran.err, "takes 1 argument"), "%s", ran.err);
    CLI("--no-such-option");
    cr_assert_eq(ran.code, 2);
    CLI("-u", "sessionds://x", "server.ping");
    cr_assert_eq(ran.code, 2);
    CLI("-u", "sessiond+unix:///nonexistent.sock", "server.ping");
    cr_assert_eq(ran.code, 3);
    CLI("no.such_method", "1");
    cr_assert_eq(ran.code, 1);
    cr_assert(strstr(ran.err, "UNKNOWN_METHOD"), "%s", ran.err);
}

Test(cli, names_the_namespace_in_the_url_by_option_or_as_an_argument) {
    char url[64];
    snprintf(url, sizeof url, "sessiond://127.0.0.1:%u", server.port);
    CLI("session.set", "s", "1");
    cr_assert_str_eq(CLI("-u", url, "session.count", "web"), "1");
    cr_assert_str_eq(CLI("-u", url, "-n", "web", "session.count"), "1");
    cr_assert_str_eq(CLI("-n", "other", "session.count"), "0");
}

Test(cli, reads_a_value_from_stdin) {
    CLI_WITH("{\"from\": \"stdin\"}\n", "session.set", "s", "-", NULL);
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    cr_assert_str_eq(CLI("session.get", "s", "fields=[\"data\"]"), "{\"data\": {\"from\": \"stdin\"}}");
}

Test(cli, prints_texts_raw) {
    CLI("session.set", "s", "1");
    CLI("--raw", "namespace.list");
    cr_assert_str_eq(ran.out, "[\"web\"]");
    CLI_WITH(NULL, "--raw", "session.get", "none", NULL);
    cr_assert_str_eq(ran.out, "\n");
}

Test(cli, answers_a_pipe_line_by_line_in_order) {
    CLI_WITH("session.set a {\"n\": 1}\n"
             "# a comment\n"
             "\n"
             "session.get a fields=[\"data\"]\n"
             "session.get\n"
             "session.destroy a\n"
             "session.set a 'a bare word'\n"
             "session.set 'b c' \"x y\"\n"
             "session.get 'b c' {\"fields\": [\"id\", \"data\"]}",
             "--pipe", NULL);
    cr_assert_eq(ran.code, 1, "%s", ran.err);
    char *line = strtok(ran.out, "\n");
    cr_assert(strstr(line, "\"version\""), "%s", line);
    cr_assert_str_eq(strtok(NULL, "\n"), "{\"data\": {\"n\": 1}}");
    cr_assert(strstr(strtok(NULL, "\n"), "{\"$error\": {\"code\": \"ARGUMENT\""));
    cr_assert_str_eq(strtok(NULL, "\n"), "true");
    cr_assert(strstr(strtok(NULL, "\n"), "{\"$error\": {\"code\": \"GONE\""));
    cr_assert(strstr(strtok(NULL, "\n"), "\"version\""));
    cr_assert_str_eq(strtok(NULL, "\n"), "{\"id\": \"b c\", \"data\": \"x y\"}");
    cr_assert_null(strtok(NULL, "\n"));
}

Test(cli, pipes_more_than_its_window_and_scans_them_all) {
    static char input[200000];
    size_t size = 0;
    for (int i = 0; i < 5000; i++)
        size += (size_t)snprintf(input + size, sizeof input - size, "session.set id%d %d\n", i, i);
    CLI_WITH(input, NULL);
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    CLI_WITH(NULL, "--scan", "id", NULL);
    unsigned lines = 0;
    for (char *at = ran.out; (at = strchr(at, '\n')); at++) lines++;
    cr_assert_eq(lines, 5000);
    CLI_WITH(NULL, "--scan", "", "--count", "7", NULL);
    lines = 0;
    for (char *at = ran.out; (at = strchr(at, '\n')); at++) lines++;
    cr_assert_eq(lines, 7);
}

Test(cli, measures_pings_and_shows_figures) {
    CLI("--latency", "--count", "50");
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    cr_assert(strncmp(ran.out, "pings 50 ", 9) == 0 && strstr(ran.out, "p99"), "%s", ran.out);
    CLI_WITH(NULL, "--stat", "--count", "1", NULL);
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    cr_assert(strstr(ran.out, "requests/s") && strstr(ran.out, "sessions"), "%s", ran.out);
    cr_assert_null(strstr(ran.out, " - "), "a figure that the server does not have: %s", ran.out);
}

Test(cli, helps_from_the_schema) {
    CLI("help", "session.set");
    cr_assert_eq(ran.code, 0);
    run_program(&ran, NULL, SESSIOND_CLI, "help", "session.set", NULL);
    cr_assert(strstr(ran.out, "if_version") && strstr(ran.out, "Example:") && strstr(ran.out, "Errors: "), "%s",
              ran.out);
    run_program(&ran, NULL, SESSIOND_CLI, "help", "gone", NULL);
    cr_assert(strncmp(ran.out, "GONE\n", 5) == 0, "%s", ran.out);
    run_program(&ran, NULL, SESSIOND_CLI, "help", NULL);
    cr_assert(strstr(ran.out, "session.regenerate") && strstr(ran.out, "EXISTS"), "%s", ran.out);
    CLI("help", "nothing");
    cr_assert_eq(ran.code, 2);
}

Test(cli, completes_methods_and_options_on_a_terminal_and_keeps_a_private_history) {
    char home[] = "sessiond-cli-test-XXXXXX", path[64];
    cr_assert_not_null(mkdtemp(home));
    setenv("HOME", home, 1);
    unsetenv("XDG_STATE_HOME");
    for (int tries = 0; tries == 0 || (tries < 20 && was_late()); tries++)
        run_on_terminal(&ran,
                        "session.cr\t id=s1 us\tann\n"
                        "help session.des\t\n"
                        "use other\n"
                        "session.count\n"
                        "quit\n",
                        SESSIOND_CLI, "--timeout", "60000", NULL);
    cr_assert_eq(ran.code, 0, "%s", ran.out);
    cr_assert(strstr(ran.out, "Ends a session for good"), "%s", ran.out);
    cr_assert(strstr(ran.out, "sessiond other> "), "%s", ran.out);
    cr_assert_str_eq(CLI("session.get", "s1", "fields=[\"user\"]"), "{\"user\": \"ann\"}");
    snprintf(path, sizeof path, "%s/.sessiond_cli_history", home);
    struct stat history;
    cr_assert_eq(stat(path, &history), 0);
    cr_assert_eq(history.st_mode & 0777, 0600, "ids are secrets");
    unlink(path);
    rmdir(home);
}

Test(cli, names_a_session_by_its_handle_and_by_a_cookie) {
    CLI("-n", "hashed", "namespace.configure", "{\"hash_ids\": true}");
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    CLI("-n", "hashed", "session.create", "id=s1", "fields=[\"handle\"]");
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    char word[128];
    snprintf(word, sizeof word, "%.100s", ran.out); /* {"handle": "..."}, as it was answered */
    CLI("-n", "hashed", "session.end", word, "fields=[\"status\"]");
    cr_assert_str_eq(ran.out, "{\"status\": \"ended\"}", "%s %s", ran.out, ran.err);
    CLI("namespace.configure", "{\"cookie_secrets\": [\"keyboard cat\"]}");
    CLI("session.set", "abc", "1");
    CLI("session.get", "{\"cookie\": \"s:abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU\"}", "fields=[\"id\"]");
    cr_assert_str_eq(ran.out, "{\"id\": \"abc\"}", "%s", ran.err);
}

Test(cli, prints_events_as_lines_of_json) {
    CLI_WITH("watch.start kinds=[\"created\",\"destroyed\"]\n"
             "session.set s1 1\n"
             "session.destroy s1\n",
             "--pipe", NULL);
    cr_assert_eq(ran.code, 0, "a pipe does not mind them: %s", ran.err);
    char command[512];
    /* The watch ends with its second event; the requests come when the server says that it has begun. Who was not let
     * in within its second, which ends with 3, tries again. */
    snprintf(
        command, sizeof command,
        "cli() { for try in 1 2 3 4 5 6 7 8 9; do %s --timeout 60000 \"$@\"; [ $? = 3 ] || return; done; }; "
        "cli --count 2 --watch 'kinds=[\"created\",\"destroyed\"]' & "
        "while [ \"$(cli server.stats | grep -c '\"watches\": 1')\" != 1 ]; do sleep 0.02; done; "
        "cli session.set s2 1 >/dev/null; cli session.touch s2 >/dev/null; cli session.destroy s2 >/dev/null; wait",
        SESSIOND_CLI);
    run_program(&ran, NULL, "/bin/sh", "-c", command, NULL);
    char *first = strtok(ran.out, "\n"), *second = strtok(NULL, "\n");
    cr_assert_not_null(second, "%s %s", ran.out, ran.err);
    cr_assert(strstr(first, "\"kind\": \"created\"") && strstr(first, "\"id\": \"s2\""), "%s", first);
    cr_assert(strstr(second, "\"kind\": \"destroyed\"") && strstr(second, "\"seq\": 2"), "%s", second);
    cr_assert_null(strtok(NULL, "\n"));
    CLI("--watch", "kinds=[\"touched\"]");
    cr_assert_eq(ran.code, 1);
    cr_assert(strstr(ran.err, "does not know"), "%s", ran.err);
}

Test(cli, helps_with_every_method_its_arguments_answer_and_example) {
    static const char *const methods[] = {
        SESSIOND_METHOD_SERVER_HELLO,   SESSIOND_METHOD_SESSION_GET,       SESSIOND_METHOD_SESSION_ACTIVATE,
        SESSIOND_METHOD_SESSION_END,    SESSIOND_METHOD_SESSION_REPLACE,   SESSIOND_METHOD_SESSION_VALIDATE,
        SESSIOND_METHOD_SESSION_ROTATE, SESSIOND_METHOD_CLIENT_GET,        SESSIOND_METHOD_CLIENT_ACTIVATE,
        SESSIOND_METHOD_CLIENT_DESTROY, SESSIOND_METHOD_POOL_CONFIGURE,    SESSIOND_METHOD_POOL_ACQUIRE,
        SESSIOND_METHOD_POOL_MARK,      SESSIOND_METHOD_POOL_RENEW,        SESSIOND_METHOD_POOL_LOAD,
        SESSIOND_METHOD_COOKIE_SIGN,    SESSIOND_METHOD_COOKIE_HEADER,     SESSIOND_METHOD_WATCH_START,
        SESSIOND_METHOD_WATCH_STOP,     SESSIOND_METHOD_NAMESPACE_DESCRIBE};
    static struct ran all;
    run_program(&all, NULL, SESSIOND_CLI, "help", NULL);
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        cr_assert(strstr(all.out, methods[i]), "%s is missing in: %s", methods[i], all.out);
        run_program(&ran, NULL, SESSIOND_CLI, "help", methods[i], NULL);
        cr_assert_eq(ran.code, 0, "%s", methods[i]);
        cr_assert(strstr(ran.out, "Answers: ") && strstr(ran.out, "Example:"), "%s", ran.out);
    }
    run_program(&ran, NULL, SESSIOND_CLI, "help", "pool.acquire", NULL);
    cr_assert(strstr(ran.out, "least_used") && strstr(ran.out, "lease_ms"), "%s", ran.out);
    run_program(&ran, NULL, SESSIOND_CLI, "--help", NULL);
    cr_assert(strstr(ran.out, "--watch"), "%s", ran.out);
}

Test(cli, does_requests_of_pools_tokens_and_cookies_in_json) {
    CLI("pool.configure", "p", "{\"max_pool_size\": 1, \"blocked_status_codes\": [403]}");
    cr_assert_eq(ran.code, 0, "%s", ran.err);
    CLI("pool.add", "p", "id=p1", "tags=[\"de\"]", "max_error_score=1.5", "fields=[\"tags\", \"max_error_score\"]");
    cr_assert_str_eq(ran.out, "{\"tags\": [\"de\"], \"max_error_score\": 1.5}", "%s", ran.err);
    CLI("pool.acquire", "p", "create=never", "fields=[\"id\", \"use\"]");
    cr_assert_str_eq(ran.out, "{\"id\": \"p1\", \"use\": 1}", "%s", ran.err);
    CLI("pool.mark", "p1", "good", "use=1");
    cr_assert_str_eq(ran.out, "{\"usage_count\": 1, \"error_score\": 0, \"usable\": true, \"retired\": false}", "%s",
                     ran.err);
    CLI("pool.mark", "p1", "403");
    cr_assert(strstr(ran.out, "\"retired\": true"), "%s %s", ran.out, ran.err);
    CLI("pool.acquire", "p", "create=never");
    cr_assert_eq(ran.code, 1);
    cr_assert(strstr(ran.err, "EXHAUSTED"), "%s", ran.err);
    CLI("session.validate", "s1.made_up");
    cr_assert_str_eq(ran.out, "{\"valid\": false, \"error\": \"invalid_token\", \"session\": null}", "%s", ran.err);
    CLI("cookie.header", "v", "name=sid", "attributes={\"same_site\": \"lax\"}");
    cr_assert_str_eq(ran.out, "\"sid=v; Path=/; HttpOnly; SameSite=Lax\"", "%s", ran.err);
}
