/* Errors of the client as values, and the words of codes and statuses. No state; any thread. */
#include "failure.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

struct word {
    int code;
    const char *word;
};

#define ROW(code, word) {code, word},
static const struct word error_words[] = {SESSIOND_ERROR_WORDS(ROW){SESSIOND_ERROR_OTHER, "OTHER"},
                                          {SESSIOND_ERROR_CONNECTION, "CONNECTION"},
                                          {SESSIOND_ERROR_TIMEOUT, "TIMEOUT"},
                                          {SESSIOND_ERROR_PROTOCOL, "PROTOCOL"},
                                          {SESSIOND_ERROR_URL, "URL"},
                                          {SESSIOND_ERROR_ARGUMENT, "ARGUMENT"},
                                          {SESSIOND_ERROR_OVERLOADED, "OVERLOADED"},
                                          {SESSIOND_ERROR_CLIENT_MEMORY, "CLIENT_MEMORY"},
                                          {SESSIOND_ERROR_CLOSED, "CLOSED"},
                                          {0, NULL}};
static const struct word status_words[] = {SESSIOND_STATUS_WORDS(ROW){0, NULL}};
static const struct word event_words[] = {SESSIOND_EVENT_WORDS(ROW){0, NULL}};

static const char *word_of(const struct word *row, int code) {
    while (row->word && row->code != code) row++;
    return row->word;
}

/* The row of a word; the last row, without a word, where there is none. */
static const struct word *row_of(const struct word *row, const char *word, size_t size) {
    while (row->word && (strlen(row->word) != size || memcmp(row->word, word, size) != 0)) row++;
    return row;
}

void failure_clear(struct sessiond_error *error) {
    error->code = 0;
    error->code_name[0] = error->message[0] = '\0';
    error->version = 0;
    error->status = SESSIOND_STATUS_NONE;
    error->limit = -1;
    error->retry_after_ms = 0;
}

int failure_set(struct sessiond_error *error, int code, const char *format, ...) {
    if (!error) return code;
    failure_clear(error);
    error->code = code;
    const char *word = word_of(error_words, code);
    snprintf(error->code_name, sizeof error->code_name, "%s", word ? word : "OTHER");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return code;
}

int failure_code(const char *word, size_t size) {
    const struct word *row = row_of(error_words, word, size);
    /* A server that sends one of the client's own words does not thereby become the client. */
    return row->word && row->code < SESSIOND_ERROR_OTHER ? row->code : SESSIOND_ERROR_OTHER;
}

enum sessiond_status_code status_of_word(const char *word, size_t size) {
    return (enum sessiond_status_code)row_of(status_words, word, size)->code;
}

const char *sessiond_status_name(enum sessiond_status_code status) {
    return word_of(status_words, (int)status);
}

enum sessiond_event_code event_of_word(const char *word, size_t size) {
    return (enum sessiond_event_code)row_of(event_words, word, size)->code;
}

const char *event_word(unsigned kind) {
    return word_of(event_words, (int)kind);
}

const char *status_word(unsigned status) {
    return word_of(status_words, (int)status);
}
