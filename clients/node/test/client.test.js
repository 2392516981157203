// The client against a real server: operations, errors, notifications, aborts, and how it leaves.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import diagnostics from "node:diagnostics_channel";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { connect as connectSocket, createServer } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { Client, ConflictError, connect, encode, GoneError, METHODS, SessiondError } from "sessiond";
import { Fake, messages } from "./support/fake.js";
import { open, patient, Sessiond } from "./support/sessiond.js";
import { client, server } from "./support/shared.js";

const operations = readFileSync(new URL("../dist/esm/generated/operations.js", import.meta.url), "utf8");

test("a session's life, with all that was given in it", async () => {
  const data = {
    cart: [1, 2.5, null, true],
    when: new Date(1767225600123),
    big: 2n ** 60n,
    bytes: Buffer.from([0, 255]),
    map: new Map([[1, 2]]),
  };
  const made = await client.session.create({
    user: "ann",
    data,
    timeouts: { idle_timeout_ms: 60_000, abandon_timeout_ms: undefined },
  });
  assert.equal(made.id.length, 43);
  assert.equal(made.idle_timeout_ms, 60_000);
  const read = await client.session.get(made.id);
  assert.deepEqual(read.data, data);
  assert.equal(read.user, "ann");
  const { version } = await client.session.set(made.id, { cart: [] }, { mode: "if_version", version: read.version });
  assert.ok(version > read.version);
  assert.deepEqual((await client.session.patch(made.id, { incr: { views: 2 } })).values, { views: 2 });
  assert.ok((await client.session.touch(made.id)).expires_at > Date.now());
  assert.deepEqual(await client.session.getMany([made.id, "none"], { fields: ["id"] }), [{ id: made.id }, null]);
  assert.equal((await client.session.list({ user: "ann", fields: ["id"] })).total, 1);
  assert.equal(await client.session.destroy(made.id), true);
  assert.equal(await client.session.get(made.id), null);
});

test("what the server refuses is an error of the code's own class, with what it said", async () => {
  const { version } = await client.session.set("refused", {});
  await assert.rejects(client.session.set("refused", {}, { mode: "if_version", version: version - 1 }), (error) => {
    assert.ok(error instanceof ConflictError && error instanceof SessiondError && error instanceof Error);
    assert.equal(error.code, "CONFLICT");
    assert.equal(error.name, "ConflictError");
    assert.equal(error.version, version);
    assert.equal(error.mayHaveExecuted, false);
    return true;
  });
  await client.session.end("refused");
  await assert.rejects(
    client.session.touch("refused"),
    (error) => error instanceof GoneError && error.status === "ended",
  );
  await assert.rejects(client.session.create({ id: "x", idd: 1 }), { code: "BAD_REQUEST" });
  await assert.rejects(client.call("session.nothing"), { code: "UNKNOWN_METHOD" });
});

test("other namespaces: for a call, for a view, and by its name", async () => {
  const shop = client.withNamespace("shop");
  await shop.session.create({ id: "s" });
  assert.equal(await client.session.get("s"), null);
  assert.equal((await client.session.get("s", {}, { namespace: "shop" })).id, "s");
  assert.equal(await shop.session.get("s", {}, { namespace: "web" }), null);
  assert.equal((await client.call("session.get", ["shop", "s"])).id, "s");
  assert.ok((await client.namespace.list()).includes("shop"));
  assert.equal((await client.namespace.describe({ namespace: "shop" })).name, "shop");
});

test("pools, tokens, cookies and clients are there", async () => {
  const pool = await client.pool.acquire("proxies", { lease_ms: 1000 });
  assert.ok(pool.use > 0 && pool.fence > 0);
  assert.equal((await client.pool.mark(pool.id, "good", { use: pool.use })).usable, true);
  assert.equal(await client.pool.release(pool.id, { fence: pool.fence }), true);
  assert.equal((await client.pool.acquire("proxies", { count: 3 })).length, 3);
  const { token, id } = await client.session.create({ token: true, client: "phone" });
  assert.deepEqual(await client.session.validate(token, { fields: ["id"] }), {
    valid: true,
    error: null,
    session: { id },
  });
  assert.equal((await client.client.get("phone")).default_session, id);
  await client.namespace.configure({ cookie_secrets: ["keyboard cat"] });
  const signed = await client.cookie.sign("abc");
  assert.equal(signed, "s:abc.BpxCrWRpvZMh/wk/djl34N+m+VQEU7K/5WenLwJCgFU");
  assert.deepEqual(await client.cookie.unsign(signed), { value: "abc", key_index: 0 });
});

