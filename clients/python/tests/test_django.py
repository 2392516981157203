"""The session engine under Django itself: its contract, and requests through the real middleware and test client."""

import datetime
import threading
import time
import unittest

import support
import django
from django.conf import settings

settings.configure(
    SECRET_KEY="tests", SESSION_ENGINE="sessiond.django", ROOT_URLCONF=__name__, ALLOWED_HOSTS=["*"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}, DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"],
    PASSWORD_HASHERS=["django.contrib.auth.hashers.MD5PasswordHasher"], USE_TZ=True,
    MIDDLEWARE=["django.contrib.sessions.middleware.SessionMiddleware", "django.contrib.auth.middleware.AuthenticationMiddleware"],
    LOGGING={"version": 1, "handlers": {"none": {"class": "logging.NullHandler"}}, "loggers": {"django": {"handlers": ["none"], "propagate": False}}},
)
django.setup()

import sessiond  # noqa: E402
from django.contrib.auth import login, logout  # noqa: E402
from django.contrib.auth.models import User  # noqa: E402
from django.contrib.sessions.backends.base import CreateError, UpdateError  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.http import HttpResponse  # noqa: E402
from django.test import Client, override_settings  # noqa: E402
from django.urls import path  # noqa: E402
from sessiond.django import SessionStore, client, revoke_all  # noqa: E402

slow_is_in, slow_may_end = threading.Event(), threading.Event()


def view_login(request):
    login(request, User.objects.get(username=request.GET["user"]))
    return HttpResponse("in")


def view_logout(request):
    logout(request)
    return HttpResponse("out")


def view_who(request):
    return HttpResponse(request.session.get("_auth_user_id", "nobody"))


def view_count(request):
    request.session["count"] = request.session.get("count", 0) + 1
    return HttpResponse(str(request.session["count"]))


def view_slow(request):
    request.session["seen"] = request.session.get("seen", 0) + 1
    slow_is_in.set()
    slow_may_end.wait(support.HANG_S)
    return HttpResponse("slow")


urlpatterns = [path(view.__name__[5:], view) for view in (view_login, view_logout, view_who, view_count, view_slow)]


