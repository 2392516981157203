"""Tokens while connections race each other, over sockets and on several loops. What is counted is printed."""

import random

import server
from crowd import Crowd, code


class TokenRaces(Crowd):
    BATCH = 100

    def tokens(self, client, count):
        made = self.at_once([client], [[["session.create", "web", {"token": True, "user": "ann"}]] * count])[0]
        self.assertEqual({code(message) for message in made}, {None})
        return [message[3]["token"] for message in made]

    def results(self, messages):
        self.assertEqual({code(message) for message in messages}, {None})
        return [message[3] for message in messages]

    def errors_of(self, client, tokens):
        """What validate says of each; None is valid."""
        answers = self.at_once([client], [[["session.validate", "web", token, {"fields": ["id"]}] for token in tokens]])
        for answer in self.results(answers[0]):
            self.assertEqual(answer["valid"], answer["error"] is None)
            self.assertEqual(answer["session"] is None, answer["error"] is not None)
        return [answer["error"] for answer in self.results(answers[0])]

    def test_two_rotates_with_one_secret_get_the_same_successor(self):
        rounds = 100
        target, clients = self.serve_crowd(2)
        for _ in range(rounds):
            old = self.tokens(clients[0], self.BATCH)
            calls = [["session.rotate", "web", token, {"grace_ms": 60000, "fields": ["id"]}] for token in old]
            first, second = [[answer["token"] for answer in self.results(messages)]
                             for messages in self.at_once(clients, [calls, calls])]
            self.assertEqual(first, second)
            self.assertFalse(set(first) & set(old))
            self.assertEqual(len(set(first)), self.BATCH)
            self.assertEqual(self.errors_of(clients[0], first + old), [None] * 2 * self.BATCH)
        third = self.results(self.at_once(clients[:1], [calls])[0])
        self.assertEqual([answer["token"] for answer in third], first)
        print(f"{rounds * self.BATCH} times two rotates with one secret: the same successor, every time")
        self.assert_ends_well(target)

    def test_without_grace_one_of_two_rotates_is_the_thief_and_the_session_ends(self):
        rounds = 10
        target, clients = self.serve_crowd(2)
        for _ in range(rounds):
            old = self.tokens(clients[0], self.BATCH)
            calls = [["session.rotate", "web", token, {"grace_ms": 0, "fields": ["id"]}] for token in old]
            answers = [self.results(messages) for messages in self.at_once(clients, [calls, calls])]
            for first, second in zip(*answers, strict=True):
                self.assertCountEqual(["token" in first, "token" in second], [True, False])
                self.assertEqual((second if "token" in first else first)["error"], "invalid_token")
            new = [(first if "token" in first else second)["token"] for first, second in zip(*answers, strict=True)]
            self.assertEqual(self.errors_of(clients[0], new), ["session_revoked"] * self.BATCH)
        print(f"{rounds * self.BATCH} times an old secret without grace: the session ended, every time")
        self.assert_ends_well(target)

    def test_a_rotate_never_brings_back_what_was_destroyed(self):
        rounds, won = 50, 0
        target, clients = self.serve_crowd(2)
        for _ in range(rounds):
            old = self.tokens(clients[0], self.BATCH)
            rotates = [["session.rotate", "web", token, {"fields": ["id"]}] for token in old]
            destroys = [["session.destroy", "web", token.rsplit(".", 1)[0]] for token in old]
            destroyed, rotated = self.at_once(clients, [destroys, rotates])
            self.assertEqual(self.results(destroyed), [True] * self.BATCH)
            known = old[:]
            for answer in self.results(rotated):
                if "token" in answer:
                    won += 1
                    known.append(answer["token"])
                else:
                    self.assertEqual(answer["error"], "invalid_token")
            self.assertEqual(set(self.errors_of(clients[1], known)), {"invalid_token"})
        self.assertEqual(clients[0].call("session.count", "web"), 0)
        print(f"{rounds * self.BATCH} times destroy against rotate, the rotate was first {won} times: none came back")
        self.assert_ends_well(target)

    def test_a_rotate_never_brings_back_what_was_revoked(self):
        rounds = 50
        target, clients = self.serve_crowd(2)
        for _ in range(rounds):
            old = self.tokens(clients[0], self.BATCH)
            rotates = [["session.rotate", "web", token, {"fields": ["id"]}] for token in old]
            revoked, rotated = self.at_once(clients, [[["session.revoke_all", "web", {"user": "ann"}]] , rotates])
            self.assertEqual(self.results(revoked), [self.BATCH])
            new = [answer["token"] for answer in self.results(rotated) if "token" in answer]
            errors = {answer["error"] for answer in self.results(rotated) if "error" in answer}
            self.assertLessEqual(errors, {"session_revoked"})
            self.assertEqual(set(self.errors_of(clients[1], new + old)), {"session_revoked"})
        print(f"{rounds * self.BATCH} sessions logged out while their tokens rotated: none outlived it")
        self.assert_ends_well(target)

    def test_who_holds_the_old_secret_is_let_in_while_it_rotates(self):
        target, clients = self.serve_crowd(6)
        for _ in range(20):
            old = self.tokens(clients[0], self.BATCH)
            rotates = [["session.rotate", "web", token, {"grace_ms": 60000, "fields": ["id"]}] for token in old]
            validates = [["session.validate", "web", token, {"slide": True, "fields": ["id"]}] for token in old]
            answers = self.at_once(clients, [rotates, *[validates] * 5])
            for messages in answers[1:]:
                self.assertEqual({answer["error"] for answer in self.results(messages)}, {None})
        self.assert_ends_well(target)

    def test_after_a_storm_whoever_lives_has_a_token_and_nobody_else_has(self):
        target, clients = self.serve_crowd(8)
        living = tokens = 0
        for seed in range(16):
            storm = Storm(seed)
            clients[0].call("namespace.configure", storm.namespace, {
                "hash_ids": seed % 2 == 1, "single_session": seed % 4 < 2, "max_sessions_per_user": seed % 3 and 4,
                "session_limit_policy": "evict_oldest"})
            for _ in range(6):
                answers = self.at_once(clients, [storm.calls(40) for _ in clients])
                for message in [message for mine in answers for message in mine]:
                    self.assertIn(code(message), {None, "CONFLICT", "GONE"}, message)
                    storm.learn(message[3])
            valid = self.who_is_valid(clients[0], storm)
            self.assertEqual(valid, self.who_lives(clients[0], storm, seed))
            living += len(valid)
            tokens += len(storm.tokens)
        self.assertGreater(living, 20)
        print(f"{tokens} tokens after 16 storms: {living} sessions live, and each has a token that is valid")
        self.assert_ends_well(target)

    def who_is_valid(self, client, storm):
        calls = [["session.validate", storm.namespace, token, {"fields": [storm.name]}] for token in storm.tokens]
        answers = self.results(self.at_once([client], [calls])[0])
        known = {None, "invalid_token", "session_revoked", "session_expired"}
        self.assertLessEqual({answer["error"] for answer in answers}, known)
        return {answer["session"][storm.name] for answer in answers if answer["valid"]}

    def who_lives(self, client, storm, seed):
        """By the namespace, by its users and by its clients: the same sessions, and within their limits."""
        def listed(**group):
            names, cursor, is_over = [], None, False
            while not is_over:
                page = client.call("session.list", storm.namespace,
                                   {**group, "limit": 1000, "fields": [storm.name], "cursor": cursor})
                names += [one[storm.name] for one in page["sessions"]]
                cursor = page["cursor"]
                is_over = cursor is None
            self.assertEqual(len(names), len(set(names)))
            self.assertEqual(client.call("session.count", storm.namespace, group), len(names))
            return set(names)
        everybody = listed()
        users, phones = ([listed(**{group: name}) for name in names]
                         for group, names in (("user", storm.USERS), ("client", storm.PHONES)))
        self.assertEqual(set().union(*users), everybody)
        self.assertEqual(sum(len(names) for names in users), len(everybody))
        self.assertEqual(set().union(*phones), everybody)
        if seed % 3:
            self.assertLessEqual(max(len(names) for names in users), 4)
        if seed % 4 < 2:
            self.assertLessEqual(max(len(names) for names in phones), 1)
        return everybody


