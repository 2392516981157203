// A SessionManager for express-cookie-session-auth: by itself, and under the package's own middleware, unmodified, in
// the Express 4 that it brings along.
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { SessionManager } from "sessiond/ecsa";
import { runReadmeExample } from "../support/readme.js";
import { open, patient, Sessiond } from "../support/sessiond.js";

const require = createRequire(import.meta.url);
// Its package.json names a main file that it does not have.
const authPath = require.resolve("express-cookie-session-auth/express-cookie-session-auth.js");
const here = fileURLToPath(new URL(".", import.meta.url));
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const NO_IDS = [
  "made-up",
  "",
  "__proto__",
  "constructor",
  "x".repeat(300),
  "\ud800",
  false,
  true,
  null,
  undefined,
  7,
  {},
  [],
];

let server, client, manager;
before(async () => {
  server = await Sessiond.start();
  client = await open(server, { namespace: "ecsa" });
  manager = new SessionManager({ url: server.url("ecsa"), ...patient });
});
after(async () => {
  await manager.close();
  await client.close();
  await server.end();
});

/** Runs a program of an ES module with a manager of its own, `sessions`, in another process. */
function elsewhere(program) {
  const options = JSON.stringify({ url: server.url("ecsa"), ...patient });
  const text = `import { SessionManager } from "sessiond/ecsa";
    const sessions = new SessionManager(${options});
    ${program}`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", text], {
    cwd: here,
    encoding: "utf8",
    timeout: 30_000,
  });
  assert.deepEqual([run.status, run.stderr], [0, ""]);
  return JSON.parse(run.stdout || "null");
}

test("it has what auth.sessions has to have", () => {
  assert.deepEqual(
    [manager.maxAge, manager.httpOnly, manager.sameSite, manager.secure, manager.purgeInterval],
    [3_600_000, true, true, true, 900_000],
  );
  assert.deepEqual(Object.keys(manager.model), ["userID", "expires"]);
  const { SessionManager: Common } = require("sessiond/ecsa");
  const common = new Common({ url: server.url("ecsa"), ...patient });
  assert.equal(typeof common.new("ann"), "string");
  return common.close();
});

test("each answers a value at once, undefined where there is no such session", () => {
  const began = Date.now();
  const id = manager.new("ann", { cart: [1] });
  assert.match(id, /^[A-Za-z0-9_-]{43}$/);
  const session = manager.get(id);
  assert.deepEqual([session.userID, session.cart], ["ann", [1]]);
  assert.ok(session.expires >= began + 3_590_000 && session.expires <= Date.now() + 3_610_000);
  assert.deepEqual(Object.keys(session).sort(), ["cart", "expires", "userID"]);
  assert.equal(session.id, id);
  assert.ok(manager.all().includes(id));
  assert.equal(manager.set(id, { page: 2 }), true);
  assert.deepEqual(manager.get(id), { page: 2, userID: "ann", expires: session.expires });
  assert.equal(manager.del(id), true);
  assert.deepEqual([manager.get(id), manager.set(id, {}), manager.del(id)], [undefined, undefined, undefined]);
  assert.ok(!manager.all().includes(id));
  for (const made of NO_IDS)
    assert.deepEqual([manager.get(made), manager.set(made, {}), manager.del(made)], [undefined, undefined, undefined]);
});

test("new forces userID and expires, and copies the model", () => {
  const model = { userID: "eve", expires: 5, cart: [], when: new Date(5), bytes: Buffer.from("ab"), none: undefined };
  const [one, two] = [manager.new("ann", model, 60_000), manager.new("bob", model)];
  assert.deepEqual([model.userID, model.expires], ["eve", 5]);
  model.cart.push(1);
  const session = manager.get(one);
  assert.deepEqual([session.userID, session.cart, session.when], ["ann", [], new Date(5)]);
  assert.deepEqual([Buffer.isBuffer(session.bytes), "none" in session], [true, false]);
  assert.ok(session.expires < manager.get(two).expires && session.expires > 5);
  assert.equal(manager.get(two).userID, "bob");

  const [first, second] = [manager.new("ann"), manager.new("bob")];
  assert.deepEqual([manager.get(first).userID, manager.get(second).userID], ["ann", "bob"]);
  for (const value of [5, "text", null, [1, 2]]) assert.deepEqual(manager.get(manager.new("ann", value)).value, value);
  for (const userID of [7, "", null, "ü".repeat(200)])
    assert.deepEqual(manager.get(manager.new(userID)).userID, userID ?? "");
  const written = manager.get(manager.new("ann", { secret: 1, toJSON: () => ({ userID: "eve", page: "home" }) }));
  assert.deepEqual({ ...written, expires: 0 }, { userID: "ann", page: "home", expires: 0 });
  assert.equal(manager.get(manager.new("ann", new Date(5))).value, new Date(5).toISOString());
  const named = manager.get(manager.new("ann", { id: "mine" }));
  assert.deepEqual([named.id, Object.keys(named).includes("id")], ["mine", true]);
});

