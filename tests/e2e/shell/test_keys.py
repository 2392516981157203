"""The key file, its rotation, and what a process that was given secrets still knows a second later."""

import base64
import os
import re
import signal
import stat
import subprocess
import tempfile
import time
import unittest

import server
from server import ServerTest, wait_for

TOKENS = 1000
SECRET = re.compile(rb"[A-Za-z0-9_-]{43,}")


class KeyTest(ServerTest):
    def setUp(self):
        super().setUp()
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "keys")

    def keyed(self, *options):
        process = self.serve(f"--key-file={self.path}", *options)
        return process, self.client(process)

    def rotate(self):
        return subprocess.run([server.BINARY, "--rotate-keys", f"--key-file={self.path}"], capture_output=True,
                              text=True, timeout=server.PATIENCE)

    def reload(self, process):
        before = process.log().count("event=keys_read")
        process.signal(signal.SIGHUP)
        wait_for(lambda: process.log().count("event=keys_read") > before, process.log())

    def refused(self, *options):
        done = subprocess.run([server.BINARY, "--port=0", f"--key-file={self.path}", *options], capture_output=True,
                              text=True, timeout=server.PATIENCE)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr


def token_of(client, **options):
    return client.call("session.create", "web", {"token": True, "fields": ["token"], **options})["token"]


def is_valid(client, token, **options):
    return client.call("session.validate", "web", token, {"fields": [], **options})["valid"]


