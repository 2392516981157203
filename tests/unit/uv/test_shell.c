/* What a shell gives the core before it serves: randomness, time, the number of loops, and wakings that go nowhere. */
#include "uv/clock.h"
#include "uv/shell.h"

#include <criterion/criterion.h>

static struct options options;

static struct shell *open_with(const char *threads) {
    char error[OPTIONS_ERROR_MAX];
    const char *argv[] = {"sessiond", "--threads", threads, "--log-level=error", NULL};
    cr_assert_eq(options_load(&options, 4, (char *const *)argv, NULL, error), OPTIONS_RUN, "%s", error);
    struct shell *shell = shell_open(&options, NULL, NULL);
    cr_assert(shell);
    return shell;
}

static void close_all(struct shell *shell) {
    shell_close(shell);
    options_fini(&options);
}

Test(shell, gives_randomness_that_does_not_repeat) {
    struct shell *shell = open_with("1");
    const struct env *env = shell_env(shell);
    uint8_t first[32], second[32];
    env->random(env->context, first, sizeof first);
    env->random(env->context, second, sizeof second);
    cr_assert_arr_neq(first, second, sizeof first);
    close_all(shell);
}

Test(shell, has_as_many_loops_as_asked_for_and_some_if_not) {
    struct shell *shell = open_with("3");
    cr_assert_eq(shell_loop_count(shell), 3);
    close_all(shell);
    shell = open_with("0");
    cr_assert(shell_loop_count(shell) >= 1 && shell_loop_count(shell) <= 8);
    close_all(shell);
}

Test(shell, takes_a_waking_before_it_serves) {
    struct shell *shell = open_with("2");
    const struct env *env = shell_env(shell);
    env->wake(env->context, 0);
    env->wake(env->context, 1);
    close_all(shell);
}

Test(shell, tells_the_time) {
    struct shell *shell = open_with("1");
    int64_t now_ms = shell_now_ms(shell), wall_ms = clock_wall_ms();
    cr_assert(now_ms >= wall_ms - 5000 && now_ms <= wall_ms + 2);
    close_all(shell);
}
