// The shared pool and its sessions, beside Crawlee's own where the two can be compared.
import assert from "node:assert/strict";
import { EventEmitter, once } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { BasicCrawler, Configuration, Session, SessionPool } from "@crawlee/basic";
import { SessiondSession, SessiondSessionPool, installSessiondPool, sessiondCrawler } from "sessiond/crawlee";
import { CookieJar } from "tough-cookie";
import { server, client, newName, optionsFor, openPool, both, clientOf, countersOf, until } from "./crawlee-shared.js";
import { assertCompiles } from "../support/types.js";

test("a session has all members of Crawlee's, with the same values, and is an instance of it", async (t) => {
  const runs = [];
  installSessiondPool(SessionPool, optionsFor(newName()))();
  const crawler = new (sessiondCrawler(BasicCrawler, optionsFor(newName())))(
    { requestHandler: ({ session }) => void runs.push(session) },
    new Configuration({ persistStorage: false }),
  );
  await crawler.run(["http://a.example"]);
  const own = new Session({ sessionPool: new EventEmitter() });
  const [session] = runs;
  assert.ok(session instanceof Session && session instanceof SessiondSession);
  for (const name of Object.getOwnPropertyNames(Session.prototype))
    if (!name.startsWith("_") && name !== "constructor")
      assert.ok(Object.hasOwn(SessiondSession.prototype, name), `${name} is Crawlee's, not ours`);
  for (const name of ["maxErrorScore", "errorScoreDecrement", "maxUsageCount", "maxAgeSecs"])
    assert.equal(session[name], own[name], name);
  assert.match(session.id, /^session_\w+$/);
  assert.deepEqual(session.userData, {});
  assert.equal(session.expiresAt - session.createdAt, 3000 * 1000);
  assert.deepEqual(
    Object.keys(own.getState()).filter((name) => !(name in session.getState())),
    [],
  );
});

test("marks change the counters as Crawlee's do, at once", async (t) => {
  for (const marks of [
    ["markGood"],
    ["markBad"],
    ["markBad", "markGood"],
    ["markBad", "markBad", "markGood", "markGood", "markGood"],
    ["markGood", "markGood", "markGood", "markGood"],
  ]) {
    const sessions = [];
    for (const pool of await both(t, { sessionOptions: { maxUsageCount: 20 } })) {
      const session = await pool.getSession();
      const seen = [countersOf(session)];
      for (const mark of marks) {
        session[mark]();
        seen.push(countersOf(session));
      }
      sessions.push(seen);
    }
    assert.deepEqual(sessions[1], sessions[0], marks.join());
  }
});

test("three bad marks retire a session, as in Crawlee: score 6, usage 4, and the event", async (t) => {
  for (const pool of await both(t)) {
    const retired = [];
    pool.on("sessionRetired", (session) => retired.push(session.id));
    const session = await pool.getSession();
    for (let i = 0; i < 3; i++) session.markBad();
    assert.deepEqual(
      [session.errorScore, session.usageCount, session.isUsable(), session.isBlocked()],
      [6, 4, false, true],
    );
    assert.deepEqual(retired, [session.id]);
  }
});

test("the server counts as the session does", async (t) => {
  const pool = await openPool(t);
  const session = await pool.getSession();
  session.markGood();
  session.markBad();
  session.markBad();
  session.markGood();
  await pool.persistState();
  const record = await client.session.get(session.id);
  assert.equal(record.usage_count, 4);
  assert.equal(record.error_score, 1.5);
  assert.equal(record.error_count, 2);
  assert.deepEqual([session.usageCount, session.errorScore, session.errorCount], [4, 1.5, 2]);
});

test("retireOnBlockedStatusCodes retires at the pool's codes and at further ones", async (t) => {
  const none = await openPool(t, { blockedStatusCodes: [] });
  assert.equal((await none.getSession()).retireOnBlockedStatusCodes(403), false);
  for (const pool of await both(t, { blockedStatusCodes: [418] })) {
    const [first, second] = [await pool.getSession(), await pool.getSession()];
    assert.equal(first.retireOnBlockedStatusCodes(403), false);
    assert.equal(first.retireOnBlockedStatusCodes(418), true);
    assert.equal(first.isUsable(), false);
    assert.equal(second.retireOnBlockedStatusCodes(500, [500]), true);
    assert.equal(second.isUsable(), false);
  }
});

