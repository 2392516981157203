// Sessions and clients as resources: what the documents of that shape say, against the server's rules.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { connect, SessiondError } from "sessiond";
import { ClientResource, SessionResource, SessionResources } from "sessiond/clerk";
import { patient, Sessiond } from "../support/sessiond.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

let server;
before(async () => (server = await Sessiond.start()));
after(() => server.end());

const open = (namespace, options) => new SessionResources({ url: server.url(namespace), ...patient, ...options });
const statuses = (client) => client.sessions.map(({ status }) => status);

test("a session has the members of its documents", async () => {
  const resources = open("members");
  const client = await resources.client("laptop");
  assert.deepEqual([client.sessions, client.session, client.createdAt], [[], null, null]);
  const ann = { id: "ann", name: "Ann", roles: ["admin"] };
  const session = await client.signIn({ user: ann, idle_timeout_ms: 60_000, abandon_timeout_ms: 30_000 });
  assert.ok(session instanceof SessionResource && client instanceof ClientResource);
  assert.equal(session.id.length, 43);
  assert.deepEqual(session.user, ann);
  assert.equal(session.status, "active");
  for (const at of [session.lastActiveAt, session.abandonAt, session.expireAt, session.updatedAt, session.createdAt])
    assert.ok(at instanceof Date);
  assert.equal(session.expireAt - session.lastActiveAt, 60_000);
  assert.equal(session.abandonAt - session.lastActiveAt, 30_000);
  assert.deepEqual([session.clientId, session.statusAt, session.reason, session.replacedBy], ["laptop", null, null, null]);
  const plain = await client.signIn({ user: "bob", idle_timeout_ms: 0 });
  assert.deepEqual([plain.user, plain.abandonAt, plain.expireAt], [{ id: "bob" }, null, null]);
  const json = JSON.parse(JSON.stringify(client));
  assert.deepEqual(
    [json.object, json.id, json.sessionId, json.sessions.map(({ user }) => user.id)],
    ["client", "laptop", plain.id, ["ann", "bob"]],
  );
  assert.equal(json.sessions[0].expireAt, +session.expireAt);
  await resources.close();
});

test("end, remove and touch answer the session, and its client sees what became of it", async () => {
  const resources = open("methods");
  const client = await resources.client("laptop");
  const [one, two, three] = [
    await client.signIn({ user: "ann" }),
    await client.signIn({ user: "bob" }),
    await client.signIn({ user: "eve" }),
  ];
  assert.equal(client.session.id, three.id);
  await sleep(3);
  const before = one.updatedAt;
  assert.equal(await one.touch(), one);
  assert.ok(one.updatedAt > before && one.lastActiveAt > before);
  await client.reload();
  assert.equal(client.session.id, one.id);

  assert.equal(await one.end(), one);
  assert.equal(one.status, "ended");
  assert.ok(one.statusAt instanceof Date);
  assert.equal(await two.remove(), two);
  assert.equal(two.status, "removed");
  await client.reload();
  assert.deepEqual(statuses(client), ["ended", "active"]);
  assert.deepEqual(
    client.activeSessions.map(({ id }) => id),
    [three.id],
  );
  assert.deepEqual([client.lastActiveSessionId, client.session.id], [one.id, three.id]);
  await one.end();
  assert.equal((await one.remove()).status, "removed");
  await resources.close();
});

test("each of the seven states is reached, and another change is refused with the status that stands", async () => {
  const resources = open("states", { policy: { single_session: true } });
  const client = await resources.client("laptop");
  const born = async (options) => (await resources.client("other")).signIn({ user: "ann", ...options });
  const replaced = await client.signIn({ user: "ann" });
  const active = await client.signIn({ user: "ann" });
  const expired = await born({ idle_timeout_ms: 5 });
  await sleep(15);
  const abandoned = await born({ abandon_timeout_ms: 5 });
  await sleep(15);
  const [ended, removed, revoked] = await Promise.all(
    ["end", "remove", "revoke"].map(async (method) => (await (await resources.client(method)).signIn({ user: "ann" }))[method]()),
  );
  const refusals = {
    active: [],
    replaced: ["touch", "end", "revoke", "abandon"],
    expired: ["touch", "end", "revoke", "abandon"],
    abandoned: ["touch", "end", "revoke"],
    ended: ["touch", "revoke", "abandon"],
    removed: ["touch", "end", "revoke", "abandon"],
    revoked: ["touch", "end", "remove", "abandon"],
  };
  for (const [status, session] of Object.entries({ active, replaced, expired, abandoned, ended, removed, revoked })) {
    await session.reload();
    assert.equal(session.status, status);
    for (const method of refusals[status])
      await assert.rejects(session[method](), { code: method === "touch" ? "GONE" : "CONFLICT", status }, `${status}: ${method}`);
    assert.equal(session.status, status);
    assert.equal((await resources.session(session.id)).status, status);
  }
  assert.equal(replaced.replacedBy, active.id);
  await assert.rejects(ended.revoke(), { message: /ended/ });
  assert.equal((await active.abandon()).status, "abandoned");
  await resources.close();
});

