"""What a server keeps: over restarts, kills and refusals of its disk; and what it says where it cannot go on."""

import os
import signal
import subprocess
import threading
import unittest

import server
from kept import DurabilityTest
from server import Client, PatientClient, Refused, Server, wait_for

LEVELS = ("everysec", "always")


class Restart(DurabilityTest):
    def test_keeps_sessions_users_tombstones_tokens_clients_and_policies(self):
        for level in LEVELS:
            with self.subTest(level):
                self.data = os.path.join(self.folder, level)
                self.keeps_everything(level)

    def keeps_everything(self, level):
        process, client = self.kept(level=level)
        client.call("namespace.configure", "web", {"idle_timeout_ms": 3_600_000, "max_sessions_per_user": 7})
        made = [client.call("session.create", "web", {"id": f"s{i}", "user": "ann", "client": "c1", "data": {"n": i}})
                for i in range(5)]
        token = client.call("session.create", "web", {"token": True, "fields": ["token"]})["token"]
        client.call("session.patch", "web", "s1", {"set": {"page": "home"}})
        client.call("session.destroy", "web", "s0")
        client.call("session.revoke", "web", "s2", {"reason": "logout"})
        before = [client.call("session.get", "web", f"s{i}", {"include_dead": True}) for i in range(5)]
        self.assert_ends_well(process)
        process, client = self.kept(level=level)
        after = [client.call("session.get", "web", f"s{i}", {"include_dead": True}) for i in range(5)]
        self.assertEqual(after, before)
        self.assertEqual(after[1]["data"], {"n": 1, "page": "home"})
        self.assertEqual([row["id"] for row in client.call("session.list", "web", {"user": "ann"})["sessions"]],
                         ["s4", "s3", "s1"])
        self.assertEqual(client.call("namespace.describe", "web")["policy"]["idle_timeout_ms"], 3_600_000)
        with self.assertRaises(Refused) as refusal:
            client.call("session.set", "web", "s0", {"again": True})
        self.assertEqual(refusal.exception.code, "GONE")
        self.assertTrue(client.call("session.validate", "web", token, {"fields": []})["valid"])
        self.assertEqual(client.call("client.get", "web", "c1")["id"], "c1")
        self.assertGreater(client.call("session.set", "web", "new", 1)["version"], max(row["version"] for row in made))
        told = self.recovery(client)
        self.assertEqual((told["ended_in_order"], told["cut_bytes"], told["sessions"]), (True, 0, 4))
        process.wait_for_log("event=recovered sessions=4")
        self.assert_ends_well(process)

    def test_keeps_pools_with_their_usage_leases_and_policies(self):
        process, client = self.kept()
        client.call("pool.configure", "web", "proxies", {"max_pool_size": 2, "max_usage_count": 50})
        one = client.call("pool.acquire", "web", "proxies", {"lease_ms": 3_600_000})
        client.call("pool.mark", "web", one["id"], "good", {"use": one["use"]})
        client.call("pool.acquire", "web", "proxies", {"lease_ms": 3_600_000})
        before = client.call("pool.state", "web", "proxies")
        info = client.call("pool.info", "web", "proxies")
        for end in (self.assert_ends_well, lambda process: process.process.kill() or process.process.wait()):
            end(process)
            process, client = self.kept()
            self.assertEqual(client.call("pool.state", "web", "proxies"), before)
            self.assertEqual(client.call("pool.info", "web", "proxies"), info)
            with self.assertRaises(Refused) as refusal:
                client.call("pool.acquire", "web", "proxies", {})
            self.assertEqual(refusal.exception.code, "EXHAUSTED")
        client.call("pool.renew", "web", one["id"], {"fence": one["fence"], "lease_ms": 10_000})
        client.call("pool.release", "web", one["id"], {"use": one["use"]})
        two = client.call("pool.acquire", "web", "proxies", {})
        self.assertEqual(two["id"], one["id"])
        self.assertGreater(two["use"], one["use"])

    def test_goes_on_over_many_restarts_and_kills(self):
        for number in range(6):
            process, client = self.kept(level=LEVELS[number % 2])
            self.assertEqual(client.call("session.count", "web", {}) if number else 0, number)
            client.call("session.set", "web", f"s{number}", number)
            if number % 3 == 2:
                process.process.kill()
                process.process.wait()
            else:
                self.assert_ends_well(process)

    def test_moments_go_on_where_they_stood(self):
        process, client = self.kept()
        client.call("session.create", "web", {"id": "short", "timeouts": {"idle_timeout_ms": 100}})
        client.call("session.create", "web", {"id": "long", "timeouts": {"idle_timeout_ms": 3_600_000}})
        expires_at = client.call("session.get", "web", "long")["expires_at"]
        self.assert_ends_well(process)
        process, client = self.kept()
        wait_for(lambda: client.call("session.get", "web", "short") is None, "it expires")
        self.assertEqual(client.call("session.get", "web", "long")["expires_at"], expires_at)
        self.assertLess(abs(client.call("server.info")["clock_offset_ms"]), 1000)

    def test_without_a_data_directory_keeps_nothing_and_says_so(self):
        process = self.serve()
        with process.client() as client:
            self.assertEqual(client.call("server.info")["durability"], "none")
            with self.assertRaises(Refused) as refusal:
                client.call("server.snapshot")
            self.assertEqual(refusal.exception.code, "BAD_REQUEST")


