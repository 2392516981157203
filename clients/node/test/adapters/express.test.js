// The store by itself: each method with a callback and as a promise, its options, and what it keeps.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect } from "sessiond";
import { koaStore, SessiondStore } from "sessiond/express";
import { App, Browser, called, session } from "../support/express.js";
import { client, server } from "../support/shared.js";
import { storeWith, inOneMoment, sessionWith } from "../support/stores.js";
import { assertCompiles } from "../support/types.js";

for (const [style, call] of [
  ["a callback", (store, method, ...args) => called((done) => assert.equal(store[method](...args, done), undefined))],
  ["a promise", (store, method, ...args) => store[method](...args)],
])
  test(`every method answers ${style}`, async () => {
    const store = storeWith();
    assert.equal(await call(store, "get", "a"), undefined);
    assert.equal(await call(store, "set", "a", sessionWith({ n: 1 })), undefined);
    const { cookie, ...data } = await call(store, "get", "a");
    assert.deepEqual(data, { n: 1 });
    assert.deepEqual(cookie, { originalMaxAge: null, expires: null, httpOnly: true, path: "/" });
    assert.equal(await call(store, "touch", "a", sessionWith({})), undefined);
    assert.equal(await call(store, "increment", "a", "n", 2), 3);
    await call(store, "set", "b", sessionWith({ n: 2 }));
    assert.equal(await call(store, "length"), 2);
    assert.deepEqual((await call(store, "ids")).sort(), ["a", "b"]);
    const all = (await call(store, "all")).sort((x, y) => (x.id < y.id ? -1 : 1));
    assert.deepEqual(all, [
      { n: 3, cookie, id: "a" },
      { n: 2, cookie, id: "b" },
    ]);
    assert.equal(await call(store, "destroy", "a"), undefined);
    assert.equal(await call(store, "destroy", "a"), undefined);
    assert.equal(await call(store, "get", "a"), undefined);
    assert.equal(await call(store, "clear"), undefined);
    assert.equal(await call(store, "length"), 0);
    assert.deepEqual(await call(store, "all"), []);
    assert.equal(await call(store, "load", "b"), undefined);
  });

test("a callback hears of errors and of what it throws itself nobody else does", async () => {
  const store = storeWith();
  await assert.rejects(
    called((done) => store.set("a", sessionWith({ n: 1n }), done)),
    { code: "ARGUMENT" },
  );
  await assert.rejects(
    called((done) => store.get("", done)),
    { code: "ARGUMENT" },
  );
  const thrown = new Promise((resolve) => process.setUncaughtExceptionCaptureCallback(resolve));
  store.get("a", () => {
    throw new Error("of the callback");
  });
  assert.equal((await thrown).message, "of the callback");
  process.setUncaughtExceptionCaptureCallback(null);
});

test("a session that ended stays so, whoever writes it, and that is no error", async () => {
  const store = storeWith();
  await store.set("a", sessionWith({ n: 1 }));
  const loaded = await store.get("a");
  await store.destroy("a");
  for (const write of [
    () => store.set("a", Object.assign(loaded, { n: 2 })),
    () => store.set("a", sessionWith({ n: 3 })),
    () => store.touch("a", loaded),
    () => store.touch("a"),
    () => store.increment("a", "n"),
  ]) {
    assert.equal(await write(), undefined);
    assert.equal(await store.get("a"), undefined);
  }
});

test("what get answered is written as what changed, another object as a whole", async () => {
  const store = storeWith();
  await store.set("a", sessionWith({ one: 1, two: { deep: [2] }, three: 3 }));
  const [first, second] = [await store.get("a"), await store.get("a")];
  first.one = 10;
  delete first.three;
  second.two.deep.push(20);
  await store.set("a", first);
  await store.set("a", second);
  const { cookie, ...merged } = await store.get("a");
  assert.deepEqual(merged, { one: 10, two: { deep: [2, 20] } });
  first.four = 4;
  await store.set("a", first); // once more, with what it wrote before as what it knows
  assert.deepEqual(Object.keys(await store.get("a")).sort(), ["cookie", "four", "one", "two"]);
  await store.set("a", { cookie, only: true });
  assert.deepEqual(await store.get("a"), { cookie, only: true });
});

