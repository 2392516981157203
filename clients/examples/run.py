#!/usr/bin/env python3
"""Tests one example on a copy of it, away from its sources.

run.py SESSIOND WORK NAME     WORK has the Node.js client in the folder node, as clients/node/test/run.py leaves it
"""

import os
import pathlib
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "node/test"))
from run import SKIPPED, copy_sources, install, skip_without_node  # noqa: E402


def main():
    binary, work, name = sys.argv[1:]
    skip_without_node()
    # As far from the client as in the sources: the package names it as file:../../node.
    folder = pathlib.Path(work).resolve() / "examples" / name
    folder.mkdir(parents=True, exist_ok=True)
    copy_sources(HERE / name, folder)
    install(folder)
    environment = {**os.environ, "SESSIOND_BINARY": os.path.abspath(binary)}
    status = subprocess.run(["npm", "test", "--silent"], cwd=folder, env=environment, timeout=550).returncode
    sys.exit(status if status in (0, SKIPPED) else 1)


if __name__ == "__main__":
    main()
