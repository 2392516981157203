"""The Python client's part of the schema: types, exceptions by code, and a typed method for each operation, thrice.

The three classes of methods differ in what a call answers: its value, an awaitable of it, or a reply of a pipeline."""

import keyword
import textwrap

from schema import live, options

# These belong to a connection, not to a client: sessiond.Client and sessiond.aio.Client have methods of their own for them.
BY_HAND = ("server.hello", "watch.start", "watch.stop")

ARGUMENTS = {
    "namespace": "Text", "id": "Text", "name": "Text", "text": "Text", "cookie": "Text", "presented": "Text",
    "cookie_text": "Text", "value": "Any", "map": "Mapping[Any, Any]", "ids": "Sequence[Text]", "keys": "Sequence[Text]",
    "deltas": "Mapping[Any, float]", "bool": "bool", "uint53": "int", "count": "int", "duration": "int", "moment": "int",
    "fields": "Sequence[FieldName]", "statuses": "Union[StatusName, Literal['any'], Sequence[StatusName]]",
    "timeouts": "Timeouts", "id_or_handle": "Union[Text, Handle]", "id_or_cookie": "Union[Text, Cookie]",
    "tags": "Sequence[str]", "score": "float", "status_codes": "Sequence[int]",
    "mark_outcome": "Union[Literal['good', 'bad', 'retire'], int]", "event_kinds": "Union[EventKind, Sequence[EventKind]]",
    "records": "Sequence[Mapping[str, Any]]", "secrets": "Sequence[Text]", "binding": "Binding",
    "cookie_secure": "Union[bool, Literal['auto']]", "same_site": "Union[bool, Literal['strict', 'lax', 'none', 'auto']]",
    "cookie_attributes": "CookieAttributes", "pool_policy": "PoolPolicy", "policy": "Policy",
}
FIELDS = {"str": "str", "status": "StatusName", "uint53": "int", "moment": "int", "duration": "int", "value": "Any",
          "score": "float", "bool": "bool"}
# What a reply's entries are where the reply itself does not say.
ENTRIES = {
    "now": "int", "number": "int", "newest_number": "int", "failures": "int", "enabled": "bool", "interval_ms": "int",
    "version": "int", "expires_at": "int", "values": "Dict[Any, Any]", "name": "str", "sessions": "int", "bytes": "int",
    "id": "str", "created_at": "int", "updated_at": "int", "usage_count": "int", "error_score": "float", "usable": "bool",
    "retired": "bool", "usable_count": "int", "retired_count": "int", "leased_count": "int", "cooling_count": "int",
    "held_count": "int", "waiting_count": "int", "value": "str", "key_index": "int", "purging": "ServerPurgingReply",
}
WORDS = {"int": "int", "bool": "bool", "str": "str", "str or nil": "Optional[str]", "int or nil": "Optional[int]",
         "record": "Record", "record or nil": "Optional[Record]", "[record]": "List[Record]", "[str]": "List[str]",
         "[record or nil]": "List[Optional[Record]]", "map": "Dict[str, Any]", "map of name to number": "Dict[str, float]",
         "policy": "Policy", "record under the new id, or nil": "Optional[Record]", "true, or nil where there is no such session":
         "Optional[bool]", "bool: true, or false if there was none": "bool", "bool: true, or false if none was alive": "bool"}


def quoted(names):
    return ", ".join(repr(name) for name in names)


def type_of(row, types):
    """An argument's type: of the table, or one of the schema's words."""
    if "values" in types[row["type"]]:
        return f"Literal[{quoted(types[row['type']]['values'])}]"
    return ARGUMENTS[row["type"]]


def typed_dict(name, doc, entries):
    """Entries: (name, type, doc). All may be missing, as the server leaves out what is not set."""
    out = [f"class {name}(TypedDict, total=False):", *docstring(doc, 4), ""]
    for entry, kind, text in entries:
        out.append(f"    {entry}: {kind}")
        if text:
            out += textwrap.wrap(text + ".", 110, initial_indent='    """', subsequent_indent="    ")
            out[-1] += '"""'
    return [*out, "", ""]


def docstring(text, indent):
    lines = textwrap.wrap(text.replace("\\", "\\\\"), 112 - indent, initial_indent='"""')
    return [" " * indent + line for line in [*lines[:-1], lines[-1] + '"""']]


def reply_name(op):
    return "".join(word.title() for word in op["method"].replace(".", "_").split("_")) + "Reply"


def split_entries(text):
    """`a, b: {c, d}, e: int` at its outer commas."""
    depth, entry, entries = 0, "", []
    for char in text:
        depth += (char in "{[") - (char in "}]")
        if char == "," and not depth:
            entries.append(entry.strip())
            entry = ""
        else:
            entry += char
    return [*entries, entry.strip()]


def reply_entries(op, policy):
    """Of an answer that is a map: (name, type, no doc), or None where it is something else."""
    reply = op["reply"]
    if not reply.startswith("{"):
        return None
    end, out = reply.rindex("}"), []
    for entry in split_entries(reply[1:end].replace("} or {", ", ").rstrip("}")):
        name, _, word = entry.partition(": ")
        kind = policy if name == "policy" else ENTRIES[name] if not word or word.startswith("{") else WORDS[word]
        out.append((name, kind, ""))
    return out


