"""A server with a data directory of its own."""

import os
import subprocess
import tempfile
import time

import server
from server import Refused, ServerTest

class DurabilityTest(ServerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="sessiond_test_")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.data = os.path.join(folder.name, "data")

    def kept(self, *options, level="everysec", **more):
        process = self.serve(f"--data-dir={self.data}", f"--durability={level}", "--segment-size=1M", *options, **more)
        return process, self.client(process)

    def files(self, kind):
        """Names of the log's segments or the snapshots, the oldest first."""
        return sorted(name for name in os.listdir(self.data) if name.startswith(kind + "-"))

    def path(self, name):
        return os.path.join(self.data, name)

    def refused(self, *options):
        """What a start that must not succeed says."""
        done = subprocess.run([server.BINARY, "--port=0", f"--data-dir={self.data}", *options], capture_output=True,
                              text=True, timeout=server.PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr

    def once(self, *options):
        return subprocess.run([server.BINARY, f"--data-dir={self.data}", *options], capture_output=True, text=True,
                              timeout=server.PATIENCE)

    def patiently(self, client, *request):
        """As a client should: BUSY is asked again. Tiny segments are used up faster than the next are made."""
        while True:
            try:
                return client.call(*request)
            except Refused as refusal:
                if refusal.code != "BUSY":
                    raise
                time.sleep(refusal.error["retry_after_ms"] / 1000)

    def recovery(self, client):
        return client.call("server.info")["recovery"]

    def contents(self):
        found = {}
        for name in os.listdir(self.data):
            with open(self.path(name), "rb") as file:
                found[name] = file.read()
        return found
