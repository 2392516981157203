// The storage under a real better-auth, and by itself.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { connect, SessiondError } from "sessiond";
import { sessiondStorage } from "sessiond/better-auth";
import { patient, Sessiond } from "../support/sessiond.js";
import { assertCompiles } from "../support/types.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const origin = "http://localhost:3000";

let server;
before(async () => (server = await Sessiond.start()));
after(() => server.end());

const url = (namespace, of = server) => of.url(namespace).replace(/\/$/, "");
const open = (namespace, options) => sessiondStorage({ url: url(namespace), ...patient, ...options });

/** An application with users in memory, and all else in the storage. */
function application(secondaryStorage, options = {}) {
  const tables = { user: [], account: [], session: [], verification: [] };
  const auth = betterAuth({
    baseURL: origin,
    secret: "a secret of the test that is long enough",
    database: memoryAdapter(tables),
    emailAndPassword: { enabled: true },
    rateLimit: { enabled: false },
    telemetry: { enabled: false },
    logger: { disabled: true },
    secondaryStorage,
    ...options,
  });
  return { auth, tables };
}

/** A browser: it keeps its cookies. */
function browser(auth, address = "10.0.0.1") {
  let cookies = new Map();
  return {
    cookies: () => [...cookies].map(([name, value]) => `${name}=${value}`).join("; "),
    copy: (other) => (cookies = new Map(other.map((each) => each.split("=", 2)))),
    async send(method, where, body) {
      const headers = { origin, cookie: this.cookies(), "content-type": "application/json", "x-forwarded-for": address };
      const request = new Request(`${origin}/api/auth${where}`, { method, headers, body: body && JSON.stringify(body) });
      const response = await auth.handler(request);
      for (const line of response.headers.getSetCookie()) {
        const [, name, value] = /^([^=]+)=([^;]*)/.exec(line);
        if (value === "" || /Max-Age=0/i.test(line)) cookies.delete(name);
        else cookies.set(name, value);
      }
      const text = await response.text();
      return { status: response.status, body: text === "" ? null : JSON.parse(text) };
    },
  };
}

const ann = { email: "ann@example.org", password: "correct horse battery" };

test("people sign up, sign in on two devices, list, revoke and sign out, and all sessions are in sessiond", async () => {
  const storage = open("app");
  const { auth, tables } = application(storage);
  const laptop = browser(auth);
  const phone = browser(auth);
  assert.equal((await laptop.send("POST", "/sign-up/email", { name: "Ann", ...ann })).status, 200);
  assert.equal((await phone.send("POST", "/sign-in/email", ann)).status, 200);
  const wrong = await browser(auth).send("POST", "/sign-in/email", { ...ann, password: "wrong horse battery" });
  assert.equal(wrong.status, 401);

  const { body: mine } = await phone.send("GET", "/get-session");
  assert.equal(mine.user.email, ann.email);
  const { body: listed } = await laptop.send("GET", "/list-sessions");
  assert.equal(listed.length, 2);
  assert.deepEqual(tables.session, []);

  const { body: revoked } = await laptop.send("POST", "/revoke-session", { token: mine.session.token });
  assert.deepEqual(revoked, { status: true });
  assert.equal((await phone.send("GET", "/get-session")).body, null);
  assert.equal((await laptop.send("GET", "/list-sessions")).body.length, 1);

  const kept = laptop.cookies();
  assert.equal((await laptop.send("POST", "/sign-out", {})).status, 200);
  const thief = browser(auth);
  thief.copy(kept.split("; "));
  assert.equal((await thief.send("GET", "/get-session")).body, null);
  assert.equal((await laptop.send("POST", "/sign-in/email", ann)).status, 200);
  assert.equal((await laptop.send("GET", "/list-sessions")).body.length, 1);
  await storage.close();
});

test("who signs out while a slower request writes the session stays out", async () => {
  const storage = open("race");
  let hold;
  const slow = {
    ...storage,
    async set(key, value, ttl) {
      if (hold && value.startsWith('{"session"')) await hold(key);
      return storage.set(key, value, ttl);
    },
  };
  const { auth } = application(slow);
  const laptop = browser(auth);
  await laptop.send("POST", "/sign-up/email", { name: "Ann", ...ann });
  const tab = browser(auth);
  tab.copy(laptop.cookies().split("; "));
  const thief = browser(auth);
  thief.copy(laptop.cookies().split("; "));
  const isWriting = new Promise((writing) => {
    hold = (key) =>
      new Promise((release) => {
        hold = () => {};
        writing({ key, release });
      });
  });
  const update = tab.send("POST", "/update-user", { name: "Ann of the other tab" });
  const { key, release } = await isWriting;
  assert.equal((await laptop.send("POST", "/sign-out", {})).status, 200);
  release();
  assert.equal((await update).status, 200);
  assert.equal(await storage.get(key), null);
  assert.equal((await thief.send("GET", "/get-session")).body, null);
  await storage.close();
});

