/* See resp.h. */
#include "resp.h"

#include <stdio.h>

enum { LINE_BYTES = 28 };

void resp_write_count(struct template *template, char mark, size_t count) {
    char text[LINE_BYTES];
    snprintf(text, sizeof text, "%c%zu\r\n", mark, count);
    template_text(template, text);
}

void resp_write_word(struct template *template, const char *word) {
    resp_write_count(template, '$', strlen(word));
    template_text(template, word);
    template_text(template, "\r\n");
}

void resp_write_value(const struct driver_setup *setup, struct template *template) {
    resp_write_count(template, '$', setup->value_bytes);
    template_filling(template, setup->value_bytes);
    template_text(template, "\r\n");
}
