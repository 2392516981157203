#!/usr/bin/env python3
"""Counts the instructions of each operation and holds them against instructions.txt: a regression is seen on any machine,
however busy.

    instructions.py path/to/bench_instructions            fails where an operation takes over 3 % more than is written
    instructions.py path/to/bench_instructions --renew    writes what was counted

What is compared is counted by callgrind, so it is the same from run to run. What moves it but our source: the compiler
(a file of another one is held to 15 %), and the libraries' choice of code for the processor (copies, BLAKE2b), which the
3 % are for. A cell that fell by over 3 % passes with a line: renew the file, or the next regression hides in the gain.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

FILE = pathlib.Path(__file__).with_name("instructions.txt")
MARGIN = 0.03
MARGIN_OTHER_COMPILER = 0.15
HEAD = """\
# Instructions for one operation in the whole core, without sockets and without a log: see instructions.py, which checks
# them (ctest -R bench_instructions) and writes this file with --renew. A change that makes an operation dearer for a good
# reason renews it in the same commit and says why.
"""


def count(program):
    """The compiler, and the instructions of one operation by cell."""
    with tempfile.TemporaryDirectory() as folder:
        out = os.path.join(folder, "callgrind")
        run = subprocess.run(["valgrind", "--tool=callgrind", "--instr-atstart=no", "--combine-dumps=yes",
                              f"--callgrind-out-file={out}", program], capture_output=True, text=True)
        if run.returncode:
            sys.exit(f"{program} failed under valgrind:\n{run.stdout}{run.stderr}")
        dumps = pathlib.Path(out).read_text()
    compiler, *cells = run.stdout.splitlines()
    operations = {name: int(number) for name, number in (line.split() for line in cells)}
    totals = dict(re.findall(r"^desc: Trigger: Client Request: (\S+)\n(?:.*\n)*?totals: (\d+)$", dumps, re.M))
    if set(totals) != set(operations) or not operations:
        sys.exit(f"callgrind counted {sorted(totals)}, and what was played is {sorted(operations)}")
    return compiler.split(maxsplit=1)[1], {name: int(totals[name]) / operations[name] for name in operations}


def read():
    lines = [line for line in FILE.read_text().splitlines() if line and not line.startswith("#")]
    compiler, *cells = lines
    return compiler.split(maxsplit=1)[1], {name: float(figure) for name, figure in (line.split() for line in cells)}


def write(compiler, figures):
    cells = "".join(f"{name:14} {figure:7.0f}\n" for name, figure in figures.items())
    FILE.write_text(f"{HEAD}compiler {compiler}\n{cells}")


def check(compiler, figures):
    known_compiler, known = read()
    margin = MARGIN if compiler == known_compiler else MARGIN_OTHER_COMPILER
    if set(figures) != set(known):
        sys.exit(f"{FILE.name} has other operations than were counted; renew it")
    dearer, cheaper = [], []
    for name, figure in figures.items():
        change = figure / known[name] - 1
        print(f"{name:14} {figure:7.0f} instructions, {known[name]:7.0f} written, {100 * change:+5.1f} %")
        if change > margin:
            dearer.append(name)
        if change < -margin:
            cheaper.append(name)
    if cheaper:
        print(f"cheaper than is written: {', '.join(cheaper)}; renew {FILE.name}, so that it stays so")
    if dearer:
        sys.exit(f"dearer by over {100 * margin:.0f} %: {', '.join(dearer)}. See what was added (callgrind_annotate); if it is "
                 f"worth it, run {sys.argv[0]} {sys.argv[1]} --renew, and say in the commit what it buys")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--renew", action="store_true", help="write the file instead of checking it")
    options = parser.parse_args()
    (write if options.renew else check)(*count(options.program))


main()
