/* Stands in for operations that are not there yet, so that everything links; goes when the last one is. */
#include "op/op_table.gen.h"
#include "op/request.h"

#define ABSENT(name)                                                                                                   \
    __attribute__((weak)) enum op_step name##_begin(struct request *request) {                                         \
        return request_refuse(request, ERROR_UNKNOWN_METHOD, "Not there yet.");                                        \
    }                                                                                                                  \
    __attribute__((weak)) void name##_end(struct request *request, struct buf *out) {                                  \
        (void)request, (void)out;                                                                                      \
    }
ABSENT(session_validate)
ABSENT(session_rotate)
ABSENT(cookie_sign)
ABSENT(cookie_unsign)
ABSENT(cookie_header)
