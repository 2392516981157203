"""Limits and groups while connections race each other, over sockets and on several loops. What is counted is printed."""

import server
from crowd import Crowd, code


class Races(Crowd):
    USERS, CLIENTS, LIMIT = 500, 8, 5

    def test_n_creates_at_a_limit_never_end_at_n_and_one(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("namespace.configure", "web", {"max_sessions_per_user": self.LIMIT})
        calls = [[["session.create", "web", {"user": f"user-{user}", "fields": ["id"]}] for user in range(self.USERS)]
                 for _ in clients]
        answers = self.at_once(clients, calls)
        made, refused = {}, 0
        for messages in answers:
            for user, message in enumerate(messages):
                if code(message) is None:
                    made[user] = made.get(user, 0) + 1
                else:
                    self.assertEqual(code(message), "LIMIT")
                    self.assertEqual(message[2]["limit"], self.LIMIT)
                    refused += 1
        self.assertEqual(set(made.values()), {self.LIMIT})
        self.assertEqual(refused, self.USERS * (self.CLIENTS - self.LIMIT))
        for user in range(self.USERS):
            self.assertEqual(clients[0].call("session.count", "web", {"user": f"user-{user}"}), self.LIMIT)
        print(f"{self.USERS} users, {self.CLIENTS} logins at once for each: {self.LIMIT} made and "
              f"{self.CLIENTS - self.LIMIT} refused, every time")
        self.assert_ends_well(target)

    def test_a_limit_holds_for_sessions_that_get_their_user_later(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("namespace.configure", "web", {"max_sessions_per_user": self.LIMIT})
        for number, client in enumerate(clients):
            for user in range(100):
                client.call("session.create", "web", {"id": f"{user}-{number}"})
        ways = [lambda id, user: ["session.set", "web", id, {}, {"user": user}],
                lambda id, user: ["session.regenerate", "web", id, {"user": user, "fields": ["id"]}]]
        calls = [[ways[(user + number) % 2](f"{user}-{number}", f"user-{user}") for user in range(100)]
                 for number in range(self.CLIENTS)]
        answers = self.at_once(clients, calls)
        for user in range(100):
            codes = [code(messages[user]) for messages in answers]
            self.assertEqual(codes.count(None), self.LIMIT, codes)
            self.assertEqual(codes.count("LIMIT"), self.CLIENTS - self.LIMIT, codes)
            self.assertEqual(clients[0].call("session.count", "web", {"user": f"user-{user}"}), self.LIMIT)
        self.assert_ends_well(target)

    def test_evicting_logins_leave_exactly_the_limit_and_say_who_went(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("namespace.configure", "web",
                        {"max_sessions_per_user": self.LIMIT, "session_limit_policy": "evict_oldest"})
        calls = [[["session.create", "web", {"user": f"user-{user}", "fields": ["id"]}] for user in range(100)]
                 for _ in clients]
        for messages in self.at_once(clients, calls):
            self.assertEqual({code(message) for message in messages}, {None})
        for user in range(100):
            options = {"user": f"user-{user}", "fields": ["status", "reason"], "status": "any"}
            sessions = clients[0].call("session.list", "web", options)["sessions"]
            self.assertEqual([s["status"] for s in sessions].count("active"), self.LIMIT)
            gone = [s for s in sessions if s["status"] != "active"]
            self.assertEqual(len(gone), self.CLIENTS - self.LIMIT)
            self.assertEqual({(s["status"], s["reason"]) for s in gone}, {("revoked", "session_limit")})
        self.assert_ends_well(target)

    def test_sign_ins_on_one_client_leave_one_session(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("namespace.configure", "web", {"single_session": True})
        calls = [[["session.create", "web", {"client": f"phone-{phone}", "fields": ["id"]}] for phone in range(200)]
                 for _ in clients]
        for messages in self.at_once(clients, calls):
            self.assertEqual({code(message) for message in messages}, {None})
        for phone in range(200):
            options = {"client": f"phone-{phone}", "fields": ["id", "status", "replaced_by"], "status": "any"}
            sessions = clients[0].call("session.list", "web", options)["sessions"]
            self.assertEqual(len(sessions), self.CLIENTS)
            living = [s["id"] for s in sessions if s["status"] == "active"]
            self.assertEqual(len(living), 1, sessions)
            replaced = {s["id"]: s["replaced_by"] for s in sessions if s["status"] == "replaced"}
            self.assertEqual(len(replaced), self.CLIENTS - 1)
            for first in replaced:  # each chain of replacements ends at the one that lives
                seen, at = set(), first
                while at in replaced and at not in seen:
                    seen.add(at)
                    at = replaced[at]
                self.assertEqual(at, living[0])
        print(f"200 clients, {self.CLIENTS} sign-ins at once on each: one session lives, the others lead to it")
        self.assert_ends_well(target)

    def test_nobody_who_was_there_before_outlives_log_out_everywhere(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        rounds, survivors, before = 200, 0, 4
        for round_number in range(rounds):
            user = f"user-{round_number}"
            for number in range(before):
                clients[0].call("session.create", "web", {"id": f"{user}-{number}", "user": user})
            writes = [[["session.set", "web", f"{user}-{number % before}", {"n": 1}, {"mode": "update"}],
                       ["session.regenerate", "web", f"{user}-{number % before}", {"fields": ["id"]}]]
                      for number in range(self.CLIENTS - 1)]
            answers = self.at_once(clients, [[["session.revoke_all", "web", {"user": user}]], *writes])
            self.assertIsNone(code(answers[0][0]))
            survivors += clients[1].call("session.count", "web", {"user": user})
        self.assertEqual(survivors, 0)
        print(f"{rounds} times log out everywhere against {self.CLIENTS - 1} writers: none outlived it")
        self.assert_ends_well(target)


if __name__ == "__main__":
    server.main()