test("a waiting acquire has its wait on top of the timeout", async () => {
  const short = new Client({ url: server.url(), timeoutMs: 100 });
  await client.pool.configure("narrow", { max_pool_size: 1, max_concurrent: 1 });
  const held = await client.pool.acquire("narrow");
  const waiting = short.pool.acquire("narrow", { wait_ms: 20_000 });
  await new Promise((resolve) => setTimeout(resolve, 300));
  await client.pool.release(held.id, { use: held.use });
  assert.equal((await waiting).id, held.id);
  await assert.rejects(client.pool.acquire("narrow", { wait_ms: 50 }), { code: "EXHAUSTED" });
  await short.close();
});

test("answers find their calls in whatever order they come", async () => {
  await client.pool.configure("order", { max_pool_size: 1, max_concurrent: 1 });
  const held = await client.pool.acquire("order");
  const order = [];
  const waiting = client.pool.acquire("order", { wait_ms: 20_000 }).then(() => order.push("acquire"));
  await client.server.ping().then(() => order.push("ping"));
  await client.pool.release(held.id, { use: held.use });
  await waiting;
  assert.deepEqual(order, ["ping", "acquire"]);
});

test("the calls of one turn are one write", async () => {
  const sizes = [];
  const proxy = createServer((socket) => {
    const upstream = connectSocket(server.port, "127.0.0.1");
    socket.on("data", (data) => (sizes.push(data.length), upstream.write(data)));
    upstream.on("data", (data) => socket.write(data));
    socket.on("close", () => upstream.destroy());
    upstream.on("error", () => {});
    socket.on("error", () => {});
  });
  await new Promise((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const counted = await connect(`sessiond://127.0.0.1:${proxy.address().port}/web`, patient);
  sizes.length = 0;
  await Promise.all(
    Array.from({ length: 100 }, (_, i) =>
      i === 50 ? Promise.resolve().then(() => counted.session.get(`k${i}`)) : counted.session.get(`k${i}`),
    ),
  );
  assert.equal(sizes.length, 1);
  await counted.close();
  proxy.close();
});

test("notifications are executed and answer nothing", async () => {
  assert.equal(client.oneWay.session.set("quiet", { a: 1 }), undefined);
  client.oneWay.session.set("quiet", { a: 1 }, { mode: "create" }); // refused, and nobody hears of it
  client.notify("session.patch", [null, "quiet"], { set: { b: 2 } });
  assert.deepEqual((await client.session.get("quiet")).data, { a: 1, b: 2 });
  assert.throws(() => client.oneWay.session.set("quiet", () => 1), { code: "ARGUMENT" });
  const short = new Client({ url: server.url(), ...patient });
  short.oneWay.session.set("last words", { said: true });
  await short.close();
  assert.deepEqual((await client.session.get("last words")).data, { said: true });
});

test("what cannot be sent rejects before anything is sent, and names its place", async () => {
  await assert.rejects(client.session.set("bad", { a: { b: [() => 1] } }), {
    code: "ARGUMENT",
    message: /^data\.a\.b\[0\] is a function/,
  });
  await assert.rejects(client.session.create({ data: { a: undefined } }), { message: /^data\.a is undefined/ });
  await assert.rejects(client.session.set("bad", undefined), {
    code: "ARGUMENT",
    message: /data of session.set is undefined/,
  });
  await assert.rejects(client.session.get("bad", "options"), { code: "ARGUMENT" });
  await assert.rejects(client.session.touch("bad", {}, { opId: -1 }), { code: "ARGUMENT" });
  await assert.rejects(client.session.get("bad", {}, { timeoutMs: NaN }), { code: "ARGUMENT" });
  await assert.rejects(client.session.get("bad", {}, { namespace: "" }), { code: "ARGUMENT" });
  await assert.rejects(client.session.set("bad", "x".repeat(3 << 20)), { code: "ARGUMENT", limit: 2097152 });
  await assert.rejects(client.session.set("bad", "x".repeat(1.5 * 2 ** 20)), { code: "TOO_BIG" });
  assert.equal(await client.session.get("bad"), null);
});

test("what a call was given is taken when it is called", async () => {
  const data = { a: 1 };
  const call = client.session.set("copied", data);
  data.a = 2;
  await call;
  assert.deepEqual((await client.session.get("copied")).data, { a: 1 });
});

test("large values come in many pieces and come back whole", async () => {
  const data = { bytes: Buffer.alloc(900_000, 5), text: "é".repeat(30_000) };
  await client.session.set("large", data);
  const [one, two, small] = await Promise.all([
    client.session.get("large"),
    client.session.get("large"),
    client.session.get("none"),
  ]);
  assert.deepEqual(one.data, data);
  assert.deepEqual(two.data, data);
  assert.equal(small, null);
});

test("an aborted call rejects with the signal's reason, and the next goes on", async () => {
  await assert.rejects(client.session.get("a", {}, { signal: AbortSignal.abort() }), { name: "AbortError" });
  const controller = new AbortController();
  const call = client.pool.acquire("narrow", { wait_ms: 10_000 }, { signal: controller.signal });
  const soon = setTimeout(() => controller.abort(new Error("enough")), 20);
  await assert.rejects(call, { message: "enough" });
  clearTimeout(soon);
  await client.server.ping();
});

test("one signal may end many calls, and nothing warns of it", async () => {
  const warnings = [];
  const note = (warning) => warnings.push(warning.message);
  process.on("warning", note);
  const controller = new AbortController();
  const call = { signal: controller.signal };
  await Promise.all(Array.from({ length: 50 }, () => client.session.get("a", {}, call)));
  const calls = Promise.allSettled(Array.from({ length: 50 }, () => client.session.get("a", {}, call)));
  controller.abort(new Error("enough"));
  for (const { reason } of await calls) assert.equal(reason.message, "enough");
  await new Promise(setImmediate);
  process.off("warning", note);
  assert.deepEqual(warnings, []);
});

test("a toJSON that makes a call itself does not disturb the call that it stands in", async () => {
  let inner;
  const data = { a: 1, b: { toJSON: () => ((inner = client.session.set("inner", { x: 1 })), "b") }, c: 2 };
  await client.session.set("outer", data);
  await inner;
  assert.deepEqual((await client.session.get("outer")).data, { a: 1, b: "b", c: 2 });
  assert.deepEqual((await client.session.get("inner")).data, { x: 1 });
});

test("a repeated op_id is answered as the first was", async () => {
  await client.session.set("once", {});
  for (let i = 0; i < 2; i++)
    assert.equal((await client.session.patch("once", { incr: { n: 1 } }, { opId: 77 })).values.n, 1);
  assert.equal((await client.session.patch("once", { incr: { n: 1 } }, { opId: false })).values.n, 2);
});

test("diagnostics tell of connections and calls, and of no arguments", async () => {
  const seen = [];
  const names = ["connect", "disconnect", "request:start", "request:end", "request:error"].map(
    (name) => `sessiond:${name}`,
  );
  const listen = (message, name) => seen.push([name, message]);
  for (const name of names) diagnostics.subscribe(name, listen);
  const watched = await open(server);
  await watched.session.create({ id: "secret-id" });
  await watched.session.create({ id: "secret-id" }).catch(() => {});
  await watched.close();
  for (const name of names) diagnostics.unsubscribe(name, listen);
  const mine = seen.filter(([, message]) => message.client === watched);
  assert.deepEqual(
    mine.map(([name, { method }]) => `${name.slice(9)} ${method ?? ""}`),
    [
      "request:start server.ping",
      "connect ",
      "request:end server.ping",
      "request:start session.create",
      "request:end session.create",
      "request:start session.create",
      "request:error session.create",
      "disconnect ",
    ],
  );
  assert.ok(mine.at(-2)[1].durationMs >= 0 && mine.at(-2)[1].error.code === "EXISTS");
  assert.ok(!JSON.stringify(mine.map(([, { client: _, error: __, ...rest }]) => rest)).includes("secret"));
});

test("it emits connect and disconnect", async () => {
  const told = [];
  const other = new Client({ url: server.url(), ...patient });
  other.on("connect", ({ endpoint }) => told.push(`connect ${endpoint}`));
  other.on("disconnect", ({ error }) => told.push(`disconnect ${error}`));
  assert.equal(other.isConnected, false);
  await other.server.ping();
  assert.equal(other.isConnected, true);
  assert.match(other.hello.server, /^sessiond /);
  await other.close();
  assert.deepEqual(told, [`connect 127.0.0.1:${server.port}`, "disconnect undefined"]);
});

test("close waits for what was called, and then takes nothing more", async () => {
  const other = new Client({ url: server.url(), ...patient });
  const call = other.session.get("none");
  await other.close();
  assert.equal(await call, null);
  await assert.rejects(other.session.get("none"), { code: "CLOSED" });
  assert.throws(() => other.oneWay.session.touch("none"), { code: "CLOSED" });
  await assert.rejects(other.watch(), { code: "CLOSED" });
  await other.close();
  const third = new Client({ url: server.url(), ...patient });
  const lost = third.session.set("x", 1);
  third.destroy();
  await assert.rejects(lost, { code: "CLOSED" });
  await third[Symbol.asyncDispose]();
});

test("close waits for notifications that find no server no longer than a call would", async () => {
  const other = new Client({ url: "sessiond://127.0.0.1:1", timeoutMs: 100 });
  other.oneWay.session.touch("a");
  await other.close();
});

test("a Unix socket is as good", async () => {
  const folder = mkdtempSync(path.join(tmpdir(), "sessiond-node-"));
  const local = await Sessiond.start({ options: [`--unix-socket=${folder}/s`] });
  const unix = await connect(`sessiond+unix://${folder}/s?namespace=web`, patient);
  assert.equal((await unix.session.create({ id: "u" })).id, "u");
  await unix.close();
  await local.end();
  rmSync(folder, { recursive: true });
});

test("an idle client does not keep the process alive, a waiting call does; require works as import does", () => {
  const run = (code) =>
    spawnSync(process.execPath, ["--input-type=commonjs", "-e", code], {
      cwd: fileURLToPath(new URL("..", import.meta.url)),
      encoding: "utf8",
      timeout: 60_000,
    });
  const idle = run(
    `const { connect } = require("sessiond"); connect({ url: "${server.url()}", timeoutMs: 20000, connectTimeoutMs: 10000 }).then((c) => c.session.get("a")).then((r) => console.log("answered", r))`,
  );
  assert.deepEqual([idle.status, idle.stdout, idle.stderr], [0, "answered null\n", ""]);
  const waiting = run(
    `const { Client } = require("sessiond"); new Client({ url: "sessiond://127.0.0.1:1", timeoutMs: 200 }).server.ping().catch((e) => console.log(e.code))`,
  );
  assert.deepEqual([waiting.status, waiting.stdout, waiting.stderr], [0, "CONNECTION\n", ""]);
});

test("every operation of the schema is a method that sends what its vector says, and answers what that says", async () => {
  const vectors = JSON.parse(readFileSync(`${process.env["SESSIOND_VECTORS"]}/requests.json`, "utf8")).cases;
  let vector;
  const received = [];
  const fake = await Fake.start((socket) =>
    messages(socket, ({ msgid, method, params }) => {
      received.push([method, params]);
      const reply = Buffer.from(vector.reply, "hex");
      socket.write(
        Buffer.concat([
          encode([1, msgid, null, 0]).subarray(0, -1),
          reply.subarray(reply.length - encode(vector.result).length),
        ]),
      );
    }),
  );
  const other = new Client({ url: fake.url, ...patient });
  try {
    for (vector of vectors) {
      const { method, params, result } = vector;
      const [group, verb] = method.split(".");
      if (group === "watch") continue;
      const names = METHODS[method].params;
      const isNamespaced = names[0] === "namespace";
      const own = isNamespaced ? params.slice(1) : params;
      const positional = own.slice(0, names.length - (isNamespaced ? 1 : 0));
      const options = own[positional.length];
      const call = { opId: false, ...(isNamespaced ? { namespace: params[0] } : {}) };
      const takesOptions = new RegExp(`METHODS\\["${method}"\\], \\[.*\\], options, call`).test(operations);
      const answer = await other[group][verb.replace(/_(.)/g, (_, letter) => letter.toUpperCase())](
        ...positional,
        ...(takesOptions ? [options] : []),
        call,
      );
      assert.deepEqual(received.pop(), [method, params]);
      assert.deepEqual(answer, result);
    }
  } finally {
    other.destroy();
    await fake.stop();
  }
});

test("both builds export the same names", () => {
  const required = Object.keys(createRequire(import.meta.url)("sessiond")).sort();
  return import("sessiond").then((imported) =>
    assert.deepEqual(
      Object.keys(imported)
        .filter((name) => name !== "default" && name !== "module.exports")
        .sort(),
      required,
    ),
  );
});
