// express-session's decisions, side by side: the same requests to an app with MemoryStore and to one with SessiondStore
// get the same answers and cookies, call the same methods of the store and leave the same sessions in it.
//
// The table has a row for each of resave, saveUninitialized, rolling, unset, a store with touch or without, and requests
// that change the session or not: 64, each with session cookies and with cookies of a minute.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { SessiondStore } from "sessiond/express";
import { App, called, session } from "../support/express.js";
import { client } from "../support/shared.js";

const require = createRequire(import.meta.url);
const { sign } = require("cookie-signature");
const SECRET = "keyboard cat";
/** How far apart the two apps may be in time. */
const SLACK_MS = 20_000;

let count = 0;
const makers = {
  MemoryStore: () => new session.MemoryStore(),
  SessiondStore: () => new SessiondStore({ connection: client, namespace: `table-${++count}` }),
};

const METHODS = ["get", "set", "touch", "destroy", "regenerate", "load", "createSession", "all", "length", "clear"];

/** Writes down the calls of a store's methods: the names, and the ids that they are given. */
function record(store, isTouchable) {
  const calls = [];
  for (const name of METHODS) {
    const method = store[name].bind(store);
    store[name] = (...args) => {
      calls.push(`${name} ${args.filter((each) => typeof each === "string").join(" ")}`.trim());
      return method(...args);
    };
  }
  if (!isTouchable) store.touch = undefined;
  return calls;
}

/** Each row's requests. `changes` is whether those change the session that do not say otherwise. */
function routesOf(changes) {
  const change = (request) => {
    if (changes) request.session.n = (request.session.n ?? 0) + 1;
  };
  const tell = (request, response) => {
    const { cookie, ...rest } = request.session ?? {};
    response.json({
      id: request.sessionID,
      rest,
      maxAge: about(cookie?.originalMaxAge),
      isTimed: cookie?.expires != null,
    });
  };
  const then = (next, go) => (error) => (error ? next(error) : go());
  return {
    step: (request, response) => {
      change(request);
      tell(request, response);
    },
    save: (request, response, next) => {
      change(request);
      request.session.save(then(next, () => tell(request, response)));
    },
    "save-and-change": (request, response, next) => {
      request.session.save(
        then(next, () => {
          change(request);
          tell(request, response);
        }),
      );
    },
    reload: (request, response, next) => {
      request.session.lost = true;
      request.session.reload((error) => {
        if (error) return response.send(error.message);
        change(request);
        tell(request, response);
      });
    },
    regenerate: (request, response, next) => {
      request.session.regenerate(
        then(next, () => {
          change(request);
          tell(request, response);
        }),
      );
    },
    longer: (request, response) => {
      change(request);
      request.session.cookie.maxAge = 120_000;
      tell(request, response);
    },
    destroy: (request, response, next) => request.session.destroy(then(next, () => response.send("gone"))),
    unset: (request, response) => {
      request.session = null;
      response.send("unset");
    },
    delete: (request, response) => {
      delete request.session;
      response.send("deleted");
    },
  };
}

const REQUESTS = [
  "step step save step save-and-change reload step longer step regenerate step destroy step",
  "step unset step delete step regenerate destroy step",
]
  .join(" forged ")
  .split(" ");

/** Durations and dates as about how long and how far away they are: express-session counts passing milliseconds in. */
const about = (duration) => (typeof duration === "number" ? Math.round(duration / SLACK_MS) : duration);
const aboutDate = (date) => about(new Date(date) - Date.now());

function cookieLine(line) {
  return line.replace(/Expires=([^;]*)/, (_, date) => `Expires=${aboutDate(date)}`);
}

async function contentOf(store, kind) {
  const all = await called((done) => kind.prototype.all.call(store, done));
  const sessions = Array.isArray(all) ? all.map(({ id, ...each }) => [id, each]) : Object.entries(all);
  for (const [, { cookie }] of sessions) {
    if (cookie.expires != null) cookie.expires = aboutDate(cookie.expires);
    cookie.originalMaxAge = about(cookie.originalMaxAge);
  }
  return Object.fromEntries(sessions.sort());
}

/** All that can be seen of the requests of a row with one store. */
async function play(name, row, cookie) {
  const store = makers[name]();
  const kind = store.constructor;
  const calls = record(store, row.touch);
  let ids = 0;
  const { changes, touch, ...options } = row;
  const app = await App.start(store, routesOf(changes), {
    ...options,
    cookie,
    genid: () => `id-${++ids}`,
    secret: SECRET,
  });
  const browser = app.browser();
  const seen = [];
  try {
    for (const request of REQUESTS) {
      if (request === "forged") {
        browser.cookies.set("connect.sid", encodeURIComponent(`s:${sign("unknown", SECRET)}`));
        continue;
      }
      const { status, body, set } = await browser.get(request);
      const content = await contentOf(store, kind);
      seen.push({ request, status, body, set: set.map(cookieLine), calls: calls.splice(0), content });
    }
  } finally {
    await app.end();
  }
  return seen;
}

const rows = [];
for (let bits = 0; bits < 64; bits++)
  rows.push({
    resave: (bits & 1) > 0,
    saveUninitialized: (bits & 2) > 0,
    rolling: (bits & 4) > 0,
    unset: bits & 8 ? "destroy" : "keep",
    touch: (bits & 16) > 0,
    changes: (bits & 32) > 0,
  });

for (const row of rows)
  test(`as MemoryStore: ${JSON.stringify(row).replace(/[{}"]/g, "")}`, async () => {
    for (const cookie of [{}, { maxAge: 60_000 }]) {
      const [expected, actual] = await Promise.all(
        ["MemoryStore", "SessiondStore"].map((name) => play(name, row, cookie)),
      );
      assert.equal(expected.length, REQUESTS.length - 1);
      assert.ok(expected.some(({ calls }) => calls.includes("get unknown")));
      for (const [i, step] of expected.entries()) assert.deepEqual(actual[i], step, `request ${i}, ${step.request}`);
    }
  });
