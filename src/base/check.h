/* CHECK: the assertion of `*_check` functions, which walk a whole structure for a test. It stays in release builds
 * (an `assert` would leave a check that checks nothing there); never for anything on a request's way. */
#ifndef BASE_CHECK_H
#define BASE_CHECK_H

#include <stdio.h>
#include <stdlib.h>

_Noreturn static inline void check_failed(const char *condition, const char *file, int line) {
    fprintf(stderr, "%s:%d: %s does not hold\n", file, line, condition);
    abort();
}

#define CHECK(condition) ((condition) ? (void)0 : check_failed(#condition, __FILE__, __LINE__))

#endif