class Crowd:
    """Connections that write and read until the server is gone, each with a ledger of what it was told.

    A writer sends several requests at once and notes each answer: a session that is there, one that is gone. Between
    sending a destroy and its answer a session stands in neither ledger. A reader notes what it saw of another's."""

    PIPELINED = 8

    def __init__(self, port, prefix, count):
        self.kept, self.gone = [{} for _ in range(count)], [set() for _ in range(count)]
        self.seen = [{} for _ in range(count)]
        self.threads = [threading.Thread(target=self.until_the_end, args=(port, work, prefix, i))
                        for work in (self.write, self.read) for i in range(count)]
        for thread in self.threads:
            thread.start()

    def until_the_end(self, port, work, prefix, index):
        try:
            with Client(("127.0.0.1", port)) as client:
                work(client, f"{prefix}_{index}_", index)
        except (OSError, EOFError):
            pass  # the server is gone

    def write(self, client, prefix, index):
        kept, gone, number = self.kept[index], self.gone[index], 0
        while True:
            asked = {}
            for _ in range(self.PIPELINED):
                number += 1
                name = f"{prefix}{number}"
                request = client.request("session.set", "web", name, {"n": number})
                if number % 3 == 0 and f"{prefix}{number - 20}" in kept:
                    name = f"{prefix}{number - 20}"
                    kept.pop(name)
                    request = client.request("session.destroy", "web", name)
                asked[client.msgid] = (name, request)
            client.send(b"".join(request for _, request in asked.values()))
            while asked:
                message = client.message()
                if message is None:
                    raise EOFError
                name, request = asked.pop(message[1])
                if message[2] is None and b"destroy" in request:
                    gone.add(name)
                elif message[2] is None:
                    kept[name] = int(name.rsplit("_", 1)[1])
                elif message[2]["code"] != "BUSY":
                    raise AssertionError(message)

    def read(self, client, prefix, index):
        """Goes after the writer, mostly ahead of what it was answered."""
        number = 1
        while True:
            client.send(client.request("session.get", "web", f"{prefix}{number}"))
            message = client.message()
            if message is None:
                raise EOFError
            if message[3]:
                self.seen[index][f"{prefix}{number}"] = message[3]["version"]
                number += 1

    def count(self):
        return sum(map(len, self.kept))

    def join(self):
        for thread in self.threads:
            thread.join()


