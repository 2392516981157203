"""A data directory that is not as the last server left it: moved in part, or opened with other options."""

import os
import signal

import server
from test_durability import DurabilityTest


class Directory(DurabilityTest):
    def test_with_sessions_is_refused_at_durability_none_and_left_as_it_is(self):
        process, client = self.kept()
        client.call("session.set", "web", "a", 1)
        self.assert_ends_well(process)
        before = self.contents()
        self.assertIn("which durability none would neither read nor keep", self.refused("--durability=none"))
        self.assertEqual(self.contents(), before)

    def test_whose_segment_is_a_link_is_refused_and_not_taken_for_empty(self):
        process, client = self.kept()
        client.call("session.set", "web", "a", 1)
        self.assert_ends_well(process)
        for name in self.files("log"):
            os.rename(self.path(name), os.path.join(self.folder, name))
            os.symlink(os.path.join(self.folder, name), self.path(name))
        self.assertIn(self.files("log")[0] + " cannot be read", self.refused())
        for name in self.files("log"):
            os.replace(os.path.join(self.folder, name), self.path(name))
        _, client = self.kept()
        self.assertEqual(client.call("session.get", "web", "a")["data"], 1)

    def test_whose_key_file_went_away_gets_a_new_one_and_a_warning(self):
        process, client = self.kept()
        client.call("session.set", "web", "a", 1)
        self.assert_ends_well(process)
        self.assertNotIn("keys_made", process.log())
        os.unlink(self.path("keys"))
        process, client = self.kept()
        self.assertEqual(client.call("session.get", "web", "a")["data"], 1)
        self.assertIn("event=keys_made", process.log())

    def test_is_one_servers_alone_also_where_its_lock_was_removed(self):
        self.kept()
        self.assertIn("another server uses it", self.refused())
        os.unlink(self.path("lock"))
        self.assertIn("another server uses it", self.refused())

    def test_is_not_sealed_with_a_key_in_whose_file_the_last_one_is_missing(self):
        path = os.path.join(self.folder, "key")

        def write(*keys):
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write("".join(key + "\n" for key in keys))

        one, two = os.urandom(32).hex(), os.urandom(32).hex()
        write(one)
        process, client = self.kept(f"--encryption-key-file={path}")
        client.call("session.set", "web", "a", 1)
        write(two)
        process.signal(signal.SIGHUP)
        process.wait_for_log("event=encryption_key_refused")
        client.call("session.set", "web", "b", 2)
        self.assert_ends_well(process)
        write(one)
        process, client = self.kept(f"--encryption-key-file={path}")
        self.assertEqual(client.call("session.get", "web", "b")["data"], 2)


if __name__ == "__main__":
    server.main()