test("data is what JSON would keep, and no key is special", async () => {
  const store = storeWith();
  const odd = JSON.parse('{"__proto__": {"x": 1}, "constructor": 2, "": 3, "0": 4}');
  const given = {
    ...odd,
    date: new Date(5),
    nan: NaN,
    none: undefined,
    list: [undefined],
    big: 1e300,
    text: "\u0000ü😀",
  };
  Object.defineProperty(given, "__proto__", { value: { x: 1 }, enumerable: true, writable: true, configurable: true });
  await store.set("a", given);
  assert.deepEqual(await store.get("a"), JSON.parse(JSON.stringify(given)));
  const loaded = await store.get("a");
  Object.defineProperty(loaded, "__proto__", { value: 7, enumerable: true, writable: true, configurable: true });
  delete loaded[""];
  await store.set("a", loaded);
  const read = await store.get("a");
  assert.equal(Object.getOwnPropertyDescriptor(read, "__proto__").value, 7);
  assert.ok(!("" in read));
  assert.deepEqual((await store.operations.session.get("a")).data["0"], 4);
});

test("a stored session without a cookie is answered as it is, what is no session is an error", async () => {
  const store = storeWith();
  await store.operations.session.set("a", { n: 1 });
  assert.deepEqual(await store.get("a"), { n: 1 });
  await store.operations.session.set("b", "text");
  await assert.rejects(store.get("b"), { code: "ARGUMENT", message: /serializer/ });
});

test("a cookie that is no cookie is data like any other", async () => {
  for (const serializer of [undefined, { stringify: JSON.stringify, parse: JSON.parse }]) {
    const store = storeWith({ serializer });
    await store.set("a", { cookie: "oatmeal", n: 1 });
    const loaded = await store.get("a");
    assert.deepEqual(loaded, { cookie: "oatmeal", n: 1 });
    await store.set("a", Object.assign(loaded, { cookie: "spelt" }));
    assert.deepEqual(await store.get("a"), { cookie: "spelt", n: 1 });
  }
});

test("more keys than one patch takes are written all the same, and others' changes are kept", async () => {
  const store = storeWith();
  await store.set("a", sessionWith({ n: 1 }));
  const loaded = await store.get("a");
  await store.operations.session.patch("a", { set: { other: true } });
  for (let i = 0; i < 1500; i++) loaded[`k${i}`] = i;
  await store.set("a", loaded);
  const { data } = await store.operations.session.get("a");
  assert.deepEqual([Object.keys(data).length, data.k1499, data.other, data.n], [1502, 1499, true, 1]);
});

test("twenty writers of cookie, user and a key each at once: every key is kept", async () => {
  for (const serializer of [undefined, { stringify: JSON.stringify, parse: JSON.parse }]) {
    const store = storeWith({ user: (each) => each.user, serializer });
    await store.set("a", sessionWith({}));
    const loaded = await Promise.all(Array.from({ length: 20 }, () => store.get("a")));
    const writes = loaded.map((each, i) => {
      Object.assign(each, { [`k${i}`]: i, user: `user-${i}` });
      each.cookie.sameSite = i % 2 ? "lax" : "strict";
      return store.set("a", each);
    });
    await Promise.all(writes);
    const { cookie, user, ...keys } = await store.get("a");
    assert.equal(Object.keys(keys).length, 20);
    assert.ok(/^user-\d+$/.test(user) && /lax|strict/.test(cookie.sameSite));
    assert.equal(await store.operations.session.count({ user }), 1);
  }
});

