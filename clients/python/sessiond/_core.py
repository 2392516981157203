"""What both clients share: how calls become bytes and bytes answers or errors, and when a call is tried again.

Always true: nothing here reads or writes a socket or sleeps. One Stream belongs to one connection; who holds the
connection holds it. A Call belongs to who makes it."""

import random
import time
from typing import Any, Dict, Generic, Iterator, List, Mapping, NamedTuple, Optional, Tuple, Type, TypedDict, TypeVar, Union, cast

import msgpack

from ._schema import ERRORS, MAX_FRAME, OP_ID_KEEP_MS, OPERATIONS, VERSION, Operation, Text
from ._url import Address, parse_url
from .errors import (ConnectionFailed, NotDecodable, NotEncodable, NotSessiond, ServerError, SessiondError, TimedOut,
                     WrongVersion)

T = TypeVar("T")
MAX_REPLY = 64 * 1024 * 1024  # a page of a thousand sessions may be far longer than a request
REPEAT_S = OP_ID_KEEP_MS / 1000 - 10.0  # a repeat comes while the op_id is remembered, with room for a slow way there
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.02, 1.0


class LeftOut:
    """The type of LEFT_OUT."""

    def __repr__(self) -> str:
        return "LEFT_OUT"


# The default of options for which None means something of its own.
LEFT_OUT = LeftOut()


class Event(TypedDict, total=False):
    """What a watch tells. Moments are milliseconds since the Unix epoch."""

    kind: str  # one of EventKind, or "reconnected", which this client puts in where events may be missing
    watch: int
    seq: int
    id: str
    handle: str
    user: str
    client: str
    pool: str
    at: int
    version: int
    reason: str
    data: Any
    missed: int


HELLO, PING, WATCH = OPERATIONS["server.hello"], OPERATIONS["server.ping"], OPERATIONS["watch.start"]


def without(nothing: Any, options: Dict[str, Any]) -> Dict[str, Any]:
    """The options that are given: those that are not `nothing`."""
    return {name: value for name, value in options.items() if value is not nothing}


def pack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True, unicode_errors="surrogateescape")
    return packed


PACKING = (TypeError, ValueError, OverflowError)  # what packb raises for what it cannot pack; RecursionError is none of them


def fault_of(value: Any, path: str) -> Optional[str]:
    """Where in a value the first thing is that cannot be packed, and what it is; None where all can be."""
    inner: List[Tuple[Any, str]] = []
    if isinstance(value, Mapping):
        for key in value:
            fault = fault_of(key, f"a key of {path}")
            if fault:
                return fault
            inner.append((value[key], f"{path}[{key!r}]"))
    elif isinstance(value, (list, tuple)):
        inner = [(element, f"{path}[{i}]") for i, element in enumerate(value)]
    if len(path) > 2000:
        return f"{path[:60]}... is nested too deeply"
    for element, where in inner:
        fault = fault_of(element, where)
        if fault:
            return fault
    try:
        pack(value)
        return None
    except PACKING as error:
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
        return f"{path} is {name}: {error}"


def encode(operation: Operation, params: List[Any], options: Dict[str, Any]) -> bytes:
    """A request behind its msgid. Raises NotEncodable with where the fault is, TooBig for what no server would take."""
    try:
        body = pack(operation.method) + pack([*params, options] if options else params)
    except PACKING as error:
        named = [*zip(params, operation.params), *((value, name) for name, value in options.items())]
        fault = next(filter(None, (fault_of(value, name) for value, name in named)), str(error))
        raise NotEncodable(f"{operation.method}: {fault}. Give None, bool, int of 64 bits, float, str, bytes, list or "
                           "dict.") from None
    if len(body) + 7 > MAX_FRAME:
        text = f"The request has {len(body) + 7:,} bytes, more than the {MAX_FRAME:,} of a message."
        raise server_error({"code": "TOO_BIG", "message": text, "limit": MAX_FRAME}, operation.method)
    return body


def server_error(details: Any, method: str = "") -> ServerError:
    """The exception for a server's error: of its code's class, or ServerError for a code that is not known."""
    if not isinstance(details, dict):
        details = {"code": "INTERNAL", "message": f"The server sent an error that is no map: {details!r}"}
    kind: Type[ServerError] = ERRORS.get(str(details.get("code")), ServerError)
    return kind(details, method)


class Settings(NamedTuple):
    """How a client calls: see sessiond.Client."""

    timeout_s: float
    repeat_writes: bool


def timeout_checked(timeout_s: Any) -> float:
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, (int, float)) or not 0 < timeout_s < 1e9:
        raise ValueError(f"timeout_s must be a number of seconds above 0, not {timeout_s!r}.")
    return float(timeout_s)


