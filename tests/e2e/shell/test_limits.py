"""Connections at their limits: too many, silent, idle, slow, and what each costs."""

import multiprocessing
import resource
import select
import signal
import socket
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import msgpack
import server
from server import Client, ServerTest, wait_for


def flood(client, requests):
    """Sends without ever reading, as far as the socket takes it."""
    client.socket.settimeout(0.2)
    try:
        for request in requests:
            client.socket.sendall(request)
    except (TimeoutError, OSError):
        pass
    client.socket.settimeout(server.PATIENCE)


class MaxConnections(ServerTest):
    def test_healthy_clients_succeed_in_a_table_full_of_silent_strangers(self):
        for threads in (1, 3):
            process = self.serve(f"--threads={threads}", "--max-connections=50")
            strangers = [self.client(process) for _ in range(80)]
            for _ in range(200):
                self.assert_serves(process)
            stats = process.stats()
            self.assertLessEqual(stats["connections"], 51)
            self.assertGreaterEqual(stats["evicted_connections_total"], 30)
            self.assertEqual(stats["refused_connections_total"], 0)
            self.assertTrue(strangers[0].is_closed())
            self.assertFalse(strangers[-1].is_closed())
            self.assert_ends_well(process)

    def test_one_more_than_all_that_have_spoken_is_told_BUSY_and_closed(self):
        for threads in (1, 2):
            process = self.serve(f"--threads={threads}", "--max-connections=10")
            spoken = [self.client(process) for _ in range(10)]
            for client in spoken:
                client.call("server.ping")
            late = self.client(process)
            message = late.message()
            self.assertEqual((message[0], message[1], message[3]), (1, 0, None))
            self.assertEqual(message[2]["code"], "BUSY")
            self.assertGreater(message[2]["retry_after_ms"], 0)
            self.assertIsNone(late.message())
            self.assertIn("event=connection_refused", process.log())
            for client in spoken:
                client.call("server.ping")
            spoken[0].close()
            wait_for(lambda: spoken[1].call("server.stats")["connections"] == 9, "the place is free")
            self.assert_serves(process)
            self.assertEqual(spoken[1].call("server.stats")["refused_connections_total"], 1)

    def test_is_lowered_to_what_the_system_allows_and_says_so(self):
        process = self.serve("--max-connections=5000", "--threads=1", files=900)
        with process.client() as client:
            allowed = client.call("server.info")["max_connections"]
        if resource.getrlimit(resource.RLIMIT_NOFILE)[1] > 900 and allowed == 5000:
            return  # a privileged process raised its own limit
        self.assertLess(allowed, 900)
        self.assertIn(f"event=max_connections_lowered asked=5000 allowed={allowed}", process.log())

    def test_leaves_no_descriptor_behind(self):
        process = self.serve("--threads=2")
        with process.client() as first, process.client() as second:  # each loop has had one
            first.call("server.ping")
            second.call("server.ping")
        before = process.file_count()
        for _ in range(300):
            self.assert_serves(process)
        wait_for(lambda: process.file_count() <= before, "all sockets are closed")


class Balance(ServerTest):
    def test_each_loop_has_its_share_of_the_connections(self):
        process = self.serve("--threads=3")
        clients = [self.client(process) for _ in range(10)]
        for client in clients:
            client.call("server.ping")
        shares = clients[0].call("server.info")["connections_by_loop"]
        self.assertEqual(sorted(shares), [3, 3, 4])
        for client in clients[1:]:
            client.close()
        wait_for(lambda: sum(clients[0].call("server.info")["connections_by_loop"]) == 1, "the others are gone")


class Descriptors(ServerTest):
    def test_running_out_of_them_stops_accepting_and_nothing_else(self):
        process = self.serve("--threads=1")
        first = self.client(process)
        first.call("server.ping")
        everything = resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, (process.file_count() + 2, everything[1]))
        waiting = [self.client(process) for _ in range(10)]
        process.wait_for_log("event=accept_failed")
        for _ in range(100):
            first.call("server.ping")
        resource.prlimit(process.process.pid, resource.RLIMIT_NOFILE, everything)
        for client in waiting:
            client.call("server.ping")


