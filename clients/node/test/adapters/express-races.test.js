// Requests of one browser at the same time: what MemoryStore loses and SessiondStore keeps. Gates put them in an order.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { SessiondStore } from "sessiond/express";
import { App, called, Gate, session } from "../support/express.js";
import { Sessiond } from "../support/sessiond.js";

let server;
before(async () => (server = await Sessiond.start()));
after(() => server.end());

let count = 0;
const stores = {
  MemoryStore: () => new session.MemoryStore(),
  SessiondStore: () => new SessiondStore({ url: server.url(`race-${++count}`), timeoutMs: 20_000, connectTimeoutMs: 10_000 }),
};

/** The routes of a shop that is slow at the gate. */
function routesWith(gate, store) {
  return {
    login: (request, response) => {
      request.session.user = "ann";
      response.send("ok");
    },
    logout: (request, response, next) =>
      request.session.destroy((error) => (error ? next(error) : response.send("ok"))),
    fresh: (request, response, next) =>
      request.session.regenerate((error) => {
        request.session.user = "eve";
        return error ? next(error) : response.send("ok");
      }),
    who: (request, response) => response.json(request.session.user ?? null),
    all: (request, response) => response.json({ ...request.session, cookie: undefined }),
    edit: async (request, response) => {
      await gate.pass();
      for (const [key, value] of Object.entries(request.query))
        if (value === "") delete request.session[key];
        else request.session[key] = value;
      response.send("ok");
    },
    save: async (request, response) => {
      await gate.pass();
      request.session.saved = true;
      await called((done) => request.session.save(done));
      request.session.later = true;
      response.send("ok");
    },
    same: async (request, response) => {
      await gate.pass();
      response.send("ok");
    },
    longer: async (request, response) => {
      await gate.pass();
      request.session.cookie.maxAge = 500_000;
      request.session.b = "2";
      response.send("ok");
    },
    count: async (request, response) => {
      await gate.pass();
      if (store.increment) await store.increment(request.session, "views");
      else request.session.views = (request.session.views ?? 0) + 1;
      response.json(request.session.views);
    },
  };
}

/** Runs a race with each store in turn; answers what came of it, by the store's name. */
async function race(options, run) {
  const results = {};
  for (const [name, make] of Object.entries(stores)) {
    const store = make();
    const gate = new Gate();
    const app = await App.start(store, routesWith(gate, store), options);
    try {
      const browser = app.browser();
      await browser.get("login");
      results[name] = await run(browser, gate, app);
    } finally {
      await app.end();
      await store.close?.();
    }
  }
  return results;
}

for (const [what, options, path] of [
  ["changes the session", {}, "edit?seen=1"],
  ["saves the session itself", {}, "save"],
  ["changes nothing and is resaved", { resave: true }, "same"],
  ["changes nothing and touches, under rolling", { rolling: true, cookie: { maxAge: 60_000 } }, "same"],
])
  test(`a request that ${what} ends after the logout`, async () => {
    const results = await race(options, async (browser, gate) => {
      const slow = browser.get(path);
      await gate.arrived(1);
      assert.equal((await browser.get("logout")).status, 200);
      gate.open();
      assert.equal((await slow).status, 200);
      return JSON.parse((await browser.get("who")).body);
    });
    // A touch of MemoryStore finds nothing and does nothing; all others bring back who logged out.
    assert.deepEqual(results, { MemoryStore: options.rolling ? null : "ann", SessiondStore: null });
  });

test("a request on the old session ends after the login that regenerated it", async () => {
  const results = await race({}, async (browser, gate, app) => {
    const thief = app.browser();
    thief.cookies = new Map(browser.cookies);
    const slow = thief.get("edit?seen=1");
    await gate.arrived(1);
    await browser.get("fresh");
    gate.open();
    await slow;
    return [JSON.parse((await thief.get("who")).body), JSON.parse((await browser.get("who")).body)];
  });
  assert.deepEqual(results, { MemoryStore: ["ann", "eve"], SessiondStore: [null, "eve"] });
});

test("two requests change different keys, and a third removes one", async () => {
  const results = await race({}, async (browser, gate) => {
    const requests = ["edit?a=1", "edit?b=2", "edit?user="].map((path) => browser.get(path));
    await gate.arrived(3);
    gate.open();
    await Promise.all(requests);
    return JSON.parse((await browser.get("all")).body);
  });
  assert.deepEqual(results.SessiondStore, { a: "1", b: "2" });
  assert.ok(Object.keys(results.MemoryStore).length < 3 && !("a" in results.MemoryStore && "b" in results.MemoryStore));
});

test("one request changes a key, another one a key and the cookie's lifetime", async () => {
  for (const order of [
    ["edit?a=1", "longer"],
    ["longer", "edit?a=1"],
  ]) {
    const results = await race({ cookie: { maxAge: 60_000 } }, async (browser, gate, app) => {
      const requests = order.map((path) => browser.get(path));
      await gate.arrived(2);
      gate.open();
      await Promise.all(requests);
      return JSON.parse((await browser.get("all")).body);
    });
    assert.deepEqual(results.SessiondStore, { user: "ann", a: "1", b: "2" });
    assert.notDeepEqual(results.MemoryStore, { user: "ann", a: "1", b: "2" });
  }
});

test("twenty requests count at once", async () => {
  const results = await race({}, async (browser, gate) => {
    const requests = Array.from({ length: 20 }, () => browser.get("count"));
    await gate.arrived(20);
    gate.open();
    const seen = (await Promise.all(requests)).map((answer) => Number(answer.body)).sort((a, b) => a - b);
    return { seen, views: JSON.parse((await browser.get("all")).body).views };
  });
  assert.equal(results.MemoryStore.views, 1);
  assert.equal(results.SessiondStore.views, 20);
  assert.deepEqual(
    results.SessiondStore.seen,
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
});

test("two hundred logouts against a request each, in whatever order they come: nobody is back", async () => {
  const store = stores.SessiondStore();
  const gate = new Gate();
  gate.open();
  const app = await App.start(store, routesWith(gate, store));
  try {
    const browsers = Array.from({ length: 200 }, () => app.browser());
    await Promise.all(browsers.map((browser) => browser.get("login")));
    const ids = new Set(await store.ids());
    assert.equal(ids.size, 200);
    await Promise.all(browsers.flatMap((browser) => [browser.get("edit?seen=1"), browser.get("logout")]));
    // A request that came behind the logout may have begun a session of its own, which knows nobody.
    for (const { id, user } of await store.all()) assert.deepEqual([ids.has(id), user], [false, undefined]);
  } finally {
    await app.end();
    await store.close();
  }
});
