#!/usr/bin/env python3
"""The Lua scripts that sessiond is compared with do what they are said to do. Needs redis-server; skipped without (77).
Argument: the folder of the scripts."""

import hashlib
import pathlib
import random
import shutil
import socket
import subprocess
import sys
import time
import unittest

SCRIPTS = pathlib.Path(sys.argv.pop(1))
REDIS = shutil.which("redis-server")


class Refused(Exception):
    """An error as answered."""


class Redis:
    def __init__(self):
        port = self.free_port()
        self.process = subprocess.Popen([REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "",
                                         "--appendonly", "no"], stdout=subprocess.DEVNULL)
        for _ in range(6000):
            try:
                self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
                break
            except ConnectionRefusedError:
                time.sleep(0.01)
        self.file = self.socket.makefile("rwb")

    def free_port(self):
        """Below those that the system hands out by itself: nobody else is given it before the server takes it."""
        while True:
            with socket.socket() as free:
                try:
                    free.bind(("127.0.0.1", random.randrange(10_000, 30_000)))
                    return free.getsockname()[1]
                except OSError:
                    pass  # somebody listens there

    def close(self):
        self.file.close()
        self.socket.close()
        self.process.terminate()
        self.process.wait()

    def call(self, *words):
        words = [str(word).encode() for word in words]
        self.file.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        self.file.flush()
        return self.reply()

    def reply(self):
        line = self.file.readline()[:-2].decode()
        kind, rest = line[0], line[1:]
        if kind == "-":
            raise Refused(rest)
        if kind == "*":
            return [self.reply() for _ in range(int(rest))]
        if kind == "$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode()
        return int(rest) if kind == ":" else rest

    def run(self, script, keys, *arguments):
        return self.call("EVAL", (SCRIPTS / f"{script}.lua").read_text(), len(keys), *keys, *arguments)


