"""SIGTERM drains, a second one ends at once, SIGHUP reads the file again, SIGPIPE is nothing."""

import os
import signal
import tempfile
import time

import server
from server import ServerTest, wait_for

# So many answers of 4 KB, unread, are far more than a socket's buffers hold.
UNREAD = 4000


def fill_with_unread_answers(client):
    """Asks for megabytes of answers without reading one; returns how many were asked for."""
    client.send(client.big_requests(UNREAD))
    return UNREAD


def wait_until_stuck(process):
    """Until the reader's requests wait for its reading, and not only for the next round of the loop."""
    executed = []

    def is_stuck():
        stats = process.stats()
        executed.append(stats["requests_total"] - len(executed))  # those that asked are no progress
        return stats["pauses_total"] > 0 and len(executed) >= 20 and len(set(executed[-20:])) == 1

    wait_for(is_stuck, "output above the mark that goes no further")


class Drain(ServerTest):
    def test_closes_idle_connections_and_ends_with_0(self):
        for threads in (1, 3):
            process = self.serve(f"--threads={threads}", "--drain-timeout-ms=600000")
            clients = [self.client(process) for _ in range(10)]
            for client in clients[:7]:
                client.call("server.ping")
            clients[7].send(clients[7].request("server.ping")[:3])  # half a message is owed nothing
            self.assert_ends_well(process)  # long before the timeout
            for client in clients:
                self.assertTrue(client.is_closed())

    def test_sends_every_answer_that_it_owes_before_it_ends(self):
        process = self.serve("--threads=2", "--drain-timeout-ms=600000", "--slow-reader-timeout-ms=600000")
        reader = self.client(process)
        asked = fill_with_unread_answers(reader)
        wait_until_stuck(process)
        process.signal(signal.SIGTERM)
        process.wait_for_log("event=draining")
        answers = []
        while (message := reader.message()) is not None:
            answers.append(message)
        self.assertEqual([message[1] for message in answers], list(range(2, asked + 2)))
        refused = [message[2] for message in answers if message[2] is not None]
        self.assertTrue(refused, "what was executed after the signal is refused")
        for error in refused:
            self.assertEqual(error["code"], "BUSY")
            self.assertGreater(error["retry_after_ms"], 0)
        self.assertEqual(process.wait(), 0, process.log())

    def refused_until_the_end(self):
        """How often one who never pauses is refused; if the machine has it pause, for 20 ms, it is gone before."""
        process = self.serve("--threads=1", "--drain-timeout-ms=600000")
        client = self.client(process)
        client.call("server.ping")
        process.signal(signal.SIGTERM)
        refused = 0
        try:
            while True:
                client.send(client.request("server.ping"))
                message = client.message()
                if message is None:
                    break
                if message[2] is not None:
                    self.assertEqual(message[2]["code"], "BUSY")
                    refused += 1
        except ConnectionError:
            pass  # it paused, was gone, and spoke in that very moment
        client.close()
        self.assertEqual(process.wait(), 0)  # long before the timeout
        return refused

    def test_answers_thousands_that_ask_in_that_moment_and_ends(self):
        process = self.serve("--threads=1", "--max-connections=4000", "--drain-timeout-ms=600000")
        clients = [self.client(process) for _ in range(3000)]
        for client in clients:
            client.call("server.ping")
        for client in clients[1000:]:
            client.send(client.request("server.ping"))
        process.signal(signal.SIGTERM)
        for client in clients[:1000]:
            self.assertTrue(client.ends())
        for client in clients[1000:]:
            message = client.message()
            self.assertIsNotNone(message)
            self.assertTrue(message[2] is None or message[2]["code"] == "BUSY", message)
            self.assertTrue(client.ends())
        self.assertEqual(process.wait(), 0)  # long before the timeout
        self.assertIn("event=stopped", process.log())

    def test_who_never_pauses_cannot_hold_up_the_end(self):
        self.assertTrue(any(self.refused_until_the_end() > 0 for _ in range(10)))

    def test_accepts_nobody_while_it_drains(self):
        process = self.serve("--drain-timeout-ms=60000")
        fill_with_unread_answers(self.client(process))
        process.signal(signal.SIGTERM)
        process.wait_for_log("event=draining")
        with self.assertRaises(ConnectionError):
            self.client(process).call("server.ping")

    def test_cuts_who_does_not_read_at_the_drain_timeout(self):
        # Not after the ten seconds that it would be without the option.
        self.assertTrue(any(self.drain_s() < 9 for _ in range(3)))

    def drain_s(self):
        process = self.serve("--drain-timeout-ms=300", "--slow-reader-timeout-ms=600000")
        reader = self.client(process)
        fill_with_unread_answers(reader)
        wait_until_stuck(process)
        began = time.monotonic()
        self.assert_ends_well(process)
        self.assertIn("why=drain_timeout", process.log())
        return time.monotonic() - began

    def test_a_second_signal_ends_it_at_once(self):
        process = self.serve("--threads=1", "--drain-timeout-ms=600000", "--slow-reader-timeout-ms=600000")
        reader = self.client(process)
        fill_with_unread_answers(reader)
        wait_until_stuck(process)
        process.signal(signal.SIGINT)
        process.wait_for_log("event=draining")
        self.assertIsNone(process.process.poll())
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 1)
        self.assertIn("event=stopped_at_once", process.log())


class Reload(ServerTest):
    def configure(self, text):
        with open(self.path, "w") as file:
            file.write(text)

    def setUp(self):
        handle, self.path = tempfile.mkstemp(prefix="sessiond_config_")
        os.close(handle)
        self.addCleanup(os.unlink, self.path)

    def test_applies_reloadable_options_and_names_the_others(self):
        self.configure("max_connections = 50\nlog_level = info\nthreads = 1\n")
        process = self.serve("--config", self.path, "--max-frame=4096")
        client = self.client(process)
        self.assertEqual(client.call("server.info")["max_connections"], 50)
        self.configure("max_connections = 60\nlog_level = warn\nthreads = 2\nmax_frame = 8192\nmax_memory = 1M\n")
        process.signal(signal.SIGHUP)
        process.wait_for_log("option=log_level from=info to=warn")
        log = process.log()
        self.assertIn("event=option_changed option=max_connections from=50 to=60", log)
        self.assertIn("event=option_needs_restart option=threads from=1 to=2", log)
        self.assertNotIn("option=max_frame", log, "the flag wins over the file")
        info = client.call("server.info")
        self.assertEqual((info["max_connections"], info["options"]["threads"]), (60, 1))
        self.assertEqual(info["options"]["max_memory"], 1 << 20)
        self.assertEqual(client.call("server.hello")["limits"]["max_frame"], 4096)

    def test_keeps_everything_when_the_file_is_refused(self):
        self.configure("max_connections = 50\n")
        process = self.serve("--config", self.path)
        self.configure("max_connections = 60\nmax_conections = 60\n")
        process.signal(signal.SIGHUP)
        process.wait_for_log("event=reload_refused")
        self.assertIn("line 2: no option has this name", process.log())
        with process.client() as client:
            self.assertEqual(client.call("server.info")["max_connections"], 50)
        self.assert_ends_well(process)


class Pipe(ServerTest):
    def test_survives_peers_that_vanish_before_their_answers(self):
        process = self.serve()
        for _ in range(50):
            client = self.client(process)
            client.send(client.big_requests(50))
            client.close()
        wait_for(lambda: process.stats()["connections"] == 1, "all others are closed")
        self.assert_ends_well(process)


if __name__ == "__main__":
    server.main()
