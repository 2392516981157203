"""A downloader middleware for Scrapy: each request is sent with a session of a pool that any number of processes share.

    DOWNLOADER_MIDDLEWARES = {"sessiond.scrapy.SessionPoolMiddleware": 690}

A session brings its proxy (`meta["proxy"]`) and its cookies (`data`, one key for each), takes the response's cookies home,
and is marked by the response; a blocked response is asked for again with another session.

Always true: what was acquired is marked or released once, whatever becomes of the request; cookies are home before the
session may be handed out again; the reactor never waits: calls run in threads of the middleware's own, one for each
request under way. Place it before CookiesMiddleware (700) and HttpProxyMiddleware (750), behind RedirectMiddleware (600)."""

from http.cookiejar import Cookie
from typing import Any, Callable, Dict, List, Optional

from scrapy import signals
from scrapy.exceptions import NotConfigured
from scrapy.http import Request, Response
from scrapy.http.cookies import CookieJar
from scrapy.utils.defer import maybe_deferred_to_future
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from .client import Client
from .errors import ServerError

DEFAULT_URL = "sessiond://127.0.0.1:7420/scrapy"
KEY = "sessiond"  # in a request's meta: the hand-out that it is sent with
RETRIES, PROXY = "sessiond_retries", "sessiond_proxy"  # how often it was blocked; whether its proxy is a session's
COOKIE = "cookie "  # how the keys of cookies begin in a session's data: cookie, domain, path and name
ATTRIBUTES = ("value", "secure", "expires")
OVERTAKEN = ("GONE", "CONFLICT")  # somebody destroyed the session, or its lease has gone on to another


def cookie_key(cookie: Cookie) -> str:
    return f"{COOKIE}{cookie.domain} {cookie.path} {cookie.name}"


def cookie_of(key: str, value: Dict[str, Any]) -> Cookie:
    domain, path, name = key[len(COOKIE):].split(" ", 2)
    return Cookie(0, name, value.get("value"), None, False, domain, domain.startswith("."), domain.startswith("."), path, True,
                  bool(value.get("secure")), value.get("expires"), value.get("expires") is None, None, None, {})


def cookies_of(jar: Any) -> Dict[str, Dict[str, Any]]:
    return {cookie_key(cookie): {name: getattr(cookie, name) for name in ATTRIBUTES} for cookie in jar}


def jar_of(data: Any) -> Any:
    """A session's cookies as a jar; what else is in its data stays there."""
    jar = CookieJar()
    for key, value in data.items() if isinstance(data, dict) else ():
        if isinstance(key, str) and key.startswith(COOKIE) and key.count(" ") >= 3 and isinstance(value, dict):
            jar.set_cookie(cookie_of(key, value))
    return jar


def add_own_cookies(jar: Any, request: Request) -> None:
    """The cookies that the spider gave the request, as if the site had set them."""
    cookies = request.cookies
    rows = [{"name": name, "value": value} for name, value in cookies.items()] if isinstance(cookies, dict) else cookies
    for row in rows or []:
        text = f"{row['name']}={row['value']}; Path={row.get('path', '/')}"
        if row.get("domain"):
            text += f"; Domain={row['domain']}"
        jar.extract_cookies(Response(request.url, headers={"Set-Cookie": text}), request)