class Scripts(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.redis = Redis()
        cls.addClassCleanup(cls.redis.close)

    def setUp(self):
        self.redis.call("FLUSHALL")

    def refused(self, word, *call):
        with self.assertRaisesRegex(Refused, word):
            self.redis.run(*call)

    # ---- tokens

    def login(self, id, secret="secret", limit=5):
        return self.redis.run("login", [f"s:{id}", "u:ann"], id, secret, "ann", "phone", "data", 1000000, limit)

    def validate(self, id, secret):
        return self.redis.run("validate", [f"s:{id}"], secret, 1000000)

    def rotate(self, id, secret, grace_ms=10000):
        return self.redis.run("rotate", [f"s:{id}"], id, secret, "key", grace_ms, 1000000).split(".")[1]

    def test_a_token_is_valid_and_no_other_is(self):
        self.assertEqual(self.login("a"), "a.secret")
        answer = self.validate("a", "secret")
        self.assertEqual(answer[:2] + answer[3:], ["ann", "phone", "data"])
        self.refused("INVALID", "validate", ["s:a"], "other", 1000)
        self.refused("INVALID", "validate", ["s:b"], "secret", 1000)
        self.refused("INVALID", "validate", ["s:a"], hashlib.sha1(b"secret").hexdigest(), 1000)
        self.refused("EXISTS", "login", ["s:a", "u:ann"], "a", "x", "ann", "phone", "data", 1000, 5)

    def test_validate_starts_the_idle_deadline_again(self):
        self.login("a")
        self.redis.call("PEXPIRE", "s:a", 5000)
        self.validate("a", "secret")
        self.assertGreater(self.redis.call("PTTL", "s:a"), 900000)

    def test_a_user_has_no_more_sessions_than_the_limit(self):
        for number in range(5):
            self.login(f"s{number}")
            self.redis.call("ZADD", "u:ann", number, f"s{number}")  # begun one after the other
        self.redis.call("DEL", "s:s3")  # as if it had expired
        self.login("new")
        self.assertEqual(self.redis.call("ZRANGE", "u:ann", 0, -1), ["s0", "s1", "s2", "s4", "new"])
        self.login("newer")
        self.assertEqual(self.redis.call("ZCARD", "u:ann"), 5)
        self.refused("INVALID", "validate", ["s:s0"], "secret", 1000)
        self.validate("s1", "secret")

    def test_two_rotates_with_one_secret_get_the_same_successor(self):
        self.login("a")
        new = self.rotate("a", "secret")
        self.assertEqual(len(new), 43)
        self.assertEqual(self.rotate("a", "secret"), new)
        self.validate("a", "secret")
        self.validate("a", new)
        newer = self.rotate("a", new)
        self.assertNotEqual(newer, new)
        self.refused("INVALID", "validate", ["s:a"], "secret", 1000)

    def test_an_old_secret_after_its_grace_ends_the_session(self):
        self.login("a")
        new = self.rotate("a", "secret", 0)
        self.refused("INVALID", "validate", ["s:a"], "secret", 1000)
        self.validate("a", new)
        self.refused("REUSED", "rotate", ["s:a"], "a", "secret", "key", 0, 1000)
        self.refused("INVALID", "validate", ["s:a"], new, 1000)
        self.assertEqual(self.redis.call("ZCARD", "u:ann"), 0)

    def test_logout_leaves_nothing(self):
        self.login("a")
        self.assertEqual(self.redis.run("logout", ["s:a", "u:ann"], "a"), 1)
        self.assertEqual(self.redis.run("logout", ["s:a", "u:ann"], "a"), 0)
        self.assertEqual(self.redis.call("DBSIZE"), 0)

    # ---- pools

    def acquire(self, new, strategy="random", size=2, limit=3, lease_ms=0):
        ordered = strategy in ("least_recent", "round_robin", "least_used")
        script = "acquire_ordered" if ordered else "acquire"
        return self.redis.run(script, ["free", "leased", "more"], size, limit, 1000000, lease_ms, new, strategy)[:2]

    def mark(self, id, outcome, adds=0, ordered=0):
        return self.redis.run("mark", [f"p:{id}", "free"], id, outcome, adds, 0.5, 3, ordered)

    def test_every_strategy_fills_the_pool_and_never_passes_the_limit(self):
        for strategy in ("random", "least_recent", "least_used"):
            self.redis.call("FLUSHALL")
            got = [self.acquire(f"n{number}", strategy) for number in range(6)]
            self.assertEqual([use[0] for use in got[:2]], ["n0", "n1"], strategy)
            uses = {}
            for id, usage in got:
                uses[id] = uses.get(id, 0) + 1
                self.assertEqual(usage, uses[id], strategy)
            self.assertLessEqual(max(uses.values()), 3)
            self.assertLessEqual(self.redis.call("DBSIZE"), 2 + len(uses))

    def test_least_recent_takes_turns_and_the_last_one_stays_until_it_fails(self):
        got = [self.acquire(f"n{number}", "least_recent", limit=50)[0] for number in range(6)]
        self.assertEqual(got, ["n0", "n1"] * 3)
        self.redis.call("FLUSHALL")
        got = [self.acquire(f"n{number}", "use_until_failure")[0] for number in range(4)]
        self.assertEqual(got, ["n0", "n0", "n0", "n3"])

    def test_a_lease_has_one_holder_until_it_is_released_or_over(self):
        for strategy, ordered in (("random", 0), ("least_recent", 1)):
            self.redis.call("FLUSHALL")
            more = [strategy, 1, 50, 60000]
            self.assertEqual(self.acquire("a", *more), ["a", 1])
            with self.assertRaisesRegex(Refused, "EXHAUSTED"):
                self.acquire("b", *more)
            self.assertEqual(self.redis.run("release", ["p:a", "free", "leased"], "a", ordered, 0), 1)
            self.refused("CONFLICT", "release", ["p:a", "free", "leased"], "a", ordered, 0)
            self.assertEqual(self.acquire("b", *more), ["a", 2])
            self.redis.call("ZADD", "leased", 1, "a")  # its end was long ago
            self.assertEqual(self.acquire("b", *more), ["a", 3])

    def test_three_bad_marks_retire_and_good_ones_heal(self):
        self.acquire("a", size=1, limit=50)
        self.assertEqual(self.mark("a", "bad"), [1, "1", 0])
        self.assertEqual(self.mark("a", "good"), [1, "0.5", 0])
        self.assertEqual(self.mark("a", "bad"), [1, "1.5", 0])
        self.assertEqual(self.mark("a", "bad"), [1, "2.5", 0])
        self.assertEqual(self.redis.call("SCARD", "free"), 1)
        self.assertEqual(self.mark("a", "bad"), [2, "6.5", 1])
        self.assertEqual(self.redis.call("SCARD", "free"), 0)
        self.assertEqual(self.mark("a", "good", 1), [3, "6", 1])
        self.assertIsNone(self.mark("unknown", "good"))

    def test_retire_takes_it_out_and_the_next_acquire_replaces_it(self):
        self.acquire("a", size=1, limit=50)
        self.assertEqual(self.mark("a", "retire"), [2, "3", 1])
        self.assertEqual(self.acquire("b", size=1, limit=50), ["b", 1])

    def test_add_makes_a_session_that_was_never_used(self):
        self.redis.run("add", ["p:a", "free"], "a", 1000000, 50, 0)
        self.assertEqual(self.acquire("b", size=1, limit=50), ["a", 1])


if __name__ == "__main__":
    if not REDIS:
        print("there is no redis-server: the scripts were not tested")
        sys.exit(77)
    unittest.main(verbosity=2)
