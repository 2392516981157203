"""A call of the server's disk fails, once or for ever, in half or whole, or hangs, under load with snapshots; then the
server is killed or told to end, and starts again on a disk that works. What clients were told is there.

    FAULT_LIBRARY=libfault.so fault_loop.py SESSIOND [--rounds N] [--levels always,everysec] [--seed S] [--folder F]

It tells which faults were met how often, and in which state the log was then. A failed sync proves that nobody was told
of anything after it: whoever is told and does not find it fails the run.
"""

import collections
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from errno import EDQUOT, EIO, EMFILE, ENOSPC, EOPNOTSUPP, EROFS
from pathlib import Path

from faults import FOR_EVER, HALF, HANG, Faults
from ledger import Lost
from rounds import command_line, run_directories, server

ROUNDS_OF_A_DIRECTORY = 10
FAULTS = [  # a call, in a file's name, and what becomes of it
    ("fdatasync", "log-", (EIO, EIO, HANG)), ("pwrite", "log-", (EIO, ENOSPC, EDQUOT, HALF, -EIO, -ENOSPC, HANG)),
    ("fallocate", "log-", (ENOSPC, EIO, EOPNOTSUPP, HANG)), ("openat", "log-", (EIO, EMFILE, ENOSPC, HANG)),
    ("ftruncate", "log-", (EIO, HANG)), ("unlinkat", "log-", (EIO, EROFS, HANG)), ("fsync", "DATA", (EIO, HANG)),
    ("openat", "snapshot-", (EIO, ENOSPC, HANG)), ("pwrite", "snapshot-", (EIO, ENOSPC, HALF, -ENOSPC, HANG)),
    ("fdatasync", "snapshot-", (EIO, HANG)), ("renameat", "snapshot-", (EIO, ENOSPC, HANG)),
    ("unlinkat", "snapshot-", (EIO, HANG))]


class FaultLoop:
    def __init__(self, level, draw, folder, library):
        self.level, self.draw, self.folder, self.library = level, draw, Path(folder), library
        self.tally = collections.Counter()
        self.started_anew = 0

    def run(self, count):
        told, ended, refused = run_directories(self.folder, self.level, self.draw, count, ROUNDS_OF_A_DIRECTORY,
                                               self.fail_once)
        states = collections.Counter()
        for (_, state), times in self.tally.items():
            states[state] += times
        print(f"{self.level}: {count} faults, {len({fault for fault, _ in self.tally})} kinds, then the log was "
              f"{', '.join(f'{state} {times} times' for state, times in states.most_common())}; {self.started_anew} starts "
              f"refused by a failing disk; {told} told, {ended} ended or destroyed, {refused} refused; 0 lost, 0 alive "
              f"again", flush=True)

    def draw_fault(self, faults, rounds):
        call, name, whats = self.draw.choice(FAULTS)
        what = self.draw.choice(whats)
        faults.set((call, rounds.data.name if name == "DATA" else name, what,
                    self.draw.choice((0, 0, 0, self.draw.randrange(20))), self.draw.choice((1, 1, 3, FOR_EVER))))
        return f"{call} {name} {os.strerror(abs(what)) if abs(what) > 1 else 'hang' if what == HANG else 'half'}"

    def fail_once(self, rounds):
        faults = Faults(self.folder / "faults", self.library)
        faults.clear()
        if not rounds.is_new and self.draw.random() < 0.2:
            self.start_on_failing(rounds, faults)
        process = rounds.start(environment=faults.environment)
        try:
            rounds.audit(process)
            rounds.load(process, lambda: self.fail(rounds, process, faults), self.draw.random() / 5, 0.01)
        finally:
            faults.clear()
            rounds.put_away(process)

    def fail(self, rounds, process, faults):
        try:
            fault = self.draw_fault(faults, rounds)
            time.sleep(self.draw.random() / 4)
            if self.draw.random() < 0.3:
                faults.clear()
                time.sleep(self.draw.random() / 4)
            with process.client() as client:  # it answers, whatever its disk does
                state = client.call("server.info")["log"]["state"]
            self.tally[fault, state] += 1
            if self.draw.random() < 0.3:
                faults.clear()  # a disk that hangs lets nobody end in order
                process.signal(signal.SIGTERM)
                process.wait()
        finally:
            process.process.kill()

    def start_on_failing(self, rounds, faults):
        """It may be refused, and says why; nothing is lost by it."""
        fault = self.draw_fault(faults, rounds)
        if fault.endswith("hang"):
            return faults.clear()
        process = server.Server(f"--data-dir={rounds.data}", f"--durability={self.level}",
                                environment=faults.environment)
        faults.clear()
        if "event=ready" not in process.ready:
            self.started_anew += 1
            if process.wait() != 1 or not process.log().startswith("sessiond: "):
                raise Lost(f"{fault}: a start is refused without a word:\n{process.log()}")
        process.kill()


def main():
    options = command_line("the data directories", rounds=6, levels="always,everysec")
    library = os.path.abspath(os.environ["FAULT_LIBRARY"])
    if not server.can_be_preloaded(library):
        print("skipped: no library can be preloaded into this server (a sanitizer wants to be loaded first)")
        sys.exit(77)
    with tempfile.TemporaryDirectory(prefix="sessiond_fault_", dir=options.folder) as folder:
        for level in options.levels.split(","):
            loop = FaultLoop(level, random.Random(options.seed), folder, library)
            try:
                loop.run(options.rounds)
            except Lost as lost:
                kept = shutil.copytree(folder, folder + "_lost")
                sys.exit(f"{level}, after {loop.tally}: {lost}\nthe directory is kept in {kept}")


if __name__ == "__main__":
    main()