test("a request that writes several times never takes others' keys away", async () => {
  for (const change of [() => {}, (each, i) => (each.cookie.sameSite = i % 2 ? "lax" : "strict")]) {
    const store = storeWith();
    await store.set("a", sessionWith({}));
    const loaded = await store.get("a");
    await store.operations.session.patch("a", { set: { other: true } });
    for (let i = 0; i < 3; i++) {
      loaded[`k${i}`] = i;
      change(loaded, i);
      await store.set("a", loaded);
    }
    loaded.cookie.sameSite = "none";
    await store.set("a", loaded);
    assert.deepEqual((await store.operations.session.get("a")).data, { other: true, k0: 0, k1: 1, k2: 2 });
  }
});

test("one object in two stores, and one that takes no notes", async () => {
  const [one, two] = [storeWith(), storeWith()];
  const both = sessionWith({ n: 1 });
  for (const store of [one, two]) await store.set("a", both);
  for (const store of [one, two]) await store.operations.session.patch("a", { set: { other: true } });
  both.n = 2;
  for (const store of [one, two]) {
    await store.set("a", both);
    assert.deepEqual((await store.operations.session.get("a")).data, { n: 2, other: true });
  }
  const frozen = Object.freeze({ n: 3 });
  await one.set("a", frozen);
  await one.set("a", frozen);
  assert.deepEqual(await one.get("a"), { n: 3 });
  assert.deepEqual(Reflect.ownKeys(await two.get("a")).sort(), ["cookie", "n", "other"]);
});

test("what a request did not change of cookie, groups and meta stays as another one has it", async () => {
  const store = storeWith({ user: (each) => each.user });
  const { session: operations } = store.operations;
  const changeCookie = (each) => (each.cookie.sameSite = "lax");
  const logIn = (each) => (each.user = "ann");
  const setKey = (each) => (each.key = 1);
  for (const [i, [first, second]] of [
    [changeCookie, logIn],
    [logIn, changeCookie],
    [logIn, (each) => [changeCookie(each), setKey(each)]],
    [(each) => [changeCookie(each), setKey(each)], logIn],
  ].entries()) {
    for (const write of ["set", "touch"]) {
      const id = `${write}-${i}`;
      await store.set(id, sessionWith({}, { maxAge: 600_000 }));
      const requests = [await store.get(id), await store.get(id)];
      await operations.patch(id, { set: { device: "phone" }, target: "meta" });
      first(requests[0]);
      await store.set(id, requests[0]);
      second(requests[1]);
      // Requests end with a touch where only the cookie was changed.
      await store[second === changeCookie ? write : "set"](id, requests[1]);
      const { user, data, meta } = await operations.get(id);
      assert.deepEqual([user, data.user, meta.cookie.sameSite, meta.device], ["ann", "ann", "lax", "phone"], id);
    }
  }
});

test("what other programs keep in a session's meta stays there", async () => {
  const store = storeWith();
  await store.set("a", sessionWith({ n: 1 }));
  await store.operations.session.patch("a", { set: { device: "phone" }, target: "meta" });
  const loaded = await store.get("a");
  loaded.cookie.sameSite = "lax";
  await store.touch("a", loaded);
  loaded.n = 2;
  loaded.cookie.secure = true;
  await store.set("a", loaded);
  const { meta, data } = await store.operations.session.get("a");
  assert.deepEqual([meta.device, meta.cookie.sameSite, meta.cookie.secure, data], ["phone", "lax", true, { n: 2 }]);
});