test("the default model and lifetime are those of the manager", async () => {
  const own = new SessionManager({ url: server.url("ecsa"), ...patient, model: { theme: "dark" }, maxAge: 60_000 });
  const { theme, userID, expires } = own.get(own.new("ann"));
  assert.deepEqual([theme, userID], ["dark", "ann"]);
  own.maxAge = 120_000;
  own.model = { theme: "light" };
  const later = own.get(own.new("ann"));
  assert.equal(later.theme, "light");
  assert.ok(later.expires > expires + 50_000);
  await own.close();
});

test("set changes userID to a string and expires to a Date, and nothing else", async () => {
  const id = manager.new("ann", { cart: 1 });
  const { expires } = manager.get(id);
  assert.equal(manager.set(id, { userID: "bob" }), true);
  assert.deepEqual(manager.get(id), { userID: "bob", expires });
  assert.equal((await client.session.list({ user: "bob", fields: ["id"] })).sessions[0].id, id);
  for (const userID of [7, null, {}, ["bob"]]) assert.equal(manager.set(id, { userID }), false, String(userID));
  for (const wrong of [expires + 1, 0, NaN, "2030-01-01", null, new Date(NaN)])
    assert.equal(manager.set(id, { expires: wrong }), false, String(wrong));
  assert.deepEqual(manager.get(id), { userID: "bob", expires });

  const read = manager.get(id);
  read.page = 1;
  assert.equal(manager.set(id, read), true); // as it was read, with the number that get answered
  const moment = new Date(Date.now() + 60_000);
  assert.equal(manager.set(id, { ...read, expires: moment }), true);
  assert.deepEqual(manager.get(id), { userID: "bob", page: 1, expires: moment });
  assert.equal(manager.set(id, { page: 2 }), true);
  assert.deepEqual(manager.get(id), { userID: "bob", page: 2, expires: moment });
  assert.equal(manager.set(id, manager.get(id)), true);
  assert.equal(manager.set(id, 5), true);
  assert.deepEqual(manager.get(id), { userID: "bob", value: 5, expires: moment });

  assert.equal(manager.set(id, { expires: new Date(Date.now() - 1000) }), true);
  assert.deepEqual([manager.get(id), manager.set(id, {}), manager.del(id)], [undefined, undefined, undefined]);
  const seven = manager.new(7);
  assert.equal(manager.set(seven, { ...manager.get(seven), page: 1 }), true);
  assert.deepEqual([manager.get(seven).userID, manager.get(seven).page], [7, 1]);
});

test("a session is over at its millisecond, also with lifetimes of 5 and 10 ms", async () => {
  for (const maxAge of [5, 10]) {
    const id = manager.new("ann", {}, maxAge);
    await sleep(20);
    assert.deepEqual([manager.get(id), manager.set(id, {}), manager.del(id)], [undefined, undefined, undefined]);
    assert.ok(!manager.all().includes(id));
  }
  for (const maxAge of [0, -1, -10_000, 0.5]) assert.equal(manager.get(manager.new("ann", {}, maxAge)), undefined);
  const id = manager.new("ann");
  assert.equal(manager.set(id, { expires: new Date(Date.now() + 10) }), true);
  await sleep(20);
  assert.equal(manager.get(id), undefined);
});

test("a set that comes too late answers undefined, also where the session ends while it is under way", () => {
  for (let round = 0; round < 30; round++) {
    const id = manager.new("ann", {}, 3);
    let answer;
    do answer = manager.set(id, { round });
    while (answer === true);
    assert.equal(answer, undefined);
  }
});

