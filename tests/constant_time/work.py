#!/usr/bin/env python3
"""Counts the instructions that a token without the right secret costs, by what is wrong with it, and prints them.

    work.py path/to/token_work

What is printed is the difference between 1,100 and 100 requests under callgrind, for one request. Nothing is asserted:
tables and tombstones are found at different cost, and what counts is that it is far below what a network hides.
"""

import re
import subprocess
import sys
import tempfile

KINDS = ("unknown", "plain", "alive", "pending", "expired", "revoked", "destroyed", "foreign", "malformed")


def instructions(binary, kind, count):
    with tempfile.NamedTemporaryFile() as out:
        done = subprocess.run(["valgrind", "--tool=callgrind", f"--callgrind-out-file={out.name}", binary, kind, str(count)],
                              capture_output=True, text=True, check=True)
    return int(re.search(r"Collected : (\d+)", done.stderr).group(1))


figures = {kind: (instructions(sys.argv[1], kind, 1100) - instructions(sys.argv[1], kind, 100)) / 1000 for kind in KINDS}
least = min(figures.values())
for kind, figure in figures.items():
    print(f"{kind:10} {figure:8.0f} instructions a request  {100 * (figure / least - 1):+5.1f} %")
