"""JSON values to MessagePack in the shortest form: enough for vectors and documents, written without a library so that
the vectors do not depend on one."""

import struct


def head(short, short_end, wide, count):
    """A count in the head itself, or behind the first of `wide` ((first byte, format), ...) that holds it."""
    if count < short_end:
        return bytes([short | count])
    for first, form in wide:
        if count < 1 << 8 * struct.calcsize(form):
            return bytes([first]) + struct.pack(form, count)
    raise ValueError("too long for MessagePack")


def integer(value):
    if -32 <= value < 128:
        return struct.pack(">b", value)
    forms = (((0xCC, ">B"), (0xCD, ">H"), (0xCE, ">I"), (0xCF, ">Q")) if value >= 0 else
             ((0xD0, ">b"), (0xD1, ">h"), (0xD2, ">i"), (0xD3, ">q")))
    for first, form in forms:
        try:
            return bytes([first]) + struct.pack(form, value)
        except struct.error:
            continue
    raise ValueError("too large for MessagePack")


def pack(value):
    if value is None:
        return b"\xc0"
    if isinstance(value, bool):
        return b"\xc3" if value else b"\xc2"
    if isinstance(value, int):
        return integer(value)
    if isinstance(value, float):
        return b"\xcb" + struct.pack(">d", value)
    if isinstance(value, str):
        text = value.encode()
        return head(0xA0, 32, ((0xD9, ">B"), (0xDA, ">H"), (0xDB, ">I")), len(text)) + text
    if isinstance(value, list):
        return head(0x90, 16, ((0xDC, ">H"), (0xDD, ">I")), len(value)) + b"".join(map(pack, value))
    if isinstance(value, dict):
        return head(0x80, 16, ((0xDE, ">H"), (0xDF, ">I")), len(value)) + b"".join(
            pack(key) + pack(item) for key, item in value.items())
    raise TypeError(type(value))
