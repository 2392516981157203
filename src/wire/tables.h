/* The codec's tables, generated into codec.gen.c: what each operation takes, and every name of the protocol.
 *
 * All constant; for the files of this folder, its tests and its fuzzers. */
#ifndef WIRE_TABLES_H
#define WIRE_TABLES_H

#include "wire/codec.gen.h"
#include "wire/codec.h"

/* Bounds that the schema's types name. */
#define TAG_SIZE_MAX      64
#define STATUS_CODES_MAX  100
#define STATUS_CODE_FIRST 100
#define SECRETS_MAX       8
#define SECRET_SIZE_MAX   256

/* One argument of an operation, one member of timeouts, or one entry of a policy. */
struct argument {
    const char *name;
    uint8_t name_size;
    uint8_t type;       /* enum argument_type */
    uint16_t offset;    /* in its struct */
    uint64_t bit;       /* in `given` and `nil` */
    bool is_nullable;   /* nil says something; else nil is the same as leaving it out */
    bool is_positional; /* must be there */
};

struct op_shape {
    const struct argument *arguments; /* the positional ones, then the options */
    uint8_t positional_count, count;
    uint16_t args_size; /* bytes of its struct args_* */
};
extern const struct op_shape op_shapes[OP_COUNT];

extern const struct argument timeouts_members[], binding_members[], cookie_attributes_members[];
extern const unsigned timeouts_member_count, binding_member_count, cookie_attributes_member_count;
extern const struct argument policy_members[], pool_policy_members[];
extern const unsigned policy_member_count, pool_policy_member_count;

struct word {
    const char *text; /* NULL: the number has no word */
    uint8_t size;
};
struct word_list {
    const struct word *words;
    unsigned count; /* 0: the type has no words */
};
extern const struct word error_words[ERROR_END], status_words[STATUS_END], field_words[FIELD_END],
    event_words[EVENT_END];
extern const struct word_list argument_words[ARGUMENT_TYPE_COUNT];
extern const char *const argument_accepts[ARGUMENT_TYPE_COUNT]; /* what a type takes, for sentences */

#define METHOD_SLOT_SHIFT 56
/* Methods by name: slot ((last eight bytes ^ size) * method_multiplier) >> METHOD_SLOT_SHIFT holds the only one it can
 * be. */
struct method {
    const char *name; /* NULL: a free slot */
    uint8_t size;
    uint8_t op;
};
extern const uint64_t method_multiplier;
extern const struct method method_slots[1 << (64 - METHOD_SLOT_SHIFT)];
/* Methods by number: enum op + 1, or 0 for a number that names none. */
extern const unsigned wire_id_end;
extern const uint8_t ops_by_wire_id[];

#endif
