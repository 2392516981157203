"""Clients that write, read, watch and have snapshots made until their server is gone, and keep the ledger of it.

All of them are run by one thread (`run`), so the ledger needs no lock; whoever kills the server does that from another."""

import random
import selectors
import socket
import time

import msgpack

from ledger import USERS, Lost, State, data_of

GRACE_MS = 60_000
PATIENCE_S = 60


class Connection:
    """A socket that is written at once and read when there is something."""

    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.unpacker = msgpack.Unpacker(raw=False, max_buffer_size=256 << 20)
        self.msgid, self.asked, self.parts = 0, {}, []
        self.is_deaf = False  # what comes from now on is not heard any more

    def ask(self, done, method, *params):
        self.msgid += 1
        self.asked[self.msgid] = done
        self.parts.append(msgpack.packb([0, self.msgid, method, params]))

    def flush(self):
        parts, self.parts = self.parts, []
        self.socket.sendall(b"".join(parts))

    def receive(self):
        """What has come, answers to who asked; others go to `on_event`."""
        data = self.socket.recv(1 << 18)
        if not data or self.is_deaf:
            raise EOFError
        self.unpacker.feed(data)
        for message in self.unpacker:
            if message[0] == 1:
                self.asked.pop(message[1])(message[2], message[3])
            else:
                self.on_event(message[2][0])

    def on_event(self, event):
        raise AssertionError(event)

    def turn(self):
        """Something new to ask, when everything was answered."""

    def all(self, method, params, chunk=200):
        """The answers to one request for each of `params`, as (error, result); they come in any order. What is BUSY, as
        any write may be where a sync takes more than a second, is asked again."""
        answers = [None] * len(params)

        def note(index):
            def done(error, result):
                answers[index] = (error, result)
            return done

        left, end = list(range(len(params))), time.monotonic() + PATIENCE_S
        while left:
            for begin in range(0, len(left), chunk):
                for index in left[begin:begin + chunk]:
                    self.ask(note(index), method, *params[index])
                self.flush()
                while self.asked:
                    self.receive()
            left = [index for index in left if (answers[index][0] or {}).get("code") == "BUSY"]
            if left and time.monotonic() > end:
                break
            time.sleep(0.1 if left else 0)
        return answers

    def call(self, method, *params):
        (error, result), = self.all(method, [params])
        if error:
            raise Lost(f"{method} {params}: {error}")
        return result

    def close(self):
        self.socket.close()


