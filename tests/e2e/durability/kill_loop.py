"""kill -9 at any moment, again and again: under load, while a snapshot is made, while the server begins. What clients
were told before is there after each of them, and nobody is refused a start.

    kill_loop.py SESSIOND [--rounds N] [--levels always,everysec] [--seed S] [--folder F]
"""

import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from ledger import Lost
from rounds import OPTIONS, command_line, run_directories, server

ROUNDS_OF_A_DIRECTORY = 20


class KillLoop:
    def __init__(self, level, draw, folder):
        self.level, self.draw, self.folder = level, draw, Path(folder)
        self.kills = self.kills_at_start = self.kills_in_snapshots = 0

    def run(self, count):
        told, ended, refused = run_directories(self.folder, self.level, self.draw, count, ROUNDS_OF_A_DIRECTORY,
                                               self.kill_once)
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
    options = command_line("the data directories", rounds=10, levels="always,everysec")
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