test("user and client put a session into its groups, when it gains them and when it loses them", async () => {
  const store = storeWith({ user: (each) => each.userId, client: (each) => each.device });
  const { session: operations } = store.operations;
  await store.set("a", sessionWith({ n: 1 }));
  const loaded = await store.get("a");
  Object.assign(loaded, { userId: 7, device: "phone" });
  await store.set("a", loaded);
  assert.equal(await operations.count({ user: "7" }), 1);
  assert.equal(await operations.count({ client: "phone" }), 1);
  // Another one adds a key meanwhile: the write that changes the user keeps it.
  const slow = await store.get("a");
  await operations.patch("a", { set: { other: true } });
  delete slow.userId;
  await store.set("a", slow);
  assert.deepEqual((await operations.get("a")).data, { n: 1, device: "phone", other: true });
  assert.equal(await operations.count({ user: "7" }), 0);
  assert.equal(await operations.count({ client: "phone" }), 1);
  const odd = storeWith({ user: (each) => each.user });
  await odd.set("x", sessionWith({ user: { toString: () => "hex" } }));
  assert.equal((await odd.operations.session.get("x")).user, "hex");
  await assert.rejects(odd.set("y", sessionWith({ user: {} })), { code: "ARGUMENT", message: /user/ });
});

for (const serializer of [undefined, { stringify: JSON.stringify, parse: JSON.parse }])
  test(`requests at once keep each other's user and lifetime${serializer ? ", with a serializer too" : ""}`, async () => {
    const changes = {
      login: [(each) => Object.assign(each, { user: "ann" }), (record) => record.user === "ann"],
      longer: [
        (each) => (each.cookie = new session.Cookie({ maxAge: 900_000 })),
        (record) => record.idle_timeout_ms === 900_000,
      ],
      page: [(each) => Object.assign(each, { page: 1 }), (_record, found) => found.page === 1],
      device: [(each) => Object.assign(each, { device: "tv" }), (record) => record.client === "tv"],
    };
    for (const order of Object.keys(changes).flatMap((a) => Object.keys(changes).map((b) => [a, b]))) {
      const store = storeWith({ serializer, user: (each) => each.user, client: (each) => each.device });
      await inOneMoment(() => store.set("a", sessionWith({ n: 1 }, { maxAge: 60_000 })));
      const loaded = await Promise.all(order.map(() => store.get("a")));
      for (const [i, name] of order.entries()) {
        await inOneMoment(() => {
          changes[name][0](loaded[i]);
          return store.set("a", loaded[i]);
        });
      }
      const record = await store.operations.session.get("a");
      const found = await store.get("a");
      for (const name of order) assert.ok(changes[name][1](record, found), `${name} of ${order}`);
      assert.equal(found.cookie.originalMaxAge, order.includes("longer") ? 900_000 : 60_000, String(order));
      assert.equal(await store.operations.session.revokeAll({ user: "ann" }), order.includes("login") ? 1 : 0);
    }
  });

test("a limit of sessions for each user is told to the request that passes it", async () => {
  const store = storeWith({ user: (each) => each.user });
  await store.operations.namespace.configure({ max_sessions_per_user: 1 });
  await store.set("a", sessionWith({ user: "ann" }));
  await assert.rejects(store.set("b", sessionWith({ user: "ann" })), { code: "LIMIT" });
});

test("stores with namespaces or prefixes of their own do not see each other", async () => {
  const [one, two] = [storeWith(), storeWith()];
  await one.set("a", sessionWith({ of: "one" }));
  await two.set("a", sessionWith({ of: "two" }));
  assert.deepEqual([(await one.get("a")).of, (await two.get("a")).of], ["one", "two"]);
  await one.clear();
  assert.equal(await two.length(), 1);
  const namespace = "shared";
  const [web, app] = ["web:", "app:"].map(
    (prefix) => new SessiondStore({ connection: client, namespace, prefix, scanCount: 7 }),
  );
  const ids = Array.from({ length: 50 }, (_, i) => `s${i}`);
  await Promise.all(ids.map((id) => web.set(id, sessionWith({ id }))));
  await app.set("s1", sessionWith({ of: "app" }));
  assert.deepEqual((await web.ids()).sort(), ids.toSorted());
  assert.deepEqual((await web.all()).map((each) => each.id).sort(), ids.toSorted());
  assert.equal(await web.length(), 50);
  await web.clear();
  assert.deepEqual([await web.length(), await app.length()], [0, 1]);
  assert.equal((await client.withNamespace(namespace).session.get("app:s1")).data.of, "app");
});

