"""The asyncio client against a real server."""

import asyncio
import unittest
import warnings

import support
import sessiond
from sessiond import aio


class Calls(support.ServerCase, unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        asyncio.get_running_loop().slow_callback_duration = support.HANG_S  # the machine may be busy
        self.client = aio.Client(self.url(), timeout_s=support.HANG_S / 2)
        self.addAsyncCleanup(self.client.close)

    async def test_a_round_trip_and_errors(self):
        session = await self.client.session_create(user="ann", data={"cart": [3], "b": b"\xff"})
        self.assertEqual((await self.client.session_get(session["id"]))["data"], {"cart": [3], "b": b"\xff"})
        with self.assertRaises(sessiond.Exists):
            await self.client.session_create(id=session["id"])
        with self.assertRaisesRegex(sessiond.NotEncodable, r"data\['x'\] is object"):
            await self.client.session_set("s", {"x": object()})
        self.assertEqual((await self.client.server_hello())["version"], 1)

    async def test_a_thousand_calls_at_once_are_few_writes(self):
        await self.client.session_create(id="s", data={"n": 0})
        writes, write = [], self.client._live._writer.write
        self.client._live._writer.write = lambda data: (writes.append(len(data)), write(data))
        answers = await asyncio.gather(*(self.client.session_patch("s", incr={"n": 1}, timeout_s=support.HANG_S)
                                         for _ in range(1000)))
        self.assertEqual([answer["values"]["n"] for answer in answers], list(range(1, 1001)))
        self.assertLess(len(writes), 50)

    async def test_a_watch_tells_what_happens_and_ends(self):
        async with self.client.watch(kinds=["created", "destroyed"]) as events:
            await self.client.session_create(id="s")
            await self.client.session_destroy("s")
            self.assertEqual([(await events.__anext__())["kind"] for _ in range(2)], ["created", "destroyed"])
            rest = asyncio.create_task(self.all_of(events))
            await asyncio.sleep(0)
            await events.close()
            self.assertEqual(await asyncio.wait_for(rest, support.HANG_S), [])

    async def all_of(self, events):
        return [event async for event in events]

    async def test_what_an_acquire_hands_out_to_nobody_is_given_back(self):
        await self.client.pool_configure("p", {"max_pool_size": 1, "max_concurrent": 1})
        held = await self.client.pool_acquire("p")
        waiter = asyncio.create_task(self.client.pool_acquire("p", wait_ms=30_000))
        await self.client.server_ping()  # the waiter's request is behind it
        await asyncio.sleep(0.05)
        waiter.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await waiter
        await self.client.pool_release(held["id"], use=held["use"])
        again = await self.client.pool_acquire("p", wait_ms=30_000)
        self.assertEqual(again["id"], held["id"])

    async def test_a_lost_answer_is_asked_for_again_and_not_executed_twice(self):
        await self.client.session_create(id="s", data={"n": 0})
        proxy = support.LossyProxy(self.server.port, b"session.patch")
        self.addCleanup(proxy.close)
        async with aio.Client(proxy.url(), timeout_s=support.HANG_S) as client:
            answer = await client.session_patch("s", incr={"n": 1}, namespace=self.id().rpartition(".")[2][:60])
        self.assertEqual((answer["values"], proxy.cuts), ({"n": 1}, 0))

    async def test_a_silent_server_is_a_timeout_and_others_are_named(self):
        for serve, error, cause in [
            (lambda connection: connection.recv(1000) and connection.recv(1), sessiond.TimedOut, "did not answer"),
            (lambda connection: (connection.recv(99), connection.sendall(b"HTTP/1.1 400\r\n"), connection.recv(99)), sessiond.NotSessiond, "not a sessiond"),
            (lambda connection: connection.close(), sessiond.ConnectionFailed, "broke"),
        ]:
            impostor = support.Impostor(serve)
            self.addCleanup(impostor.close)
            timeout_s = {sessiond.TimedOut: 0.5, sessiond.ConnectionFailed: 3}.get(error, support.HANG_S)
            async with aio.Client(impostor.url(), timeout_s=timeout_s) as client:
                with self.assertRaisesRegex(error, cause):
                    await client.server_ping()

    async def test_a_closed_client_says_so_also_to_who_waits(self):
        await self.client.pool_configure("p", {"max_pool_size": 0})
        waiter = asyncio.create_task(self.client.pool_acquire("p", wait_ms=30_000))
        await self.client.server_ping()
        await self.client.close()
        with self.assertRaises(sessiond.Closed):
            await waiter
        with self.assertRaises(sessiond.Closed):
            await self.client.server_ping()


class Loops(support.ServerCase):
    def test_one_client_in_two_loops(self):
        warnings.simplefilter("ignore", ResourceWarning)  # of the first loop, which ended over the connection
        client = aio.Client(self.url(), timeout_s=support.HANG_S)
        for _ in range(2):
            self.assertIn("now", asyncio.run(client.server_ping()))
        asyncio.run(client.close())


if __name__ == "__main__":
    unittest.main()