test("a session that another process deletes or revokes is refused at once, and one that it makes is known", async () => {
  const id = manager.new("ann");
  assert.equal(manager.get(id).userID, "ann");
  const theirs = elsewhere(`console.log(JSON.stringify([sessions.get(${JSON.stringify(id)}).userID,
    sessions.del(${JSON.stringify(id)}), sessions.new("rob")]))`);
  assert.deepEqual(theirs.slice(0, 2), ["ann", true]);
  assert.equal(manager.get(id), undefined);
  assert.equal(manager.get(theirs[2]).userID, "rob");
  const more = manager.new("rob");
  assert.equal(await client.session.revokeAll({ user: "rob" }), 2);
  assert.deepEqual([manager.get(more), manager.get(theirs[2])], [undefined, undefined]);
});

test("more sessions than a page are all named, and pending ones are none", async () => {
  const own = new SessionManager({ url: server.url("many"), ...patient });
  const many = client.withNamespace("many");
  await Promise.all(Array.from({ length: 1100 }, (_, i) => many.session.create({ id: `s${i}` })));
  const { id } = await many.session.create({ pending: true });
  assert.equal(new Set(own.all()).size, 1100);
  assert.equal(own.get(id), undefined);
  assert.deepEqual([own.get("s1").userID, own.get("s1").expires > Date.now()], ["", true]);
  await own.close();
});

test("purging runs from the beginning until it is stopped, and forgets what has expired only", async () => {
  const name = "purged";
  const own = new SessionManager({ url: server.url(name), ...patient, purgeInterval: 5000 });
  const watched = client.withNamespace(name);
  const until = async (wanted) => {
    for (let round = 0; round < 3000; round++) {
      const found = await watched.server.purging();
      if (found.enabled === wanted.enabled && found.interval_ms === wanted.interval_ms) return;
      await sleep(10);
    }
    assert.fail(`purging never became ${JSON.stringify(wanted)}`);
  };
  await until({ enabled: true, interval_ms: 5000 });
  own.stopPeriodicPurging();
  await until({ enabled: false, interval_ms: 5000 });
  own.purgeInterval = 1; // less than the server does
  own.stopPeriodicPurging();
  own.startPeriodicPurging();
  await until({ enabled: true, interval_ms: 100 });
  own.stopPeriodicPurging();
  await until({ enabled: false, interval_ms: 100 });

  const [living, expired] = [own.new("ann"), own.new("ann", {}, 5)];
  await sleep(20);
  assert.ok(await watched.session.get(expired, { include_dead: true }));
  assert.equal(own.purge(), undefined);
  assert.equal(await watched.session.get(expired, { include_dead: true }), null);
  assert.equal(own.get(living).userID, "ann");
  await own.close();
});

test("a server that keeps nothing is told to purge again when it was restarted, unless it was told to stop", async (t) => {
  let volatile = await Sessiond.start();
  t.after(() => volatile.end());
  const { port } = volatile;
  const managers = ["going", "stopped"].map((name) => {
    const own = new SessionManager({ url: volatile.url(name), ...patient, purgeInterval: 5000 });
    t.after(() => own.close());
    return own;
  });
  const found = await open(volatile);
  t.after(() => found.close());
  const until = async (name, isEnabled) => {
    for (let round = 0; round < 3000; round++) {
      const { enabled, interval_ms } = await found.withNamespace(name).server.purging();
      if (enabled === isEnabled && (!isEnabled || interval_ms === 5000)) return;
      await sleep(10);
    }
    assert.fail(`purging of ${name} never became ${isEnabled}`);
  };
  for (const own of managers) own.new("ann");
  for (const name of ["going", "stopped"]) await until(name, true);
  managers[1].stopPeriodicPurging();
  await until("stopped", false);
  await volatile.end("SIGKILL");
  volatile = await Sessiond.start({ port });
  for (const own of managers) assert.equal(own.get("ann"), undefined);
  await until("going", true);
  await until("stopped", false);
});