def reply_type(op):
    reply = op["reply"]
    if reply.startswith("{"):
        return f"Optional[{reply_name(op)}]" if reply.endswith("or nil") or "} or nil" in reply else reply_name(op)
    if op["method"] == "pool.acquire":
        return "Any"
    for word in (reply, reply.split(":")[0], reply.split(",")[0]):
        if word in WORDS:
            return f"Optional[{WORDS[word]}]" if ", or nil" in reply and not WORDS[word].startswith("Optional") else WORDS[word]
    raise ValueError(f"{op['method']}: what is `{reply}` in Python?")


def argument_name(name):
    return name + "_" if keyword.iskeyword(name) else name


def parts_of(op):
    """Positional parameters without the namespace, and the options."""
    params = [row for row in op.get("params", []) if row["type"] != "namespace"]
    return params, options(op), any(row["type"] == "namespace" for row in op.get("params", []))


def signature(op, types, is_pipeline):
    params, named, has_namespace = parts_of(op)
    out = ["self"] + [f"{argument_name(row['name'])}: {type_of(row, types)}" for row in params]
    keywords = []
    for row in named:
        kind = type_of(row, types)
        keywords.append(f"{argument_name(row['name'])}: " +
                        (f"Union[{kind}, None, LeftOut] = LEFT_OUT" if row.get("nullable") else f"Optional[{kind}] = None"))
    if has_namespace:
        keywords.append("namespace: Optional[Text] = None")
    if not is_pipeline:
        keywords.append("timeout_s: Optional[float] = None")
    return out + (["*"] + keywords if keywords else [])


def method_doc(op, types, is_pipeline):
    params, named, has_namespace = parts_of(op)
    out = textwrap.wrap(op["doc"].replace("\\", "\\\\"), 108)
    rows = [(argument_name(row["name"]), f"{row['doc']}; {accepts(row, types)}") for row in params + named]
    if has_namespace:
        rows.append(("namespace", "left out: the one of the client's URL"))
    if not is_pipeline:
        rows.append(("timeout_s", "seconds for the whole call, repeats included; left out: the client's"))
    if rows:
        out += ["", "Args:"]
        for name, text in rows:
            out += textwrap.wrap(f"{name}: {text}.", 108, initial_indent="    ", subsequent_indent="        ")
    out += ["", "Returns:", *textwrap.wrap(op["reply"] + ".", 108, initial_indent="    ", subsequent_indent="    ")]
    if op["errors"]:
        out += ["", "Raises:", *textwrap.wrap(", ".join(map(error_name, op["errors"])) + ".", 108,
                                              initial_indent="    ", subsequent_indent="    ")]
    lines = [f'"""{out[0]}', *out[1:], '"""']
    return ["        " + line if line else "" for line in lines]


def accepts(row, types):
    kind = types[row["type"]]
    text = kind.get("accepts") or "one of " + ", ".join(kind["values"])
    text = text if row.get("nullable") or "; nil" not in text else text.split("; nil")[0]
    return text.replace("nil", "None")


def method(op, types, form):
    name = op["method"].replace(".", "_")
    params, named, has_namespace = parts_of(op)
    answer = {"sync": "{}", "async": "{}", "pipeline": "Pending[{}]"}[form].format(reply_type(op))
    head, call = {"sync": ("def", "self._call"), "async": ("async def", "await self._call"), "pipeline": ("def", "self._call")}[form]
    out = [f"    {head} {name}(", *(f"        {part}," for part in signature(op, types, form == "pipeline")), f"    ) -> {answer}:"]
    out += method_doc(op, types, form == "pipeline")
    plain = [row for row in named if not row.get("nullable")]
    nullable = [row for row in named if row.get("nullable")]
    entries = lambda rows: "{" + ", ".join(f"{row['name']!r}: {argument_name(row['name'])}" for row in rows) + "}"
    positional = (["namespace"] if has_namespace else []) + [argument_name(row["name"]) for row in params]
    timeout = "None" if form == "pipeline" else "timeout_s"
    out.append(f"        options = without(None, {entries(plain)})")
    if nullable:
        out.append(f"        options.update(without(LEFT_OUT, {entries(nullable)}))")
    out.append(f"        answer: {answer} = {call}(OPERATIONS[{op['method']!r}], [{', '.join(positional)}], options, {timeout})")
    return [*out, "        return answer", ""]


def error_name(code):
    return "".join(word.title() for word in code.split("_"))


def errors_py(schema):
    out = []
    for row in schema["error"]:
        out += [f"class {error_name(row['code'])}(ServerError):", *docstring(row["doc"], 4), "", ""]
    out += ["ERRORS: Dict[str, Type[ServerError]] = {"]
    out += [f"    {row['code']!r}: {error_name(row['code'])}," for row in schema["error"]]
    return [*out, "}", "", ""]