test("who signs out everywhere is out everywhere, and a session of an earlier process is known to the next one", async () => {
  const storage = open("everywhere");
  const { auth, tables } = application(storage);
  const devices = [browser(auth), browser(auth), browser(auth)];
  await devices[0].send("POST", "/sign-up/email", { name: "Ann", ...ann });
  for (const device of devices.slice(1)) await device.send("POST", "/sign-in/email", ann);
  await storage.close();

  const later = open("everywhere");
  const next = application(later, { database: memoryAdapter(tables) });
  const [first, ...others] = devices.map((device) => {
    const again = browser(next.auth);
    again.copy(device.cookies().split("; "));
    return again;
  });
  assert.equal((await others[0].send("GET", "/get-session")).body.user.email, ann.email);
  assert.equal((await first.send("POST", "/revoke-sessions", {})).status, 200);
  for (const device of [first, ...others]) assert.equal((await device.send("GET", "/get-session")).body, null);
  await later.close();
});

test("verifications are kept: a password is reset once by what was sent", async () => {
  const sent = [];
  const storage = open("verify");
  const sendResetPassword = async ({ token }) => void sent.push(token);
  const { auth, tables } = application(storage, { emailAndPassword: { enabled: true, sendResetPassword } });
  const laptop = browser(auth);
  await laptop.send("POST", "/sign-up/email", { name: "Ann", ...ann });
  await laptop.send("POST", "/request-password-reset", { email: ann.email });
  for (let i = 0; sent.length === 0 && i < 6000; i++) await sleep(5);
  const change = { token: sent[0], newPassword: "another horse battery" };
  assert.equal((await laptop.send("POST", "/reset-password", change)).status, 200);
  assert.equal((await laptop.send("POST", "/reset-password", change)).status, 400);
  assert.deepEqual(tables.verification, []);
  assert.equal((await laptop.send("POST", "/sign-in/email", { ...ann, password: change.newPassword })).status, 200);
  await storage.close();
});

test("better-auth's limit of attempts is kept here, for paths of any length too", async () => {
  const storage = open("limits");
  const { auth } = application(storage, { rateLimit: { enabled: true, window: 60, max: 5 } });
  const laptop = browser(auth);
  const statuses = [];
  for (let i = 0; i < 8; i++) statuses.push((await laptop.send("GET", "/ok")).status);
  assert.deepEqual(statuses, [200, 200, 200, 200, 200, 429, 429, 429]);
  assert.equal((await browser(auth, "10.0.0.2").send("GET", "/ok")).status, 200);
  assert.equal((await browser(auth, "10.0.0.3").send("GET", `/${"long".repeat(500)}`)).status, 404);
  await storage.close();
});

test("20 increments by four processes' connections give 20, and begin again when their time is over", async () => {
  const storages = [open("count"), open("count"), open("count"), open("count")];
  const counts = await Promise.all(Array.from({ length: 20 }, (_, i) => storages[i % 4].increment("hits", 60)));
  assert.deepEqual(
    counts.sort((a, b) => a - b),
    Array.from({ length: 20 }, (_, i) => i + 1),
  );
  assert.equal(await storages[0].get("hits"), "20");
  await storages[0].set("hits", "41");
  assert.equal(await storages[1].increment("hits", 60), 42);
  await storages[0].delete("hits");
  const again = await Promise.all(Array.from({ length: 20 }, (_, i) => storages[i % 4].increment("hits", 60)));
  assert.equal(Math.max(...again), 20);
  for (const storage of storages) await storage.close();
});

test("a counter lasts as long as it was begun with, and a key as long as it was last set with", async () => {
  const client = await connect({ url: url("time"), ...patient });
  const storage = sessiondStorage({ client, namespace: "time" });
  await storage.increment("window", 30);
  const begun = await client.session.get("window");
  await sleep(5);
  await storage.increment("window", 90);
  const later = await client.session.get("window");
  assert.equal(later.expires_at, begun.expires_at);
  assert.equal(begun.expires_at - begun.created_at, 30_000);

  await storage.set("key", "a", 10);
  await storage.set("key", "b", 61.5);
  const key = await client.session.get("key");
  assert.equal(key.expires_at - key.last_active_at, 61_500);
  await storage.set("key", "c");
  assert.equal((await client.session.get("key")).expires_at, 0);
  await storage.set("window", "7", 65);
  const set = await client.session.get("window");
  assert.equal(set.expires_at - set.last_active_at, 65_000);

  await storage.set("short", "gone", 0.005);
  await storage.increment("brief", 0.005);
  await sleep(20);
  assert.equal(await storage.get("short"), null);
  assert.equal(await storage.increment("brief", 60), 1);
  await storage.set("short", "again", 60);
  assert.equal(await storage.get("short"), "again");
  await storage.set("short", "never was", 0);
  assert.equal(await storage.get("short"), null);
  await storage.close();
  assert.equal(client.isConnected, true);
  await client.close();
});

