"""The C that follows from the schema: the protocol's types, the codec's tables, the dispatch table, client constants."""

import json

from schema import BANNER, arguments, c_name, constant, live

METHOD_SLOTS = 256


# What types without members, values or a C type of the language become.
TYPE_STRUCTS = """
/* An id, or what stands in its place. */
enum id_kind { ID_PLAIN, ID_HANDLE, ID_COOKIE };
struct id_choice {
    struct bytes text; /* of the id, the handle or the signed cookie */
    enum id_kind kind;
};

/* A set of status codes, 0 to STATUS_CODE_END - 1: bit code % 64 of word code / 64. */
#define STATUS_CODE_END 600
struct status_codes {
    uint64_t bits[(STATUS_CODE_END + 63) / 64];
};

enum mark_kind { MARK_GOOD, MARK_BAD, MARK_RETIRE, MARK_STATUS_CODE };
struct mark_outcome {
    enum mark_kind kind;
    uint32_t status_code; /* with MARK_STATUS_CODE */
};

enum cookie_secure { COOKIE_SECURE_FALSE, COOKIE_SECURE_TRUE, COOKIE_SECURE_AUTO };
enum same_site { SAME_SITE_ABSENT, SAME_SITE_STRICT, SAME_SITE_LAX, SAME_SITE_NONE, SAME_SITE_AUTO };

/* A short text that is copied, not borrowed: it may stand in a policy. */
struct cookie_text {
    uint8_t size;
    char text[255];
};
"""


def members(rows, types):
    width = max(len(types[row["type"]]["c"]) for row in rows)
    return "".join(f"    {types[row['type']]['c']:<{width}} {row['name']};\n" for row in rows)


def bits(prefix, rows):
    return "enum {\n" + "".join(
        f"    {constant(prefix, row['name'])} = 1 << {i},\n" for i, row in enumerate(rows)) + "};\n"


