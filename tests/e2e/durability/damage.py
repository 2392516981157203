"""Single bits changed and files cut in directories that real servers have written under load, snapshots and a kill
among it; each is given to a real server and to sessiond-dump.

    damage.py SESSIOND [--count N] [--seed S] [--folder F]

A start refuses, and then has not changed a byte; or it tells what it gave up; or all is there as if nothing had been
changed (what nobody reads: zeros behind the end, what a snapshot covers). Anything else is silent, and fails the run, as
does a server that crashes, and a sessiond-dump that finds in order what a start finds damaged. Foreign and newer files
are refused in the same way.
"""

import collections
import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

from clients import Connection
from ledger import Lost
from rounds import Rounds, command_line, server

STATUSES = ["active", "pending", "ended", "removed", "revoked", "abandoned", "replaced", "expired"]
FIELDS = ["id", "handle", "user", "status", "version", "data", "pool", "usage_count", "error_score", "retired"]
COUNTS = ("sessions", "dead", "tombstones", "namespaces", "pools", "pool_sessions")
DAMAGED = re.compile("log-|snapshot-|key file")


def make(path, draw):
    """Some rounds of load, the last of them ended by a kill, and a token that is valid. Where the machine has no time,
    it may take some more rounds until somebody has one."""
    rounds = Rounds(path, "always", draw)
    for number in range(50):
        process = rounds.start()
        try:
            rounds.audit(process)
            rounds.load(process, process.process.kill, 0.1 + draw.random() / 5, 0.05 if number < 2 else None)
        finally:
            rounds.put_away(process)
        found = [(books.name, entry.now().token) for books in rounds.all_books for entry in books.entries.values()
                 if entry.is_settled() and entry.now().status == "active" and entry.now().token]
        if found and number >= 2:
            return found[0]
    raise Lost("nobody has a token")


def contents(port, token):
    """All that clients can see."""
    connection = Connection(port)
    found = []
    for name in ("plain", "hashed", "other", "pools"):
        cursor = None
        while True:
            page = connection.call("session.list", name, {"status": STATUSES, "limit": 1000, "fields": FIELDS,
                                                          **({"cursor": cursor} if cursor else {})})
            found += [(name, repr(sorted(record.items()))) for record in page["sessions"]]
            cursor = page["cursor"]
            if not cursor:
                break
    recovery = connection.call("server.info")["recovery"]
    is_valid = connection.call("session.validate", token[0], token[1], {"fields": []})["valid"]
    connection.close()
    return (sorted(found), is_valid, {name: recovery[name] for name in COUNTS}), recovery


def checksums(path):
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in path.iterdir()
            if not file.name.endswith("lock")}


def verify(path):
    """Exit code and all that it said."""
    done = subprocess.run([Path(server.BINARY).parent / "sessiond-dump", "verify", path], capture_output=True, text=True,
                          timeout=60)
    return done.returncode, done.stdout + done.stderr


class Damage:
    def __init__(self, folder, draw):
        self.folder, self.draw = folder, draw
        self.tally = collections.Counter()

    def begin(self, number):
        self.whole = self.folder / f"whole{number}"
        self.token = make(self.whole, self.draw)
        shutil.copytree(self.whole, self.folder / "copy")
        (self.expected, recovery), = [self.start(self.folder / "copy")]
        self.is_cut = recovery["cut_bytes"]
        self.verified = verify(self.whole)
        shutil.rmtree(self.folder / "copy")

    def start(self, path):
        """What is in it, and what recovery said; or None, and what the start said."""
        process = server.Server(f"--data-dir={path}", "--durability=always")
        try:
            if "event=ready" in process.ready:
                found, recovery = contents(process.port, self.token)
                return found, {**recovery, "warned": "level=warn" in process.log()}
            if process.wait() != 1:
                raise Lost(f"the server crashed:\n{process.log()}")
            return None, process.log()
        finally:
            Rounds.put_away(process)

    def try_one(self, kind, change):
        path = self.folder / "copy"
        shutil.copytree(self.whole, path)
        what = change(path)
        before, (code, said) = checksums(path), verify(path)
        found, told = self.start(path)
        outcome = self.judge(path, before, found, told)
        is_noticed = code != 0 or said != self.verified[1]
        if outcome == "silent" or (outcome == "refused" and "keys" not in what and code == 0):
            kept = shutil.copytree(path, f"{self.folder}_{outcome}", dirs_exist_ok=True)
            raise Lost(f"{what}: {outcome}, and sessiond-dump answers {code}: {said}; kept in {kept}")
        if outcome == "told" and "keys" not in what and not is_noticed:
            raise Lost(f"{what}: the server tells of it, {told}, and sessiond-dump does not")
        self.tally[kind, outcome] += 1
        shutil.rmtree(path)

    def judge(self, path, before, found, told):
        if found is None:
            if checksums(path) != before:
                raise Lost(f"a refused start has changed something: {told}")
            return "refused" if DAMAGED.search(told) else "silent"
        if found == self.expected:
            return "harmless"
        return "told" if told["cut_bytes"] != self.is_cut or told["note"] or told["warned"] else "silent"

    def files(self, path):
        return [file for file in sorted(path.iterdir()) if file.stat().st_size and not file.name.endswith(".part")]

    def flip(self, path):
        files = self.files(path)
        file = self.draw.choice(files)
        content = bytearray(file.read_bytes())
        # Zeros that were allocated ahead are many and say nothing: mostly what was written is changed.
        end = len(content.rstrip(b"\0")) if self.draw.random() < 0.95 else len(content)
        place = self.draw.randrange(8 * (end or 1))
        content[place // 8] ^= 1 << place % 8
        file.write_bytes(content)
        return f"bit {place} of {file.name}"

    def cut(self, path):
        file = self.draw.choice(self.files(path))
        size = self.draw.randrange(file.stat().st_size)
        os.truncate(file, size)
        return f"{file.name} cut to {size}"

    def lose(self, path):
        file = self.draw.choice(self.files(path))
        file.unlink()
        return f"{file.name} lost"

    def foreign(self, path):
        file = self.draw.choice([file for file in self.files(path) if file.name != "keys"])
        file.write_bytes(self.draw.randbytes(self.draw.randrange(1, 5000)))
        return f"{file.name} is somebody else's"

    def newer(self, path):
        file = self.draw.choice([file for file in self.files(path) if file.name != "keys"])
        with open(file, "r+b") as stream:
            stream.seek(8)
            stream.write(struct.pack("<I", self.draw.randrange(2, 100)))
        return f"{file.name} of a later format"

    def run(self, count):
        kinds = {"bit": self.flip, "cut": self.cut, "lost": self.lose, "foreign": self.foreign, "newer": self.newer}
        for number in range(count):
            if number % 200 == 0:
                self.begin(number)
            kind = "bit" if self.draw.random() < 0.7 else self.draw.choice(list(kinds))
            self.try_one(kind, kinds[kind])
        for kind in kinds:
            outcomes = {outcome: times for (of, outcome), times in sorted(self.tally.items()) if of == kind}
            print(f"{kind}: {sum(outcomes.values())} tried, {outcomes}, 0 silent", flush=True)


def main():
    options = command_line("the data directories", count=40)
    with tempfile.TemporaryDirectory(prefix="sessiond_damage_", dir=options.folder) as folder:
        try:
            Damage(Path(folder), random.Random(options.seed)).run(options.count)
        except Lost as lost:
            sys.exit(f"{lost}")


if __name__ == "__main__":
    main()
