"""The README's examples, each as it stands, in a process of its own against a real server."""

import os
import re
import subprocess
import sys
import unittest

import support

EXAMPLES = re.findall(r"```python\n(.*?)```", (support.HERE.parent / "README.md").read_text(), re.S)


class Readme(support.ServerCase):
    def run_example(self, number):
        run = subprocess.run([sys.executable, "-W", "error", "-c", EXAMPLES[number], self.url()], capture_output=True, text=True,
                             timeout=support.HANG_S, env={**os.environ, "PYTHONPATH": str(support.HERE.parent)})
        self.assertEqual((run.returncode, run.stderr), (0, ""))
        return run.stdout

    def test_the_first_example(self):
        out = self.run_example(0)
        self.assertRegex(out, r"created \S{20,}\n\{'cart': \[3\], 'page': 'home', 'views': 1\}\nmore: 3\n"
                              r"logged out everywhere: 4\na slower request changes nothing: revoked\n")

    def test_the_asyncio_example(self):
        *created, destroyed = [line.split() for line in self.run_example(1).splitlines()]
        self.assertEqual((destroyed[0], {kind for kind, _ in created}), ("destroyed", {"created"}))
        self.assertIn(destroyed[1], [name for _, name in created])  # the other's event may come later: order is a session's


if __name__ == "__main__":
    unittest.main()