test("a namespace with hash_ids lists handles, and a prefix that nobody could find there is refused", async () => {
  const store = storeWith();
  await store.operations.namespace.configure({ hash_ids: true });
  await store.set("a", sessionWith({ n: 1 }));
  const [handle] = await store.ids();
  assert.match(handle, /^[\w-]{43}$/);
  assert.equal((await store.all())[0].id, handle);
  assert.equal(await store.get(handle), undefined);
  const { namespaceName: namespace } = store.operations;
  const prefixed = new SessiondStore({ connection: client, namespace, prefix: "web:" });
  await prefixed.set("b", sessionWith({ n: 2 }));
  assert.equal((await prefixed.get("b")).n, 2);
  for (const method of ["ids", "all", "length", "clear"])
    await assert.rejects(prefixed[method](), { code: "BAD_REQUEST", message: /hash_ids/ });
  await store.clear();
  assert.equal(await prefixed.get("b"), undefined);
});

test("a serializer of one's own: merged, counted and listed all the same", async () => {
  const serializer = {
    stringify: (each) => Buffer.from(JSON.stringify(each)).toString("base64"),
    parse: async (text) => JSON.parse(Buffer.from(text, "base64").toString()),
  };
  const store = storeWith({ serializer });
  await store.set("a", sessionWith({ n: 1 }, { maxAge: 60_000 }));
  assert.equal(typeof (await store.operations.session.get("a")).data, "string");
  const [first, second] = [await store.get("a"), await store.get("a")];
  await store.set("a", Object.assign(first, { one: 1 }));
  await store.set("a", Object.assign(second, { two: 2 }));
  const counted = await Promise.all(Array.from({ length: 5 }, () => store.increment("a", "n")));
  assert.deepEqual(counted.sort(), [2, 3, 4, 5, 6]);
  const { cookie, ...data } = await store.get("a");
  assert.deepEqual(data, { n: 6, one: 1, two: 2 });
  assert.equal(cookie.originalMaxAge, 60_000);
  assert.deepEqual((await store.all())[0], { ...data, cookie, id: "a" });
  await store.destroy("a");
  assert.equal(await store.increment("a", "n"), undefined);
  const plain = storeWith({ serializer: JSON });
  await plain.set("a", sessionWith({ n: 1 }));
  assert.deepEqual((await plain.operations.session.get("a")).data, { n: 1 });
});

test("increment: a fraction, a new session, what is no number", async () => {
  const store = storeWith();
  const fresh = sessionWith({});
  assert.equal(await store.increment(fresh, "views"), 1);
  assert.equal(await store.increment(fresh, "views", 0.5), 1.5);
  assert.equal(await store.length(), 0); // it is written when it is saved
  await store.set("a", { ...fresh, text: "x" });
  const loaded = await store.get("a");
  assert.equal(await store.increment(loaded, "views", -2.5), -1);
  assert.equal(loaded.views, -1);
  await assert.rejects(store.increment(loaded, "text"), { code: "ARGUMENT", message: /"text"/ });
  await assert.rejects(store.increment("a", "text"), { code: "BAD_REQUEST" });
  await assert.rejects(store.increment(loaded, "cookie"), { code: "ARGUMENT" });
  await assert.rejects(store.increment(loaded, "views", NaN), { code: "ARGUMENT" });
  assert.equal(await store.increment("nobody", "views"), undefined);
  for (const none of [undefined, null, 5, [loaded]])
    await assert.rejects(store.increment(none, "views"), { code: "ARGUMENT", message: /session or its id/ });
  assert.equal(await called((done) => store.increment(loaded, "views", done)), 0);
  assert.equal(await called((done) => store.increment("a", "views", 2, done)), 2);
});