class Kill(DurabilityTest):
    ROUNDS = int(os.environ.get("KILL_ROUNDS", 4))  # at each level
    ROUNDS_OF_A_DIRECTORY = 20
    WRITERS = 3

    def test_loses_nothing_that_anybody_was_told(self):
        for level in LEVELS:
            with self.subTest(level):
                totals = [self.kill_once(level, number) for number in range(self.ROUNDS)]
                kept, gone, seen = (sum(total) for total in zip(*totals))
                print(f"{level}: {self.ROUNDS} kills, of {kept} acknowledged sessions, {gone} destroyed ones and "
                      f"{seen} reads nothing was lost")

    def kill_once(self, level, number):
        is_first = number % self.ROUNDS_OF_A_DIRECTORY == 0
        is_last = number == self.ROUNDS - 1 or (number + 1) % self.ROUNDS_OF_A_DIRECTORY == 0
        if is_first:
            self.data = os.path.join(self.folder, f"{level}{number}")
        # Not through serve(): a thousand rounds would keep a thousand files of log open.
        process = Server(f"--data-dir={self.data}", f"--durability={level}", "--segment-size=256K", "--threads=2")
        self.assertIn("event=ready", process.ready, process.log())
        if not is_first:
            self.check(process, level)
        self.crowd = Crowd(process.port, f"{level}{number}", self.WRITERS)
        aim = 100 + number * 37 % 400
        wait_for(lambda: self.crowd.count() > aim or process.process.poll() is not None, "they have written")
        self.assertIsNone(process.process.poll(), process.log())
        process.process.kill()
        process.process.wait()
        self.crowd.join()
        process.kill()
        if is_last:
            process = Server(f"--data-dir={self.data}", f"--durability={level}")
            self.check(process, level)
            self.assertEqual(process.stop(), 0, process.log())
            process.kill()
        return self.crowd.count(), sum(map(len, self.crowd.gone)), sum(map(len, self.crowd.seen))

    def check(self, process, level):
        with PatientClient(("127.0.0.1", process.port)) as client:
            for kept, gone, seen in zip(self.crowd.kept, self.crowd.gone, self.crowd.seen):
                for name, number in kept.items():
                    record = client.call("session.get", "web", name)
                    self.assertEqual(record and record["data"], {"n": number}, f"{level}: {name} was acknowledged")
                for name in gone:
                    self.assertIsNone(client.call("session.get", "web", name), f"{level}: {name} was destroyed")
                for name, version in seen.items():
                    # What was seen is there as it was seen, unless a destroy was sent, answered or not.
                    record = client.call("session.get", "web", name)
                    self.assertTrue(record["version"] == version if record else name not in kept, f"{level}: {name}")
                    if not record:
                        with self.assertRaises(Refused) as refusal:
                            client.call("session.set", "web", name, 0)
                        self.assertEqual(refusal.exception.code, "GONE", f"{level}: {name} was seen, and has no tombstone")
            self.assertFalse(self.recovery(client)["ended_in_order"])


