#!/usr/bin/env python3
"""`sessiond-bench tail` as a user types it: its text and JSON are whole. No time is asserted.
Argument: the program sessiond-bench."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import unittest

BENCH = sys.argv.pop(1)
SHORT = ["--quiet", "--sessions", "3000", "--rounds", "1", "--rate", "1000", "--duration", "0.5", "--warmup", "0"]
# In memory where that can be: a disk that others keep busy makes a server refuse writes, as it should.
MEMORY = "/dev/shm"
HAS_MEMORY = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 2 << 30
PLACE = MEMORY if HAS_MEMORY else "."
CASES = ["quiet", "expiry", "growth", "flood_gets", "flood_sets", "flood_lists", "flood_big"]


class Tail(unittest.TestCase):
    def measure(self, *arguments):
        """A machine that stands still for a second has a server that keeps sessions refuse writes: then it is run again."""
        for _ in range(5):
            with tempfile.TemporaryDirectory(dir=PLACE) as scratch:
                path = os.path.join(scratch, "out.json")
                command = [BENCH, "tail", *SHORT, "--json", path, "--scratch", scratch, *arguments]
                done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=300)
                if done.returncode != 0 and "BUSY" in done.stderr:
                    continue
                self.assertEqual(done.returncode, 0, done.stderr)
                with open(path) as file:
                    return json.load(file), done.stdout
        self.fail(done.stderr)

    def check(self, found, text, names):
        self.assertEqual(list(found["cases"]), names)
        for name, figures in found["cases"].items():
            self.assertIn(name, text)
            self.assertGreater(figures["p50_us"], 0, name)
            self.assertLessEqual(figures["p50_us"], figures["p99.9_us"], name)
            self.assertLessEqual(figures["p99.9_us"], figures["longest_us"] * 1.002, name)
            self.assertGreater(figures["p99.9_against_quiet"], 0, name)
            if name != "quiet":
                self.assertGreater(figures["done_per_s"], 0, name)
        self.assertAlmostEqual(found["cases"]["quiet"]["p99.9_against_quiet"], 1)

    def test_each_disturbance_is_measured_and_told_as_text_and_json(self):
        found, text = self.measure()
        self.check(found, text, CASES)
        self.assertIn("snapshots need a log", text)

    def test_snapshots_are_made_where_there_is_a_log(self):
        found, text = self.measure("--durability", "everysec")
        self.check(found, text, CASES + ["snapshots"])
        self.assertNotIn("left out", text)


if __name__ == "__main__":
    unittest.main()
