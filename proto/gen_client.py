"""The C client's share of the schema: typed operations, decoding tables, and the help of sessiond-cli.

gen.py calls these; each takes the schema and answers the text of one file."""

from schema import BANNER, constant, live

TEXT, VALUE, NUMBER = "TEXT", "VALUE", "NUMBER"
KINDS = {"namespace": TEXT, "id": TEXT, "name": TEXT, "text": TEXT, "cookie": TEXT, "presented": TEXT,
         "id_or_handle": TEXT, "id_or_cookie": TEXT, "cookie_text": TEXT,
         "value": VALUE, "map": VALUE, "deltas": VALUE, "records": VALUE,
         "ids": "TEXTS", "keys": "TEXTS", "tags": "TEXTS", "secrets": "TEXTS", "bool": "BOOL",
         "uint53": NUMBER, "count": NUMBER, "duration": NUMBER, "moment": NUMBER, "score": "SCORE",
         "fields": "FIELDS", "statuses": "STATUSES", "event_kinds": "EVENTS", "status_codes": "CODES",
         "mark_outcome": "OUTCOME", "timeouts": "MEMBERS", "binding": "MEMBERS", "cookie_attributes": "MEMBERS",
         "cookie_secure": "SWITCH", "same_site": "SWITCH", "policy": "POLICY", "pool_policy": "POLICY"}
C_TYPES = {TEXT: "const char *", VALUE: "struct sessiond_bytes ", "TEXTS": "struct sessiond_texts ",
           "BOOL": "enum sessiond_bool ", NUMBER: "int64_t ", "FIELDS": "uint64_t ", "STATUSES": "uint64_t ",
           "EVENTS": "uint64_t ", "SCORE": "double ", "CODES": "struct sessiond_codes ", "OUTCOME": "int "}
# The C member of an argument whose name is a word of C++, or that of the first parameter.
MEMBER_NAMES = {"namespace": "namespace_name"}
PARAMETER_NAMES = {"client": "client_id"}
# Choices that are truth values too: their words, where "false" and "true" stand for the values.
SWITCHES = {"cookie_secure": ["false", "true", "auto"], "same_site": ["false", "strict", "lax", "none", "auto"]}
SWITCH_NAMES = {("cookie_secure", "false"): "FALSE", ("cookie_secure", "true"): "TRUE", ("same_site", "false"): "ABSENT"}
# What may stand in an id's place, and the functions that take it.
INSTEAD_OF_ID = {"id_or_handle": "handle", "id_or_cookie": "cookie"}

# How a reply, as the schema words it, is handed out. Order matters: the first prefix that fits wins; what fits none
# is handed out as its bytes.
REPLIES = [("record with use", "acquired", "struct sessiond_records **"),
           ("record", "record", "struct sessiond_record **"),
           ("[record", "records", "struct sessiond_records **"),
           ("{version, expires_at", "written", "struct sessiond_written **"),
           ("{expires_at}", "written", "struct sessiond_written **"),
           ("{sessions:", "page", "struct sessiond_page **"),
           ("bool", "bool", "bool *"),
           ("true, or nil", "bool", "bool *"),
           ("int", "int", "int64_t *"),
           ("{now}", "now", "int64_t *"),
           ("[str]", "names", "struct sessiond_names **"),
           ("policy", "policy", "struct sessiond_policy **"),
           ("{name, policy, usable_count", "pool", "struct sessiond_pool **"),
           ("{usable_count, retired_count", "pool_state", "struct sessiond_pool_sessions **"),
           ("{usage_count, error_score", "marked", "struct sessiond_marked **"),
           ("{id, sessions:", "client", "struct sessiond_client_sessions **"),
           ("{valid: bool", "checked", "struct sessiond_checked **"),
           ("{token: str", "checked", "struct sessiond_checked **"),
           ("str", "text", "struct sessiond_text **"),
           ("{value, key_index}", "cookie", "struct sessiond_cookie **"),
           ("{watch: int}", "watch", "int64_t *"),
           ("{name, policy", "namespace", "struct sessiond_namespace **"),
           ("{number, newest_number, failures}", "snapshot", "struct sessiond_snapshot **"),
           ("{enabled, interval_ms}", "purging", "struct sessiond_purging **"),
           ("", "value", "struct sessiond_value **")]