test("a session that was retired stays so: good marks do not bring it back, here or at the server", async (t) => {
  const pool = await openPool(t, { maxPoolSize: 1 });
  const session = await pool.getSession();
  session.retire();
  session.markBad();
  for (let i = 0; i < 30; i++) session.markGood();
  assert.equal(session.isUsable(), false);
  await pool.persistState();
  assert.equal((await client.session.get(session.id)).retired, true);
  for (let i = 0; i < 20; i++) assert.notEqual((await pool.getSession()).id, session.id);
  assert.equal(await pool.getSession(session.id), undefined);
});

test("a session is not handed out here again even while the server does not know yet that it is retired", async (t) => {
  // Its marks find no connection for a while, and its hand-outs do.
  let isCut = true;
  const cut = Object.assign(new Error("cut off"), { code: "CONNECTION" });
  const withNamespace = (name) => {
    const real = client.withNamespace(name);
    const get = (pool, name) =>
      name === "mark" && isCut ? () => Promise.reject(cut) : (...args) => pool[name](...args);
    return { ...real, pool: new Proxy(real.pool, { get }) };
  };
  const pool = await SessiondSessionPool.open({
    client: clientOf(withNamespace),
    namespace: "crawlee",
    pool: newName(),
    maxPoolSize: 1,
  });
  t.after(() => pool.teardown());
  const session = await pool.getSession();
  session.retire();
  assert.equal((await client.session.get(session.id)).retired, undefined);
  assert.notEqual((await pool.getSession()).id, session.id);
  assert.equal(await pool.getSession(session.id), undefined);
  isCut = false;
  await pool.persistState();
  assert.equal((await client.session.get(session.id)).retired, true);
});

test("a limit of one is used once, however many ask at once; Crawlee's own is used by all", async (t) => {
  const used = [];
  for (const pool of await both(t, { maxPoolSize: 1, sessionOptions: { maxUsageCount: 1 } })) {
    const sessions = await Promise.all(Array.from({ length: 20 }, () => pool.getSession()));
    const uses = new Map();
    for (const { id } of sessions) uses.set(id, (uses.get(id) ?? 0) + 1);
    used.push(Math.max(...uses.values()));
  }
  assert.equal(used[0], 20);
  assert.equal(used[1], 1);
});

test("the last use is usable until it is marked", async (t) => {
  const pool = await openPool(t, { sessionOptions: { maxUsageCount: 2 }, maxPoolSize: 1 });
  const first = await pool.getSession();
  const last = await pool.getSession(first.id);
  assert.equal(last.isUsable(), true);
  assert.equal(await pool.getSession(first.id), undefined);
  last.markGood();
  assert.deepEqual([last.isUsable(), last.isMaxUsageCountReached()], [false, true]);
});

test("getSession takes an id, and answers undefined where there is none", async (t) => {
  for (const pool of await both(t)) {
    const { id } = await pool.getSession();
    assert.equal((await pool.getSession(id)).id, id);
    assert.equal(await pool.getSession("session_none"), undefined);
    assert.ok(await pool.getSession(""));
  }
});

test("addSession takes options, an id once only, and goes beyond the pool's size", async (t) => {
  for (const pool of await both(t, { maxPoolSize: 1 })) {
    await pool.getSession();
    await pool.addSession({ id: "mine", userData: { a: 1 }, maxUsageCount: 7, errorScore: 1, maxAgeSecs: 100 });
    await assert.rejects(async () => pool.addSession({ id: "mine" }));
    const session = await pool.getSession("mine");
    assert.deepEqual(session.userData, { a: 1 });
    assert.deepEqual([session.maxUsageCount, session.errorScore, session.usageCount], [7, 1, 0]);
    assert.equal(pool.usableSessionsCount, 2);
    assert.equal(session.maxAgeSecs, 100);
  }
});

