"""The blocking client. Any number of threads may share one; each call has a connection to itself while it lasts.

Always true: connections that nobody uses lie in a list under a lock, the last used on top, so that there are as many as
calls were made at once, and most of the time one thread has one. A process that was forked begins without connections."""

import os
import threading
import time
import weakref
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Type, Union

from ._core import PING, WATCH, AnyClient, Call, Event, Pending, Settings, plan_again, timeout_checked, without
from ._methods import Methods, PipelineMethods
from ._schema import EventKind, Operation, ServerHelloReply, Text
from ._sync import Connection, open_any
from .errors import Closed, ConnectionFailed, SessiondError, TimedOut

MAX_IDLE = 32
WATCH_IDLE_S = 15.0  # a watch that hears nothing for so long asks whether the server is still there

_clients: "weakref.WeakSet[Client]" = weakref.WeakSet()


class Client(AnyClient, Methods):
    """A client of a sessiond. Nothing is connected before the first call."""

    def __init__(self, url: str, *, timeout_s: float = 2.0, repeat_writes: bool = True) -> None:
        super().__init__(url, timeout_s=timeout_s, repeat_writes=repeat_writes)
        self._begin()
        _clients.add(self)

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._idle: List[Connection] = []

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections that are not in use; those in use are closed when their calls end."""
        with self._lock:
            self._is_closed, idle, self._idle = True, self._idle, []
        for connection in idle:
            connection.close()

    def pipeline(self, *, timeout_s: Optional[float] = None) -> "Pipeline":
        """Calls to be sent together, in one write, and executed in their order.

        Args:
            timeout_s: seconds for all of them together; left out: the client's.
        """
        return Pipeline(self, self._settings.timeout_s if timeout_s is None else timeout_checked(timeout_s))

    def server_hello(self, *, version: Optional[int] = None, namespace: Optional[Text] = None,
                     client_name: Optional[str] = None, timeout_s: Optional[float] = None) -> ServerHelloReply:
        """Asks the server for its protocol, limits and features, on a connection of its own, which is closed then.

        Raises:
            BadRequest: the server does not speak the version.
        """
        call = self._hello(version, namespace, client_name, timeout_s)
        connection, _ = self._open(call.deadline)
        try:
            connection.exchange([call])
        finally:
            connection.close()
        answer: ServerHelloReply = call.result()
        return answer

    def watch(self, *, kinds: Union[EventKind, Sequence[EventKind], None] = None, user: Optional[Text] = None,
              client: Optional[Text] = None, pool: Optional[Text] = None, data: Optional[bool] = None,
              namespace: Optional[Text] = None, reconnect_s: float = 60.0) -> "Watch":
        """What happens to sessions from now on, as an iterator of events, over a connection of its own.

        Args:
            kinds: only these, such as ["expired", "revoked"]; left out: all.
            user: only of this user.
            client: only of this client.
            pool: only of this pool.
            data: True: with the session's data, where the event is no larger than 16 KiB with it.
            namespace: left out: the one of the client's URL.
            reconnect_s: seconds for which a lost server is looked for before the iterator raises. When it is found, an
                event of kind "reconnected" says that events may be missing.

        Raises:
            ConnectionFailed: there is no server.
        """
        filters = without(None, {"kinds": kinds, "user": user, "client": client, "pool": pool, "data": data})
        return Watch(self, [namespace], filters, timeout_checked(reconnect_s))

    # ---- what the methods are made of

    def _call(self, operation: Operation, params: List[Any], options: Dict[str, Any], timeout_s: Optional[float]) -> Any:
        call = Call(operation, params, options, timeout_s, self._settings)
        self._run([call])
        return call.result()

    def _run(self, calls: List[Call]) -> None:
        """Settles all calls: each has its answer, or the error that is at the end of its tries."""
        while calls:
            failure: Optional[SessiondError] = None
            try:
                connection = self._take(max(call.deadline for call in calls))
                try:
                    connection.exchange(calls)
                except BaseException:
                    connection.close()  # also when a signal interrupts: an answer may be under way
                    raise
                self._give(connection)
            except Closed:
                raise
            except SessiondError as error:
                failure = error
            calls, pause_s = plan_again(calls, failure)
            if calls:
                time.sleep(pause_s)

    def _take(self, deadline: float) -> Connection:
        while True:
            with self._lock:
                if self._is_closed:
                    raise Closed("The client is closed; make another one.")
                connection = self._idle.pop() if self._idle else None
            if connection is None:
                return self._open(deadline)[0]
            if connection.is_usable():
                return connection
            connection.close()

    def _open(self, deadline: float) -> "tuple[Connection, int]":
        connection, self._first = open_any(self._target.addresses, self._first, self._target.namespace, deadline)
        return connection, self._first

    def _give(self, connection: Connection) -> None:
        with self._lock:
            if not self._is_closed and len(self._idle) < MAX_IDLE and connection.pid == os.getpid():
                self._idle.append(connection)
                return
        connection.close()


class Pipeline(PipelineMethods):
    """Calls that are sent together. Each answers a Pending, whose result() is there when the `with` block is left.

    An error of one call is raised by its own result() and stops none of the others. Use it from one thread."""

    def __init__(self, client: Client, timeout_s: float) -> None:
        self._client = client
        self._timeout_s = timeout_s
        self._calls: List[Call] = []

    def _call(self, operation: Operation, params: List[Any], options: Dict[str, Any], timeout_s: Optional[float]) -> Any:
        call = Call(operation, params, options, None, self._client._settings)
        call.timeout_s += self._timeout_s - self._client._settings.timeout_s
        self._calls.append(call)
        return Pending[Any](call)

    def execute(self) -> None:
        """Sends what has been called since the last time, and waits for the answers."""
        calls, self._calls = self._calls, []
        for call in calls:
            call.begin()
        self._client._run(calls)

    def __enter__(self) -> "Pipeline":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        if kind is None:
            self.execute()
        self._calls = []


class Watch:
    """Events as they happen. Iterate it from one thread; close() may be called from any, and ends the iteration."""

    def __init__(self, client: Client, params: List[Any], filters: Dict[str, Any], reconnect_s: float) -> None:
        self._client, self._params, self._filters, self._reconnect_s = client, params, filters, reconnect_s
        self._is_closed = False
        self._connection: Optional[Connection] = None
        self._connect(client._settings.timeout_s)

    def _connect(self, timeout_s: float) -> None:
        settings = Settings(timeout_s, False)
        call = Call(WATCH, self._params, self._filters, timeout_s, settings)
        while True:
            connection: Optional[Connection] = None
            try:
                connection, _ = self._client._open(min(call.deadline, time.monotonic() + self._client._settings.timeout_s))
                connection.exchange([call])
                call.result()
                self._connection = connection
                if self._is_closed:
                    connection.shut_down()
                return
            except SessiondError as error:
                if connection:
                    connection.close()
                pause_s = None if self._is_closed else call.pause_to_reconnect_s(error)
                if pause_s is None:
                    raise
                call.is_settled, call.error = False, None
                time.sleep(pause_s)

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        while not self._is_closed:
            connection = self._connection
            assert connection
            if connection.events:
                return connection.events.pop(0)
            try:
                if not connection.receive(time.monotonic() + WATCH_IDLE_S):
                    connection.exchange([Call(PING, [], {}, None, self._client._settings)])
            except (ConnectionFailed, TimedOut):
                connection.close()
                if self._is_closed:
                    break
                self._connect(self._reconnect_s)
                return {"kind": "reconnected"}
        if self._connection:
            self._connection.close()
        raise StopIteration

    def close(self) -> None:
        """Ends the watch, also under a thread that waits for its next event."""
        self._is_closed = True
        if self._connection:
            self._connection.shut_down()

    def __enter__(self) -> "Watch":
        return self

    def __exit__(self, kind: Optional[Type[BaseException]], error: Optional[BaseException],
                 trace: Optional[TracebackType]) -> None:
        self.close()
        if self._connection:
            self._connection.close()


def _after_fork() -> None:
    """The child's clients begin anew: a lock that another thread held would stay locked, and the parent's connections are
    the parent's. Their descriptors are closed here, which ends nothing for the parent."""
    for client in list(_clients):
        idle = client._idle
        client._begin()
        for connection in idle:
            connection.close()


os.register_at_fork(after_in_child=_after_fork)
