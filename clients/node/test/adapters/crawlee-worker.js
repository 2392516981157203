// One process of a crawl: Crawlee's real HttpCrawler, with sessions of sessiond or, where no URL is given, with its own.
// What it is to do stands in CRAWL; it prints how it went.
import { Configuration, HttpCrawler, log, Session } from "@crawlee/http";
import { sessiondCrawler } from "sessiond/crawlee";

const { url, pool, site, number, pages, accounts, maxUsageCount, maxPoolSize } = JSON.parse(process.env.CRAWL);
log.setLevel(log.LEVELS.OFF);

let next = 0;
const own = {
  maxPoolSize: accounts?.length ?? maxPoolSize,
  sessionOptions: { maxUsageCount },
  // As who has a list of accounts or proxies does it: new sessions take the next one, again and again.
  ...(accounts && {
    createSessionFunction: (sessionPool, { sessionOptions } = {}) =>
      new Session({
        ...sessionPool.sessionOptions,
        ...sessionOptions,
        id: accounts[next++ % accounts.length],
        sessionPool,
      }),
  }),
};
const shared = {
  url,
  pool,
  maxPoolSize,
  sessionOptions: { maxUsageCount },
  ...(accounts && { create: "never", sessions: accounts.map((id) => ({ id })) }),
};
const Crawler = url ? sessiondCrawler(HttpCrawler, shared) : HttpCrawler;
const failures = [];
const crawler = new Crawler(
  {
    sessionPoolOptions: url ? {} : own,
    minConcurrency: 5,
    maxConcurrency: 5,
    autoscaledPoolOptions: { maybeRunIntervalSecs: 0.02, maxTasksPerMinute: Infinity },
    maxRequestRetries: 40,
    preNavigationHooks: [
      ({ session }, options) => {
        options.headers = { "x-identity": session.id, "x-process": String(number) };
      },
    ],
    requestHandler: () => {},
    failedRequestHandler: (_context, error) => void failures.push(error.message),
  },
  new Configuration({ persistStorage: false, purgeOnStart: false }),
);
const urls = Array.from({ length: pages }, (_, i) => `${site}/page/${number}/${i}`);
const { requestsFinished, requestsFailed } = await crawler.run(urls);
const lostCount = crawler.sessionPool.lostCount ?? 0;
console.log(JSON.stringify({ requestsFinished, requestsFailed, failures, lostCount }));
process.exit(0);