class Writer(Connection):
    """Several requests at once, each of them on a session of its own."""

    def __init__(self, port, books, packet=16):
        super().__init__(port)
        self.books, self.packet = books, packet
        self.fresh_end = books.fresh + books.fresh_max
        self.rest_until = 0.0

    def turn(self):
        books = self.books
        books.names, books.used = list(books.entries), set()
        if books.draw.random() < 0.01:
            self.end_all()
        elif books.has_clears and books.draw.random() < 0.002:
            self.clear()
        else:
            for _ in range(books.draw.randrange(1, self.packet)):
                self.draw_one()
        if self.parts:
            self.flush()

    def draw_one(self):
        acts = (self.set, self.set, self.set, self.create, self.patch, self.patch, self.destroy, self.revoke, self.move,
                self.rotate, self.rotate, self.touch)
        acts[self.books.draw.randrange(len(acts))]()

    def write(self, changes, version_of, method, *params):
        """`changes` are pairs of an entry and its state to be."""
        books = self.books
        books.order += 1
        for entry, state in changes:
            state.order = books.order
            entry.states.append(state)
            books.used.add(entry.id)

        def done(error, result):
            if error and error["code"] in ("BUSY", "STORAGE") and "retry_after_ms" in error:
                books.refused += 1
                self.rest_until = time.monotonic() + error["retry_after_ms"] / 1000
                for entry, state in changes:
                    entry.states.remove(state)
                return
            if error and error["code"] in ("STORAGE", "READ_ONLY"):
                self.not_kept(error, changes)
                return
            if error or result is None:
                raise Lost(f"{method} {params} is answered {error} {result}, after {changes[0][0].states}")
            for entry, state in changes:
                entry.tell(state, "answer", version_of(result, state))
            books.told += 1
            version = changes[-1][1].version
            if version is not None:
                # One number for the whole server, also after a crash.
                if version <= books.version_floor:
                    raise Lost(f"{method} {params}: version {version}, after {books.version_floor} before the crash")
                books.version_max = max(books.version_max, version)

        self.ask(done, method, books.name, *params)

    def not_kept(self, error, changes):
        """A disk has failed: nobody knows whether it was kept, unless it was refused before it was executed."""
        self.books.refused += 1
        if error["code"] == "READ_ONLY":
            for entry, state in changes:
                entry.states.remove(state)
        self.rest_until = time.monotonic() + 0.05

    def next_state(self, before=None, status="active"):
        """Keeps the token of the state before."""
        self.books.number += 1
        state = State(status, self.books.number, before and before.token, before and before.dead_token)
        state.grace = before.grace if before else state.grace
        return state

    def set(self):
        books = self.books
        entry = books.find(lambda now: now.status == "active") if books.draw.random() < 0.7 else None
        if not entry:
            if books.fresh >= self.fresh_end:
                return
            entry = books.make()
        state = self.next_state(entry.now())
        self.write([(entry, state)], lambda result, _: result["version"], "session.set", entry.id,
                   data_of(state.number), {"user": entry.user})

    def create(self):
        if self.books.fresh >= self.fresh_end:
            return
        has_token = self.books.draw.random() < 0.6
        entry, state = self.books.make(has_token), self.next_state()

        def version_of(result, state):
            state.token = result.get("token")
            return result["version"]

        self.write([(entry, state)], version_of, "session.create",
                   {"id": entry.id, "user": entry.user, "data": data_of(state.number), "token": has_token})

    def patch(self):
        entry = self.books.find(lambda now: now.status == "active")
        if entry:
            before = entry.now()
            state = self.next_state(before)
            clauses = {"incr": {"n": state.number - before.number}, "set": {"pad": data_of(state.number)["pad"]}}
            self.write([(entry, state)], lambda result, _: result["version"], "session.patch", entry.id, clauses)

    def destroy(self):
        entry = self.books.find(lambda now: now.is_there())
        if entry:
            self.write([(entry, State("gone"))], lambda result, _: None, "session.destroy", entry.id)

    def ended(self, entry):
        """The same contents, revoked."""
        now = entry.now()
        return State("revoked", now.number, None, now.token or now.dead_token)

    def revoke(self):
        entry = self.books.find(lambda now: now.status == "active")
        if entry:
            self.write([(entry, self.ended(entry))], lambda result, _: result["version"], "session.revoke", entry.id)

    def move(self):
        """To a new id; the old one is gone."""
        entry = self.books.find(lambda now: now.status == "active" and not now.token)
        if entry and self.books.fresh < self.fresh_end and not entry.has_token:
            new = self.books.make()
            new.user = entry.user
            state = State("active", entry.now().number)
            self.write([(entry, State("gone")), (new, state)],
                       lambda result, of: result["version"] if of is state else None,
                       "session.regenerate", entry.id, {"new_id": new.id})

    def rotate(self):
        entry = self.books.find(lambda now: now.status == "active" and now.token)
        if not entry:
            return
        now = entry.now()
        has_grace = self.books.draw.random() < 0.5
        state = State("active", now.number, None, None if has_grace else now.token)

        def version_of(result, state):
            if "token" not in result:
                raise Lost(f"rotate of {entry.id}: {result}, after {entry.states}")
            state.token = result["token"]
            if has_grace:
                state.grace = (now.token, asked_at + GRACE_MS / 2000)  # half of it, so that none is asked too late
            return result["session"]["version"]

        asked_at = time.monotonic()

        self.write([(entry, state)], version_of, "session.rotate", now.token,
                   {"grace_ms": GRACE_MS if has_grace else 0})

    def touch(self):
        entry = self.books.find(lambda now: now.status == "active")
        if entry:
            self.books.used.add(entry.id)
            self.ask(lambda error, result: None, "session.touch", self.books.name, entry.id)

    def end_all(self):
        """Every session of a user."""
        user = f"{self.books.name}-user-{self.books.draw.randrange(USERS)}"
        changes = [(entry, self.ended(entry)) for entry in self.books.entries.values()
                   if entry.user == user and entry.is_settled() and entry.now().status == "active"]
        if changes and not any(entry.user == user and not entry.is_settled() for entry in self.books.entries.values()):
            self.write(changes, lambda result, _: None, "session.revoke_all", {"user": user})

    def clear(self):
        changes = [(entry, State("cleared")) for entry in self.books.entries.values()
                   if entry.is_settled() and entry.now().is_there()]
        if changes and all(entry.is_settled() for entry in self.books.entries.values()):
            self.write(changes, lambda result, _: None, "session.clear")