class Timeouts(ServerTest):
    def test_who_never_speaks_is_closed_and_who_spoke_is_not(self):
        with tempfile.NamedTemporaryFile("w", prefix="sessiond_config_") as config:
            process = self.serve("--config", config.name, "--threads=1")
            spoken = self.client(process)
            spoken.call("server.ping")
            silent, half = self.client(process), self.client(process)
            half.send(half.request("server.ping")[:-1])
            # Only now, so that no slow machine has the one who is to speak say it too late.
            config.write("handshake_timeout_ms = 100\n")
            config.flush()
            process.signal(signal.SIGHUP)
            process.wait_for_log("option=handshake_timeout_ms")
        wait_for(lambda: silent.is_closed() and half.is_closed(), "the silent are closed")
        stats = spoken.call("server.stats")
        self.assertEqual((stats["connections"], stats["timed_out_total"]), (1, 2))
        self.assertIn("why=handshake_timeout", process.log())

    def idle_is_closed(self, timeout_ms):
        """False: the machine had the busy one be idle, too."""
        process = self.serve(f"--connection-idle-timeout-ms={timeout_ms}", "--threads=1")
        idle, busy = self.client(process), self.client(process)
        idle.call("server.ping")
        spoke_at = time.monotonic()
        while not idle.is_closed():
            began = time.monotonic()
            try:
                busy.call("server.ping")
            except (AssertionError, OSError):
                self.assertGreaterEqual(time.monotonic() - spoke_at, timeout_ms / 1000, "it was cut though it spoke")
                return False
            spoke_at = began
            time.sleep(0.005)
        self.assertIn("why=connection_idle_timeout", process.log())
        return True

    def test_who_is_idle_for_too_long_is_closed(self):
        self.assertTrue(any(self.idle_is_closed(timeout_ms) for timeout_ms in (1500, 6000, 24000)))


class SlowReaders(ServerTest):
    def test_are_cut_while_others_are_served(self):
        # Half a second holds dozens of answers, where nothing else wants the processor.
        self.assertTrue(any(self.served_until_cut(timeout_ms) > 2 for timeout_ms in (500, 2000, 8000)))

    def served_until_cut(self, timeout_ms):
        process = self.serve(f"--slow-reader-timeout-ms={timeout_ms}", "--threads=1")
        slow, healthy = self.client(process), self.client(process)
        flood(slow, [slow.big_requests(3000)])
        served = 0

        def is_cut():
            nonlocal served
            stats = healthy.call("server.stats")
            served += stats["slow_readers_total"] == 0
            return stats["slow_readers_total"] == 1

        wait_for(is_cut, "the slow reader is cut")
        self.assertIn("why=slow_reader", process.log())
        self.assertEqual(healthy.call("server.stats")["connections"], 1)
        return served

    def read_steadily(self, timeout, count):
        """False: the machine had this reader read as little as a slow one."""
        process = self.serve(f"--slow-reader-timeout-ms={timeout * 1000}", "--threads=1")
        steady = self.client(process, receive_buffer=65536)
        steady.send(steady.big_requests(count))
        # When each of the last ones came. A megabyte, since the system tells the server that a socket takes bytes again
        # only when a third of its buffer is free.
        window = [time.monotonic()] * 250
        end = window[0] + 2.5 * timeout
        for number in range(count):
            try:
                message = steady.message()
            except ConnectionError:
                message = None
            now = time.monotonic()
            window = window[1:] + [now]
            if now - window[0] > timeout / 2:
                return False
            self.assertIsNotNone(message, "it was cut though it read")
            self.assertEqual(message[1], number + 2)
            if number < count // 2 and now < end:
                time.sleep(0.001)
        self.assertEqual(steady.call("server.stats")["slow_readers_total"], 0)
        return True

    def test_who_reads_slowly_but_steadily_is_not_cut_and_misses_nothing(self):
        if not any(self.read_steadily(timeout, 4000 * timeout) for timeout in (1, 2, 4, 8)):
            self.skipTest("the machine stood still for seconds each time, so this reader was a slow one")

    def test_who_never_reads_costs_no_more_than_the_output_mark_and_an_answer(self):
        process = self.serve("--threads=1", "--output-mark=64K", "--slow-reader-timeout-ms=60000")
        before = process.resident()
        readers = [self.client(process, receive_buffer=4096) for _ in range(50)]
        with ThreadPoolExecutor(len(readers)) as at_once:
            list(at_once.map(lambda reader: flood(reader, [reader.big_requests(1000)]), readers))
        self.assert_serves(process)
        # Output to the mark and an answer, one read that waits, and what the buffers' growth rounds up.
        self.assert_grew_less(process, before, len(readers) * 512 * 1024)

    def test_who_lets_output_grow_above_max_output_is_cut(self):
        """Answers larger than what the options say can only come from sessions that were set under larger ones."""
        with tempfile.NamedTemporaryFile("w", prefix="sessiond_config_") as config:
            process = self.serve("--config", config.name, "--threads=1", "--slow-reader-timeout-ms=600000")
            writer = self.client(process)
            writer.call("session.set", "web", "s", {"data": "x" * 1_000_000})
            config.write("max_frame = 64K\noutput_mark = 64K\nmax_output = 132K\n")
            config.flush()
            process.signal(signal.SIGHUP)
            process.wait_for_log("option=max_output")
        greedy = self.client(process, receive_buffer=4096)
        greedy.send(b"".join(greedy.request("session.get", "web", "s") for _ in range(20)))
        wait_for(lambda: writer.call("server.stats")["slow_readers_total"] == 1, "it is cut")
        self.assertIn("why=max_output", process.log())


