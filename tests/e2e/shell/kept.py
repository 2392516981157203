"""A server with a data directory of its own."""

import os
import subprocess
import tempfile

import server
from server import PatientClient, ServerTest


class DurabilityTest(ServerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="sessiond_test_")
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.data = os.path.join(folder.name, "data")

    def kept(self, *options, level="everysec", **more):
        process = self.serve(f"--data-dir={self.data}", f"--durability={level}", "--segment-size=1M", *options, **more)
        return process, self.client(process, PatientClient)

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

    def recovery(self, client):
        return client.call("server.info")["recovery"]

    def contents(self):
        found = {}
        for name in os.listdir(self.data):
            try:
                with open(self.path(name), "rb") as file:
                    found[name] = file.read()
            except FileNotFoundError:
                pass  # a server that runs has removed it meanwhile
        return found