test("addSession takes a Session of Crawlee and what getState answered", async (t) => {
  const pool = await openPool(t);
  const own = new Session({ id: "own", sessionPool: pool, userData: { a: 1 }, maxErrorScore: 9, usageCount: 2 });
  own.setCookies([{ name: "c", value: "1" }], "http://a.example/");
  await pool.addSession(own);
  const session = await pool.getSession("own");
  assert.equal(session.getCookieString("http://a.example/"), "c=1");
  assert.deepEqual([session.maxErrorScore, session.usageCount, session.userData.a], [9, 2, 1]);
  assert.equal(session.expiresAt.getTime(), own.expiresAt.getTime());
  const other = await openPool(t);
  await other.addSession({ ...session.getState(), id: "copy" });
  assert.equal((await other.getSession("copy")).getCookieString("http://a.example/"), "c=1");
});

test("newSession adds a session and hands it out", async (t) => {
  const pool = await openPool(t);
  const session = await pool.newSession({ userData: { a: 1 }, maxUsageCount: 1 });
  assert.deepEqual([session.userData.a, session.isUsable(), session.usageCount], [1, true, 0]);
  assert.equal(await pool.getSession(session.id), undefined);
});

test("lifetimes are seconds and their fractions; none or less is born expired", async (t) => {
  for (const pool of await both(t)) {
    await pool.addSession({ id: "short", maxAgeSecs: 0.01 });
    await pool.addSession({ id: "past", maxAgeSecs: 0 });
    await pool.addSession({ id: "dated", expiresAt: new Date(Date.now() - 1000) });
    await sleep(20);
    for (const id of ["short", "past", "dated"]) assert.equal(await pool.getSession(id), undefined, id);
  }
});

test("createSessionFunction makes the sessions, and is given what addSession was given", async (t) => {
  for (const use of [0, 1]) {
    let made = 0;
    const createSessionFunction = (pool, { sessionOptions = {} } = {}) =>
      new Session({ ...pool.sessionOptions, ...sessionOptions, userData: { number: ++made }, sessionPool: pool });
    const pool = (await both(t, { createSessionFunction, maxPoolSize: 3 }))[use];
    const sessions = [];
    for (let i = 0; i < 5; i++) sessions.push(await pool.getSession());
    assert.deepEqual([...new Set(sessions.map(({ userData }) => userData.number))].sort(), [1, 2, 3]);
    await pool.addSession({ id: "given" });
    assert.equal((await pool.getSession("given")).userData.number, 4);
  }
});

test("sessionOptions with userData are given to each new session", async (t) => {
  const pool = await openPool(t, { sessionOptions: { userData: { from: "options" }, maxUsageCount: 3 } });
  const session = await pool.getSession();
  assert.deepEqual([session.userData.from, session.maxUsageCount], ["options", 3]);
});

test("an id that was destroyed may begin again where the namespace allows it", async (t) => {
  const namespace = `again-${newName()}`;
  await client.withNamespace(namespace).namespace.configure({ tombstone_ms: 0 });
  const pool = await openPool(t, { namespace, sessions: [{ id: "a" }], create: "never" });
  (await pool.getSession("a")).retire();
  await pool.resetStore();
  assert.equal(await pool.getSession("a"), undefined);
  await pool.addSession({ id: "a" });
  const session = await pool.getSession("a");
  assert.ok(session.isUsable());
  assert.equal(pool.usableSessionsCount, 1);
});

test("what one process retires is retired in all, with the event in each", async (t) => {
  const name = newName();
  const [one, two] = [await openPool(t, {}, name), await openPool(t, {}, name)];
  const session = await one.getSession();
  session.userData.account = "a1";
  session.markGood();
  await one.persistState();
  const here = await two.getSession(session.id);
  const events = [];
  one.on("sessionRetired", (retired) => events.push(["one", retired.id]));
  const told = once(two, "sessionRetired");
  session.retire();
  const [retired] = await told;
  assert.equal(retired.id, session.id);
  assert.equal(retired.userData.account, "a1");
  assert.equal(here.isUsable(), false);
  await until(() => one.retiredSessionsCount === 1, "the event came back");
  assert.deepEqual(events, [["one", session.id]]);
  assert.deepEqual([two.usableSessionsCount, two.retiredSessionsCount], [0, 1]);
});

