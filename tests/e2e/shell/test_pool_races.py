"""Pools while connections race each other, over sockets and on several loops. What is counted is printed."""

import random
import select

import server
from crowd import Crowd, code


class PoolRaces(Crowd):
    CLIENTS = 8

    def handed_out(self, answers):
        """All hand-outs of all clients; whoever got none was told EXHAUSTED."""
        messages = [message for mine in answers for message in mine]
        self.assertLessEqual({code(message) for message in messages}, {None, "EXHAUSTED"})
        return [message[3] for message in messages if code(message) is None]

    def test_a_session_is_never_handed_out_more_often_than_its_limit(self):
        rounds, limit = 200, 20
        target, clients = self.serve_crowd(self.CLIENTS)
        for number in range(rounds):
            pool = f"pool-{number}"
            clients[0].call("pool.add", "crawl", pool, {"max_usage_count": limit})
            acquire = ["pool.acquire", "crawl", pool, {"create": "never", "fields": ["id", "use", "usage_count"]}]
            got = self.handed_out(self.at_once(clients, [[acquire] * 10] * self.CLIENTS))
            self.assertEqual(len(got), limit)
            self.assertEqual(sorted(one["use"] for one in got), list(range(1, limit + 1)))
            self.assertEqual(max(one["usage_count"] for one in got), limit)
        print(f"{rounds} sessions with limit {limit}, asked for {10 * self.CLIENTS} times at once: {limit} each")
        self.assert_ends_well(target)

    def test_a_pool_that_makes_its_own_sessions_keeps_its_size_and_their_limits(self):
        size, limit, each = 10, 7, 500
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("pool.configure", "crawl", "p", {"max_pool_size": size, "max_usage_count": limit})
        acquire = ["pool.acquire", "crawl", "p", {"fields": ["id", "use"]}]
        got = self.handed_out(self.at_once(clients, [[acquire] * each] * self.CLIENTS))
        self.assertEqual(len(got), each * self.CLIENTS)
        uses = {}
        for one in got:
            uses.setdefault(one["id"], []).append(one["use"])
        for id, numbers in uses.items():
            self.assertEqual(sorted(numbers), list(range(1, len(numbers) + 1)), id)
            self.assertLessEqual(len(numbers), limit)
        unfinished = sum(len(numbers) < limit for numbers in uses.values())
        self.assertLessEqual(unfinished, size)
        info = clients[0].call("pool.info", "crawl", "p")
        self.assertLessEqual(info["usable_count"], size)
        print(f"{len(got)} hand-outs of {len(uses)} sessions that the pool made, none more than {limit} times")
        self.assert_ends_well(target)

    def test_a_lease_has_one_holder(self):
        rounds, size = 200, 5
        target, clients = self.serve_crowd(self.CLIENTS)
        for _ in range(size):
            clients[0].call("pool.add", "crawl", "p", {"max_usage_count": 1000000})
        acquire = ["pool.acquire", "crawl", "p",
                   {"create": "never", "lease_ms": 600000, "fields": ["id", "use", "fence"]}]
        fences = set()
        for _ in range(rounds):
            got = self.handed_out(self.at_once(clients, [[acquire] * 2] * self.CLIENTS))
            self.assertEqual(len({one["id"] for one in got}), size)
            self.assertEqual(len(got), size)
            for one in got:
                self.assertNotIn(one["fence"], fences)
                fences.add(one["fence"])
                returned = ["pool.release", "crawl", one["id"], {"use": one["use"], "fence": one["fence"]}]
                self.assertIs(clients[0].call(*returned), True)
        print(f"{rounds} times {2 * self.CLIENTS} asked at once for {size} leases: {size} holders, {len(fences)} fences")
        self.assert_ends_well(target)

    def test_who_waits_is_served_one_at_a_time_and_nobody_is_forgotten(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("pool.add", "crawl", "p", {"id": "only", "max_usage_count": 1000000})
        acquire = ["pool.acquire", "crawl", "p",
                   {"create": "never", "lease_ms": 600000, "wait_ms": 60000, "fields": ["id", "use", "fence"]}]
        for client in clients:
            client.send(client.request(*acquire))
        served = 0
        waiting = list(clients)
        last = 0
        while waiting:
            holder = self.whoever_is_served(waiting)
            message = holder.message()
            self.assertIsNone(code(message), message)
            self.assertGreater(message[3]["fence"], last)
            last = message[3]["fence"]
            waiting.remove(holder)
            served += 1
            self.assertEqual(self.readable(waiting), [], "two hold one lease")
            release = {"use": message[3]["use"], "fence": message[3]["fence"]}
            self.assertIs(holder.call("pool.release", "crawl", "only", release), True)
        self.assertEqual(served, self.CLIENTS)
        self.assert_ends_well(target)

    def readable(self, clients):
        return select.select([client.socket for client in clients], [], [], 0.05)[0] if clients else []

    def whoever_is_served(self, clients):
        ready = server.wait_for(lambda: self.readable(clients), "one of those that wait is served")
        self.assertEqual(len(ready), 1, "two hold one lease")
        return next(client for client in clients if client.socket is ready[0])

    def test_a_waiter_that_went_away_costs_no_use(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("pool.add", "crawl", "p", {"id": "only", "max_usage_count": 100})
        options = {"create": "never", "lease_ms": 600000, "fields": ["id", "use", "fence"]}
        held = clients[0].call("pool.acquire", "crawl", "p", options)
        for client in clients[1:]:
            client.send(client.request("pool.acquire", "crawl", "p", {**options, "wait_ms": 60000}))
        waiting = lambda count: clients[0].call("pool.info", "crawl", "p")["waiting_count"] == count
        server.wait_for(lambda: waiting(self.CLIENTS - 1), "all wait")
        for client in clients[1:]:
            client.close()
        server.wait_for(lambda: waiting(0), "nobody waits any more")
        clients[0].call("pool.release", "crawl", "only", {"use": held["use"], "fence": held["fence"]})
        session = clients[0].call("session.get", "crawl", "only", {"fields": ["usage_count"]})
        self.assertEqual(session, {"usage_count": 0})
        self.assert_ends_well(target)

    def test_what_was_destroyed_is_never_handed_out_again(self):
        rounds, size = 100, 20
        target, clients = self.serve_crowd(self.CLIENTS)
        ways = ["session.destroy", "session.revoke", "session.end", "session.take"]
        late = 0
        for number in range(rounds):
            pool = f"pool-{number}"
            for place in range(size):
                clients[0].call("pool.add", "crawl", pool, {"id": f"{number}-{place}"})
            acquire = ["pool.acquire", "crawl", pool, {"create": "never", "fields": ["id", "use"]}]
            ends = [[ways[(number + place) % 4], "crawl", f"{number}-{place}"] for place in range(0, size, 2)]
            answers = self.at_once(clients, [ends, *[[acquire] * size] * (self.CLIENTS - 1)])
            self.assertEqual({code(message) for message in answers[0]}, {None})
            gone = {f"{number}-{place}" for place in range(0, size, 2)}
            late += sum(one["id"] in gone for one in self.handed_out(answers[1:]))
            after = self.handed_out(self.at_once(clients, [[acquire] * size] * self.CLIENTS))
            self.assertTrue(after)
            self.assertFalse({one["id"] for one in after} & gone)
        print(f"{rounds * size // 2} sessions ended while they were asked for: {late} hand-outs before, none after")
        self.assert_ends_well(target)

    def test_after_a_storm_the_counts_are_those_of_the_sessions(self):
        target, clients = self.serve_crowd(self.CLIENTS)
        clients[0].call("namespace.configure", "crawl", {"tombstone_ms": 0})
        for seed in range(12):
            storm = Storm(seed)
            clients[0].call("pool.configure", "crawl", storm.pool, {"max_pool_size": 12, "max_usage_count": 9,
                                                                    "max_concurrent": seed % 3})
            for _ in range(8):
                answers = self.at_once(clients, [storm.calls(40) for _ in clients])
                for message in [message for mine in answers for message in mine]:
                    self.assertIn(code(message), {None, "EXHAUSTED", "CONFLICT", "GONE", "EXISTS"}, message)
                    storm.learn(message[3])
            self.assert_counts_are_right(clients[0], storm.pool)
        self.assertGreater(storm.learned, 100)
        self.assert_ends_well(target)

    def assert_counts_are_right(self, client, pool):
        def is_quiet():
            info = client.call("pool.info", "crawl", pool)
            return info["leased_count"] == 0 and info["waiting_count"] == 0
        server.wait_for(is_quiet, "all leases and all waiting end")
        info = client.call("pool.info", "crawl", pool)
        sessions, cursor = [], None
        while True:
            page = client.call("pool.state", "crawl", pool, {"limit": 7, **({"cursor": cursor} if cursor else {})})
            sessions += page["sessions"]
            cursor = page["cursor"]
            if cursor is None:
                break
        usable = [one for one in sessions if one["status"] == "active" and not one.get("retired")
                  and one["usage_count"] < one["max_usage_count"] and one["error_score"] < one["max_error_score"]]
        retired = [one for one in sessions if one.get("retired")]  # dead or alive, as long as it is kept
        self.assertEqual(info["usable_count"], len(usable), info)
        self.assertEqual(info["retired_count"], len(retired), info)
        self.assertEqual(len({one["id"] for one in sessions}), len(sessions))
        for one in sessions:
            self.assertLessEqual(one["usage_count"], 1000)
        got = self.handed_out([self.at_once([client], [[["pool.acquire", "crawl", pool, {"create": "never", "count": 100,
                                                                                         "fields": ["id"]}]]])[0]])
        handed = {one["id"] for one in (got[0] if got else [])}
        self.assertLessEqual(handed, {one["id"] for one in usable})


class Storm:
    """Calls at random on one pool, with ids and uses that were answered before."""

    STRATEGIES = ["random", "round_robin", "use_until_failure", "least_used", "least_recent"]

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.pool = f"storm-{seed}"
        self.known = []
        self.learned = 0

    def learn(self, answer):
        for one in answer if isinstance(answer, list) else [answer]:
            if isinstance(one, dict) and "id" in one:
                self.known = [*self.known[-60:], one]
                self.learned += 1

    def calls(self, count):
        return [self.one() for _ in range(count)]

    def acquire(self):
        pick = self.random.choice
        options = {"strategy": pick(self.STRATEGIES), "create": pick(["auto", "never", "never"])}
        options |= pick([{}, {"lease_ms": 20}, {"lease_ms": 5, "wait_ms": 10}, {"count": 3}, {"wait_ms": 5}])
        return ["pool.acquire", "crawl", self.pool, options]

    def one(self):
        if not self.known or self.random.random() < 0.4:
            return self.acquire()
        known = self.random.choice(self.known)
        hand_out = {name: known[name] for name in ("use", "fence") if name in known}
        if not hand_out:
            hand_out = {"use": 1}
        id = known["id"]
        return self.random.choice([
            ["pool.mark", "crawl", id, self.random.choice(["good", "good", "bad", "retire", 200, 403]), hand_out],
            ["pool.mark", "crawl", id, "good", hand_out],
            ["pool.mark", "crawl", id, "bad"],
            ["pool.release", "crawl", id, hand_out],
            ["pool.release", "crawl", id, hand_out],
            ["pool.renew", "crawl", id, {**hand_out, "lease_ms": 10}],
            ["pool.add", "crawl", self.pool, {"id": id, "force": True, "max_usage_count": 5}],
            ["session.destroy", "crawl", id],
            ["session.revoke", "crawl", id],
            ["session.touch", "crawl", id],
            ["session.regenerate", "crawl", id],
            ["session.expire", "crawl", id, {"absolute_expires_at": 1}],
        ])


if __name__ == "__main__":
    server.main()