/** The package's own middleware and endpoints with a manager, on a port of its own. */
async function startApp(sessions) {
  delete require.cache[authPath];
  const auth = require(authPath);
  const express = createRequire(authPath)("express");
  assert.match(createRequire(authPath)("express/package.json").version, /^4\./);
  auth.sessions = sessions;
  auth.users.add("ann", "secret", { name: "Ann" });
  auth.groups.new("staff", ["ann"]);
  const app = express();
  app.use(express.json());
  app.use(require("cookie-parser")("keyboard cat"));
  app.use(auth);
  app.get("/", (req, res) => res.json({ user: req.user?.id ?? null, groups: req.groups ?? null }));
  app.post("/login", auth.login.endpoint);
  app.post("/logout", auth.logout.endpoint);
  app.get("/users", auth.onlyUsers(), (req, res) => res.send("in"));
  app.get("/ann", auth.onlyUsers("ann"), (req, res) => res.send("in"));
  app.get("/staff", auth.onlyGroups("staff"), (req, res) => res.send("in"));
  app.use((error, req, res, next) => res.status(500).send(error.code));
  const listener = app.listen(0, "127.0.0.1");
  await once(listener, "listening");
  const base = `http://127.0.0.1:${listener.address().port}`;
  const ask = async (url, { method = "GET", cookie, body } = {}) => {
    const headers = { "content-type": "application/json", connection: "close", ...(cookie ? { cookie } : {}) };
    const reply = await fetch(base + url, { method, headers, body: body && JSON.stringify(body) });
    const [set] = reply.headers.getSetCookie();
    return { status: reply.status, text: await reply.text(), set, cookie: set?.split(";")[0] };
  };
  const login = () => ask("/login", { method: "POST", body: { username: "ann", password: "secret" } });
  const guarded = async (cookie) =>
    Promise.all(["/users", "/ann", "/staff"].map(async (url) => (await ask(url, { cookie })).status));
  return { ask, login, guarded, idOf: cookieId, close: () => new Promise((resolve) => listener.close(resolve)) };
}

/** The session's id in a cookie of the package: s:<id>.<signature>, URL-encoded. */
function cookieId(cookie) {
  return /^session=s:(.*)\.[^.]*$/.exec(decodeURIComponent(cookie))[1];
}

/** A cookie as the app would sign it. */
function signed(value) {
  return `session=${encodeURIComponent(`s:${require("cookie-signature").sign(value, "keyboard cat")}`)}`;
}

const IN = [200, 200, 200];
const OUT = [401, 401, 401];

test("the package's middleware logs in and out with it, unmodified", async () => {
  const app = await startApp(manager);
  assert.deepEqual(await app.guarded(), OUT);
  const wrong = await app.ask("/login", { method: "POST", body: { username: "ann", password: "no" } });
  assert.deepEqual([wrong.status, wrong.set], [401, undefined]);
  const { status, set, cookie } = await app.login();
  assert.equal(status, 200);
  assert.match(set, /^session=s%3A[^;]*; Max-Age=3600; Path=\/; Expires=[^;]*; HttpOnly; Secure; SameSite=Strict$/);
  assert.deepEqual(await app.guarded(cookie), IN);
  assert.equal((await app.ask("/", { cookie })).text, '{"user":"ann","groups":["staff"]}');
  assert.equal(manager.get(app.idOf(cookie)).userID, "ann");

  assert.equal((await app.ask("/logout", { method: "POST", cookie })).status, 200);
  assert.equal(manager.get(app.idOf(cookie)), undefined);
  assert.deepEqual(await app.guarded(cookie), OUT); // a copy of the cookie is worth nothing
  assert.equal((await app.ask("/logout", { method: "POST", cookie })).status, 409);
  assert.equal((await app.ask("/logout", { method: "POST" })).status, 406);
  await app.close();
});

test("a made-up cookie logs nobody in, whoever signed it", async () => {
  const app = await startApp(manager);
  const { cookie } = await app.login();
  const id = app.idOf(cookie);
  const made = [signed("made-up"), signed("x".repeat(43)), signed("__proto__"), signed("constructor"), signed("")];
  const forged = [
    `session=${id}`,
    `session=s%3A${id}.${"A".repeat(43)}`,
    "session=made-up",
    "session=s%3A.",
    "session=",
  ];
  for (const each of [...made, ...forged, signed('j:{"a":1}'), signed(id.toLowerCase())])
    assert.deepEqual(await app.guarded(each), OUT, each);
  assert.deepEqual(await app.guarded(signed(id)), IN);
  await app.close();
});

test("a login ends by its time to the millisecond, and at once when another process deletes it", async () => {
  const brief = new SessionManager({ url: server.url("ecsa"), ...patient });
  const app = await startApp(brief);
  for (brief.maxAge of [5, 10]) {
    const { status, cookie } = await app.login();
    assert.equal(status, 200);
    await sleep(20);
    assert.deepEqual(await app.guarded(cookie), OUT);
  }
  brief.maxAge = 60_000;
  const { cookie } = await app.login();
  assert.deepEqual(await app.guarded(cookie), IN);
  elsewhere(`if (sessions.del(${JSON.stringify(app.idOf(cookie))}) !== true) process.exit(1);`);
  assert.deepEqual(await app.guarded(cookie), OUT);
  await app.close();
  await brief.close();
});

