/* See json.h. */
#include "json.h"

#include <assert.h>
#include <math.h>

static void write_quoted(FILE *out, const char *text) {
    fputc('"', out);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\')
            fprintf(out, "\\%c", *at);
        else if (*at < ' ')
            fprintf(out, "\\u%04x", *at);
        else
            fputc(*at, out);
    }
    fputc('"', out);
}

static void begin_member(struct json *json, const char *name) {
    if (json->has_member[json->depth]) fputc(',', json->out);
    json->has_member[json->depth] = true;
    fprintf(json->out, "\n%*s", (int)(2 * json->depth), "");
    if (!name) return;
    write_quoted(json->out, name);
    fputs(": ", json->out);
}

static void open_bracket(struct json *json, char bracket) {
    fputc(bracket, json->out);
    json->depth++;
    assert(json->depth < JSON_DEPTH_MAX);
    json->has_member[json->depth] = false;
}

void json_begin(struct json *json, FILE *out) {
    *json = (struct json){.out = out};
    open_bracket(json, '{');
}

void json_end(struct json *json) {
    json_close(json, '}');
    fputc('\n', json->out);
    assert(json->depth == 0);
}

void json_object(struct json *json, const char *name) {
    begin_member(json, name);
    open_bracket(json, '{');
}

void json_array(struct json *json, const char *name) {
    begin_member(json, name);
    open_bracket(json, '[');
}

void json_close(struct json *json, char bracket) {
    bool was_empty = !json->has_member[json->depth];
    json->depth--;
    if (!was_empty) fprintf(json->out, "\n%*s", (int)(2 * json->depth), "");
    fputc(bracket, json->out);
}

void json_text(struct json *json, const char *name, const char *value) {
    begin_member(json, name);
    if (value)
        write_quoted(json->out, value);
    else
        fputs("null", json->out);
}

void json_number(struct json *json, const char *name, double value) {
    begin_member(json, name);
    if (isfinite(value))
        fprintf(json->out, "%.10g", value);
    else
        fputs("null", json->out);
}

void json_count(struct json *json, const char *name, uint64_t value) {
    begin_member(json, name);
    fprintf(json->out, "%llu", (unsigned long long)value);
}

void json_bool(struct json *json, const char *name, bool value) {
    begin_member(json, name);
    fputs(value ? "true" : "false", json->out);
}
