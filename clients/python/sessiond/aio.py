"""The asyncio client: one connection for all tasks, on which requests of one turn of the loop leave in one write.

Always true: a client belongs to the event loop that it is used in, and to one thread; used in another loop it connects
anew. Cancelling a task gives up its answer; what an acquire hands out to nobody is given back."""

import asyncio
import os
import time
from types import TracebackType
from typing import Any, AsyncIterator, Dict, List, Optional, Sequence, Tuple, Type, Union

from ._core import (PING, WATCH, AnyClient, Call, Event, Reply, Settings, Stream, hello_call, no_connection, plan_again,
                    server_error, timeout_checked, turns_of, uses_of, without)
from ._methods import AsyncMethods
from ._schema import EventKind, Operation, ServerHelloReply, Text
from ._url import Address, address_text
from .client import WATCH_IDLE_S
from .errors import Closed, ConnectionFailed, ServerError, SessiondError, TimedOut

CHUNK = 65536
MAX_UNSENT = 1024 * 1024  # bytes under way before further calls wait


class Connection:
    """A connection that has said hello; a task of its own reads it until it ends."""

    def __init__(self, peer: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer, self._reader, self._writer = peer, reader, writer
        self.stream = Stream(peer)
        self.pid = os.getpid()
        self.loop = asyncio.get_running_loop()
        self.failure: Optional[SessiondError] = None
        self.events: "asyncio.Queue[Optional[Event]]" = asyncio.Queue()
        self.received_at = 0.0
        self._waiting: Dict[int, Tuple[Call, "asyncio.Future[None]"]] = {}
        self._given_up: Dict[int, Call] = {}
        self._out: List[bytes] = []
        self._hello: "asyncio.Future[Reply]" = self.loop.create_future()
        self._reading = self.loop.create_task(self._read())

    @classmethod
    async def open(cls, address: Address, namespace: Optional[str], deadline: float) -> "Connection":
        peer = address_text(address)
        try:
            left = max(0.001, deadline - time.monotonic())
            opening = asyncio.open_unix_connection(address) if isinstance(address, str) else asyncio.open_connection(*address)
            reader, writer = await asyncio.wait_for(opening, left)
        except asyncio.TimeoutError:
            raise ConnectionFailed(f"There is no connection to {peer}: it does not answer. Is the URL right?") from None
        except OSError as error:
            raise ConnectionFailed(f"There is no connection to {peer}: {error.strerror or error}. Is the server running, "
                                   "and is the URL right?") from error
        connection = cls(peer, reader, writer)
        try:
            await connection._say_hello(namespace, deadline)
        except BaseException:
            connection.close()
            raise
        return connection

    async def _say_hello(self, namespace: Optional[str], deadline: float) -> None:
        call = hello_call(namespace, deadline)
        try:
            await self.exchange(call)
        except TimedOut:
            raise TimedOut(f"{self.peer} took the connection and did not answer; is it a sessiond, and is it well?") from None
        except ConnectionFailed as error:
            raise ConnectionFailed(f"{error} It had not answered anything yet; is it a sessiond?") from error
        self.stream.check_hello(Reply(0, call.error.details if isinstance(call.error, ServerError) else None, call.answer))

    def is_usable(self) -> bool:
        return self.failure is None and self.pid == os.getpid() and self.loop is asyncio.get_running_loop()

    async def exchange(self, call: Call) -> None:
        """Sends a call and settles it. Raises what ended the connection, or TimedOut."""
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            await asyncio.wait_for(self._drain(), call.left_s())
        if self.failure:
            raise self.failure
        msgid, answered = self.stream.next_msgid(), self.loop.create_future()
        self._waiting[msgid] = call, answered
        self._send(call.frame(msgid))
        sent_at = time.monotonic()
        try:
            await asyncio.wait_for(answered, call.left_s())
        except asyncio.TimeoutError:
            answered.cancel()
            if self.received_at < sent_at:  # a server that says nothing at all may be gone without a word
                self.fail(ConnectionFailed(f"{self.peer} has not answered anything for {call.timeout_s:g} s.", True))
            raise call.timed_out() from None
        finally:
            if self._waiting.pop(msgid, None) and call.operation.method == "pool.acquire":
                self._given_up[msgid] = call

    def _send(self, frame: bytes) -> None:
        if not self._out:
            self.loop.call_soon(self._flush)
        self._out.append(frame)

    def _flush(self) -> None:
        out, self._out = self._out, []
        if out and not self.failure:
            self._writer.write(b"".join(out))

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except OSError as error:
            raise self._broken(str(error)) from error

    async def _read(self) -> None:
        try:
            while True:
                received = await self._reader.read(CHUNK)
                if not received:
                    raise self._broken("the server closed it")
                self.received_at = time.monotonic()
                for message in self.stream.messages(received):
                    if isinstance(message, Reply):
                        self._settle(message)
                    else:
                        self.events.put_nowait(message)
        except SessiondError as error:
            self.fail(error)
        except OSError as error:
            self.fail(self._broken(error.strerror or str(error)))

    def _settle(self, reply: Reply) -> None:
        call, answered = self._waiting.pop(reply.msgid, (None, None))
        if call and answered and not answered.done():
            call.settle(reply.answer, None if reply.error is None else server_error(reply.error, call.operation.method))
            answered.set_result(None)
            return
        late = call or self._given_up.pop(reply.msgid, None)
        for frame in uses_of(late, reply.answer) if late and reply.error is None else []:
            self._send(frame)

    def _broken(self, why: str) -> ConnectionFailed:
        return ConnectionFailed(f"The connection to {self.peer} broke: {why}.", may_be_executed=True)

    def fail(self, error: SessiondError) -> None:
        """Ends the connection; who waits for an answer gets the error."""
        if self.failure:
            return
        self.failure = error
        for _, answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(error)
        self._waiting.clear()
        self.events.put_nowait(None)
        if not self.loop.is_closed():
            self._reading.cancel()
            self._writer.close()

    def close(self) -> None:
        self.fail(Closed("The client is closed; make another one."))


class Client(AnyClient, AsyncMethods):
    """A client of a sessiond for asyncio. Nothing is connected before the first call. Calls that are made together, as with
    asyncio.gather, leave together."""

    def __init__(self, url: str, *, timeout_s: float = 2.0, repeat_writes: bool = True) -> None:
        super().__init__(url, timeout_s=timeout_s, repeat_writes=repeat_writes)
        self._live: Optional[Connection] = None
        self._opening: "Optional[asyncio.Task[Connection]]" = None
        self._opening_ends_at = 0.0

    async def __aenter__(self) -> "Client":
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection. Calls that wait on it raise Closed."""
        self._is_closed = True
        if self._opening and not self._opening.done():
            self._opening.cancel()
        if self._live:
            self._live.close()
        await asyncio.sleep(0)  # the transport closes in the loop's next turn

    async def server_hello(self, *, version: Optional[int] = None, namespace: Optional[Text] = None,
                           client_name: Optional[str] = None, timeout_s: Optional[float] = None) -> ServerHelloReply:
        """Asks the server for its protocol, limits and features, on a connection of its own, which is closed then.

        Raises:
            BadRequest: the server does not speak the version.
        """
        call = self._hello(version, namespace, client_name, timeout_s)
        connection = await self._open(call.deadline)
        try:
            await connection.exchange(call)
        finally:
            connection.close()
        answer: ServerHelloReply = call.result()
        return answer

    def watch(self, *, kinds: Union[EventKind, Sequence[EventKind], None] = None, user: Optional[Text] = None,
              client: Optional[Text] = None, pool: Optional[Text] = None, data: Optional[bool] = None,
              namespace: Optional[Text] = None, reconnect_s: float = 60.0) -> "Watch":
        """What happens to sessions, as an async iterator of events, over a connection of its own. It begins when its
        `async with` block is entered, or with the first event that is asked for.

        Args:
            kinds: only these, such as ["expired", "revoked"]; left out: all.
            user: only of this user.
            client: only of this client.
            pool: only of this pool.
            data: True: with the session's data, where the event is no larger than 16 KiB with it.
            namespace: left out: the one of the client's URL.
            reconnect_s: seconds for which a lost server is looked for before the iterator raises. When it is found, an
                event of kind "reconnected" says that events may be missing.
        """
        filters = without(None, {"kinds": kinds, "user": user, "client": client, "pool": pool, "data": data})
        return Watch(self, [namespace], filters, timeout_checked(reconnect_s))

    # ---- what the methods are made of

    async def _call(self, operation: Operation, params: List[Any], options: Dict[str, Any], timeout_s: Optional[float]) -> Any:
        call = Call(operation, params, options, timeout_s, self._settings)
        again = [call]
        while again:
            failure: Optional[SessiondError] = None
            try:
                connection = await self._connection(call)
                await connection.exchange(call)
            except Closed:
                raise
            except SessiondError as error:
                failure = error
            again, pause_s = plan_again(again, failure)
            if again:
                await asyncio.sleep(pause_s)
        return call.result()

    async def _connection(self, call: Call) -> Connection:
        if self._is_closed:
            raise Closed("The client is closed; make another one.")
        if self._live and self._live.is_usable():
            return self._live
        loop = asyncio.get_running_loop()
        if self._opening is None or self._opening.done() or self._opening.get_loop() is not loop:
            self._opening, self._opening_ends_at = loop.create_task(self._open_shared(call.deadline)), call.deadline
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # somebody has asked
        try:
            if call.deadline >= self._opening_ends_at:
                return await asyncio.shield(self._opening)  # its own end tells what was amiss
            return await asyncio.wait_for(asyncio.shield(self._opening), call.left_s())
        except TimedOut:
            raise  # since Python 3.11 it is an asyncio.TimeoutError, and it says more
        except asyncio.TimeoutError:
            raise call.timed_out() from None

    async def _open_shared(self, deadline: float) -> Connection:
        self._live = await self._open(deadline)
        return self._live

    async def _open(self, deadline: float) -> Connection:
        """A connection to the first of the servers that takes one, beginning with the one that did so last."""
        failure: Optional[SessiondError] = None
        for number, address, ends_at in turns_of(self._target.addresses, self._first, deadline):
            try:
                connection = await Connection.open(address, self._target.namespace, ends_at)
                self._first = number
                return connection
            except (ConnectionFailed, TimedOut) as error:
                failure = error
        raise no_connection(failure)


class Watch:
    """Events as they happen: `async with client.watch() as events:` and `async for event in events:`."""

    def __init__(self, client: Client, params: List[Any], filters: Dict[str, Any], reconnect_s: float) -> None:
        self._client, self._params, self._filters, self._reconnect_s = client, params, filters, reconnect_s
        self._is_closed = False
        self._connection: Optional[Connection] = None

    async def _connect(self, timeout_s: float) -> Connection:
        call = Call(WATCH, self._params, self._filters, timeout_s, Settings(timeout_s, False))
        while True:
            connection: Optional[Connection] = None
            try:
                connection = await self._client._open(min(call.deadline, time.monotonic() + self._client._settings.timeout_s))
                await connection.exchange(call)
                call.result()
                self._connection = connection
                return connection
            except BaseException as error:
                if connection:
                    connection.close()
                pause_s = None
                if isinstance(error, SessiondError) and not self._is_closed:
                    pause_s = call.pause_to_reconnect_s(error)
                if pause_s is None:
                    raise
                call.is_settled, call.error = False, None
                await asyncio.sleep(pause_s)

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        if self._connection is None and not self._is_closed:
            await self._connect(self._client._settings.timeout_s)
        while not self._is_closed:
            connection = self._connection
            assert connection
            try:
                event = await asyncio.wait_for(connection.events.get(), WATCH_IDLE_S)
            except asyncio.TimeoutError:
                await self._ask(connection)
                continue
            if event is not None:
                return event
            if not self._is_closed:
                if not isinstance(connection.failure, (ConnectionFailed, TimedOut)):
                    raise connection.failure or Closed("The watch is closed.")
                await self._connect(self._reconnect_s)
                return {"kind": "reconnected"}
        raise StopAsyncIteration

    async def _ask(self, connection: Connection) -> None:
        try:
            await connection.exchange(Call(PING, [], {}, None, self._client._settings))
        except (ConnectionFailed, TimedOut) as error:
            connection.fail(error if isinstance(error, ConnectionFailed) else ConnectionFailed(str(error), True))

    async def close(self) -> None:
        """Ends the watch, also under a task that waits for its next event."""
        self._is_closed = True
        if self._connection:
            self._connection.close()
        await asyncio.sleep(0)

    async def __aenter__(self) -> "Watch":
        if self._connection is None:
            await self._connect(self._client._settings.timeout_s)
        return self

    async def __aexit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                        trace: Optional[TracebackType]) -> None:
        await self.close()
