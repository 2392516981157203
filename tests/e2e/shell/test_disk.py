"""A server whose disk is full, fails, or hangs: it says so, goes on where it can, and loses nothing that it answered."""

import errno
import os
import pathlib
import signal
import subprocess
import sys
import time

import server
from kept import DurabilityTest
from server import Refused, wait_for

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "durability"))
from faults import HANG, Faults  # noqa: E402


class Full(DurabilityTest):
    """A small disk of its own, where the machine allows one to be mounted."""

    def setUp(self):
        super().setUp()
        os.mkdir(self.data)
        done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", self.data],
                              capture_output=True, text=True)
        if done.returncode != 0:
            self.skipTest("no disk can be mounted here: " + done.stderr.strip())
        self.addCleanup(subprocess.run, ["umount", "-l", self.data], check=True)

    def fill(self):
        """Takes all space that is left."""
        with open(self.path("filler"), "ab", buffering=0) as file:
            try:
                while file.write(bytes(4096)):
                    pass
            except OSError:
                pass

    def free(self):
        os.remove(self.path("filler"))

    def write_until_refused(self, client):
        names = []
        for number in range(4000):
            try:
                client.call("session.set", "web", f"s{number}", "x" * 20000)
                names.append(f"s{number}")
            except Refused as refusal:
                return names, refusal
        self.fail("nothing was refused")

    def test_refuses_writes_and_goes_on_reading_until_there_is_space(self):
        self.is_full_for_a_while("everysec")

    def test_refuses_writes_and_goes_on_reading_until_there_is_space_also_at_always(self):
        self.is_full_for_a_while("always")

    def is_full_for_a_while(self, level):
        process, client = self.kept("--log-queue=1M", level=level)
        client.call("session.set", "web", "first", 1)
        self.fill()
        names, refusal = self.write_until_refused(client)
        self.assertEqual(refusal.code, "STORAGE")
        self.assertGreater(refusal.error["retry_after_ms"], 0)
        self.assertEqual(client.call("session.get", "web", "first")["data"], 1)
        self.assertEqual(client.call("session.get", "web", names[-1])["id"], names[-1])
        self.assertEqual(client.call("server.info")["log"]["state"], "full")
        process.wait_for_log("event=storage_full")
        self.free()
        wait_for(lambda: client.call("server.info")["log"]["state"] == "open", "there is space again")
        client.call("session.set", "web", "last", 2)
        process.process.kill()
        process.process.wait()
        process, client = self.kept(level=level)
        for name in ["first", "last", *names]:
            self.assertIsNotNone(client.call("session.get", "web", name), name)
        self.assert_ends_well(process)

    def test_at_the_start_is_read_only_until_there_is_space(self):
        process, client = self.kept()
        client.call("session.set", "web", "first", 1)
        self.assert_ends_well(process)
        self.fill()
        process, client = self.kept()
        self.assertEqual(client.call("session.get", "web", "first")["data"], 1)
        with self.assertRaises(Refused) as refusal:
            client.call("session.set", "web", "second", 1)
        self.assertEqual(refusal.exception.code, "STORAGE")
        self.free()
        wait_for(lambda: client.call("server.info")["log"]["state"] == "open", "there is space again")
        client.call("session.set", "web", "second", 1)
        self.assert_ends_well(process)
        process, client = self.kept()
        self.assertEqual(client.call("session.count", "web", {}), 2)