test("without a server nobody is logged in, and each request is answered", async () => {
  let own = await Sessiond.start();
  const { port } = own;
  const errors = [];
  const options = { url: own.url("ecsa"), timeoutMs: 2000, onError: (error) => errors.push(error) };
  const sessions = new SessionManager(options);
  const app = await startApp(sessions);
  const { cookie } = await app.login();
  assert.deepEqual(await app.guarded(cookie), IN);
  await own.end("SIGKILL");
  assert.deepEqual(await app.guarded(cookie), OUT);
  assert.deepEqual([errors.length, errors.at(-1).code], [3, "CONNECTION"]);
  assert.match(errors.at(-1).message, /session\.get was not sent, the server cannot be reached: session\.get .*127\.0/);
  assert.equal(sessions.lastError, errors.at(-1));
  assert.equal((await app.ask("/", { cookie })).text, '{"user":null,"groups":null}');
  const login = await app.login();
  assert.deepEqual([login.status, login.text, login.set], [500, "CONNECTION", undefined]);
  assert.deepEqual([sessions.set("a", {}), sessions.del("a")], [false, false]);
  for (const call of [() => sessions.new("ann"), () => sessions.all(), () => sessions.purge()])
    assert.throws(call, { code: "CONNECTION" });

  own = await Sessiond.start({ port });
  for (let round = 0; round < 3000 && sessions.get("a") === false; round++) await sleep(10);
  assert.equal(sessions.get("a"), undefined);
  assert.equal(sessions.lastError, undefined);
  const again = await app.login();
  assert.deepEqual(await app.guarded(again.cookie), IN);
  await app.close();
  await sessions.close();
  await own.end();
});

test("a server that is killed and started again loses no session that was answered, and each call settles", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "sessiond-ecsa-"));
  const options = [`--data-dir=${folder}`, "--durability=always"];
  let own = await Sessiond.start({ options });
  const { port } = own;
  const sessions = new SessionManager({ url: own.url("ecsa"), timeoutMs: 500, onError: () => {} });
  const made = new Set();
  const counts = { good: 0, failed: 0 };
  let isOver = false;
  const load = (async () => {
    for (let i = 0; !isOver; i++) {
      await sleep(1);
      try {
        const id = sessions.new(`user${i}`, { i });
        made.add(id);
        if (i % 3 === 0) {
          made.delete(id); // whatever comes of the next call
          if (sessions.del(id) === true) assert.equal(sessions.get(id) || undefined, undefined);
        }
        counts.good++;
      } catch (error) {
        assert.ok(["CONNECTION", "TIMEOUT", "BUSY"].includes(error.code), error.stack);
        counts.failed++;
      }
    }
  })();
  for (let round = 0; round < 2; round++) {
    await sleep(200);
    await own.end("SIGKILL");
    await sleep(50);
    own = await Sessiond.start({ port, options });
  }
  await sleep(300);
  isOver = true;
  await load;
  for (let round = 0; round < 3000 && sessions.get("a") === false; round++) await sleep(10);
  assert.ok(counts.good > 0 && counts.failed > 0, JSON.stringify(counts));
  // False says that there was no answer in time: it is asked again.
  const answer = (id) => {
    let session;
    for (let round = 0; round < 20 && (session = sessions.get(id)) === false; round++);
    return session;
  };
  const lost = [...made].filter((id) => !answer(id));
  assert.deepEqual(lost, []);
  await sessions.close();
  await own.end();
  rmSync(folder, { recursive: true });
});

test("a thread that dies is replaced", async () => {
  const started = once(process, "worker");
  const own = new SessionManager({ url: server.url("ecsa"), ...patient, onError: () => {} });
  const [worker] = await started;
  const id = own.new("ann");
  const restarted = once(process, "worker");
  await worker.terminate();
  assert.equal(own.get(id).userID, "ann");
  assert.notEqual((await restarted)[0], worker);
  await own.close();
});

