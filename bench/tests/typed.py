"""A subcommand of sessiond-bench as a user types it: what it says, and the JSON that it writes."""

import json
import os
import subprocess
import tempfile


def run_bench(*command):
    """The finished process, and what stands in its file of JSON; None where it wrote none."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "out.json")
        done = subprocess.run([*command, "--json", path], capture_output=True, text=True, timeout=300)
        if not os.path.exists(path):
            return done, None
        with open(path) as file:
            return done, json.load(file)
