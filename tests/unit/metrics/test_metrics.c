#include "metrics/metrics.h"

#include <criterion/criterion.h>

Test(metrics, every_metric_has_a_name_of_its_own_and_a_help_text) {
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        cr_assert_not_null(metric_infos[i].name, "metric %zu", i);
        cr_assert_gt(strlen(metric_infos[i].help), 0u, "%s", metric_infos[i].name);
        for (size_t k = 0; k < i; k++) cr_assert_str_neq(metric_infos[i].name, metric_infos[k].name);
    }
}

Test(metrics, a_counter_is_named_total_and_a_gauge_is_not) {
    for (size_t i = 0; i < METRIC_COUNT; i++) {
        const char *name = metric_infos[i].name;
        size_t size = strlen(name);
        bool is_total = size > 6 && strcmp(name + size - 6, "_total") == 0;
        cr_assert_eq(is_total, metric_infos[i].kind == METRIC_KIND_COUNTER, "%s", name);
    }
}

Test(metrics, the_loops_figures_add_up) {
    static struct metrics one, two;
    struct metric_sums sums = {0};
    metric_add(&one, METRIC_REQUESTS_TOTAL, 3);
    metric_add(&two, METRIC_REQUESTS_TOTAL, 4);
    counter_add(&two.requests[OP_SESSION_GET], 4);
    counter_add(&one.errors[ERROR_GONE], 2);
    metrics_sum(&one, &sums);
    metrics_sum(&two, &sums);
    cr_assert_eq(sums.values[METRIC_REQUESTS_TOTAL], 7u);
    cr_assert_eq(sums.requests[OP_SESSION_GET], 4u);
    cr_assert_eq(sums.errors[ERROR_GONE], 2u);
}

Test(metrics, the_worst_of_all_loops_is_kept_and_not_their_sum) {
    static struct metrics one, two;
    struct metric_sums sums = {0};
    metric_raise(&one, METRIC_TURN_WORST_US, 3);
    metric_raise(&two, METRIC_TURN_WORST_US, 5);
    metric_raise(&two, METRIC_TURN_WORST_US, 4);
    metrics_sum(&one, &sums);
    cr_assert_eq(sums.values[METRIC_TURN_WORST_US], 3u);
    metrics_sum(&two, &sums);
    metrics_sum(&one, &sums);
    cr_assert_eq(sums.values[METRIC_TURN_WORST_US], 5u);
}

Test(metrics, a_gauge_that_rose_on_one_loop_and_fell_on_another_sums_to_what_is_left) {
    static struct metrics one, two;
    struct metric_sums sums = {0};
    metric_add(&one, METRIC_CONNECTIONS, 5);
    metric_add(&two, METRIC_CONNECTIONS, (uint64_t)-2);
    metrics_sum(&one, &sums);
    metrics_sum(&two, &sums);
    cr_assert_eq(sums.values[METRIC_CONNECTIONS], 3u);
}
