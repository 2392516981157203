#!/usr/bin/env python3
"""sessiond-dump from outside: what it says of a data directory that is in order, sealed, damaged or not ours, and that
it never changes one.

    test_dump.py BUILD_DIRECTORY
"""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1])
DUMP = BUILD / "sessiond-dump"
AT = "1767225612000"  # the story of make_golden is over, and nothing has expired
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
HEADER = 128


def dump(*arguments, code=0):
    done = subprocess.run([DUMP, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    assert (code == 0) == (done.stderr == ""), f"{arguments}: {done.stderr}"
    return done.stdout if code == 0 else done.stdout + done.stderr


def state(directory):
    """Everything of the directory's files that somebody could have changed."""
    return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns) for p in directory.iterdir()}


def newest(directory, kind):
    return sorted(p for p in directory.iterdir() if p.name.startswith(kind) and "." not in p.name)[-1]


def exported(directory, *options):
    lines = [json.loads(line) for line in dump("export", "--at", AT, *options, directory).splitlines()]
    return {(line["namespace"], line["session"]["id"]): line["session"] for line in lines}


def make(path, key_file=None):
    subprocess.run([BUILD / "make_golden", "all", path, *([key_file] if key_file else [])], check=True, timeout=60)
    return path


# ---------------------------------------------------------------- in order


def check_export(directory, *options):
    sessions = exported(directory, *options)
    of_web = {id for namespace, id in sessions if namespace == "web"}
    assert of_web == {"one", "deux", "trois", "four", "out"}, of_web
    assert {id for namespace, id in sessions if namespace == "cleared"} == {"z"}
    assert not [id for namespace, id in sessions if namespace == "dropped"]
    one = sessions["web", "one"]
    assert one["data"] == {"cart": [], "raw": {"$bin": "AAEC"}}, one
    assert (one["user"], one["client"], one["meta"]["ip"]) == ("ada", "phone", "10.0.0.1")
    assert one["last_active_at"] > one["created_at"]
    assert sessions["web", "four"]["data"]["n"] == 2**64 - 1
    assert (sessions["web", "out"]["status"], sessions["web", "out"]["reason"]) == ("revoked", "stolen")
    return sessions


def test_in_order(plain):
    out = dump("verify", plain)
    assert "good: " in out and "torn" not in out and "ended in order" in out, out
    out = dump("print", plain)
    for word in ("store", "namespace", "put", "move", "remove", "touch", "client", "drop"):
        assert f"\n  {word} " in out, word
    assert " id=deux " in out and "leaves=alias" in out and "leaves=tombstone" in out
    check_export(plain)


def test_sealed(sealed, key_file, other_key_file):
    option = ("--encryption-key-file", key_file)
    assert all(b"phone" not in p.read_bytes() and b"cart" not in p.read_bytes() for p in sealed.iterdir())
    assert "its key was not given" not in dump("verify", *option, sealed)
    assert "add the key" in dump("verify", sealed, code=1)
    assert "add the key" in dump("verify", "--encryption-key-file", other_key_file, sealed, code=1)
    assert "encrypted" in dump("print", sealed, code=1)
    assert " id=deux " in dump("print", *option, sealed)
    return check_export(sealed, *option)


# ---------------------------------------------------------------- backups


def test_backup(plain, sealed, key_file, work):
    assert "sessions alive" in dump("backup", plain, work / "copy")
    dump("verify", work / "copy")
    assert exported(work / "copy") == exported(plain)
    assert "not empty" in dump("backup", plain, work / "copy", code=1)
    assert "no segment" in dump("backup", work / "keys_only", work / "nothing", code=1)

    (plain / "keys").write_bytes(b"the keys")
    dump("backup", "--with-keys", plain, work / "with_keys")
    assert (work / "with_keys" / "keys").read_bytes() == b"the keys"
    assert (work / "with_keys" / "keys").stat().st_mode & 0o777 == 0o600
    dump("backup", plain, work / "without_keys")
    assert not (work / "without_keys" / "keys").exists()

    assert "encrypted" in dump("backup", sealed, work / "unread")
    option = ("--encryption-key-file", key_file)
    dump("backup", *option, sealed, work / "read")
    assert exported(work / "unread", *option) == exported(work / "read", *option) == exported(sealed, *option)


def test_torn(plain, work):
    """A server that is killed leaves allocated space and perhaps half a frame: both are said, none is in a backup."""
    torn = work / "torn"
    shutil.copytree(plain, torn)
    last = newest(torn, "log-")
    last.write_bytes(last.read_bytes()[: -(40 + 7)] + b"\1\2\3" + bytes(5000))  # over the end frame
    assert "torn tail: a start cuts" in dump("verify", torn)
    dump("backup", torn, work / "untorn")
    assert "torn" not in dump("verify", work / "untorn")
    assert newest(work / "untorn", "log-").stat().st_size < last.stat().st_size - 5000


# ---------------------------------------------------------------- what is wrong


def damaged(plain, work, name, change):
    copy = work / name
    shutil.copytree(plain, copy)
    file, content = change(copy)
    file.write_bytes(content)
    return copy


def flip_first_frame(directory):
    file = newest(directory, "log-")
    content = bytearray(file.read_bytes())
    content[HEADER + 60] ^= 1
    return file, content


def of_later_format(directory):
    file = newest(directory, "log-")
    content = bytearray(file.read_bytes())
    content[8:12] = struct.pack("<I", 2)
    return file, content


def not_ours(directory):
    return newest(directory, "log-"), b"a letter to the editor"


def test_wrong(plain, work):
    for name, change, words in (
        ("flipped", flip_first_frame, ("damaged at byte 128", "--repair")),
        ("later", of_later_format, ("newer release",)),
        ("foreign", not_ours, ("not written by sessiond",)),
    ):
        directory = damaged(plain, work, name, change)
        before = state(directory)
        for command in ("verify", "export"):
            out = dump(command, directory, code=1)
            assert all(word in out for word in words), out
        dump("print", directory, code=1)
        dump("backup", directory, work / f"{name}_backup", code=1)
        assert state(directory) == before, f"{name} was changed"


def test_usage(plain):
    assert "usage" in dump("--help")
    for arguments in ((), ("look", plain), ("verify",), ("verify", plain, plain), ("backup", plain), ("--at", "x", "export", plain)):
        dump(*arguments, code=2)
    assert "/nowhere/at/all" in dump("verify", "/nowhere/at/all", code=1)


def main():
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        key_file, other = work / "key", work / "other"
        key_file.write_text(KEY)
        other.write_text(KEY.replace("00", "ff", 1))
        (work / "keys_only").mkdir()
        plain, sealed = make(work / "plain"), make(work / "sealed", key_file)
        (plain / "keys").write_bytes(b"not yet")
        before = state(plain), state(sealed)
        test_in_order(plain)
        assert test_sealed(sealed, key_file, other) == exported(plain)
        (plain / "keys").unlink()
        test_backup(plain, sealed, key_file, work)
        (plain / "keys").unlink()
        test_torn(plain, work)
        test_wrong(plain, work)
        test_usage(plain)
        after = state(plain), state(sealed)
        before[0].pop("keys")
        assert before == after, "a directory was changed"
    print("sessiond-dump: all as it should be")


if __name__ == "__main__":
    main()
