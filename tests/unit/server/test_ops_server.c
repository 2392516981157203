/* hello, ping, info, stats and snapshot. */
#include "rig.h"
#include "server/internal.h"

static struct rig rig;
static void setup(void) {
    rig_open(&rig);
}
static void teardown(void) {
    rig_close(&rig);
}
TestSuite(ops_server, .init = setup, .fini = teardown);

static char *answer_to(const char *method, const char *params) {
    rig_add(&rig, 1, method, params);
    rig_feed(&rig);
    return rig_take(&rig);
}

static void expect_part(const char *method, const char *params, const char *part) {
    char *text = answer_to(method, params);
    cr_assert(strstr(text, part), "%s %s should hold %s\ngot %s", method, params, part, text);
    free(text);
}

Test(ops_server, hello_tells_limits_methods_and_the_default_namespace) {
    expect_part("server.hello", "[{'version': 1, 'namespace': 'web'}]",
                "'version': 1, 'namespace': 'web', 'now': 1767225600000");
    expect_part("server.hello", "[]", "'max_frame': 2097152");
    expect_part("server.hello", "[]", "'session.get': 11");
    expect_part("server.hello", "[]", "'features': ['tokens', 'cookies']"); /* the engine here has no pools */
}

Test(ops_server, hello_without_a_namespace_keeps_the_one_that_stands) {
    expect_part("server.hello", "[]", "'namespace': null");
    expect_part("server.hello", "[{'namespace': 'web'}]", "'namespace': 'web'");
    expect_part("server.hello", "[]", "'namespace': 'web'");
}

Test(ops_server, hello_refuses_another_version_and_changes_nothing) {
    expect_part("server.hello", "[{'version': 2, 'namespace': 'web'}]", "'code': 'BAD_REQUEST'");
    expect_part("server.hello", "[]", "'namespace': null");
}

Test(ops_server, a_method_may_be_named_by_its_number) {
    mp_write_array(&rig.sent, 4);
    mp_write_uint(&rig.sent, 0), mp_write_uint(&rig.sent, 3), mp_write_uint(&rig.sent, 2), mp_write_array(&rig.sent, 0);
    rig_feed(&rig);
    rig_expect_text(&rig, "[1, 3, null, {'now': 1767225600000}]\n");
}

Test(ops_server, stats_count_requests_by_method_and_errors_by_code) {
    free(answer_to("session.set", "['web', 'x', 1]"));
    free(answer_to("session.get", "['web', 'x']"));
    free(answer_to("session.get", "['web', 'refuse']"));
    char *text = answer_to("server.stats", "[]");
    const char *parts[] = {"'requests_total': 3",     "'requests_total.session.get': 2",
                           "'errors_total.LIMIT': 1", "'errors_total': 1",
                           "'connections': 1",        "'sessions': 1",
                           "'reaper_lag_ms': -1",     "'batches_total': 3"};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        cr_assert(strstr(text, parts[i]), "%s: %s", parts[i], text);
    free(text);
}

Test(ops_server, stats_count_bytes_both_ways) {
    rig_add(&rig, 1, "server.ping", "[]");
    size_t in = rig.sent.size;
    rig_feed(&rig);
    size_t out = conn_output(rig.conn).size;
    free(rig_take(&rig));
    char part[64];
    char *text = answer_to("server.stats", "[]");
    snprintf(part, sizeof part, "'bytes_out_total': %zu,", out);
    cr_assert(strstr(text, part), "%s: %s", part, text);
    snprintf(part, sizeof part, "'bytes_in_total': %zu,", in + 17);
    cr_assert(strstr(text, part), "%s: %s", part, text);
    free(text);
}

Test(ops_server, info_says_what_the_server_is_and_for_how_long) {
    rig.now_ms += 5000;
    server_set_clock_offset(rig.server, -30);
    expect_part("server.info", "[]", "'engine': 'fake'");
    expect_part("server.info", "[]", "'uptime_ms': 5000");
    expect_part("server.info", "[]", "'clock_offset_ms': -30");
    expect_part("server.info", "[]", "'connections': 1");
}

static struct snapshot_answer told;
static void tell_snapshot(void *context, struct snapshot_answer *answer) {
    (void)context;
    *answer = told;
}

Test(ops_server, snapshot_needs_a_server_that_keeps_something_and_can_write) {
    expect_part("server.snapshot", "[]", "'code': 'BAD_REQUEST'");
    rig.server->options.shell_snapshot = tell_snapshot;
    told = (struct snapshot_answer){.is_kept = false};
    expect_part("server.snapshot", "[]", "'code': 'BAD_REQUEST'");
    told = (struct snapshot_answer){.is_kept = true, .has_failed = true};
    expect_part("server.snapshot", "[]", "'code': 'READ_ONLY'");
    told = (struct snapshot_answer){.is_kept = true, .number = 7, .newest = 4, .failures = 1};
    expect_part("server.snapshot", "[]", "{'number': 7, 'newest_number': 4, 'failures': 1}");
}
