"""One fault of the disk after the other, and what a server makes of it: it fails, waits, goes on, and what it says."""

import fcntl
import hashlib
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from errno import EIO, ENOSPC
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "shell"))
import server  # noqa: E402  (a path of its own)
from faults import HANG, Faults  # noqa: E402
from server import PatientClient, Refused, ServerTest, wait_for  # noqa: E402

FILLER = "x" * 20_000


class FaultTest(ServerTest):
    def setUp(self):
        super().setUp()
        folder = tempfile.TemporaryDirectory(prefix="sessiond_fault_")
        self.addCleanup(folder.cleanup)
        self.data = Path(folder.name) / "data"
        library = os.path.abspath(os.environ["FAULT_LIBRARY"])
        if not server.can_be_preloaded(library):
            self.skipTest("no library can be preloaded into this server: a sanitizer wants to be loaded first")
        self.faults = Faults(Path(folder.name) / "faults", library)
        self.addCleanup(self.faults.clear)

    def kept(self, level="always", *options):
        process = self.serve(f"--data-dir={self.data}", f"--durability={level}", "--segment-size=1M", *options,
                             environment=self.faults.environment)
        return process, self.client(process, PatientClient)

    def refusal(self, client, *request):
        with self.assertRaises(Refused) as refusal:
            client.call(*request)
        return refusal.exception

    def settle(self, client, name):
        """Writes, and waits until it is synced and the log is at rest: no later write is BUSY then because this one is
        old, and none finds the disk full for what the log writes by itself. Such a mark, far below a kilobyte, is what
        is left to be synced with the next write, and no second one follows within a minute."""
        client.call("session.set", "web", name, "x" * 1000)
        wait_for(lambda: 0 < client.call("server.stats")["log_unsynced_bytes"] < 1000, "the log is at rest")

    def log_of(self, client):
        return client.call("server.info")["log"]

    def kill(self, process):
        process.process.kill()
        process.process.wait()

    def assert_comes_back(self, names, level="always"):
        """After a kill and on a disk that works, all of these are there."""
        self.faults.clear()
        process, client = self.kept(level)
        for name in names:
            self.assertIsNotNone(client.call("session.get", "web", name), name)
        client.call("session.set", "web", "afterwards", 1)
        self.assert_ends_well(process)

    def write_until_refused(self, client, *codes):
        """Names of what was acknowledged, and the refusal."""
        names = []
        for number in range(20_000):
            try:
                client.call("session.set", "web", f"s{number}", FILLER)
                names.append(f"s{number}")
            except Refused as refusal:
                if refusal.code in codes:
                    return names, refusal
        self.fail("nothing was refused")

    def checksums(self):
        return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.data.iterdir()}


class Final(FaultTest):
    """After these nothing is known of what was not synced: nobody is told of anything any more."""

    def is_final(self, level, *fault):
        process, client = self.kept(level)
        client.call("session.set", "web", "safe", 1)
        self.faults.set(fault)
        names, refusal = self.write_until_refused(client, "STORAGE", "READ_ONLY")
        wait_for(lambda: self.log_of(client)["state"] == "failed", "the failure is noticed")
        self.assertNotIn("retry_after_ms", refusal.error)
        self.assertEqual(self.refusal(client, "session.set", "web", "other", 1).code, "READ_ONLY")
        self.assertEqual(client.call("session.get", "web", "safe")["data"], 1)
        self.faults.clear()  # that it would work again proves nothing
        self.assertEqual(self.refusal(client, "session.destroy", "web", "safe").code, "READ_ONLY")
        self.assertIn(os.strerror(EIO), self.log_of(client)["failure"])
        self.assertEqual(client.call("server.stats")["storage_failed_total"], 1)
        process.wait_for_log("event=storage_failed")
        self.kill(process)
        self.assert_comes_back(["safe", *names], level)

    def test_is_a_write_that_fails_at_always(self):
        self.is_final("always", "pwrite", "log-", EIO)

    def test_is_a_write_that_fails_at_everysec(self):
        self.is_final("everysec", "pwrite", "log-", EIO)

    def test_is_a_write_that_fails_when_half_is_written(self):
        self.is_final("always", "pwrite", "log-", -EIO)

    def test_is_a_sync_that_fails_once(self):
        self.is_final("always", "fdatasync", "log-", EIO, 0, 1)

    def test_is_a_sync_that_fails_once_at_everysec(self):
        self.is_final("everysec", "fdatasync", "log-", EIO, 0, 1)

    def test_is_a_sync_of_the_directory_that_fails(self):
        self.is_final("always", "fsync", self.data.name, EIO, 0, 1)