class Storm:
    """Calls at random on the tokens of one namespace, with those that were answered before."""

    USERS = ["ann", "bob", "cid"]
    PHONES = [f"phone-{number}" for number in range(12)]

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.namespace = f"storm-{seed}"
        self.name = "handle" if seed % 2 else "id"  # of a session in a list
        self.tokens = []

    def learn(self, answer):
        if isinstance(answer, dict) and "token" in answer:
            self.tokens.append(answer["token"])

    def calls(self, count):
        return [self.one() for _ in range(count)]

    def one(self):
        pick = self.random.choice
        if not self.tokens or self.random.random() < 0.2:
            return ["session.create", self.namespace, {"token": True, "user": pick(self.USERS),
                                                       "client": pick(self.PHONES)}]
        token = pick(self.tokens[-40:])
        id = token.rsplit(".", 1)[0]
        if self.random.random() < 0.05:
            return pick([["session.revoke_all", self.namespace, {"user": pick(self.USERS)}],
                         ["client.destroy", self.namespace, pick(self.PHONES)]])
        return pick([
            ["session.validate", self.namespace, token, {"slide": True}],
            ["session.validate", self.namespace, token],
            ["session.rotate", self.namespace, token, {"grace_ms": 60000}],
            ["session.rotate", self.namespace, token, {"grace_ms": 60000}],
            ["session.rotate", self.namespace, token, {"grace_ms": 0}],
            ["session.regenerate", self.namespace, id],
            ["session.set", self.namespace, id, {"n": 1}, {"mode": "update", "user": pick(self.USERS),
                                                          "client": pick(self.PHONES)}],
            ["session.end", self.namespace, id],
            ["session.destroy", self.namespace, id],
            ["client.get", self.namespace, pick(self.PHONES)],
        ])


if __name__ == "__main__":
    server.main()
