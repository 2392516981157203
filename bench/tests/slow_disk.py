#!/usr/bin/env python3
"""A server that speaks as much RESP as a comparison needs, and whose disk is behind when it is first loaded: it refuses
the first SETs and takes the others. Argument: the port."""
import asyncio
import sys

REFUSED = 10
sessions, refused = {}, 0


async def read_command(reader):
    count = int((await reader.readline())[1:])
    words = []
    for _ in range(count):
        size = int((await reader.readline())[1:])
        words.append((await reader.readexactly(size + 2))[:-2])
    return words


def answer(words):
    global refused
    if words[0] == b"PING":
        return b"+PONG\r\n"
    if words[0] == b"GET":
        value = sessions.get(words[1])
        return b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
    if words[0] != b"SET":
        return b"-ERR unknown command\r\n"
    if refused < REFUSED:
        refused += 1
        return b"-BUSY the disk is behind\r\n"
    sessions[words[1]] = words[2]
    return b"+OK\r\n"


async def serve(reader, writer):
    try:
        while True:
            writer.write(answer(await read_command(reader)))
    except (asyncio.IncompleteReadError, ConnectionError, ValueError):
        writer.close()


async def main():
    async with await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1])) as server:
        await server.serve_forever()


asyncio.run(main())
