"""Pools over real sockets: 64 connections against one server with several loops.

What is counted here is what the model promises under any concurrency: no session beyond max_usage_count, never two
holders of a lease, fences that grow, who waits is served in order, and a waiter that is gone costs no use.
"""

import collections
import selectors
import signal
import socket
import struct
import subprocess
import sys

import msgpack
import server
from server import PATIENCE, Refused, ServerTest, wait_for

CONNECTIONS = 64


class Crowd:
    """Many connections in one thread: `send` on any of them, `answers` as they come."""

    def __init__(self, test, process, count=CONNECTIONS):
        self.clients = [test.client(process) for _ in range(count)]
        self.selector = selectors.DefaultSelector()
        test.addCleanup(self.selector.close)
        for index, client in enumerate(self.clients):
            self.selector.register(client.socket, selectors.EVENT_READ, index)
        self.asked = collections.Counter()

    def send(self, index, method, *params):
        client = self.clients[index]
        client.send(client.request(method, *params))
        self.asked[index] += 1

    def answers(self):
        """(index, error, result) of the answers that have come; waits for at least one."""
        ready = self.selector.select(timeout=PATIENCE)
        assert ready, f"no answer within {PATIENCE} s; {sum(self.asked.values())} are missing"
        for key, _ in ready:
            client = self.clients[key.data]
            data = client.socket.recv(1 << 20)
            if not data:  # who is owed nothing may be told that the server ends
                assert self.asked[key.data] == 0, "the server closed a connection"
                self.selector.unregister(client.socket)
            client.unpacker.feed(data)
            for message in client.unpacker:
                self.asked[key.data] -= 1
                yield key.data, message[2], message[3]

    def is_owed(self):
        return any(self.asked.values())


def waiting_count(client, pool="p"):
    return client.call("pool.info", "crawl", pool)["waiting_count"]


