"""The conformance vectors both ways, and that every operation of the schema is a method with all of its arguments."""

import inspect
import json
import tomllib
import unittest

import support
import msgpack
import sessiond
from sessiond import _core, _methods

CASES = json.loads((support.ROOT / "proto/vectors/requests.json").read_text())["cases"]
SCHEMA = tomllib.loads((support.ROOT / "proto/schema.toml").read_text())
BY_HAND = {"server.hello": "server_hello", "watch.start": "watch", "watch.stop": None}


class Recorder(_methods.PipelineMethods):
    """Keeps the bytes of what is called."""

    def _call(self, operation, params, options, timeout_s):
        return _core.Call(operation, params, options, None, _core.Settings(1.0, False)).frame(7)


def call_method(op, params):
    """The method of an operation, called with a vector's params."""
    names = [row["name"] for row in op.get("params", [])]
    values = dict(zip(names, params))
    options = params[len(names)] if len(params) > len(names) else {}
    positional = [values[name] for name in names if name != "namespace"]
    keywords = {name + "_" if name == "except" else name: value for name, value in options.items()}
    if "namespace" in names:
        keywords["namespace"] = values["namespace"]
    return getattr(Recorder(), op["method"].replace(".", "_"))(*positional, **keywords)


class Vectors(unittest.TestCase):
    def test_requests_decode_to_the_params(self):
        ops = {op["method"]: op for op in SCHEMA["op"]}
        done = 0
        for case in CASES:
            if case["method"] in BY_HAND:
                continue
            with self.subTest(case["method"]):
                frame = call_method(ops[case["method"]], case["params"])
                self.assertEqual(msgpack.unpackb(frame), [0, 7, case["method"], case["params"]])
                done += 1
        self.assertEqual(done, len(CASES) - len(BY_HAND))

    def test_replies_decode_however_they_are_cut(self):
        for case in CASES:
            with self.subTest(case["method"]):
                stream, got = _core.Stream("vectors"), []
                for byte in bytes.fromhex(case["reply"]):
                    if case["msgid"]:  # 0 is how a server names what it could not understand
                        got += stream.messages(bytes([byte]))
                if case["msgid"]:
                    self.assertEqual(got, [_core.Reply(case["msgid"], None, case["result"])])

    def test_every_operation_is_a_method(self):
        from sessiond import aio
        for op in SCHEMA["op"]:
            name = BY_HAND.get(op["method"], op["method"].replace(".", "_"))
            expected = {row["name"] + ("_" if row["name"] == "except" else "")
                        for row in op.get("params", []) + op.get("options", [])} | ({"op_id"} if op.get("write") else set())
            for kind in (sessiond.Client, aio.Client, sessiond.Pipeline) if name else ():
                if kind is sessiond.Pipeline and op["method"] in BY_HAND:
                    continue
                with self.subTest(op["method"], kind=kind):
                    names = set(inspect.signature(getattr(kind, name)).parameters)
                    self.assertEqual(names - {"self", "timeout_s", "reconnect_s"}, expected)
                    self.assertTrue(getattr(kind, name).__doc__)

    def test_every_code_is_an_exception(self):
        for row in SCHEMA["error"]:
            error = _core.server_error({"code": row["code"], "message": "why", "version": 3, "later": 1}, "a.b")
            self.assertIsNot(type(error), sessiond.ServerError)
            self.assertEqual((error.code, error.version, error.details["later"], str(error)), (row["code"], 3, 1, f"a.b: {row['code']}: why"))
        self.assertIs(type(_core.server_error({"code": "NEW"})), sessiond.ServerError)


if __name__ == "__main__":
    unittest.main()