class File(KeyTest):
    def test_is_made_readable_by_its_owner_alone(self):
        self.keyed()
        self.assertEqual(stat.S_IMODE(os.stat(self.path).st_mode), 0o600)

    def test_stands_in_the_data_directory_where_it_has_no_name_of_its_own(self):
        data = os.path.join(self.folder.name, "data")
        self.serve(f"--data-dir={data}")
        self.assertEqual(stat.S_IMODE(os.stat(os.path.join(data, "keys")).st_mode), 0o600)

    def test_without_one_the_log_says_that_tokens_end_with_the_process(self):
        process = self.serve()
        process.wait_for_log("event=keys_in_memory")

    def test_that_is_damaged_or_foreign_or_open_to_others_is_refused_and_left_as_it_is(self):
        process, _ = self.keyed()
        self.assert_ends_well(process)
        with open(self.path, "rb") as file:
            good = file.read()
        damaged = bytearray(good)
        damaged[len(good) // 2] ^= 1
        version = bytearray(good)
        version[8] += 1
        for content, why in ((bytes(damaged), "damaged"), (good[:-1], "damaged"), (b"", "no key file"),
                             (b"key=value\n", "no key file"), (bytes(version), "another version")):
            with open(self.path, "wb") as file:
                file.write(content)
            self.assertIn(why, self.refused())
            self.assertNotEqual(self.rotate().returncode, 0)
            with open(self.path, "rb") as file:
                self.assertEqual(file.read(), content)
        with open(self.path, "wb") as file:
            file.write(good)
        os.chmod(self.path, 0o640)
        self.assertIn("read by others", self.refused())
        os.chmod(self.path, 0o600)
        self.keyed()

    def test_keeps_cookie_secrets_which_describe_never_tells(self):
        process, client = self.keyed()
        client.call("namespace.configure", "web", {"cookie_secrets": ["marked-cookie-secret"]})
        signed = client.call("cookie.sign", "web", "abc")
        for answer in (client.call("namespace.describe", "web"), client.call("server.info"),
                       client.call("server.stats"), client.call("namespace.configure", "web", {})):
            self.assertNotIn("marked-cookie-secret", repr(answer))
        self.assert_ends_well(process)
        self.assertNotIn("marked-cookie-secret", process.log())
        process, client = self.keyed()
        self.assertEqual(client.call("cookie.unsign", "web", signed), {"value": "abc", "key_index": 0})
        client.call("namespace.configure", "web", {"cookie_secrets": None})
        self.assert_ends_well(process)
        with open(self.path, "rb") as file:
            self.assertNotIn(b"marked-cookie-secret", file.read())

    def test_that_cannot_be_written_is_storage_and_changes_no_secret(self):
        process, client = self.keyed()
        client.call("namespace.configure", "web", {"cookie_secrets": ["a"]})
        signed = client.call("cookie.sign", "web", "abc")
        os.rename(self.path, self.path + ".away")
        os.mkdir(self.path)
        with self.assertRaisesRegex(Exception, "STORAGE"):
            client.call("namespace.configure", "web", {"cookie_secrets": ["b"]})
        self.assertEqual(client.call("cookie.sign", "web", "abc"), signed)
        process.wait_for_log("event=keys_not_saved")

    def test_of_another_server_is_not_taken_by_a_running_one(self):
        process, client = self.keyed()
        token = token_of(client)
        os.remove(self.path)
        other, _ = self.keyed()
        process.signal(signal.SIGHUP)
        process.wait_for_log("event=keys_refused")
        self.assertTrue(is_valid(client, token))


class Rotation(KeyTest):
    def test_leaves_tokens_and_bindings_valid_and_renews_them_at_the_next_rotate_or_slide(self):
        process, client = self.keyed("--threads=2")
        bind = {"user_agent": "agent"}
        rotated, slid, idle = (token_of(client, bind=bind) for _ in range(3))
        self.assertIn("token_key=2", self.rotate().stdout)
        self.assertTrue(is_valid(client, rotated, **bind), "the server has not read the file yet")
        self.reload(process)
        for token in (rotated, slid, idle):
            self.assertTrue(is_valid(client, token, **bind))
        fresh = client.call("session.rotate", "web", rotated, {})["token"]
        self.assertEqual(client.call("session.rotate", "web", rotated, {})["token"], fresh)
        self.assertTrue(is_valid(client, slid, slide=True, **bind))
        self.rotate()
        self.reload(process)
        self.assertTrue(is_valid(client, slid, **bind))
        self.assertFalse(is_valid(client, idle, **bind), "its key was the one before the previous")
        answer = client.call("session.validate", "web", fresh, {**bind})
        self.assertEqual(answer["error"], "user_agent_mismatch", "a rotate is not told what is bound")

    def test_and_new_cookie_secrets_never_undo_each_other(self):
        process, client = self.keyed()
        client.call("namespace.configure", "web", {"cookie_secrets": ["one"]})
        self.assertIn("token_key=2", self.rotate().stdout)
        client.call("namespace.configure", "web", {"cookie_secrets": ["two"]})
        self.assertIn("token_key=3", self.rotate().stdout)
        self.reload(process)
        self.assertTrue(client.call("cookie.sign", "web", "abc"))

    def test_needs_a_file_that_is_there(self):
        done = self.rotate()
        self.assertEqual(done.returncode, 1)
        self.assertIn("does not exist", done.stderr)
        done = subprocess.run([server.BINARY, "--rotate-keys"], capture_output=True, text=True)
        self.assertEqual(done.returncode, 1)
        self.assertIn("--key-file", done.stderr)


def memory_of(process):
    """All that the process may write to, region by region."""
    with open(f"/proc/{process.process.pid}/maps") as maps, open(f"/proc/{process.process.pid}/mem", "rb", 0) as memory:
        for line in maps:
            found = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if not found or "[vvar" in line:
                continue
            begin, end = (int(number, 16) for number in found.groups())
            memory.seek(begin)
            try:
                yield memory.read(end - begin)
            except OSError:
                pass


def found_in(process, texts, raw):
    """Which of the 43-character texts, and which of the byte strings, stand in the memory of the process."""
    wanted, found = {text.encode() for text in texts}, set()
    for region in memory_of(process):
        for run in SECRET.finditer(region):
            piece = run.group()
            found |= {piece[i:i + 43] for i in range(len(piece) - 42)} & wanted
        found |= {one for one in raw if one in region}
    return found


class Memory(KeyTest):
    """Tokens of the living are kept as hashes only, and those of the dead not at all."""

    def setUp(self):
        super().setUp()
        self.process, self.one = self.keyed("--threads=2")
        if server.is_sanitized():
            self.skipTest("a sanitizer keeps what was freed")

    def assert_forgotten(self, texts):
        """After a second; two more are for a server that the machine left none of it."""
        raw = [base64.urlsafe_b64decode(text + "=") for text in texts[-200:]]  # each is one more pass over everything
        for _ in range(3):
            time.sleep(1)
            found = found_in(self.process, texts, raw)
            if not found:
                return
        self.assertEqual(found, set())

    def test_can_be_searched(self):
        marked = "m" * 20 + "0123456789" + "k" * 13
        self.one.call("session.set", "web", "there", {"mark": marked})
        self.assertEqual(found_in(self.process, [marked], []), {marked.encode()})

    def test_holds_no_token_a_second_after_a_thousand_were_made_used_and_revoked(self):
        secrets = []
        for number in range(TOKENS):
            token = token_of(self.one, user="ann", op_id=number + 1)
            self.assertTrue(is_valid(self.one, token, slide=True))
            fresh = self.one.call("session.rotate", "web", token, {"op_id": TOKENS + number + 1})["token"]
            identifier = token.rsplit(".", 1)[0]
            secrets += [token.rsplit(".", 1)[1], fresh.rsplit(".", 1)[1]]
            if number % 2:
                self.one.call("session.revoke", "web", identifier)
        self.assertEqual(len(set(secrets)), 2 * TOKENS)
        print(f"{len(secrets)} secrets were made and used")
        self.assert_forgotten(secrets)

    def test_is_not_given_what_registers_hold_when_a_librarys_function_is_looked_up(self):
        """An optimized server with one loop had its first token on its stack for good, put there at a first call."""
        told = subprocess.run(["readelf", "--dynamic", server.BINARY], capture_output=True, text=True, check=True)
        self.assertIn("BIND_NOW", told.stdout, "functions of libraries are not looked up at the start")

    def test_holds_no_token_that_came_in_pieces_or_in_one_packet_with_others(self):
        secrets = []
        tokens = [token_of(self.one) for _ in range(200)]
        secrets = [token.rsplit(".", 1)[1] for token in tokens]
        for number, token in enumerate(tokens[:100]):
            message = self.one.request("session.validate", "web", token)
            cut = 1 + number * (len(message) - 2) // 100
            self.one.send(message[:cut])
            time.sleep(0.001)
            self.one.send(message[cut:])
            self.assertTrue(self.one.message()[3]["valid"])
        self.one.send(b"".join(self.one.request("session.validate", "web", token) for token in tokens[100:]))
        for _ in range(100):
            self.assertTrue(self.one.message()[3]["valid"])
        self.assert_forgotten(secrets)

    def test_holds_no_token_of_a_notification_a_refusal_or_a_wrong_argument(self):
        tokens = [token_of(self.one) for _ in range(10)]
        secrets = [token.rsplit(".", 1)[1] for token in tokens]
        for token in tokens:
            self.one.send(server.msgpack.packb([2, "session.rotate", ["web", token]]))
            for wrong in ({"slide": 3}, {"nothing": token}, {"fields": [token]}):
                with self.assertRaises(Exception):
                    self.one.call("session.validate", "web", token, wrong)
            with self.assertRaises(Exception):
                self.one.call("session.nothing", "web", token)
        self.assert_forgotten(secrets)

    def test_holds_no_id_of_a_namespace_with_hash_ids(self):
        self.one.call("namespace.configure", "web", {"hash_ids": True})
        texts = []
        for number in range(TOKENS // 5):
            made = self.one.call("session.create", "web", {"user": f"u{number}", "fields": ["id"]})["id"]
            self.assertEqual(self.one.call("session.get", "web", made, {"fields": ["id"]}), {"id": made})
            self.one.call("session.set", "web", made, {"n": number})
            self.assertEqual(len(self.one.call("session.get_many", "web", [made], {"fields": []})), 1)
            other = self.one.call("session.regenerate", "web", made, {"fields": ["id"]})["id"]
            self.one.call("session.revoke_all", "web", {"user": f"u{number}", "except": [other]})
            self.one.call("session.touch", "web", other)
            texts += [made, other]
        self.assert_forgotten(texts)

    def test_holds_no_id_of_a_cookie(self):
        self.one.call("namespace.configure", "web", {"hash_ids": True, "cookie_secrets": ["marked" * 8]})
        texts = []
        for _ in range(100):
            made = self.one.call("session.create", "web", {"fields": ["id"]})["id"]
            signed = self.one.call("cookie.sign", "web", made)
            encoded = signed.replace(":", "%3A").replace("/", "%2F").replace("+", "%2B")
            for cookie in (signed, encoded):
                self.assertEqual(self.one.call("session.get", "web", {"cookie": cookie}, {"fields": ["id"]}), {"id": made})
                self.assertEqual(self.one.call("cookie.unsign", "web", cookie)["value"], made)
            self.one.call("cookie.header", "web", signed)
            texts.append(made)
        self.assert_forgotten(texts)


if __name__ == "__main__":
    server.main()