test("a client has several sessions, of which one is active", async () => {
  const resources = open("several");
  const client = await resources.client("laptop");
  const ann = await client.signIn({ user: "ann" });
  const bob = await client.signIn({ user: "bob" });
  assert.deepEqual([client.session.user.id, client.lastActiveSessionId], ["bob", bob.id]);
  assert.equal(await client.setActive({ session: ann.id }), client);
  assert.equal(client.session.id, ann.id);
  assert.equal((await client.setActive({ session: bob })).session.id, bob.id);
  await bob.end();
  await assert.rejects(client.setActive({ session: bob }), { code: "CONFLICT", status: "ended" });
  const phone = await resources.client("phone");
  const eve = await phone.signIn({ user: "eve" });
  await assert.rejects(client.setActive({ session: eve }), { code: "CONFLICT" });
  await assert.rejects(client.signOut({ session: eve }), { code: "CONFLICT", message: /none of the client "laptop"/ });
  assert.equal((await eve.reload()).status, "active");
  await resources.close();
});

test("with single_session a sign-in replaces the one that was there, however many come at once", async () => {
  const resources = open("single", { policy: { single_session: true } });
  const client = await resources.client("laptop");
  const signedIn = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => (await resources.client("laptop")).signIn({ user: `user${i}` })),
  );
  await client.reload();
  assert.equal(client.activeSessions.length, 1);
  assert.equal(client.session.id, client.activeSessions[0].id);
  assert.equal(client.sessions.length, 20);
  for (const session of signedIn) await session.reload();
  assert.deepEqual(
    [...new Set(signedIn.map(({ status }) => status))].sort(),
    ["active", "replaced"],
  );
  await resources.close();
});

test("one session is signed out, or all of a client, or all of a user", async () => {
  const resources = open("out");
  const laptop = await resources.client("laptop");
  const phone = await resources.client("phone");
  const [one, two] = [await laptop.signIn({ user: "ann" }), await laptop.signIn({ user: "ann" })];
  const [three, four] = [await phone.signIn({ user: "ann" }), await phone.signIn({ user: "bob" })];
  assert.deepEqual(
    (await resources.sessionsOf("ann")).map(({ id }) => id),
    [three.id, two.id, one.id],
  );
  await laptop.signOut({ session: one });
  assert.deepEqual(
    laptop.sessions.map(({ id }) => id),
    [two.id],
  );
  assert.equal((await one.reload()).status, "removed");
  assert.equal(await resources.revokeAll({ id: "ann" }, [three.id]), 1);
  assert.deepEqual([(await two.reload()).status, (await three.reload()).status], ["revoked", "active"]);
  await phone.signOut();
  assert.deepEqual([phone.sessions, phone.session], [[], null]);
  assert.deepEqual([(await three.reload()).status, (await four.reload()).status], ["removed", "removed"]);
  assert.deepEqual(await resources.sessionsOf("ann"), []);
  assert.equal((await resources.sessionsOf("ann", "any")).length, 3);
  await (await resources.client("nobody")).destroy();
  await resources.close();
});

test("a session that is no longer kept is null by its id, and GONE to whoever still holds it", async () => {
  const resources = open("kept");
  const session = await (await resources.client("laptop")).signIn({ user: "ann" });
  const client = await connect({ url: server.url("kept"), ...patient });
  await client.session.destroy(session.id);
  assert.equal(await resources.session(session.id), null);
  for (const method of ["end", "remove", "reload", "touch"])
    await assert.rejects(session[method](), { code: "GONE" }, method);
  assert.equal(session.status, "active");
  await resources.close();
  await client.close();
});

test("a client of the caller's is used, and stays open", async () => {
  const client = await connect({ url: server.url("given"), ...patient });
  const resources = new SessionResources({ client });
  const session = await (await resources.client("laptop")).signIn({ user: "ann" });
  assert.equal((await client.session.get(session.id)).user, "ann");
  await resources.close();
  assert.equal((await client.session.count({ client: "laptop" })), 1);
  await client.close();
});

test("sign-ins that wait for a server that keeps nothing are made under the policy", async (t) => {
  let own = await Sessiond.start();
  t.after(() => own.end());
  const { port } = own;
  const connection = await connect({ url: own.url("app"), ...patient });
  t.after(() => connection.destroy());
  const resources = new SessionResources({ client: connection, policy: { single_session: true, abandon_timeout_ms: 60_000 } });
  const client = await resources.client("laptop");
  const lost = once(connection, "disconnect");
  await own.end("SIGKILL");
  await lost;
  const signedIn = ["ann", "bob", "eve"].map((user) => client.signIn({ user }));
  own = await Sessiond.start({ port });
  for (const { abandonAt, lastActiveAt } of await Promise.all(signedIn)) assert.equal(abandonAt - lastActiveAt, 60_000);
  assert.deepEqual(statuses(await client.reload()).sort(), ["active", "replaced", "replaced"]);
});

