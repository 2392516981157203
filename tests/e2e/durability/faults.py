"""Rules for fault.c: what becomes of which calls of one server's disk."""

HANG, HALF = 0, -1
FOR_EVER = 1 << 30


class Faults:
    """The file of rules of one server."""

    def __init__(self, path, library):
        self.path, self.count = path, 0
        self.environment = {"LD_PRELOAD": library, "FAULTS": str(path)}

    def set(self, *rules):
        """In place of those before: each a call, a part of a file's name, what becomes of it, and where that is not for
        ever or not at once, how many it skips and how many fail."""
        lines = []
        for call, name, what, skip, times in ((*rule, *(0, FOR_EVER)[len(rule) - 3:]) for rule in rules):
            self.count += 1
            lines.append(f"{self.count} {call} {name} {what} {skip} {times}\n")
        part = self.path.with_suffix(".new")
        part.write_text("".join(lines))
        part.rename(self.path)

    def clear(self):
        self.path.unlink(missing_ok=True)
