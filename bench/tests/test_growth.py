#!/usr/bin/env python3
"""`sessiond-bench growth` as a user types it: its text and JSON are whole. No time is asserted.
Argument: the program sessiond-bench."""
import subprocess
import sys
import unittest

from typed import run_bench

BENCH = sys.argv.pop(1)
SHORT = ["--quiet", "--rounds", "2", "--duration", "0.1", "--warmup", "0", "--most-sessions", "2000",
         "--most-connections", "150", "--most-per-user", "120", "--most-value-bytes", "5000"]
POINTS = {"sessions": [20, 200, 2000], "connections": [1, 100, 150], "users": [1, 10, 100, 120],
          "values": [100, 1000, 5000]}
MEASURES = {
    "sessions": ["load", "memory", "get", "get_touch", "set"],
    "connections": ["memory", "get, depth 1", "ceiling, depth 1", "get, depth 16", "ceiling, depth 16"],
    "users": ["create", "list", "list by 100", "count", "client.get", "create, evict_oldest", "create, evict_idle",
              "revoke_all", "destroy"],
    "values": ["get", "ceiling of get", "set", "patch"],
}
PER_WORK = {"list", "list by 100", "count", "client.get", "revoke_all"}
ONCE = {("sessions", "load"), ("sessions", "memory"), ("connections", "memory")}


class Growth(unittest.TestCase):
    def run_bench(self, *arguments):
        return run_bench(BENCH, "growth", *SHORT, *arguments)

    def check_measure(self, axis, name, measure):
        has_work = axis == "values" or name in PER_WORK
        at = [point["at"] for point in measure["points"]]
        self.assertEqual(at, [150] if (axis, name) == ("connections", "memory") else POINTS[axis], name)
        self.assertEqual("work_is" in measure, has_work, name)
        self.assertEqual(measure["unit"], "bytes" if name == "memory" else "ns")
        self.assertAlmostEqual(measure["points"][0]["ratio"], 1)
        for point in measure["points"]:
            if name != "memory":
                self.assertGreater(point["least"], 0, (axis, name))
                self.assertGreater(point["ratio"], 0, (axis, name))
            self.assertLessEqual(point["least"], point["value"])
            self.assertLessEqual(point["value"], point["most"])
            if has_work:
                grown = point["work"] / measure["points"][0]["work"]
                self.assertAlmostEqual(point["ratio_per_work"] * grown, point["ratio"], delta=point["ratio"] * 1e-6)

    def test_each_axis_is_measured_and_told_as_text_and_json(self):
        done, found = self.run_bench()
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(found["axes"]), list(MEASURES))
        self.assertEqual(found["rounds"], 2)
        for axis, names in MEASURES.items():
            self.assertEqual(list(found["axes"][axis]), names)
            for name in names:
                self.check_measure(axis, name, found["axes"][axis][name])
                self.assertIn(f"  {name}, ", done.stdout)
        self.assertEqual(done.stdout.count("    a session "), len(PER_WORK))
        self.assertEqual(done.stdout.count("    a KB "), len(MEASURES["values"]))

    def test_only_the_axes_that_were_asked_for_are_measured(self):
        done, found = self.run_bench("--axes", "values", "--rounds", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(list(found["axes"]), ["values"])

    def test_what_is_no_axis_and_a_server_that_is_not_there_are_named(self):
        done, found = self.run_bench("--axes", "values,colours")
        self.assertEqual(done.returncode, 2)
        self.assertIn("--axes", done.stderr)
        self.assertIsNone(found)
        done, found = self.run_bench("--sessiond", "no-such-server", "--axes", "sessions")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-server", done.stderr)
        self.assertIsNone(found)

    def test_too_few_files_for_the_connections_are_told(self):
        limited = ["prlimit", "--nofile=120:120", BENCH, "growth", *SHORT, "--axes", "connections"]
        done = subprocess.run(limited, capture_output=True, text=True, timeout=300)
        self.assertEqual(done.returncode, 1)
        self.assertIn("250 open files", done.stderr)


if __name__ == "__main__":
    unittest.main()