test("each session's end is told once, also where the answer comes before the event", async (t) => {
  const name = newName();
  const late = (watch) => ({
    close: () => watch.close(),
    async *[Symbol.asyncIterator]() {
      for await (const event of watch) {
        await sleep(2);
        yield event;
      }
    },
  });
  const withNamespace = (namespace) => {
    const real = client.withNamespace(namespace);
    return { ...real, watch: async (...args) => late(await real.watch(...args)) };
  };
  const pool = await SessiondSessionPool.open({ client: clientOf(withNamespace), namespace: "crawlee", pool: name });
  t.after(() => pool.teardown());
  const retired = [];
  pool.on("sessionRetired", ({ id }) => retired.push(id));
  await Promise.all(
    Array.from({ length: 50 }, async (_, i) => {
      const session = await pool.getSession();
      if (i % 2) session.retire();
      else for (let k = 0; k < 3; k++) session.markBad();
    }),
  );
  await client.pool.add(name, { id: `last of ${name}` });
  await until(() => pool.usableSessionsCount === 1, "all events are here");
  assert.equal(retired.length, 50);
  assert.equal(new Set(retired).size, 50);
  assert.equal(pool.retiredSessionsCount, 50);
});

test("the event of a session that this process never had brings its userData", async (t) => {
  const name = newName();
  const two = await openPool(t, {}, name);
  const one = await openPool(t, {}, name);
  const session = await one.newSession({ userData: { account: "a2" } });
  const told = once(two, "sessionRetired");
  session.retire();
  assert.equal((await told)[0].userData.account, "a2");
});

test("the counts and getState are of all processes", async (t) => {
  const name = newName();
  const [one, two] = [await openPool(t, {}, name), await openPool(t, {}, name)];
  for (let i = 0; i < 3; i++) (await one.getSession()).markGood();
  await until(() => two.usableSessionsCount === 3, "the sessions of the other process were counted");
  (await one.getSession()).retire();
  await one.persistState();
  await two.refresh();
  const state = two.getState();
  assert.deepEqual([state.usableSessionsCount, state.retiredSessionsCount, state.sessions.length], [3, 1, 3]);
  assert.deepEqual(
    state.sessions.map(({ usageCount }) => usageCount),
    [1, 1, 1],
  );
  const third = await openPool(t, {}, name);
  assert.deepEqual([third.usableSessionsCount, third.retiredSessionsCount], [3, 1]);
});

test("resetStore empties the pool for all; after teardown, as a crawler that runs again calls it, it does nothing", async (t) => {
  const name = newName();
  const [one, two] = [await openPool(t, {}, name), await openPool(t, {}, name)];
  await one.getSession();
  await one.teardown();
  await one.resetStore();
  assert.equal((await client.pool.info(name)).usable_count, 1);
  await two.resetStore();
  assert.equal((await client.pool.info(name))?.usable_count ?? 0, 0);
  assert.equal(two.usableSessionsCount, 0);
});

test("a hand-out that nobody looked at or marked is given back; one that was looked at counts", async (t) => {
  const name = newName();
  const pool = await openPool(t, { maxPoolSize: 1 }, name);
  const { id } = await pool.getSession();
  await pool.getSession();
  await pool.getSession();
  assert.equal((await client.session.get(id)).usage_count, 3);
  await pool.teardown();
  assert.equal((await client.session.get(id)).usage_count, 1);
});

test("a hand-out that is forgotten is given back while the crawl goes on", async (t) => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc");
  const pool = await openPool(t, { maxPoolSize: 1 });
  const { id } = await pool.getSession();
  for (let i = 0; i < 5; i++) await pool.getSession();
  const marked = await pool.getSession();
  marked.markGood();
  await until(async () => {
    collect();
    await sleep(10);
    return (await client.session.get(id)).usage_count === 2;
  }, "only the use that was looked at and the one that was marked count");
});

test("teardown sends all marks, ends who waits, and is done twice at no cost", async (t) => {
  const pool = await openPool(t, { maxPoolSize: 1, policy: { max_concurrent: 1 } });
  const session = await pool.getSession();
  assert.ok(session.id);
  const refused = assert.rejects(pool.getSession(), { code: "CLOSED" });
  session.markBad();
  session.markBad();
  await Promise.all([pool.teardown(), refused]);
  await pool.teardown();
  assert.equal((await client.session.get(session.id)).error_score, 2);
  await assert.rejects(pool.getSession(), { code: "CLOSED" });
  assert.equal(pool.lostCount, 0);
});

