"""A disk that is full for a while, under load: file systems of its own are filled and freed again beside the server,
which refuses writes meanwhile, answers reads, and goes on by itself. Then it is killed, and what clients were told is
there.

    full_disk.py SESSIOND [--rounds N] [--levels always,everysec] [--kinds tmpfs,ext4,xfs] [--seed S] [--folder F]

Mounting takes root and loop devices; where they are missing it says so and ends with 77, which ctest calls skipped.
"""

import time

import trial
from ledger import Lost
from rounds import Rounds, server
from server import wait_for


class FullDisk:
    def __init__(self, disk, level, draw):
        self.disk, self.level, self.draw = disk, level, draw
        self.rounds = Rounds(disk.path / f"data-{level}", level, draw)
        for books in self.rounds.all_books:
            books.fresh_max = 1 << 30  # they write for as long as it takes
        self.fills = 0
        self.failure = None

    def fill_once(self):
        process = self.rounds.start("--log-queue=1M")
        try:
            self.rounds.audit(process)
            self.rounds.load(process, lambda: self.fill_and_kill(process), self.draw.random() / 10,
                             0.05 if self.draw.random() < 0.3 else None)
        finally:
            self.rounds.put_away(process)
            self.disk.free()
        if self.failure:
            raise Lost(self.failure)

    def fill_and_kill(self, process):
        try:
            for _ in range(self.draw.randrange(1, 3)):
                self.fill_and_free(process)
            time.sleep(self.draw.random() / 10)
        except (Exception, AssertionError) as failure:  # told by the thread that waits for this one
            self.failure = f"{failure!r}\n{process.log()}"
        finally:
            process.process.kill()

    def fill_and_free(self, process):
        with process.client() as client:
            if self.fill(client):
                self.fills += 1
            time.sleep(self.draw.random() / 4)
            client.call("session.get", "plain", "plain-1")
            self.disk.free()
            wait_for(lambda: self.state(client) == "open", "there is space again")

    def fill(self, client):
        """Until writes are refused; snapshots give space back, so that may take some time or not come to pass."""
        for _ in range(400):
            self.disk.fill()
            if self.state(client) == "full":
                return True
            time.sleep(0.02)
        return False

    def state(self, client):
        return client.call("server.info")["log"]["state"]

    def run(self, count):
        tries = 0
        while tries < count or not self.fills and tries < 10 * count:  # its clients may have had no time to need space
            self.fill_once()
            tries += 1
        self.rounds.finish()
        if not self.fills:
            raise Lost("the disk was never full")
        told, ended, refused = self.rounds.tally()
        print(f"{self.level} on {self.disk.kind}: {tries} kills after the disk was full {self.fills} times; {told} told, "
              f"{ended} ended or destroyed, {refused} refused; 0 lost, 0 alive again, 0 starts refused", flush=True)


if __name__ == "__main__":
    trial.main(FullDisk, 1, "tmpfs,ext4,xfs", "no disk can be mounted here")