test("what is wrong is named", async () => {
  const throws = (options, code, message) => assert.throws(() => new SessionManager(options), { code, message });
  throws("redis://127.0.0.1", "URL", /"redis:\/\/" is no scheme of sessiond/);
  throws({ url: "" }, "URL", /The URL is empty/);
  throws(null, "ARGUMENT", /neither a URL nor an object/);
  throws({ userID: "" }, "ARGUMENT", /There is no option "userID"/);
  throws({ maxAge: "1h" }, "ARGUMENT", /maxAge is 1h; give milliseconds/);
  throws({ purgeInterval: NaN }, "ARGUMENT", /purgeInterval is NaN/);
  throws({ namespace: "n".repeat(65) }, "ARGUMENT", /65 bytes; give 1 to 64/);

  const make =
    (...given) =>
    () =>
      manager.new(...given);
  assert.throws(make(), { code: "ARGUMENT", message: /userID is undefined/ });
  assert.throws(make("ann", {}, NaN), { code: "ARGUMENT", message: /maxAge is NaN/ });
  assert.throws(make("ann", { act: () => 1 }), { code: "ARGUMENT", message: /model\.act is a function/ });
  const circular = {};
  circular.self = circular;
  assert.throws(make("ann", circular), { code: "ARGUMENT", message: /^model(\.self){1,3} is circular/ });
  assert.throws(make("ann", { big: "x".repeat(3 << 19) }), { code: "TOO_BIG" });
  const id = manager.new("ann", { a: 1 });
  assert.equal(manager.set(id, { act: () => 1 }), false);
  assert.match(manager.lastError.message, /model\.act is a function/);
  assert.equal(manager.set(id, { big: "x".repeat(3 << 19) }), false);
  assert.equal(manager.lastError.code, "TOO_BIG");
  assert.equal(manager.get(id).a, 1);

  const closed = new SessionManager({ url: server.url("ecsa"), onError: () => {} });
  await closed.close();
  assert.throws(() => closed.new("ann"), { code: "CLOSED" });
  assert.equal(closed.get(id), false);
});

test("a server that is none is named, and nobody is logged in", async () => {
  // In a process of its own: this one's loop stands still while a manager waits.
  const program = `require("node:net").createServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\\r\\n\\r\\n"))
    .listen(0, "127.0.0.1", function () { console.log(this.address().port); });`;
  const stranger = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  const [port] = await once(stranger.stdout, "data");
  const own = new SessionManager({ url: `sessiond://127.0.0.1:${Number(port)}/ecsa`, ...patient, onError: () => {} });
  assert.equal(own.get("a"), false);
  assert.equal(own.lastError.code, "PROTOCOL");
  await own.close();
  stranger.kill();
  await once(stranger, "exit");

  const silent = createServer((socket) => socket.resume()).listen(0, "127.0.0.1");
  await once(silent, "listening");
  const url = `sessiond://127.0.0.1:${silent.address().port}/ecsa`;
  const waiting = new SessionManager({ url, timeoutMs: 2000, connectTimeoutMs: 50, onError: () => {} });
  assert.equal(waiting.get("a"), false);
  assert.match(waiting.lastError.message, /did not answer the greeting within 50 ms/);
  await waiting.close();
  await new Promise((resolve) => silent.close(resolve));
});

test("one warning tells of an outage, and an idle manager does not keep the process alive", () => {
  const program = `import { SessionManager } from "sessiond/ecsa";
    const sessions = new SessionManager({ url: "sessiond://127.0.0.1:1/a", timeoutMs: 1000 });
    console.log(sessions.get("a"), sessions.get("a"), sessions.del("a"));
    setTimeout(() => { sessions.get("a"); console.log(sessions.lastError.message); }, 300);`;
  const run = spawnSync(process.execPath, ["--input-type=module", "-e", program], {
    cwd: here,
    encoding: "utf8",
    timeout: 30_000,
  });
  assert.equal(run.status, 0);
  assert.match(
    run.stdout,
    /^false false false\nsession\.get was not sent, the server cannot be reached: .*127\.0\.0\.1:1 /,
  );
  assert.equal(run.stderr.match(/SessiondWarning/g).length, 1);
  assert.match(run.stderr, /\[CONNECTION\] SessiondWarning: .*127\.0\.0\.1:1 cannot be reached/);
});

test("the example of README.md prints what stands there", async () => {
  const { printed, ...run } = runReadmeExample("express-cookie-session-auth", { SESSIOND_URL: server.url("readme") });
  assert.deepEqual(run, { status: 0, stdout: printed, stderr: "" });
});
