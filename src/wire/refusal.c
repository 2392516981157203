/* Puts the sentences of refused requests together. */
#include "wire/refusal.h"

#include <stdarg.h>
#include <stdio.h>

static _Thread_local char message[384];

/* vsnprintf into what is left behind `used`; answers the new `used`, never above the buffer's last byte. */
__attribute__((format(printf, 2, 0))) static size_t append_list(size_t used, const char *format, va_list list) {
    int size = vsnprintf(message + used, sizeof message - used, format, list);
    if (size < 0) return used;
    return used + (size_t)size < sizeof message ? used + (size_t)size : sizeof message - 1;
}

__attribute__((format(printf, 2, 3))) static size_t append(size_t used, const char *format, ...) {
    va_list list;
    va_start(list, format);
    used = append_list(used, format, list);
    va_end(list);
    return used;
}

static size_t begin_sentence(const struct subject *subject) {
    return subject->op < OP_COUNT ? append(0, "%s: ", op_infos[subject->op].method) : 0;
}

bool refuse_argument(const struct subject *subject, enum error_code code, int64_t limit, const char *problem, ...) {
    size_t used = begin_sentence(subject);
    used = append(used, "%s%s ", subject->within, subject->argument->name);
    va_list list;
    va_start(list, problem);
    used = append_list(used, problem, list);
    va_end(list);
    append(used, "; it takes %s.", argument_accepts[subject->argument->type]);
    *subject->error = error_make(code, message);
    subject->error->limit = limit;
    return false;
}

bool refuse_request(const struct subject *subject, enum error_code code, const char *sentence, ...) {
    size_t used = begin_sentence(subject);
    va_list list;
    va_start(list, sentence);
    used = append_list(used, sentence, list);
    va_end(list);
    append(used, ".");
    *subject->error = error_make(code, message);
    return false;
}

const char *refusal_type_name(enum mp_type type) {
    static const char *const names[] = {
        [MP_NIL] = "nil",    [MP_BOOL] = "a bool",    [MP_INTEGER] = "an integer", [MP_FLOAT] = "a float",
        [MP_STR] = "a str",  [MP_BIN] = "a bin",      [MP_ARRAY] = "an array",     [MP_MAP] = "a map",
        [MP_EXT] = "an ext", [MP_NEVER] = "no value", [MP_END] = "missing",
    };
    return names[type];
}

struct quoted refusal_quote(struct bytes text) {
    struct quoted quoted;
    size_t size = text.size <= 40 ? text.size : 37;
    for (size_t i = 0; i < size; i++) {
        bool is_printable = text.data[i] >= 0x20 && text.data[i] < 0x7f;
        quoted.text[i] = is_printable ? (char)text.data[i] : '?';
    }
    if (size < text.size) {
        memcpy(quoted.text + size, "...", 3);
        size += 3;
    }
    quoted.text[size] = 0;
    return quoted;
}
