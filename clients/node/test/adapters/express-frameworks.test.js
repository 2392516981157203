// The store under Fastify and Koa: with @fastify/session as it is, with koa-session by koaStore.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createRequire } from "node:module";
import { test } from "node:test";
import { koaStore, SessiondStore } from "sessiond/express";
import { Browser, Gate } from "../support/express.js";
import { unlessLate } from "../support/sessiond.js";
import { client, server } from "../support/shared.js";

const require = createRequire(import.meta.url);
const fastify = require("fastify");
const Koa = require("koa");
const koaSession = require("koa-session").createSession;

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let count = 0;
function storeWith(options = {}) {
  const namespace = `frames-${++count}`;
  return Object.assign(new SessiondStore({ connection: client, namespace, user: (each) => each.user, ...options }), {
    operations: client.withNamespace(namespace).session,
  });
}

/** Runs a test in an app of Fastify with @fastify/session. */
async function inFastify(run, options = {}) {
  const store = storeWith();
  const gate = new Gate();
  const app = fastify();
  app.register(require("@fastify/cookie"));
  const secret = "a secret of thirty-two characters at least";
  app.register(require("@fastify/session"), { secret, store, cookie: { secure: false, maxAge: 60_000 }, ...options });
  app.get("/login", async (request) => {
    await request.session.regenerate();
    request.session.user = request.query.user;
    return "ok";
  });
  app.get("/who", async (request) => request.session.user ?? "nobody");
  app.get("/slow", async (request) => {
    await gate.pass();
    request.session.seen = true;
    return "ok";
  });
  app.get("/count", async (request) => store.increment(request.session.sessionId, "views"));
  app.get("/logout", async (request) => {
    await request.session.destroy();
    return "ok";
  });
  await app.listen({ port: 0, host: "127.0.0.1" });
  try {
    await run(new Browser(`http://127.0.0.1:${app.server.address().port}`), store, gate);
  } finally {
    app.server.closeAllConnections();
    await app.close();
  }
}

test("@fastify/session: log in, be known, log out everywhere", () =>
  inFastify(async (browser, store) => {
    await browser.get("login?user=ann");
    assert.equal((await browser.get("who")).body, "ann");
    assert.equal((await browser.get("who")).body, "ann");
    assert.equal(await store.operations.count({ user: "ann" }), 1);
    const [{ idle_timeout_ms }] = (await store.operations.list({ user: "ann" })).sessions;
    assert.ok(idle_timeout_ms > 30_000 && idle_timeout_ms <= 60_000);
    await store.operations.revokeAll({ user: "ann" });
    assert.equal((await browser.get("who")).body, "nobody");
  }));

test("@fastify/session: a slower request does not undo a logout", () =>
  inFastify(async (browser, _store, gate) => {
    await browser.get("login?user=ann");
    const late = new Browser(browser.url);
    late.cookies = new Map(browser.cookies);
    const slow = late.get("slow");
    await gate.arrived(1);
    await browser.get("logout");
    gate.open();
    assert.equal((await slow).status, 200);
    assert.equal((await late.get("who")).body, "nobody");
  }));

test("@fastify/session: twenty requests count at once", () =>
  inFastify(
    async (browser) => {
      await browser.get("login?user=ann");
      const seen = await Promise.all(Array.from({ length: 20 }, () => browser.get("count")));
      assert.deepEqual(
        seen.map(({ body }) => Number(body)).sort((a, b) => a - b),
        Array.from({ length: 20 }, (_, i) => i + 1),
      );
    },
    { rolling: false },
  ));

test("@fastify/session: a session expires", () =>
  unlessLate(300, () => inFastify(
    async (browser, store) => {
      await browser.get("login?user=ann");
      assert.equal((await browser.get("who")).body, "ann");
      await sleep(1600);
      assert.equal((await browser.get("who")).body, "nobody");
      assert.equal(await store.operations.count({ user: "ann" }), 0);
    },
    { cookie: { secure: false, maxAge: 1500 } },
  )));