test("increment takes no member of every session, loaded or new: the request ends and the session is whole", async () => {
  const store = storeWith();
  const app = await App.start(store, {
    login: (request, response) => response.send((request.session.user = "ann")),
    count: async (request, response) => response.json(await store.increment(request.session, request.query.key)),
    who: (request, response) => response.json({ ...request.session, cookie: undefined }),
  });
  try {
    const browser = app.browser();
    await browser.get("login");
    for (const key of ["id", "req", "save", "touch", "resetMaxAge", "constructor", "__proto__"])
      for (const each of [browser, app.browser()]) {
        assert.equal((await each.get(`count?key=${key}`)).body, "ARGUMENT", key);
        assert.match(app.errors.pop().message, new RegExp(`"${key}" of the session is no number`));
      }
    assert.deepEqual(JSON.parse((await browser.get("who")).body), { user: "ann" });
    assert.equal(await store.length(), 1);
  } finally {
    await app.end();
  }
});

test("options that cannot be used are refused with their name", async () => {
  for (const [options, message] of [
    [{ ttl: 0 }, /ttl/],
    [{ ttl: "60" }, /ttl/],
    [{ prefix: 5 }, /prefix/],
    [{ scanCount: 0 }, /scanCount/],
    [{ user: "ann" }, /user/],
    [{ disableTouch: "false" }, /disableTouch/],
    [{ disableTTL: 0 }, /disableTTL/],
    [{ client: Promise.resolve(client) }, /await/],
    [{ serializer: {} }, /serializer/],
    [{ client: { get() {}, set() {} } }, /client/],
    [{ client, url: server.url() }, /url/],
    [{ client, connection: client }, /client and connection/],
    [{ retries: 5 }, /retries/],
    [{ namespace: "" }, /namespace/],
  ])
    assert.throws(
      () => new SessiondStore(options),
      { code: "ARGUMENT", message },
      JSON.stringify(Object.keys(options)),
    );
  for (const url of ["redis://127.0.0.1", "sessiond://", "nonsense"])
    assert.throws(() => new SessiondStore({ url }), { code: "URL" }, url);
  assert.throws(() => new SessiondStore(null), { code: "ARGUMENT" });
});

test("client is a Client, of either build, or a function; the namespace is the client's, else express", async () => {
  const require = createRequire(import.meta.url);
  const { Client } = require("sessiond");
  const common = new Client(server.url("common"));
  const store = new SessiondStore({ client: common });
  await store.set("a", sessionWith({}));
  assert.ok(await client.session.get("a", {}, { namespace: "common" }));
  const commonStore = new (require("sessiond/express").SessiondStore)({ client });
  await koaStore(commonStore).set("of-koa", { n: 1 }, 1000);
  assert.deepEqual(await commonStore.get("of-koa"), { n: 1 });
  await store.close(); // the client given stays
  await common.server.ping();
  await common.close();
  const url = `sessiond://127.0.0.1:${server.port}`;
  for (const [options, namespace] of [
    [url, "express"],
    [{ url, namespace: "mine" }, "mine"],
    [{ url: `${url}/named`, client: (each) => each.device }, "named"],
    [{ connection: client.withNamespace("view") }, "view"],
  ]) {
    const each = new SessiondStore(options);
    await each.set(namespace, sessionWith({ device: "phone" }));
    const record = await client.session.get(namespace, {}, { namespace });
    await each.close();
    assert.equal(record.client, options.client ? "phone" : undefined);
  }
  const plain = await connect(url);
  const defaulted = new SessiondStore({ client: plain });
  await defaulted.set("of-plain", sessionWith({}));
  assert.ok(await client.session.get("of-plain", {}, { namespace: "express" }));
  await plain.close();
});