def function(op):
    """session.get -> sessiond_get; namespace.list -> sessiond_namespace_list"""
    group, verb = op["method"].split(".", 1)
    return "sessiond_" + (verb if group == "session" else f"{group}_{verb}")


def kind(schema, row):
    if row["type"] in KINDS:
        return KINDS[row["type"]]
    assert any(t["name"] == row["type"] and "values" in t for t in schema["type"]), row["type"]
    return "ENUM"


def c_type(schema, row):
    k = kind(schema, row)
    if k in ("ENUM", "SWITCH"):
        return f"enum sessiond_{row['type']} "
    if k == "MEMBERS":
        return f"struct sessiond_{row['type']} "
    if k == "POLICY":
        return f"const struct sessiond_{row['type']} *"
    return C_TYPES[k]


def member(row):
    return MEMBER_NAMES.get(row["name"], row["name"])


def parameter(row):
    return PARAMETER_NAMES.get(row["name"], member(row))


def switch_words(name):
    return [(SWITCH_NAMES.get((name, word), constant(word)), word) for word in SWITCHES[name]]


def instead_of_id(op):
    """The word in whose place an operation takes an id: "handle", "cookie", or None."""
    return next((INSTEAD_OF_ID[p["type"]] for p in op.get("params", []) if p["type"] in INSTEAD_OF_ID), None)


def value_types(schema):
    return [t for t in schema["type"] if "values" in t]


def reply_of(op):
    return next((name, c) for prefix, name, c in REPLIES if op["reply"].startswith(prefix))


def wrap_comment(text, width=116):
    lines, line = [], "/*"
    for word in text.split():
        if len(line) + 1 + len(word) > width:
            lines.append(line)
            line = " *"
        line += " " + word
    return "\n".join(lines + [line + " */\n"])


def has_namespace(op):
    return bool(op.get("params")) and op["params"][0]["name"] == "namespace"


def positional(op):
    return [p for p in op.get("params", []) if p["name"] != "namespace"]


def parameters(schema, op, instead=None):
    """What the typed function takes between its first and its last parameter."""
    out = [f"{c_type(schema, p)}{instead if instead and p['type'] in INSTEAD_OF_ID else parameter(p)}"
           for p in positional(op)]
    if op.get("options"):
        out.append(f"const struct {function(op)}_options *options")
    return out


def by(instead):
    return f"_by_{instead}" if instead else ""


def request_signature(schema, op, instead=None):
    first = ["const char *namespace_name"] if has_namespace(op) else []
    return (f"struct sessiond_request *{function(op)}{by(instead)}_request("
            + (", ".join(first + parameters(schema, op, instead)) or "void") + ")")


def call_signature(schema, op, instead=None):
    name, c = reply_of(op)
    return (f"int {function(op)}{by(instead)}("
            + ", ".join(["struct sessiond_client *client"] + parameters(schema, op, instead) + [f"{c}result"]) + ")")


def nil_note(schema, row):
    if not row.get("nullable"):
        return ""
    return {TEXT: "; SESSIOND_NIL_TEXT clears it", NUMBER: "; SESSIOND_NIL clears it",
            VALUE: "; an encoded nil clears it"}.get(kind(schema, row), "")


def policy_struct(schema, name, what):
    return (f"\n/* {what} policy. As an argument, a member that is 0 (SESSIOND_UNSET) or NULL stays as it is, SESSIOND_ZERO\n"
            " * (SESSIOND_ZERO_SCORE) is the number 0 and SESSIOND_NIL the default. In an answer all are there, and 0 is 0.\n"
            f" */\nstruct sessiond_{name} {{\n" + struct_members(schema, live(schema[name])) + "};\n")


