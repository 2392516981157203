"""What the command line promises: exit codes, the line event=ready, sentences, Unix sockets."""

import os
import socket
import stat
import subprocess
import tempfile

import server
from server import Client, Server, ServerTest


def run(*options):
    return subprocess.run([server.BINARY, *options], capture_output=True, text=True, timeout=server.PATIENCE)


class Options(ServerTest):
    def test_help_and_version_go_to_stdout_and_end_with_0(self):
        for flag, text in (("--help", "--max-connections"), ("--help-markdown", "| `--port` |"), ("--version", "sessiond 0.")):
            done = run(flag)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertIn(text, done.stdout)

    def test_a_bad_option_ends_with_2_and_a_sentence(self):
        for flags, text in (
            (["--port=x"], 'option port: "x" (command line) is not accepted; give a whole number from 0 to 65535'),
            (["--durability=always"], "needs a place to keep sessions in; give data_dir too"),
            (["--bind=0.0.0.0"], "give a loopback address, or --insecure"),
            (["--bind=sessionds://127.0.0.1:7420"], "TLS, which this version does not have"),
            (["--config=no/such/file"], "file no/such/file cannot be read"),
        ):
            done = run(*flags)
            self.assertEqual((done.returncode, done.stdout), (2, ""))
            self.assertTrue(done.stderr.startswith("sessiond: "), done.stderr)
            self.assertEqual(done.stderr.count("\n"), 1)
            self.assertIn(text, done.stderr)

    def test_a_port_in_use_ends_with_1_and_a_sentence(self):
        first = self.serve()
        done = run("--port", str(first.port))
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn(f"cannot listen on 127.0.0.1:{first.port}", done.stderr)
        self.assert_serves(first)

    def test_insecure_allows_an_address_that_others_can_reach(self):
        process = Server("--bind=0.0.0.0", "--insecure")
        self.addCleanup(process.kill)
        self.assertIn("tcp=0.0.0.0:", process.ready)
        self.assert_ends_well(process)

    def test_durability_is_everysec_with_a_data_directory_and_none_without(self):
        with tempfile.TemporaryDirectory(prefix="sessiond_test_") as folder:
            for flags, level in (([], "none"), (["--data-dir", folder, "--durability=none"], "none"),
                                 (["--data-dir", folder], "everysec")):
                process = self.serve(*flags)
                with process.client() as client:
                    self.assertEqual(client.call("server.info")["durability"], level)
                self.assert_ends_well(process)

    def test_info_tells_the_options_in_force(self):
        process = self.serve("--threads=2", "--max-connections=77", environment={"SESSIOND_MAX_MEMORY": "1G"})
        with process.client() as client:
            info = client.call("server.info")
        self.assertEqual(info["options"]["threads"], 2)
        self.assertEqual(info["options"]["max_memory"], 1 << 30)
        self.assertEqual(info["max_connections"], 77)
        self.assertEqual(info["pid"], process.process.pid)
        self.assertEqual(info["tcp"], f"127.0.0.1:{process.port}")


class UnixSocket(ServerTest):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="sessiond_test_")
        self.addCleanup(folder.cleanup)
        self.path = os.path.join(folder.name, "s")

    def test_serves_on_a_unix_socket_and_removes_it_at_the_end(self):
        process = self.serve("--unix-socket", self.path, "--unix-socket-mode=0640")
        self.assertIn(f"unix={self.path} ", process.ready)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o640)
        with Client(self.path) as client:
            self.assertIn("now", client.call("server.ping"))
        self.assert_serves(process)
        self.assert_ends_well(process)
        self.assertFalse(os.path.exists(self.path))

    def test_serves_on_a_unix_socket_alone(self):
        process = self.serve("--unix-socket", self.path, "--bind=none")
        self.assertNotIn("tcp=", process.ready)
        with Client(self.path) as client:
            self.assertEqual(client.call("server.info")["tcp"], "")
        self.assert_ends_well(process)

    def test_takes_over_the_file_of_a_dead_server_only(self):
        first = self.serve("--unix-socket", self.path)
        done = run("--port=0", "--unix-socket", self.path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("in use by a running server", done.stderr)
        first.process.kill()
        first.process.wait()
        self.assertTrue(os.path.exists(self.path))
        second = self.serve("--unix-socket", self.path)
        with Client(self.path) as client:
            self.assertIn("now", client.call("server.ping"))
        self.assert_ends_well(second)

    def test_never_removes_what_is_no_socket(self):
        with open(self.path, "w") as file:
            file.write("precious")
        done = run("--port=0", "--unix-socket", self.path)
        self.assertEqual(done.returncode, 1)
        self.assertIn("exists and is no socket", done.stderr)
        with open(self.path) as file:
            self.assertEqual(file.read(), "precious")

    def test_is_for_its_owner_alone_by_default(self):
        process = self.serve("--unix-socket", self.path)
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)
        self.assert_ends_well(process)


if __name__ == "__main__":
    server.main()
