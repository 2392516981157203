#!/usr/bin/env python3
"""Data directories that earlier releases have written, beside what this release has to find in them.

    golden.py check BUILD_DIRECTORY        each directory of format-*/ recovers to exactly its export, and one of a later
                                           format is refused by the server and by sessiond-dump, untouched
    golden.py keep BUILD_DIRECTORY STORY   adds the directories that this release writes of a story of make.c, plain and
                                           sealed, to its format's folder. What a release has written stays as it is; until
                                           the first one, a change of the format means to remove it and keep it anew
"""

import hashlib
import json
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
FORMAT = 1
AT = "1767225612000"  # the stories are over, and nothing has expired
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"
EXPORT = "export.jsonl"  # in each directory, beside its files


def run(*arguments):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=60)


def export(build, directory, key_file):
    done = run(build / "sessiond-dump", "--encryption-key-file", key_file, "--at", AT, "export", directory)
    assert done.returncode == 0, f"{directory}: {done.stderr}"
    lines = [json.dumps(json.loads(line), sort_keys=True) for line in done.stdout.splitlines()]
    return "".join(line + "\n" for line in sorted(lines))


def state(directory):
    return {p.name: (hashlib.sha256(p.read_bytes()).hexdigest(), p.stat().st_mtime_ns)
            for p in directory.iterdir() if p.name != "lock"}


def make_later(directory):
    """The newest segment says that it is of the next format."""
    last = sorted(directory.glob("log-*"))[-1]
    content = bytearray(last.read_bytes())
    content[8:12] = struct.pack("<I", FORMAT + 1)
    last.write_bytes(content)


def check_later(build, directory, key_file):
    make_later(directory)
    (directory / "keys").unlink(missing_ok=True)
    before = state(directory)
    server = run(build / "sessiond", "--port=0", f"--key-file={directory.parent / 'server_keys'}", f"--data-dir={directory}",
                 f"--encryption-key-file={key_file}")
    assert server.returncode == 1 and "newer release" in server.stderr, server.stdout + server.stderr
    for command in ("verify", "export", "print"):
        done = run(build / "sessiond-dump", "--encryption-key-file", key_file, command, directory)
        assert done.returncode == 1 and "newer release" in done.stdout + done.stderr, done.stdout + done.stderr
    assert state(directory) == before, f"{directory.name} of a later format was changed"


def check(build):
    count = 0
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        key_file = work / "key"
        key_file.write_text(KEY)
        key_file.chmod(0o600)
        for golden in sorted(p for p in HERE.glob("format-*/*") if p.is_dir()):
            copy = work / f"{golden.parent.name}_{golden.name}"
            shutil.copytree(golden, copy)
            (copy / EXPORT).unlink()
            expected = (golden / EXPORT).read_text()
            found = export(build, copy, key_file)
            assert found == expected, f"{golden}:\n--- expected\n{expected}--- found\n{found}"
            done = run(build / "sessiond-dump", "--encryption-key-file", key_file, "verify", copy)
            assert done.returncode == 0 and "ended in order" in done.stdout, done.stdout + done.stderr
            check_later(build, copy, key_file)
            count += 1
    assert count, "there is no golden directory"
    print(f"{count} directories of earlier releases are read as they were written, and none of a later one")


def keep(build, story):
    with tempfile.TemporaryDirectory() as name:
        key_file = Path(name) / "key"
        key_file.write_text(KEY)
        for suffix, keys in (("", []), ("_sealed", [key_file])):
            target = HERE / f"format-{FORMAT}" / (story + suffix)
            assert not target.exists(), f"{target} is there already"
            target.parent.mkdir(exist_ok=True)
            done = run(build / "make_golden", story, target, *keys)
            assert done.returncode == 0, done.stderr
            (target / "lock").unlink()
            (target / EXPORT).write_text(export(build, target, key_file))
            target.chmod(0o755)
            for file in target.iterdir():
                file.chmod(0o644)


if __name__ == "__main__":
    command, build = sys.argv[1], Path(sys.argv[2])
    check(build) if command == "check" else keep(build, sys.argv[3])
