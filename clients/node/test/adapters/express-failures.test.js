// What goes wrong beneath an app: no server, another one, one that hangs, dies and comes back; and what cannot be
// stored. Every request ends, and the app's error handler hears why.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { SessiondStore } from "sessiond/express";
import { App } from "../support/express.js";
import { Fake, messages } from "../support/fake.js";
import { patient, Sessiond, unlessLate } from "../support/sessiond.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let server;
before(async () => (server = await Sessiond.start()));
after(() => server.end());

const routesOf = (store) => ({
  login: (request, response) => {
    request.session.user = request.query.user;
    response.json(request.session.user);
  },
  who: (request, response) => response.json(request.session.user ?? null),
  count: async (request, response) => response.json(await store.increment(request.session, "views")),
  put: (request, response) => {
    request.session.value = values[request.query.value];
    response.send("ok");
  },
  logout: (request, response, next) =>
    request.session.destroy((error) => (error ? next(error) : response.json("logged out"))),
  careless: (request, response) => {
    request.session.destroy(); // nobody is told how it went
    response.send("ok");
  },
});

const circle = {};
circle.circle = circle;
const values = { surrogate: "\ud800", big: "x".repeat(1 << 20), toJSON: { toJSON: () => JSON.stringify(circle) } };

/** Runs a test in an app whose store has the options. */
async function inApp(options, run) {
  const store = new SessiondStore(options);
  for (const name of ["disconnect", "error"]) store.on(name, () => assert.fail(`the store emitted ${name}`));
  const app = await App.start(store, routesOf(store), { cookie: { maxAge: 600_000 } });
  try {
    await run(app, store);
  } finally {
    await app.end();
    await store.close();
  }
}

/** The newest of the app's errors, which may come a little behind the answer; it is forgotten then. */
async function lastError(app) {
  for (let i = 0; app.errors.length === 0 && i < 1000; i++) await sleep(10);
  return app.errors.splice(0).at(-1);
}

/** A browser whose cookie names a session, so that the store is asked for it. */
function knownBrowser(app, of) {
  const browser = app.browser();
  browser.cookies = new Map(of.cookies);
  return browser;
}

const nobodyUrl = () => `sessiond+unix://${path.join(tmpdir(), `nobody-${process.pid}.sock`)}?namespace=web`;

/** A cookie that is signed as the app signs, without the app's server. */
async function signedBrowser() {
  const browser = { cookies: new Map() };
  await inApp({ url: server.url("signed"), ...patient }, async (app) => {
    const known = app.browser();
    await known.get("login?user=ann");
    browser.cookies = known.cookies;
  });
  return browser;
}

for (const [what, start, code] of [
  // A socket's name of its own: a port that is free now may be another test's server the next moment.
  ["nobody listens", async () => ({ url: nobodyUrl(), stop: async () => {} }), "CONNECTION"],
  ["a server hangs before its greeting", () => Fake.start(() => {}), "CONNECTION"],
  ["a server hangs behind its greeting", () => Fake.start((socket) => messages(socket, () => {})), "TIMEOUT"],
])
  test(`${what}: a request ends with ${code}, and no request is served without a session`, () => unlessLate(50, async () => {
    const signed = await signedBrowser();
    const fake = await start();
    try {
      await inApp({ url: fake.url, timeoutMs: 300, connectTimeoutMs: 200 }, async (app) => {
        for (const route of ["who", "count", "logout", "careless"]) {
          const { status, body } = await knownBrowser(app, signed).get(route);
          assert.equal(status, 500, route);
          assert.equal(body, code, route);
          assert.equal((await lastError(app)).code, code);
        }
        // A new session is loaded from nowhere; that it cannot be saved is told to the error handler.
        await app.browser().get("login?user=eve");
        assert.equal((await lastError(app)).code, code);
        assert.equal((await app.browser().get("careless")).status, 200);
        await sleep(400); // its rejection would have ended the process
      });
    } finally {
      await fake.stop();
    }
  }));

test("what answers is no sessiond", async () => {
  const signed = await signedBrowser();
  const http = createHttpServer((_request, response) => response.end("hello")).listen(0, "127.0.0.1");
  await once(http, "listening");
  try {
    await inApp({ url: `sessiond://127.0.0.1:${http.address().port}/web`, ...patient }, async (app) => {
      const { status, body } = await knownBrowser(app, signed).get("who");
      assert.deepEqual([status, body], [500, "PROTOCOL"]);
    });
  } finally {
    http.closeAllConnections();
    http.close();
  }
});

test("what cannot be stored is told with its cause, and the session stays as it was", () =>
  inApp({ url: server.url("values"), ...patient }, async (app, store) => {
    const browser = app.browser();
    await browser.get("login?user=ann");
    for (const [value, code] of [
      ["surrogate", "ARGUMENT"],
      ["big", "TOO_BIG"],
    ]) {
      await browser.get(`put?value=${value}`);
      assert.equal((await lastError(app)).code, code);
      assert.equal((await browser.get("who")).body, '"ann"');
    }
    for (const session of [circle, { n: 1n }, "text", undefined, null, [1], () => {}])
      await assert.rejects(store.set("a", session), { code: "ARGUMENT", message: /cannot be stored/ });
    for (const id of ["", undefined, 5, {}])
      for (const method of ["get", "set", "touch", "destroy"])
        await assert.rejects(store[method](id, {}), { code: "ARGUMENT", message: /id/ });
    await assert.rejects(store.get("x".repeat(300)), { code: "BAD_REQUEST" });
  }));

test("a server is killed and started again under load: every request ends, and what was answered is kept", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "sessiond-express-"));
  const options = [`--data-dir=${folder}`, "--durability=always"];
  let own = await Sessiond.start({ options });
  const { port } = own;
  const statuses = new Map();
  try {
    await inApp({ url: own.url("killed"), ...patient }, async (app) => {
      const users = Array.from({ length: 8 }, (_, i) => ({ name: `user-${i}`, browser: app.browser(), counted: 0 }));
      for (const { name, browser } of users) assert.equal((await browser.get(`login?user=${name}`)).status, 200);
      let isOver = false;
      const loads = users.map(async (user, i) => {
        while (!isOver) {
          const route = i === 0 && user.counted > 5 ? "logout" : "count";
          const { status, body } = await user.browser.get(route);
          const outcome = status === 200 ? "ok" : body;
          statuses.set(outcome, (statuses.get(outcome) ?? 0) + 1);
          if (status !== 200) continue;
          if (route === "logout") return void (user.isOut = true);
          assert.ok(Number(body) > user.counted, `${body} after ${user.counted}`);
          user.counted = Number(body);
        }
      });
      const over = Promise.all(loads);
      over.catch(() => (isOver = true));
      const until = async (condition) => {
        while (!isOver && !condition()) await sleep(5);
      };
      const answered = (wanted) => until(() => statuses.get("ok") >= wanted);
      for (let round = 0; round < 3; round++) {
        await answered(25 * (round + 1));
        await own.end("SIGKILL");
        await sleep(round * 100);
        own = await Sessiond.start({ port, options });
      }
      await answered(100);
      await until(() => users[0].isOut);
      isOver = true;
      await over;
      for (const outcome of statuses.keys())
        assert.ok(["ok", "CONNECTION", "TIMEOUT", "BUSY"].includes(outcome), outcome);
      for (const { name, browser, isOut } of users)
        assert.equal(JSON.parse((await browser.get("who")).body), isOut ? null : name);
    });
  } finally {
    await own.end();
    rmSync(folder, { recursive: true });
  }
});