class Keys(FaultTest):
    """A key file that cannot be written."""

    def test_leaves_the_secrets_that_are_in_force(self):
        process, client = self.kept("everysec")
        client.call("namespace.configure", "shop", {"cookie_secrets": ["the first"]})
        signed = client.call("cookie.sign", "shop", "cart")
        self.faults.set(("fsync", "keys.new", EIO))
        policy = {"cookie_secrets": ["the second"], "idle_timeout_ms": 1234}
        self.assertEqual(self.refusal(client, "namespace.configure", "shop", policy).code, "STORAGE")
        self.assertEqual(client.call("cookie.sign", "shop", "cart"), signed)
        self.assertEqual(client.call("namespace.describe", "shop")["policy"]["idle_timeout_ms"], 1234, "as it was told")
        self.assertEqual(self.refusal(client, "namespace.drop", "shop").code, "STORAGE")
        self.faults.clear()
        self.assertFalse(client.call("namespace.drop", "shop"), "it was gone already")
        self.assertEqual(self.refusal(client, "cookie.sign", "shop", "cart").code, "FORBIDDEN")
        self.assert_ends_well(process)


class Full(FaultTest):
    """Writes are refused, reads go on, and it goes on by itself when there is space."""

    def is_full_for_a_while(self, level, fill, free):
        process, client = self.kept(level)
        client.call("session.set", "web", "first", 1)
        fill(process)
        names, refusal = self.write_until_refused(client, "STORAGE")
        self.assertGreater(refusal.error["retry_after_ms"], 0)
        for name in ["first", *names]:
            self.assertIsNotNone(client.call("session.get", "web", name))
        self.assertEqual(self.log_of(client)["state"], "full")
        process.wait_for_log("event=storage_full")
        free(process)
        wait_for(lambda: self.log_of(client)["state"] == "open", "there is space again")
        client.call("session.set", "web", "last", 1)
        process.wait_for_log("event=storage_recovered")
        self.kill(process)
        self.assert_comes_back(["first", "last", *names], level)

    def refuses_space(self):
        """As a disk does whose promise of space holds: what was executed is written, a further segment is not made."""
        return lambda _: self.faults.set(("fallocate", "log-", ENOSPC)), lambda _: self.faults.clear()

    def test_disk_at_always(self):
        self.is_full_for_a_while("always", *self.refuses_space())

    def test_disk_at_everysec(self):
        self.is_full_for_a_while("everysec", *self.refuses_space())

    def breaks_its_promise(self, level, fill, free):
        """Also what was executed finds no space: its answer waits for it, and then comes."""
        process, client = self.kept(level)
        self.settle(client, "first")
        fill(process)
        writer = self.client(process)
        writer.send(writer.request("session.set", "web", "waits", 1))
        wait_for(lambda: self.log_of(client)["state"] == "full", "the write is denied")
        refusal = self.refusal(client, "session.set", "web", "refused", 1)
        self.assertEqual((refusal.code, refusal.error["retry_after_ms"] > 0), ("STORAGE", True))
        self.assertEqual(client.call("session.get", "web", "first")["id"], "first")
        free(process)
        self.assertIsNone(writer.message()[2])
        client.call("session.set", "web", "last", 1)
        self.kill(process)
        self.assert_comes_back(["first", "waits", "last"], level)

    def test_disk_that_breaks_its_promise_of_space(self):
        for level in ("always", "everysec"):
            with self.subTest(level):
                self.breaks_its_promise(level, lambda _: self.faults.set(("pwrite", "log-", ENOSPC)),
                                        lambda _: self.faults.clear())

    def test_disk_that_takes_half_of_what_is_written(self):
        self.breaks_its_promise("always", lambda _: self.faults.set(("pwrite", "log-", -ENOSPC)),
                                lambda _: self.faults.clear())

    def test_as_the_process_may_have_no_larger_files(self):
        def limit(size):
            return lambda process: resource.prlimit(process.process.pid, resource.RLIMIT_FSIZE,
                                                    (size, resource.RLIM_INFINITY))
        self.breaks_its_promise("always", limit(100), limit(resource.RLIM_INFINITY))