test("what was deleted can be set again at once, and of many who take a key one gets it", async () => {
  const storage = open("keys");
  assert.equal(await storage.get("token"), null);
  await storage.delete("token");
  for (const value of ["one", "two", ""]) {
    await storage.set("token", value, 60);
    assert.equal(await storage.get("token"), value);
    await storage.delete("token");
    assert.equal(await storage.get("token"), null);
  }
  await Promise.all(Array.from({ length: 20 }, (_, i) => storage.set("token", `${i}`, 60)));
  assert.match(await storage.get("token"), /^\d+$/);
  await storage.set("token", "once", 60);
  const taken = await Promise.all(Array.from({ length: 20 }, () => storage.getAndDelete("token")));
  assert.deepEqual(
    taken.filter((value) => value !== null),
    ["once"],
  );
  await storage.set("token", "again");
  assert.equal(await storage.getAndDelete("token"), "again");
  await storage.close();
});

test("every text comes back as it was given", async () => {
  const storage = open("texts");
  const texts = ["", "0", "-0", "00", "1e3", "1.0", " 7", "-12", "9007199254740991", "9007199254740993", "null", "{}"];
  for (const [i, text] of [...texts, "\u0000", "ż😀", "x".repeat(1_000_000)].entries()) {
    await storage.set(`text${i}`, text);
    assert.equal(await storage.get(`text${i}`), text);
  }
  const long = "k".repeat(256);
  await storage.set(long, "long");
  await storage.set(`${long}2`, "longer");
  assert.deepEqual([await storage.get(long), await storage.get(`${long}2`)], ["long", "longer"]);
  await storage.close();
});

test("what cannot be kept is refused with an error that says what and why", async () => {
  const storage = open("bad");
  const refused = (promise, code, message) => assert.rejects(promise, { code, message });
  await refused(storage.get(""), "ARGUMENT", /The key is no text of at least one letter/);
  await refused(storage.get(7), "ARGUMENT", /The key is no text/);
  await refused(storage.set("a", { session: 1 }), "ARGUMENT", /value of "a" is of the type object; give a text/);
  await refused(storage.set("a", "x", Number.NaN), "ARGUMENT", /The ttl is NaN; give a number of seconds/);
  await refused(storage.set("a", "x", "60"), "ARGUMENT", /The ttl is 60; give a number/);
  await refused(storage.set("a", "x", 4e9), "BAD_REQUEST", /idle_timeout_ms/);
  await refused(storage.set("a", "\ud800"), "ARGUMENT", /surrogate/);
  await refused(storage.set("a", "x".repeat(1_100_000)), "TOO_BIG", /./);
  await refused(storage.increment("a", 0), "ARGUMENT", /a counter that begins lasts longer than 0 seconds/);
  await storage.set("word", "seven");
  await refused(storage.increment("word"), "BAD_REQUEST", /number/);
  assert.equal(await storage.get("a"), null);
  await storage.close();
});

test("a namespace in which ended sessions are kept is refused and left as it is", async () => {
  const client = await connect({ url: url("web"), ...patient });
  await client.session.create({ id: "ann" });
  const storage = sessiondStorage({ client, namespace: "web" });
  await assert.rejects(storage.set("key", "value"), {
    code: "ARGUMENT",
    message: /The namespace "web" has 1 sessions, which are kept.*Give better-auth a namespace of its own/,
  });
  assert.equal((await client.namespace.describe()).policy.retention_ms, 86_400_000);
  await client.session.destroy("ann");
  await storage.set("key", "value");
  assert.equal((await client.namespace.describe()).policy.retention_ms, 0);
  await client.session.create({ id: "mine", data: { cart: [] } });
  await assert.rejects(storage.get("mine"), { code: "ARGUMENT", message: /"mine" was not set by this storage/ });
  await client.close();
});

test("without a name of its own the storage takes the URL's namespace, or better-auth", async () => {
  const client = await connect({ url: url("names"), ...patient });
  for (const [options, name] of [
    [url("by-url"), "by-url"],
    [{ url: url(""), ...patient }, "better-auth"],
    [{ client }, "better-auth"],
    [{ url: url("by-url"), namespace: "by-option" }, "by-option"],
  ]) {
    const storage = sessiondStorage(options);
    await storage.set("key", name);
    assert.deepEqual((await client.session.get("key", {}, { namespace: name })).data, { value: name });
    await storage.close();
  }
  await client.close();
});