class SessionPoolMiddleware:
    """See the module. Settings, with their defaults:

    SESSIOND_URL ("sessiond://127.0.0.1:7420/scrapy"), SESSIOND_POOL (required: the pool's name),
    SESSIOND_CREATE ("never": only sessions that somebody added, as those with proxies; "auto": the pool makes new ones),
    SESSIOND_WAIT_MS (60000: how long a request waits for a free session), SESSIOND_LEASE_MS (None: no lease; else a session
    is one request's alone, for at most so long), SESSIOND_BLOCKED_CODES ([]: statuses that retire a session besides those of
    the pool), SESSIOND_RETRY_TIMES (10: how often a blocked request is sent again), SESSIOND_TIMEOUT_S (2.0).

    The cookies of a request are its session's, and those that the spider gave it as `cookies`; a Cookie header is replaced.
    A request with meta["sessiond_skip"] = True is sent without a session.
    """

    def __init__(self, crawler: Any) -> None:
        get = crawler.settings.get
        self.pool = get("SESSIOND_POOL")
        if not self.pool:
            raise NotConfigured("SESSIOND_POOL names the pool that sessions are taken from; set it, or take the middleware out.")
        self.create, self.lease_ms = get("SESSIOND_CREATE", "never"), get("SESSIOND_LEASE_MS")
        self.wait_ms = int(get("SESSIOND_WAIT_MS", 60_000))
        self.codes = [int(code) for code in crawler.settings.getlist("SESSIOND_BLOCKED_CODES")]
        self.retry_times = crawler.settings.getint("SESSIOND_RETRY_TIMES", 10)
        self.client = Client(get("SESSIOND_URL", DEFAULT_URL), timeout_s=crawler.settings.getfloat("SESSIOND_TIMEOUT_S", 2.0))
        # As many may wait as there are requests under way, and what they wait for is given back besides.
        self.threads = ThreadPool(0, 2 * crawler.settings.getint("CONCURRENT_REQUESTS", 16), "sessiond")
        self.stats = crawler.stats

    @classmethod
    def from_crawler(cls, crawler: Any) -> "SessionPoolMiddleware":
        middleware = cls(crawler)
        crawler.signals.connect(middleware.spider_opened, signals.spider_opened)
        crawler.signals.connect(middleware.spider_closed, signals.spider_closed)
        return middleware

    def spider_opened(self) -> None:
        self.threads.start()

    def spider_closed(self) -> None:
        self.threads.stop()
        self.client.close()

    async def process_request(self, request: Request, spider: Any) -> None:
        """Takes a session and gives the request its proxy and cookies. Raises sessiond.Exhausted where there is none."""
        last = request.meta.pop(KEY, None)
        if last and last["is_open"]:  # a middleware behind this one has the request made anew; it was not sent
            last["is_open"] = False
            await self._thread(lambda: self._release(last))
        if not request.meta.get("redirect_times"):
            last = None  # only a redirect goes on with the session that it came to
        if request.meta.get("sessiond_skip"):
            return
        record = await self._thread(lambda: self._acquire(last))
        self.stats.inc_value("sessiond/acquired")
        jar = jar_of(record.get("data"))
        add_own_cookies(jar, request)
        request.meta[KEY] = {"id": record["id"], "use": record["use"], "fence": record.get("fence"),
                             "before": cookies_of(jar), "jar": jar, "is_open": True}
        proxy = (record.get("meta") or {}).get("proxy")
        if request.meta.pop(PROXY, False):
            request.meta.pop("proxy", None)  # that of another session must not go on
        if proxy:
            request.meta.update({"proxy": proxy, PROXY: True})
        request.meta["dont_merge_cookies"] = True  # they are the session's, not the process's
        request.headers.pop("Cookie", None)
        jar.add_cookie_header(request)

    async def process_response(self, request: Request, response: Response, spider: Any) -> Any:
        """Marks the session by the status. A response that retired it is asked for again, with another session."""
        used = request.meta.get(KEY)
        if not used or not used["is_open"]:
            return response
        used["is_open"] = False
        jar = used.pop("jar")
        jar.extract_cookies(response, request)
        if not await self._thread(lambda: self._give_back(used, cookies_of(jar), response.status)):
            return response
        self.stats.inc_value("sessiond/blocked")
        retries = request.meta.get(RETRIES, 0)
        if retries >= self.retry_times:
            return response
        again = request.replace(dont_filter=True)
        again.meta[RETRIES] = retries + 1
        again.meta.pop(KEY, None)
        return again

    async def process_exception(self, request: Request, exception: Exception, spider: Any) -> None:
        """No response at all counts against the session."""
        used = request.meta.get(KEY)
        if used and used["is_open"]:
            used["is_open"] = False
            used.pop("jar")
            await self._thread(lambda: self._give_back(used, used["before"], None))

    def _thread(self, function: Callable[[], Any]) -> Any:
        from twisted.internet import reactor  # which one it is, the crawler has chosen by now
        return maybe_deferred_to_future(deferToThreadPool(reactor, self.threads, function))

    def _acquire(self, last: Optional[Dict[str, Any]]) -> Any:
        """A session: after a redirect the same one where it is free, since it has the cookies."""
        fields: List[Any] = ["id", "data", "meta", "use", "fence"]
        if last:
            record = self.client.pool_acquire(self.pool, id=last["id"], lease_ms=self.lease_ms, fields=fields)
            if record:
                return record
        return self.client.pool_acquire(self.pool, create=self.create, wait_ms=self.wait_ms, lease_ms=self.lease_ms, fields=fields)

    def _release(self, used: Dict[str, Any]) -> None:
        """Takes a use back that was none."""
        try:
            self.client.pool_release(used["id"], use=used["use"], fence=used["fence"])
        except ServerError as error:
            if error.code not in OVERTAKEN:
                raise

    def _give_back(self, used: Dict[str, Any], cookies: Dict[str, Any], status: Optional[int]) -> bool:
        """Brings cookies home, then marks. Whether the session is retired by its status. A session that somebody destroyed,
        or whose lease has gone on to another, is no fault of the request's."""
        changed = {key: value for key, value in cookies.items() if used["before"].get(key) != value}
        gone = [key for key in used["before"] if key not in cookies]
        name = {"use": used["use"], "fence": used["fence"]}
        is_blocked = False
        try:
            if changed or gone:
                self.client.session_patch(used["id"], set=changed, unset=gone)
            if status is not None:
                answer = self.client.pool_mark(used["id"], status, extra_codes=self.codes, **name)
                is_blocked = bool(answer and answer["retired"])
            if not is_blocked:
                self.client.pool_mark(used["id"], "bad" if status is None or status >= 500 else "good", **name)
            self.client.pool_release(used["id"], **name)
        except ServerError as error:
            if error.code not in OVERTAKEN:
                raise
        return is_blocked
