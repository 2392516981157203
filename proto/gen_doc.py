"""PROTOCOL.md: the prose of PROTOCOL.in.md with the schema's tables and examples in their places."""

import json

from pack import pack
from schema import ROOT, live, options


def table(columns, rows):
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    for row in rows:
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines)


def code(text):
    return f"`{text}`"


def number(value):
    return f"{value:,}"


def types(schema):
    def accepts(row):
        return "one of " + ", ".join(code(v) for v in row["values"]) if "values" in row else row["accepts"]
    return table(("type", "accepts"), [(code(row["name"]), accepts(row)) for row in schema["type"]])


def limits(schema):
    return table(("limit", "value", "meaning"), [(code(l["name"]), number(l["value"]), l["doc"]) for l in schema["limit"]])


def errors(schema):
    return table(("code", "meaning"), [(code(e["code"]), e["doc"]) for e in live(schema["error"])])


def fields(schema):
    return table(("field", "type", "meaning"), [(code(f["name"]), f["type"], f["doc"]) for f in live(schema["field"])])


def statuses(schema):
    return table(("status", "meaning"), [(code(s["name"]), s["doc"]) for s in live(schema["status"])])


def events(schema):
    return table(("kind", "meaning"), [(code(e["name"]), e["doc"]) for e in live(schema["event"])])


def policy(schema, name):
    def default(row):
        value = row["default"]
        if value == "none":
            return "none"
        return number(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else json.dumps(value)
    return table(("entry", "type", "default", "meaning"),
                 [(code(p["name"]), p["type"], default(p), p["doc"]) for p in live(schema[name])])


def anchor(method):
    return method.replace(".", "")


def index(schema):
    rows = [(f"[{op['method']}](#{anchor(op['method'])})", op["id"], "write" if op.get("write") else "",
             " ".join(row["name"] for row in op.get("params", [])), op["reply"]) for op in live(schema["op"])]
    return table(("method", "number", "", "parameters", "answer"), rows)


def parameter_rows(op):
    for row in op.get("params", []):
        yield code(row["name"]), row["type"], "required", row.get("doc", "")
    for row in options(op):
        if row["name"] == "op_id":
            continue
        doc = row.get("doc", "")
        if row.get("nullable") and "nil" not in doc:
            doc = (doc + "; " if doc else "") + "nil clears it"
        yield code(row["name"]), row["type"], "option", doc


def operation(op):
    out = [f"### {op['method']}", ""]
    out += [("*write* · " if op.get("write") else "") + f"number {op['id']}", "", op["doc"], ""]
    rows = list(parameter_rows(op))
    if rows:
        out += [table(("argument", "type", "", "meaning"), rows), ""]
    out += [f"Answers: {code(op['reply'])}", ""]
    out += ["Errors: " + (", ".join(op["errors"]) if op["errors"] else "none of its own"), ""]
    out += ["```", f"params  {op['example']['params']}", f"result  {op['example']['result']}", "```", ""]
    return "\n".join(out)


# ---------------------------------------------------------------- bytes for the eye


def walk(value, depth=0):
    """A value as (bytes of its own head or scalar, what it is), children behind it; keys stay with their values."""
    head = pack(value)
    if isinstance(value, list):
        yield head[:len(head) - sum(len(pack(v)) for v in value)], f"an array of {len(value)}", depth
        for item in value:
            yield from walk(item, depth + 1)
    elif isinstance(value, dict):
        inner = sum(len(pack(k)) + len(pack(v)) for k, v in value.items())
        yield head[:len(head) - inner], f"a map of {len(value)}", depth
        for key, item in value.items():
            if isinstance(item, (list, dict)):
                yield pack(key), json.dumps(key) + ":", depth + 1
                yield from walk(item, depth + 1)
            else:
                yield pack(key) + pack(item), f"{json.dumps(key)}: {json.dumps(item)}", depth + 1
    else:
        yield head, "nil" if value is None else json.dumps(value), depth


def dump(message, notes):
    """The message line by line: bytes, and what they are. `notes` names the elements of the envelope."""
    lines, place = [], -1
    for head, what, depth in walk(message):
        note = ""
        if depth == 1:
            place += 1
            note = f"  ({notes[place]})" if notes[place] else ""
        rows = [head[i:i + 12].hex(" ") for i in range(0, len(head), 12)]
        lines.append(f"    {rows[0]:<36}  {'  ' * depth}{what}{note}")
        lines += ["    " + row for row in rows[1:]]
    return "\n".join(lines)


def protocol_md(schema):
    ops = {op["method"]: op for op in live(schema["op"])}
    get = ops["session.get"]
    params, result = json.loads(get["example"]["params"]), json.loads(get["example"]["result"])
    keep = {l["name"]: l["value"] for l in schema["limit"]}["op_id_keep_ms"]
    values = {
        "generated": "<!-- Generated by proto/gen.py from schema.toml and PROTOCOL.in.md. Do not edit. -->",
        "version": schema["protocol"]["version"],
        "port": schema["protocol"]["default_port"],
        "op_id_keep": f"{keep // 1000} seconds",
        "request_json": json.dumps([0, 1, "session.get", params]),
        "request_hex": dump([0, 1, "session.get", params], ("a request", "msgid", "method", "params")),
        "reply_hex": dump([1, 1, None, result], ("a reply", "msgid", "no error", "the result: a record")),
        "types": types(schema), "limits": limits(schema), "errors": errors(schema), "fields": fields(schema),
        "statuses": statuses(schema), "policy": policy(schema, "policy"), "pool_policy": policy(schema, "pool_policy"),
        "events": events(schema), "index": index(schema),
        "operations": "\n".join(operation(op) for op in ops.values()),
        "recipe": (ROOT / "proto/recipe.py").read_text().rstrip(),
    }
    text = (ROOT / "proto/PROTOCOL.in.md").read_text()
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", str(value))
    assert "{{" not in text, "a place that nothing fills"
    return text


OUTPUTS = {"proto/PROTOCOL.md": protocol_md}
