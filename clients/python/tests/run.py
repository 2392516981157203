"""Tests of the Python client against a server: `run.py SESSIOND [full] [test_client ...]`, all where none is named. Exits
with 0 where all passed."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent


def types_are_right():
    """What mypy says of the package, where it is installed."""
    if not shutil.which("mypy"):
        print("mypy is not installed: the types are not checked", file=sys.stderr)
        return True
    with tempfile.TemporaryDirectory() as cache:
        return subprocess.run(["mypy", "--cache-dir", cache], cwd=HERE.parent).returncode == 0


def main():
    sys.dont_write_bytecode = True
    os.environ["SESSIOND"] = str(pathlib.Path(sys.argv[1]).resolve())
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    names = sys.argv[2:]
    is_full = "full" in names[:1]
    if is_full:
        os.environ["SESSIOND_TESTS"] = "full"
    sys.path.insert(0, str(HERE))
    names = names[1:] if is_full else names
    loader = unittest.defaultTestLoader
    tests = loader.loadTestsFromNames(names) if names else loader.discover(str(HERE))
    passed = unittest.TextTestRunner().run(tests).wasSuccessful()
    sys.exit(0 if passed and (not is_full or types_are_right()) else 1)


if __name__ == "__main__":
    main()
