#!/usr/bin/python3
"""Runs the clients from npm, and its cookie libraries, against a server. Arguments: the server's binary, a folder for the packages."""

import pathlib
import shutil
import subprocess
import sys

here, work = pathlib.Path(__file__).resolve().parent, pathlib.Path(sys.argv[2])
sys.path.insert(0, str(here.parent / "shell"))
import server  # noqa: E402: it stands beside the shell's tests

work.mkdir(parents=True, exist_ok=True)
for name in ("package.json", "package-lock.json", ".npmrc", "test_npm.js", "test_cookies.js"):
    shutil.copy(here / name, work / name)
if not all((work / "node_modules" / name).is_dir() for name in ("msgpack5rpc", "cookie", "cookie-signature")):
    subprocess.run(["npm", "ci", "--no-audit", "--no-fund"], cwd=work, check=True, timeout=300)
server.BINARY = sys.argv[1]
sessiond = server.Server()
try:
    for client in ("msgpack-rpc-lite", "msgpack5rpc"):
        subprocess.run(["node", "test_npm.js", client, str(sessiond.port)], cwd=work, check=True, timeout=60)
    subprocess.run(["node", "test_cookies.js", str(sessiond.port)], cwd=work, check=True, timeout=120)
    assert sessiond.stop() == 0
finally:
    sessiond.process.kill()
