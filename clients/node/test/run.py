#!/usr/bin/env python3
"""Installs, builds and tests the client away from its sources.

run.py SESSIOND WORK                  installs the client in the folder WORK and builds it there
run.py SESSIOND WORK adapters         installs also the packages that the adapters are made for
run.py SESSIOND WORK test PATTERN...  runs the test files that a pattern names, such as test/*.test.js
"""

import os
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77
NODE_MIN = 20
HERE = pathlib.Path(__file__).resolve().parent.parent
KEPT = ("node_modules", "installed-lock.json")


def run(folder, *command, **environment):
    subprocess.run(command, cwd=folder, check=True, timeout=550, env={**os.environ, **environment})


def skip_without_node():
    found = shutil.which("node") and shutil.which("npm")
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout if found else "v0"
    if int(version.lstrip("v").split(".")[0]) < NODE_MIN:
        print(f"skipped: Node.js {NODE_MIN} or later and npm are needed, and {version.strip()} is here")
        sys.exit(SKIPPED)


def install(folder):
    """What the lock names, once: installing takes half a minute, finding that it is done takes nothing."""
    lock, installed = folder / "package-lock.json", folder / "installed-lock.json"
    if installed.exists() and installed.read_text() == lock.read_text():
        return
    run(folder, "npm", "ci", "--ignore-scripts", "--prefer-offline")
    shutil.copy(lock, installed)


def copy_sources(source, work):
    """All but what was installed and what was built is replaced."""
    for old in [path for path in work.rglob("*") if not path.is_dir() or path.is_symlink()]:
        if not any(part in KEPT for part in old.relative_to(work).parts):
            old.unlink()
    shutil.copytree(source, work, dirs_exist_ok=True, ignore=shutil.ignore_patterns("dist", *KEPT))


def options():
    """A test that has failed may leave what keeps its process from ending: those that know how end it all the same."""
    option = "--test-force-exit"
    return [option] if subprocess.run(["node", option, "--version"], capture_output=True).returncode == 0 else []


def main():
    binary, work, *rest = sys.argv[1:]
    work = pathlib.Path(work).resolve()
    skip_without_node()
    if not rest:
        work.mkdir(parents=True, exist_ok=True)
        copy_sources(HERE, work)
        install(work)
        run(work, "node", "build.js")
    elif rest[0] == "adapters":
        install(work / "test/adapters")
    else:
        tests = [str(path) for pattern in rest[1:] for path in sorted(work.glob(pattern))]
        assert tests, f"no test is named by {rest[1:]}"
        run(work, "node", "--test", "--test-concurrency=2", *options(), *tests,
            SESSIOND_BINARY=os.path.abspath(binary), SESSIOND_VECTORS=str(HERE.parent.parent / "proto/vectors"))


if __name__ == "__main__":
    main()
