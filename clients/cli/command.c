/* From a line of text to a request.
 *
 * A word is read by the type that the schema gives its place: ids, names and texts as they are (a word that begins with
 * " as a JSON string; where a handle or a cookie may stand for an id, also the map that says so), the rest as JSON, and
 * what is no JSON as a string. After the positional arguments come options:
 * JSON maps, or name=value. Everything is gathered in one JSON array, and encoded at its end. One thread. */
#include "command.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

/* ---------------------------------------------------------------- words */

/* The end of the word at `at`: a space outside of quotes and brackets. NULL: an end is missing. */
static char *word_end(char *at) {
    int depth = 0;
    bool in_string = false;
    for (; *at && (in_string || depth > 0 || !isspace((unsigned char)*at)); at++) {
        if (in_string && *at == '\\' && at[1])
            at++;
        else if (*at == '"')
            in_string = !in_string;
        else if (!in_string && (*at == '{' || *at == '['))
            depth++;
        else if (!in_string && (*at == '}' || *at == ']') && depth > 0)
            depth--;
    }
    return in_string || depth > 0 ? NULL : at;
}

int words_split(char *line, char *words[WORDS_MAX], char problem[COMMAND_PROBLEM_MAX]) {
    int count = 0;
    for (;;) {
        while (isspace((unsigned char)*line)) line++;
        if (!*line) return count;
        if (count == WORDS_MAX) {
            snprintf(problem, COMMAND_PROBLEM_MAX, "A line may have at most %d words.", WORDS_MAX);
            return -1;
        }
        bool is_quoted = *line == '\'';
        words[count++] = line += is_quoted;
        char *end = is_quoted ? strchr(line, '\'') : word_end(line);
        if (!end) {
            snprintf(problem, COMMAND_PROBLEM_MAX, "The end of a quote or a bracket is missing in: %.200s", line);
            return -1;
        }
        line = *end ? end + 1 : end;
        *end = '\0';
    }
}

unsigned command_option_word(const struct help_op *op, const char *namespace_name) {
    return 1 + op->positional_count - (op->has_namespace && *namespace_name ? 1 : 0);
}

/* ---------------------------------------------------------------- arguments */

struct reading {
    const char *method;
    FILE *input; /* NULL: none, or used up */
    char *problem;
};

/* All of stdin, up to LINE_MAX_BYTES; NULL with the problem. To be freed. */
static char *read_input(struct reading *reading, size_t *size) {
    char *text = malloc(LINE_MAX_BYTES + 1);
    *size = text ? fread(text, 1, LINE_MAX_BYTES + 1, reading->input) : 0;
    reading->input = NULL;
    if (text && *size <= LINE_MAX_BYTES) return text;
    free(text);
    snprintf(reading->problem, COMMAND_PROBLEM_MAX, "What stands on the input is longer than %d bytes.",
             LINE_MAX_BYTES);
    return NULL;
}

/* Whether a text that is no JSON was surely meant to be: then it is a mistake, not a string. */
static bool looks_like_json(const char *text) {
    return (*text && strchr("{[\"", *text)) || (*text && text[strspn(text, "-0123456789")] == '\0');
}

/* A text as a value: where a text is wanted as it is, else JSON, else a string. NULL with the problem. */
static json_t *text_value(struct reading *reading, const char *text, size_t size, bool is_text) {
    char json_problem[JSON_PROBLEM_MAX] = "it is not UTF-8";
    bool is_plain = is_text && *text != '"';
    json_t *value = is_plain ? json_stringn(text, size) : json_read(text, size, json_problem);
    if (!value && !is_plain && !looks_like_json(text)) value = json_stringn(text, size);
    if (!value)
        snprintf(reading->problem, COMMAND_PROBLEM_MAX, "%s: %.80s is no value: %s.", reading->method, text,
                 json_problem);
    return value;
}

/* {"handle": "..."} or {"cookie": "..."} where that may stand for an id; NULL: the word is something else. */
static json_t *instead_of_id(const struct help_argument *param, const char *word) {
    static const char *const types[][2] = {{"id_or_handle", "handle"}, {"id_or_cookie", "cookie"}};
    char problem[JSON_PROBLEM_MAX];
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        if (*word != '{' || strcmp(param->type, types[i][0]) != 0) continue;
        json_t *map = json_read(word, strlen(word), problem);
        if (json_is_object(map) && json_object_size(map) == 1 && json_object_get(map, types[i][1])) return map;
        json_decref(map);
    }
    return NULL;
}

