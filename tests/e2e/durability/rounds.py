"""One data directory through many rounds: a server is started on it, asked for all that was told before, loaded, and ended
by whoever runs the round."""

import argparse
import os
import random
import re
import shutil
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shell"))
import server  # noqa: E402  (a path of its own)
from audit import Audit  # noqa: E402
from clients import Asker, Connection, Reader, Watcher, Writer, run  # noqa: E402
from ledger import Books, Lost  # noqa: E402
from pools import POLICY, POOL, PoolBooks, PoolWriter, check_pool  # noqa: E402

OPTIONS = ("--threads=2", "--segment-size=256K", "--snapshot-log-size=2M")


def command_line(folder_holds, **own):
    """What every program here is told: the server, a seed that is drawn and printed where none is given, and the folder
    for what it makes; and options of its `own` with their defaults."""
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    for name, default in own.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--folder", help=f"where {folder_holds} are made")
    options = parser.parse_args()
    server.BINARY = os.path.abspath(options.binary)
    print(f"seed {options.seed}", flush=True)
    return options


def run_directories(folder, level, draw, count, per_directory, play_once):
    """`count` rounds, each played by play_once(rounds), on a new directory after `per_directory` of them; answers what
    all of them told: told, ended or destroyed, refused."""
    totals = (0, 0, 0)
    for number in range(0, count, per_directory):
        rounds = Rounds(folder / f"{level}-{number}", level, draw)
        for _ in range(min(per_directory, count - number)):
            play_once(rounds)
        rounds.finish()
        totals = tuple(map(sum, zip(totals, rounds.tally())))
        shutil.rmtree(rounds.data)
    return totals


class Rounds:
    """`draw` draws what is asked and when it ends; what the server was doing then is never the same."""

    def __init__(self, data, level, draw, may_lose=False):
        self.data, self.level, self.draw = data, level, draw
        self.all_books = [Books(name, draw, has_hash_ids) for name, has_hash_ids in
                          (("plain", False), ("hashed", True), ("other", False))]
        self.pool_books = None if may_lose else PoolBooks(draw)
        self.is_new = True
        self.lost = []         # of what was told: moments, where that is allowed
        self.start_s = 0.005   # the last one took

    def start(self, *options, **more):
        """A server that is ready; the last one's word was kept."""
        began = time.monotonic()
        process = server.Server(f"--data-dir={self.data}", f"--durability={self.level}", *OPTIONS, *options, **more)
        self.start_s = time.monotonic() - began
        if "event=ready" not in process.ready:
            raise Lost(f"a start is refused:\n{process.log()}")
        if self.is_new:
            self.configure(process.port)
        self.is_new = False
        return process

    def configure(self, port):
        connection = Connection(port)
        for books in self.all_books:
            connection.call("namespace.configure", books.name, {"hash_ids": books.has_hash_ids})
        connection.call("pool.configure", PoolBooks.name, POOL, POLICY)
        connection.close()

    @staticmethod
    def put_away(process):
        """It is gone, and no sanitizer had anything to say."""
        if process.process.poll() is None:
            process.process.kill()
            process.process.wait()
        log = process.log()
        process.kill()
        if re.search("Sanitizer|runtime error|Assertion", log):
            raise Lost(log)

    def audit(self, process, may_lose=False):
        audit = Audit(process.port, may_lose)
        try:
            for books in self.all_books:
                audit.check(books)
            if self.pool_books:
                check_pool(audit.connection, self.pool_books)
        finally:
            audit.close()
        self.lost += audit.lost

    def load(self, process, end, delay_s, snapshot_pause_s=None):
        """Until end() is called from another thread after delay_s, and the server answers no more."""
        port = process.port
        connections = [Writer(port, books) for books in self.all_books]
        connections += [Reader(port, self.all_books), Watcher(port, self.all_books[0])]
        if self.pool_books:
            connections.append(PoolWriter(port, self.pool_books))
        if snapshot_pause_s:
            connections.append(Asker(port, snapshot_pause_s))
        self.connections = connections
        timer = threading.Timer(delay_s, end)
        timer.start()
        try:
            run(connections)
        finally:
            timer.cancel()
            timer.join()
            for connection in connections:
                connection.close()

    def deafen(self):
        """From now on nobody is told of anything any more. Any thread."""
        for connection in self.connections:
            connection.is_deaf = True

    def finish(self):
        """One more start, and an end in order."""
        process = self.start()
        try:
            self.audit(process)
            if process.stop() != 0:
                raise Lost(process.log())
        finally:
            self.put_away(process)

    def tally(self):
        """(told, ended or destroyed, refused)"""
        all_books = [*self.all_books, self.pool_books] if self.pool_books else self.all_books
        return (sum(books.told for books in all_books),
                sum(books.count("gone", "cleared", "revoked") for books in self.all_books),
                sum(books.refused for books in all_books))
