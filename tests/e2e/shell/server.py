"""A sessiond process under test, and a client of twenty lines that can also misbehave."""

import ctypes
import os
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import msgpack

BINARY = None  # set by main
PR_CAPBSET_DROP, CAP_SYS_RESOURCE = 24, 24
PATIENCE = 60  # seconds until something that must happen counts as not happening; a busy machine takes its time


def wait_for(condition, what):
    """Polls until condition() is true, and returns what it answered."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.005)
    raise AssertionError(f"did not happen within {PATIENCE} s: {what}")


def limit_files(files):
    """For good: who is privileged loses the right to raise it again."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE, 0, 0, 0)


class Server:
    """Runs until `stop`; its log goes to a file that `log` reads."""

    def __init__(self, *options, files=None, environment=None, before=None):
        """`before` is called in the child, just before it becomes the server."""
        self.log_file = tempfile.NamedTemporaryFile(mode="r+", prefix="sessiond_log_")
        limit = (lambda: limit_files(files)) if files else before
        if not any(option.startswith("--port") for option in options):
            options = ("--port=0", *options)
        self.process = subprocess.Popen(
            [BINARY, *options], stdout=subprocess.PIPE, stderr=self.log_file, text=True, preexec_fn=limit,
            env={**os.environ, **(environment or {})})
        self.ready = self.process.stdout.readline()
        found = re.search(r"tcp=127\.0\.0\.1:(\d+)", self.ready)
        self.port = int(found.group(1)) if found else None

    def log(self):
        with open(self.log_file.name) as file:
            return file.read()

    def wait_for_log(self, text):
        wait_for(lambda: text in self.log(), f"{text!r} in the log:\n{self.log()}")

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self):
        return self.process.wait(timeout=PATIENCE)

    def stop(self):
        """Ends it as an operator would; it must end well."""
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait()
        self.process.stdout.close()
        return code

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log_file.close()

    def client(self, path=None):
        return Client(path or ("127.0.0.1", self.port))

    def stats(self):
        with self.client() as client:
            return client.call("server.stats")

    def resident(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            return int(file.read().split()[1]) * resource.getpagesize()

    def cpu_seconds(self):
        """What its threads have computed so far."""
        total = 0
        for task in os.listdir(f"/proc/{self.process.pid}/task"):
            with open(f"/proc/{self.process.pid}/task/{task}/schedstat") as file:
                total += int(file.read().split()[0])
        return total / 1e9

    def peak(self):
        """The most that was ever resident, in bytes."""
        with open(f"/proc/{self.process.pid}/status") as file:
            return int(re.search(r"VmHWM:\s+(\d+)", file.read()).group(1)) << 10

    def file_count(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))


class Refused(Exception):
    """An error as answered; `code` is its stable word."""

    def __init__(self, error):
        super().__init__(error)
        self.code = error["code"]
        self.error = error


class Client:
    def __init__(self, address, receive_buffer=None):
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(address)
        except OSError:
            self.socket.close()
            raise
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unpacker = msgpack.Unpacker(raw=False, unicode_errors="surrogateescape", strict_map_key=False,
                                         max_buffer_size=64 << 20)
        self.msgid = 0

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def request(self, method, *params):
        self.msgid += 1
        return msgpack.packb([0, self.msgid, method, list(params)])

    def message(self):
        """The next message, or None at the end of the stream."""
        while True:
            for message in self.unpacker:
                return message
            data = self.socket.recv(65536)
            if not data:
                return None
            self.unpacker.feed(data)

    def call(self, method, *params):
        self.send(self.request(method, *params))
        message = self.message()
        assert message is not None, "the server closed the connection"
        assert message[:2] == [1, self.msgid], message
        if message[2] is not None:
            raise Refused(message[2])
        return message[3]

    def big_requests(self, count):
        """The bytes of `count` requests whose answers are 4 KB each: a session is made for them."""
        self.call("session.set", "web", "big", "x" * 4000)
        return b"".join(self.request("session.get", "web", "big") for _ in range(count))

    def ends(self):
        """Waits for what comes next, and answers whether that is the connection's end."""
        try:
            return self.message() is None
        except ConnectionError:
            return True

    def is_closed(self):
        """The server has ended the connection (what it sent before is thrown away)."""
        try:
            self.socket.settimeout(0)
            while self.socket.recv(65536):
                pass
            return True
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.socket.settimeout(PATIENCE)


class PatientClient(Client):
    """As clients should be: what is BUSY is asked again. On a server that keeps sessions any write may be, for a moment:
    when its disk took more than a second, or the machine had none left for it."""

    def call(self, *request):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                return self.call_once(*request)
            except Refused as refusal:
                if refusal.code != "BUSY" or time.monotonic() > end:
                    raise
                time.sleep(refusal.error["retry_after_ms"] / 1000)

    def call_once(self, *request):
        return super().call(*request)


def is_sanitized():
    """The server is slow, and memory that was freed is kept."""
    with open(BINARY, "rb") as file:
        return re.search(rb"lib(a|t|m|l)san\.so", file.read()) is not None


def can_be_preloaded(library):
    """Not into a server with a sanitizer, which wants to be loaded first."""
    done = subprocess.run([BINARY, "--version"], env={**os.environ, "LD_PRELOAD": library}, capture_output=True)
    return done.returncode == 0


class ServerTest(unittest.TestCase):
    """Gives each test servers that are gone after it, and that must not have crashed."""

    def serve(self, *options, **more):
        server = Server(*options, **more)
        self.addCleanup(self.assert_healthy_end, server)
        self.assertIn("event=ready", server.ready, server.log())
        return server

    def assert_healthy_end(self, server):
        """It did not crash by itself, and no sanitizer had anything to say."""
        code, log = server.process.poll(), server.log()
        server.kill()
        self.assertIn(code, (None, 0, 1, -9), log)
        self.assertNotRegex(log, "Sanitizer|runtime error")

    def client(self, server, kind=Client, **more):
        client = kind(("127.0.0.1", server.port), **more)
        self.addCleanup(client.close)
        return client

    def assert_serves(self, server):
        with server.client() as client:
            self.assertIn("now", client.call("server.ping"))

    def assert_grew_less(self, server, before, limit):
        """Its resident memory is less than `limit` bytes above `before`."""
        if not is_sanitized():
            self.assertLess(server.resident() - before, limit)

    def assert_ends_well(self, server):
        self.assertEqual(server.stop(), 0, server.log())
        self.assertIn("event=stopped", server.log())


def main():
    global BINARY
    BINARY = os.path.abspath(sys.argv.pop(1))
    unittest.main(module="__main__", verbosity=2)
