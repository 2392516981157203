#!/usr/bin/env python3
"""`sessiond-bench compare` as a user types it: the whole table in short, what it writes, servers that a command line
names, and what it says of those that cannot be. No figure is asserted: machines on which tests run are not quiet.
Argument: the program sessiond-bench."""
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

BENCH = sys.argv.pop(1)
SHORT = ["--sessions", "2k", "--warmup", "0", "--rounds", "1", "--retries", "0", "--extra-rounds", "0", "--quiet"]
REDIS = "redis-server --port {port} --bind 127.0.0.1 --save '' --daemonize no"
MEMCACHED = "memcached -p {port} -l 127.0.0.1 -U 0 -t 1 -u root"
has_redis, has_memcached = shutil.which("redis-server"), shutil.which("memcached")


class Compare(unittest.TestCase):
    def setUp(self):
        # In memory where that can be: a disk that others keep busy makes a server refuse writes, as it should.
        memory = "/dev/shm"
        self.scratch = tempfile.mkdtemp(prefix="compare-", dir=memory if os.access(memory, os.W_OK) else ".")
        self.addCleanup(shutil.rmtree, self.scratch)

    def path(self, name):
        return os.path.join(self.scratch, name)

    def run_bench(self, *arguments, status=0):
        command = [BENCH, "compare", *SHORT, "--scratch", self.scratch, *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, status, done.stderr + done.stdout)
        return done

    def compare(self, *arguments):
        """The JSON of a run, and its text."""
        done = self.run_bench("--json", self.path("out.json"), *arguments)
        with open(self.path("out.json")) as file:
            return json.load(file), done.stdout, done.stderr

    def check_server(self, server, name):
        for figure in ("cpu_ns_per_operation", "cpu_ns_min", "cpu_ns_max", "operations_per_s", "p99.9_us"):
            self.assertGreater(server[figure], 0, (name, figure))
        self.assertEqual(server["rounds"], 1)
        self.assertEqual(len(server["samples"]), 1)
        self.assertTrue(server["samples"][0]["correct"], name)
        self.assertIn("quiet", server["samples"][0])
        for others in (server["cpu_against"], server["rate_against"], server["p99.9_against"]):
            for ratio in others.values():
                self.assertLessEqual(ratio["min"], ratio["ratio"])
                self.assertLessEqual(ratio["ratio"], ratio["max"])
                self.assertEqual(ratio["rounds"], 1)

    def test_the_whole_table_is_measured_and_written_as_text_json_and_pictures(self):
        svg, html, markdown = self.path("out.svg"), self.path("out.html"), self.path("out.md")
        found, text, _ = self.compare("--duration", "0.02", "--svg", svg, "--html", html, "--markdown", markdown)
        cells = {(c["workload"], c["depth"], c["connections"], c.get("durability")): c["servers"] for c in found["cells"]}
        wanted = {(workload, depth, connections, None)
                  for workload in ("get", "get_touch", "set", "mix") for depth in (1, 16, 64)
                  for connections in (50, 1000)}
        kept = {("set", 1), ("set", 16), ("set", 64), ("mix", 16)}
        self.assertEqual(set(cells), wanted | {(workload, depth, 50, "everysec") for workload, depth in kept})
        none = {"sessiond", "sessiond-2", "ceiling"} | ({"redis"} if has_redis else set())
        none |= {"memcached"} if has_memcached else set()
        everysec = {"sessiond/everysec", "ceiling"} | ({"redis/everysec"} if has_redis else set())
        for cell, servers in cells.items():
            self.assertEqual(set(servers), everysec if cell[3] else none, cell)
            for name, server in servers.items():
                self.check_server(server, (cell, name))
        self.check_goals(found)
        self.check_noise(found)
        self.assertIn("goals:", text)
        self.assertRegex(found["machine"], r"^\d+ cores, .+, Linux .+, \d{4}-\d\d-\d\d$")
        self.assertIn("noise:", text)
        self.assertIn("get_touch, depth 64, 1000 connections", text)
        self.check_picture(svg, html)
        self.check_markdown(markdown)
        self.assertEqual([name for name in os.listdir(self.scratch) if not name.startswith("out.")], [])

    def check_goals(self, found):
        self.assertFalse(found["goals_conditions_met"])
        against = {goal["against"] for goal in found["goals"]}
        self.assertLessEqual({"ceiling", "one_loop", "nothing"}, against)
        for goal in found["goals"]:
            ratio = goal["found"]["ratio"]
            reached = ratio <= goal["at_most"] if "at_most" in goal else ratio >= goal["at_least"]
            # The file rounds; a ratio that is the bound itself may be either.
            if abs(ratio - goal.get("at_most", goal.get("at_least"))) > 1e-3:
                self.assertEqual(goal["reached"], reached, goal)
        if has_redis or has_memcached:
            peers = [goal for goal in found["goals"] if goal["against"] == "best_peer"]
            self.assertEqual(sum(goal["figure"] == "p99.9_latency" for goal in peers), 1)
            self.assertEqual(sum(goal["further_step"] for goal in peers), 2)
            self.assertEqual(len(peers), 12 if has_redis else 11)

    def check_noise(self, found):
        samples = [sample for cell in found["cells"] for server in cell["servers"].values()
                   for sample in server["samples"]]
        self.assertEqual(found["noise"]["measurements"], len(samples))
        self.assertEqual(found["noise"]["stayed_noisy"], sum(not sample["quiet"] for sample in samples))
        self.assertEqual(found["noise"]["rounds_added"], 0)

    def check_picture(self, svg, html):
        root = xml.etree.ElementTree.parse(svg).getroot()
        texts = ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]
        self.assertIn("1000 connections", texts)
        self.assertIn("50 connections, everysec", texts)
        bars = [node for node in root.iter("{http://www.w3.org/2000/svg}rect") if node.get("fill")]
        self.assertGreaterEqual(len(bars), 24 * 3 + 4 * 2)
        with open(html) as file:
            self.assertIn("<svg", file.read())

    def check_markdown(self, path):
        with open(path) as file:
            tables = file.read().strip().split("\n\n")
        self.assertEqual([len(table.splitlines()) - 2 for table in tables], [12, 12, 4])
        for table in tables:
            lines = table.splitlines()
            self.assertEqual(len({line.count("|") for line in lines}), 1, table)
            for line in lines[2:]:
                self.assertRegex(line, r"^\| \w+, depth \d+ \|.*\*\*[\d,]+\*\*")

    def test_rounds_that_are_not_quiet_are_repeated_up_to_a_bound(self):
        # Nothing is quiet that lasts a quarter longer than it was asked to: requests that take longer than the time.
        found, text, _ = self.compare("--servers", "sessiond", "--cells", "set:16384:24", "--duration", "0.0001",
                                      "--rounds", "2", "--retries", "1", "--extra-rounds", "3")
        noise = found["noise"]
        self.assertEqual(noise["measurements"], 2 + noise["rounds_added"])
        self.assertLessEqual(noise["rounds_added"], 3)
        if noise["stayed_noisy"] == noise["measurements"]:
            self.assertEqual(noise["rounds_added"], 3)
            self.assertEqual(noise["repeated"], 5)
        self.assertIn("%d rounds were added" % noise["rounds_added"], text)

    @unittest.skipUnless(has_redis and has_memcached, "needs redis-server and memcached")
    def test_other_servers_play_under_the_names_that_they_are_given(self):
        found, _, _ = self.compare(
            "--servers", "sessiond,ceiling", "--duration", "0.05", "--cells", "get:16,mix:16,set:16:50:everysec",
            "--peer", "twin:resp:" + REDIS, "--peer", "cache:meta:" + MEMCACHED,
            "--peer", "twin/everysec:resp:" + REDIS + " --dir {dir} --appendonly yes --appendfsync everysec")
        self.assertEqual({name: server["role"] for name, server in found["servers"].items()},
                         {"sessiond": "sessiond", "sessiond/everysec": "sessiond", "ceiling": "ceiling",
                          "twin": "peer", "cache": "peer", "twin/everysec": "peer"})
        for cell in found["cells"]:
            peers = {"twin/everysec"} if cell.get("durability") else {"twin", "cache"}
            self.assertLessEqual(peers, set(cell["servers"]))
            for name in peers:
                self.check_server(cell["servers"][name], name)
        self.assertIn("Redis", found["servers"]["twin"]["version"])
        best = {goal["server"] for goal in found["goals"] if goal["against"] == "best_peer"}
        self.assertIn("twin/everysec", best)
        self.assertTrue(best & {"twin", "cache"})

    @unittest.skipUnless(has_redis, "needs redis-server")
    def test_a_server_that_knows_no_version_is_asked_for_it_in_vain(self):
        script = self.path("out.server")
        with open(script, "w") as file:
            file.write("#!/bin/sh\ncase $1 in --version) exec sleep 60 ;; esac\nexec " +
                       REDIS.replace("{port}", '"$1"') + "\n")
        os.chmod(script, os.stat(script).st_mode | stat.S_IXUSR)
        found, _, _ = self.compare("--servers", "sessiond", "--duration", "0.02", "--cells", "get:16",
                                   "--peer", "odd:resp:" + os.path.abspath(script) + " {port}")
        self.assertEqual(found["servers"]["odd"]["version"], "")
        self.check_server(found["cells"][0]["servers"]["odd"], "odd")

    def test_a_server_whose_disk_was_behind_is_loaded_again(self):
        server = os.path.join(os.path.dirname(os.path.abspath(__file__)), "slow_disk.py")
        _, _, said = self.compare("--servers", "ceiling", "--duration", "0.05", "--cells", "get:1:4:everysec",
                                  "--peer", "slow/everysec:resp:%s %s {port} {dir}" % (sys.executable, server))
        self.assertEqual(said.count("is loaded again"), 1, said)
        self.assertIn("BUSY the disk is behind", said)

    def test_an_interrupted_run_tells_what_it_has_and_leaves_nothing_running(self):
        command = [BENCH, "compare", *SHORT, "--scratch", self.scratch, "--servers", "sessiond", "--rounds", "60",
                   "--cells", "get:16:50:everysec", "--duration", "0.3", "--json", self.path("out.json")]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as bench:
            self.assertTrue(any("sessions loaded" in line for line in bench.stderr), "it is never loaded")
            with open("/proc/%d/task/%d/children" % (bench.pid, bench.pid)) as file:
                children = file.read().split()
            bench.send_signal(signal.SIGINT)
            bench.stdout.read()
            self.assertEqual(bench.wait(timeout=60), 1)
        self.assertEqual(len(children), 1)
        self.assertFalse(os.path.exists("/proc/" + children[0]))
        self.assertEqual([name for name in os.listdir(self.scratch) if name != "out.json"], [])

    def test_a_run_that_outlasts_its_sessions_is_told_of(self):
        short = ["--servers", "sessiond", "--cells", "get:16", "--duration", "0.1"]
        self.assertNotIn("--idle-timeout-ms", self.run_bench(*short).stderr)
        self.assertIn("--idle-timeout-ms", self.run_bench(*short, "--idle-timeout-ms", "100000").stderr)

    def test_a_server_that_does_not_come_up_is_left_out_with_what_it_said(self):
        found, _, said = self.compare("--servers", "sessiond", "--duration", "0.02", "--cells", "get:16",
                                      "--peer", "bad:resp:sh -c 'echo no such option; exit 1' {port}",
                                      "--peer", "gone:resp:no-such-server {port}")
        self.assertEqual(list(found["servers"]), ["sessiond"])
        self.assertIn("bad is left out: sh did not come up: no such option", said)
        self.assertIn("gone is left out: there is no program no-such-server", said)

    @unittest.skipUnless(has_memcached, "needs memcached")
    def test_a_server_of_another_protocol_is_told_of(self):
        done = self.run_bench("--servers", "sessiond", "--duration", "0.02", "--cells", "get:16",
                              "--peer", "wrong:resp:" + MEMCACHED, status=1)
        self.assertIn("redis server", done.stderr)

    def test_what_is_no_cell_or_peer_is_refused_with_a_sentence(self):
        for arguments, sentence in ((["--cells", "get:16:50:sometimes"], "is no cell"),
                                    (["--cells", "everything"], "is no cell"),
                                    (["--cells", "get:16:50:"], "is no cell"),
                                    (["--cells", ""], "is no cell"),
                                    (["--peer", "valkey-server"], "NAME:PROTOCOL:COMMAND"),
                                    (["--peer", "a:resp:x --port 6379"], "{port}")):
            done = self.run_bench(*arguments, status=2)
            self.assertIn(sentence, done.stderr)
        self.assertIn("nothing", self.run_bench("--servers", "nothing", status=1).stderr)

    def test_a_cell_of_two_lists_is_measured_once(self):
        found, _, _ = self.compare("--servers", "sessiond", "--duration", "0.02", "--cells", "goals,get:16:50,web:16")
        self.assertEqual(len(found["cells"]), 10)


if __name__ == "__main__":
    unittest.main()
