"""What clients of a server were told, kept outside of it: whoever kills the server compares with this what comes back.

A writer has a namespace of its own and knows of each of its sessions every state that it may be in: the last one that
anybody was told of (an answer, a read of somebody else, an event), and the one that was asked for since. An id stands
in a packet of requests once, so these are two at most, and a state is known by its number, which is never used twice."""

import time

USERS = 5  # of a writer


def data_of(number):
    """What a session holds in that state; some are large, so that frames of every size are cut."""
    size = number % 50
    if number % 997 == 0:
        size = 300_000
    elif number % 97 == 0:
        size = 20_000
    return {"n": number, "pad": "x" * size}


class State:
    """`status` is none, active, revoked, gone (with a tombstone) or cleared (without); version and token are None where
    the answer did not come; `dead_token` is one that must be refused, `grace` one that is valid yet, and until when (of this clock)."""

    __slots__ = ("status", "number", "version", "token", "dead_token", "grace", "order", "told_at", "teller")

    def __init__(self, status, number=0, token=None, dead_token=None, order=0):
        self.status, self.number, self.version = status, number, None
        self.token, self.dead_token, self.grace = token, dead_token, (None, 0.0)
        self.order, self.told_at, self.teller = order, None, None

    def is_there(self):
        return self.status in ("active", "revoked")

    def __repr__(self):
        return f"{self.status} n={self.number} version={self.version} order={self.order} told_at={self.told_at} by {self.teller}"


class Entry:
    __slots__ = ("id", "user", "states", "has_token")

    def __init__(self, id_, user, has_token=False):
        self.id, self.user, self.has_token = id_, user, has_token
        self.states = [State("none")]
        self.states[0].told_at = 0.0

    def now(self):
        """The newest state that somebody was told of."""
        return next(state for state in reversed(self.states) if state.told_at is not None)

    def is_settled(self):
        return self.states[-1].told_at is not None

    def tell(self, state, teller, version=None):
        if state.told_at is None:
            state.told_at, state.teller = time.monotonic(), teller
        if version is not None:
            state.version = version

    def matching(self, record):
        """The newest state that such a record (or none) is of, or None. A rotation has the number of the state before:
        where that one's version is known, it is told by it."""
        states = self.states[::-1]
        if record is None:
            return next((state for state in states if state.status in ("none", "gone", "cleared")), None)
        states = [state for state in states if state.status == record["status"]
                  and state.version in (None, record["version"]) and record["data"] == data_of(state.number)]
        return next((state for state in states if state.version), states[0] if states else None)


class Lost(Exception):
    """The server has broken its word."""


class Books:
    """The ledger of one writer: its namespace, which has hash_ids or not, and its entries."""

    def __init__(self, name, draw, has_hash_ids=False):
        self.name, self.draw, self.has_hash_ids = name, draw, has_hash_ids
        self.has_clears = True
        self.fresh_max = 400  # new ids in a round
        self.entries, self.order, self.number, self.fresh = {}, 0, 0, 0
        self.version_max = 0
        self.refused = 0  # BUSY or STORAGE
        self.told = 0     # answers, reads and events that told something

    def find(self, accept):
        """One of them that is settled and not in this packet, or None."""
        names = self.names
        for _ in range(8):
            entry = self.entries[names[self.draw.randrange(len(names))]] if names else None
            if entry and entry.id not in self.used and entry.is_settled() and accept(entry.now()):
                return entry
        return None

    def make(self, has_token=False):
        self.fresh += 1
        entry = Entry(f"{self.name}-{self.fresh}", f"{self.name}-user-{self.draw.randrange(USERS)}", has_token)
        self.entries[entry.id] = entry
        self.names.append(entry.id)
        return entry

    def count(self, *statuses):
        return sum(entry.now().status in statuses for entry in self.entries.values())