class Snapshot(DurabilityTest):
    def snapshot(self, process, client):
        """Asks for one as an operator does, and answers its number once it is whole."""
        command = os.path.join(os.path.dirname(server.BINARY), "sessiond-cli")
        for _ in range(20):  # whom a slow machine does not let in within a second, it tells so with 3
            done = subprocess.run([command, "--timeout", "60000", "-u", f"sessiond://127.0.0.1:{process.port}", "snapshot"],
                                  capture_output=True, text=True, timeout=2 * server.PATIENCE)
            if done.returncode != 3:
                break
        self.assertEqual(done.returncode, 0, done.stderr)
        number = int(done.stdout.split()[1])
        self.assertEqual(client.call("server.stats")["snapshot_number"], number)
        return number

    def fill(self, client, prefix, count=60):
        for number in range(count):
            client.call("session.set", "web", f"{prefix}{number}", {"n": number, "text": "x" * 10_000})

    def assert_holds(self, client, prefix, count=60):
        for number in range(count):
            self.assertEqual(client.call("session.get", "web", f"{prefix}{number}")["data"]["n"], number)

    def numbers(self, kind):
        return [int(name.rsplit("-", 1)[1]) for name in self.files(kind)]

    def test_by_command_covers_the_log_which_is_removed(self):
        process, client = self.kept("--segment-size=128K")
        self.fill(client, "a")
        client.call("session.destroy", "web", "a0")
        self.assertGreater(len(self.files("log")), 3)
        number = self.snapshot(process, client)
        self.assertEqual(self.numbers("snapshot"), [number])
        wait_for(lambda: min(self.numbers("log")) >= number, "what it covers is removed")
        self.fill(client, "b")
        client.call("session.destroy", "web", "a1")
        process.process.kill()
        process.process.wait()
        process, client = self.kept()
        self.assertEqual(self.recovery(client)["snapshot"], number)
        self.assert_holds(client, "b")
        self.assertEqual(client.call("session.get", "web", "a2")["data"]["n"], 2)
        for name in ("a0", "a1"):
            with self.assertRaises(Refused) as refusal:
                client.call("session.set", "web", name, 0)
            self.assertEqual(refusal.exception.code, "GONE")
        later = self.snapshot(process, client)
        self.assertGreater(later, number)
        wait_for(lambda: self.numbers("snapshot") == [later], "the one before is removed")
        process.wait_for_log("event=snapshot_made")
        self.assert_ends_well(process)
        process, client = self.kept()
        self.assertEqual(client.call("session.count", "web", {}), 118)
        self.assert_ends_well(process)

    def test_by_the_log_s_size_while_others_write(self):
        process, client = self.kept("--segment-size=128K", "--snapshot-log-size=512K", "--threads=2")
        crowd = Crowd(process.port, "w", 2)
        wait_for(lambda: client.call("server.stats")["snapshots_total"] >= 3, "the log has grown")
        process.process.kill()
        process.process.wait()
        crowd.join()
        process, client = self.kept()
        self.assertGreater(self.recovery(client)["snapshot"], 0)
        for kept, gone in zip(crowd.kept, crowd.gone):
            for name, number in kept.items():
                self.assertEqual(client.call("session.get", "web", name)["data"], {"n": number})
            for name in gone:
                self.assertIsNone(client.call("session.get", "web", name))

    def test_is_encrypted_too(self):
        key = os.path.join(self.folder, "key")
        with open(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(os.urandom(32).hex())
        process, client = self.kept(f"--encryption-key-file={key}")
        client.call("session.set", "web", "a", {"mark": Encryption.MARK}, {"user": Encryption.MARK})
        self.snapshot(process, client)
        for name, content in self.contents().items():
            self.assertNotIn(Encryption.MARK.encode(), content, name)
        self.assert_ends_well(process)
        process, client = self.kept(f"--encryption-key-file={key}")
        self.assertEqual(client.call("session.get", "web", "a")["data"], {"mark": Encryption.MARK})


class Directory(DurabilityTest):
    def test_is_one_servers(self):
        process, client = self.kept()
        client.call("session.set", "web", "a", 1)
        self.assertIn("another server uses it", self.refused())
        self.assertEqual(client.call("session.get", "web", "a")["data"], 1)
        self.assert_ends_well(process)
        self.kept()

    def test_that_others_may_write_is_refused(self):
        os.mkdir(self.data)
        os.chmod(self.data, 0o777)
        self.assertIn("chmod 700", self.refused())

    def test_holds_files_that_only_their_owner_reads(self):
        self.kept()
        for name in os.listdir(self.data):
            self.assertEqual(os.stat(self.path(name)).st_mode & 0o777, 0o600, name)
        self.assertEqual(os.stat(self.data).st_mode & 0o777, 0o700)

    def test_of_durability_none_holds_the_keys_alone(self):
        process, client = self.kept(level="none")
        client.call("session.set", "web", "a", 1)
        self.assert_ends_well(process)
        self.assertEqual(sorted(os.listdir(self.data)), ["keys", "keys.lock"])


class Damage(DurabilityTest):
    def fill(self, *options, count=50):
        """A directory in which several files have sessions, ended in order."""
        process, client = self.kept("--segment-size=64K", *options)
        for number in range(count):
            client.call("session.set", "web", f"s{number}", "x" * 4000)
        self.assert_ends_well(process)

    def damage(self, name, place):
        with open(self.path(name), "r+b") as file:
            file.seek(place)
            byte = file.read(1)
            file.seek(place)
            file.write(bytes([byte[0] ^ 1]))

    def test_is_refused_with_its_place_and_nothing_is_changed(self):
        self.fill()
        name = self.files("log")[0]
        self.damage(name, 2000)
        before = self.contents()
        said = self.refused()
        self.assertIn(name, said)
        self.assertIn("--repair", said)
        self.assertRegex(said, r"\d")
        self.assertEqual(self.contents(), before)

    def test_is_given_up_with_a_copy_by_repair_which_ends_then(self):
        self.fill()
        name = self.files("log")[-1]
        size = os.path.getsize(self.path(name))
        self.damage(name, size - 3000)
        self.refused()
        done = self.once("--repair")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("event=repaired", done.stdout)
        self.assertTrue(os.path.exists(self.path(name + ".damaged")))
        process, client = self.kept()
        left = client.call("session.count", "web", {})
        self.assertTrue(0 < left < 50, left)
        self.assertTrue(self.recovery(client)["ended_in_order"])
        self.assert_ends_well(process)

    def test_of_the_format_or_another_store_is_refused(self):
        self.fill(count=5)
        name = self.files("log")[-1]
        with open(self.path(name), "r+b") as file:
            file.seek(8)
            file.write(b"\2\0\0\0")
        before = self.contents()
        self.assertIn(name, self.refused())
        self.assertIn(name, self.refused("--repair"))
        self.assertEqual({k: v for k, v in self.contents().items() if k in before}, before)


class Encryption(DurabilityTest):
    MARK = "marked-for-the-search"

    def key_file(self, name, *keys):
        path = os.path.join(self.folder, name)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write("".join(key + "\n" for key in keys))
        return path

    def marked(self):
        return [name for name, bytes_ in self.contents().items() if self.MARK.encode() in bytes_]

    def test_leaves_nothing_readable_in_any_file(self):
        process, client = self.kept()
        client.call("session.set", "web", "a", {"mark": self.MARK})
        self.assert_ends_well(process)
        self.assertTrue(self.marked(), "the search finds what is not encrypted")
        self.data += "_sealed"
        one, two = os.urandom(32).hex(), os.urandom(32).hex()
        option = f"--encryption-key-file={self.key_file('key', one)}"
        process, client = self.kept(option)
        self.assertTrue(client.call("server.info")["is_encrypted"])
        client.call("session.set", "web", self.MARK, {"mark": self.MARK}, {"user": self.MARK})
        self.key_file("key", two, one)  # a new key for what comes, the old one for what is there
        process.signal(signal.SIGHUP)
        process.wait_for_log("event=encryption_key_read")
        client.call("session.set", "web", "b", {"mark": self.MARK})
        self.assert_ends_well(process)
        self.assertEqual(self.marked(), [])
        self.assertNotIn(self.MARK, process.log())
        before = self.contents()
        self.key_file("key", two)
        self.refused(option)  # the first file's key is missing
        self.refused()
        self.key_file("key", os.urandom(32).hex())
        self.refused(option)
        self.assertEqual(self.contents(), before)
        self.key_file("key", two, one)
        process, client = self.kept(option)
        self.assertEqual(client.call("session.get", "web", self.MARK)["data"], {"mark": self.MARK})
        self.assertEqual(client.call("session.get", "web", "b")["data"], {"mark": self.MARK})
        self.assert_ends_well(process)

    def test_takes_the_key_from_a_credential(self):
        self.key_file("sessiond-encryption-key", os.urandom(32).hex())
        process, client = self.kept(environment={"CREDENTIALS_DIRECTORY": self.folder})
        self.assertTrue(client.call("server.info")["is_encrypted"])
        client.call("session.set", "web", "a", 1)
        os.rename(os.path.join(self.folder, "sessiond-encryption-key"), os.path.join(self.folder, "away"))
        process.signal(signal.SIGHUP)
        process.wait_for_log("event=encryption_key_refused")
        self.assertTrue(client.call("server.info")["is_encrypted"])
        self.assert_ends_well(process)
        self.refused()

    def test_refuses_a_key_file_that_is_none_or_open_to_others(self):
        path = self.key_file("key", "no key")
        self.assertIn("64 hexadecimal digits", self.refused(f"--encryption-key-file={path}"))
        path = self.key_file("key", "00" * 32)
        os.chmod(path, 0o644)
        self.assertIn("chmod 600", self.refused(f"--encryption-key-file={path}"))
        self.assertIn("No such file", self.refused(f"--encryption-key-file={path}.missing"))


if __name__ == "__main__":
    server.main()
