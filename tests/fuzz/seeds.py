"""Writes the seeds that follow from other files of the tree, beside those that were written or found:
seeds.py [FOLDER]: into FOLDER/core and so on, by default the corpus that is kept.

core      the scenarios as scripts (see fuzz_core.c), and the vectors' requests one after the other
results   the vectors' replies
decode    the vectors' requests
exchange  the same as answers to requests of the exchange
command   the scenarios' requests as lines
json      the scenarios' params, both ways
secrets   a key file without its hash, a stored token, a stored binding, and signed values

The seeds of `effect` are what stories of tests/contract told a journal, without its first effect.
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "proto"))
from pack import pack  # noqa: E402

STEPS_MS = [1, 0, 2, 5, 10, 50, 100, 499, 1000, 10000, 59999, 600000, 3600000, 86400000, 604800000, 2592000000]
START_MS = 1767225600000
READ, REAP, CONNECTION = 0x41, 0x46, 0x40
SEED_BYTES_MAX = 1500  # longer ones make the fuzzer slow


def params_of(text):
    """A scenario's params as JSON; None where they are no JSON even with the scenarios' own forms replaced."""
    text = re.sub(r"@(-?\d+)", lambda match: str(START_MS + int(match[1])), text)
    text = re.sub(r"\$\w+", "1", text)
    text = re.sub(r"\bnil\b", "null", text)
    try:
        return json.loads(text)
    except ValueError:
        return None


def clock_steps(milliseconds):
    """The bytes of a script that let so much time pass, or nearly."""
    out = bytearray()
    for index, step in sorted(enumerate(STEPS_MS), key=lambda row: -row[1]):
        while step and milliseconds >= step and len(out) < 12:
            out.append(index)
            milliseconds -= step
    return bytes(out)


def script_of(lines):
    """A scenario as a script of fuzz_core.c."""
    out, msgid, now, connection = bytearray([0, 0, 0]), 1, 0, 0
    for line in lines:
        kind, _, rest = line.strip().partition(" ")
        if kind == "at":
            out += clock_steps(int(rest) - now)
            now = int(rest)
        elif kind == "tick":
            out.append(REAP)
        elif kind == "conn" and int(rest) % 2 != connection:
            connection = int(rest) % 2
            out.append(CONNECTION)
        elif kind in (">", "~"):
            method, _, params = rest.partition(" ")
            values = params_of(params or "[]")
            if values is not None:
                out += pack([0, msgid % 128, method, values] if kind == ">" else [2, method, values])
                msgid += 1
    return bytes(out)


def vector_lines(word):
    """(case, bytes) of each line of the vectors that begins with `word`."""
    name = ""
    for line in (ROOT / "tests/vectors/requests.txt").read_text().splitlines():
        kind, _, rest = line.partition(" ")
        name = rest if kind == "case" else name
        if kind == word:
            yield name.replace(".", "_"), bytes.fromhex(rest)


def with_msgid(message, msgid):
    """A reply under another msgid, whose head is 1 to 5 bytes."""
    head = {0xCC: 2, 0xCD: 3, 0xCE: 5}.get(message[2], 1)
    return message[:2] + bytes([msgid]) + message[2 + head:]


def seeds():
    """(target, name, bytes) of every seed."""
    requests = b"".join(message for _, message in vector_lines("request"))
    yield "core", "all_requests_of_the_vectors", bytes([0, 0, 0]) + requests
    yield "core", "all_requests_in_small_pieces", bytes([1, 1, 7]) + requests + bytes([READ]) + requests
    for name, message in vector_lines("request"):
        yield "decode", name, message
    answers = bytearray()
    for count, (name, message) in enumerate(vector_lines("reply"), 1):
        yield "results", name, message
        answers += with_msgid(message, count)
    yield "exchange", "all_replies_of_the_vectors", bytes([0, 5, 15]) + bytes(answers)
    yield "exchange", "all_replies_in_small_pieces", bytes([11, 45, 15]) + bytes(answers)
    event = pack([2, "event", [{"watch": 1, "seq": 1, "kind": "expired", "id": "s1", "at": 1767225600000, "version": 5}]])
    lagged = pack([2, "event", [{"watch": 1, "seq": 9, "kind": "lagged", "missed": 8}]])
    started, stopped = pack([1, 1, None, {"watch": 1}]), pack([1, 4, None, True])
    for name, first in (("kept", 64 + 1), ("handed_on", 128 + 64 + 1)):
        yield "exchange", "events_" + name, bytes([0, first, 5]) + started + event + lagged + stopped + event
        yield "exchange", "watches_again_" + name, bytes([0, first, 5]) + started + event + b"\xc1" + started + event
    for path in sorted((ROOT / "tests/scenario").glob("*/*.txt")):
        lines = path.read_text().splitlines()
        script = script_of(lines)
        if len(script) <= SEED_BYTES_MAX:
            yield "core", f"{path.parent.name}_{path.stem}", script
    for method, params in one_of_each_method():
        words = " ".join(json.dumps(param) for param in params)
        yield "command", method.replace(".", "_"), b"\0" + f"{method} {words}".encode()
        yield "json", method.replace(".", "_"), b"\0" + json.dumps(params).encode()
        yield "json", method.replace(".", "_") + "_encoded", b"\1" + pack(params)
    yield from secrets()


def binary(data):
    return b"\xc4" + bytes([len(data)]) + data


def secrets():
    """What fuzz_secrets.c reads, in the forms of crypto/keys.c, op/token.c and op/binding.c."""
    key = bytes(range(32))
    body = b"\x97\1" + binary(key) + b"\0" + binary(b"") + binary(key) + binary(key * 6)
    body += b"\x82" + pack("app") + b"\x92" + pack("old") + binary(b"new") + pack("web") + pack(["x"])
    yield "secrets", "key_file", b"ksesskeys\1" + body
    entry = bytes([1, 0, 0, 0, 1, 0, 0, 0]) + bytes(8) + key
    yield "secrets", "token", b"t\1\2" + entry + entry
    yield "secrets", "token_text", b"tid.with.dots.secret"
    yield "secrets", "binding", b"b\1\7\1\0\0\0" + 3 * key
    yield "secrets", "signed", b"s:abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU"
    yield "secrets", "signed_encoded", b"s%3Aabc.BpxCrWRpvZMh%2Fwk%2Fdjl34N%2Bm%2BVQEU7K%2F5WenLwJCgFU"


def one_of_each_method():
    """The longest request of each method in the scenarios."""
    longest = {}
    for path in sorted((ROOT / "tests/scenario").glob("*/*.txt")):
        for line in path.read_text().splitlines():
            if not line.startswith("> "):
                continue
            method, _, params = line[2:].partition(" ")
            values = params_of(params or "[]")
            if isinstance(values, list) and len(json.dumps(values)) > len(json.dumps(longest.get(method, []))) \
                    and len(json.dumps(values)) < 400:
                longest[method] = values
    return sorted(longest.items())


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "corpus"
    for target, name, data in seeds():
        (folder / target).mkdir(parents=True, exist_ok=True)
        (folder / target / name).write_bytes(data)


if __name__ == "__main__":
    main()