class Reader(Connection):
    """Reads what others write: what it saw has to be there after a crash as well."""

    def __init__(self, port, all_books):
        super().__init__(port)
        self.all_books = all_books

    def turn(self):
        for _ in range(8):
            books = random.choice(self.all_books)
            open_ = [entry for entry in list(books.entries.values())[-50:] if not entry.is_settled()]
            if open_:
                entry = random.choice(open_)
                self.ask(lambda error, record, books=books, entry=entry: self.saw(books, entry, error, record),
                         "session.get", books.name, entry.id, {"include_dead": True})
        if not self.parts:
            self.ask(lambda error, result: None, "server.ping")
        self.flush()

    def saw(self, books, entry, error, record):
        if error:
            if error["code"] not in ("STORAGE", "BUSY"):
                raise Lost(f"get of {entry.id}: {error}")
            return
        state = entry.matching(record)
        if state and state.told_at is None:
            entry.tell(state, "read", record and record["version"])
            books.told += 1


class Watcher(Connection):
    """Hears of what others write: what it was told has to be there after a crash as well."""

    def __init__(self, port, books):
        super().__init__(port)
        self.books = books
        self.call("watch.start", books.name, {"data": True})

    def on_event(self, event):
        entry = self.books.entries.get(event.get("id"))
        if not entry or entry.is_settled():
            return
        state = entry.states[-1]
        if event["kind"] == "destroyed" and not state.is_there():
            entry.tell(state, "event")
            self.books.told += 1
        elif event["kind"] in ("created", "updated") and event.get("data") == data_of(state.number):
            # A rotation changes no data; its event may be the one before it.
            if state.status == "active" and not state.dead_token and not entry.has_token:
                entry.tell(state, "event", event["version"])
                self.books.told += 1


class Asker(Connection):
    """Has snapshots made all the time."""

    def __init__(self, port, pause):
        super().__init__(port)
        self.pause, self.rest_until = pause, time.monotonic() + pause

    def turn(self):
        self.rest_until = time.monotonic() + self.pause
        self.ask(lambda error, result: None, "server.snapshot")
        self.flush()


def run(connections, is_over=lambda: False):
    """Until the server is gone, or it is over: then what was asked is awaited."""
    selector = selectors.DefaultSelector()
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    left = set(connections)

    def drop(connection):
        selector.unregister(connection.socket)
        connection.close()
        left.discard(connection)

    while left:
        ends = is_over()
        for connection in list(left):
            try:
                if connection.asked or isinstance(connection, Watcher) and not ends:
                    continue
                if ends:
                    drop(connection)
                elif getattr(connection, "rest_until", 0.0) <= time.monotonic():
                    connection.turn()
            except OSError:
                drop(connection)
        for key, _ in selector.select(0.005):
            try:
                key.data.receive()
            except (OSError, EOFError):
                drop(key.data)
    selector.close()
