"""The blocking client against a real server, and what it meets instead of one."""

import os
import pickle
import threading
import unittest

import support
import msgpack
import sessiond

HELLO_REPLY = {"server": "sessiond 9", "version": 1, "namespace": None, "now": 1, "features": [], "limits": {}, "methods": {}}


class Urls(unittest.TestCase):
    def test_what_is_understood(self):
        from sessiond._url import parse_url
        for url, addresses, namespace in [
            ("sessiond://host", [("host", 7420)], None),
            ("sessiond://host/", [("host", 7420)], None),
            ("sessiond://a:1,b,[::1]:3/web", [("a", 1), ("b", 7420), ("::1", 3)], "web"),
            ("sessiond://h?namespace=n%2Fm", [("h", 7420)], "n/m"),
            ("sessiond://h/%C3%A9", [("h", 7420)], "é"),
            ("sessiond+unix:///run/s%20x", ["/run/s x"], None),
            ("sessiond+unix:///run/s?namespace=web", ["/run/s"], "web"),
        ]:
            self.assertEqual(parse_url(url), (addresses, namespace), url)

    def test_what_is_refused(self):
        for url, cause in [
            ("redis://h", "server's URL is"), ("", "server's URL is"), ("localhost:7420", "server's URL is"),
            (None, "NoneType"), ("sessionds://h", "TLS"), ("sessiond://", "no host"), ("sessiond:///web", "no host"),
            ("sessiond://a,,b", "no host"), ("sessiond://" + "h" * 70, "cannot be a host"), ("sessiond://a..b", "cannot be a host"), ("sessiond://h:0/", "1 to 65535"), ("sessiond://h:x", "1 to 65535"),
            ("sessiond://h:65536", "1 to 65535"), ("sessiond://::1/web", "IPv6"), ("sessiond://u:p@h", "TLS"),
            ("sessiond://h/a/b", "%2F"), ("sessiond://h/a#b", "%2F"), ("sessiond://h?db=1", "namespace=name"),
            ("sessiond://h/%zz", "%25"), ("sessiond://h/%ff", "UTF-8"), ("sessiond://h/" + "n" * 65, "64 bytes"),
            ("sessiond+unix://run/s", "begin with /"), ("sessiond+unix:///" + "p" * 120, "107 bytes"),
        ]:
            with self.assertRaisesRegex(sessiond.InvalidURL, cause, msg=url):
                sessiond.Client(url)


