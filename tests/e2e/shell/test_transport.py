"""Which transport the server uses, and that it goes on without io_uring where the system refuses it."""

import ctypes
import errno
import os
import struct
import subprocess
import tempfile
import unittest

import server
from server import ServerTest

IO_URING_SETUP = 425  # the system call, on every machine
PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS, SECCOMP_MODE_FILTER = 22, 38, 2
LOAD, EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | errno.EPERM


def refuse_io_uring():
    """Has the system refuse this process an io_uring, as containers do."""
    rows = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, IO_URING_SETUP), (RETURN, 0, 0, REFUSE), (RETURN, 0, 0, ALLOW)]
    rules = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *row) for row in rows))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(rows), ctypes.addressof(rules)))
    libc = ctypes.CDLL(None, use_errno=True)
    for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0)):
        if libc.prctl(*arguments) != 0:
            raise OSError(ctypes.get_errno(), "prctl")


class Transport(ServerTest):
    def used_by(self, *options, **more):
        process = self.serve(*options, **more)
        self.assert_serves(process)
        with process.client() as client:
            used = client.call("server.info")["transport"]
        self.assertIn(f"transport={used}", process.log())
        self.assert_ends_well(process)
        return used, process.log()

    def has_io_uring(self):
        tried = server.Server("--transport=io_uring")
        tried.kill()
        return bool(tried.ready)

    def test_is_the_one_that_the_option_names(self):
        self.assertEqual(self.used_by("--transport=libuv")[0], "libuv")
        if not self.has_io_uring():
            self.skipTest("there is no io_uring here")
        self.assertEqual(self.used_by("--transport=auto")[0], "io_uring")
        for threads in (1, 3):
            self.assertEqual(self.used_by("--transport=io_uring", f"--threads={threads}")[0], "io_uring")

    def test_that_cannot_be_had_is_an_error_that_says_why(self):
        tried = subprocess.run([server.BINARY, "--port=0", "--transport=io_uring"], capture_output=True, text=True,
                               preexec_fn=refuse_io_uring, timeout=server.PATIENCE)
        self.assertEqual(tried.returncode, 1)
        self.assertEqual(tried.stdout, "")
        self.assertRegex(tried.stderr, "sessiond: transport io_uring cannot be had: .*; give transport libuv, or auto")

    def test_auto_goes_on_without_io_uring_where_the_system_refuses_it(self):
        used, log = self.used_by("--transport=auto", before=refuse_io_uring)
        self.assertEqual(used, "libuv")
        self.assertIn("event=transport_libuv", log)

    def test_buffers_of_a_load_that_is_over_take_no_memory(self):
        if server.is_sanitized():
            self.skipTest("a sanitizer's own memory hides what the server has")
        if not self.has_io_uring():
            self.skipTest("there is no io_uring here")
        if server.BINARY.endswith("_tight"):
            self.skipTest("a ring of a few buffers takes no memory worth looking at")
        process = self.serve("--transport=io_uring")
        with process.client() as client:
            for _ in range(3):
                client.call("session.set", "web", "a", "x" * 12000)
            before = process.resident()
            for _ in range(200):  # each into another buffer, of which there are 64
                client.call("session.set", "web", "a", "x" * 12000)
            self.assertGreater(process.resident(), before + 500000)
            server.wait_for(lambda: process.resident() < before + 100000, "memory comes back")
            for text in ("y" * 12000, "z"):
                client.call("session.set", "web", "a", text)
                self.assertEqual(client.call("session.get", "web", "a")["data"], text)
        self.assert_ends_well(process)

    def test_few_files_are_left_to_the_loops_and_a_lack_of_them_is_named(self):
        named = "files may be open, for 4 threads: raise that limit (ulimit -n), or give fewer threads"
        serving = []
        for transport, files in [("auto", files) for files in range(12, 49)] + [("io_uring", 24)]:
            tried = server.Server(f"--transport={transport}", "--threads=4", files=files)
            self.addCleanup(self.assert_healthy_end, tried)
            if not tried.ready:
                self.assertEqual(tried.wait(), 1, tried.log())
                self.assertIn(f"; only {files} {named}", tried.log())
                continue
            # Who starts has one left for a connection.
            self.assert_serves(tried)
            self.assertEqual(transport, "auto")
            self.assertIn(f'event=transport_libuv why="only {files} {named}"', tried.log())
            serving.append(files)
        self.assertNotIn(12, serving)
        self.assertIn(48, serving)

    def test_is_for_unix_sockets_too(self):
        directory = tempfile.TemporaryDirectory()
        self.addCleanup(directory.cleanup)
        path = os.path.join(directory.name, "socket")
        for transport in ("libuv", "io_uring") if self.has_io_uring() else ("libuv",):
            process = self.serve(f"--unix-socket={path}", f"--transport={transport}")
            with process.client(path) as client:
                client.call("server.ping")
                self.assertEqual(client.call("server.info")["transport"], transport)
            self.assert_ends_well(process)


if __name__ == "__main__":
    server.main()
