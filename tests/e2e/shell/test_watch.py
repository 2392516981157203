"""Watching over sockets: events behind the answers, to every loop, on time; and a slow reader harms nobody."""

import time

import server
from server import ServerTest, wait_for


class Watch(ServerTest):
    def event(self, client):
        message = client.message()
        self.assertIsNotNone(message, "the server closed the connection")
        self.assertEqual(message[:2], [2, "event"], message)
        return message[2][0]

    def watch(self, process, namespace="web", **options):
        client = self.client(process)
        self.assertEqual(client.call("watch.start", namespace, options), {"watch": 1})
        return client

    def test_a_connection_hears_of_its_own_writes_behind_their_answers(self):
        process = self.serve("--threads=2")
        client = self.watch(process)
        client.send(client.request("session.set", "web", "a", {}) + client.request("session.destroy", "web", "a"))
        messages = [client.message() for _ in range(4)]
        kinds = [message[2][0]["kind"] if message[0] == 2 else "answer" for message in messages]
        self.assertLess(kinds.index("answer"), kinds.index("created"))
        self.assertLess(len(kinds) - 1 - kinds[::-1].index("answer"), kinds.index("destroyed"))
        self.assertLess(kinds.index("created"), kinds.index("destroyed"))

    def test_watchers_on_every_loop_hear_the_same(self):
        process = self.serve("--threads=4")
        watchers = [self.watch(process) for _ in range(8)]
        writers = [self.client(process) for _ in range(4)]
        for i in range(200):
            writers[i % 4].call("session.set", "web", f"s{i % 10}", {"n": i})
        heard = [[self.event(client) for _ in range(200)] for client in watchers]
        for events in heard:
            self.assertEqual([event["seq"] for event in events], list(range(1, 201)))
            self.assertEqual(sorted(event["version"] for event in events),
                             sorted(event["version"] for event in heard[0]))
            for name in {event["id"] for event in events}:
                versions = [event["version"] for event in events if event["id"] == name]
                self.assertEqual(versions, sorted(versions))
                self.assertEqual(len(versions), 20)

    def test_an_expiry_is_told_although_nobody_asks(self):
        process = self.serve("--threads=2")
        watchers = [self.watch(process, kinds=["expired"]) for _ in range(3)]
        writer = self.client(process)
        for i in range(50):
            writer.call("session.set", "web", f"s{i}", {}, {"timeouts": {"idle_timeout_ms": 30 + i}})
        for client in watchers:
            events = [self.event(client) for _ in range(50)]
            self.assertEqual({event["id"] for event in events}, {f"s{i}" for i in range(50)})

    def test_a_slow_reader_is_told_what_it_missed_and_others_hear_all(self):
        process = self.serve("--threads=2", "--output-mark=64K", "--slow-reader-timeout-ms=600000")
        slow = self.client(process, receive_buffer=4096)
        self.assertEqual(slow.call("watch.start", "web"), {"watch": 1})
        quick = self.watch(process)
        writer = self.client(process)
        before = process.resident()
        rounds, block, heard = 150, 400, 0
        for i in range(rounds):
            writer.send(b"".join(writer.request("session.set", "web", f"s{j}", {}) for j in range(block)))
            for _ in range(block):
                self.assertIsNone(writer.message()[2])
            for _ in range(block):
                heard += 1
                self.assertEqual(self.event(quick)["seq"], heard)
        self.assert_grew_less(process, before, 64 << 20)
        # What was left out is told; behind it goes on what happens then.
        writer.call("session.create", "web", {"id": "last"})
        seq = told = missed = 0
        event = {}
        while event.get("id") != "last" and seq < rounds * block + 1:
            event = self.event(slow)
            told += 1
            missed += event.get("missed", 0)
            self.assertEqual(event["seq"], seq + event.get("missed", 1))
            seq = event["seq"]
        self.assertEqual(seq, rounds * block + 1)
        self.assertGreater(missed, 0)
        self.assertLess(told, rounds * block)
        stats = process.stats()
        self.assertEqual(stats["events_total"], rounds * block + 1)
        self.assertGreater(stats["lagged_total"], 0)
        self.assertEqual(self.event(quick)["id"], "last")

    def test_a_watch_ends_with_its_connection_and_does_not_keep_the_server(self):
        process = self.serve("--threads=2")
        watchers = [self.watch(process) for _ in range(5)]
        self.assertEqual(process.stats()["watches"], 5)
        watchers.pop().close()
        wait_for(lambda: process.stats()["watches"] == 4, "the watch of a closed connection ends")
        self.assertTrue(watchers[0].call("watch.stop", "web", {"watch": 1}))
        self.assertEqual(process.stats()["watches"], 3)
        began = time.monotonic()
        self.assert_ends_well(process)
        self.assertLess(time.monotonic() - began, server.PATIENCE)

    def test_who_watches_is_not_cut_for_being_silent(self):
        process = self.serve("--connection-idle-timeout-ms=200")
        watcher, silent = self.watch(process), self.client(process)
        silent.call("server.ping")
        wait_for(silent.is_closed, "a silent connection is cut")
        with process.client() as writer:
            writer.call("session.create", "web", {"id": "a"})
        self.assertEqual(self.event(watcher)["id"], "a")


if __name__ == "__main__":
    server.main()
