"""The command line of what is tried on file systems of its own: each kind, each level, so many rounds."""

import random
import sys
import tempfile
from pathlib import Path

from disks import SKIPPED, Disk, Skipped
from ledger import Lost
from rounds import command_line


def run(trial, options, folder):
    for kind in options.kinds.split(","):
        disk = Disk(kind, folder)
        try:
            for level in options.levels.split(","):
                trial(disk, level, random.Random(options.seed)).run(options.rounds)
        finally:
            disk.unmount()


def main(trial, rounds, kinds, impossible):
    """Runs trial(disk, level, draw).run(rounds) for all of them; `rounds` and `kinds` where the command line names none.
    Ends with 77 and what is `impossible` here, where nothing can be mounted; LOST ends it too."""
    options = command_line("the file systems' files", rounds=rounds, levels="always,everysec", kinds=kinds)
    with tempfile.TemporaryDirectory(prefix="sessiond_disk_", dir=options.folder) as folder:
        try:
            run(trial, options, Path(folder))
        except Skipped as why:
            print(f"skipped: {impossible}: {why}")
            sys.exit(SKIPPED)
        except Lost as lost:
            sys.exit(f"LOST: {lost}")
