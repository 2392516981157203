/* From a line of text to a request: words, then arguments by the schema. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "help.h"
#include "sessiond/client.h"

enum { WORDS_MAX = 64, COMMAND_PROBLEM_MAX = 320, LINE_MAX_BYTES = 4 << 20 };

/* Takes a line apart, in place: words end at a space outside of quotes and JSON brackets; '...' is one word as it
 * stands. Answers how many; -1 with *problem: too many, or an end is missing. */
int words_split(char *line, char *words[WORDS_MAX], char problem[COMMAND_PROBLEM_MAX]);

/* Where the options of a method begin among its words (the method is word 0), with a namespace chosen or not. */
unsigned command_option_word(const struct help_op *op, const char *namespace_name);

/* Makes the request of a method and its arguments. `namespace_name` stands for the first argument of methods that take
 * one; "" : it is among the words. A word "-" is read from `input`, once (NULL: it is a word like others). NULL with
 * *problem: the words are no request. */
struct sessiond_request *command_request(char *const *words, unsigned count, const char *namespace_name, FILE *input,
                                         char problem[COMMAND_PROBLEM_MAX]);

#endif
