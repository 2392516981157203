// Each option of express-session and each attribute of its cookies, with SessiondStore as with MemoryStore.
import assert from "node:assert/strict";
import { test } from "node:test";
import { SessiondStore } from "sessiond/express";
import { App, session } from "../support/express.js";
import { unlessLate } from "../support/sessiond.js";
import { client } from "../support/shared.js";

let count = 0;
const makers = {
  MemoryStore: () => new session.MemoryStore(),
  SessiondStore: () => new SessiondStore({ connection: client, namespace: `cookies-${++count}` }),
};

const routes = {
  step: (request, response) => {
    request.session.n = (request.session.n ?? 0) + 1;
    const { cookie } = request.session;
    const { expires, originalMaxAge, ...attributes } = cookie.data;
    const classes = [request.session instanceof session.Session, cookie instanceof session.Cookie];
    response.json({ n: request.session.n, id: request.sessionID, isTimed: expires != null, attributes, classes });
  },
  id: (request, response) => response.json(request.sessionID),
};

/** What both stores lead to, which is to be the same: the answers to some requests of a browser. */
async function both(options, run) {
  const results = [];
  for (const make of Object.values(makers)) {
    let ids = 0;
    const store = make();
    const app = await App.start(store, routes, { genid: () => `id-${++ids}`, rolling: true, ...options });
    if (options.proxy) app.app.set("trust proxy", 1);
    try {
      results.push(await run(app, store));
    } finally {
      await app.end();
    }
  }
  assert.deepEqual(results[1], results[0]);
  return results[1];
}

const withoutDate = ({ status, body, set }) => ({
  status,
  body,
  set: set.map((line) => line.replace(/Expires=[^;]*/, "Expires")),
});

const HTTPS = { "x-forwarded-proto": "https" };
const far = new Date(Date.now() + 1e9);

for (const [cookie, expected, headers, options] of [
  [{}, /^connect\.sid=[^;]+; Path=\/; HttpOnly$/],
  [{ domain: "example.org" }, /Domain=example\.org/],
  [{ expires: far }, /Expires/],
  [{ maxAge: 60_000 }, /Expires/],
  [{ maxAge: 60_000, expires: null }, /HttpOnly$/],
  [{ expires: null, maxAge: 60_000 }, /Expires/],
  [{ httpOnly: false }, /Path=\/$/],
  [{ partitioned: true }, /Partitioned/],
  [{ path: "/step" }, /Path=\/step/],
  [{ priority: "low" }, /Priority=Low/],
  [{ priority: "medium" }, /Priority=Medium/],
  [{ priority: "high" }, /Priority=High/],
  [{ sameSite: true }, /SameSite=Strict/],
  [{ sameSite: false }, /HttpOnly$/],
  [{ sameSite: "lax" }, /SameSite=Lax/],
  [{ sameSite: "strict" }, /SameSite=Strict/],
  [{ sameSite: "none" }, /SameSite=None/],
  [{ sameSite: "auto" }, /SameSite=Lax/],
  [{ sameSite: "auto" }, /SameSite=None/, HTTPS, { proxy: true }],
  [{ secure: true }, undefined],
  [{ secure: true }, /Secure/, HTTPS, { proxy: true }],
  [{ secure: "auto" }, /HttpOnly$/],
  [{ secure: "auto" }, /Secure/, HTTPS, { proxy: true }],
  [(request) => ({ path: request.path, maxAge: 5_000 }), /Path=\/step; Expires/],
])
  test(`cookie: ${typeof cookie === "function" ? cookie : JSON.stringify(cookie)} ${headers ? "over https" : ""}`, () =>
    both({ cookie, ...options }, async (app) => {
      const browser = app.browser();
      const answers = [];
      for (let i = 0; i < 3; i++) answers.push(withoutDate(await browser.get("step", headers)));
      for (const { status, body, set } of answers) {
        assert.equal(status, 200);
        assert.deepEqual(JSON.parse(body).classes, [true, true]);
        // Under rolling each answer sets the cookie, also one of a session that was stored.
        if (expected) assert.match(set[0], expected);
        else assert.deepEqual(set, []);
      }
      assert.equal(JSON.parse(answers[2].body).n, expected ? 3 : 1);
      return answers;
    }));

test("name, and several sessions for each browser", () =>
  both({ name: "sid" }, async (app) => {
    const browser = app.browser();
    const first = await browser.get("step");
    assert.match(first.set[0], /^sid=/);
    browser.cookies.set("connect.sid", "nonsense");
    assert.equal(JSON.parse((await browser.get("step")).body).n, 2);
  }));

test("secrets are rotated: the first one signs, all are accepted, others are not", async () => {
  for (const make of Object.values(makers)) {
    const store = make();
    const apps = [];
    for (const secret of ["old", ["new", "old"], "new"])
      apps.push(await App.start(store, routes, { secret, rolling: true }));
    try {
      const browser = apps[0].browser();
      const numbers = [];
      // The browser goes from app to app: old, then both, which signs anew, then new alone; and back, where it is nobody.
      for (const app of [...apps, apps[0]]) {
        browser.url = app.url;
        numbers.push(JSON.parse((await browser.get("step")).body).n);
      }
      assert.deepEqual(numbers, [1, 2, 3, 1]);
    } finally {
      await Promise.all(apps.map((app) => app.end()));
    }
  }
});

test("a genid that names the same session again: a new session begins where one was destroyed or has expired", () =>
  unlessLate(300, () => both({ genid: () => "only", cookie: { maxAge: 1500 } }, async (app, store) => {
    const seen = [];
    for (let i = 0; i < 2; i++) seen.push(JSON.parse((await app.browser().get("step")).body).n);
    await new Promise((resolve) => store.destroy("only", resolve));
    const browser = app.browser();
    for (let i = 0; i < 2; i++) seen.push(JSON.parse((await browser.get("step")).body).n);
    await new Promise((resolve) => setTimeout(resolve, 1600));
    seen.push(JSON.parse((await browser.get("step")).body).n);
    seen.push(JSON.parse((await browser.get("step")).body).n);
    return seen;
  })));

test("a session that is not stored, or has no cookie any more, is an error of express-session as before", () =>
  both({}, async (app, store) => {
    const browser = app.browser();
    await browser.get("step");
    await new Promise((resolve) => store.set("id-1", { n: 1 }, resolve));
    const { status, body } = await browser.get("step");
    assert.match(body, /Cannot read prop/);
    return [status, body];
  }));
