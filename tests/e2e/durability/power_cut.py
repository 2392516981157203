"""The power goes: a file system of its own, in a file, is shut down under the running server, so nothing reaches it any
more that was not synced; then it is mounted again, as after a start of the machine. At always nothing that clients were
told is lost; at everysec only what is at most about a second old, and never something with a later change still there.

    power_cut.py SESSIOND [--rounds N] [--levels always,everysec] [--kinds ext4,xfs] [--seed S] [--folder F]

Mounting takes root and loop devices; where they are missing it says so and ends with 77, which ctest calls skipped.
"""

import time

import trial
from disks import LOG_FLUSH, NO_LOG_FLUSH
from rounds import Rounds, server


class PowerCuts:
    def __init__(self, disk, level, draw):
        self.disk, self.level, self.draw = disk, level, draw
        self.may_lose = level == "everysec"
        self.rounds = Rounds(disk.path / f"data-{level}", level, draw, self.may_lose)
        for books in self.rounds.all_books:
            books.has_clears = not self.may_lose  # nobody could say of an id that is missing which of both it lacks
        self.oldest_s, self.losses = 0.0, 0

    def cut_once(self):
        process = self.rounds.start()
        try:
            self.rounds.audit(process)
            self.rounds.lost.clear()
            delay_s = (0.1 + 1.7 * self.draw.random()) if self.may_lose else 0.02 + 0.4 * self.draw.random()
            pause_s = 0.02 + delay_s * self.draw.random() if self.draw.random() < 0.5 else None
            self.rounds.load(process, lambda: self.cut(process), delay_s, pause_s)
        finally:
            self.rounds.put_away(process)
        self.disk.unmount()
        self.disk.mount()
        process = self.rounds.start()
        try:
            self.rounds.audit(process, self.may_lose)
        finally:
            self.rounds.put_away(process)
        self.losses += len(self.rounds.lost)
        self.oldest_s = max([self.oldest_s, *(self.cut_at - told_at for told_at, _ in self.rounds.lost)])

    def cut(self, process):
        """The server lives on for a moment, which must not hurt what is there. But nobody hears it: ext4 answers a sync
        that meets its shutting down with success, for some milliseconds, as no disk without power can."""
        self.rounds.deafen()
        self.cut_at = time.monotonic()
        self.disk.cut(self.draw.choice((LOG_FLUSH, NO_LOG_FLUSH)))
        time.sleep(self.draw.choice((0, self.draw.random() / 30)))
        process.process.kill()

    def run(self, count):
        for _ in range(count):
            self.cut_once()
        told, ended, refused = self.rounds.tally()
        lost = f"{self.losses} lost, the oldest {self.oldest_s:.2f} s old" if self.may_lose else "0 lost"
        print(f"{self.level} on {self.disk.path.name}: {count} power cuts; {told} told, {ended} ended or destroyed, "
              f"{refused} refused; {lost}, 0 alive again, 0 starts refused", flush=True)


if __name__ == "__main__":
    trial.main(PowerCuts, 2, "ext4,xfs", "no power can be cut here")
