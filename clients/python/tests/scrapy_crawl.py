"""One process of the crawl in test_scrapy.py: `scrapy_crawl.py NAME SITE PAGES SETTINGS-AS-JSON`; prints what it got."""

import json
import sys

import support  # noqa: F401  the path to the package
import scrapy
from scrapy.crawler import CrawlerProcess

agent, site, pages, settings = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
got = {}


class Again:
    """A middleware behind the session's that has each request made anew, once."""

    def process_request(self, request, spider):
        if "again" not in request.meta:
            return request.replace(dont_filter=True, meta={**request.meta, "again": True})


class Pages(scrapy.Spider):
    name = "pages"
    custom_settings = {
        "DOWNLOADER_MIDDLEWARES": {"sessiond.scrapy.SessionPoolMiddleware": 690}, "USER_AGENT": agent,
        "CONCURRENT_REQUESTS": 4, "CONCURRENT_REQUESTS_PER_DOMAIN": 4, "TELNETCONSOLE_ENABLED": False, "RETRY_ENABLED": False,
        "REQUEST_FINGERPRINTER_IMPLEMENTATION": "2.7", "SESSIOND_TIMEOUT_S": 30, **settings}

    def start_requests(self):
        for page in range(pages):
            yield scrapy.Request(f"{site}/{agent}/{page}", self.parse, errback=self.fail, cb_kwargs={"page": page}, meta={"handle_httpstatus_all": True})

    def parse(self, response, page):
        got[page] = response.status

    def fail(self, failure):
        got[failure.request.cb_kwargs["page"]] = type(failure.value).__name__


process = CrawlerProcess({"LOG_LEVEL": "ERROR", **settings})
crawler = process.create_crawler(Pages)
process.crawl(crawler)
process.start()
print(json.dumps({"got": got, "acquired": crawler.stats.get_value("sessiond/acquired", 0), "blocked": crawler.stats.get_value("sessiond/blocked", 0)}))
