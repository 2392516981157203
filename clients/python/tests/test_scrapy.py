"""The Scrapy middleware in real crawls: two processes, one pool, and a site that knows its visitors by a cookie."""

import collections
import http.server
import json
import os
import subprocess
import sys
import threading
import time
import unittest

import support
import sessiond

BLOCKS_AFTER = 5
ASYNCIO = "twisted.internet.asyncioreactor.AsyncioSelectorReactor"
PAGES = 60 if support.IS_FULL else 25


class Site(http.server.ThreadingHTTPServer):
    """Gives each visitor a cookie, and answers a visitor's requests beyond BLOCKS_AFTER with 403. As a proxy it does the same."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Page)
        self.lock, self.visits, self.statuses, self.paths = threading.Lock(), collections.defaultdict(list), [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def visit(self, cookie, agent, path):
        with self.lock:
            visitor = cookie.partition("visitor=")[2].partition(";")[0] or f"v{len(self.visits)}"
            self.visits[visitor].append(agent)
            self.paths.append(path)
            status = 200 if len(self.visits[visitor]) <= BLOCKS_AFTER else 403
            self.statuses.append(status)
            return visitor, status


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        visitor, status = self.server.visit(self.headers.get("Cookie", ""), self.headers.get("User-Agent"), self.path)
        self.send_response(status)
        self.send_header("Set-Cookie", f"visitor={visitor}; Path=/")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *arguments):
        pass


class Crawl(support.ServerCase):
    def setUp(self):
        self.site = Site()
        self.addCleanup(self.site.server_close)
        self.addCleanup(self.site.shutdown)
        self.client = sessiond.Client(self.url(), timeout_s=support.HANG_S / 2)
        self.addCleanup(self.client.close)

    def crawl(self, names, site=None, meanwhile=lambda: None, **settings):
        settings = {"SESSIOND_URL": self.url(), "SESSIOND_POOL": "p", "SESSIOND_CREATE": "auto",
                    "SESSIOND_TIMEOUT_S": support.HANG_S / 2, **settings}
        runs = [subprocess.Popen([sys.executable, str(support.HERE / "scrapy_crawl.py"), name, site or f"http://127.0.0.1:{self.site.server_port}",
                                  str(PAGES), json.dumps(settings)], stdout=subprocess.PIPE, text=True) for name in names]
        out = []
        meanwhile()
        for run in runs:
            try:
                out.append(json.loads(run.communicate(timeout=support.HANG_S * 2)[0]))
            finally:
                run.kill()
                run.wait()
        return out

    def check_all_is_there(self, out):
        for one in out:
            self.assertEqual(one["got"], {str(page): 200 for page in range(PAGES)})

    def test_two_processes_and_a_site_that_blocks(self):
        self.client.pool_configure("p", {"max_pool_size": 6, "max_concurrent": 1, "max_usage_count": 1000})
        out = self.crawl(["one", "two"])
        self.check_all_is_there(out)
        self.assertGreater(sum(one["blocked"] for one in out), 0)
        self.assertEqual(sum(one["blocked"] for one in out), self.site.statuses.count(403))
        for visitor, agents in self.site.visits.items():
            self.assertLessEqual(len(agents), BLOCKS_AFTER + 1, f"{visitor} was used after it had been blocked")
        self.assertTrue(any(len(set(agents)) == 2 for agents in self.site.visits.values()), "no session's cookies travelled")
        state = self.client.pool_state("p")
        self.assertEqual(state["retired_count"] + state["usable_count"], len(self.site.visits))
        self.assertEqual(self.client.pool_info("p")["leased_count"], 0)

    def test_two_processes_with_proxies_never_go_beyond_the_pools_limit(self):
        self.client.pool_configure("p", {"max_concurrent": 1, "max_usage_count": BLOCKS_AFTER})
        for _ in range(2 * PAGES // BLOCKS_AFTER + 2):
            self.client.pool_add("p", meta={"proxy": f"http://127.0.0.1:{self.site.server_port}"})
        out = self.crawl(["one", "two"], "http://nowhere.invalid", SESSIOND_CREATE="never", SESSIOND_LEASE_MS=60_000, TWISTED_REACTOR=ASYNCIO)
        self.check_all_is_there(out)
        self.assertTrue(all(path.startswith("http://nowhere.invalid/") for path in self.site.paths))
        self.assertEqual((self.site.statuses.count(403), len(self.site.statuses)), (0, 2 * PAGES))

    def test_a_server_that_is_killed_and_started_again_under_the_crawl(self):
        self.client.pool_configure("p", {"max_pool_size": 6, "max_usage_count": 1000})

        def kill():
            for visits in (PAGES // 4, PAGES // 2):
                ends = time.monotonic() + support.HANG_S
                while len(self.site.statuses) < visits and time.monotonic() < ends:
                    time.sleep(0.005)
                self.server.kill()
                time.sleep(0.2)
                self.server.start()
        out = self.crawl(["one", "two"], meanwhile=kill)
        self.check_all_is_there(out)
        for visitor, agents in self.site.visits.items():
            self.assertLessEqual(len(agents), BLOCKS_AFTER + 8, f"{visitor} was used long after it had been blocked")
        self.assertGreater(self.client.pool_info("p", timeout_s=support.HANG_S)["retired_count"], 0)

    def test_a_server_that_is_not_there_is_an_error_of_each_request(self):
        out = self.crawl(["one"], SESSIOND_URL="sessiond://127.0.0.1:1/web", SESSIOND_TIMEOUT_S=0.2, SESSIOND_WAIT_MS=0)
        self.assertEqual(set(out[0]["got"].values()), {"ConnectionFailed"})
        self.assertEqual(self.site.statuses, [])

    def test_a_session_is_free_again_when_another_middleware_has_its_request_made_anew(self):
        self.client.pool_configure("p", {"max_pool_size": 1, "max_concurrent": 1, "max_usage_count": 1000, "blocked_status_codes": []})
        middlewares = {"sessiond.scrapy.SessionPoolMiddleware": 690, "__main__.Again": 695}
        out = self.crawl(["one"], DOWNLOADER_MIDDLEWARES=middlewares, SESSIOND_WAIT_MS=10_000)
        self.assertEqual(set(out[0]["got"].values()) - {200, 403}, set())
        self.assertEqual((out[0]["acquired"], len(self.site.visits)), (2 * PAGES, 1))
        self.assertEqual(self.client.pool_state("p")["sessions"][0]["usage_count"], PAGES)

    def test_an_empty_pool_is_an_error_of_the_request(self):
        self.client.pool_configure("p", {"max_pool_size": 6})
        out = self.crawl(["one"], SESSIOND_CREATE="never", SESSIOND_WAIT_MS=0)
        self.assertEqual(set(out[0]["got"].values()), {"Exhausted"})
        self.assertEqual(self.site.statuses, [])


if __name__ == "__main__":
    unittest.main()