class DjangoCase(support.ServerCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.settings = override_settings(SESSIOND_URL=cls.server.url("django"), SESSIOND_TIMEOUT_S=support.HANG_S / 2)
        cls.settings.enable()
        cls.addClassCleanup(cls.settings.disable)
        cls.addClassCleanup(lambda: client().close())


class Backend(DjangoCase):
    def saved(self, **data):
        store = SessionStore()
        store.update(data)
        store.save()
        return store

    def test_a_new_session_is_empty_and_has_no_key(self):
        store = SessionStore()
        self.assertTrue(store.is_empty())
        self.assertEqual((store.session_key, store.get("x"), store.modified), (None, None, False))

    def test_what_is_saved_is_loaded(self):
        store = self.saved(cart=[1, {"a": None}], text="é", number=1.5)
        again = SessionStore(store.session_key)
        self.assertEqual(dict(again.items()), {"cart": [1, {"a": None}], "text": "é", "number": 1.5})
        self.assertTrue(store.exists(store.session_key))
        self.assertRegex(store.session_key, "^[a-z0-9]{32}$")
        self.assertEqual(client().session_get(store.session_key)["data"]["cart"], [1, {"a": None}])

    def test_create_saves_an_empty_session(self):
        store = SessionStore()
        store.create()
        self.assertTrue(store.exists(store.session_key) and store.modified)
        self.assertEqual(dict(SessionStore(store.session_key).items()), {})

    def test_must_create_does_not_overwrite(self):
        store = self.saved(a=1)
        other = SessionStore(store.session_key)
        with self.assertRaises(CreateError):
            other.save(must_create=True)
        self.assertEqual(SessionStore(store.session_key)["a"], 1)

    def test_save_does_not_make_what_is_not_there(self):
        with self.assertRaises(UpdateError):
            SessionStore("neverthere12").save()

    def test_a_deleted_session_is_not_brought_back(self):
        store = self.saved(a=1)
        slow = SessionStore(store.session_key)
        self.assertEqual(slow["a"], 1)
        store.delete()
        store.delete("neverthere12")
        slow["b"] = 2
        with self.assertRaises(UpdateError):
            slow.save()
        with self.assertRaises(CreateError):
            slow.save(must_create=True)
        self.assertFalse(store.exists(store.session_key))

    def test_flush_leaves_nothing(self):
        store = self.saved(a=1)
        key = store.session_key
        store.flush()
        self.assertEqual((store.session_key, store.exists(key), list(store.keys())), (None, False, []))

    def test_cycle_key_moves_data_and_changes(self):
        store = self.saved(a=1)
        old = store.session_key
        store["b"] = 2
        store.cycle_key()
        store.save()
        self.assertNotEqual(store.session_key, old)
        self.assertFalse(store.exists(old))
        self.assertEqual(dict(SessionStore(store.session_key).items()), {"a": 1, "b": 2})

    def test_cycle_key_of_a_session_that_is_gone_or_never_was(self):
        gone = self.saved(a=1)
        gone.load()
        client().session_destroy(gone.session_key)
        for store in (gone, SessionStore()):
            store["b"] = 2
            store.cycle_key()
            store.save()
            self.assertEqual(SessionStore(store.session_key)["b"], 2)

    def test_an_unknown_or_impossible_key_is_a_new_session(self):
        for key in ("unknownkey1", "x" * 300, "\udcff" * 20, "with space in it", "1", "", None):
            store = SessionStore(key)
            self.assertIsNone(store.get("a"))
            self.assertIsNone(store.session_key)
            self.assertFalse(store.exists(key))
            store.delete(key)
            store["a"] = 1
            store.save()
            self.assertNotEqual(store.session_key, key)

    def test_the_lifetime_is_the_sessions(self):
        for expiry, age_s in ((None, settings.SESSION_COOKIE_AGE), (300, 300), (0, settings.SESSION_COOKIE_AGE)):
            store = SessionStore()
            store["a"] = 1
            store.set_expiry(expiry)
            store.save()
            record = client().session_get(store.session_key)
            self.assertEqual((record["idle_timeout_ms"], record["absolute_timeout_ms"]), (age_s * 1000, 0))

    def test_a_lifetime_that_is_over(self):
        store = SessionStore()
        store["a"] = 1
        store.set_expiry(-10)
        store.save()
        self.assertNotIn("a", SessionStore(store.session_key))
        self.assertFalse(store.exists(store.session_key))

    def test_it_expires_by_itself_and_clear_expired_forgets_it(self):
        store = SessionStore()
        store["a"] = 1
        store.set_expiry(0.02)
        store.save()
        ends = time.monotonic() + support.HANG_S
        while SessionStore(store.session_key).get("a") and time.monotonic() < ends:
            time.sleep(0.01)
        self.assertIsNotNone(client().session_get(store.session_key, include_dead=True))
        SessionStore.clear_expired()
        self.assertIsNone(client().session_get(store.session_key, include_dead=True))

    def test_another_serializer(self):
        with override_settings(SESSION_SERIALIZER="django.contrib.sessions.serializers.PickleSerializer"):
            store = self.saved(when=datetime.date(2020, 1, 2), pair=(1, 2))
            self.assertEqual(dict(SessionStore(store.session_key).items()), {"when": datetime.date(2020, 1, 2), "pair": (1, 2)})

    def test_what_json_has_no_form_for_is_an_error(self):
        with self.assertRaises(TypeError):
            self.saved(a=object())


class Requests(DjangoCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        call_command("migrate", verbosity=0)
        cls.ann, cls.bob = (User.objects.create_user(name) for name in ("ann", "bob"))

    def browser(self, user=None):
        browser = Client()
        if user:
            self.assertEqual(browser.get("/login", {"user": user.username}).content, b"in")
        return browser

    def test_counting(self):
        browser = self.browser()
        self.assertEqual([browser.get("/count").content for _ in range(3)], [b"1", b"2", b"3"])

    def test_login_changes_the_key_and_keeps_the_data(self):
        browser = self.browser()
        browser.get("/count")
        before = browser.cookies["sessionid"].value
        browser.get("/login", {"user": "ann"})
        self.assertNotEqual(browser.cookies["sessionid"].value, before)
        self.assertFalse(SessionStore().exists(before))
        self.assertEqual(browser.get("/count").content, b"2")
        self.assertEqual(browser.get("/who").content, str(self.ann.pk).encode())

    def test_log_out_everywhere(self):
        here, there, other = self.browser(self.ann), self.browser(self.ann), self.browser(self.bob)
        self.assertGreaterEqual(revoke_all(self.ann, except_=[here.session.session_key]), 1)
        self.assertEqual([browser.get("/who").content for browser in (here, there, other)],
                         [str(self.ann.pk).encode(), b"nobody", str(self.bob.pk).encode()])
        self.assertEqual(revoke_all(self.ann.pk, reason="password changed"), 1)
        self.assertEqual(here.get("/who").content, b"nobody")

    def test_who_logs_out_leaves_the_users_group(self):
        browser = self.browser(self.bob)
        browser.get("/logout")
        self.assertEqual(browser.get("/who").content, b"nobody")
        revoke_all(self.bob)
        self.assertEqual(client().session_count(user=str(self.bob.pk)), 0)

    def test_force_login_of_the_test_client(self):
        browser = Client()
        browser.force_login(self.bob)
        self.assertEqual(browser.get("/who").content, str(self.bob.pk).encode())

    def test_a_logout_is_not_undone_by_a_slower_request(self):
        browser, slow, answers = self.browser(self.ann), Client(), []
        key = browser.cookies["sessionid"].value
        slow.cookies["sessionid"] = key
        slow_is_in.clear()
        slow_may_end.clear()
        thread = threading.Thread(target=lambda: answers.append(slow.get("/slow").status_code))
        thread.start()
        self.assertTrue(slow_is_in.wait(support.HANG_S))
        browser.get("/logout")
        slow_may_end.set()
        thread.join(support.HANG_S)
        self.assertEqual(answers, [400])  # Django's word for a session that was deleted meanwhile
        self.assertFalse(SessionStore().exists(key))
        late = Client()
        late.cookies["sessionid"] = key
        self.assertEqual(late.get("/who").content, b"nobody")

    def test_a_server_that_is_not_there_is_an_error_and_no_logout(self):
        with override_settings(SESSIOND_URL="sessiond://127.0.0.1:1/django", SESSIOND_TIMEOUT_S=0.2):
            browser = Client()
            browser.cookies["sessionid"] = "somekey12345"
            with self.assertRaisesRegex(sessiond.ConnectionFailed, "Is the server running"):
                browser.get("/who")


class Kill(DjangoCase):
    """The server is killed and started again under requests: each is answered or says why not, and nobody is logged out."""

    def count(self, is_over, outcome):
        browser, acknowledged = Client(), 0
        while not is_over.is_set():
            try:
                answer = browser.get("/count")
                outcome["wrong"] += [answer.status_code] if answer.status_code != 200 else []
                acknowledged = max(acknowledged, int(answer.content))
                outcome["acknowledged"].add(threading.get_ident())
            except (sessiond.ConnectionFailed, sessiond.TimedOut, sessiond.Busy) as error:
                outcome["errors"].append(str(error))
            except Exception as error:
                outcome["wrong"].append(repr(error))
        outcome["counts"].append((browser.cookies["sessionid"].value, acknowledged))

    def test_requests_while_the_server_is_killed(self):
        is_over, outcome = threading.Event(), {"wrong": [], "errors": [], "counts": [], "acknowledged": set()}
        with override_settings(SESSIOND_TIMEOUT_S=0.5):
            self.addCleanup(client().close)
            threads = [threading.Thread(target=self.count, args=(is_over, outcome), daemon=True) for _ in range(3)]
            for thread in threads:
                thread.start()
            for down_s in (0.05, 1.0) * (3 if support.IS_FULL else 1):  # within a call's time, and beyond it
                time.sleep(0.2)
                self.server.kill()
                time.sleep(down_s)
                self.server.start()
            time.sleep(0.2)
            ends = time.monotonic() + support.HANG_S
            while len(outcome["acknowledged"]) < len(threads) and time.monotonic() < ends:
                time.sleep(0.01)
            is_over.set()
            for thread in threads:
                thread.join(support.HANG_S)
        self.assertEqual((outcome["wrong"], len(outcome["counts"])), ([], 3))
        self.assertTrue(outcome["errors"], "a server that is down beyond a call's time was not noticed")
        for key, acknowledged in outcome["counts"]:
            self.assertGreater(acknowledged, 0)
            self.assertGreaterEqual(SessionStore(key)["count"], acknowledged)


if __name__ == "__main__":
    unittest.main()
