#!/usr/bin/env python3
"""Writes every generated file from schema.toml. `--check` writes nothing and fails if one is stale."""

import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent))

import gen_c  # noqa: E402
import gen_client  # noqa: E402
import gen_doc  # noqa: E402
import gen_python  # noqa: E402
import gen_node  # noqa: E402
import gen_vectors  # noqa: E402
import schema as schema_file  # noqa: E402

OUTPUTS = {**gen_c.OUTPUTS, **gen_client.OUTPUTS, **gen_node.OUTPUTS, **gen_vectors.OUTPUTS,
           **gen_python.OUTPUTS, **gen_doc.OUTPUTS}


def main():
    schema = schema_file.load()
    stale = []
    for name, make in OUTPUTS.items():
        path, text = schema_file.ROOT / name, make(schema)
        if path.exists() and path.read_text() == text:
            continue
        stale.append(name)
        if "--check" not in sys.argv[1:]:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
    if stale and "--check" in sys.argv[1:]:
        sys.exit("stale, run proto/gen.py: " + ", ".join(stale))


if __name__ == "__main__":
    main()
