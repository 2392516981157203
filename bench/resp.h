/* The words that requests in RESP2 are made of. No state; any thread. */
#ifndef BENCH_RESP_H
#define BENCH_RESP_H

#include "driver.h"

/* Append `mark` with a count and an end of line, a whole bulk string, and the value that is stamp and filling. */
void resp_write_count(struct template *template, char mark, size_t count);
void resp_write_word(struct template *template, const char *word);
void resp_write_value(const struct driver_setup *setup, struct template *template);

#endif
