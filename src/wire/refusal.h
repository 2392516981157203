/* The sentences of refused requests: each names the method and the argument, what is wrong, and what is accepted.
 *
 * They are put together in one buffer per thread, which the next refusal of that thread overwrites. Cold: a well-formed
 * request never comes here. Every function answers false, so that a reader can end with `return refuse_...`. */
#ifndef WIRE_REFUSAL_H
#define WIRE_REFUSAL_H

#include "wire/tables.h"

/* What is being read, and where its refusal goes. */
struct subject {
    enum op op;         /* OP_COUNT: the method is not known */
    const char *within; /* "" or the name of the map that the argument stands in, with a dot: "timeouts." */
    const struct argument *argument; /* NULL: the request as a whole */
    struct error *error;
};

/* "session.get: id <problem>; it takes <what its type accepts>." `limit` as in struct error. */
bool refuse_argument(const struct subject *subject, enum error_code code, int64_t limit, const char *problem, ...)
    __attribute__((format(printf, 4, 5)));
/* "session.get: <sentence>." */
bool refuse_request(const struct subject *subject, enum error_code code, const char *sentence, ...)
    __attribute__((format(printf, 3, 4)));

/* "an array", "nil": what a value of the type is called. */
const char *refusal_type_name(enum mp_type type);

/* A text from outside made fit for a sentence: at most 40 bytes, all printable ASCII. */
struct quoted {
    char text[48];
};
struct quoted refusal_quote(struct bytes text);

#endif