test("getSession waits for a session that is free again, and says EXHAUSTED where none is", async (t) => {
  const pool = await openPool(t, {
    create: "never",
    waitMs: 50,
    sessions: [{ id: "only", maxUsageCount: 3 }, { id: "only" }],
  });
  const first = await pool.getSession();
  assert.equal(first.id, "only");
  (await pool.getSession()).markGood();
  (await pool.getSession()).markGood();
  await assert.rejects(pool.getSession(), { code: "EXHAUSTED" });
});

test("a pool is opened with its first getSession, as Crawlee 4 takes it, and has all that Crawlee 4 asks of one", async (t) => {
  const pool = new SessiondSessionPool(optionsFor(newName()));
  t.after(() => pool.teardown());
  const session = await pool.getSession();
  assert.equal((await pool.getSession(session.id)).id, session.id);
  session.fingerprint = { browser: "firefox" };
  session.proxyInfo = { url: "http://proxy.example" };
  assert.equal(typeof session.id, "string");
  assert.ok(session.cookieJar instanceof CookieJar);
  session.markGood();
  await pool.persistState();
  const other = await openPool(t, {}, undefined);
  assert.equal((await other.getSession()).fingerprint, undefined);
  const record = await client.session.get(session.id);
  assert.deepEqual(record.meta, { proxyInfo: { url: "http://proxy.example" }, fingerprint: { browser: "firefox" } });
  session.retire();
  assert.equal(session.isUsable(), false);
});

test("installSessiondPool gives every crawler the shared pool until it is undone", async (t) => {
  const name = newName();
  const undo = installSessiondPool(SessionPool, optionsFor(name, { sessionOptions: { maxUsageCount: 9 } }));
  t.after(undo);
  const ids = new Set();
  const config = () => new Configuration({ persistStorage: false });
  for (let i = 0; i < 2; i++) {
    const crawler = new BasicCrawler(
      {
        sessionPoolOptions: { maxPoolSize: 2 },
        requestHandler: async ({ session }) => {
          ids.add(session.id);
          assert.equal(session.maxUsageCount, 9);
        },
      },
      config(),
    );
    const { requestsFinished } = await crawler.run(
      ["http://a.example", "http://b.example"].map((url) => `${url}/${i}`),
    );
    assert.equal(requestsFinished, 2);
  }
  assert.equal(ids.size, 2);
  const { usable_count } = await client.pool.info(name);
  assert.equal(usable_count, 2);
  const used = (await client.pool.state(name)).sessions.reduce((sum, record) => sum + record.usage_count, 0);
  assert.equal(used, 4);
  undo();
  assert.ok((await SessionPool.open()) instanceof SessionPool);
});

test("a crawler that runs twice goes on with the sessions of its first run", async () => {
  const name = newName();
  const ids = [];
  const Crawler = sessiondCrawler(BasicCrawler, optionsFor(name));
  const requestHandler = ({ session }) => {
    ids.push(session.id);
    throw new Error("a request that fails");
  };
  const options = { sessionPoolOptions: { maxPoolSize: 1 }, maxRequestRetries: 0, requestHandler };
  const crawler = new Crawler(options, new Configuration({ persistStorage: false }));
  for (let i = 0; i < 2; i++) await crawler.run([`http://a.example/${i}`]);
  assert.equal(ids.length, 2);
  assert.equal(ids[0], ids[1]);
  const record = await client.session.get(ids[0]);
  assert.deepEqual([record.usage_count, record.error_score], [2, 2]);
});

test("CommonJS programs have it too, and errors of both builds have the same codes", async (t) => {
  const crawlee = createRequire(import.meta.url)("sessiond/crawlee");
  const pool = await crawlee.SessiondSessionPool.open(optionsFor(newName()));
  t.after(() => pool.teardown());
  assert.ok((await pool.getSession()).isUsable());
  assert.throws(() => new crawlee.SessiondSessionPool({ create: "ask" }), { code: "ARGUMENT" });
});

test("the types fit those of Crawlee", () => {
  assertCompiles("crawlee-types.ts");
});