class Sync(DurabilityTest):
    """A disk whose sync fails or hangs: ../durability/fault.c does it."""

    FAIL, HANG = ("fdatasync", "log-", errno.EIO), ("fdatasync", "log-", HANG)

    def served(self, level):
        library = os.environ.get("FAULT_LIBRARY")
        if not library:
            self.skipTest("FAULT_LIBRARY names no library to preload")
        if not server.can_be_preloaded(library):
            self.skipTest("no library can be preloaded into this server: a sanitizer wants to be loaded first")
        self.faults = Faults(pathlib.Path(self.folder) / "rules", library)
        return self.kept("--threads=2", level=level, environment=self.faults.environment)

    def refusal(self, client, *request):
        with self.assertRaises(Refused) as refusal:
            client.call(*request)
        return refusal.exception

    def hand_over(self, client, name):
        """A write that is answered before any sync that covers it has ended: what begins from now on hangs. Where all
        of this takes more than a second, what was written before is too old for the write to be taken."""
        while True:
            self.faults.set(self.HANG)
            try:
                return client.call_once("session.set", "web", name, 1)
            except Refused as refusal:
                self.assertEqual(refusal.code, "BUSY")
                self.faults.clear()
                time.sleep(refusal.error["retry_after_ms"] / 1000)

    def test_that_fails_makes_it_read_only_and_acknowledges_nothing_more(self):
        process, client = self.served("always")
        client.call("session.set", "web", "safe", 1)
        self.faults.set(self.FAIL)
        self.assertEqual(self.refusal(client, "session.set", "web", "lost", 1).code, "STORAGE")
        self.assertEqual(self.refusal(client, "session.set", "web", "other", 1).code, "READ_ONLY")
        self.assertEqual(self.refusal(client, "session.get", "web", "lost").code, "STORAGE")
        self.assertEqual(self.refusal(client, "server.snapshot").code, "READ_ONLY")
        self.assertEqual(client.call("session.get", "web", "safe")["data"], 1)
        self.faults.clear()  # a later sync that succeeds proves nothing
        self.assertEqual(self.refusal(client, "session.set", "web", "other", 1).code, "READ_ONLY")
        log = client.call("server.info")["log"]
        self.assertEqual(log["state"], "failed")
        self.assertIn("log-", log["failure"])
        self.assertEqual(client.call("server.stats")["storage_state"], 3)
        process.wait_for_log("event=storage_failed")
        self.assertEqual(process.stop(), 1, "it says that not all was kept")
        self.assertIn("event=not_all_kept", process.log())
        process, client = self.kept(level="always")
        self.assertEqual(client.call("session.get", "web", "safe")["data"], 1)
        client.call("session.set", "web", "other", 1)
        self.assert_ends_well(process)

    def test_that_fails_at_everysec_is_noticed_and_final(self):
        process, client = self.served("everysec")
        client.call("session.set", "web", "safe", 1)
        self.hand_over(client, "handed_over")
        self.faults.set(self.FAIL)
        wait_for(lambda: client.call("server.info")["log"]["state"] == "failed", "the next sync has failed")
        self.assertEqual(self.refusal(client, "session.set", "web", "other", 1).code, "READ_ONLY")
        self.assertEqual(client.call("session.get", "web", "handed_over")["data"], 1)
        process.process.kill()
        process.process.wait()

    def test_that_hangs_at_everysec_refuses_writes_after_a_second_and_stalls_no_read(self):
        process, client = self.served("everysec")
        client.call("session.set", "web", "safe", 1)
        self.faults.set(self.HANG)
        names = []
        with self.assertRaises(Refused) as refusal:
            for number in range(1 << 20):
                client.call_once("session.set", "web", f"s{number}", 1)
                names.append(f"s{number}")
                time.sleep(0.01)
        self.assertEqual(refusal.exception.code, "BUSY")
        for name in names:
            self.assertIsNotNone(client.call("session.get", "web", name))
        self.faults.clear()
        client.call("session.set", "web", "again", 1)
        self.assert_ends_well(process)

    def test_that_hangs_for_ever_does_not_keep_a_second_signal_from_ending_it(self):
        process, client = self.served("always")
        client.call("session.set", "web", "safe", 1)
        client.close()
        self.faults.set(self.HANG)
        with process.client() as writer:
            writer.send(writer.request("session.set", "web", "waits", 1))
            wait_for(lambda: process.stats()["held"] == 1, "the sync hangs")
        process.signal(signal.SIGTERM)
        process.wait_for_log("event=draining")
        wait_for(lambda: process.process.poll() is not None or process.signal(signal.SIGTERM), "it ends")
        self.assertEqual(process.wait(), 1)

    def test_that_hangs_at_always_answers_reads_of_what_is_safe_meanwhile(self):
        process, client = self.served("always")
        client.call("session.set", "web", "safe", 1)
        self.faults.set(self.HANG)
        with process.client() as writer:
            writer.send(writer.request("session.set", "web", "waits", 1))
            wait_for(lambda: client.call("server.stats")["held"] == 1, "the write's answer waits")
            for _ in range(100):
                self.assertEqual(client.call("session.get", "web", "safe")["data"], 1)
            with process.client() as reader:
                reader.send(reader.request("session.get", "web", "waits"))
                wait_for(lambda: client.call("server.stats")["held"] == 2, "both answers wait")
                self.faults.clear()
                self.assertEqual(reader.message()[3]["data"], 1)
            self.assertIsNone(writer.message()[2])
        self.assert_ends_well(process)


if __name__ == "__main__":
    server.main()
