#!/usr/bin/env python3
"""Single changed bits over directories that the whole core has written: what a start makes of them is refused, or told
and then what the log holds up to one of its frames. tests/recovery/flips does the same for every bit, with effects that
are numbers; here it is the memory engine's sessions that are compared.

    flip.py BUILD_DIRECTORY [COUNT [SEED]]
"""

import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BUILD = Path(sys.argv[1])
COUNT = int(sys.argv[2]) if len(sys.argv) > 2 else 300
AT = "1767225612000"
KEY = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\n"


def export(directory, key_file):
    """Exit code, what was told, and the sessions."""
    done = subprocess.run([BUILD / "sessiond-dump", "--encryption-key-file", key_file, "--at", AT, "export", directory],
                          capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr, tuple(sorted(done.stdout.splitlines()))


def frame_ends(directory, last, key_file):
    done = subprocess.run([BUILD / "sessiond-dump", "--encryption-key-file", key_file, "print", directory],
                          capture_output=True, text=True, check=True)
    words = [line.split() for line in done.stdout.splitlines()]
    return [int(row[1]) for row in words if row[0] == last.name and row[1].isdigit()]


def prefixes(directory, key_file):
    """What there is when the last segment ends at each of its frames."""
    last = sorted(directory.glob("log-*"))[-1]
    content = last.read_bytes()
    states = set()
    for place in [0, *frame_ends(directory, last, key_file), len(content)]:
        last.write_bytes(content[:place])
        code, _, sessions = export(directory, key_file)
        assert code == 0, f"cut at {place}"
        states.add(sessions)
    last.write_bytes(content)
    return states


def flip(directory, key_file, states, draw, tally):
    files = [p for p in sorted(directory.iterdir()) if p.name.startswith(("log-", "snapshot-"))]
    bit = draw.randrange(8 * sum(p.stat().st_size for p in files))
    for file in files:
        if bit < 8 * file.stat().st_size:
            break
        bit -= 8 * file.stat().st_size
    content = bytearray(file.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    code, told, sessions = export(directory, key_file)
    content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    outcome = "refused" if code == 1 else "silent" if not told else "told" if sessions in states else "no prefix"
    assert code in (0, 1), f"bit {bit} of {file.name}: exit code {code}, {told}"
    tally[outcome] = tally.get(outcome, 0) + 1
    if outcome in ("silent", "no prefix"):
        print(f"bit {bit} of {file.name}: {outcome}: {told}")


def main():
    draw = random.Random(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    tally = {}
    with tempfile.TemporaryDirectory() as name:
        key_file = Path(name) / "key"
        key_file.write_text(KEY)
        kinds = [(story, keys) for story in ("sessions", "all") for keys in ([], [key_file])]
        for index, (story, keys) in enumerate(kinds):
            directory = Path(name) / str(index)
            subprocess.run([BUILD / "make_golden", story, directory, *keys], check=True, timeout=60)
            states = prefixes(directory, key_file)
            for _ in range(COUNT // len(kinds)):
                flip(directory, key_file, states, draw, tally)
            shutil.rmtree(directory)
    print(f"{sum(tally.values())} bits:", json.dumps(tally))
    assert tally.get("refused") and not tally.get("silent") and not tally.get("no prefix")


if __name__ == "__main__":
    main()
