"""Sessions from Python: sessiond.Client for threads, sessiond.aio.Client for asyncio.

Times are integers in milliseconds as everywhere in sessiond; only timeout_s and its like are seconds."""

from ._core import LEFT_OUT, Event, LeftOut, Pending
from ._schema import (BadRequest, Busy, Conflict, CreateNeeded, Exhausted, Exists, Forbidden, Gone, Internal, Limit,
                      NoMemory, Policy, PoolPolicy, ReadOnly, Record, Storage, TooBig, UnknownMethod)
from .client import Client, Pipeline, Watch
from .errors import (Closed, ConnectionFailed, InvalidURL, NotDecodable, NotEncodable, NotSessiond, ServerError,
                     SessiondError, TimedOut, WrongVersion)

__version__ = "0.1.0"
__all__ = [
    "LEFT_OUT", "Event", "LeftOut", "Pending", "Client", "Pipeline", "Watch", "Record", "Policy", "PoolPolicy",
    "BadRequest", "Busy", "Conflict", "CreateNeeded", "Exhausted", "Exists", "Forbidden", "Gone", "Internal", "Limit",
    "NoMemory", "ReadOnly", "Storage", "TooBig", "UnknownMethod",
    "Closed", "ConnectionFailed", "InvalidURL", "NotDecodable", "NotEncodable", "NotSessiond", "ServerError",
    "SessiondError", "TimedOut", "WrongVersion",
]
