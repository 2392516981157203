"""A real server for the tests, and ones that play what a client may meet instead of one."""

import os
import pathlib
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent.parent
sys.path.insert(0, str(HERE.parent))
sys.dont_write_bytecode = True
IS_FULL = os.environ.get("SESSIOND_TESTS") == "full"
HANG_S = 60  # a call that takes so long hangs, on however slow a machine


class Server:
    """A sessiond on a port of its own, which keeps its sessions in a folder over kill() and start(). The port is below
    those that the system hands out by itself: nobody else is given it while the server is down."""

    def __init__(self, *options):
        self.folder = tempfile.TemporaryDirectory(prefix="sessiond_python_")
        self.socket_path = self.folder.name + "/socket"
        self.options, self.port = options, 0
        self.start()

    def start(self):
        """Where somebody else listens already, at another port, or if it was known, when that one has ended."""
        is_chosen = self.port != 0
        for _ in range(20):
            if not is_chosen:
                self.port = random.randrange(10_000, 30_000)
            if self._is_ready():
                return
            time.sleep(0.1)
        raise AssertionError("the server ended before it was ready")

    def _is_ready(self):
        command = [os.environ["SESSIOND"], "--port", str(self.port), "--data-dir", self.folder.name + "/data",
                   "--unix-socket", self.socket_path, "--segment-size", "1M", *self.options]
        if os.path.exists(self.socket_path):
            os.unlink(self.socket_path)
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.process.stdout:
            if re.search(r"event=ready", line):
                return True
        self.process.wait()
        self.process.stdout.close()
        return False

    def url(self, namespace="web"):
        return f"sessiond://127.0.0.1:{self.port}/{namespace}"

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def stop(self):
        self.process.terminate()
        code = self.process.wait(HANG_S)
        self.process.stdout.close()
        self.folder.cleanup()
        assert code == 0, f"the server ended with {code}"


class ServerCase(unittest.TestCase):
    """Tests that share a server; each may use a namespace of its own name."""

    @classmethod
    def setUpClass(cls):
        cls.server = Server()
        cls.addClassCleanup(cls.server.stop)

    def url(self):
        return self.server.url(self.id().rpartition(".")[2][:60])


class Impostor:
    """Listens, and hands each connection to a function."""

    def __init__(self, serve):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.serve, self.open = serve, []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        try:
            self.serve(connection)
        except OSError:
            pass

    def url(self):
        return f"sessiond://127.0.0.1:{self.port}/web"

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.open:
            connection.close()


class LossyProxy(Impostor):
    """Stands before a server, and cuts a connection in place of the first answer to a request that has `word` in it."""

    def __init__(self, port, word):
        self.server_port, self.word, self.cuts = port, word, 1
        super().__init__(self._forward)

    def _forward(self, connection):
        with socket.create_connection(("127.0.0.1", self.server_port)) as server:
            while True:
                request = connection.recv(65536)
                if not request:
                    return
                server.sendall(request)
                reply = server.recv(65536)
                if self.word in request and self.cuts:
                    self.cuts -= 1
                    connection.shutdown(socket.SHUT_RDWR)
                    return
                connection.sendall(reply)