/** Runs a test in an app of Koa with koa-session. */
async function inKoa(run, options = {}) {
  const store = storeWith();
  const gate = new Gate();
  const app = new Koa();
  app.keys = ["a secret"];
  app.silent = true;
  app.use(koaSession({ store: koaStore(store), ...options }, app));
  app.use(async (ctx) => {
    const { session, query } = ctx;
    if (ctx.path === "/login") session.user = query.user;
    if (ctx.path === "/logout") ctx.session = null;
    if (ctx.path === "/fresh") await session.regenerate();
    if (ctx.path === "/edit") {
      await gate.pass();
      session[query.key] = query.value;
    }
    if (ctx.path === "/twice") {
      session.first = true;
      await session.manuallyCommit();
      session.second = true;
    }
    ctx.body = { user: session?.user ?? "nobody", all: session };
  });
  const http = app.listen(0, "127.0.0.1");
  await once(http, "listening");
  try {
    await run(new Browser(`http://127.0.0.1:${http.address().port}`), store, gate);
  } finally {
    http.closeAllConnections();
    http.close();
  }
}

const userOf = async (browser) => JSON.parse((await browser.get("who")).body).user;

test("koa-session: log in, be known, get another id, log out", () =>
  inKoa(async (browser, store) => {
    await browser.get("login?user=ann");
    assert.equal(await userOf(browser), "ann");
    const [before_] = (await store.operations.list({ user: "ann" })).sessions;
    assert.equal(before_.idle_timeout_ms, 86_410_000); // koa-session's day, and 10 s more than the cookie
    await browser.get("fresh");
    const { sessions } = await store.operations.list({ user: "ann" });
    assert.equal(sessions.length, 1);
    assert.notEqual(sessions[0].id, before_.id);
    assert.equal(await userOf(browser), "ann");
    await browser.get("logout");
    assert.equal(await userOf(browser), "nobody");
    assert.equal(await store.length(), 0);
  }));

test("koa-session: a slower request does not undo a logout, and requests keep each other's keys", () =>
  inKoa(async (browser, _store, gate) => {
    await browser.get("login?user=ann");
    const thief = new Browser(browser.url);
    thief.cookies = new Map(browser.cookies);
    const slow = ["a", "b"].map((key) => browser.get(`edit?key=${key}&value=1`));
    await gate.arrived(2);
    gate.open();
    await Promise.all(slow);
    await browser.get("twice");
    const { all } = JSON.parse((await browser.get("who")).body);
    assert.deepEqual(all, { user: "ann", a: "1", b: "1", first: true, second: true });
    await Promise.all([thief.get("edit?key=c&value=1"), browser.get("logout")]);
    assert.equal(await userOf(thief), "nobody");
  }));

test("koa-session: sessions expire, and those of the browser's session live as ttl says", () =>
  inKoa(
    async (browser, store) => {
      await browser.get("login?user=ann");
      assert.equal((await store.operations.list({ user: "ann" })).sessions[0].idle_timeout_ms, 10_200);
      await sleep(300);
      assert.equal(await userOf(browser), "nobody");
    },
    { maxAge: 200 },
  ).then(() =>
    inKoa(
      async (browser, store) => {
        await browser.get("login?user=ann");
        assert.equal((await store.operations.list({ user: "ann" })).sessions[0].idle_timeout_ms, 86_400_000);
        assert.equal(await userOf(browser), "ann");
      },
      { maxAge: "session" },
    ),
  ));

test("koaStore makes its own store of a URL, and says what is wrong with it", async () => {
  const { store, ...kept } = koaStore(server.url("of-a-url"));
  await kept.set("a", { n: 1 }, 1000);
  assert.deepEqual(await kept.get("a"), { n: 1 });
  await kept.destroy("a");
  assert.equal(await kept.get("a"), undefined);
  await store.close();
  assert.throws(() => koaStore("nonsense"), { code: "URL" });
});