test("wrong options are refused at once, by name", () => {
  const wrong = (options, code, message) => assert.throws(() => sessiondStorage(options), { code, message });
  wrong("redis://127.0.0.1", "URL", /"redis:\/\/" is no scheme of sessiond/);
  wrong({ url: "sessiond://127.0.0.1:99999" }, "URL", /99999/);
  wrong({ timeout: 5 }, "ARGUMENT", /There is no option "timeout"/);
  wrong(null, "ARGUMENT", /neither a URL nor an object/);
  wrong({ client: {} }, "ARGUMENT", /The option client is no client/);
  wrong({ namespace: "" }, "ARGUMENT", /namespace/);
});

test("no server, and a server that is none of ours, are told to whoever signs in, in time", async () => {
  const liar = createServer((socket) => {
    socket.on("error", () => {}).resume();
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  }).listen(0, "127.0.0.1");
  await once(liar, "listening");
  const { port } = liar.address();
  const lied = sessiondStorage({ url: `sessiond://127.0.0.1:${port}`, ...patient });
  await assert.rejects(lied.get("key"), { code: "PROTOCOL" });
  liar.close();
  await once(liar, "close");
  const alone = sessiondStorage({ url: "sessiond://127.0.0.1:1", timeoutMs: 300 });
  await assert.rejects(alone.get("key"), (error) => ["CONNECTION", "TIMEOUT"].includes(error.code));
  const { auth } = application(alone);
  const answer = await browser(auth).send("POST", "/sign-up/email", { name: "Ann", ...ann });
  assert.equal(answer.status, 500);
  for (const storage of [lied, alone]) await storage.close();
});

test("a server that is killed and started again: each call succeeds or says what became of it, and who was in stays in", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "better-auth-"));
  const options = [`--data-dir=${folder}`, "--durability=always"];
  let own = await Sessiond.start({ options });
  const { port } = own;
  const storage = sessiondStorage({ url: url("app", own), ...patient });
  const { auth } = application(storage);
  const laptop = browser(auth);
  assert.equal((await laptop.send("POST", "/sign-up/email", { name: "Ann", ...ann })).status, 200);

  let isOver = false;
  const kept = new Map();
  const failures = [];
  const load = async (worker) => {
    for (let i = 0; !isOver; i++) {
      const key = `${worker}-${i}`;
      try {
        await storage.set(key, key, 600);
        kept.set(key, key);
        if (i % 3 === 0) {
          kept.set(key, null);
          await storage.delete(key);
        }
      } catch (error) {
        failures.push(error);
        kept.delete(key);
      }
    }
  };
  const workers = Array.from({ length: 8 }, (_, worker) => load(worker));
  for (let round = 0; round < 3; round++) {
    await sleep(150);
    while (kept.size < 25 * (round + 1)) await sleep(5); // the disk may be slow
    await own.end("SIGKILL");
    own = await Sessiond.start({ port, options });
    assert.equal((await laptop.send("GET", "/get-session")).body.user.email, ann.email);
  }
  isOver = true;
  await Promise.all(workers);
  for (const error of failures) {
    assert.ok(error instanceof SessiondError, error.stack);
    assert.ok(["CONNECTION", "BUSY", "TIMEOUT"].includes(error.code), error.stack);
  }
  assert.ok(kept.size > 50 && kept.size > failures.length, `${kept.size} known, ${failures.length} failed`);
  for (const [key, value] of kept) assert.equal(await storage.get(key), value, key);
  assert.equal((await laptop.send("POST", "/sign-out", {})).status, 200);
  assert.equal((await laptop.send("GET", "/get-session")).body, null);
  await storage.close();
  await own.end();
  rmSync(folder, { recursive: true });
});

test("a server that keeps nothing is configured again when it was restarted", async () => {
  let own = await Sessiond.start();
  const { port } = own;
  const storage = sessiondStorage({ url: url("app", own), ...patient });
  await storage.set("key", "before");
  await own.end("SIGKILL");
  own = await Sessiond.start({ port });
  assert.equal(await storage.get("key"), null);
  await storage.set("key", "after");
  const client = await connect({ url: url("app", own), ...patient });
  assert.equal((await client.namespace.describe()).policy.retention_ms, 0);
  await client.close();
  await storage.close();
  await own.end();
});

const here = fileURLToPath(new URL(".", import.meta.url));

test("better-auth's own type takes the storage", () => {
  assertCompiles("better-auth-types.ts");
});

test("the README's example runs as it stands", async () => {
  const readme = readFileSync(path.join(here, "../../README.md"), "utf8");
  const [, program, printed] = /### better-auth\n[^]*?```js\n([^]*?)```\s+prints\s+```\n([^]*?)```/.exec(readme);
  const run = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: here,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, SESSIOND_URL: `sessiond://127.0.0.1:${server.port}` },
  });
  assert.deepEqual([run.status, run.stdout], [0, printed], run.stderr);
});
