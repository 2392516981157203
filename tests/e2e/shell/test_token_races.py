"""Tokens while connections race each other, over sockets and on several loops. What is counted is printed."""

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
            calls = [["session.rotate", "web", token, {"fields": ["id"]}] for token in old]
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
            rotates = [["session.rotate", "web", token, {"fields": ["id"]}] for token in old]
            validates = [["session.validate", "web", token, {"slide": True, "fields": ["id"]}] for token in old]
            answers = self.at_once(clients, [rotates, *[validates] * 5])
            for messages in answers[1:]:
                self.assertEqual({answer["error"] for answer in self.results(messages)}, {None})
        self.assert_ends_well(target)


if __name__ == "__main__":
    server.main()
