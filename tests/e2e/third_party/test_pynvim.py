#!/usr/bin/python3
"""Debian's python3-pynvim, a client of another program, talks to sessiond unchanged. Argument: the server's binary."""

import pathlib
import sys

from pynvim.msgpack_rpc import ErrorResponse, tcp_session

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "shell"))
import server  # noqa: E402: it stands beside the shell's tests


def refused(session, *request):
    """The error map with which the server refuses."""
    try:
        session.request(*request)
    except ErrorResponse as error:
        return error.args[0]
    raise AssertionError(f"{request} was not refused")


def talk(session):
    # pynvim has sent the notification nvim_set_client_info by now: an unknown one must be ignored.
    created = session.request("session.create", "web", {"id": "s1", "user": "ann", "data": {"cart": [1, 2]}})
    assert created["id"] == "s1" and created["status"] == "active", created

    got = session.request("session.get", "web", "s1")
    assert got["data"] == {"cart": [1, 2]} and got["version"] == created["version"], got

    changed = session.request("session.patch", "web", "s1", {"incr": {"views": 2}, "set": {"page": "home"}})
    assert changed["values"] == {"views": 2} and changed["version"] > created["version"], changed
    assert session.request("session.get", "web", b"s1")["data"] == {"cart": [1, 2], "views": 2, "page": "home"}

    made = session.request("session.create", "web", {"user": "ann"})
    assert len(made["id"]) == 43, made
    listed = session.request("session.list", "web", {"user": "ann", "fields": ["id"]})
    assert {s["id"] for s in listed["sessions"]} == {"s1", made["id"]}, listed

    assert session.request("session.revoke_all", "web", {"user": "ann", "except": ["s1"]}) == 1
    assert session.request("session.get", "web", made["id"]) is None
    assert session.request("session.destroy", "web", "s1") is True
    error = refused(session, "session.set", "web", "s1", {})
    assert error["code"] == "GONE" and error["message"], error
    assert refused(session, "no.such_method")["code"] == "UNKNOWN_METHOD"
    assert refused(session, "session.get", "web")["code"] == "BAD_REQUEST"

    hello = session.request("server.hello", {"version": 1, "namespace": "web"})
    ping = hello["methods"]["server.ping"]
    assert session.request("server.ping")["now"] >= hello["now"] and isinstance(ping, int)


server.BINARY = sys.argv[1]
sessiond = server.Server()
try:
    client = tcp_session("127.0.0.1", sessiond.port)
    client.error_wrapper = ErrorResponse    # what an error becomes is the caller's choice in pynvim
    talk(client)
    assert sessiond.stop() == 0
finally:
    sessiond.process.kill()
print("pynvim talks to sessiond")
