// One process of a crawl. Whether its sessions are its own or sessiond's is all that is different.
import { Configuration, HttpCrawler, log, Session } from "@crawlee/http";
import { sessiondCrawler } from "sessiond/crawlee";

const { urls, accounts, usesMax, sessiond } = JSON.parse(process.env.CRAWL);
log.setLevel(log.LEVELS.OFF);

// With sessiond: all processes share the accounts, and no others are made.
const Crawler = sessiond
  ? sessiondCrawler(HttpCrawler, { ...sessiond, sessions: accounts.map((id) => ({ id })), create: "never" })
  : HttpCrawler;

// With Crawlee's own pool: each process has the accounts to itself.
let next = 0;
const createSessionFunction = (sessionPool) =>
  new Session({ ...sessionPool.sessionOptions, id: accounts[next++ % accounts.length], sessionPool });

const crawler = new Crawler(
  {
    sessionPoolOptions: {
      maxPoolSize: accounts.length,
      sessionOptions: { maxUsageCount: usesMax },
      ...(sessiond ? {} : { createSessionFunction }),
    },
    minConcurrency: 5,
    maxConcurrency: 5,
    maxRequestRetries: 40,
    preNavigationHooks: [
      ({ session }, options) => {
        options.headers = { "x-account": session.id };
      },
    ],
    requestHandler: () => {},
  },
  new Configuration({ persistStorage: false }),
);
const { requestsFinished } = await crawler.run(urls);
process.exit(requestsFinished === urls.length ? 0 : 1);