class Slow(FaultTest):
    """A disk that hangs stalls no read; what waits for it is bounded, and goes on when it does."""

    GETS = 300

    def gets_s(self, client):
        began = time.monotonic()
        for _ in range(self.GETS):
            self.assertEqual(client.call("session.get", "web", "safe")["id"], "safe")
        return time.monotonic() - began

    def hangs(self, level, *fault):
        process, client = self.kept(level, "--threads=1")
        self.settle(client, "safe")
        before_s = self.gets_s(client)
        self.faults.set((*fault, HANG))
        writer = self.client(process)
        writer.send(b"".join(writer.request("session.set", "web", f"waits{number}", 1) for number in range(20)))
        # Had one of them waited for the disk, it would not have come back. How long all of them took is only told.
        during_s = self.gets_s(client)
        print(f"{self.GETS} gets in {before_s * 1000:.0f} ms, beside a disk that hangs in {during_s * 1000:.0f} ms")
        return process, client, writer

    def goes_on(self, process, client, writer, level):
        self.faults.clear()
        for _ in range(20):
            self.assertIsNone(writer.message()[2])
        client.call("session.set", "web", "last", 1)
        self.kill(process)
        self.assert_comes_back(["safe", "last", *(f"waits{number}" for number in range(20))], level)

    def test_sync_at_always(self):
        process, client, writer = self.hangs("always", "fdatasync", "log-")
        self.assertEqual(client.call("server.stats")["held"], 20)
        self.goes_on(process, client, writer, "always")

    def test_write_at_always(self):
        process, client, writer = self.hangs("always", "pwrite", "log-")
        self.assertEqual(client.call("server.stats")["held"], 20)
        self.goes_on(process, client, writer, "always")

    def test_write_at_everysec(self):
        process, client, writer = self.hangs("everysec", "pwrite", "log-")
        self.assertEqual(client.call("server.stats")["held"], 20)
        self.goes_on(process, client, writer, "everysec")

    def test_sync_at_everysec_refuses_writes_when_the_oldest_is_a_second_old(self):
        process, client, writer = self.hangs("everysec", "fdatasync", "log-")
        wait_for(lambda: self.log_of(client)["state"] == "busy", "what is not synced is a second old")
        with self.assertRaises(Refused) as refusal:
            client.call_once("session.set", "web", "refused", 1)
        self.assertEqual(refusal.exception.code, "BUSY")
        self.assertGreater(refusal.exception.error["retry_after_ms"], 0)
        self.assertIsNone(client.call("session.get", "web", "refused"))
        self.gets_s(client)
        self.goes_on(process, client, writer, "everysec")

    def test_key_file_holds_up_only_who_gave_cookie_secrets(self):
        process, client = self.kept("everysec", "--threads=1")
        self.settle(client, "safe")
        self.faults.set(("fsync", "keys.new", HANG))
        givers = [self.client(process) for _ in range(3)]
        for number, giver in enumerate(givers):
            policy = {"cookie_secrets": [f"secret {number}"], "idle_timeout_ms": 60_000 + number}
            giver.send(giver.request("namespace.configure", f"shop{number}", policy))
            giver.send(giver.request("cookie.sign", f"shop{number}", "cart"))  # behind it, so with the new secrets
        self.gets_s(client)
        self.assertEqual(self.refusal(client, "cookie.sign", "shop0", "cart").code, "FORBIDDEN", "not in force yet")
        self.faults.clear()
        signed = []
        for number, giver in enumerate(givers):
            configured, answer = giver.message(), giver.message()
            self.assertEqual((configured[2], configured[3]["idle_timeout_ms"]), (None, 60_000 + number))
            self.assertEqual((answer[2], configured[1] + 1), (None, answer[1]))
            signed.append(answer[3])
        self.kill(process)
        process, client = self.kept("everysec")
        for number, cookie in enumerate(signed):
            self.assertEqual(client.call("cookie.unsign", f"shop{number}", cookie)["value"], "cart")
        self.assert_ends_well(process)

    def test_key_file_is_waited_for_by_an_end_in_order(self):
        process, client = self.kept("everysec", "--threads=1")
        self.settle(client, "safe")
        self.faults.set(("fsync", "keys.new", HANG))
        giver = self.client(process)
        giver.send(giver.request("namespace.configure", "shop", {"cookie_secrets": ["a secret"]}))
        wait_for(lambda: client.call("server.stats")["pending"] > 0, "it waits")
        process.signal(signal.SIGTERM)
        process.wait_for_log("event=draining")
        self.faults.clear()
        self.assertIsNone(giver.message()[2])
        self.assertEqual(process.wait(), 0, process.log())
        process, client = self.kept("everysec")
        self.assertIn("cart.", client.call("cookie.sign", "shop", "cart"))
        self.assert_ends_well(process)

    def test_write_bounds_what_waits_for_it(self):
        process, client = self.kept("everysec", "--log-queue=1M")
        self.faults.set(("pwrite", "log-", HANG))
        writers = [self.client(process) for _ in range(8)]
        for index, writer in enumerate(writers):
            writer.send(b"".join(writer.request("session.set", "web", f"{index}.{number}", FILLER) for number in range(50)))
        wait_for(lambda: client.call("server.stats")["storage_refused_total"] > 0, "the queue is full")
        self.assertLess(client.call("server.stats")["log_queue_bytes"], 4 << 20)
        self.faults.clear()
        names, refused = [], 0
        for index, writer in enumerate(writers):
            for number in range(50):
                message = writer.message()
                if message[2] is None:
                    names.append(f"{index}.{message[1] - 1}")
                else:
                    self.assertEqual(message[2]["code"], "BUSY")
                    refused += 1
        self.assertGreater(refused, 0)
        self.kill(process)
        self.assert_comes_back(names, "everysec")


