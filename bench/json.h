/* Writes JSON as it goes, two spaces per level. One thread; the FILE is the caller's. */
#ifndef BENCH_JSON_H
#define BENCH_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { JSON_DEPTH_MAX = 8 };

struct json {
    FILE *out;
    unsigned depth;
    bool has_member[JSON_DEPTH_MAX];
};

void json_begin(struct json *json, FILE *out); /* opens the outermost object */
void json_end(struct json *json);              /* closes it, and the line */

/* `name` is NULL for a member of an array. */
void json_object(struct json *json, const char *name);
void json_array(struct json *json, const char *name);
void json_close(struct json *json, char bracket); /* '}' or ']' */
void json_text(struct json *json, const char *name, const char *value);
void json_number(struct json *json, const char *name, double value); /* not finite is null */
void json_count(struct json *json, const char *name, uint64_t value);
void json_bool(struct json *json, const char *name, bool value);

#endif