static json_t *word_value(struct reading *reading, const char *word, bool is_text) {
    if (strcmp(word, "-") != 0 || !reading->input) return text_value(reading, word, strlen(word), is_text);
    size_t size;
    char *text = read_input(reading, &size);
    if (!text) return NULL;
    if (is_text && size && text[size - 1] == '\n') size--;
    text[size] = '\0';
    json_t *value = text_value(reading, text, size, is_text);
    free(text);
    return value;
}

/* name=value, or a JSON map, into the options. */
static bool add_option(struct reading *reading, const struct help_op *op, const char *word, json_t *options) {
    size_t name_size = strspn(word, "abcdefghijklmnopqrstuvwxyz_");
    if (word[name_size] != '=') {
        json_t *map = word_value(reading, word, false);
        bool is_map = json_is_object(map);
        if (map && !is_map)
            snprintf(reading->problem, COMMAND_PROBLEM_MAX,
                     "%s: options are a JSON map or name=value, not %.80s; `help %s` has the arguments.", op->method,
                     word, op->method);
        if (is_map) json_object_update(options, map);
        json_decref(map);
        return is_map;
    }
    const struct help_argument *option = help_option(op, word, name_size);
    char name[64];
    snprintf(name, sizeof name, "%.*s", (int)name_size, word);
    /* An option that this program does not know is the server's to judge: it may be newer. */
    json_t *value = word_value(reading, word + name_size + 1, option && option->is_text);
    return value && json_object_set_new(options, name, value) == 0;
}

/* Appends all words of a known method; false with the problem. */
static bool add_known(struct reading *reading, const struct help_op *op, char *const *words, unsigned count,
                      const char *namespace_name, json_t *params) {
    unsigned at = 1, option_word = command_option_word(op, namespace_name);
    if (count < option_word) {
        snprintf(reading->problem, COMMAND_PROBLEM_MAX, "%s takes %u argument%s and got %u; `help %s` shows them.",
                 op->method, option_word - 1, option_word == 2 ? "" : "s", count - 1, op->method);
        return false;
    }
    const struct help_argument *param = op->params;
    if (op->has_namespace && *namespace_name) {
        json_array_append_new(params, json_string(namespace_name));
        param++;
    }
    for (; at < option_word; at++, param++) {
        json_t *map = instead_of_id(param, words[at]);
        if (json_array_append_new(params, map ? map : word_value(reading, words[at], param->is_text))) return false;
    }
    json_t *options = json_object();
    bool is_fine = true;
    for (; is_fine && at < count; at++) is_fine = add_option(reading, op, words[at], options);
    if (is_fine && json_object_size(options) > 0) json_array_append(params, options);
    json_decref(options);
    return is_fine;
}

static bool add_words(struct reading *reading, char *const *words, unsigned count, const char *namespace_name,
                      json_t *params) {
    const struct help_op *op = help_find(words[0]);
    if (op) return add_known(reading, op, words, count, namespace_name, params);
    for (unsigned at = 1; at < count; at++)
        if (json_array_append_new(params, word_value(reading, words[at], false))) return false;
    return true;
}

struct sessiond_request *command_request(char *const *words, unsigned count, const char *namespace_name, FILE *input,
                                         char problem[COMMAND_PROBLEM_MAX]) {
    struct reading reading = {words[0], input, problem};
    char json_problem[JSON_PROBLEM_MAX];
    struct buf encoded = BUF_EMPTY;
    struct sessiond_request *request = NULL;
    json_t *params = json_array();
    snprintf(problem, COMMAND_PROBLEM_MAX, "Memory is lacking.");
    if (params && add_words(&reading, words, count, namespace_name, params)) {
        if (json_write_mp(params, &encoded, json_problem) && !encoded.is_failed)
            request = sessiond_request_make(words[0], (struct sessiond_bytes){encoded.data, encoded.size});
        else if (!encoded.is_failed)
            snprintf(problem, COMMAND_PROBLEM_MAX, "%s: %s.", words[0], json_problem);
    }
    json_decref(params);
    buf_fini(&encoded);
    return request;
}
