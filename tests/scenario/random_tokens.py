#!/usr/bin/env python3
"""Random scripts about tokens, with the answers that a model of thirty lines expects, played by the scenario runner.

    random_tokens.py path/to/scenario [seeds] [first seed]

A model's session has its secrets by name, the current one first, each old one with the end of its grace; whoever presents
one is looked up there. A script that fails is printed with its seed; `random_tokens.py scenario 1 SEED` plays it again.
"""

import pathlib
import random
import subprocess
import sys
import tempfile

REMEMBERED = 4


class Session:
    def __init__(self, identifier, secret, now, is_pending):
        self.id, self.status = identifier, "pending" if is_pending else "active"
        self.born = self.touched = now
        self.remembered = [[secret, 0]]  # name and end of grace, the current one first
        self.successors = {}
        self.secrets = [secret]

    def match(self, secret, now):
        for index, (name, grace_end) in enumerate(self.remembered):
            if name == secret:
                return "current" if index == 0 else "grace" if now < grace_end else "reused"
        return "wrong"


class Script:
    def __init__(self, seed):
        self.random, self.lines, self.now, self.count = random.Random(seed), [], 0, 0
        self.idle_ms, self.absolute_ms = self.random.choice([0, 50, 200, 1000]), self.random.choice([0, 0, 400])
        if self.random.random() < 0.4:
            self.call("namespace.configure", '["web", {"hash_ids": true}]', "_")
        self.sessions = [self.create(f"x{number}") for number in range(self.random.randint(1, 2))]
        for _ in range(self.random.randint(10, 60)):
            self.step()

    def call(self, method, params, answer):
        self.lines += [f"> {method} {params}", f"< {answer}"]

    def secret(self):
        self.count += 1
        return f"s{self.count}"

    def create(self, identifier):
        session = Session(identifier, self.secret(), self.now, self.random.random() < 0.2)
        timeouts = f'{{"idle_timeout_ms": {self.idle_ms}, "absolute_timeout_ms": {self.absolute_ms}}}'
        pending = "true" if session.status == "pending" else "false"
        self.call("session.create", f'["web", {{"id": "{identifier}", "token": true, "pending": {pending}, '
                                    f'"timeouts": {timeouts}, "fields": []}}]', f'{{"token": ${session.secrets[0]}}}')
        return session

    def deadlines(self, session):
        return [moment + span for moment, span in ((session.touched, self.idle_ms), (session.born, self.absolute_ms)) if span]

    def status(self, session):
        is_living = session.status in ("active", "pending")
        is_late = any(self.now >= deadline for deadline in self.deadlines(session))
        return "expired" if is_living and is_late else session.status

    def wait(self, session):
        """A little, or until a deadline or the end of a grace: a millisecond before, at, or after it."""
        ends = self.deadlines(session) + [grace_end for _, grace_end in session.remembered]
        moments = [end + self.random.choice([-1, 0, 1]) for end in ends if self.now + 1 < end < self.now + 1000]
        moments += [self.now + self.random.choice([1, 2, 10, 50])]
        self.now = self.random.choice(moments)
        self.lines.append(f"at {self.now}")

    def error(self, session, secret, allows_pending):
        """What the answer names, or None; an old secret after its grace ends the session."""
        match, status = session.match(secret, self.now), self.status(session)
        if match == "reused" and status in ("active", "pending"):
            session.status = "revoked"
        if match in ("wrong", "reused"):
            return "invalid_token"
        if status == "pending" and not allows_pending:
            return "session_pending"
        return {"active": None, "pending": None, "expired": "session_expired"}.get(status, "session_revoked")

    def rotate(self, session, secret):
        is_current = session.match(secret, self.now) == "current"
        grace_ms = self.random.choice([0, 1, 5, 50, 100, 60000])
        params = f'["web", ${secret}, {{"grace_ms": {grace_ms}, "fields": []}}]'
        error = self.error(session, secret, False)
        if error:
            self.call("session.rotate", params, f'{{"error": "{error}"}}')
            return
        if secret not in session.successors:
            session.successors[secret] = self.secret()
            session.secrets.append(session.successors[secret])
        self.call("session.rotate", params, f'{{"token": ${session.successors[secret]}, "session": {{}}}}')
        if is_current:
            session.remembered[0][1] = self.now + grace_ms if grace_ms else 0
            session.remembered = [[session.successors[secret], 0]] + session.remembered[:REMEMBERED]
        session.touched = self.now

    def validate(self, session, secret, slides):
        allows_pending = self.random.random() < 0.3
        options = f'"slide": {str(slides).lower()}, "allow_pending": {str(allows_pending).lower()}'
        status, error = self.status(session), self.error(session, secret, allows_pending)
        answer = f'{{"valid": false, "error": "{error}", "session": nil}}'
        if not error:
            answer = f'{{"valid": true, "error": nil, "session": {{"status": "{status}"}}}}'
            session.touched = self.now if slides else session.touched
        self.call("session.validate", f'["web", ${secret}, {{{options}, "fields": ["status"]}}]', answer)

    def regenerate(self, session):
        """Every secret of the old id is worth nothing, for ever."""
        secret = self.secret()
        self.call("session.regenerate", f'["web", "{session.id}", {{"new_id": "{secret}r", "fields": []}}]',
                  f'{{"token": ${secret}}}')
        for old in session.secrets:
            self.call("session.validate", f'["web", ${old}]', '{"valid": false, "error": "invalid_token", "session": nil}')
        session.id, session.remembered, session.successors, session.secrets = f"{secret}r", [[secret, 0]], {}, [secret]

    def step(self):
        session = self.random.choice(self.sessions)
        if self.random.random() < 0.3:
            self.wait(session)
        index = min(self.random.choice([0, 0, 0, 0, 1, 1, 2, 3, 4]), len(session.remembered) - 1)
        secret = self.random.choice([self.random.choice(session.secrets), session.remembered[index][0]])
        is_living = self.status(session) in ("active", "pending")
        chance = self.random.random()
        if chance < 0.45:
            self.validate(session, secret, chance < 0.12)
        elif chance < 0.8:
            self.rotate(session, secret)
        elif chance < 0.88 and is_living:
            self.call("session.activate", f'["web", "{session.id}", {{"fields": []}}]', "{}")
            session.status = "active"
        elif chance < 0.95 and is_living:
            self.call("session.set", f'["web", "{session.id}", {{"at": {self.now}}}]', "_")
            session.touched = self.now
        elif chance < 0.98 and is_living:
            self.regenerate(session)
        elif self.status(session) == "active":
            self.call("session.end", f'["web", "{session.id}", {{"fields": []}}]', "{}")
            session.status = "ended"


def main():
    runner, count, first = sys.argv[1], int((sys.argv[2:] or [300])[0]), int((sys.argv[3:] or [1])[0])
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder) / f"seed_{seed}.txt" for seed in range(first, first + count)]
        for seed, path in enumerate(paths, first):
            path.write_text("\n".join(Script(seed).lines) + "\n")
        done = subprocess.run([runner, *map(str, paths)], capture_output=True, text=True)
        print(done.stdout.replace(folder + "/", ""), done.stderr, end="")
        failed = [path for path in paths if path.name in done.stdout]
        if failed:
            print(f"{failed[0].stem}:\n{failed[0].read_text()}")
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