class Call:
    """One call until it is settled: its bytes, its time, and what came of it.

    Repeats are the same bytes: the op_id in them is what keeps the server from executing a write twice."""

    def __init__(self, operation: Operation, params: List[Any], options: Dict[str, Any], timeout_s: Optional[float],
                 settings: Settings) -> None:
        can_repeat = operation.is_write and settings.repeat_writes
        if can_repeat and "op_id" not in options:
            options = {**options, "op_id": random.getrandbits(53)}
        self.operation = operation
        self.namespace = params[0] if operation.params[:1] == ("namespace",) else None
        self.body = encode(operation, params, options)
        wait_ms = options.get("wait_ms") if operation.method == "pool.acquire" else None
        self.timeout_s = settings.timeout_s if timeout_s is None else timeout_checked(timeout_s)
        if timeout_s is None and isinstance(wait_ms, (int, float)):
            self.timeout_s += wait_ms / 1000  # the server waits so long before it has anything to say
        self.is_repeatable = can_repeat or not operation.is_write or "op_id" in options
        self.attempts = 0
        self.is_sent = self.is_settled = False
        self.lost: Optional[ConnectionFailed] = None  # what ended the last try that ended early
        self.answer: Any = None
        self.error: Optional[SessiondError] = None
        self.begin()

    def begin(self) -> None:
        """Starts the call's time."""
        self.begun_at = time.monotonic()
        self.deadline = self.begun_at + self.timeout_s

    def frame(self, msgid: int) -> bytes:
        self.is_sent = True
        return b"\x94\x00\xce" + msgid.to_bytes(4, "big") + self.body

    def left_s(self) -> float:
        """Seconds until the deadline. Raises TimedOut where there are none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise self.timed_out()
        return left

    def timed_out(self) -> TimedOut:
        return TimedOut(f"{self.operation.method}: no answer within {self.timeout_s:g} s; "
                        + ("it may have been executed, or may be yet." if self.operation.is_write else "is the server overloaded?"))

    def settle(self, answer: Any, error: Optional[SessiondError]) -> None:
        self.is_settled, self.answer, self.error = True, answer, error

    def result(self) -> Any:
        if self.error:
            raise self.error
        return self.answer

    def pause_s(self, error: SessiondError) -> Optional[float]:
        """How long to wait before the call is tried again after an error, in seconds; None: the error is the answer."""
        now, self.attempts = time.monotonic(), self.attempts + 1
        pause = random.uniform(0.5, 1.0) * min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self.attempts, 10))
        if isinstance(error, ServerError):
            if error.code not in ("BUSY", "STORAGE") or error.retry_after_ms is None:
                return None
            pause += error.retry_after_ms / 1000
        elif not isinstance(error, ConnectionFailed) or (error.may_be_executed and not self.is_repeatable):
            return None
        else:
            self.lost = error
        if now + pause >= min(self.deadline, self.begun_at + REPEAT_S):
            return None
        return pause

    def pause_to_reconnect_s(self, error: SessiondError) -> Optional[float]:
        """The same for who has time for several connections: one that says nothing is as good as none."""
        return self.pause_s(ConnectionFailed(str(error)) if isinstance(error, TimedOut) else error)

    def final(self, error: SessiondError) -> SessiondError:
        """What to tell the caller at the end: why there was no connection, rather than that a last try had no time."""
        if isinstance(error, TimedOut) and self.lost:
            return TimedOut(f"{error} Before that: {self.lost}") if self.is_sent else self.lost
        return error


def plan_again(calls: List[Call], failure: Optional[SessiondError]) -> Tuple[List[Call], float]:
    """After a try: settles what is at its end. Answers what is to be tried again, and after how many seconds."""
    again, longest = [], 0.0
    for call in calls:
        error = call.error if call.is_settled else failure
        if error is None:
            continue
        pause = call.pause_s(error)
        if pause is None:
            call.settle(None, call.final(error))
        else:
            call.is_settled, call.error = False, None
            again.append(call)
            longest = max(longest, pause)
    return again, longest


class Reply(NamedTuple):
    msgid: int
    error: Any
    answer: Any


class Stream:
    """The messages of one connection: numbers for requests, and what the server sent, taken apart."""

    def __init__(self, peer: str) -> None:
        self.peer = peer
        self.has_spoken = False  # whether it has shown to be a sessiond
        self._msgid = 0
        self._unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, unicode_errors="surrogateescape",
                                          max_buffer_size=MAX_REPLY)

    def next_msgid(self) -> int:
        """Never 0: that is how the server names what it could not understand."""
        self._msgid = self._msgid % 0xffffffff + 1
        return self._msgid

    def messages(self, received: bytes) -> Iterator[Union[Reply, Event]]:
        """The replies and events that are whole now. Raises what ends the connection."""
        try:
            self._unpacker.feed(received)
            for message in self._unpacker:
                yield self._message(message)
        except SessiondError:
            raise
        except Exception as error:  # whatever the unpacker's version calls bytes that it cannot take
            if not self.has_spoken:
                raise self._not_sessiond() from None
            raise NotDecodable(f"{self.peer} answered what Python cannot hold ({type(error).__name__}: {error}); "
                               "ask for fewer fields, or store maps with keys that are texts or numbers.") from None

    def _message(self, message: Any) -> Union[Reply, Event]:
        if isinstance(message, list) and len(message) == 4 and message[0] == 1 and isinstance(message[1], int):
            if message[1] == 0:
                error = server_error(message[2])
                if error.code == "BUSY" and error.retry_after_ms is None:
                    raise ConnectionFailed(f"{self.peer}: {error.message}", may_be_executed=True)
                raise error
            return Reply(message[1], message[2], message[3])
        if isinstance(message, list) and len(message) == 3 and message[0] == 2 and isinstance(message[2], list) \
                and message[2] and isinstance(message[2][0], dict):
            return cast(Event, message[2][0])
        raise self._not_sessiond()

    def _not_sessiond(self) -> NotSessiond:
        return NotSessiond(f"What listens at {self.peer} is not a sessiond: it does not speak its protocol. Check the URL's "
                           "host and port.")

    def check_hello(self, reply: Reply) -> None:
        """The first answer of a connection. Raises WrongVersion, NotSessiond or what the server says instead."""
        if reply.error is not None:
            error = server_error(reply.error, HELLO.method)
            if error.code == "BAD_REQUEST" and "version" in error.message.lower():
                raise WrongVersion(f"{self.peer} does not speak version {VERSION} of the protocol: {error.message}")
            raise error
        if not isinstance(reply.answer, dict) or not isinstance(reply.answer.get("version"), int):
            raise self._not_sessiond()
        if reply.answer["version"] != VERSION:
            raise WrongVersion(f"{self.peer} speaks version {reply.answer['version']} of the protocol, this client "
                               f"version {VERSION}; use a client of the server's version.")
        self.has_spoken = True


def hello_call(namespace: Optional[str], deadline: float) -> Call:
    """The first call on a connection, which has until the deadline."""
    call = Call(HELLO, [], without(None, {"version": VERSION, "namespace": namespace, "client_name": "sessiond-python"}),
                None, Settings(1.0, False))
    call.deadline = deadline
    return call


def uses_of(call: Call, answer: Any) -> List[bytes]:
    """Notifications that give back what an acquire handed out to a caller who no longer waits."""
    if call.operation.method != "pool.acquire":
        return []
    records = answer if isinstance(answer, list) else [answer]
    return [pack([2, "pool.release", [call.namespace, record["id"], {name: record.get(name) for name in ("use", "fence")}]])
            for record in records if isinstance(record, dict) and "id" in record and "use" in record]


class AnyClient:
    """What both clients are: where the servers are, and how they are called."""

    def __init__(self, url: str, *, timeout_s: float = 2.0, repeat_writes: bool = True) -> None:
        """Connects to nothing yet.

        Args:
            url: sessiond://host[:7420][,host2]/namespace or sessiond+unix:///path?namespace=name. Several hosts are tried
                in turn. The namespace is that of calls that name none.
            timeout_s: seconds for a call with all its repeats, connecting included. A pool_acquire has its wait_ms besides.
            repeat_writes: whether a write whose connection broke before its answer is sent again, with its op_id. A server
                that was restarted meanwhile does not know the op_id, and may execute it a second time.

        Raises:
            InvalidURL: the URL is wrong; the message says what about it.
            ValueError: timeout_s is no number above 0.
        """
        self._target = parse_url(url)
        self._settings = Settings(timeout_checked(timeout_s), repeat_writes)
        self._first = 0  # of the servers, the one that took a connection last
        self._is_closed = False

    def _hello(self, version: Optional[int], namespace: Optional[Text], client_name: Optional[str],
               timeout_s: Optional[float]) -> Call:
        options = without(None, {"version": version, "namespace": namespace, "client_name": client_name})
        return Call(HELLO, [], options, timeout_s, self._settings)


def turns_of(addresses: List[Address], first: int, deadline: float) -> Iterator[Tuple[int, Address, float]]:
    """The servers in the order in which they are tried, beginning with number `first`: number, address, and until when each
    has time to answer. Who does not answer leaves time for the others."""
    for i in range(len(addresses)):
        left = deadline - time.monotonic()
        if left <= 0:
            return
        number = (first + i) % len(addresses)
        yield number, addresses[number], time.monotonic() + left / (len(addresses) - i)


def no_connection(failure: Optional[SessiondError]) -> SessiondError:
    """What to raise where no server took a connection."""
    return failure or TimedOut("There was no time left to connect; give the call a longer timeout_s.")


class Pending(Generic[T]):
    """The answer of a call in a pipeline, once the pipeline has run."""

    def __init__(self, call: Call) -> None:
        self._call = call

    def result(self) -> T:
        """The call's answer. Raises its error, and RuntimeError before the pipeline has run."""
        if not self._call.is_settled:
            raise RuntimeError("The pipeline has not run yet; leave its `with` block, or call its execute().")
        answer: T = self._call.result()
        return answer
