#!/usr/bin/env python3
"""Counts the instructions that a token without the right secret costs, by what is wrong with it, and prints them.

    work.py path/to/token_work

What is printed is the difference between 300 and 100 requests under callgrind, for one request. Tables and tombstones are
found at different cost, and five stored secrets are read more slowly than one; but a hash more or less, a quarter of it
all, fails.
"""

import re
import subprocess
import sys
import tempfile

KINDS = ("unknown", "plain", "alive", "pending", "expired", "revoked", "destroyed", "foreign", "malformed", "bound",
         "rotated")
DIFFERENCE_MAX = 0.12


def instructions(binary, kind, count):
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", binary, kind, str(count)],
                              capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


figures = {kind: (instructions(sys.argv[1], kind, 300) - instructions(sys.argv[1], kind, 100)) / 200 for kind in KINDS}
least = min(figures.values())
for kind, figure in figures.items():
    print(f"{kind:10} {figure:8.0f} instructions a request  {100 * (figure / least - 1):+5.1f} %")
telling = [kind for kind, figure in figures.items() if figure > least * (1 + DIFFERENCE_MAX)]
if telling:
    sys.exit(f"more work than others, so their time tells them apart: {', '.join(telling)}")
