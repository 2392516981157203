/* Numbers of session.patch's incr: integers stay integers over the whole range of MessagePack (-2^63 to 2^64 - 1), a
 * float on either side makes a float. Pure; any thread. */
#ifndef OP_NUMBER_H
#define OP_NUMBER_H

#include "base/mp.h"

struct number {
    bool is_float;
    __int128 integer; /* unless is_float; within -2^63 and 2^64 - 1 */
    double real;      /* if is_float */
};

#define NUMBER_ZERO ((struct number){false, 0, 0.0})

/* Reads one encoded value; false: it is no number. */
bool number_read(struct bytes value, struct number *number);

/* False: the sum of integers does not fit into one, or a float's is not finite. */
bool number_add(struct number a, struct number b, struct number *sum);

void number_write(struct buf *out, struct number number); /* at most 9 bytes */

#endif
