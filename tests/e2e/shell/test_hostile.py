"""Bytes from strangers: nothing crashes, hangs or grows, each gets a typed error or nothing, and others are served."""

import random
import socket
import struct
import time

import msgpack
import server
from server import PATIENCE, ServerTest, wait_for

PING = msgpack.packb([0, 1, "server.ping", []])


def lying_lengths():
    """Heads that promise gigabytes."""
    for head in (b"\xdd", b"\xdf", b"\xdb", b"\xc6"):
        yield head + struct.pack(">I", 0xFFFFFFFF)
        yield b"\x94\x00\x01" + head + struct.pack(">I", 0xFFFFFFFF)
        yield b"\x94\x00\x01" + msgpack.packb("session.set") + head + struct.pack(">I", 0x7FFFFFFF)
    yield b"\xc9\xff\xff\xff\xff\x01"
    yield b"\x94\x00\x01" + msgpack.packb("session.get_many") + b"\x92\xa1w\xdd\x10\x00\x00\x00"


def deep():
    for opener in (b"\x91", b"\x81\xa1a", b"\xdc\x00\x01"):
        yield opener * 300_000
        yield b"\x94\x00\x01" + msgpack.packb("session.set") + b"\x93\xa1w\xa1i" + opener * 300_000


def not_envelopes():
    yield b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
    yield b"\xc1" * 100
    for value in (None, 7, "x", [], [0], [3, 1, "server.ping", []], [0, -1, "server.ping", []],
                  [0, 1 << 40, "server.ping", []], [0, 1, None, []], [0, 1, "server.ping"], [2, "server.ping"],
                  [1, 1, None, None], {"a": 1}, [0, 1, "server.ping", {}], [0, 1, "no.such", []],
                  [0, 1, "session.get", []], [0, 1, "session.get", [1, 2, 3, 4, 5, 6]], [2, "no.such", []]):
        yield msgpack.packb(value)


def truncations():
    whole = msgpack.packb([0, 1, "session.set", ["web", "s", {"a": [1, 2.5, "x" * 40]}, {"mode": "upsert"}]])
    for size in range(len(whole)):
        yield whole[:size]


def mutations(chance, count):
    seeds = [PING, *(msgpack.packb([0, 7, method, params]) for method, params in (
        ("session.create", ["web", {"id": "a", "user": "u", "data": {"k": [1, {"x": None}]}}]),
        ("session.get", ["web", "a", {"touch": True, "fields": ["id", "data"]}]),
        ("session.patch", ["web", "a", {"set": {"k": 1}, "incr": {"n": 1.5}}]),
        ("session.list", ["web", {"user": "u", "limit": 3}]),
        ("namespace.configure", ["web", {"idle_timeout_ms": 1000}])))]
    for _ in range(count):
        data = bytearray(chance.choice(seeds) * chance.randint(1, 3))
        for _ in range(chance.randint(1, 8)):
            at = chance.randrange(len(data))
            kind = chance.randrange(3)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at:at + chance.randint(1, 4)]
                data = data or bytearray(PING)
            else:
                data[at:at] = chance.randbytes(chance.randint(1, 4))
        yield bytes(data)


class Hostile(ServerTest):
    def feed(self, process, inputs):
        """Sends each input on a connection of its own, ends the sending side, and reads to the end: everything that
        comes back must be answers, and the connection must end by itself."""
        for data in inputs:
            began = process.cpu_seconds()
            client = self.client(process)
            try:
                client.send(data)
                client.socket.shutdown(socket.SHUT_WR)
                while (message := client.message()) is not None:
                    self.assertEqual((len(message), message[0]), (4, 1), data[:80])
                    if message[2] is not None:
                        self.assertRegex(message[2]["code"], "^[A-Z_]+$")
                        self.assertGreater(len(message[2]["message"]), 10)
            except ConnectionError:
                pass  # cut while it was still sending: its right
            finally:
                client.close()
            self.assertLess(process.cpu_seconds() - began, 1, f"held up by {data[:80]!r}")

    def hold(self, inputs):
        process = self.serve("--threads=2")
        healthy = self.client(process)
        healthy.call("server.ping")
        before = process.resident()
        self.feed(process, inputs)
        self.assert_grew_less(process, before, 16 << 20)
        healthy.call("server.ping")
        self.assert_ends_well(process)

    def test_lying_lengths(self):
        self.hold(lying_lengths())

    def test_nesting_without_end(self):
        self.hold(deep())

    def test_what_is_no_request(self):
        self.hold(not_envelopes())

    def test_every_truncation(self):
        self.hold(truncations())

    def test_random_bytes_and_mutations(self):
        chance = random.Random(7420)
        self.hold([chance.randbytes(chance.randint(1, 200)) for _ in range(400)] + list(mutations(chance, 1500)))

    def test_a_broken_stream_gets_the_answers_before_it_and_then_a_reason(self):
        process = self.serve()
        client = self.client(process)
        client.send(PING + b"\xc1" + PING)
        self.assertIsNone(client.message()[2])
        message = client.message()
        self.assertEqual((message[0], message[1], message[3]), (1, 0, None))
        self.assertEqual(message[2]["code"], "BAD_REQUEST")
        self.assertIsNone(client.message())

    def test_a_message_above_max_frame_is_told_so_though_it_is_still_being_sent(self):
        process = self.serve("--max-frame=64K", "--output-mark=4K")
        client = self.client(process)
        head = b"\x94\x00\x05" + msgpack.packb("session.set") + b"\x93\xa1w\xa1s\xdb" + struct.pack(">I", 3 << 20)
        client.send(head)
        try:
            client.send(b"x" * (3 << 20))
        except ConnectionError:
            pass  # it took longer than a refused peer may go on sending; it was told before
        message = client.message()
        self.assertEqual(message[1], 5)
        self.assertEqual((message[2]["code"], message[2]["limit"]), ("TOO_BIG", 64 << 10))
        self.assertTrue(client.ends())

    def test_a_refused_peer_that_goes_on_sending_is_cut(self):
        process = self.serve()
        client = self.client(process)
        client.send(b"\xc1")

        def is_cut():
            try:
                client.socket.sendall(b"x" * 65536)
                return False
            except OSError:
                return True

        wait_for(is_cut, "the connection is cut")
        wait_for(lambda: process.stats()["connections"] == 1, "it is closed")

    def test_one_byte_at_a_time_is_a_request_too(self):
        process = self.serve("--threads=1")
        slow, healthy = self.client(process), self.client(process)
        for byte in PING * 3:
            slow.send(bytes([byte]))
            healthy.call("server.ping")
        for _ in range(3):
            self.assertEqual(slow.message()[1], 1)

    def test_a_hundred_half_messages_do_not_hold_up_anybody(self):
        process = self.serve("--threads=1")
        halves = [self.client(process) for _ in range(100)]
        whole = msgpack.packb([0, 1, "session.set", ["web", "s", "x" * 100_000]])
        for half in halves:
            half.send(whole[:90_000])
        began = time.monotonic()
        for _ in range(100):
            self.assert_serves(process)
        self.assertLess(time.monotonic() - began, PATIENCE / 2)
        self.assert_ends_well(process)


if __name__ == "__main__":
    server.main()