test("what cannot be used is refused with an error that names it", async () => {
  const wrong = (options, code, message) => assert.throws(() => new SessionResources(options), { code, message });
  wrong("https://api.clerk.example", "URL", /"https:\/\/" is no scheme of sessiond/);
  wrong({ secretKey: "sk_test" }, "ARGUMENT", /There is no option "secretKey"/);
  wrong(null, "ARGUMENT", /neither a URL nor an object/);
  wrong({ client: {} }, "ARGUMENT", /The option client is no client/);
  const resources = open("bad");
  const client = await resources.client("laptop");
  const refused = (promise, message) => assert.rejects(promise, { code: "ARGUMENT", message });
  await refused(client.signIn(), /signIn takes an object/);
  await refused(client.signIn({ user: "" }), /The user is no id/);
  await refused(client.signIn({ user: { name: "Ann" } }), /The user is no id/);
  await refused(client.signIn({ user: "ann", strategy: "password" }), /signIn has no option "strategy"/);
  await refused(client.signIn({ user: { id: "ann", greet: () => "hello" } }), /greet/);
  for (const none of [undefined, null, {}, { session: null }])
    await refused(client.setActive(none), /neither a session nor its id/);
  await assert.rejects(client.signIn({ user: "ann", idle_timeout_ms: -1 }), { code: "BAD_REQUEST" });
  await assert.rejects(resources.client("x".repeat(256)), { code: "BAD_REQUEST" });
  await assert.rejects(resources.client(""), { code: "BAD_REQUEST" });
  assert.deepEqual((await client.reload()).sessions, []);
  const policy = open("bad", { policy: { single_session: 7 } });
  await assert.rejects(policy.client("laptop"), { code: "BAD_REQUEST", message: /single_session/ });
  const hashed = open("hashed", { policy: { hash_ids: true } });
  await assert.rejects((await hashed.client("laptop")).signIn({ user: "ann" }), { code: "ARGUMENT", message: /hash_ids/ });
  for (const each of [resources, policy, hashed]) await each.close();
});

test("no server, and a server that is none of ours, are told in time", async () => {
  const liar = createServer((socket) => {
    socket.on("error", () => {}).resume();
    socket.end("HTTP/1.1 400 Bad Request\r\n\r\n");
  }).listen(0, "127.0.0.1");
  await once(liar, "listening");
  const { port } = liar.address();
  const lied = new SessionResources({ url: `sessiond://127.0.0.1:${port}/web`, ...patient });
  await assert.rejects(lied.client("laptop"), { code: "PROTOCOL" });
  liar.close();
  await once(liar, "close");
  const alone = new SessionResources({ url: "sessiond://127.0.0.1:1/web", timeoutMs: 2000 });
  await assert.rejects(alone.session("id"), { code: "CONNECTION", message: /check that the server runs/ });
  for (const each of [lied, alone]) await each.close();
});

test("a server that is killed and started again: each call succeeds or says what became of it, and nobody signed out is in", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "clerk-"));
  const options = [`--data-dir=${folder}`, "--durability=always"];
  let own = await Sessiond.start({ options });
  const { port } = own;
  const resources = new SessionResources({ url: own.url("app"), ...patient, policy: { single_session: true } });
  const known = new Map();
  const failures = [];
  let isOver = false;
  const load = async (worker) => {
    for (let i = 0; !isOver; i++) {
      let session;
      try {
        const client = await resources.client(`client${worker}-${i}`);
        session = await client.signIn({ user: { id: `user${worker}`, name: "Ann" } });
        known.set(session.id, "active");
        await session.touch();
        if (i % 2 === 0) known.set(session.id, (await session.end()).status);
      } catch (error) {
        failures.push(error);
        if (session) known.delete(session.id);
      }
    }
  };
  const workers = Array.from({ length: 8 }, (_, worker) => load(worker));
  for (let round = 0; round < 3; round++) {
    await sleep(150);
    while (known.size < 10 * (round + 1)) await sleep(5); // the disk may be slow
    await own.end("SIGKILL");
    own = await Sessiond.start({ port, options });
  }
  await sleep(100);
  isOver = true;
  await Promise.all(workers);
  for (const error of failures) {
    assert.ok(error instanceof SessiondError, error.stack);
    assert.ok(["CONNECTION", "BUSY", "TIMEOUT"].includes(error.code), error.stack);
  }
  assert.ok(known.size > 20 && known.size > failures.length, `${known.size} known, ${failures.length} failed`);
  for (const [id, status] of known) assert.equal((await resources.session(id)).status, status);
  await resources.close();
  await own.end();
  rmSync(folder, { recursive: true });
});

test("the README's example runs as it stands", async () => {
  const here = fileURLToPath(new URL(".", import.meta.url));
  const readme = readFileSync(path.join(here, "../../README.md"), "utf8");
  const [, program, printed] = /### Sessions as resources\n[^]*?```js\n([^]*?)```\s+prints\s+```\n([^]*?)```/.exec(readme);
  const run = spawnSync(process.execPath, ["--input-type=module", "--eval", program], {
    cwd: here,
    encoding: "utf8",
    timeout: 60_000,
    env: { ...process.env, SESSIOND_URL: `sessiond://127.0.0.1:${server.port}/accounts` },
  });
  assert.deepEqual([run.status, run.stdout, run.stderr], [0, printed, ""]);
});