test("sessions and cookies are those of the caller's express-session, whichever comes first", async () => {
  const store = storeWith();
  const cookie = { originalMaxAge: 600_000, expires: new Date(Date.now() + 300_000), sameSite: "lax" };
  await store.set("stored", { n: 1, cookie });
  const ids = [];
  const genid = () => `id-${ids.push("x")}`;
  await assert.rejects(store.load("stored"), { code: "ARGUMENT", message: /express-session/ });
  session({ store, genid, secret: "x", resave: false, saveUninitialized: false });
  const loaded = await store.load("stored");
  assert.ok(loaded instanceof session.Session && loaded.cookie instanceof session.Cookie);
  assert.deepEqual([loaded.id, loaded.n, loaded.cookie.sameSite], ["stored", 1, "lax"]);
  assert.ok(loaded.cookie.expires instanceof Date);
  assert.ok(loaded.cookie.maxAge > 0 && loaded.cookie.maxAge < 400_000);
  assert.equal(loaded.cookie.originalMaxAge, 600_000);
  await store.load("stored");
  assert.equal(ids.length, 1);
});

test("the program in README.md does what it says", async () => {
  const here = fileURLToPath(new URL(".", import.meta.url));
  const readme = readFileSync(`${here}../../README.md`, "utf8");
  const [, program] = /### express-session\n[^]*?```js\n([^]*?)```/.exec(readme);
  const file = `${here}readme-express.mjs`;
  writeFileSync(file, program);
  const run = spawn(process.execPath, [file], {
    env: { ...process.env, SESSIOND_URL: server.url("readme"), PORT: "0" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  try {
    const [line] = await once(createInterface({ input: run.stdout }), "line");
    const browser = new Browser(`http://127.0.0.1:${/port (\d+)/.exec(line)[1]}`);
    assert.equal((await browser.get("")).body, "Nobody was here 1 times.\n");
    assert.equal((await browser.get("login/ann")).body, "You are ann.\n");
    await Promise.all([browser.get(""), browser.get("")]);
    assert.equal((await browser.get("")).body, "ann was here 3 times.\n");
    assert.equal(await client.session.count({ user: "ann" }, { namespace: "readme" }), 1);
    assert.equal((await browser.get("logout")).body, "Good-bye.\n");
    assert.equal((await browser.get("")).body, "Nobody was here 1 times.\n");
  } finally {
    run.kill();
    await once(run, "exit");
    rmSync(file);
  }
});

test("the types of express-session and of @fastify/session take the store", () => {
  assertCompiles("express-types.ts");
});

test("an idle store keeps no process alive", async () => {
  const program = `
    import { koaStore, SessiondStore } from "sessiond/express";
    const store = new SessiondStore({ url: process.env.SESSIOND_URL, timeoutMs: 20_000, connectTimeoutMs: 10_000 });
    await store.set("a", { n: 1 });
    console.log((await store.get("a")).n);`;
  const run = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: fileURLToPath(new URL(".", import.meta.url)),
    env: { ...process.env, SESSIOND_URL: server.url("idle") },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const killed = setTimeout(() => run.kill("SIGKILL"), 60_000);
  const [printed] = await once(run.stdout, "data");
  const [code, signal] = await once(run, "exit");
  clearTimeout(killed);
  assert.deepEqual([String(printed), code, signal], ["1\n", 0, null]);
});

test("log out everywhere ends the sessions of all browsers of a user", async () => {
  const store = storeWith({ user: (each) => each.user });
  const app = await App.start(store, {
    login: (request, response) => response.send((request.session.user = request.query.user)),
    who: (request, response) => response.json(request.session.user ?? null),
    everywhere: async (request, response) =>
      response.json(await store.operations.session.revokeAll({ user: request.session.user })),
  });
  try {
    const browsers = ["ann", "ann", "eve"].map((user) => Object.assign(app.browser(), { user }));
    for (const browser of browsers) await browser.get(`login?user=${browser.user}`);
    assert.equal((await browsers[0].get("everywhere")).body, "2");
    const seen = await Promise.all(browsers.map(async (browser) => JSON.parse((await browser.get("who")).body)));
    assert.deepEqual(seen, [null, null, "eve"]);
  } finally {
    await app.end();
  }
});
