#!/usr/bin/env python3
"""`sessiond-bench memory` as a user types it: its text and JSON are whole and agree with each other. No time is asserted.
Argument: the program sessiond-bench."""
import sys
import unittest

from typed import run_bench

BENCH = sys.argv.pop(1)
ROUNDS = 5
SESSIONS = 3000


class Memory(unittest.TestCase):
    def run_bench(self, *arguments):
        return run_bench(BENCH, "memory", "--quiet", *arguments)

    def test_each_stage_is_measured_and_told_as_text_and_json(self):
        done, found = self.run_bench("--sessions", str(SESSIONS), "--observe", "1")
        self.assertEqual(done.returncode, 0, done.stderr)
        stages = found["stages"]
        names = ["empty", "loaded"] + [f"churn {i + 1}" for i in range(ROUNDS)] + ["all ended"]
        self.assertEqual([stage["stage"] for stage in stages], names)
        self.assertEqual([stage["sessions"] for stage in stages], [0] + [SESSIONS] * (ROUNDS + 1) + [0])
        self.assertEqual(stages[1]["live_bytes"], SESSIONS * (43 + 300))
        self.assertEqual((stages[0]["live_bytes"], stages[-1]["live_bytes"]), (0, 0))
        for stage in stages:
            self.assertGreater(stage["rss_bytes"], 0)
            self.assertGreaterEqual(stage["used_bytes"], stage["live_bytes"])
            self.assertIn(stage["stage"], done.stdout)
        for stage in stages[1:-1]:
            self.assertGreater(stage["rss_bytes"], stage["live_bytes"])
            beyond = (stage["rss_bytes"] - stages[0]["rss_bytes"] - stage["live_bytes"]) / SESSIONS
            self.assertAlmostEqual(stage["beyond_bytes_per_session"], beyond, delta=1)
        sizes = {stage["live_bytes"] for stage in stages[1:-1]}
        self.assertEqual(len(sizes), ROUNDS + 1, "each round changes sizes")
        self.assertEqual(found["batches"], (SESSIONS + found["batch"] - 1) // found["batch"])
        self.assertLess(found["longest_after_sessions"], SESSIONS)
        for name in ("rest_batch_loop_cpu", "batch_loop_cpu", "batch_cpu", "batch_latency"):
            batches = found[name]
            self.assertGreater(batches["p50_us"], 0)
            self.assertLessEqual(batches["p50_us"], batches["p99.9_us"])
            self.assertLessEqual(batches["p99.9_us"], batches["longest_us"] * 1.001)
        self.assertEqual("memory_back_ms" in found, found["is_memory_back"])
        self.assertLessEqual(found["kept_bytes"], 4 << 20)
        may_be = stages[0]["rss_bytes"] * 1.2 + found["kept_bytes"]
        self.assertEqual(found["is_memory_back"], stages[-1]["rss_bytes"] <= may_be)

    def test_a_server_that_is_not_there_is_named(self):
        done, found = self.run_bench("--sessions", "10", "--sessiond", "no-such-server")
        self.assertEqual(done.returncode, 1)
        self.assertIn("no-such-server", done.stderr)
        self.assertIsNone(found)


if __name__ == "__main__":
    unittest.main()