class Pools(ServerTest):
    def start(self, threads=3):
        process = self.serve(f"--threads={threads}")
        return process, self.client(process)

    def test_no_session_is_handed_out_more_often_than_max_usage_count(self):
        process, client = self.start()
        sessions, limit, each = 5, 40, 50
        client.call("pool.configure", "crawl", "p", {"max_pool_size": sessions, "max_usage_count": limit})
        for number in range(sessions):
            client.call("pool.add", "crawl", "p", {"id": f"s{number}"})
        crowd, uses, exhausted = Crowd(self, process), [], 0
        for _ in range(each):
            for index in range(CONNECTIONS):
                crowd.send(index, "pool.acquire", "crawl", "p", {"create": "never", "fields": ["id", "use", "usage_count"]})
        while crowd.is_owed():
            for _, error, record in crowd.answers():
                if error:
                    self.assertEqual(error["code"], "EXHAUSTED")
                    exhausted += 1
                else:
                    self.assertLessEqual(record["usage_count"], limit)
                    uses.append((record["id"], record["use"]))
        expected = {(f"s{number}", use) for number in range(sessions) for use in range(1, limit + 1)}
        self.assertEqual(len(uses), len(expected))
        self.assertEqual(set(uses), expected)
        print(f"{CONNECTIONS * each} acquires of {CONNECTIONS} connections: {len(uses)} handed out "
              f"({sessions} sessions, {limit} times each), {exhausted} EXHAUSTED, 0 above the limit")

    def test_sessions_that_the_pool_makes_keep_their_limit_and_no_use_is_lost(self):
        process, client = self.start()
        limit, each = 3, 20
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 8, "max_usage_count": limit})
        crowd, uses = Crowd(self, process), collections.defaultdict(set)
        for _ in range(each):
            for index in range(CONNECTIONS):
                crowd.send(index, "pool.acquire", "crawl", "p", {"fields": ["id", "use"]})
        while crowd.is_owed():
            for _, error, record in crowd.answers():
                self.assertIsNone(error)
                self.assertNotIn(record["use"], uses[record["id"]])
                uses[record["id"]].add(record["use"])
        total = sum(len(numbers) for numbers in uses.values())
        self.assertEqual(total, CONNECTIONS * each)
        self.assertEqual(max(max(numbers) for numbers in uses.values()), limit)
        self.assertLessEqual(client.call("pool.info", "crawl", "p")["usable_count"], 8)
        # What the records say is what was handed out, and none is above its limit.
        told, cursor = 0, None
        while True:
            page = client.call("pool.state", "crawl", "p", {"fields": ["id", "usage_count"], "cursor": cursor})
            for record in page["sessions"]:
                self.assertEqual(record["usage_count"], len(uses[record["id"]]))
                told += record["usage_count"]
            cursor = page["cursor"]
            if cursor is None:
                break
        self.assertEqual(told, total)
        print(f"{total} uses on {len(uses)} sessions that the pool made, none above {limit}; the records say the same")

    def test_a_lease_has_one_holder_and_fences_grow(self):
        process, client = self.start()
        sessions, each = 7, 25
        client.call("pool.configure", "crawl", "p", {"max_pool_size": sessions, "max_usage_count": 1 << 40})
        crowd, holders, fences = Crowd(self, process), {}, collections.defaultdict(int)
        left = {index: each for index in range(CONNECTIONS)}
        grants = most = 0
        early = []  # holders that wait until all sessions are held at once
        ask = ("pool.acquire", "crawl", "p", {"lease_ms": 600000, "wait_ms": 60000, "fields": ["id", "use", "fence"]})
        for index in range(CONNECTIONS):
            crowd.send(index, *ask)
        held = {}
        while crowd.is_owed():
            for index, error, answer in crowd.answers():
                self.assertIsNone(error)
                if answer is True:  # of a release
                    left[index] -= 1
                    if left[index] > 0:
                        crowd.send(index, *ask)
                elif "fence" in answer:  # of an acquire: it is held until its mark is answered
                    self.assertNotIn(answer["id"], holders, "two holders")
                    self.assertGreater(answer["fence"], fences[answer["id"]])
                    fences[answer["id"]] = answer["fence"]
                    holders[answer["id"]] = index
                    held[index] = answer
                    grants, most = grants + 1, max(most, len(holders))
                    early.append(index)
                    for holder in early if most == sessions else []:
                        crowd.send(holder, "pool.mark", "crawl", held[holder]["id"], "good",
                                   {"use": held[holder]["use"], "fence": held[holder]["fence"]})
                    early = [] if most == sessions else early
                else:  # of a mark. It may be another's from the moment in which the release is sent
                    record = held.pop(index)
                    del holders[record["id"]]
                    crowd.send(index, "pool.release", "crawl", record["id"],
                               {"use": record["use"], "fence": record["fence"]})
        self.assertEqual(most, sessions)
        self.assertEqual(grants, CONNECTIONS * each)
        state = client.call("pool.state", "crawl", "p", {"fields": ["id", "usage_count"]})
        self.assertEqual(sum(record["usage_count"] for record in state["sessions"]), grants)
        self.assertLessEqual(len(state["sessions"]), sessions)
        print(f"{grants} leases on {len(state['sessions'])} sessions by {CONNECTIONS} connections, up to {most} held "
              f"at once, never two holders, {grants} uses counted")

    def test_who_waits_is_served_in_the_order_of_asking(self):
        process, client = self.start()
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1, "max_usage_count": 1 << 40})
        first = client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000})
        crowd, order = Crowd(self, process), []
        for index in range(CONNECTIONS):
            crowd.send(index, "pool.acquire", "crawl", "p", {"lease_ms": 600000, "wait_ms": 60000})
            wait_for(lambda: waiting_count(client) == index + 1, f"{index + 1} wait")
        client.call("pool.release", "crawl", first["id"], {"fence": first["fence"]})
        while len(order) < CONNECTIONS:
            for index, error, record in crowd.answers():
                self.assertIsNone(error)
                if isinstance(record, dict) and "fence" in record:
                    order.append(index)
                    crowd.send(index, "pool.mark", "crawl", record["id"], "good", {"use": record["use"]})
                    crowd.send(index, "pool.release", "crawl", record["id"], {"fence": record["fence"]})
        self.assertEqual(order, list(range(CONNECTIONS)))
        print(f"{CONNECTIONS} waiting connections on 3 loops were served in their order")

    def waiter_process(self, process):
        """Another process that waits for a session, and is ready to be killed."""
        program = ("import socket, sys, time\n"
                   "peer = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
                   "peer.sendall(bytes.fromhex(sys.argv[2]))\n"
                   "time.sleep(600)\n")
        request = msgpack.packb([0, 1, "pool.acquire", ["crawl", "p", {"wait_ms": 60000}]])
        child = subprocess.Popen([sys.executable, "-c", program, str(process.port), request.hex()])
        self.addCleanup(lambda: (child.kill(), child.wait()))
        return child

    def test_a_waiting_client_that_is_gone_costs_no_use(self):
        process, client = self.start()
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1, "max_usage_count": 1 << 40})
        held = client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000})

        child = self.waiter_process(process)
        wait_for(lambda: waiting_count(client) == 1, "the process waits")
        child.send_signal(signal.SIGKILL)
        wait_for(lambda: waiting_count(client) == 0, "the killed one waits no more")

        reset = server.Client(("127.0.0.1", process.port))
        reset.send(reset.request("pool.acquire", "crawl", "p", {"wait_ms": 60000}))
        wait_for(lambda: waiting_count(client) == 1, "the one that resets waits")
        reset.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        reset.close()
        wait_for(lambda: waiting_count(client) == 0, "the one that has reset waits no more")

        # Who ends only its own side is told.
        half = self.client(process)
        half.send(half.request("pool.acquire", "crawl", "p", {"wait_ms": 60000}))
        wait_for(lambda: waiting_count(client) == 1, "the third one waits")
        half.socket.shutdown(socket.SHUT_WR)
        self.assertEqual(half.message()[2]["code"], "BUSY")
        self.assertIsNone(half.message())

        stays = self.client(process)
        stays.send(stays.request("pool.acquire", "crawl", "p", {"wait_ms": 60000}))
        wait_for(lambda: waiting_count(client) == 1, "the last one waits")
        client.call("pool.mark", "crawl", held["id"], "good", {"use": held["use"]})
        client.call("pool.release", "crawl", held["id"], {"fence": held["fence"]})
        record = stays.message()[3]
        self.assertEqual((record["use"], record["usage_count"]), (2, 2))
        print("a killed, a reset and a half-closed waiter cost 0 uses; the one that stayed got the second")

    def test_waiters_that_are_killed_among_others_cost_no_use(self):
        process, client = self.start()
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1, "max_usage_count": 1 << 40})
        held = client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000})
        crowd = Crowd(self, process)
        for index in range(CONNECTIONS):
            crowd.send(index, "pool.acquire", "crawl", "p", {"lease_ms": 600000, "wait_ms": 60000})
        wait_for(lambda: waiting_count(client) == CONNECTIONS, "all wait")
        for index in range(0, CONNECTIONS, 2):
            crowd.selector.unregister(crowd.clients[index].socket)
            crowd.clients[index].close()
            del crowd.asked[index]
        wait_for(lambda: waiting_count(client) == CONNECTIONS // 2, "half of them wait")
        client.call("pool.mark", "crawl", held["id"], "good", {"use": held["use"]})
        client.call("pool.release", "crawl", held["id"], {"fence": held["fence"]})
        uses = []
        while len(uses) < CONNECTIONS // 2:
            for index, error, record in crowd.answers():
                self.assertIsNone(error)
                if isinstance(record, dict) and "fence" in record:
                    uses.append(record["use"])
                    crowd.send(index, "pool.mark", "crawl", record["id"], "good", {"use": record["use"]})
                    crowd.send(index, "pool.release", "crawl", record["id"], {"fence": record["fence"]})
        self.assertEqual(uses, list(range(2, CONNECTIONS // 2 + 2)))
        print(f"{CONNECTIONS // 2} of {CONNECTIONS} waiters closed: the others got uses {uses[0]} to {uses[-1]}, none was lost")

    def test_sigterm_ends_those_that_wait_with_busy(self):
        process, client = self.start()
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1})
        client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000})
        crowd = Crowd(self, process)
        for index in range(CONNECTIONS):
            crowd.send(index, "pool.acquire", "crawl", "p", {"wait_ms": 60000})
        wait_for(lambda: waiting_count(client) == CONNECTIONS, "all wait")
        process.signal(signal.SIGTERM)
        codes = collections.Counter()
        while crowd.is_owed():
            for _, error, _ in crowd.answers():
                codes[error["code"]] += 1
                self.assertGreater(error["retry_after_ms"], 0)
        self.assertEqual(codes, {"BUSY": CONNECTIONS})
        self.assertEqual(process.wait(), 0, process.log())
        self.assertNotIn("why=drain_timeout", process.log())

    def test_more_than_max_waiting_is_busy(self):
        process = self.serve("--threads=1", "--max-waiting=3", "--max-in-flight=1")
        client = self.client(process)
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1})
        client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000})
        other = self.client(process)
        other.send(b"".join(other.request("pool.acquire", "crawl", "p", {"wait_ms": 60000}) for _ in range(5)))
        refused = [other.message() for _ in range(2)]
        self.assertEqual([(message[1], message[2]["code"]) for message in refused], [(4, "BUSY"), (5, "BUSY")])
        # Those that wait are not in flight: the connection goes on.
        self.assertIn("now", other.call("server.ping"))
        self.assertEqual(waiting_count(client), 3)

    def test_max_concurrent_bounds_the_open_uses_of_all_connections(self):
        process, client = self.start()
        sessions, bound, each = 3, 4, 25
        client.call("pool.configure", "crawl", "p",
                    {"max_pool_size": sessions, "max_concurrent": bound, "max_usage_count": 1 << 40})
        crowd, is_open, held = Crowd(self, process), collections.Counter(), {}
        left = {index: each for index in range(CONNECTIONS)}
        most = 0
        early = []  # those that wait with their work until as many uses are open as may be
        for index in range(CONNECTIONS):
            crowd.send(index, "pool.acquire", "crawl", "p", {"wait_ms": 60000, "fields": ["id", "use"]})
        while crowd.is_owed():
            for index, error, answer in crowd.answers():
                self.assertIsNone(error)
                if "use" in answer:
                    held[index] = answer
                    is_open[answer["id"]] += 1
                    most = max(most, sum(is_open.values()))
                    self.assertLessEqual(is_open[answer["id"]], bound)
                    early.append(index)
                    for worker in early if most == sessions * bound else []:
                        crowd.send(worker, "session.get", "crawl", held[worker]["id"], {"fields": ["id"]})  # the work
                    early = [] if most == sessions * bound else early
                elif "id" in answer:
                    record = held.pop(index)
                    is_open[record["id"]] -= 1
                    crowd.send(index, "pool.mark", "crawl", record["id"], "good", {"use": record["use"]})
                    left[index] -= 1
                    if left[index] > 0:
                        crowd.send(index, "pool.acquire", "crawl", "p", {"wait_ms": 60000, "fields": ["id", "use"]})
        self.assertEqual(most, sessions * bound)
        state = client.call("pool.state", "crawl", "p", {"fields": ["usage_count"]})
        self.assertEqual(sum(record["usage_count"] for record in state["sessions"]), CONNECTIONS * each)
        print(f"{CONNECTIONS * each} uses, never more than {bound} open on one of {sessions} sessions, {most} at once")

    def test_a_thousand_waiters_that_do_not_read_are_handed_no_more_than_their_output_holds(self):
        process = self.serve("--threads=2", "--output-mark=64K", "--max-output=8M", "--slow-reader-timeout-ms=600000")
        client = self.client(process)
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1, "max_usage_count": 1 << 40})
        client.call("pool.add", "crawl", "p", {"id": "big", "data": b"x" * 1000000})
        held = client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000, "fields": ["use", "fence"]})
        other = self.client(process, receive_buffer=4096)
        asked = 1000
        other.send(b"".join(other.request("pool.acquire", "crawl", "p", {"wait_ms": 60000}) for _ in range(asked)))
        wait_for(lambda: waiting_count(client) == asked, "all wait")
        before = process.resident()
        client.call("pool.mark", "crawl", "big", "good", {"use": held["use"]})
        client.call("pool.release", "crawl", "big", {"fence": held["fence"]})
        wait_for(lambda: waiting_count(client) == 0, "all are answered")
        self.assert_grew_less(process, before, 40 << 20)
        codes = collections.Counter()
        for _ in range(asked):
            message = other.message()
            codes[message[2]["code"] if message[2] else "handed out"] += 1
        self.assertEqual(set(codes), {"handed out", "BUSY"})
        record = client.call("session.get", "crawl", "big", {"fields": ["usage_count"]})
        self.assertEqual(record["usage_count"], 1 + codes["handed out"], "what was not answered costs no use")
        print(f"of {asked} waiters of one connection that does not read {codes['handed out']} were handed a MB each, "
              f"{codes['BUSY']} were BUSY and cost no use")

    def test_time_over_is_exhausted(self):
        process, client = self.start()
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1})
        client.call("pool.acquire", "crawl", "p", {"lease_ms": 600000})
        with self.assertRaises(Refused) as refused:
            client.call("pool.acquire", "crawl", "p", {"wait_ms": 50})
        self.assertEqual(refused.exception.code, "EXHAUSTED")
        self.assertEqual(waiting_count(client), 0)

    def test_an_expired_lease_frees_the_session_for_who_waits(self):
        process, client = self.start()
        client.call("pool.configure", "crawl", "p", {"max_pool_size": 1})
        held = client.call("pool.acquire", "crawl", "p", {"lease_ms": 50})
        record = client.call("pool.acquire", "crawl", "p", {"wait_ms": 60000})
        self.assertEqual((record["id"], record["use"], record["usage_count"]), (held["id"], 2, 2))


if __name__ == "__main__":
    server.main()
