#include "growth.h"
#include "growth_table.h"

#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

static bool is_near(double value, double expected) {
    return fabs(value - expected) < 1e-9;
}

static void expect_points(uint64_t first, uint64_t factor, uint64_t most, unsigned count, const uint64_t *points) {
    static struct growth_axis axis;
    growth_points(&axis, first, factor, most);
    cr_expect_eq(axis.point_count, count, "%u points", axis.point_count);
    for (unsigned i = 0; i < count; i++) cr_expect_eq(axis.points[i], points[i]);
}

Test(growth, points_go_up_by_a_factor_and_end_with_the_most) {
    expect_points(1, 10, 10000, 5, (uint64_t[]){1, 10, 100, 1000, 10000});
    expect_points(1, 100, 19000, 4, (uint64_t[]){1, 100, 10000, 19000});
    expect_points(0, 10, 5, 2, (uint64_t[]){1, 5});
    expect_points(1, 10, 1, 1, (uint64_t[]){1});
    /* However far the end is, there is room for it. */
    expect_points(1, 2, 1000, GROWTH_POINTS_MAX, (uint64_t[]){1, 2, 4, 8, 16, 32, 64, 1000});
}

Test(growth, ratios_are_of_one_round_and_their_median_counts) {
    static struct growth_axis axis = {.point_count = 2, .points = {1, 10}};
    static const double small[] = {100, 200, 400}, large[] = {150, 600, 800};
    for (unsigned round = 0; round < 3; round++) {
        growth_note(&axis, 1, "get", "ns", NULL, 1, large[round]);
        growth_note(&axis, 0, "get", "ns", NULL, 1, small[round]);
    }
    cr_assert_eq(axis.measure_count, 1);
    cr_expect(is_near(growth_value(&axis.measures[0], 0), 200) && is_near(growth_value(&axis.measures[0], 1), 600));
    cr_expect(is_near(growth_ratio(&axis.measures[0], 0, false), 1));
    /* 1.5, 3 and 2: not 600 / 200. */
    cr_expect(is_near(growth_ratio(&axis.measures[0], 1, false), 2));
}

Test(growth, cost_of_a_unit_of_work_is_compared_beside_that_of_the_operation) {
    static struct growth_axis axis = {.point_count = 3, .points = {1, 10, 100}};
    growth_note(&axis, 1, "list", "ns", "session", 10, 500);
    growth_note(&axis, 2, "list", "ns", "session", 100, 10000);
    cr_expect(is_near(growth_ratio(&axis.measures[0], 2, false), 20), "the smallest that was measured is the second");
    cr_expect(is_near(growth_ratio(&axis.measures[0], 2, true), 2));
    cr_expect(is_near(growth_ratio(&axis.measures[0], 0, false), 0), "nothing was measured there");
}

Test(growth, text_has_a_column_for_each_point_and_groups_of_three_digits) {
    static struct growth_axis axis = {.points_of = "sessions", .point_count = 2, .points = {1, 1234567}};
    char text[1024] = "";
    growth_note(&axis, 0, "list", "ns", "session", 1, 9.25);
    growth_note(&axis, 1, "list", "ns", "session", 1000, 1234567);
    FILE *out = fmemopen(text, sizeof text, "w");
    growth_text(&axis, out);
    fclose(out);
    cr_expect(strstr(text, "1,234,567"));
    cr_expect(strstr(text, "list, ns") && strstr(text, "9.25") && strstr(text, "133467 x"), "%s", text);
    cr_expect(strstr(text, "a session") && strstr(text, "1,235") && strstr(text, "133 x"), "%s", text);
}

Test(growth, axes_are_named_and_others_are_not) {
    cr_expect(growth_axes_known("sessions") && growth_axes_known("values,users,connections"));
    cr_expect_not(growth_axes_known(""));
    cr_expect_not(growth_axes_known("sessions,"));
    cr_expect_not(growth_axes_known("session"));
    cr_expect_not(growth_axes_known("sessions,colours"));
}