class Reload(FaultTest):
    """A file that SIGHUP reads and that hangs: everybody is served meanwhile, and what holds is what held before."""

    def setUp(self):
        super().setUp()
        self.config, self.sealing = self.data.with_name("config"), self.data.with_name("sealing")
        self.config.write_text("max_connections = 50\n")
        self.seal("00" * 32)

    def seal(self, *keys):
        self.sealing.touch(mode=0o600)
        self.sealing.write_text("".join(key + "\n" for key in keys))

    def serve_all(self):
        process, client = self.kept("everysec", "--threads=1", f"--config={self.config}",
                                    f"--encryption-key-file={self.sealing}")
        self.settle(client, "safe")
        return process, client

    def hang_in_config(self):
        """Opening a pipe without a writer does not come back."""
        self.config.unlink()
        os.mkfifo(self.config)

    def answer_in_config(self, text):
        with open(self.config, "w") as writer:  # comes back when the server opens it, too
            path = self.config.with_name("next")
            path.write_text(text)
            path.rename(self.config)
            writer.write(text)

    def ask(self, process, client):
        """Has it read its files again, and sees it serve beside that."""
        process.signal(signal.SIGHUP)
        for _ in range(100):
            self.assertEqual(client.call("session.get", "web", "safe")["id"], "safe")
            time.sleep(0.001)

    def test_of_options_waits_alone(self):
        process, client = self.serve_all()
        self.hang_in_config()
        self.ask(process, client)
        self.assertEqual(client.call("server.info")["max_connections"], 50)
        self.answer_in_config("max_connections = 60\n")
        process.wait_for_log("option=max_connections from=50 to=60")
        wait_for(lambda: client.call("server.info")["max_connections"] == 60, "it holds")
        self.assert_ends_well(process)

    def test_is_made_once_more_for_whoever_asked_meanwhile(self):
        process, client = self.serve_all()
        self.hang_in_config()
        self.ask(process, client)
        self.ask(process, client)
        with open(self.config, "w") as writer:  # what the first one reads, and what stands there for the second
            path = self.config.with_name("next")
            path.write_text("max_connections = 70\n")
            path.rename(self.config)
            writer.write("max_connections = 60\n")
        process.wait_for_log("option=max_connections from=50 to=60")
        process.wait_for_log("option=max_connections from=60 to=70")
        self.assert_ends_well(process)

    def test_of_tokens_keys_waits_alone(self):
        process, client = self.serve_all()
        with open(self.data / "keys.lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # as somebody has it who rotates keys on a disk that hangs
            self.ask(process, client)
            self.assertNotIn("event=keys_read", process.log())
        process.wait_for_log("event=keys_read")
        self.assert_ends_well(process)

    def test_of_encryption_keys_waits_alone(self):
        process, client = self.serve_all()
        self.seal("11" * 32, "00" * 32)
        self.faults.set(("open", self.sealing.name, HANG))
        self.ask(process, client)
        self.assertNotIn("event=encryption_key_read", process.log())
        self.faults.clear()
        process.wait_for_log("event=encryption_key_read keys=2")
        self.assert_ends_well(process)

    def end_meanwhile(self):
        process, client = self.serve_all()
        self.hang_in_config()
        self.ask(process, client)
        process.signal(signal.SIGTERM)
        process.wait_for_log("event=stopped")  # all is safe; only the process is left
        return process

    def test_is_waited_for_by_an_end_in_order_and_comes_to_nothing(self):
        process = self.end_meanwhile()
        self.answer_in_config("max_connections = 60\n")
        self.assertEqual(process.wait(), 0, process.log())
        self.assertNotIn("event=reloading", process.log())

    def test_is_left_by_a_second_signal(self):
        process = self.end_meanwhile()
        process.signal(signal.SIGTERM)
        self.assertEqual(process.wait(), 1, process.log())


class Snapshots(FaultTest):
    def is_counted_and_tried_again(self, *fault):
        process, client = self.kept()
        client.call("session.set", "web", "before", 1)
        self.faults.set(fault)
        client.call("server.snapshot")
        wait_for(lambda: client.call("server.stats")["snapshot_failures_total"] > 0, "the snapshot fails")
        self.assertEqual(self.log_of(client)["state"], "open")
        client.call("session.set", "web", "beside", 1)
        self.assertEqual([path.name for path in self.data.iterdir() if path.name.startswith("snapshot-")
                          and not path.name.endswith(".part")], [])
        self.faults.clear()
        client.call("server.snapshot")
        wait_for(lambda: client.call("server.stats")["snapshots_total"] > 0, "the next one is whole")
        client.call("session.set", "web", "after", 1)
        self.kill(process)
        self.assert_comes_back(["before", "beside", "after"])
        self.assertEqual([path.name for path in self.data.iterdir() if path.name.endswith(".part")], [])

    def test_that_cannot_be_written(self):
        self.is_counted_and_tried_again("pwrite", "snapshot-", ENOSPC)

    def test_that_cannot_be_synced(self):
        self.is_counted_and_tried_again("fdatasync", "snapshot-", EIO)

    def test_that_cannot_be_renamed(self):
        self.is_counted_and_tried_again("renameat", "snapshot-", EIO)


class Start(FaultTest):
    def refused(self):
        done = subprocess.run([server.BINARY, "--port=0", f"--data-dir={self.data}"], capture_output=True, text=True,
                              env={**os.environ, **self.faults.environment}, timeout=server.PATIENCE)
        self.assertEqual((done.returncode, done.stdout), (1, ""), done.stderr)
        return done.stderr

    def test_on_a_disk_that_cannot_be_read_is_refused_and_changes_nothing(self):
        process, client = self.kept()
        for number in range(50):
            client.call("session.set", "web", f"s{number}", FILLER)
        client.call("server.snapshot")
        wait_for(lambda: client.call("server.stats")["snapshots_total"] > 0, "a snapshot")
        client.call("session.set", "web", "last", 1)
        self.kill(process)
        before = self.checksums()
        for rule in (("pread", "log-", EIO), ("pread", "snapshot-", EIO), ("pread", "snapshot-", EIO, 1, 1),
                     ("openat", "log-", EIO), ("openat", "snapshot-", EIO)):
            with self.subTest(rule):
                self.faults.set(rule)
                said = self.refused()
                self.assertIn(rule[1], said)
                self.assertIn(os.strerror(EIO), said)
                self.assertEqual(self.checksums(), before)
        self.assert_comes_back(["last", *(f"s{number}" for number in range(50))])


if __name__ == "__main__":
    server.main()
