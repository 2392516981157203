"""One client's costly requests must not hold up the others, and none of them is lost for having had to wait."""

import signal
import socket
import threading
import time
import unittest

import server


def many():
    """Requests of a packet; each is a turn's work and more, and under a sanitizer it takes half a second."""
    return 100 if server.is_sanitized() else 300


class Turns(server.ServerTest):
    PAUSE_US = 50_000

    def test_the_longest_is_told(self):
        """A pause of the process is part of a turn where it falls into one."""
        target = self.serve("--threads=2")
        client = self.client(target)
        client.call("session.set", "web", "s", "x" * 60_000)
        requests = b"".join(client.request("session.get", "web", "s") for _ in range(500))  # many turns
        worst_us = target.stats()["turn_worst_us"]
        self.assertGreater(worst_us, 0)
        for _ in range(1000):
            client.send(requests)
            client.message()
            target.signal(signal.SIGSTOP)
            time.sleep(self.PAUSE_US / 1e6)
            target.signal(signal.SIGCONT)
            for _ in range(499):
                client.message()
            before_us, worst_us = worst_us, target.stats()["turn_worst_us"]
            self.assertGreaterEqual(worst_us, before_us)
            if worst_us >= self.PAUSE_US:
                return
        self.fail(f"none of a thousand pauses fell into a turn: {worst_us} us")


class Heavy(server.ServerTest):
    SESSIONS = 20000

    def fill(self, target):
        """Makes one user's sessions."""
        with target.client() as client:
            for _ in range(self.SESSIONS // 500):
                client.send(b"".join(client.request("session.create", "web", {"user": "ann"}) for _ in range(500)))
                for _ in range(500):
                    self.assertIsNone(client.message()[2])

    def answers_while(self, target, client, count):
        """How often another client is answered until `client` has `count` messages; checks that these are in order."""
        messages = []
        reader = threading.Thread(target=lambda: messages.extend(client.message() for _ in range(count)))
        reader.start()
        answered = 0
        with target.client() as healthy:
            while reader.is_alive():
                healthy.call("server.ping")
                answered += 1
        reader.join()
        self.assertNotIn(None, messages)
        self.assertEqual([message[1] for message in messages], list(range(1, count + 1)))
        return answered, messages

    def assert_waits_for_nobody(self, requests_of):
        """In one packet they are hundreds of times a turn's work; the other client must have its turns between, unless
        the machine left it no time to ask."""
        for _ in range(5):
            answered, messages = self.answers_beside(requests_of)
            if answered > 50:
                return messages
        self.fail(f"only {answered} answers beside {len(messages)} costly ones")

    def answers_beside(self, requests_of):
        target = self.serve("--threads=1")
        self.fill(target)
        client = self.client(target)
        requests = requests_of(client)
        client.send(b"".join(requests))
        client.socket.shutdown(socket.SHUT_WR)  # who has said all still gets all answers
        answered, messages = self.answers_while(target, client, len(requests))
        self.assertIsNone(client.message())
        self.assert_ends_well(target)
        return answered, messages

    def test_counts_of_a_large_group_leave_others_their_turns(self):
        messages = self.assert_waits_for_nobody(
            lambda client: [client.request("session.count", "web", {"user": "ann"}) for _ in range(many())])
        self.assertEqual({message[3] for message in messages}, {self.SESSIONS})

    def test_lists_that_find_nothing_leave_others_their_turns(self):
        messages = self.assert_waits_for_nobody(
            lambda client: [client.request("session.list", "web", {"prefix": "\N{SNOWMAN}"}) for _ in range(many())])
        self.assertEqual({len(message[3]["sessions"]) for message in messages}, {0})

    def test_patches_of_a_large_session_leave_others_their_turns(self):
        data = {str(number): 0 for number in range(100000)}
        messages = self.assert_waits_for_nobody(
            lambda client: [client.request("session.set", "web", "big", data)] +
                           [client.request("session.patch", "web", "big", {"incr": {"0": 1}}) for _ in range(100)])
        self.assertEqual([message[3]["values"]["0"] for message in messages[1:]], list(range(1, 101)))

    def test_copies_of_a_large_session_hold_little_memory(self):
        """Each request publishes a copy; what it replaced is held until the turn ends."""
        target = self.serve("--threads=1")
        client = self.client(target)
        client.call("session.set", "web", "big", "x" * 1000000,
                    {"timeouts": {"idle_timeout_ms": 0, "absolute_timeout_ms": 1000000}})
        count = 5 * many()
        client.send(b"".join(client.request("session.expire", "web", "big", {"extend_ms": 5}) for _ in range(count)))
        deadlines = [client.message()[3]["expires_at"] for _ in range(count)]
        self.assertEqual(deadlines, list(range(deadlines[0], deadlines[0] + 5 * count, 5)))
        if not server.is_sanitized():
            self.assertLess(target.peak(), 200 << 20)
        self.assert_ends_well(target)

    def test_a_connection_that_is_cut_while_it_rests_is_forgotten(self):
        target = self.serve("--threads=1")
        self.fill(target)
        for _ in range(5):
            with target.client() as client:
                client.send(b"".join(client.request("session.count", "web", {"user": "ann"}) for _ in range(many())))
        server.wait_for(lambda: target.stats()["connections"] == 1, "only the asking connection is left")
        self.assert_ends_well(target)

    def test_a_limit_far_below_what_a_user_has_ends_the_surplus_at_once(self):
        target = self.serve("--threads=1")
        self.fill(target)
        client = self.client(target)
        client.call("namespace.configure", "web", {"max_sessions_per_user": 3, "session_limit_policy": "evict_idle"})
        kept = [session["id"] for session in client.call("session.list", "web", {"user": "ann", "limit": 2})["sessions"]]
        for session in kept:
            client.call("session.touch", "web", session, {"timeouts": {"idle_timeout_ms": 1000000}})
        # One look through the group for each that goes would take 20 s.
        made = client.call("session.create", "web", {"user": "ann"})["id"]
        left = [session["id"] for session in client.call("session.list", "web", {"user": "ann"})["sessions"]]
        self.assertCountEqual(left, [*kept, made])
        self.assertEqual(client.call("session.count", "web", {"user": "ann", "status": "revoked"}), self.SESSIONS - 2)
        self.assert_ends_well(target)


if __name__ == "__main__":
    server.main()
