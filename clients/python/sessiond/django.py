"""A session engine for Django: SESSION_ENGINE = "sessiond.django".

Always true: a session that was deleted, flushed or revoked is not brought back by a request that was slower (UpdateError,
as Django wants it); a session's user is the one that is logged in, so that revoke_all ends them all. With Django's JSON
serializer, data is a map that clients in other languages can read; with any other it is that serializer's bytes.

Settings: SESSIOND_URL (default sessiond://127.0.0.1:7420/django) and SESSIOND_TIMEOUT_S (default 2.0, seconds)."""

import functools
import json
import re
from typing import Any, Dict, Iterable, Optional

from django.conf import settings
from django.contrib.auth import SESSION_KEY as USER_KEY
from django.contrib.sessions.backends.base import VALID_KEY_CHARS, CreateError, SessionBase, UpdateError
from django.contrib.sessions.serializers import JSONSerializer
from django.utils.crypto import get_random_string

from ._schema import Exists, Gone
from .client import Client

DEFAULT_URL = "sessiond://127.0.0.1:7420/django"
KEY_SIZE = 32
USABLE_KEY = re.compile(r"[\x21-\x7e]{8,255}")  # a cookie may hold anything; no other text has been a key of ours


@functools.lru_cache(maxsize=None)
def _client_of(url: str, timeout_s: float) -> Client:
    return Client(url, timeout_s=timeout_s)


def client() -> Client:
    """The client that the settings name, one for a process and all its threads.

    Raises:
        InvalidURL: SESSIOND_URL is wrong.
    """
    return _client_of(getattr(settings, "SESSIOND_URL", DEFAULT_URL), getattr(settings, "SESSIOND_TIMEOUT_S", 2.0))


def revoke_all(user: Any, except_: Iterable[str] = (), reason: Optional[str] = None) -> int:
    """Logs a user out everywhere.

    Args:
        user: a user of Django's, or the primary key of one.
        except_: session keys that stay, as that of the request at hand: [request.session.session_key].
        reason: kept in the records of the ended sessions.

    Returns:
        How many sessions were ended. None that began before the call is alive when it returns.

    Raises:
        SessiondError: the server cannot be reached, or refuses.
    """
    key = user._meta.pk.value_to_string(user) if hasattr(user, "_meta") else str(user)
    return client().session_revoke_all(user=key, except_=list(except_) or None, reason=reason)


class SessionStore(SessionBase):  # type: ignore[misc]
    """Django's contract of a session backend; see SessionBase.

    Every method that asks the server raises a SessiondError where it cannot be reached (ConnectionFailed, TimedOut) or refuses
    (Limit, TooBig, NoMemory ...). Django answers 500 then; nobody is logged out by it."""

    def load(self) -> Dict[str, Any]:
        """The session's data; an empty dict, and no key any more, where there is no such session or it is not alive."""
        key = self.session_key or ""
        record = client().session_get(key, fields=["data"]) if USABLE_KEY.fullmatch(key) else None
        if record is None:
            self._session_key = None
            return {}
        return self._data_of(record.get("data"))

    def exists(self, session_key: Optional[str]) -> bool:
        """Whether there is a session with this key, and it is alive."""
        key = session_key or ""
        return bool(USABLE_KEY.fullmatch(key)) and client().session_get(key, fields=["id"]) is not None

    def create(self) -> None:
        """Saves a new session, under a key of chance that nobody had."""
        while True:
            self._session_key = get_random_string(KEY_SIZE, VALID_KEY_CHARS)
            try:
                self.save(must_create=True)
            except CreateError:
                continue
            self.modified = True
            return

    def save(self, must_create: bool = False) -> None:
        """Replaces the data on the server and starts the lifetime again.

        Args:
            must_create: True: the key must be new.

        Raises:
            CreateError: with must_create, the key is taken, or was lately.
            UpdateError: the session was deleted, revoked or has expired meanwhile; nothing is brought back.
            TypeError: the data holds what the serializer has no form for.
        """
        if self.session_key is None:
            self.create()
            return
        data = self._get_session(no_load=must_create)
        if self.session_key is None:
            raise UpdateError  # there was nothing to load
        user = data.get(USER_KEY)
        options: Dict[str, Any] = {**self._lifetime(), "user": None if user is None else str(user)}
        if must_create:
            try:
                client().session_create(id=self.session_key, data=self._stored(data), fields=["id"], **options)
            except (Exists, Gone) as error:
                raise CreateError from error
            return
        try:
            answer = client().session_set(self.session_key, self._stored(data), mode="update", **options)
        except Gone as error:
            raise UpdateError from error
        if answer is None:
            raise UpdateError

    def delete(self, session_key: Optional[str] = None) -> None:
        """Ends the session of this key, or this one, for good. One that is not there is no error."""
        key = (self.session_key if session_key is None else session_key) or ""
        if USABLE_KEY.fullmatch(key):
            client().session_destroy(key)

    def cycle_key(self) -> None:
        """Moves the session to a new key in one step, as a login should: there is no moment with both or with none."""
        data, old = self._session, self.session_key
        new = get_random_string(KEY_SIZE, VALID_KEY_CHARS)
        try:
            moved = old and client().session_regenerate(old, new_id=new, fields=["id"])
        except Gone:
            moved = None
        if moved:
            self._session_key = new
        else:
            self.create()  # there is nothing to move: who logs in gets a session all the same
        self._session_cache = data
        self.modified = True

    @classmethod
    def clear_expired(cls) -> None:
        """Forgets what the server keeps of ended sessions for its retention. They are expired without this, too."""
        client().session_purge()

    def _lifetime(self) -> Dict[str, Any]:
        """From this save on, as Django counts; a lifetime that is over already is a session that has expired."""
        age_s = self.get_expiry_age()
        if age_s <= 0:
            return {"absolute_expires_at": 1}
        return {"timeouts": {"idle_timeout_ms": int(age_s * 1000), "absolute_timeout_ms": 0}}

    def _stored(self, data: Dict[str, Any]) -> Any:
        packed = self.serializer().dumps(data)
        return json.loads(packed) if issubclass(self.serializer, JSONSerializer) else packed

    def _data_of(self, stored: Any) -> Dict[str, Any]:
        loaded = self.serializer().loads(stored) if isinstance(stored, bytes) else stored
        return loaded if isinstance(loaded, dict) else {}
