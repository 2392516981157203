"""A server that is killed and started again under its clients: each call succeeds or says why not, and none hangs."""

import asyncio
import signal
import threading
import time
import unittest
import unittest.mock

import support
import sessiond
from sessiond import aio

ROUNDS = 6 if support.IS_FULL else 2


class Worker(threading.Thread):
    """Counts in a session of its own until it is told to stop."""

    def __init__(self, client, name):
        super().__init__(daemon=True)
        self.client, self.id, self.is_over = client, name, threading.Event()
        self.acknowledged, self.newest, self.errors, self.wrong = 0, 0, [], []

    def run(self):
        while not self.is_over.is_set():
            try:
                self.newest = self.client.session_patch(self.id, incr={"n": 1}, create=True)["values"]["n"]
                self.acknowledged += 1
                if self.newest < self.acknowledged:
                    self.wrong.append(f"{self.id}: {self.acknowledged} were acknowledged, {self.newest} are there")
            except sessiond.SessiondError as error:
                self.errors.append(error)
            except Exception as error:
                self.wrong.append(repr(error))


class Kill(unittest.TestCase):
    def setUp(self):
        self.server = support.Server()
        self.addCleanup(self.server.stop)

    def test_threads(self):
        client = sessiond.Client(self.server.url(), timeout_s=0.5)
        self.addCleanup(client.close)
        workers = [Worker(client, f"s{i}") for i in range(3)]
        for worker in workers:
            worker.start()
        for down_s in [0.1, 1.0] * (ROUNDS // 2):  # within a call's time, and beyond it
            time.sleep(0.2)
            self.server.kill()
            time.sleep(down_s)
            self.server.start()
        time.sleep(0.2)
        ends = time.monotonic() + support.HANG_S
        while not all(worker.acknowledged for worker in workers) and time.monotonic() < ends:
            time.sleep(0.01)
        for worker in workers:
            worker.is_over.set()
            worker.join(support.HANG_S)
            self.assertFalse(worker.is_alive(), "a call hangs")
            self.assertEqual(worker.wrong, [])
            for error in worker.errors:
                self.assertIsInstance(error, (sessiond.ConnectionFailed, sessiond.TimedOut, sessiond.Busy))
                self.assertTrue(str(error))
            self.assertGreater(worker.acknowledged, 0)
            kept = client.session_get(worker.id, timeout_s=support.HANG_S)["data"]["n"]
            self.assertGreaterEqual(kept, worker.acknowledged)
        self.assertTrue(any(worker.errors for worker in workers), "a server that is down beyond a call's time was not noticed")

    def test_a_pipeline_over_a_restart(self):
        client = sessiond.Client(self.server.url(), timeout_s=support.HANG_S)
        self.addCleanup(client.close)
        client.session_create(id="s")
        self.server.kill()
        restart = threading.Timer(0.3, self.server.start)
        restart.start()
        with client.pipeline() as pipeline:
            replies = [pipeline.session_get("s") for _ in range(10)]
        restart.join()
        self.assertEqual({reply.result()["id"] for reply in replies}, {"s"})

    def test_a_watch_goes_on_and_says_that_events_may_be_missing(self):
        client = sessiond.Client(self.server.url(), timeout_s=support.HANG_S)
        self.addCleanup(client.close)
        with client.watch() as events:
            client.session_create(id="s")
            self.assertEqual(next(events)["kind"], "created")
            self.server.kill()
            self.server.start()
            self.assertEqual(next(events), {"kind": "reconnected"})
            client.session_destroy("s")
            self.assertEqual(next(events)["kind"], "destroyed")

    def begun(self, watch):
        """What watch() answers; a client with little time may have to begin more than once."""
        ends = time.monotonic() + support.HANG_S
        while True:
            try:
                return watch()
            except sessiond.TimedOut:
                if time.monotonic() > ends:
                    raise

    def test_a_watch_gives_up(self):
        client = sessiond.Client(self.server.url(), timeout_s=0.3)
        self.addCleanup(client.close)
        with self.begun(lambda: client.watch(reconnect_s=0.5)) as events:
            self.server.kill()
            with self.assertRaises(sessiond.ConnectionFailed):
                next(events)
        self.server.start()

    def hang_until_connected_to(self, client):
        """Stops the server's process, which keeps its connections and says nothing, until the client has made
        another in vain and makes a third."""
        open_one, times = client._open, []

        def open_and_wake(deadline):
            times.append(deadline)
            if len(times) == 2:
                self.server.process.send_signal(signal.SIGCONT)
            return open_one(deadline)
        client._open = open_and_wake
        self.server.process.send_signal(signal.SIGSTOP)

    def test_a_watch_on_a_server_that_hangs(self):
        client = sessiond.Client(self.server.url(), timeout_s=0.3)
        self.addCleanup(client.close)
        with unittest.mock.patch("sessiond.client.WATCH_IDLE_S", 0.05), self.begun(client.watch) as events:
            client.session_create(id="s", timeout_s=support.HANG_S)
            self.assertEqual(next(events)["kind"], "created")
            self.hang_until_connected_to(client)
            self.assertEqual(next(events), {"kind": "reconnected"})

    def test_an_asyncio_watch_on_a_server_that_hangs(self):
        async def watch():
            async with aio.Client(self.server.url(), timeout_s=0.3) as client:
                while True:
                    events = client.watch()
                    try:
                        await events.__aenter__()
                        break
                    except sessiond.TimedOut:
                        await events.close()  # on a busy machine
                self.hang_until_connected_to(client)
                self.assertEqual(await asyncio.wait_for(events.__anext__(), support.HANG_S), {"kind": "reconnected"})
                self.assertIn("now", await client.server_ping(timeout_s=support.HANG_S))
                await events.close()
        with unittest.mock.patch("sessiond.aio.WATCH_IDLE_S", 0.05):
            asyncio.run(watch())

    def test_a_call_to_a_server_that_hangs(self):
        client = sessiond.Client(self.server.url(), timeout_s=support.HANG_S)
        self.addCleanup(client.close)
        client.server_ping()
        self.server.process.send_signal(signal.SIGSTOP)
        with self.assertRaisesRegex(sessiond.TimedOut, "server.ping: no answer within 0.2 s"):
            client.server_ping(timeout_s=0.2)
        self.server.process.send_signal(signal.SIGCONT)
        self.assertIn("now", client.server_ping())

    def test_asyncio(self):
        asyncio.run(self.tasks())

    async def tasks(self):
        errors, counted, is_over = [], set(), False

        async def work(name):
            acknowledged = 0
            while not is_over:
                try:
                    answer = await client.session_patch(name, incr={"n": 1}, create=True)
                    acknowledged += 1
                    counted.add(name)
                    self.assertGreaterEqual(answer["values"]["n"], acknowledged)
                except sessiond.SessiondError as error:
                    self.assertIsInstance(error, (sessiond.ConnectionFailed, sessiond.TimedOut, sessiond.Busy))
                    errors.append(error)
                await asyncio.sleep(0.001)
            return acknowledged

        async with aio.Client(self.server.url(), timeout_s=0.5) as client:
            async with client.watch() as events:
                workers = [asyncio.create_task(work(f"a{i}")) for i in range(10)]
                for down_s in [0.1, 1.0] * (ROUNDS // 2):
                    await asyncio.sleep(0.2)
                    self.server.kill()
                    await asyncio.sleep(down_s)
                    await asyncio.to_thread(self.server.start)
                await asyncio.sleep(0.2)
                ends = time.monotonic() + support.HANG_S
                while len(counted) < len(workers) and time.monotonic() < ends:
                    await asyncio.sleep(0.01)
                is_over = True
                counts = await asyncio.wait_for(asyncio.gather(*workers), support.HANG_S)
                self.assertTrue(all(counts) and errors)
                for i, count in enumerate(counts):
                    self.assertGreaterEqual((await client.session_get(f"a{i}", timeout_s=support.HANG_S))["data"]["n"], count)
                kinds = set()
                while "reconnected" not in kinds:
                    kinds.add((await asyncio.wait_for(events.__anext__(), support.HANG_S))["kind"])


if __name__ == "__main__":
    unittest.main()
