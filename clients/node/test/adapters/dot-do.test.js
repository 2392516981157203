// The `sessions` API of dot-do over a real sessiond: what its documentation promises, also where the original does not.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import * as api from "sessiond/dot-do";
import { open, patient, Sessiond } from "../support/sessiond.js";
import { runReadmeExample } from "../support/readme.js";

const { createSession, destroySession, generateSecureToken, hashToken, refreshSession, validateSession } = api;
const { SessionManager, SessionStore } = api;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const HOUR_MS = 3_600_000;
const MADE_UP = { message: "session_not_found", code: "session_not_found" };

let server, client, manager, store;
before(async () => {
  server = await Sessiond.start();
  client = await open(server, { namespace: "dot" });
  manager = new SessionManager({ store: { client } });
  store = new SessionStore({ client });
});
after(async () => {
  await client.close();
  await server.end();
});

test("it has the eight exports, as ESM and as CommonJS", () => {
  const names = [
    "SessionManager",
    "SessionStore",
    "createSession",
    "destroySession",
    "generateSecureToken",
    "hashToken",
    "refreshSession",
    "validateSession",
  ];
  assert.deepEqual(Object.keys(api).sort(), names);
  assert.deepEqual(Object.keys(createRequire(import.meta.url)("sessiond/dot-do")).sort(), names);
});

