"""What can go wrong, one class for each cause; each message says what to do.

The server's own errors are subclasses of ServerError, one for each code, made from the schema (sessiond.Gone ...)."""

from typing import Any, Dict, Optional


class SessiondError(Exception):
    """What all errors of this package have in common."""


class InvalidURL(SessiondError, ValueError):
    """The URL names no server in a way that this client knows."""


class NotEncodable(SessiondError, TypeError):
    """An argument holds something that MessagePack has no form for; the message says where and what."""


class NotDecodable(SessiondError, ValueError):
    """The server answered a value that Python has no form for, such as a map whose keys are maps."""


class NotSessiond(SessiondError):
    """What listens at the URL's address speaks another protocol."""


class WrongVersion(SessiondError):
    """The server speaks another version of the protocol."""


class Closed(SessiondError):
    """The client, pipeline or watch was used after it was closed."""


class ConnectionFailed(SessiondError, ConnectionError):
    """There is no connection to the server, or it broke.

    Attributes:
        may_be_executed: whether the request may have reached the server.
    """

    def __init__(self, message: str, may_be_executed: bool = False) -> None:
        super().__init__(message)
        self.may_be_executed = may_be_executed


class TimedOut(SessiondError, TimeoutError):
    """The answer did not come in time. The request may have been executed, or may be yet."""


class ServerError(SessiondError):
    """The server's answer is an error.

    Attributes:
        code: the word for programs, such as "GONE".
        message: the sentence for people.
        details: the whole error as the server sent it.
        version: the version that the record has, or None.
        status: what became of the session, or None.
        limit: the limit that was reached, in bytes, elements or sessions, or None.
        retry_after_ms: when to try again, in milliseconds, or None.
    """

    def __init__(self, details: Dict[str, Any], method: str = "") -> None:
        self.code: str = str(details.get("code", ""))
        self.message: str = str(details.get("message", ""))
        self.method = method
        self.details = details
        self.version: Optional[int] = details.get("version")
        self.status: Optional[str] = details.get("status")
        self.limit: Optional[int] = details.get("limit")
        self.retry_after_ms: Optional[int] = details.get("retry_after_ms")
        super().__init__(f"{method + ': ' if method else ''}{self.code}: {self.message}")

    def __reduce__(self) -> Any:
        return type(self), (self.details, self.method)