def struct_members(schema, rows, indent=4):
    out = []
    for row in rows:
        doc = (row.get("doc") or row["name"]) + nil_note(schema, row)
        out.append(f"{' ' * indent}{c_type(schema, row)}{member(row)}; /* {doc} */\n")
    return "".join(out)


def record_member(field):
    c = {"str": "struct sessiond_text", "status": "enum sessiond_status_code", "uint53": "uint64_t",
         "moment": "int64_t", "duration": "int64_t", "value": "struct sessiond_bytes", "score": "double",
         "bool": "bool"}[field["type"]]
    return f"    {c} {field['name']}; /* {field['doc']} */\n"


def client_ops_h(schema):
    fields, ops = live(schema["field"]), live(schema["op"])
    out = [BANNER, "/* The record, the policies, and one typed function for each operation. Included by client.h only. */\n"
           "#ifndef SESSIOND_CLIENT_OPS_GEN_H\n#define SESSIOND_CLIENT_OPS_GEN_H\n\n"
           "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\n",
           "/* A session's fields as bits, for `fields` options and for sessiond_record.has. */\n"]
    out += [f"#define SESSIOND_FIELD_{constant(f['name'])} (UINT64_C(1) << {f['id']})\n" for f in fields]
    out.append("\n/* Statuses as bits, for `status` options. */\n")
    out += [f"#define SESSIOND_STATUS_BIT_{constant(s['name'])} (UINT64_C(1) << {s['id']})\n" for s in live(schema["status"])]
    out.append("#define SESSIOND_STATUS_BIT_ANY UINT64_MAX\n\n/* Kinds of events as bits, for `kinds` of a watch. */\n")
    out += [f"#define SESSIOND_EVENT_BIT_{constant(e['name'])} (UINT64_C(1) << {e['id']})\n" for e in live(schema["event"])]
    out.append("\n")
    for t in value_types(schema):
        names = [f"SESSIOND_{constant(t['name'])}_{constant(v)}" for v in t["values"]]
        out.append(f"enum sessiond_{t['name']} {{\n    SESSIOND_{constant(t['name'])}_UNSET = 0,\n    "
                   + ",\n    ".join(names) + "\n};\n")
    for name in SWITCHES:
        names = [f"SESSIOND_{constant(name)}_{word}" for word, _ in switch_words(name)]
        out.append(f"enum sessiond_{name} {{\n    SESSIOND_{constant(name)}_UNSET = 0,\n    "
                   + ",\n    ".join(names) + "\n};\n")
    out.append("\n/* A session as it was answered. Fields that the answer has not are zero; `has` tells them from a zero. */\n"
               "struct sessiond_record {\n    uint64_t has; /* bits SESSIOND_FIELD_... */\n"
               + "".join(map(record_member, fields)) + "};\n")
    for t in schema["type"]:
        if "members" in t:
            out.append(f"\n/* {t['accepts'][0].upper() + t['accepts'][1:]}. */\nstruct sessiond_{t['name']} {{\n"
                       + struct_members(schema, t["members"]) + "};\n")
    out.append(policy_struct(schema, "policy", "A namespace's"))
    out.append(policy_struct(schema, "pool_policy", "A pool's"))
    out.append("\n/* A namespace as it stands. */\nstruct sessiond_namespace {\n    struct sessiond_text name;\n"
               "    struct sessiond_policy policy;\n    int64_t sessions; /* living ones */\n"
               "    int64_t bytes;    /* of memory that they take */\n    struct sessiond_purging purging;\n};\n\n"
               "/* A pool as it stands. */\nstruct sessiond_pool {\n    struct sessiond_text name;\n"
               "    struct sessiond_pool_policy policy;\n"
               "    int64_t usable_count;  /* living, and not retired */\n"
               "    int64_t retired_count; /* unusable for ever, and not yet forgotten */\n"
               "    int64_t leased_count, cooling_count; /* of the usable ones: those that cannot be had now */\n"
               "    int64_t held_count;    /* places held for who was answered CREATE_NEEDED */\n"
               "    int64_t waiting_count; /* calls that wait for a session */\n};\n\n"
               "/* Each operation: the function that asks and waits, and before it the one that only makes the request, for\n"
               " * sessiond_send and sessiond_async_send (namespace_name NULL: the connection's default). An answer nil is\n"
               " * success with NULL. The last parameter may be NULL where the answer is not needed; options may be NULL. */\n")
    for op in ops:
        errors = ", ".join(op["errors"])
        out.append("\n" + wrap_comment(f"{op['method']}: {op['doc']} Answers {op['reply']}."
                                       + (f" Errors: {errors}." if errors else "")))
        if op.get("options"):
            out.append(f"struct {function(op)}_options {{\n{struct_members(schema, op['options'])}}};\n")
        for instead in [None] + [word for word in [instead_of_id(op)] if word]:
            out.append(f"SESSIOND_API {request_signature(schema, op, instead)};\n"
                       f"SESSIOND_API {call_signature(schema, op, instead)};\n")
    # What each answer looks like is known by its function; these read it from a reply that was received.
    out.append("\n/* For replies that came by sessiond_receive or to a callback: each reads the result of one shape, gives the\n"
               " * reply back (also where it fails) and answers its error; PROTOCOL where the shape is another. *error may be\n"
               " * NULL, else it gets the whole error. An answer nil is success with NULL. */\n")
    seen = []
    for op in ops:
        name, c = reply_of(op)
        if name not in seen:
            seen.append(name)
            out.append(f"SESSIOND_API int sessiond_reply_{name}(struct sessiond_reply *reply, {c}result, "
                       "struct sessiond_error *error);\n")
    out.append("\n#ifdef __cplusplus\n}\n#endif\n\n#endif\n")
    return "".join(out)


