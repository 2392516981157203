// The shared pool with wrong options, without a server, and with one that is killed under it.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { BasicCrawler, Configuration, log, SessionPool } from "@crawlee/basic";
import { installSessiondPool, sessiondCrawler, SessiondSessionPool } from "sessiond/crawlee";
import { CookieJar } from "tough-cookie";
import { Fake } from "../support/fake.js";
import { runReadmeExample } from "../support/readme.js";
import { open, patient, Sessiond } from "../support/sessiond.js";

const folder = mkdtempSync(path.join(tmpdir(), "crawlee-failures-"));
let folders = 0;
before(() => {
  process.env.CRAWLEE_STORAGE_DIR = folder;
  log.setLevel(log.LEVELS.OFF);
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** A server that keeps what it answered, on a port of its own choice or a given one. */
const startDurable = (name, port = 0) =>
  Sessiond.start({ port, options: [`--data-dir=${path.join(folder, name)}`, "--durability=always"] });

/** What is to be ended with a test, the last of it first. */
function ending(t) {
  const ends = [];
  t.after(async () => {
    for (const end of ends.reverse()) await end();
  });
  return (end) => ends.push(end);
}

/** Collects what is warned of. */
function listener() {
  const warnings = [];
  return { warnings, log: { warning: (message) => warnings.push(message), debug: () => {} } };
}

test("a wrong option is named at once", () => {
  const refused = (options, pattern, code = "ARGUMENT") =>
    assert.throws(
      () => new SessiondSessionPool(options),
      (error) => error.code === code && pattern.test(error.message),
    );
  refused({ url: "http://127.0.0.1" }, /http/, "URL");
  refused({ pol: "shop" }, /"pol"/);
  refused({ pool: "" }, /pool/);
  refused({ pool: 5 }, /pool/);
  refused({ create: "ask" }, /create is ask/);
  refused({ waitMs: -1 }, /waitMs is -1/);
  refused({ waitMs: 60_001 }, /waitMs/);
  refused({ patienceMs: "long" }, /patienceMs is long/);
  refused({ sessionOptions: { maxAgeSecs: 0 } }, /maxAgeSecs is 0/);
  refused({ sessionOptions: { maxUsageCount: NaN } }, /maxUsageCount .* NaN/);
  refused({ sessionOptions: { expiresAt: "tomorrow" } }, /expiresAt .* tomorrow/);
  refused({ sessions: [{ userData: [] }] }, /userData/);
  refused({ sessionOptions: { maxUsagecount: 5 } }, /"maxUsagecount" in sessionOptions/);
  refused({ client: {} }, /client/);
  assert.throws(() => installSessiondPool({}), { code: "ARGUMENT" });
  assert.throws(() => installSessiondPool(SessionPool, { pol: 1 }), { code: "ARGUMENT" });
  assert.throws(() => sessiondCrawler(SessionPool), { code: "ARGUMENT" });
});

test("where nothing listens, or no sessiond does, the crawl ends with an error that says so", async (t) => {
  const after = ending(t);
  const fake = await Fake.start((socket) => socket.end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  after(() => fake.stop());
  for (const [url, code, pattern] of [
    ["sessiond://127.0.0.1:1", "CONNECTION", /ECONNREFUSED/],
    [fake.url, "PROTOCOL", /sessiond/],
  ]) {
    const Crawler = sessiondCrawler(BasicCrawler, { url, ...(code === "PROTOCOL" ? patient : {}) });
    const crawler = new Crawler({ requestHandler: () => {} }, new Configuration({ persistStorage: false }));
    await assert.rejects(
      crawler.run(["http://a.example"]),
      (error) => error.code === code && pattern.test(error.message),
    );
  }
});

test("what the server refuses comes with its code: a policy, a namespace without pools, an id that is taken", async (t) => {
  const after = ending(t);
  const server = await Sessiond.start();
  after(() => server.end());
  const url = server.url("crawlee");
  await assert.rejects(SessiondSessionPool.open({ url, policy: { strategy: "worst" } }), { code: "BAD_REQUEST" });
  const client = await open(server, { namespace: "hashed" });
  after(() => client.close());
  await client.namespace.configure({ hash_ids: true });
  await assert.rejects(SessiondSessionPool.open({ url: server.url("hashed") }), { code: "FORBIDDEN" });
  const pool = await SessiondSessionPool.open({ client, namespace: "crawlee" });
  await pool.addSession({ id: "mine" });
  await assert.rejects(pool.addSession({ id: "mine" }), { code: "EXISTS" });
  await pool.teardown();
  assert.ok((await client.server.ping()).now, "a client of the user's stays open");
});

test("without the class for cookie jars there are sessions, and an error that names the option", async (t) => {
  const after = ending(t);
  const server = await Sessiond.start();
  after(() => server.end());
  const pool = await SessiondSessionPool.open({ url: server.url("crawlee"), ...patient });
  after(() => pool.teardown());
  const session = await pool.getSession();
  session.markGood();
  assert.throws(() => session.cookieJar, { code: "ARGUMENT", message: /CookieJar/ });
});

test("what cannot be sent stays here, with one warning that names it; the rest goes on", async (t) => {
  const after = ending(t);
  const server = await Sessiond.start();
  after(() => server.end());
  const { warnings, log } = listener();
  const pool = await SessiondSessionPool.open({ url: server.url("crawlee"), ...patient, CookieJar, log });
  after(() => pool.teardown());
  const session = await pool.getSession();
  session.userData.page = () => {};
  session.userData.name = "kept";
  session.markGood();
  session.markGood();
  await pool.persistState();
  assert.equal(warnings.length, 1);
  assert.match(warnings[0], /"page" of session session_\w+ .*function/);
  assert.equal(typeof session.userData.page, "function");
  const client = await open(server, { namespace: "crawlee" });
  after(() => client.close());
  const record = await client.session.get(session.id);
  assert.deepEqual([record.data, record.usage_count], [{ name: "kept" }, 2]);
  for (const none of [undefined, null, "text"])
    assert.throws(() => (session.userData = none), { code: "ARGUMENT", message: /userData of session session_\w+ cannot be/ });
  assert.equal(session.userData.name, "kept");
  await assert.rejects(pool.addSession({ userData: { page: () => {} } }), { code: "ARGUMENT" });
  await assert.rejects(pool.addSession("session"), { code: "ARGUMENT" });
});

test("a server that is killed and comes back: all that was marked meanwhile is there, and nothing hangs", async (t) => {
  const after = ending(t);
  const name = `kept${++folders}`;
  let server = await startDurable(name);
  after(() => server.end());
  const { port } = server;
  const { warnings, log } = listener();
  const pool = await SessiondSessionPool.open({ url: server.url("crawlee"), ...patient, CookieJar, log, maxPoolSize: 2 });
  after(() => pool.teardown());
  const [good, bad] = [await pool.getSession(), await pool.getSession()];
  assert.notEqual(good.id, bad.id);
  await server.end("SIGKILL");
  good.setCookie("login=yes; Path=/", "http://a.example/");
  good.userData.step = 1;
  good.markGood();
  bad.retire();
  assert.equal(bad.isUsable(), false);
  const waiting = Promise.all(Array.from({ length: 10 }, () => pool.getSession()));
  await sleep(300);
  server = await startDurable(name, port);
  for (const { id } of await waiting) assert.notEqual(id, bad.id);
  await pool.persistState();
  assert.deepEqual(warnings, []);
  const client = await open(server, { namespace: "crawlee" });
  after(() => client.close());
  assert.equal((await client.session.get(bad.id)).retired, true);
  const record = await client.session.get(good.id);
  assert.deepEqual([record.data, Object.keys(record.meta)], [{ step: 1 }, ["cookie a.example / login"]]);
  // The watch stands again.
  const told = once(pool, "sessionRetired");
  await client.pool.mark(good.id, "retire");
  assert.equal((await told)[0].id, good.id);
  assert.equal(good.isUsable(), false);
});

test("a server that keeps nothing is told the limits and the given sessions again when it was restarted", async (t) => {
  const after = ending(t);
  let server = await Sessiond.start();
  after(() => server.end());
  const { port } = server;
  const url = server.url("crawlee");
  const open_ = async (options) => {
    const pool = await SessiondSessionPool.open({ url, ...patient, CookieJar, ...options });
    after(() => pool.teardown());
    return pool;
  };
  const limits = { maxPoolSize: 1, policy: { max_concurrent: 1 }, sessionOptions: { maxUsageCount: 2, maxAgeSecs: 500 } };
  const made = await open_({ pool: "made", ...limits });
  const sessions = ["ann", "bob", "eve"].map((id) => ({ id }));
  const given = await open_({ pool: "given", create: "never", sessions, sessionOptions: { maxUsageCount: 3 }, waitMs: 0 });
  const first = await made.getSession();
  (await given.getSession("ann")).markGood();
  (await given.getSession("bob")).retire();
  await given.persistState();
  // Nothing is free: these wait at the server that is killed, and are asked for again of the next one.
  const uses = new Map();
  const waiting = Array.from({ length: 4 }, async () => {
    const session = await made.getSession();
    assert.deepEqual([session.maxUsageCount, session.maxAgeSecs], [2, 500]);
    uses.set(session.id, (uses.get(session.id) ?? 0) + 1);
    session.markGood();
  });
  const client = await open(server, { namespace: "crawlee" });
  after(() => client.close());
  while ((await client.pool.info("made")).waiting_count < 4) await sleep(5);
  await server.end("SIGKILL");
  server = await Sessiond.start({ port });
  await Promise.all(waiting);
  assert.deepEqual([...uses.values()], [2, 2]);
  assert.ok(!uses.has(first.id));
  const left = [];
  for (let i = 0; i < 5; i++) left.push((await given.getSession()).id);
  assert.deepEqual(left.sort(), ["ann", "ann", "eve", "eve", "eve"]);
  await assert.rejects(given.getSession(), { code: "EXHAUSTED" });
  const { policy } = await client.pool.info("made");
  assert.deepEqual([policy.max_pool_size, policy.max_usage_count], [1, 2]);
});

test("what others retired while there was no connection is known as soon as there is one again", async (t) => {
  const after = ending(t);
  const name = `missed${++folders}`;
  let server = await startDurable(name);
  after(() => server.end());
  const { port } = server;
  const pool = await SessiondSessionPool.open({
    url: server.url("crawlee"),
    CookieJar,
    reconnectMinMs: 1500,
    reconnectMaxMs: 1500,
  });
  after(() => pool.teardown());
  const session = await pool.getSession();
  assert.ok(session.isUsable());
  const told = once(pool, "sessionRetired");
  await server.end("SIGKILL");
  await sleep(20);
  server = await startDurable(name, port);
  const client = await open(server, { namespace: "crawlee" });
  after(() => client.close());
  await client.pool.mark(session.id, "retire");
  assert.equal((await told)[0].id, session.id);
  assert.equal(session.isUsable(), false);
});

test("a server that does not come back: getSession rejects, teardown ends, and what was lost is told", async (t) => {
  const after = ending(t);
  const server = await Sessiond.start();
  after(() => server.end());
  const { warnings, log } = listener();
  const options = {
    url: server.url("crawlee"),
    CookieJar,
    log,
    waitMs: 100,
    patienceMs: 300,
    teardownMs: 300,
  };
  const pool = await SessiondSessionPool.open(options);
  after(() => pool.teardown());
  const session = await pool.getSession();
  await server.end("SIGKILL");
  session.markBad();
  assert.equal(session.errorScore, 1);
  await assert.rejects(pool.getSession(), { code: "CONNECTION" });
  session.setCookie("a=1", "http://a.example/");
  session.markGood();
  await pool.teardown();
  assert.equal(pool.lostCount, warnings.length);
  for (const lost of ['the mark "bad"', 'the mark "good"', "userData and cookies"])
    assert.ok(
      warnings.some((warning) => warning.startsWith(`Lost was ${lost} of session ${session.id}: `)),
      lost,
    );
});

test("README.md's example does what it prints", async (t) => {
  const after = ending(t);
  const server = await Sessiond.start();
  after(() => server.end());
  const program =
    "const site = require('node:http').createServer((_, response) => {" +
    " response.setHeader('content-type', 'text/html'); response.end('<title>Example Domain</title>') });" +
    "site.listen(0, '127.0.0.1', () => console.log(site.address().port))";
  const site = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  after(() => site.kill());
  const [port] = await once(site.stdout.setEncoding("utf8"), "data");
  const { printed, ...run } = runReadmeExample("Crawlee", {
    SESSIOND_URL: `sessiond://127.0.0.1:${server.port}`,
    SITE: `http://127.0.0.1:${port.trim()}`,
    CRAWLEE_LOG_LEVEL: "OFF",
    CRAWLEE_STORAGE_DIR: folder,
  });
  assert.deepEqual(run, { status: 0, stdout: printed, stderr: "" });
});
