"""A blocking connection: connects, says hello, and exchanges calls for answers until a deadline.

Always true: the socket is non-blocking and every wait has an end. A connection belongs to one thread at a time, and to the
process that made it. One that failed is closed and never used again."""

import os
import select
import socket
import time
from typing import List, Optional, Tuple

from ._core import Call, Event, Reply, Stream, hello_call, no_connection, server_error, turns_of
from ._url import Address, address_text
from .errors import ConnectionFailed, SessiondError, TimedOut

CHUNK = 65536


def connect(address: Address, timeout_s: float) -> socket.socket:
    if isinstance(address, str):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(address)
        except BaseException:
            connection.close()
            raise
    else:
        connection = socket.create_connection(address, timeout_s)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    connection.setblocking(False)
    return connection


class Connection:
    """A connection that has said hello."""

    def __init__(self, address: Address, namespace: Optional[str], deadline: float) -> None:
        self.peer = address_text(address)
        self.stream = Stream(self.peer)
        self.events: List[Event] = []
        self.pid = os.getpid()
        try:
            self.socket = connect(address, max(0.001, deadline - time.monotonic()))
        except OSError as error:
            raise ConnectionFailed(f"There is no connection to {self.peer}: {error.strerror or error}. Is the server running, "
                                   "and is the URL right?") from error
        self._poll = select.poll()
        self._poll.register(self.socket, select.POLLIN)
        try:
            self._say_hello(namespace, deadline)
        except BaseException:
            self.close()
            raise

    def _say_hello(self, namespace: Optional[str], deadline: float) -> None:
        call = hello_call(namespace, deadline)
        try:
            replies = self._converse([call])
        except TimedOut:
            raise TimedOut(f"{self.peer} took the connection and did not answer; is it a sessiond, and is it well?") from None
        except ConnectionFailed as error:
            raise ConnectionFailed(f"{error} It had not answered anything yet; is it a sessiond?") from error
        self.stream.check_hello(replies[0])
        self.hello = replies[0].answer

    def is_usable(self) -> bool:
        """Whether an idle connection is still there: not ended by the server, and of this process."""
        if self.pid != os.getpid():
            return False
        try:
            self.socket.recv(1, socket.MSG_PEEK)
            return False  # the end, or something that nobody asked for
        except BlockingIOError:
            return True
        except OSError:
            return False

    def exchange(self, calls: List[Call]) -> None:
        """Sends calls and settles them as they are answered. Raises what ended the connection before all were."""
        self._converse(calls)

    def receive(self, deadline: float) -> bool:
        """Waits for something and keeps the events in it. False: nothing came in time."""
        if self._wait(False, deadline):
            self._take()
            return True
        return False

    def _converse(self, calls: List[Call]) -> List[Reply]:
        msgids = [self.stream.next_msgid() for _ in calls]
        waiting = dict(zip(msgids, calls))
        out = memoryview(b"".join(call.frame(msgid) for msgid, call in waiting.items()))
        replies: List[Reply] = []
        while waiting:
            out = self._send(out)
            deadline = max(call.deadline for call in waiting.values())
            if not self._wait(len(out) > 0, deadline):
                raise next(iter(waiting.values())).timed_out()
            for reply in self._take():
                call = waiting.pop(reply.msgid, None)
                if call:
                    call.settle(reply.answer, None if reply.error is None else server_error(reply.error, call.operation.method))
                    replies.append(reply)
        return replies

    def _send(self, out: memoryview) -> memoryview:
        try:
            while out:
                out = out[self.socket.send(out):]
        except BlockingIOError:
            pass
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from error
        return out

    def _wait(self, is_sending: bool, deadline: float) -> bool:
        """Until there is something to read, or room to write where there is something to send. False: the time is over."""
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        if is_sending:
            self._poll.modify(self.socket, select.POLLIN | select.POLLOUT)
        ready = self._poll.poll(left * 1000 + 1)
        if is_sending:
            self._poll.modify(self.socket, select.POLLIN)
        return bool(ready)

    def _take(self) -> List[Reply]:
        """What has been received: replies are answered, events kept."""
        try:
            received = self.socket.recv(CHUNK)
        except BlockingIOError:
            return []
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from error
        if not received:
            raise self._broken("the server closed it")
        replies = []
        for message in self.stream.messages(received):
            if isinstance(message, Reply):
                replies.append(message)
            else:
                self.events.append(message)
        return replies

    def _broken(self, why: str) -> ConnectionFailed:
        return ConnectionFailed(f"The connection to {self.peer} broke: {why}.", may_be_executed=True)

    def shut_down(self) -> None:
        """Ends the connection under a thread that waits on it."""
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass

    def close(self) -> None:
        self.socket.close()


def open_any(addresses: List[Address], first: int, namespace: Optional[str], deadline: float) -> Tuple[Connection, int]:
    """A connection to the first of several servers that takes one, beginning with number `first`; and which it is."""
    failure: Optional[SessiondError] = None
    for number, address, ends_at in turns_of(addresses, first, deadline):
        try:
            return Connection(address, namespace, ends_at), number
        except (ConnectionFailed, TimedOut) as error:
            failure = error
    raise no_connection(failure)
