/* Filling in a struct sessiond_error. Any thread. */
#ifndef CLIENT_FAILURE_H
#define CLIENT_FAILURE_H

#include "sessiond/client.h"

/* Fills *error with one of the two enums' codes and a sentence; answers the code. NULL is fine. */
int failure_set(struct sessiond_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* No error: code 0, and nothing said. */
void failure_clear(struct sessiond_error *error);

/* The code of a word that a server sent; SESSIOND_ERROR_OTHER where it is none of this library's. */
int failure_code(const char *word, size_t size);

/* The status of a word; SESSIOND_STATUS_NONE where it is unknown. */
enum sessiond_status_code status_of_word(const char *word, size_t size);

/* The word of a status; NULL where there is none. */
const char *status_word(unsigned status);

/* The same for kinds of events. */
enum sessiond_event_code event_of_word(const char *word, size_t size);
const char *event_word(unsigned kind);

#endif
