"""A pool's hand-outs in the ledger: each session's usage, score, open uses and lease, as the answers said them.

A packet is either acquires or returns, of a session one at most; so what a session may have come to since is bounded by
what was asked and not answered. That an acquire hands out is told by its answer only."""

import time

from clients import Connection
from ledger import Lost

POOL = "proxies"
POLICY = {"max_pool_size": 20, "max_usage_count": 8, "max_error_score": 3}
LEASE_MS = 600_000


class Item:
    """`lost_marks` and `lost_releases` are those that were asked for and never answered."""

    def __init__(self):
        self.usage, self.score, self.is_retired = 0, 0.0, False
        self.open, self.lease_use, self.fence = [], None, 0
        self.lost_marks = self.lost_releases = 0

    def __repr__(self):
        return str(vars(self))


class PoolBooks:
    name = "pools"

    def __init__(self, draw):
        self.draw = draw
        self.items = {}
        self.lost_acquires = self.told = self.refused = 0


class PoolWriter(Connection):
    def __init__(self, port, books):
        super().__init__(port)
        self.books, self.rest_until = books, 0.0

    def turn(self):
        draw, items = self.books.draw, self.books.items
        names = [name for name, item in items.items() if item.open and not item.is_retired]
        if draw.random() < 0.5 or not names:
            for _ in range(draw.randrange(1, 8)):
                self.acquire()
        else:
            for name in draw.sample(names, min(len(names), 8)):
                self.give_back(name, items[name])
        self.flush()

    def is_open(self, error):
        """A disk has failed and nobody knows whether that was kept."""
        return error is not None and error["code"] == "STORAGE" and "retry_after_ms" not in error

    def is_answered(self, error):
        if error and error["code"] in ("BUSY", "STORAGE", "READ_ONLY"):
            self.books.refused += 1
            self.rest_until = time.monotonic() + error.get("retry_after_ms", 50) / 1000
            return False
        if error and error["code"] != "EXHAUSTED":
            raise Lost(f"a pool's answer is {error}")
        self.books.told += not error
        return not error

    def acquire(self):
        books = self.books
        options = {"fields": ["id", "usage_count", "fence", "use"]}
        if books.draw.random() < 0.1:
            options["lease_ms"] = LEASE_MS
        books.lost_acquires += 1

        def done(error, record):
            if self.is_open(error):
                return
            books.lost_acquires -= 1
            if not self.is_answered(error):
                return
            item = books.items.setdefault(record["id"], Item())
            if record["use"] in item.open or record["usage_count"] > POLICY["max_usage_count"]:
                raise Lost(f"{record} was handed out, of {item}")
            item.usage = max(item.usage, record["usage_count"])
            item.open.append(record["use"])
            if "lease_ms" in options:
                if record["fence"] <= item.fence or item.lease_use:
                    raise Lost(f"{record} was leased, of {item}")
                item.fence, item.lease_use = record["fence"], record["use"]

        self.ask(done, "pool.acquire", books.name, POOL, options)

    def give_back(self, name, item):
        draw, books = self.books.draw, self.books
        use = item.open.pop(draw.randrange(len(item.open)))
        if item.lease_use == use:
            item.lease_use = None
        if draw.random() < 0.3:
            item.lost_releases += 1

            def done(error, result):
                if self.is_open(error):
                    return
                item.lost_releases -= 1
                if not self.is_answered(error):
                    item.open.append(use)
                elif item.usage < POLICY["max_usage_count"]:
                    item.usage -= 1
                else:  # after the last hand-out any return retires, which takes a use and the whole score
                    item.is_retired, item.score = True, item.score + POLICY["max_error_score"]

            self.ask(done, "pool.release", books.name, name, {"use": use})
            return
        item.lost_marks += 1

        def marked(error, result):
            if self.is_open(error):
                return
            item.lost_marks -= 1
            if not self.is_answered(error):
                item.open.append(use)
                return
            # The first mark of a use adds none; that a session is retired by it, one.
            if result["usage_count"] != item.usage + result["retired"]:
                raise Lost(f"{name} is {result} after a mark of use {use}, and was {item}")
            item.usage, item.score = result["usage_count"], result["error_score"]
            item.is_retired = result["retired"]

        outcome = draw.choice(("good", "good", "bad", "bad", 403, "retire"))
        self.ask(marked, "pool.mark", books.name, name, outcome, {"use": use})


def check_pool(connection, books):
    names = list(books.items)
    answers = connection.all("session.get", [(books.name, name, {"include_dead": True}) for name in names])
    for name, (error, record) in zip(names, answers):
        item = books.items[name]
        if error or record is None:
            raise Lost(f"{name} is {error} {record}, and was {item}")
        low = item.usage - item.lost_releases
        high = item.usage + books.lost_acquires + item.lost_marks
        retired = bool(record.get("retired"))
        if not low <= record.get("usage_count", 0) <= high or retired < item.is_retired:
            raise Lost(f"{name} is {record}, and was {item}; {books.lost_acquires} acquires were not answered")
        if not item.lost_marks + item.lost_releases and (record.get("error_score", 0) != item.score or retired != item.is_retired):
            raise Lost(f"{name} is {record}, and was {item}")
        item.usage, item.score, item.is_retired = record["usage_count"], record.get("error_score", 0), retired
        # A use whose return was not answered is none of the open ones any more, nor is one that nobody was told of.
        item.lost_marks = item.lost_releases = 0
    leased = [name for name in names if books.items[name].lease_use and not books.items[name].is_retired]
    for name, answer in zip(leased, connection.all("pool.acquire", [(books.name, POOL, {"id": name}) for name in leased])):
        if answer != (None, None):
            raise Lost(f"{name} is leased, {books.items[name]}, and handed out to somebody else: {answer}")
    books.lost_acquires = 0