def names_py(schema):
    out = []
    for name, table in (("StatusName", "status"), ("EventKind", "event"), ("FieldName", "field")):
        out += [f"{name} = Literal["] + [f"    {row['name']!r}," for row in live(schema[table])] + ["]"]
    return [*out, "", ""]


def types_py(schema, types):
    out = typed_dict("Record", "A session as the server answers it. What is not set is left out.",
                     [(row["name"], FIELDS[row["type"]], row["doc"]) for row in live(schema["field"])])
    for name, kind in (("Timeouts", "timeouts"), ("Binding", "binding"), ("CookieAttributes", "cookie_attributes")):
        out += typed_dict(name, "A map as an argument: " + types[kind]["accepts"] + ".",
                          [(row["name"], type_of(row, types), row["doc"]) for row in types[kind]["members"]])
    for name, table in (("Policy", "policy"), ("PoolPolicy", "pool_policy")):
        out += typed_dict(name, types[table]["accepts"].replace("nil", "None").capitalize() + ".",
                          [(row["name"], f"Optional[{type_of(row, types)}]", f"{row['doc']}; default {row['default']}")
                           for row in live(schema[table])])
    for op in live(schema["op"]):
        if op["method"] in BY_HAND[1:]:
            continue
        if op["method"] == "server.hello":
            entries = [("server", "str", ""), ("version", "int", ""), ("namespace", "Optional[str]", ""), ("now", "int", ""),
                       ("features", "List[str]", ""), ("limits", "Dict[str, int]", ""), ("methods", "Dict[str, int]", "")]
        else:
            entries = reply_entries(op, "PoolPolicy" if op["method"].startswith("pool.") else "Policy")
        if entries:
            out += typed_dict(reply_name(op), f"What {op['method']} answers.", entries)
    return out


BANNER = "# Generated by proto/gen.py from proto/schema.toml. Do not edit."
SCHEMA_HEAD = BANNER + '''
"""The schema in Python: its limits, types, exceptions by code, and operations. Nothing here calls anything."""

from typing import Any, Dict, List, Literal, Mapping, NamedTuple, Optional, Sequence, Tuple, Type, TypedDict, Union

from .errors import ServerError

Text = Union[str, bytes]


class Operation(NamedTuple):
    """A row of the schema: its name, whether it takes an op_id, and its positional parameters."""

    method: str
    is_write: bool
    params: Tuple[str, ...]

'''
METHODS_HEAD = BANNER + '''
"""A method for each operation, as a call, awaitable and in a pipeline."""

from typing import Any, Dict, List, Literal, Mapping, Optional, Sequence, Union

from ._core import LEFT_OUT, LeftOut, Pending, without
from ._schema import *  # noqa: F403  nearly all of it

'''
FORMS = {
    "sync": ("Methods", "Each operation as a call that answers its value.",
             "def _call(self, operation: Operation, params: List[Any], options: Dict[str, Any],\n"
             "              timeout_s: Optional[float]) -> Any:\n        raise NotImplementedError"),
    "async": ("AsyncMethods", "Each operation as a coroutine.",
              "async def _call(self, operation: Operation, params: List[Any], options: Dict[str, Any],\n"
              "                    timeout_s: Optional[float]) -> Any:\n        raise NotImplementedError"),
    "pipeline": ("PipelineMethods", "Each operation as a call that is sent with the others of its pipeline.",
                 "def _call(self, operation: Operation, params: List[Any], options: Dict[str, Any],\n"
                 "              timeout_s: Optional[float]) -> Any:\n        raise NotImplementedError"),
}


def schema_py(schema):
    types = {row["name"]: row for row in schema["type"]}
    out = [SCHEMA_HEAD, f"VERSION = {schema['protocol']['version']}", f"DEFAULT_PORT = {schema['protocol']['default_port']}"]
    out += [f"{row['name'].upper()} = {row['value']}" for row in schema["limit"]]
    out += ["", *names_py(schema), *typed_dict("Handle", "What names a session of a namespace with hash_ids.", [("handle", "Text", "")])]
    out += typed_dict("Cookie", "A signed cookie in place of an id, as cookie_sign makes it.", [("cookie", "Text", "")])
    out += [*types_py(schema, types), *errors_py(schema), "OPERATIONS: Dict[str, Operation] = {"]
    for op in live(schema["op"]):
        names = tuple(row["name"] for row in op.get("params", []))
        out.append(f"    {op['method']!r}: Operation({op['method']!r}, {bool(op.get('write'))}, {names!r}),")
    return "\n".join([*out, "}", ""])


def methods_py(schema):
    types = {row["name"]: row for row in schema["type"]}
    out = [METHODS_HEAD]
    for form, (name, doc, caller) in FORMS.items():
        out += [f"class {name}:", f'    """{doc}"""', "", f"    {caller}", ""]
        for op in live(schema["op"]):
            if op["method"] not in BY_HAND:
                out += method(op, types, form)
        out.append("")
    return "\n".join(out).rstrip("\n") + "\n"


OUTPUTS = {"clients/python/sessiond/_schema.py": schema_py, "clients/python/sessiond/_methods.py": methods_py}