def flood_for_ever(process):
    """Sends as fast as it can, and reads what comes."""
    with process.client() as greedy:
        burst = b"".join(greedy.request("session.set", "web", f"s{i}", "x" * 100) for i in range(500))
        greedy.socket.setblocking(False)
        to_send = b""
        while True:
            readable, writable, _ = select.select([greedy.socket], [greedy.socket], [])
            if readable:
                greedy.socket.recv(1 << 20)
            if writable:
                to_send = to_send or burst
                to_send = to_send[greedy.socket.send(to_send):]


class HalfClose(ServerTest):
    def test_who_sends_no_more_still_gets_every_answer(self):
        process = self.serve()
        client = self.client(process)
        count = 2000
        client.send(client.big_requests(count) + b"\x94")
        client.socket.shutdown(socket.SHUT_WR)
        for i in range(count):
            self.assertEqual(client.message()[1], i + 2)
        self.assertIsNone(client.message())
        wait_for(lambda: process.stats()["connections"] == 1, "it is closed")


class Fairness(ServerTest):
    def test_a_flood_from_one_connection_does_not_hold_up_another(self):
        # Where this process stands still, the server works on what the flood has in flight: then it counts for nothing.
        self.assertTrue(any(self.worst_beside_a_flood() < 0.5 for _ in range(3)))

    def worst_beside_a_flood(self):
        """Seconds that the server computed at most for one answer: others on the machine do not count."""
        process = self.serve("--threads=1")
        greedy, healthy = self.client(process), self.client(process)
        burst = b"".join(msgpack.packb([0, i, "server.ping", []]) for i in range(20000))
        greedy.socket.setblocking(False)
        to_send, worst, calls = b"", 0, 0
        end = time.monotonic() + server.PATIENCE
        while calls < 200 and time.monotonic() < end:
            readable, writable, _ = select.select([greedy.socket], [greedy.socket], [], 0)
            if readable:
                greedy.socket.recv(1 << 20)
            if writable:
                to_send = to_send or burst
                to_send = to_send[greedy.socket.send(to_send):]
            began = process.cpu_seconds()
            healthy.call("server.ping")
            worst, calls = max(worst, process.cpu_seconds() - began), calls + 1
        self.assertEqual(calls, 200)
        return worst

    def test_floods_that_never_pause_do_not_hold_up_another(self):
        for flood_count in (1, 4):
            passes = any(self.worst_beside_floods(flood_count) < 0.3 for _ in range(3))
            self.assertTrue(passes, f"{flood_count} floods")

    def worst_beside_floods(self, flood_count):
        """As above, but of processes of their own, which do not wait for this one's answers."""
        process = self.serve("--threads=1")
        healthy, worst = self.client(process), 0
        healthy.call("server.ping")
        floods = [multiprocessing.get_context("fork").Process(target=flood_for_ever, args=(process,), daemon=True)
                  for _ in range(flood_count)]
        for one in floods:
            one.start()
        try:
            end = time.monotonic() + 2
            while time.monotonic() < end:
                began = process.cpu_seconds()
                healthy.call("server.ping")
                worst = max(worst, process.cpu_seconds() - began)
            self.assertGreater(healthy.call("server.stats")["replaced_total"], 0)
        finally:
            for one in floods:
                one.kill()
                one.join()
        return worst


class Idle(ServerTest):
    def test_an_idle_connection_costs_at_most_4_KiB(self):
        count = 3000
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if hard < count + 200:
            self.skipTest(f"only {hard} files may be open")
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 200), hard))
        process = self.serve("--threads=2", "--handshake-timeout-ms=0")
        for _ in range(20):
            self.assert_serves(process)
        before = process.resident()
        clients = [Client(("127.0.0.1", process.port)) for _ in range(count)]
        for client in clients:
            client.call("server.ping")
        print(f"{(process.resident() - before) / count:.0f} bytes for each idle connection")
        self.assert_grew_less(process, before, count * 4096)
        for client in clients:
            client.close()


if __name__ == "__main__":
    server.main()