def argument_row(schema, row, owner, policy=False):
    k = kind(schema, row)
    names = {"ENUM": f"{row['type']}_names", "SWITCH": f"{row['type']}_names",
             "MEMBERS": f"{row['type']}_arguments"}.get(k, "NULL")
    return f"    {{\"{row['name']}\", ARGUMENT_{k}, offsetof({owner}, {member(row)}), {names}}},\n"


def argument_table(schema, name, rows, owner):
    return (f"static const struct argument {name}_arguments[] = {{\n"
            + "".join(argument_row(schema, r, owner) for r in rows) + "    {NULL, ARGUMENT_END, 0, NULL},\n};\n")


def positional_call(schema, row, instead):
    """The statement that writes a positional argument."""
    if instead and row["type"] in INSTEAD_OF_ID:
        return f"request_instead_of_id(&writer, \"{instead}\", {instead})"
    name = parameter(row)
    return {TEXT: f"request_text(&writer, \"{row['name']}\", {name})",
            VALUE: f"request_value(&writer, \"{row['name']}\", {name})",
            "TEXTS": f"request_texts(&writer, \"{row['name']}\", {name})",
            "OUTCOME": f"request_outcome(&writer, \"{row['name']}\", {name})",
            "POLICY": f"request_members(&writer, {row['type']}_arguments, {name})"}[kind(schema, row)]


def typed_functions(schema, op, index, instead):
    name = function(op)
    out = [f"\n{request_signature(schema, op, instead)} {{\n"
           f"    struct request_writer writer = request_begin(&methods[{index}]);\n"]
    if has_namespace(op):
        out.append("    request_namespace(&writer, namespace_name);\n")
    out += [f"    {positional_call(schema, p, instead)};\n" for p in positional(op)]
    arguments = f"{name}_arguments, options" if op.get("options") else "NULL, NULL"
    out.append(f"    return request_end(&writer, {arguments});\n}}\n")
    reply, _ = reply_of(op)
    passed = (["sessiond_client_namespace(client)"] if has_namespace(op) else [])
    passed += [instead if instead and p["type"] in INSTEAD_OF_ID else parameter(p) for p in positional(op)]
    passed += ["options"] if op.get("options") else []
    out.append(f"\n{call_signature(schema, op, instead)} {{\n    struct sessiond_reply *reply;\n"
               f"    if (client_exchange(client, {name}{by(instead)}_request({', '.join(passed)}), &reply)) return client_code(client);\n"
               f"    return sessiond_reply_{reply}(reply, result, client_error(client));\n}}\n")
    return "".join(out)