test("tokens are texts of the CSPRNG, and their hash is SHA-256", async () => {
  assert.match(generateSecureToken(), /^[A-Za-z0-9_-]{43}$/);
  assert.equal(generateSecureToken(64).length, 86);
  assert.notEqual(generateSecureToken(), generateSecureToken());
  assert.equal(await hashToken("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  for (const bytes of [0, -1, 1.5, NaN, "8"]) assert.throws(() => generateSecureToken(bytes), { code: "ARGUMENT" });
});

test("a session that is kept nowhere is made, checked, ended and refreshed", async () => {
  const session = await createSession({ userId: "ann", expiresIn: HOUR_MS, metadata: { device: "phone" } });
  assert.equal(session.expiresAt.getTime(), session.createdAt.getTime() + HOUR_MS);
  assert.deepEqual([session.userId, session.metadata, session.slidingExpiration], ["ann", { device: "phone" }, false]);
  assert.equal(session.tokenHash, await hashToken(session.token));
  assert.equal((await validateSession(session.token, session)).session.userId, "ann");
  const day = await createSession({ userId: "ann" });
  assert.equal(day.expiresAt.getTime() - day.createdAt.getTime(), 24 * HOUR_MS);

  const ended = await destroySession(session);
  assert.deepEqual(await validateSession(session.token, ended), { valid: false, error: "session_revoked" });
  assert.equal((await destroySession(ended)).revokedAt, ended.revokedAt);
  await assert.rejects(refreshSession(ended), { message: "session_revoked", code: "session_revoked" });

  const over = await createSession({ userId: "ann", expiresIn: -1000 });
  assert.deepEqual(await validateSession(over.token, over), { valid: false, error: "session_expired" });
  await assert.rejects(refreshSession(over), { message: "session_expired" });
  for (const dead of [ended, over])
    assert.deepEqual(await validateSession("made-up", dead), { valid: false, error: "invalid_token" });
});

test("a session is over at expiresAt, and refreshing one of an hour makes it last an hour, however often", async (t) => {
  const session = await createSession({ userId: "ann", expiresIn: HOUR_MS });
  t.mock.timers.enable({ apis: ["Date"], now: session.expiresAt.getTime() - 1 });
  assert.equal((await validateSession(session.token, session)).valid, true);
  t.mock.timers.setTime(session.expiresAt.getTime());
  assert.equal((await validateSession(session.token, session)).error, "session_expired");
  t.mock.timers.reset();
  const old = {
    ...session,
    createdAt: new Date(session.createdAt.getTime() - HOUR_MS / 2),
    expiresAt: new Date(session.expiresAt.getTime() - HOUR_MS / 2),
  };
  const began = Date.now();
  const refreshed = await refreshSession(await refreshSession(old));
  assert.ok(refreshed.expiresAt.getTime() >= began + HOUR_MS && refreshed.expiresAt.getTime() <= Date.now() + HOUR_MS);
  assert.equal(refreshed.id, session.id);
  assert.notEqual(refreshed.token, session.token);
  assert.equal(refreshed.tokenHash, await hashToken(refreshed.token));
  const slid = await refreshSession(old, { slideOnly: true });
  assert.equal(slid.token, session.token);
  assert.ok(slid.expiresAt > old.expiresAt);
});

test("a bound session needs its user agent also without a server", async () => {
  const session = { ...(await createSession({ userId: "ann" })), boundUserAgent: "Firefox" };
  assert.equal((await validateSession(session.token, session)).error, "user_agent_mismatch");
  assert.equal((await validateSession(session.token, session, { userAgent: "Chrome" })).error, "user_agent_mismatch");
  assert.equal((await validateSession(session.token, session, { userAgent: "Firefox" })).valid, true);
});

test("a manager makes sessions that validate in one round trip, until they are destroyed", async () => {
  const session = await manager.create({ userId: "ann", expiresIn: HOUR_MS, metadata: { page: 1, none: undefined } });
  assert.equal(session.expiresAt.getTime(), session.createdAt.getTime() + HOUR_MS);
  assert.equal(session.tokenHash, await hashToken(session.token));
  let calls = 0;
  const { subscribe, unsubscribe } = await import("node:diagnostics_channel");
  const count = () => calls++;
  subscribe("sessiond:request:start", count);
  const { valid, session: found, error } = await manager.validate(session.token);
  unsubscribe("sessiond:request:start", count);
  assert.equal(calls, 1);
  assert.deepEqual([valid, error], [true, undefined]);
  assert.deepEqual(found, session);
  assert.deepEqual(found.metadata, { page: 1 });
  assert.deepEqual(manager.toPublicSession(found), {
    id: session.id,
    userId: "ann",
    createdAt: session.createdAt,
    expiresAt: session.expiresAt,
    metadata: { page: 1 },
  });

  await manager.destroy(session.id);
  assert.deepEqual(await manager.validate(session.token), { valid: false, error: "session_revoked" });
  await manager.destroy(session.id); // and again
  await manager.destroy("nobody");
  assert.ok((await store.get(session.id)).revokedAt instanceof Date);
});

test("the token is nowhere on the server, only its hash", async () => {
  const session = await manager.create({ userId: "ann" });
  const record = await client.session.get(session.id);
  const secret = session.token.split(".").at(-1);
  assert.ok(!JSON.stringify(record).includes(secret));
  assert.equal(record.meta.tokenHash, session.tokenHash);
  assert.equal((await manager.validate(session.tokenHash)).error, "invalid_token");
  assert.equal((await manager.validate(`${session.id}.${session.tokenHash}`)).error, "invalid_token");
});

test("who lacks the right token learns nothing, also of a session that is over", async () => {
  const revoked = await manager.create({ userId: "ann" });
  await manager.destroy(revoked.id);
  const expired = await manager.create({ userId: "ann", expiresIn: -1000 });
  for (const { id } of [revoked, expired])
    assert.deepEqual(await manager.validate(`${id}.${generateSecureToken()}`), {
      valid: false,
      error: "invalid_token",
    });
  for (const token of ["", ".", "made-up", undefined, null, 7, "\ud800", "é.é", "x".repeat(5000)])
    assert.deepEqual(await manager.validate(token), { valid: false, error: "invalid_token" });
  assert.equal((await manager.validate(expired.token)).error, "session_expired");
  assert.ok(expired.expiresAt < expired.createdAt);
});

test("lifetimes of 5 and 10 ms end then, and 0 or less has ended before it began", async () => {
  for (const expiresIn of [5, 10])
    for (const slidingExpiration of [false, true]) {
      const session = await manager.create({ userId: "ann", expiresIn, slidingExpiration });
      assert.equal(session.expiresAt - session.createdAt, expiresIn);
      await sleep(20);
      assert.equal((await manager.validate(session.token)).error, "session_expired");
      await assert.rejects(manager.refresh(session.token), { message: "session_expired", code: "session_expired" });
    }
  for (const expiresIn of [0, -1, -10_000, 0.5]) {
    const session = await manager.create({ userId: "ann", expiresIn });
    assert.equal((await manager.validate(session.token)).error, "session_expired", String(expiresIn));
    assert.equal(session.expiresAt - session.createdAt, Math.trunc(expiresIn));
  }
  assert.ok((await manager.listForUser("ann")).every(({ expiresAt }) => expiresAt > Date.now()));
});

test("a session that slides lasts from its last access on; another does not", async () => {
  const [sliding, fixed] = await Promise.all(
    [true, false].map((slidingExpiration) =>
      manager.create({ userId: "sue", expiresIn: 60_000, slidingExpiration, metadata: {} }),
    ),
  );
  assert.deepEqual([sliding.slidingExpiration, fixed.slidingExpiration], [true, false]);
  const read = async () => (await store.get(sliding.id)).expiresAt;
  const before = await read();
  await sleep(20);
  assert.deepEqual(await read(), before); // who only reads it does not use it
  const later = (await manager.validate(sliding.token)).session;
  assert.ok(later.expiresAt > before);
  assert.deepEqual(await read(), later.expiresAt);
  assert.equal(later.expiresIn, 60_000);
  assert.deepEqual((await manager.validate(fixed.token)).session.expiresAt, fixed.expiresAt);
});

test("a refreshed session has a new token and its lifetime again, however often it is refreshed", async () => {
  for (const slidingExpiration of [true, false]) {
    const session = await manager.create({ userId: "ann", expiresIn: HOUR_MS, slidingExpiration, metadata: { a: 1 } });
    let last = session;
    for (let round = 0; round < 3; round++) {
      await sleep(5);
      const next = await manager.refresh(last.token);
      assert.equal(next.id, session.id);
      assert.notEqual(next.token, last.token);
      assert.ok(next.expiresAt > last.expiresAt);
      assert.equal(next.expiresIn, HOUR_MS);
      const { expires_at, last_active_at } = await client.session.get(session.id);
      assert.ok(expires_at - last_active_at <= HOUR_MS, `${expires_at - last_active_at}`);
      last = next;
    }
    const { session: found } = await manager.validate(last.token);
    assert.deepEqual([found.metadata, found.tokenHash], [{ a: 1 }, await hashToken(last.token)]);
    assert.equal((await store.findByTokenHash(last.tokenHash)).id, session.id);
    assert.equal(await store.findByTokenHash(session.tokenHash), null);
  }
  await assert.rejects(manager.refresh("made-up"), MADE_UP);
  await assert.rejects(manager.refresh(undefined), MADE_UP);
  const ended = await manager.create({ userId: "ann" });
  await manager.destroy(ended.id);
  await assert.rejects(manager.refresh(ended.token), { message: "session_revoked", code: "session_revoked" });
});

test("two refreshes at once answer one token; the old one ends the session once its grace is over", async () => {
  const session = await manager.create({ userId: "ann" });
  const both = await Promise.all([manager.refresh(session.token), manager.refresh(session.token)]);
  assert.equal(both[0].token, both[1].token);
  assert.equal((await manager.validate(session.token)).valid, true);

  const strict = new SessionManager({ store: { client }, refreshGraceMs: 0 });
  const stolen = await strict.create({ userId: "ann" });
  const { token } = await strict.refresh(stolen.token);
  assert.equal((await strict.validate(token)).valid, true);
  assert.equal((await strict.validate(stolen.token)).error, "invalid_token");
  assert.equal((await strict.validate(token)).error, "session_revoked");
  assert.equal((await client.session.get(stolen.id, { include_dead: true })).reason, "token_reused");
});

test("a session bound to a user agent is valid for that one only, whichever manager is asked", async () => {
  const binding = new SessionManager({ store: { client }, bindToUserAgent: true });
  const session = await binding.create({ userId: "ann", metadata: { userAgent: "Firefox/1.0" } });
  assert.equal(session.boundUserAgent, "Firefox/1.0");
  for (const each of [binding, manager]) {
    const { valid, session: found } = await each.validate(session.token, { userAgent: "Firefox/1.0" });
    assert.deepEqual([valid, found?.boundUserAgent], [true, "Firefox/1.0"]);
    for (const context of [{ userAgent: "Chrome" }, { userAgent: null }, { userAgent: 7 }, {}, null, undefined])
      assert.deepEqual(await each.validate(session.token, context), { valid: false, error: "user_agent_mismatch" });
  }
  const free = await binding.create({ userId: "ann", metadata: { page: 1 } });
  assert.equal((await binding.validate(free.token, { userAgent: "any" })).valid, true);
  const unbound = await manager.create({ userId: "ann", metadata: { userAgent: "Firefox/1.0" } });
  assert.equal(unbound.boundUserAgent, undefined);
  await assert.rejects(binding.create({ userId: "ann", metadata: { userAgent: 7 } }), { code: "ARGUMENT" });
});

test("a user's sessions are listed and ended in all processes", async () => {
  const other = new SessionManager({ store: { url: server.url("dot"), ...patient } });
  const sessions = [];
  for (let i = 0; i < 3; i++) {
    sessions.push(await (i % 2 ? other : manager).create({ userId: "bob", metadata: { i } }));
    await sleep(2);
  }
  const bystander = await manager.create({ userId: "bobby" });
  const listed = await other.listForUser("bob");
  assert.deepEqual(
    listed.map(({ id, token, metadata }) => [id, token, metadata.i]),
    sessions.map(({ id }, i) => [id, "", i]).reverse(),
  );
  assert.ok(listed[0].createdAt instanceof Date);
  await manager.destroyAllForUser("bob");
  assert.deepEqual(await other.listForUser("bob"), []);
  for (const { token } of sessions) assert.equal((await other.validate(token)).error, "session_revoked");
  assert.equal((await other.validate(bystander.token)).valid, true);
  await other.close();
});

test("more sessions than a page are all listed", async () => {
  await Promise.all(Array.from({ length: 1100 }, (_, i) => client.session.create({ user: "many", data: { i } })));
  const listed = await manager.listForUser("many");
  assert.deepEqual(new Set(listed.map(({ metadata }) => metadata.i)).size, 1100);
});

test("a store keeps, finds and forgets sessions of its user's making", async () => {
  const metadata = { cart: [1, undefined], nothing: undefined, deep: { at: new Date(5), also: undefined } };
  const session = await createSession({ userId: "cyd", expiresIn: HOUR_MS, metadata });
  await store.save(session);
  const found = await store.get(session.id);
  assert.deepEqual(found, { ...session, token: "", boundUserAgent: undefined });
  assert.deepEqual(found.metadata, { cart: [1, null], deep: { at: new Date(5) } });
  assert.deepEqual(await store.findByTokenHash(await hashToken(session.token)), found);
  assert.equal((await validateSession(session.token, found)).valid, true);
  assert.equal((await manager.listForUser("cyd")).length, 1);

  const refreshed = await refreshSession(found);
  await store.save(refreshed);
  assert.equal(await store.findByTokenHash(session.tokenHash), null);
  assert.equal((await store.findByTokenHash(refreshed.tokenHash)).expiresAt.getTime(), refreshed.expiresAt.getTime());

  await store.delete(session.id);
  await store.delete(session.id);
  assert.equal(await store.get(session.id), null);
  assert.equal(await store.findByTokenHash(refreshed.tokenHash), null);
  for (const hash of ["nobody", "", undefined]) assert.equal(await store.findByTokenHash(hash), null);
});

test("a slower save never brings a session back that was destroyed meanwhile", async () => {
  const session = await manager.create({ userId: "ann" });
  const slow = await store.get(session.id);
  await manager.destroy(session.id);
  await assert.rejects(store.save({ ...slow, metadata: { cart: 1 } }), { code: "GONE", status: "revoked" });
  assert.equal((await manager.validate(session.token)).error, "session_revoked");
  const deleted = await createSession({ userId: "ann" });
  await store.save(deleted);
  await store.delete(deleted.id);
  await assert.rejects(store.save(deleted), { code: "GONE" });
});

test("a session that is saved revoked or expired is so, whether it was kept before or not", async () => {
  for (const isKept of [true, false]) {
    const session = await createSession({ userId: "dee" });
    if (isKept) await store.save(session);
    const ended = await destroySession(session);
    await store.save(ended);
    await store.save(ended);
    const found = await store.get(session.id);
    assert.equal((await validateSession(session.token, found)).error, "session_revoked");
  }
  for (const slidingExpiration of [true, false]) {
    const over = await createSession({ userId: "dee", expiresIn: -1000, slidingExpiration });
    await store.save(over);
    const found = await store.get(over.id);
    assert.deepEqual(found.expiresAt, over.expiresAt);
    assert.equal((await validateSession(over.token, found)).error, "session_expired");
  }
  assert.deepEqual(await manager.listForUser("dee"), []);
});

test("what a manager made can be edited through a store and keeps its token", async () => {
  const session = await manager.create({ userId: "ann", expiresIn: HOUR_MS, slidingExpiration: true });
  const read = await store.get(session.id);
  read.metadata.seen = 1;
  await sleep(5);
  await store.save(read);
  const { session: found } = await manager.validate(session.token);
  assert.deepEqual([found.metadata, found.expiresIn, found.slidingExpiration], [{ seen: 1 }, HOUR_MS, true]);
  assert.ok(found.expiresAt > session.expiresAt);
});

test("sessions that other programs ended, abandoned or have not activated yet are not valid here", async () => {
  for (const status of ["end", "remove", "abandon"]) {
    const session = await createSession({ userId: "eve" });
    await store.save(session);
    await client.session[status](session.id);
    const found = await store.get(session.id);
    const { error } = await validateSession(session.token, found);
    assert.equal(error, status === "abandon" ? "session_expired" : "session_revoked", status);
  }
  const pending = await client.session.create({ user: "eve", pending: true, token: true });
  assert.equal(await store.get(pending.id), null);
  assert.deepEqual(await manager.validate(pending.token), { valid: false, error: "session_pending" });
  const endless = await client.session.create({ timeouts: { idle_timeout_ms: 0, absolute_timeout_ms: 0 } });
  const found = await store.get(endless.id);
  assert.ok(found.expiresAt > Date.now() && found.userId === "");
});

test("prefixes and namespaces keep sessions apart", async () => {
  const [one, two] = ["one:", "two:"].map((prefix) => new SessionManager({ store: { client }, prefix }));
  const session = await one.create({ userId: "ann" });
  assert.equal((await one.validate(session.token)).valid, true);
  for (const each of [two, manager]) {
    assert.equal((await each.validate(session.token)).error, "invalid_token");
    await each.destroy(session.id);
  }
  assert.equal((await one.validate(session.token)).valid, true);
  assert.ok(await new SessionStore({ client }, "one:").get(session.id));
  assert.ok(await new SessionStore({ client, namespace: "dot:one:" }).get(session.id));
  const view = new SessionManager({ store: { client: client.withNamespace("dot:one:") } });
  assert.equal((await view.validate(session.token)).valid, true);
});

test("wrong configurations and options say what is wrong", async () => {
  const throws = (make, code, message) => assert.throws(make, { code, message });
  throws(() => new SessionManager(), "ARGUMENT", /configuration is missing/);
  throws(() => new SessionManager({}), "ARGUMENT", /The store names no server; give \{ url:/);
  throws(() => new SessionStore({ type: "kv", kv: {} }), "ARGUMENT", /type "kv" is not offered here; give \{ url:/);
  throws(() => new SessionStore({ client, url: server.url() }), "ARGUMENT", /both a url and a client/);
  throws(() => new SessionStore({ url: "redis://127.0.0.1" }), "URL", /"redis:\/\/" is no scheme of sessiond/);
  throws(() => new SessionStore({ client }, "p".repeat(80)), "ARGUMENT", /84 bytes; give 1 to 64/);
  throws(() => new SessionStore({ client: client.withNamespace("a"), namespace: "b" }), "ARGUMENT", /not of "b"/);
  throws(() => new SessionManager({ store: { client }, defaultExpiresIn: NaN }), "ARGUMENT", /defaultExpiresIn is NaN/);

  const circular = {};
  circular.self = circular;
  for (const [options, message] of [
    [undefined, /userId is no text/],
    [{ userId: "" }, /userId is no text/],
    [{ userId: 7 }, /userId is no text/],
    [{ userId: "ann", expiresIn: NaN }, /expiresIn is NaN; give milliseconds/],
    [{ userId: "ann", expiresIn: Infinity }, /expiresIn is Infinity/],
    [{ userId: "ann", expiresIn: "1h" }, /expiresIn is 1h/],
    [{ userId: "ann", metadata: [] }, /metadata is no object/],
    [{ userId: "ann", metadata: { act: () => 1 } }, /data\.act/],
    [{ userId: "ann", metadata: circular }, /^data(\.self){1,2} is circular/],
  ])
    await assert.rejects(manager.create(options), { code: "ARGUMENT", message });
  await assert.rejects(createSession({ userId: "ann", expiresIn: NaN }), { code: "ARGUMENT" });
  const tooLong = new SessionManager({ store: { client }, refreshGraceMs: 100_000 });
  const { token } = await tooLong.create({ userId: "ann" });
  await assert.rejects(tooLong.refresh(token), { code: "BAD_REQUEST", message: /grace_ms is at most a minute/ });
  await assert.rejects(manager.create({ userId: "u".repeat(300) }), { code: "BAD_REQUEST" });
  for (const nobody of [undefined, null, "", 7]) {
    await assert.rejects(manager.listForUser(nobody), { code: "ARGUMENT", message: /userId is no text/ });
    await assert.rejects(manager.destroyAllForUser(nobody), { code: "ARGUMENT", message: /userId is no text/ });
  }
  const made = await createSession({ userId: "ann" });
  for (const [session, message] of [
    [undefined, /The session is no object/],
    [{ ...made, userId: undefined }, /userId is no text/],
    [JSON.parse(JSON.stringify(made)), /createdAt of the session is 20.*; give a Date/],
    [{ ...made, expiresAt: new Date(NaN) }, /expiresAt of the session is Invalid Date/],
  ])
    await assert.rejects(store.save(session), { code: "ARGUMENT", message });
  await assert.rejects(manager.create({ userId: "ann", metadata: { big: "x".repeat(3 << 19) } }), { code: "TOO_BIG" });
});

test("without a sessiond each call says so", async () => {
  const stranger = createServer((socket) => socket.resume().end("HTTP/1.1 400 Bad Request\r\n\r\n"));
  await new Promise((resolve) => stranger.listen(0, "127.0.0.1", resolve));
  const { port } = stranger.address();
  const wrong = new SessionManager({ store: { url: `sessiond://127.0.0.1:${port}/dot`, ...patient } });
  await assert.rejects(wrong.validate("a.b"), { code: "PROTOCOL" });
  await wrong.close();
  await new Promise((resolve) => stranger.close(resolve));
  const alone = new SessionManager({ store: { url: "sessiond://127.0.0.1:1/dot" } });
  const message = /127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED/;
  await Promise.all(
    [alone.create({ userId: "a" }), alone.validate("a.b"), alone.refresh("a.b"), alone.listForUser("a")].map((call) =>
      assert.rejects(call, { code: "CONNECTION", message }),
    ),
  );
  await alone.close();
});

test("a server that is killed and started again loses no session that was answered, and each call settles", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "sessiond-dot-do-"));
  const options = [`--data-dir=${folder}`, "--durability=always"];
  let killed = await Sessiond.start({ options });
  const { port } = killed;
  const own = await open(killed, { namespace: "dot" });
  const kept = new SessionManager({ store: { client: own } });
  const made = [];
  const failed = [];
  let isOver = false;
  const worker = async (name) => {
    for (let i = 0; !isOver; i++)
      try {
        const session = await kept.create({ userId: name, metadata: { i } });
        made.push(i % 3 === 0 ? await kept.refresh(session.token) : session);
        assert.equal((await kept.validate(made.at(-1).token)).valid, true);
      } catch (error) {
        failed.push(error);
      }
  };
  const workers = ["a", "b", "c", "d"].map(worker);
  for (let round = 0; round < 2; round++) {
    await sleep(200);
    while (made.length < 10 * (round + 1)) await sleep(5); // the disk may be slow
    await killed.end("SIGKILL");
    await sleep(50);
    killed = await Sessiond.start({ port, options });
  }
  await sleep(200);
  isOver = true;
  await Promise.all(workers);
  for (const error of failed) assert.ok(["CONNECTION", "BUSY"].includes(error.code), error.stack);
  assert.ok(made.length > failed.length, `${made.length} made, ${failed.length} failed`);
  for (const { token, metadata } of made) {
    const { valid, session, error } = await kept.validate(token);
    assert.deepEqual([valid, error, session?.metadata], [true, undefined, metadata]);
  }
  await own.close();
  await killed.end();
  rmSync(folder, { recursive: true });
});

test("the example of README.md prints what stands there", async () => {
  const { printed, ...run } = runReadmeExample("dot-do", { SESSIOND_URL: server.url("readme") });
  assert.deepEqual(run, { status: 0, stdout: printed, stderr: "" });
});
