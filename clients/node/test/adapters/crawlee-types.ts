// Never run: the compiler is to accept this, and to refuse each line behind an @ts-expect-error.
import { BasicCrawler, Session, SessionPool } from "@crawlee/basic";
import { HttpCrawler } from "@crawlee/http";
import { installSessiondPool, sessiondCrawler, SessiondSessionPool, type SessiondSession } from "sessiond/crawlee";
import { CookieJar } from "tough-cookie";

export async function use(): Promise<void> {
  const undo: () => void = installSessiondPool(SessionPool, { url: "sessiond://localhost", pool: "shop" });
  undo();
  const Crawler = sessiondCrawler(HttpCrawler, { sessionOptions: { maxUsageCount: 5 } });
  const crawler = new Crawler({ requestHandler: ({ session, body }) => void [session?.markGood(), body.length] });
  await crawler.run(["http://a.example"]);
  new (sessiondCrawler(BasicCrawler))({ requestHandler: () => {} });
  const pool = await SessiondSessionPool.open({
    CookieJar,
    createSessionFunction: (sessionPool) => new Session({ sessionPool }),
    sessions: [{ id: "a", userData: { proxy: 1 } }],
    policy: { max_concurrent: 1 },
  });
  const session: SessiondSession = await pool.getSession();
  // @ts-expect-error with an id there may be none
  (await pool.getSession("a")).markGood();
  const jar: CookieJar = session.cookieJar;
  jar.getCookiesSync(session.id);
  session.setCookies([{ name: "a", value: "b" }], "http://a.example");
  pool.on("sessionRetired", (retired: SessiondSession) => retired.id);
  // @ts-expect-error there is no such option
  new SessiondSessionPool({ pol: "shop" });
  // @ts-expect-error a pool is no crawler
  sessiondCrawler(5);
  await pool.teardown({ persistState: false });
}