def c_default(row):
    if row["default"] == "none":
        return "{0}"
    if row["type"] == "status_codes":
        words = [0] * 10
        for code in row["default"]:
            words[code // 64] |= 1 << code % 64
        return "{{" + ", ".join(f"UINT64_C({word:#x})" for word in words) + "}}"
    if row["type"] == "score":
        return repr(float(row["default"]))
    if row["type"] == "bool":
        return "true" if row["default"] else "false"
    if isinstance(row["default"], str):
        return constant(row["type"], row["default"])
    return f"INT64_C({row['default']})"


def protocol_h(schema):
    types = {t["name"]: t for t in schema["type"]}
    ops = live(schema["op"])
    out = [BANNER, "#ifndef SESSIOND_PROTOCOL_H\n#define SESSIOND_PROTOCOL_H\n\n#include \"sessiond/bytes.h\"\n\n"]
    p = schema["protocol"]
    out.append(f"#define PROTOCOL_VERSION {p['version']}\n#define PROTOCOL_DEFAULT_PORT {p['default_port']}\n\n")
    out.append("/* Limits: see PROTOCOL.md. */\n")
    out += [f"#define LIMIT_{constant(l['name'])} INT64_C({l['value']}) /* {l['doc']} */\n" for l in schema["limit"]]
    for name, rows, key in (("error_code", schema["error"], "code"), ("status", schema["status"], "name"),
                            ("field", schema["field"], "name"), ("event_kind", schema["event"], "name"),
                            ("effect_kind", schema["effect"], "name")):
        prefix = {"error_code": "ERROR", "event_kind": "EVENT", "effect_kind": "EFFECT"}.get(name, constant(name))
        rows = live(rows)
        out.append(f"\nenum {name} {{\n    {prefix}_NONE = 0,\n")
        out += [f"    {constant(prefix, r[key])} = {r['id']},\n" for r in rows]
        out.append(f"    {prefix}_END = {max(r['id'] for r in rows) + 1} /* one past the last */\n}};\n")
    out.append("\n#define FIELD_BIT(field) (UINT64_C(1) << (field))\n#define STATUS_BIT(status) (UINT64_C(1) << (status))\n")
    for t in schema["type"]:
        if "values" in t:
            out.append(f"\nenum {t['name']} {{ " + ", ".join(constant(t["name"], v) for v in t["values"]) + " };\n")
    out.append("\n#define EVENT_BIT(event) (UINT64_C(1) << (event))\n" + TYPE_STRUCTS)
    for t in schema["type"]:
        if "members" in t:
            out.append(f"\n/* `given` and `nil` hold a bit per member; nil ones are given too. */\n{t['c']} {{\n"
                       f"    uint64_t given, nil;\n{members(t['members'], types)}}};\n{bits(t['name'], t['members'])}")
    for name, of in (("policy", "a namespace"), ("pool_policy", "a pool")):
        rows = live(schema[name])
        out.append(f"\n/* The policy of {of}; meanings in PROTOCOL.md. */\nstruct {name} {{\n{members(rows, types)}}};\n"
                   f"{bits(name, rows)}"
                   f"struct {name}_change {{\n    uint64_t given, nil; /* bits {constant(name)}_*; nil ones are given too */\n"
                   f"    struct {name} values;\n}};\n#define {constant(name)}_DEFAULTS \\\n    {{ \\\n"
                   + "".join(f"        .{r['name']} = {c_default(r)}, \\\n" for r in rows) + "    }\n")
    out.append("\n/* Dense indices; the numbers on the wire are op_infos[].wire_id of the codec. */\nenum op {\n")
    out += [f"    OP_{constant(o['method'])},\n" for o in ops]
    out.append("    OP_COUNT\n};\n")
    for o in ops:
        rows = arguments(o)
        out.append(f"\n/* {o['method']}. `given` and `nil` hold a bit per argument; nil ones are given too; an argument that\n"
                   f" * is not given or nil is all zero. Borrowed from the request. */\nstruct args_{c_name(o['method'])} {{\n"
                   f"    uint64_t given, nil;\n{members(rows, types) if rows else ''}}};\n")
        if rows:
            out.append(bits(o["method"], rows))
    out.append("\nunion op_args {\n    struct {\n        uint64_t given, nil;\n    } any; /* the common start of all */\n")
    out += [f"    struct args_{c_name(o['method'])} {c_name(o['method'])};\n" for o in ops]
    out.append("};\n\n#endif\n")
    return "".join(out)


# ---------------------------------------------------------------- the codec's tables


def codec_h(schema):
    out = [BANNER, "#ifndef WIRE_CODEC_GEN_H\n#define WIRE_CODEC_GEN_H\n\n"]
    out.append("enum argument_type {\n" + "".join(f"    ARGUMENT_{constant(t['name'])},\n" for t in schema["type"])
               + "    ARGUMENT_TYPE_COUNT\n};\n\n")
    out.append("/* A field's name as it stands in a record: head and text. */\n")
    for f in live(schema["field"]):
        assert len(f["name"]) < 32
        out.append(f"#define KEY_{constant(f['name'])} \"\\x{0xa0 + len(f['name']):02x}\" \"{f['name']}\"\n")
    fields, statuses = live(schema["field"]), live(schema["status"])
    out.append("\n#define FIELDS_KNOWN \\\n    (" + " | \\\n     ".join(f"FIELD_BIT(FIELD_{constant(f['name'])})" for f in fields) + ")\n")
    out.append("#define STATUSES_KNOWN \\\n    (" + " | \\\n     ".join(f"STATUS_BIT(STATUS_{constant(s['name'])})" for s in statuses) + ")\n")
    out.append("\n#endif\n")
    return "".join(out)


def method_slot(method, seed):
    """Where a method stands in method_slots. decode.c's method_slot is the same sum."""
    tail = int.from_bytes(method.encode()[-8:], "little")
    return ((tail ^ len(method)) * seed % 2**64) >> 56


def method_seed(methods):
    """The first odd number that gives every method a slot of its own."""
    assert all(len(m) >= 8 for m in methods), "method_slot takes the last eight bytes"
    for n in range(1, 10_000_000):
        seed = (0x9E3779B97F4A7C15 * n | 1) % 2**64
        if len({method_slot(m, seed) for m in methods}) == len(methods):
            return seed
    raise SystemExit("no multiplier found: make METHOD_SLOTS (and the shift) larger")


def argument_row(row, struct, bit, positional):
    flags = ("true" if row.get("nullable") else "false", "true" if positional else "false")
    return (f"    {{\"{row['name']}\", {len(row['name'])}, ARGUMENT_{constant(row['type'])}, "
            f"offsetof({struct}, {row['name']}), UINT64_C(1) << {bit}, {flags[0]}, {flags[1]}}},\n")


def accepts(row):
    """What a type takes, short enough for an error's sentence."""
    if "values" in row:
        return "one of " + ", ".join(row["values"])
    return row["accepts"].split(";")[0]


def names(symbol, rows, key, prefix, end):
    return (f"\nconst struct word {symbol}[{end}] = {{\n"
            + "".join(f"    [{constant(prefix, r[key])}] = {{\"{r[key]}\", {len(r[key])}}},\n" for r in rows) + "};\n")


def codec_c(schema):
    ops = live(schema["op"])
    out = [BANNER, '#include "wire/tables.h"\n\n#include <stddef.h>\n']
    for t in schema["type"]:
        if "members" in t:
            out.append(f"\nconst struct argument {t['name']}_members[] = {{\n"
                       + "".join(argument_row({**m, "nullable": True}, t["c"], i, False) for i, m in enumerate(t["members"]))
                       + f"}};\nconst unsigned {t['name']}_member_count = {len(t['members'])};\n")
    for name in ("policy", "pool_policy"):
        rows = live(schema[name])
        out.append(f"\nconst struct argument {name}_members[] = {{\n"
                   + "".join(argument_row({**m, "nullable": True}, f"struct {name}", i, False) for i, m in enumerate(rows))
                   + f"}};\nconst unsigned {name}_member_count = {len(rows)};\n"
                   f"const struct {name} {name}_defaults = {constant(name)}_DEFAULTS;\n")
    for o in ops:
        if arguments(o):
            out.append(f"\nstatic const struct argument {c_name(o['method'])}_arguments[] = {{\n" + "".join(
                argument_row(row, f"struct args_{c_name(o['method'])}", i, i < len(o.get("params", [])))
                for i, row in enumerate(arguments(o))) + "};\n")
    out.append("\nconst struct op_shape op_shapes[OP_COUNT] = {\n")
    for o in ops:
        table = f"{c_name(o['method'])}_arguments" if arguments(o) else "NULL"
        out.append(f"    [OP_{constant(o['method'])}] = {{{table}, {len(o.get('params', []))}, {len(arguments(o))}, "
                   f"sizeof(struct args_{c_name(o['method'])})}},\n")
    out.append("};\n\nconst struct op_info op_infos[OP_COUNT] = {\n")
    for o in ops:
        offset = f"offsetof(struct args_{c_name(o['method'])}, op_id)" if o.get("write") else "-1"
        bit = constant(o["method"], "op_id") if o.get("write") else "0"
        write, secret = ("true" if o.get(flag) else "false" for flag in ("write", "secret"))
        out.append(f"    [OP_{constant(o['method'])}] = {{\"{o['method']}\", {o['id']}, {write}, {secret}, {offset}, {bit}}},\n")
    out.append("};\n")
    seed = method_seed([o["method"] for o in ops])
    out.append(f"\nconst uint64_t method_multiplier = UINT64_C({seed:#x});\n"
               f"const struct method method_slots[{METHOD_SLOTS}] = {{\n")
    for o in sorted(ops, key=lambda o: method_slot(o["method"], seed)):
        out.append(f"    [{method_slot(o['method'], seed)}] = {{\"{o['method']}\", {len(o['method'])}, OP_{constant(o['method'])}}},\n")
    top = max(o["id"] for o in ops)
    out.append(f"}};\n\nconst unsigned wire_id_end = {top + 1};\nconst uint8_t ops_by_wire_id[{top + 1}] = {{\n"
               + "".join(f"    [{o['id']}] = OP_{constant(o['method'])} + 1,\n" for o in ops) + "};\n")
    out.append(names("error_words", live(schema["error"]), "code", "ERROR", "ERROR_END"))
    out.append(names("status_words", live(schema["status"]), "name", "STATUS", "STATUS_END"))
    out.append(names("field_words", live(schema["field"]), "name", "FIELD", "FIELD_END"))
    out.append(names("event_words", live(schema["event"]), "name", "EVENT", "EVENT_END"))
    enums = [t for t in schema["type"] if "values" in t]
    for t in enums:
        out.append(f"\nstatic const struct word {t['name']}_words[] = {{\n"
                   + "".join(f"    [{constant(t['name'], v)}] = {{\"{v}\", {len(v)}}},\n" for v in t["values"]) + "};\n")
    out.append("\nconst struct word_list argument_words[ARGUMENT_TYPE_COUNT] = {\n" + "".join(
        f"    [ARGUMENT_{constant(t['name'])}] = {{{t['name']}_words, {len(t['values'])}}},\n" for t in enums) + "};\n")
    out.append("\nconst char *const argument_accepts[ARGUMENT_TYPE_COUNT] = {\n" + "".join(
        f"    [ARGUMENT_{constant(t['name'])}] = {json.dumps(accepts(t))},\n" for t in schema["type"]) + "};\n")
    out.append("\nconst struct limit_info limit_infos[] = {\n"
               + "".join(f"    {{\"{l['name']}\", LIMIT_{constant(l['name'])}}},\n" for l in schema["limit"])
               + f"}};\nconst size_t limit_count = {len(schema['limit'])};\n")
    return "".join(out)


# ---------------------------------------------------------------- the operations' table


def op_table_h(schema):
    out = [BANNER, '#ifndef OP_OP_TABLE_GEN_H\n#define OP_OP_TABLE_GEN_H\n\n#include "op/op.h"\n']
    family = None
    for o in sorted(live(schema["op"]), key=lambda o: o["family"]):
        if o["family"] != family:
            family = o["family"]
            out.append(f"\n/* {family} */\n")
        out.append(f"enum op_step {c_name(o['method'])}_begin(struct request *request);\n"
                   f"void {c_name(o['method'])}_end(struct request *request, struct buf *out);\n")
    out.append("\n#endif\n")
    return "".join(out)


def op_table_c(schema):
    return (BANNER + '#include "op/op_table.gen.h"\n\nconst struct op_def op_defs[OP_COUNT] = {\n'
            + "".join(f"    [OP_{constant(o['method'])}] = {{{c_name(o['method'])}_begin, {c_name(o['method'])}_end}},\n"
                      for o in live(schema["op"])) + "};\n")


# ---------------------------------------------------------------- what a client in C or C++ may include


def client_constants_h(schema):
    """Independent of protocol.h, whose structs have members that are keywords in C++."""
    p = schema["protocol"]
    out = [BANNER, "/* Names and numbers of the protocol for clients; meanings in PROTOCOL.md. C and C++; needs nothing else. */\n"
           "#ifndef SESSIOND_CLIENT_CONSTANTS_H\n#define SESSIOND_CLIENT_CONSTANTS_H\n\n"
           f"#define SESSIOND_PROTOCOL_VERSION {p['version']}\n#define SESSIOND_DEFAULT_PORT {p['default_port']}\n\n"]
    out += [f"#define SESSIOND_LIMIT_{constant(l['name'])} {l['value']}LL /* {l['doc']} */\n" for l in schema["limit"]]
    for name, table, key in (("error", "error", "code"), ("status", "status", "name"), ("event", "event", "name")):
        rows = live(schema[table])
        out.append(f"\nenum sessiond_{name}_code {{\n    SESSIOND_{constant(name)}_NONE = 0,\n"
                   + ",\n".join(f"    SESSIOND_{constant(name, r[key])} = {r['id']}" for r in rows) + "\n};\n")
        out.append(f"/* Their words on the wire: X(constant, word). */\n#define SESSIOND_{constant(name)}_WORDS(X) \\\n"
                   + " \\\n".join(f"    X(SESSIOND_{constant(name, r[key])}, \"{r[key]}\")" for r in rows) + "\n")
    out.append("\n/* The fields of a record: X(name). */\n#define SESSIOND_FIELDS(X) \\\n"
               + " \\\n".join(f"    X({f['name']})" for f in live(schema["field"])) + "\n")
    out.append("\n/* Methods, and the small integers that may stand in their place. */\n")
    for o in live(schema["op"]):
        out.append(f"#define SESSIOND_METHOD_{constant(o['method'])} \"{o['method']}\"\n"
                   f"#define SESSIOND_METHOD_{constant(o['method'])}_ID {o['id']}\n")
    out.append("\n#endif\n")
    return "".join(out)


OUTPUTS = {
    "include/sessiond/protocol.h": protocol_h,
    "include/sessiond/client_constants.h": client_constants_h,
    "src/wire/codec.gen.h": codec_h,
    "src/wire/codec.gen.c": codec_c,
    "src/op/op_table.gen.h": op_table_h,
    "src/op/op_table.gen.c": op_table_c,
}
