"""sessiond-dump beside a running server: a backup holds everything that was acknowledged before it began, whatever the
server writes, ends and removes meanwhile, and starts as a data directory of its own."""

import json
import os
import subprocess
import tempfile
import threading
import time

import server
from server import PatientClient, ServerTest

SECONDS = 6  # of load


class Writer(threading.Thread):
    """Sets and destroys sessions one by one, and writes down what was acknowledged."""

    def __init__(self, client):
        super().__init__(daemon=True)
        self.client, self.is_over = client, False
        self.numbers, self.destroyed = {}, set()
        self.ending = set()  # to be destroyed, answered or not
        self.failure = None

    def run(self):
        try:
            number = 0
            while not self.is_over:
                number += 1
                name = f"s{number % 500}"
                if number % 7 == 0 and name not in self.destroyed:
                    self.ending.add(name)
                    self.client.call("session.destroy", "web", name)
                    self.numbers.pop(name, None)
                    self.destroyed.add(name)
                elif name not in self.destroyed:
                    self.client.call("session.set", "web", name, {"n": number, "text": "x" * 700})
                    self.numbers[name] = number
                else:
                    fresh = f"f{number}"
                    self.client.call("session.set", "web", fresh, {"n": number})
                    self.numbers[fresh] = number
        except Exception as failure:  # told by the test
            self.failure = failure


class BackupTest(ServerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="sessiond_test_")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.data = os.path.join(folder.name, "data")

    def dump(self, *arguments):
        program = os.path.join(os.path.dirname(server.BINARY), "sessiond-dump")
        done = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60)
        self.assertEqual((done.returncode, done.stderr), (0, ""), done.stdout)
        return done.stdout

    def exported(self, directory):
        lines = map(json.loads, self.dump("export", directory).splitlines())
        return {line["session"]["id"]: line["session"]["data"]["n"] for line in lines}

    def check(self, backup, numbers, destroyed):
        found = self.exported(backup)
        behind = {name: n for name, n in numbers.items() if found.get(name, 0) < n}
        # What was destroyed, or set again, after the backup had begun may be either way.
        self.assertEqual({name for name in behind if name not in self.writer.ending}, set())
        self.assertEqual(destroyed & found.keys(), set())
        self.dump("verify", backup)

    def test_a_backup_under_load_holds_all_that_was_acknowledged_before_it(self):
        process = self.serve(f"--data-dir={self.data}", "--segment-size=64K")
        client = self.client(process)
        self.writer = Writer(self.client(process, PatientClient))
        self.writer.start()
        end, count = time.monotonic() + SECONDS, 0
        while self.writer.failure is None and (
                time.monotonic() < end or count < 4 or len(self.writer.numbers) < 200):
            numbers, destroyed = dict(self.writer.numbers), set(self.writer.destroyed)
            if not numbers:
                continue
            client.call("server.snapshot")
            backup = os.path.join(self.folder, f"backup{count}")
            self.dump("backup", "--with-keys", self.data, backup)
            self.check(backup, numbers, destroyed)
            count += 1
        self.writer.is_over = True
        self.writer.join()
        self.assertIsNone(self.writer.failure)
        self.assertEqual(process.stop(), 0)
        self.starts(backup)

    def starts(self, backup):
        expected = self.exported(backup)
        process = self.serve(f"--data-dir={backup}")
        client = self.client(process)
        self.assertEqual(client.call("session.count", "web"), len(expected))
        name = next(iter(expected))
        self.assertEqual(client.call("session.get", "web", name)["data"]["n"], expected[name])


if __name__ == "__main__":
    server.main()
