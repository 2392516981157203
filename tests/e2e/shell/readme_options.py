#!/usr/bin/env python3
"""The README's table of options is what the server prints. Argument: the server's binary."""

import pathlib
import subprocess
import sys

readme = (pathlib.Path(__file__).resolve().parents[3] / "README.md").read_text()
table = subprocess.run([sys.argv[1], "--help-markdown"], capture_output=True, text=True, check=True).stdout
assert table.count("\n") > 10, f"no table, but: {table!r}"
if table.strip() not in readme:
    sys.exit("README.md does not hold the table that `sessiond --help-markdown` prints; put it there")
print("the README's options are the server's")