def client_ops_c(schema):
    fields, ops = live(schema["field"]), live(schema["op"])
    out = [BANNER, "#include \"request.h\"\n#include \"results.h\"\n\n"]
    for t in value_types(schema):
        out.append(f"static const char *const {t['name']}_names[] = {{" + ", ".join(f'"{v}"' for v in t["values"])
                   + ", NULL};\n")
    for name in SWITCHES:
        out.append(f"static const char *const {name}_names[] = {{" + ", ".join(f'"{w}"' for _, w in switch_words(name))
                   + ", NULL};\n")
    for t in schema["type"]:
        if "members" in t:
            out.append(argument_table(schema, t["name"], t["members"], f"struct sessiond_{t['name']}"))
    for name in ("policy", "pool_policy"):
        out.append(argument_table(schema, name, live(schema[name]), f"struct sessiond_{name}").replace("static ", ""))
    out.append("const struct record_field record_fields[] = {\n" + "".join(
        f"    {{\"{f['name']}\", SESSIOND_FIELD_{constant(f['name'])}, RECORD_{constant(f['type'])}, "
        f"offsetof(struct sessiond_record, {f['name']})}},\n" for f in fields)
        + "    {NULL, 0, RECORD_END, 0},\n};\n")
    out.append("const struct method methods[] = {\n" + "".join(
        f"    {{\"{op['method']}\", {len(op.get('params', []))}, {'true' if op.get('write') else 'false'}}},\n"
        for op in ops) + "    {NULL, 0, false},\n};\n")
    for i, op in enumerate(ops):
        name = function(op)
        if op.get("options"):
            out.append("\n" + argument_table(schema, name, op["options"], f"struct {name}_options").rstrip("\n"))
        for instead in [None] + [word for word in [instead_of_id(op)] if word]:
            out.append(typed_functions(schema, op, i, instead))
    return "".join(out)


def c_string(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def cli_help_c(schema):
    types = {t["name"]: t for t in schema["type"]}
    ops = live(schema["op"])

    def accepts(row):
        t = types[row["type"]]
        return t.get("accepts") or ", ".join(t["values"])

    out = [BANNER, "#include \"help.h\"\n"]
    for op in ops:
        for what, rows in (("params", op.get("params", [])), ("options", op.get("options", []))):
            out.append(f"\nstatic const struct help_argument {function(op)}_{what}[] = {{\n" + "".join(
                f"    {{\"{r['name']}\", \"{r['type']}\", {c_string(r.get('doc', ''))}, {c_string(accepts(r))}, "
                f"{'true' if kind(schema, r) == TEXT else 'false'}}},\n" for r in rows)
                + "    {NULL, NULL, NULL, NULL, false},\n};\n")
    out.append("\nconst struct help_op help_ops[] = {\n" + "".join(
        f"    {{\"{op['method']}\", {len(op.get('params', []))}, {'true' if has_namespace(op) else 'false'}, {c_string(op['doc'])},\n"
        f"     {c_string(op['reply'])}, {c_string(', '.join(op['errors']))},\n"
        f"     {c_string(op['example']['params'])},\n     {c_string(op['example']['result'])},\n"
        f"     {function(op)}_params, {function(op)}_options}},\n" for op in ops)
        + "    {NULL, 0, false, NULL, NULL, NULL, NULL, NULL, NULL, NULL},\n};\n")
    out.append("\nconst struct help_entry help_errors[] = {\n" + "".join(
        f"    {{\"{e['code']}\", {c_string(e['doc'])}}},\n" for e in live(schema["error"])) + "    {NULL, NULL},\n};\n")
    return "".join(out)


OUTPUTS = {
    "include/sessiond/client_ops.gen.h": client_ops_h,
    "clients/c/client_ops.gen.c": client_ops_c,
    "clients/cli/help.gen.c": cli_help_c,
}
