#!/usr/bin/env python3
"""Installs, builds and tests the client away from its sources. Arguments: the server's binary, a folder to work in, and
the names of test files (all of them where none is given)."""

import os
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77
HERE = pathlib.Path(__file__).resolve().parent.parent


def run(work, *command, **environment):
    subprocess.run(command, cwd=work, check=True, timeout=350, env={**os.environ, **environment})


def main():
    binary, work = os.path.abspath(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    if not shutil.which("node") or not shutil.which("npm"):
        print("skipped: there is no node or no npm here; install nodejs and npm")
        sys.exit(SKIPPED)
    work.mkdir(parents=True, exist_ok=True)
    for old in work.iterdir():
        if old.name not in ("node_modules", "installed-lock.json"):
            shutil.rmtree(old) if old.is_dir() else old.unlink()
    shutil.copytree(HERE, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("node_modules", "dist"))
    lock, installed = work / "package-lock.json", work / "installed-lock.json"
    if not installed.exists() or installed.read_text() != lock.read_text():
        run(work, "npm", "ci", "--ignore-scripts", "--prefer-offline")
        shutil.copy(lock, installed)
    run(work, "node", "build.js")
    tests = sys.argv[3:] or sorted(path.name for path in (work / "test").glob("*.test.js"))
    run(work, "node", "--test", "--test-concurrency=2", *(f"test/{name}" for name in tests),
        SESSIOND_BINARY=binary, SESSIOND_VECTORS=str(HERE.parent.parent / "proto/vectors"))


if __name__ == "__main__":
    main()
