"""The conformance cases and the document's own client against a real server: `live.py SESSIOND PROTO-DIRECTORY`.

Each case goes over a connection of its own, with a ping behind it: whether the ping is answered shows whether the server
went on behind the case."""

import json
import pathlib
import re
import socket
import subprocess
import sys
import tempfile

import msgpack

sys.dont_write_bytecode = True
PING = msgpack.packb([0, 999, "server.ping", []])
WAIT_S = 60.0
QUIET_S = 0.05  # how long silence counts as "it waits for more"


def server_start(program, *options):
    process = subprocess.Popen([program, "--port", "0", *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    for line in process.stdout:
        ready = re.search(r"event=ready.* tcp=127\.0\.0\.1:(\d+)", line)
        if ready:
            return process, int(ready[1])
    raise SystemExit("the server ended before it was ready")


def exchange(port, sent, is_done, wait_s=WAIT_S):
    """Sends bytes, collects replies until is_done(replies), the end or the time; answers them and whether it was the end."""
    unpacker, replies = msgpack.Unpacker(strict_map_key=False), []
    with socket.create_connection(("127.0.0.1", port), wait_s) as connection:
        connection.settimeout(wait_s)
        connection.sendall(sent)
        while not is_done(replies):
            try:
                received = connection.recv(65536)
            except socket.timeout:
                return replies, False
            except ConnectionResetError:
                return replies, True
            if not received:
                return replies, True
            unpacker.feed(received)
            replies += list(unpacker)
    return replies, False


def reply_to(replies, msgid):
    return next((reply for reply in replies if reply[1] == msgid), None)


def check_malformed(port, case):
    """None where the server did as the case says, else what it did."""
    sent, state, msgid = bytes.fromhex(case["bytes"].replace(" ", "")), case["state"], case.get("msgid", 0)
    if state == "incomplete":
        replies, is_end = exchange(port, sent, bool, QUIET_S)
        return (replies, is_end) if replies or is_end else None
    sent = sent[:case.get("size", len(sent))]
    replies, is_end = exchange(port, sent + PING, lambda replies: bool(reply_to(replies, 999)))
    if state == "broken":
        is_right = is_end and len(replies) == 1 and replies[0][:2] == [1, 0] and replies[0][2]["code"] == "BAD_REQUEST"
        return None if is_right else (replies, is_end)
    reply, is_right = reply_to(replies, msgid), not is_end and len(replies) == (2 if msgid else 1)
    if state == "refused" and msgid:
        is_right = is_right and reply[2] and reply[2]["code"] == case["code"]
    return None if is_right else (replies, is_end)


def check_example(port, case):
    """Every example is understood: it is answered, and not with a mistake of the caller's."""
    for form in ("request", "request_by_number"):
        replies, is_end = exchange(port, bytes.fromhex(case[form]), bool)
        if is_end or len(replies) != 1 or replies[0][:2] != [1, case["msgid"]]:
            return replies, is_end
        error = replies[0][2]
        if error and error["code"] in ("BAD_REQUEST", "UNKNOWN_METHOD", "INTERNAL", "TOO_BIG"):
            return replies, is_end
    return None


# What must be there before an example can be true, as (method, params); the rest of each example's world is empty.
SESSION = [("session.create", ["web", {"id": "s1", "user": "ann", "client": "phone", "data": {"cart": 3}}])]
PROXIES = [("pool.configure", ["crawl", "proxies", {"max_pool_size": 10}])]
USED = PROXIES + [("pool.add", ["crawl", "proxies", {"id": "session_1"}]),
                  ("pool.acquire", ["crawl", "proxies", {"id": "session_1", "lease_ms": 30000}])]
SECRETS = [("namespace.configure", ["web", {"cookie_secrets": ["keyboard cat"]}])]
BEFORE = {
    "session.create": [], "session.purge": [], "session.validate": [], "session.rotate": [],
    "session.activate": [("session.create", ["web", {"id": "s1", "pending": True}])],
    "session.patch": [("session.create", ["web", {"id": "s1"}])],
    "session.revoke_all": [("session.create", ["web", {"id": id, "user": "ann"}]) for id in ("s1", "s2", "s3", "s4")],
    "session.list": [("session.create", ["web", {"id": "s1", "user": "ann", "created_at": 1767225600000}]),
                     ("session.create", ["web", {"id": "s2", "user": "ann"}])],
    "session.count": [("session.create", ["web", {"id": id, "user": "ann"}]) for id in ("s1", "s2")],
    "session.clear": [("session.create", ["web", {"id": id}]) for id in ("s1", "s2")],
    "namespace.describe": [("namespace.configure", ["web", {"idle_timeout_ms": 1800000}])],
    "namespace.list": SESSION, "namespace.drop": SESSION,
    "client.get": SESSION + [("session.touch", ["web", "s1"])], "client.activate": SESSION, "client.destroy": SESSION,
    "pool.info": PROXIES, "pool.reset": PROXIES, "pool.acquire": [("pool.add", ["crawl", "proxies", {"id": "session_1"}])],
    "pool.mark": USED, "pool.release": USED, "pool.renew": USED,
    "pool.state": [("pool.add", ["crawl", "proxies", {"id": "p1"}])],
    "cookie.sign": SECRETS, "cookie.unsign": SECRETS,
    "watch.stop": [("watch.start", ["web"])],
}
# Its token takes the place of an example's, which cannot know it.
TOKEN = ("session.create", ["web", {"id": "s1", "user": "ann", "token": True}])


def is_true(example, actual, key=""):
    """Whether an answer holds what the example shows: keys, types, texts, and numbers that are no moments or versions."""
    if isinstance(example, dict):
        return isinstance(actual, dict) and all(k in actual and is_true(v, actual[k], k) for k, v in example.items())
    if isinstance(example, list):
        return isinstance(actual, list) and (key == "features" or len(example) == len(actual)) \
            and all(map(is_true, example, actual))
    if isinstance(example, (int, float)) and not isinstance(example, bool) and example > 1_000_000 or key in VARYING:
        return type(example) is type(actual)
    return example == actual


VARYING = {"uptime_ms", "requests_total", "token", "max_frame", "number", "newest_number"}


def check_truth(port, case):
    """The example with what it needs before it: None where the answer is as it says. Each on a connection of its own."""
    import recipe
    client = recipe.Client(port=port)
    method, params = case["method"], list(case["params"])
    for name in client.exchange("namespace.list", []):
        client.exchange("namespace.drop", [name])
    prepared = BEFORE.get(method, SESSION if method.startswith("session.") else [])
    for before, arguments in prepared:
        last = client.exchange(before, arguments)
    if method in ("session.validate", "session.rotate"):
        params[1] = client.exchange(*TOKEN)["token"]
    if method == "pool.renew":
        params[2] = {**params[2], "fence": last["fence"]}
    if method == "pool.acquire":
        params[2] = {**params[2], "create": "never"}  # else the new session's id is the server's
    actual = client.exchange(method, params)
    client.close()
    return None if is_true(case["result"], actual) else (actual, False)


def check_recipe(port, directory):
    import recipe
    client = recipe.Client(port=port)
    session = client.write("session.create", "recipe", user="ann", data={"cart": 3})
    assert client.read("session.get", "recipe", session["id"], touch=True)["data"] == {"cart": 3}
    try:
        client.read("session.got")
        raise AssertionError("an unknown method was answered")
    except recipe.Error as error:
        assert error.code == "UNKNOWN_METHOD", error


def check_all(program, directory, options, checks):
    process, port = server_start(program, *options)
    failures = 0
    try:
        for name, check in checks:
            for case in json.loads((directory / "vectors" / name).read_text())["cases"]:
                wrong = check(port, case)
                if wrong:
                    failures += 1
                    print(f"{name}, {case.get('name', case.get('method'))}: the server answered {wrong[0]}, end: {wrong[1]}")
        check_recipe(port, directory)
    finally:
        process.terminate()
        code = process.wait(60)
    if code != 0:
        failures += 1
        print(f"the server ended with {code}")
    return failures


def main():
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    sys.path.insert(0, str(directory))
    # One that keeps nothing answers in order, which the first looks at; the examples are those of one that does.
    with tempfile.TemporaryDirectory(prefix="sessiond_vectors_") as folder:
        failures = check_all(program, directory, [], [("malformed.json", check_malformed)])
        failures += check_all(program, directory, ["--data-dir", folder],
                              [("requests.json", check_example), ("requests.json", check_truth)])
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
