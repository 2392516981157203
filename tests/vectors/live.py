"""The conformance cases and the document's own client against a real server: `live.py SESSIOND PROTO-DIRECTORY`.

Each case goes over a connection of its own, with a ping behind it: whether the ping is answered shows whether the server
went on behind the case."""

import json
import pathlib
import re
import socket
import subprocess
import sys

import msgpack

sys.dont_write_bytecode = True
PING = msgpack.packb([0, 999, "server.ping", []])
WAIT_S = 5.0
QUIET_S = 0.05  # how long silence counts as "it waits for more"


def server_start(program):
    process = subprocess.Popen([program, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
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


def check_recipe(port, directory):
    sys.path.insert(0, str(directory))
    import recipe
    client = recipe.Client(port=port)
    session = client.write("session.create", "recipe", user="ann", data={"cart": 3})
    assert client.read("session.get", "recipe", session["id"], touch=True)["data"] == {"cart": 3}
    try:
        client.read("session.got")
        raise AssertionError("an unknown method was answered")
    except recipe.Error as error:
        assert error.code == "UNKNOWN_METHOD", error


def main():
    program, directory = sys.argv[1], pathlib.Path(sys.argv[2])
    process, port = server_start(program)
    failures = 0
    try:
        for name, check in (("malformed.json", check_malformed), ("requests.json", check_example)):
            for case in json.loads((directory / "vectors" / name).read_text())["cases"]:
                wrong = check(port, case)
                if wrong:
                    failures += 1
                    print(f"{name}, {case.get('name', case.get('method'))}: the server answered {wrong[0]}, end: {wrong[1]}")
        check_recipe(port, directory)
    finally:
        process.terminate()
        code = process.wait(20)
    if code != 0:
        failures += 1
        print(f"the server ended with {code}")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
