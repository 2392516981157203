#!/usr/bin/python3
"""Runs the clients from npm against a server. Arguments: the server's binary, a folder for the packages."""

import pathlib
import shutil
import subprocess
import sys

import server

here, work = pathlib.Path(__file__).resolve().parent, pathlib.Path(sys.argv[2])
work.mkdir(parents=True, exist_ok=True)
for name in ("package.json", "package-lock.json", ".npmrc", "test_npm.js"):
    shutil.copy(here / name, work / name)
if not (work / "node_modules" / "msgpack5rpc").is_dir():
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=work, check=True, timeout=300)
with server.running(sys.argv[1]) as (port, _):
    for client in ("msgpack-rpc-lite", "msgpack5rpc"):
        subprocess.run(["node", "test_npm.js", client, str(port)], cwd=work, check=True, timeout=60)
