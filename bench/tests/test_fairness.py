#!/usr/bin/env python3
"""A thousand connections that all send much at once are served in turn, over every transport that this machine has: in
one run the longest waits are held against the usual one. Argument: the program sessiond-bench."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

BENCH = sys.argv.pop(1)
USUAL_WAITS = 10  # served in turn the longest is some four usual ones; who was passed over waited until the run was over


class Fairness(unittest.TestCase):
    def longest_waits(self, transport):
        """How many times the median the thousandth part waits that waits longest."""
        with tempfile.TemporaryDirectory() as scratch:
            path = os.path.join(scratch, "out.json")
            command = [BENCH, "--spawn", "--server", "sessiond", "--workload", "set", "--depth", "64", "--connections",
                       "1000", "--sessions", "20k", "--warmup", "0.3", "--duration", "1", "--json", path]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300,
                                  env={**os.environ, "SESSIOND_TRANSPORT": transport})
            self.assertEqual(done.returncode, 0, done.stderr)
            with open(path) as file:
                waits = json.load(file)["result"]["latency_us"]["set"]
        return waits["p99.9"] / waits["p50"]

    def test_a_thousand_connections_that_send_much_are_served_in_turn(self):
        for transport in ("auto", "libuv"):
            # Where others take the machine for a while, all wait: then it is tried again.
            found = []
            while len(found) < 4 and (not found or found[-1] >= USUAL_WAITS):
                found.append(self.longest_waits(transport))
            self.assertLess(found[-1], USUAL_WAITS, f"{transport}: {found}")


if __name__ == "__main__":
    unittest.main(argv=[sys.argv[0], "-v"])
