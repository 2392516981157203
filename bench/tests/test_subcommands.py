#!/usr/bin/env python3
"""`sessiond-bench` run, watch, restart and snapshot as a user types them: the figures are of what was asked for, and text
and JSON agree. No time is asserted.
Argument: the program sessiond-bench."""
import os
import shutil
import sys
import tempfile
import unittest

from typed import run_bench

BENCH = sys.argv.pop(1)
# In memory where that can be: a disk that others keep busy makes a server refuse writes, as it should.
MEMORY = "/dev/shm"
HAS_MEMORY = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 << 30
PLACE = MEMORY if HAS_MEMORY else "."


class Subcommands(unittest.TestCase):
    def measure(self, *arguments, status=0):
        """A machine that stands still for a second has a server that keeps sessions refuse writes: then it is run again."""
        for _ in range(5):
            with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
                done, found = run_bench(BENCH, *arguments, "--quiet", "--scratch", scratch)
            if done.returncode == status or "BUSY" not in done.stderr:
                break
        self.assertEqual(done.returncode, status, done.stderr)
        return found, done.stdout

    def check_latency(self, latency):
        values = [latency[key] for key in ("p50_us", "p99_us", "p99.9_us", "worst_us")]
        self.assertGreater(values[0], 0)
        self.assertEqual(values, sorted(values))

    def test_run_counts_what_it_asked_and_compares_what_came(self):
        found, text = self.measure("run", "--spawn", "--workload", "mix", "--sessions", "1000", "--requests", "5000",
                                   "--depth", "4", "--connections", "10", "--warmup", "0", "--check-every", "1")
        result = found["result"]
        self.assertEqual((result["operations"], result["requests"]), (5000, 5000))
        self.assertEqual((result["errors"], result["misses"], result["values_wrong"]), (0, 0, 0))
        kinds = {kind: of["count"] for kind, of in result["latency_us"].items()}
        self.assertEqual(kinds["get"] + kinds["set"], kinds["all"])
        self.assertEqual((kinds["all"], result["values_checked"]), (5000, kinds["get"]))
        self.assertGreater(min(kinds.values()), 2000, "half of each")
        self.assertEqual((found["plan"]["depth"], found["plan"]["connections"]), (4, 10))
        self.assertAlmostEqual(result["operations_per_s"], 5000 / result["elapsed_s"], delta=1)
        self.assertAlmostEqual(result["server"]["cpu_ns_per_operation"], result["server"]["cpu_ns"] / 5000, delta=1)
        self.assertIn(f"0 of {kinds['get']} values looked at were wrong", text)

    def test_watch_tells_each_watcher_of_each_set(self):
        found, text = self.measure("watch", "--sessions", "1000", "--requests", "2000", "--rounds", "2", "--watchers", "20")
        cases = [(of["watchers"], of["sets"], of["events_told"], of["events_missed"]) for of in found["cases"]]
        self.assertEqual(cases, [(0, 4000, 0, 0), (1, 4000, 4000, 0), (20, 4000, 80000, 0), (20, 4000, 0, 0)])
        self.assertAlmostEqual(found["cases"][0]["against_nobody"], 1)
        for of in found["cases"]:
            self.assertGreater(of["cpu_ns_per_set"], 0)
            self.assertEqual("cpu_ns_per_event" in of, of["events_told"] > 0)
            self.assertIn(of["case"], text)

    def test_restart_comes_back_with_all_sessions_from_log_and_snapshot(self):
        found, text = self.measure("restart", "--sessions", "2000", "--rounds", "2")
        starts = found["starts"]
        self.assertEqual([of["start"] for of in starts], ["empty", "from the log", "from a snapshot"])
        self.assertEqual((found["sessions"], found["rounds"]), (2000, 2))
        for of in starts:
            self.assertGreater(of["cpu_ms"], 0)
            self.assertGreater(of["until_ready_ms"], 0)
            self.assertEqual("cpu_ns_per_session" in of, of["start"] != "empty")
            self.assertIn(of["start"], text)

    def test_snapshot_measures_the_same_with_and_without(self):
        found, text = self.measure("snapshot", "--sessions", "2000", "--rounds", "2", "--rate", "2000", "--duration", "0.5",
                                   "--warmup", "0")
        self.assertGreaterEqual(found["snapshots_made"], 2)
        self.assertGreater(found["snapshot_ms"], 0)
        self.assertGreater(found["p99.9_against"], 0)
        for side in ("alone", "snapshots"):
            self.check_latency(found[side])
            self.assertGreater(found[side]["cpu_ns_per_operation"], 0)
            self.assertIn(side, text)
        self.assertIn(f"{found['snapshots_made']} snapshots,", text)


if __name__ == "__main__":
    unittest.main()
