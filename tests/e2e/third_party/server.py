"""Starts a sessiond for a test on a free loopback port and ends it afterwards."""

import contextlib
import re
import subprocess
import sys


@contextlib.contextmanager
def running(binary, *options):
    """Yields (port, process) of a server that has said that it is ready; it must end cleanly on SIGTERM."""
    process = subprocess.Popen([binary, "--port", "0", *options], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        found = re.search(r"event=ready .*tcp=127\.0\.0\.1:(\d+)", line)
        assert found, f"no ready line, but: {line!r}"
        yield int(found.group(1)), process
    finally:
        process.terminate()
        code = process.wait(timeout=20)
        print(f"server ended with {code}", file=sys.stderr)
        assert code == 0, f"the server ended with {code}"
