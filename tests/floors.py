#!/usr/bin/env python3
"""Holds the folders of src to their floors: who may include whom, and who may know clocks, threads and chance.

Reads the #include lines and the calls as text; exits 1 and names each breach. `--selftest` shows that it can fail.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# Each folder and what it may include beside itself and the contracts (include/sessiond).
FLOORS = {
    "include/sessiond": [],
    "src/base": [],
    "src/metrics": ["src/base"],
    "src/config": ["src/base"],
    "src/crypto": ["src/base"],
    "src/wire": ["src/base"],
    "src/engine/memory": ["src/base"],
    "src/log": ["src/base", "src/crypto"],
    "src/op": ["src/base", "src/wire", "src/crypto"],
    "src/server": ["src/base", "src/metrics", "src/wire", "src/crypto", "src/op"],
    "src/uv": ["src/base", "src/metrics", "src/config", "src/wire", "src/crypto", "src/log", "src/server"],
    "src/dump": ["src/base", "src/crypto", "src/wire", "src/engine/memory", "src/log", "src/op", "src/uv"],
    "src": ["src/base", "src/metrics", "src/config", "src/wire", "src/log", "src/op", "src/uv"],
    "tests/sim": ["src/base", "src/wire", "src/crypto", "src/log", "src/op", "src/server"],
}

# What only some folders may name, with the folders that may.
BANNED = [
    ("a clock", r"\b(clock_gettime|gettimeofday|time\s*\(\s*(NULL|0|&)|uv_hrtime|uv_now|nanosleep|usleep)\b", ["src/uv"]),
    ("a thread", r"\b(pthread_\w+|thrd_\w+|uv_thread_\w+|uv_queue_work)\b", ["src/uv"]),
    ("chance", r"\b(getrandom|getentropy|randombytes_\w+|rand\s*\(|random\s*\(\s*\)|arc4random\w*)", ["src/uv"]),
    ("libsodium", r"#include <sodium\.h>", ["src/crypto", "src/uv"]),
    ("libuv", r"#include <uv\.h>", ["src/uv"]),
    ("io_uring", r"#include <liburing\.h>", ["src/uv"]),
    ("a socket", r"\b(socket\s*\(|accept4?\s*\(|recv\s*\(|send\s*\()", ["src/uv"]),
]


def folder_of(path):
    """The floor that a file stands on: the longest folder of FLOORS that holds it."""
    fitting = [f for f in FLOORS if path == f or path.startswith(f + "/")]
    return max(fitting, key=len) if fitting else None


def strip_comments(text):
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: "\n" * m.group().count("\n"), text, flags=re.S)


def breaches(path, text):
    home = folder_of(path)
    if home is None:
        return
    for number, line in enumerate(strip_comments(text).splitlines(), 1):
        include = re.match(r'\s*#\s*include "([^"]+)"', line)
        if include:
            name = include.group(1)
            if home.startswith("tests/") and (ROOT / "tests" / name).exists():
                continue  # the tests' own
            target = "include/sessiond" if name.startswith("sessiond/") else folder_of("src/" + name) if "/" in name else home
            if target not in [home, "include/sessiond", *FLOORS[home]]:
                yield f"{path}:{number}: {home} may not include {name} ({target})"
        for what, pattern, allowed in BANNED:
            if re.search(pattern, line) and home.startswith("src") and home not in allowed:
                yield f"{path}:{number}: {home} may not know {what}: {line.strip()}"


def selftest():
    assert list(breaches("src/op/x.c", '#include "engine/memory/table.h"\n')), "an upward include passes"
    assert list(breaches("src/base/x.c", "now = clock_gettime(CLOCK_BOOTTIME, &t);\n")), "a clock passes"
    assert list(breaches("src/wire/x.c", '#include "op/op.h"\n')), "wire may include op"
    assert list(breaches("src/op/x.c", "#include <sodium.h>\n")), "op may have its own cryptography"
    assert not list(breaches("src/uv/x.c", "clock_gettime(CLOCK_BOOTTIME, &t);\n")), "uv may not have its clock"
    assert not list(breaches("src/op/x.c", '#include "wire/codec.h"\n/* clock_gettime */\n')), "a comment is a breach"


def main():
    selftest()
    files = [p for top in ("src", "include", "tests/sim") for p in (ROOT / top).rglob("*.[ch]")]
    found = [b for p in sorted(files) for b in breaches(p.relative_to(ROOT).as_posix(), p.read_text())]
    print("\n".join(found) if found else f"{len(files)} files keep their floors")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
