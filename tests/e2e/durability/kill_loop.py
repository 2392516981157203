"""kill -9 at any moment, again and again: under load, while a snapshot is made, while the server begins. What clients
were told before is there after each of them, and nobody is refused a start.

    kill_loop.py SESSIOND [--rounds N] [--levels always,everysec] [--seed S] [--folder F]
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ledger import Lost
from rounds import OPTIONS, Rounds, server

ROUNDS_OF_A_DIRECTORY = 20


class KillLoop:
    def __init__(self, level, draw, folder):
        self.level, self.draw, self.folder = level, draw, Path(folder)
        self.kills = self.kills_at_start = self.kills_in_snapshots = 0
        self.totals = (0, 0, 0)

    def run(self, count):
        for number in range(0, count, ROUNDS_OF_A_DIRECTORY):
            rounds = Rounds(self.folder / f"{self.level}-{number}", self.level, self.draw)
            for _ in range(min(ROUNDS_OF_A_DIRECTORY, count - number)):
                self.kill_once(rounds)
            rounds.finish()
            self.totals = tuple(map(sum, zip(self.totals, rounds.tally())))
            shutil.rmtree(rounds.data)
        told, ended, refused = self.totals
        print(f"{self.level}: {self.kills} kills under load ({self.kills_in_snapshots} of them a moment after a snapshot "
              f"began), {self.kills_at_start} while it began; {told} told, {ended} ended or destroyed, {refused} refused; "
              f"0 lost, 0 alive again, 0 starts refused", flush=True)

    def kill_once(self, rounds):
        if not rounds.is_new and self.draw.random() < 0.3:
            self.kill_while_it_begins(rounds)
        process = rounds.start()
        try:
            rounds.audit(process)
            pause_s = 0.02 + self.draw.random() / 4 if self.draw.random() < 0.5 else None
            delay_s = 0.02 + self.draw.random() / 4
            if pause_s and self.draw.random() < 0.5:
                delay_s = pause_s + self.draw.random() / 50
                self.kills_in_snapshots += 1
            rounds.load(process, process.process.kill, delay_s, pause_s)
            self.kills += 1
        finally:
            rounds.put_away(process)

    def kill_while_it_begins(self, rounds):
        process = subprocess.Popen([server.BINARY, "--port=0", f"--data-dir={rounds.data}",
                                    f"--durability={self.level}", *OPTIONS],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(self.draw.random() * 1.5 * rounds.start_s)
        process.kill()
        process.wait()
        self.kills_at_start += 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--levels", default="always,everysec")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--folder", help="where the data directories are made")
    options = parser.parse_args()
    server.BINARY = os.path.abspath(options.binary)
    print(f"seed {options.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="sessiond_kill_", dir=options.folder) as folder:
        for level in options.levels.split(","):
            loop = KillLoop(level, random.Random(options.seed), folder)
            try:
                loop.run(options.rounds)
            except Lost as lost:
                kept = shutil.copytree(folder, folder + "_lost")
                sys.exit(f"{level}, after {loop.kills} kills: {lost}\nthe directory is kept in {kept}")


if __name__ == "__main__":
    main()
