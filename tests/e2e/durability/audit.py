"""What a server that came back is asked, and compared with the ledger."""

import time

from clients import Connection
from ledger import USERS, Lost, State


class Audit:
    """What a server that came back is asked. `floor` says how old a state may be: that of the last answer, or, where
    what was told in the last second may be lost, any; then `lost` has what was lost as (told_at, id)."""

    def __init__(self, port, may_lose=False):
        self.connection, self.may_lose = Connection(port), may_lose
        self.lost, self.alive_again = [], 0

    def close(self):
        self.connection.close()

    def check(self, books):
        entries = list(books.entries.values())
        answers = self.connection.all("session.get", [(books.name, entry.id, {"include_dead": True}) for entry in entries])
        self.forget_unborn(books, entries, answers)
        kept_order, lost_order = 0, None
        for entry, (error, record) in zip(entries, answers):
            if error:
                raise Lost(f"get of {entry.id}: {error}")
            state = self.settle(entry, record)
            kept_order = max(kept_order, state.order)
            later = [other.order for other in entry.states if other.order > state.order]
            if later and entry.states[-1] is not state:
                lost_order = min(lost_order or later[0], *later)
            entry.states = [state]
        if self.may_lose and lost_order is not None and lost_order < kept_order:
            raise Lost(f"{books.name}: change {lost_order} is lost and the later {kept_order} is there: a hole")
        self.check_users(books)
        self.check_tombstones(books)
        self.check_tokens(books)
        books.version_floor = books.version_max

    def forget_unborn(self, books, entries, answers):
        """Where a session was made and destroyed since the last audit, and both may be lost: was it ever there?"""
        if not self.may_lose:
            return
        asked = [entry for entry, (_, record) in zip(entries, answers)
                 if record is None and entry.states[0].status == "none" and len(entry.states) > 1]
        for entry, (error, result) in zip(asked, self.connection.all(
                "session.set", [(books.name, entry.id, {}, {"mode": "update"}) for entry in asked])):
            if not error and result is None:
                for state in entry.states:
                    state.status = "none" if state is entry.states[0] else "lost"

    def settle(self, entry, record):
        state = entry.matching(record)
        now = entry.now()
        if not state or (not self.may_lose and entry.states.index(state) < entry.states.index(now)):
            if record and now.status in ("gone", "cleared", "revoked"):
                self.alive_again += 1
            raise Lost(f"{entry.id} is {summary(record)}; it may be {entry.states}")
        for other in entry.states[entry.states.index(state) + 1:]:
            if other.told_at is not None:
                self.lost.append((other.told_at, entry.id))
        entry.tell(state, "audit", record and record["version"])
        return state

    def check_users(self, books):
        for number in range(USERS):
            user = f"{books.name}-user-{number}"
            expected = sum(entry.user == user and entry.states[0].status == "active" for entry in books.entries.values())
            found = self.connection.call("session.count", books.name, {"user": user})
            if found != expected:
                raise Lost(f"{user} has {found} sessions, and should have {expected}")

    def check_tombstones(self, books):
        """What was destroyed does not come into being again by a late write."""
        gone = [entry for entry in books.entries.values() if entry.states[0].status == "gone"]
        gone = gone[-100:] + books.draw.sample(gone[:-100], min(50, len(gone[:-100])))
        for entry, (error, _) in zip(gone, self.connection.all(
                "session.set", [(books.name, entry.id, {}, {"mode": "update"}) for entry in gone])):
            if not error or error["code"] != "GONE":
                raise Lost(f"{entry.id} was destroyed, and a late write is not GONE but {error}")

    def check_tokens(self, books):
        entries = [entry for entry in books.entries.values() if entry.states[0].token]
        self.validate(books, [(entry, entry.states[0].token) for entry in entries], True)
        self.check_grace(books)
        # An old secret, presented after its grace, ends its session: one in ten is, and is not asked after.
        entries = [entry for entry in books.entries.values() if entry.states[0].dead_token]
        replaced = [entry for entry in entries if entry.states[0].status != "active" or books.draw.random() < 0.1]
        self.validate(books, [(entry, entry.states[0].dead_token) for entry in replaced], False)
        tokens = [(entry, entry.states[0].token) for entry in replaced if entry.states[0].token]
        for entry in replaced:
            if entry.states[0].status == "active":
                books.order += 1
                entry.states.append(State("revoked", entry.states[0].number, order=books.order))
                entry.tell(entry.states[-1], "refused token")
        self.validate(books, tokens, False)

    def check_grace(self, books):
        """Within its grace an old secret is valid, and rotates to the successor that was answered before the crash."""
        entries = [entry for entry in books.entries.values() if entry.states[0].status == "active"
                   and entry.states[0].token and entry.states[0].grace[1] > time.monotonic()]
        self.validate(books, [(entry, entry.states[0].grace[0]) for entry in entries], True)
        entries = entries[-20:]
        for entry, (error, result) in zip(entries, self.connection.all(
                "session.rotate", [(books.name, entry.states[0].grace[0], {"fields": ["version"]}) for entry in entries])):
            state = entry.states[0]
            if error or result.get("token") != state.token or result["session"]["version"] != state.version:
                raise Lost(f"the old token of {entry.id} rotates to something else: {error} {result}, it is {state}")

    def validate(self, books, pairs, is_valid):
        answers = self.connection.all("session.validate",
                                      [(books.name, token, {"fields": ["id"]}) for _, token in pairs])
        for (entry, _), (error, result) in zip(pairs, answers):
            if error or result["valid"] != is_valid:
                raise Lost(f"a token of {entry.id} should be {'valid' if is_valid else 'refused'}: {error} {result}, "
                           f"it is {entry.states[0]}")


def summary(record):
    if record is None:
        return "not there"
    data = record["data"]
    return f"{record['status']} n={data.get('n') if isinstance(data, dict) else data} version={record['version']}"