class Calls(support.ServerCase):
    def setUp(self):
        self.client = sessiond.Client(self.url(), timeout_s=support.HANG_S / 2)  # the machine may be busy
        self.addCleanup(self.client.close)

    def test_a_round_trip_keeps_every_type(self):
        data = {"int": 2**63, "float": 2.0, "text": "é", "bytes": b"\xff\0", "list": [1, [None, True]], 7: {"deep": {}},
                "ext": msgpack.ExtType(5, b"x"), "time": msgpack.Timestamp(1, 2)}
        session = self.client.session_create(user="ann", data=data)
        got = self.client.session_get(session["id"])
        self.assertEqual(got["data"], data)
        self.assertIsInstance(got["data"]["float"], float)

    def test_none_and_left_out_are_two_things(self):
        self.client.session_create(id="s", user="ann")
        self.client.session_set("s", {"a": 1})
        self.assertEqual(self.client.session_get("s")["user"], "ann")
        self.client.session_set("s", {"a": 1}, user=None)
        self.assertNotIn("user", self.client.session_get("s"))

    def test_errors_have_a_class_and_details(self):
        version = self.client.session_create(id="s")["version"]
        with self.assertRaises(sessiond.Exists) as caught:
            self.client.session_create(id="s")
        self.assertEqual((caught.exception.code, caught.exception.version), ("EXISTS", version))
        again = pickle.loads(pickle.dumps(caught.exception))
        self.assertEqual((type(again), str(again)), (sessiond.Exists, str(caught.exception)))
        self.client.session_destroy("s")
        with self.assertRaises(sessiond.Gone):
            self.client.session_set("s", {})

    def test_a_pipeline_answers_each_call_for_itself(self):
        with self.client.pipeline() as pipeline:
            made = pipeline.session_create(id="s", data={})
            twice = pipeline.session_create(id="s")
            counts = [pipeline.session_patch("s", incr={"n": 1}) for _ in range(500)]
            with self.assertRaises(RuntimeError):
                made.result()
        self.assertEqual(made.result()["id"], "s")
        with self.assertRaises(sessiond.Exists):
            twice.result()
        self.assertEqual([count.result()["values"]["n"] for count in counts], list(range(1, 501)))

    def test_a_pipeline_larger_than_the_sockets_buffers(self):
        self.client.session_create(id="s", data={"x": "y" * 200_000})
        with self.client.pipeline(timeout_s=support.HANG_S) as pipeline:
            replies = [pipeline.session_get("s") for _ in range(100)]
            sets = [pipeline.session_set("s", {"x": "z" * 100_000}) for _ in range(100)]
        self.assertEqual({len(reply.result()["data"]["x"]) for reply in replies}, {200_000})
        self.assertTrue(all(one.result()["version"] for one in sets))

    def test_many_threads_share_a_client(self):
        self.client.session_create(id="s", data={"n": 0})
        threads = [threading.Thread(target=lambda: [self.client.session_patch("s", incr={"n": 1}, timeout_s=support.HANG_S)
                                                    for _ in range(50)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(support.HANG_S)
        self.assertEqual(self.client.session_get("s")["data"]["n"], 400)

    def test_a_fork_has_connections_of_its_own(self):
        self.client.session_create(id="s", data={"n": 0})
        child = os.fork()
        if child == 0:
            code = 1
            try:
                for _ in range(200):
                    self.client.session_patch("s", incr={"n": 1})
                code = 0
            finally:
                os._exit(code)
        got = [self.client.session_patch("s", incr={"n": 1})["values"]["n"] for _ in range(200)]
        self.assertEqual(os.waitpid(child, 0)[1], 0)
        self.assertEqual(sorted(set(got)), got)
        self.assertEqual(self.client.session_get("s")["data"]["n"], 400)

    def test_a_watch_tells_what_happens_and_ends(self):
        seen = []
        with self.client.watch(kinds=["created", "destroyed"], user="ann") as events:
            reader = threading.Thread(target=lambda: seen.extend(event["kind"] for event in events))
            self.client.session_create(id="s", user="ann")
            self.client.session_create(id="t", user="bob")
            self.client.session_destroy("s")
            self.assertEqual([next(events)["kind"] for _ in range(2)], ["created", "destroyed"])
            reader.start()
            events.close()
            reader.join(support.HANG_S)
            self.assertFalse(reader.is_alive())
        self.assertEqual(seen, [])

    def test_an_acquire_waits_longer_than_the_timeout(self):
        with sessiond.Client(self.url(), timeout_s=0.3) as client:
            self.client.pool_configure("p", {"max_pool_size": 1, "max_concurrent": 1})
            held = self.client.pool_acquire("p")
            freed = threading.Timer(0.6, lambda: self.client.pool_release(held["id"], use=held["use"]))
            freed.start()
            self.assertEqual(client.pool_acquire("p", wait_ms=30_000)["id"], held["id"])
            freed.join()

    def test_a_unix_socket(self):
        with sessiond.Client(f"sessiond+unix://{self.server.socket_path}?namespace=unix", timeout_s=support.HANG_S) as client:
            client.session_create(id="s")
            self.assertEqual(self.client.session_get("s", namespace="unix")["id"], "s")

    def test_the_second_host_where_the_first_is_not_there(self):
        with sessiond.Client(f"sessiond://127.0.0.1:1,127.0.0.1:{self.server.port}/web", timeout_s=support.HANG_S) as client:
            self.assertIn("now", client.server_ping())

    def test_a_lost_answer_is_asked_for_again_and_not_executed_twice(self):
        self.client.session_create(id="s", data={"n": 0})
        proxy = support.LossyProxy(self.server.port, b"session.patch")
        self.addCleanup(proxy.close)
        with sessiond.Client(proxy.url(), timeout_s=support.HANG_S) as client:
            namespace = self.id().rpartition(".")[2][:60]
            self.assertEqual(client.session_patch("s", incr={"n": 1}, namespace=namespace)["values"], {"n": 1})
        self.assertEqual((proxy.cuts, self.client.session_get("s")["data"]["n"]), (0, 1))

    def test_a_lost_answer_is_an_error_where_writes_are_not_repeated(self):
        self.client.session_create(id="s", data={"n": 0})
        proxy = support.LossyProxy(self.server.port, b"session.patch")
        self.addCleanup(proxy.close)
        with sessiond.Client(proxy.url(), repeat_writes=False, timeout_s=support.HANG_S) as client:
            with self.assertRaises(sessiond.ConnectionFailed) as caught:
                client.session_patch("s", incr={"n": 1}, namespace=self.id().rpartition(".")[2][:60])
        self.assertTrue(caught.exception.may_be_executed)

    def test_values_that_cannot_be_encoded_are_named(self):
        loop = []
        loop.append(loop)
        for value, cause in [({"cart": [1, {"x": {1, 2}}]}, r"data\['cart'\]\[1\]\['x'\] is set"), (object(), "data is object"),
                             ({"n": 2**64}, r"data\['n'\] is int"), ({"t": "\ud800"}, r"data\['t'\] is str"),
                             ({object(): 1}, "a key of data is object"), (loop, "nested too deeply")]:
            with self.assertRaisesRegex(sessiond.NotEncodable, "session.set: .*" + cause):
                self.client.session_set("s", value)
        with self.assertRaises(sessiond.TooBig) as caught:
            self.client.session_set("s", "x" * 3_000_000)
        self.assertEqual(caught.exception.limit, 2 * 1024 * 1024)
        with self.assertRaises(sessiond.TooBig):  # the server's own word
            self.client.session_set("s", "x" * 1_500_000)
        for timeout_s in (0, -1, "2", True, float("nan")):
            with self.assertRaisesRegex(ValueError, "timeout_s"):
                self.client.server_ping(timeout_s=timeout_s)

    def test_what_python_cannot_hold_is_an_error_and_not_the_end(self):
        self.client.session_set("s", {(1, 2): "a key that is a list"}, mode="upsert")
        with self.assertRaisesRegex(sessiond.NotDecodable, "fewer fields"):
            self.client.session_get("s")
        self.assertEqual(self.client.session_get("s", fields=["id"]), {"id": "s"})

    def test_a_closed_client_says_so(self):
        self.client.close()
        with self.assertRaises(sessiond.Closed):
            self.client.server_ping()


class Impostors(unittest.TestCase):
    def meet(self, serve, error, cause, timeout_s=support.HANG_S):
        impostor = support.Impostor(serve)
        self.addCleanup(impostor.close)
        with sessiond.Client(impostor.url(), timeout_s=timeout_s) as client:
            with self.assertRaisesRegex(error, cause):
                client.server_ping()

    def test_nothing_listens(self):
        with sessiond.Client("sessiond://127.0.0.1:1/web", timeout_s=0.3) as client:
            with self.assertRaisesRegex(sessiond.ConnectionFailed, "Is the server running"):
                client.server_ping()
        with sessiond.Client("sessiond+unix:///nowhere/at/all", timeout_s=0.3) as client:
            with self.assertRaisesRegex(sessiond.ConnectionFailed, "unix:/nowhere"):
                client.server_ping()

    def test_other_servers(self):
        for words in (b"HTTP/1.1 400 Bad Request\r\n\r\n", b"-ERR unknown command\r\n", b"SSH-2.0-OpenSSH\r\n", b"\xc1\xc1", b"\x93\1\2\3"):
            self.meet(lambda connection: (connection.recv(100), connection.sendall(words), connection.recv(100)), sessiond.NotSessiond, "not a sessiond")

    def test_one_that_closes(self):
        self.meet(lambda connection: connection.close(), sessiond.ConnectionFailed, "is it a sessiond|broke", 3)

    def test_one_that_is_silent(self):
        self.meet(lambda connection: connection.recv(1000) and connection.recv(1), sessiond.TimedOut, "did not answer", 0.3)

    def test_one_that_is_silent_after_hello(self):
        def serve(connection):
            hello = msgpack.unpackb(connection.recv(1000))
            connection.sendall(msgpack.packb([1, hello[1], None, HELLO_REPLY]))
            connection.recv(1000)
            connection.recv(1)
        self.meet(serve, sessiond.TimedOut, "server.ping: no answer within 1 s", 1)

    def test_another_version(self):
        def serve(reply, error):
            return lambda connection: (connection.sendall(msgpack.packb([1, msgpack.unpackb(connection.recv(1000))[1], error, reply])),
                                       connection.recv(1))
        self.meet(serve({**HELLO_REPLY, "version": 2}, None), sessiond.WrongVersion, "speaks version 2")
        self.meet(serve(None, {"code": "BAD_REQUEST", "message": "This server speaks version 2 of the protocol only."}), sessiond.WrongVersion, "version 2")
        self.meet(serve({"pong": 1}, None), sessiond.NotSessiond, "not a sessiond")


if __name__ == "__main__":
    unittest.main()
