// What goes wrong: servers that die, hang, lie, or are none; and limits that are reached. Every call settles.
import assert from "node:assert/strict";
import { createServer as createHttpServer } from "node:http";
import { test } from "node:test";
import { Client, connect, encode, SessiondError } from "sessiond";
import { Fake, hello, messages } from "./support/fake.js";
import { patient, Sessiond, unlessLate } from "./support/sessiond.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A port on which nobody listens, and nobody else is going to. */
async function freePort() {
  const fake = await Fake.start(() => {});
  await fake.stop();
  return fake.port;
}

/** Whether it holds a line for a server of lines: they look for its end up to the first NUL, as C does. */
const isLine = (data) => data.includes("\n") && !data.subarray(0, data.indexOf("\n")).includes(0);

/** A client of a fake, which may answer no ping. */
function open(url, options = {}) {
  return new Client({ url, reconnectMinMs: 1, ...patient, ...options });
}

/** Settles a promise into what came of it. */
const outcome = (promise) =>
  promise.then(
    (value) => ({ value }),
    (error) => ({ error }),
  );

test("a server killed and started again under load: each call is a success or says clearly what became of it", async () => {
  let server = await Sessiond.start();
  const { port } = server;
  const client = await connect({ url: server.url(), ...patient });
  const outcomes = [];
  const calls = [];
  let isOver = false;
  const load = (async () => {
    for (let i = 0; !isOver; i++) {
      // Only so many wait for a server, however long it takes to start again.
      while (!isOver && calls.length - outcomes.length > 500) await sleep(2);
      const options = i % 4 === 3 ? { opId: false } : {};
      const made = [
        client.session.set(`k${i}`, { i }, {}, options),
        client.session.get(`k${i - 1}`),
        client.pool.acquire("p"),
        client.session.list(),
      ];
      calls.push(...made.map((call) => outcome(call).then((each) => outcomes.push(each))));
      await sleep(2);
    }
  })();
  for (const signal of ["SIGKILL", "SIGTERM", "SIGKILL"]) {
    await sleep(150);
    await server.end(signal);
    await sleep(50);
    server = await Sessiond.start({ port });
  }
  await sleep(150);
  isOver = true;
  await load;
  await Promise.all(calls);
  const failed = outcomes.filter(({ error }) => error);
  for (const { error } of failed) {
    assert.ok(error instanceof SessiondError, error.stack);
    if (error.code === "BUSY") continue; // what a server answers that is about to stop: it did nothing
    assert.equal(error.code, "CONNECTION", error.message);
    assert.match(error.message, /It is not known whether it was executed\.$/);
    assert.equal(error.mayHaveExecuted, true);
  }
  const lost = failed.filter(({ error }) => error.code !== "BUSY");
  const good = outcomes.length - failed.length;
  assert.ok(good > lost.length, `${good} good, ${lost.length} lost, ${failed.length - lost.length} busy`);
  assert.equal((await client.session.create({ id: "after" })).id, "after");
  await client.close();
  await server.end();
});

test("reads and writes with an op_id are repeated, with the same bytes; other writes reject", async () => {
  const seen = [];
  const fake = await Fake.start((socket, count) =>
    messages(socket, ({ method, bytes, reply }) => {
      seen.push([count, method, bytes.toString("hex")]);
      if (count === 1 && seen.length === 3) socket.destroy();
      else if (count > 1) reply(null, { count });
    }),
  );
  const client = open(fake.url);
  const [read, write, unsafe] = await Promise.all([
    outcome(client.session.get("a")),
    outcome(client.session.touch("a")),
    outcome(client.session.touch("b", {}, { opId: false })),
  ]);
  assert.deepEqual([read.value, write.value], [{ count: 2 }, { count: 2 }]);
  assert.equal(unsafe.error.code, "CONNECTION");
  assert.equal(unsafe.error.mayHaveExecuted, true);
  assert.match(
    unsafe.error.message,
    /session\.touch was sent and not answered.*It is not known whether it was executed\.$/,
  );
  const of = (connection) => seen.filter(([count]) => count === connection).map(([, ...rest]) => rest);
  assert.deepEqual(of(2), of(1).slice(0, 2));
  client.destroy();
  await fake.stop();
});

test("a call that ends its connection each time is given up after three", async () => {
  const fake = await Fake.start((socket) => messages(socket, () => socket.destroy()));
  const client = open(fake.url);
  await assert.rejects(client.session.touch("a"), {
    code: "CONNECTION",
    message: /sent 3 times and not answered/,
    mayHaveExecuted: true,
  });
  assert.equal(fake.count, 3);
  client.destroy();
  await fake.stop();
});

test("a call that is not answered times out, and a write says that nobody knows", async () => {
  const fake = await Fake.start((socket) =>
    messages(socket, ({ method, reply }) => method === "server.ping" && reply(null, { now: 1 })),
  );
  const client = open(fake.url);
  await client.server.ping();
  await assert.rejects(client.session.get("a", {}, { timeoutMs: 100 }), {
    name: "TimeoutError",
    code: "TIMEOUT",
    message: "session.get was not answered within 100 ms.",
    mayHaveExecuted: false,
  });
  await assert.rejects(client.session.touch("a", {}, { timeoutMs: 50 }), {
    message: "session.touch was not answered within 50 ms. It is not known whether it was executed.",
    mayHaveExecuted: true,
  });
  client.destroy();
  await fake.stop();
});

test("a call whose time was over before it could be sent says so", async () => {
  const fake = await Fake.start((socket) => messages(socket, ({ reply }) => reply(null, { now: 1 })));
  const client = open(fake.url);
  await client.server.ping();
  await new Promise(setImmediate); // from here on timers come before the next write
  const call = outcome(client.session.touch("a", {}, { timeoutMs: 1 }));
  for (const end = performance.now() + 20; performance.now() < end;);
  const { error } = await call;
  assert.deepEqual([error.code, error.mayHaveExecuted], ["TIMEOUT", false]);
  assert.match(error.message, /was not sent within 1 ms/);
  client.destroy();
  await fake.stop();
});

test("a late answer is nobody's, and the connection goes on", async () => {
  let late;
  const fake = await Fake.start((socket) =>
    messages(socket, ({ method, reply }) => (method === "session.get" ? (late = reply) : reply(null, { now: 5 }))),
  );
  const client = open(fake.url);
  await client.server.ping();
  while (!late) await assert.rejects(client.session.get("a", {}, { timeoutMs: 200 }), { code: "TIMEOUT" });
  late(null, { id: "a" });
  assert.deepEqual(await client.server.ping(), { now: 5 });
  assert.equal(fake.count, 1);
  client.destroy();
  await fake.stop();
});

test("a connection from which nothing comes any more is given up for a new one", async () => {
  let silent; // the connection that was greeted in time, and answers nothing more
  const fake = await Fake.start((socket, count) =>
    messages(socket, ({ method, reply }) => {
      if (method === "server.info") silent = count;
      if (method === "server.info" || count > silent) reply(null, { now: count });
    }),
  );
  const client = open(fake.url, { connectTimeoutMs: 300 });
  await client.server.info();
  await assert.rejects(client.server.ping({ timeoutMs: 400 }), { code: "TIMEOUT" });
  assert.ok((await client.server.ping()).now > silent);
  client.destroy();
  await fake.stop();
});

const isStopped = async () => {
  const server = await Sessiond.start();
  const client = new Client({ url: server.url(), timeoutMs: 20_000, connectTimeoutMs: 100 });
  await client.session.set("a", { n: 1 });
  server.process.kill("SIGSTOP");
  await assert.rejects(client.session.get("a", {}, { timeoutMs: 300 }), { code: "TIMEOUT" });
  // That connection was given up; the next one is not greeted.
  await assert.rejects(client.session.get("a", {}, { timeoutMs: 300 }), {
    code: "CONNECTION",
    message: /did not answer the greeting within 100 ms/,
  });
  server.process.kill("SIGCONT");
  assert.deepEqual((await client.session.get("a")).data, { n: 1 });
  await client.close();
  await server.end();
};

test("a server that is stopped for a while lets calls time out, and serves again when it goes on", () =>
  unlessLate(50, isStopped));

const findsNobody = async () => {
  const client = new Client({ url: `sessiond://127.0.0.1:${await freePort()}/web`, timeoutMs: 200, maxOffline: 3 });
  const waiting = [client.session.get("a"), client.session.touch("a"), client.session.get("b")].map(outcome);
  await assert.rejects(client.session.get("c"), {
    name: "OverloadedError",
    code: "OVERLOADED",
    message: /3 calls wait for one/,
  });
  assert.throws(() => client.oneWay.session.touch("c"), { code: "OVERLOADED" });
  const [read, write] = await Promise.all(waiting);
  assert.equal(read.error.code, "CONNECTION");
  assert.match(
    read.error.message,
    /session\.get found no connection within 200 ms: 127\.0\.0\.1:\d+ cannot be reached: connect ECONNREFUSED/,
  );
  assert.match(write.error.message, /It was not sent\.$/);
  assert.equal(write.error.mayHaveExecuted, false);
  assert.equal(read.error.cause.cause.code, "ECONNREFUSED");
  // Those whose time was over take no room.
  await assert.rejects(client.session.get("d", {}, { timeoutMs: 20 }), { code: "CONNECTION" });
  client.destroy();
};

test("without a server calls wait, a bounded number of them, and say why they failed", () =>
  unlessLate(100, findsNobody));

test("what waits is bounded in number and bytes with a connection, too", async () => {
  const fake = await Fake.start((socket) => messages(socket, () => {}));
  const client = open(fake.url, { maxPending: 2, maxPendingBytes: 1000 });
  await new Promise((resolve) => (client.once("connect", resolve), client.oneWay.session.touch("a")));
  const controller = new AbortController();
  const call = { signal: controller.signal };
  const first = [outcome(client.session.get("a", {}, call)), outcome(client.session.get("b", {}, call))];
  await assert.rejects(client.session.get("c"), { code: "OVERLOADED", message: /maxPending\./ });
  controller.abort();
  await Promise.all(first);
  const big = outcome(client.session.set("a", "x".repeat(1000), {}, { timeoutMs: 100 }));
  await assert.rejects(client.session.get("c"), { code: "OVERLOADED", message: /maxPendingBytes/ });
  assert.equal((await big).error.code, "TIMEOUT");
  await assert.rejects(client.session.get("c", {}, { timeoutMs: 10 }), { code: "TIMEOUT" });
  client.destroy();
  await fake.stop();
});

test("calls made before the server is there are executed in their order when it comes", async () => {
  const port = await freePort();
  const client = new Client({ url: `sessiond://127.0.0.1:${port}/web`, ...patient });
  const calls = [
    client.session.set("a", { n: 1 }),
    client.session.patch("a", { incr: { n: 1 } }),
    client.session.get("a"),
  ];
  client.oneWay.session.set("b", { n: 3 });
  await sleep(100);
  const server = await Sessiond.start({ port });
  const [, patched, read] = await Promise.all(calls);
  assert.equal(patched.values.n, 2);
  assert.deepEqual(read.data, { n: 2 });
  assert.deepEqual((await client.session.get("b")).data, { n: 3 });
  await client.close();
  await server.end();
});

const takesTurns = async () => {
  const silent = await Fake.start(() => {});
  const [one, two] = [await Sessiond.start(), await Sessiond.start()];
  const url = `sessiond://127.0.0.1:${await freePort()},127.0.0.1:${silent.port},127.0.0.1:${one.port},127.0.0.1:${two.port}/web`;
  const client = new Client({ url, connectTimeoutMs: 500, timeoutMs: 20_000 });
  const endpoints = [];
  client.on("connect", ({ endpoint }) => endpoints.push(endpoint));
  await client.server.ping();
  await one.end("SIGKILL");
  await client.server.ping();
  assert.deepEqual(endpoints, [`127.0.0.1:${one.port}`, `127.0.0.1:${two.port}`]);
  await client.close();
  await Promise.all([two.end(), silent.stop()]);
};

test("several hosts are tried in turn, and when one dies the next one serves", () => unlessLate(250, takesTurns));

for (const [name, onConnection, code, sentence] of [
  [
    "Redis, which answers at a line's end",
    (socket) => socket.on("data", (data) => isLine(data) && socket.write("-ERR unknown command '\\x93'\r\n")),
    "PROTOCOL",
    /speaks Redis, not sessiond's protocol/,
  ],
  [
    "memcached",
    (socket) => socket.on("data", (data) => isLine(data) && socket.write("ERROR\r\n")),
    "PROTOCOL",
    /speaks memcached/,
  ],
  [
    "one that greets by itself",
    (socket) => socket.write("220 mail.example ESMTP\r\n"),
    "PROTOCOL",
    /does not speak sessiond's protocol \(it began with "220 mail\.example ESMTP\.\."\)/,
  ],
  [
    "one that sends MessagePack that is no reply",
    (socket) => socket.write(encode({ a: 1 })),
    "PROTOCOL",
    /does not speak sessiond's protocol/,
  ],
  [
    "one that answers what was not asked",
    (socket) => socket.write(encode([1, 9, null, null])),
    "PROTOCOL",
    /does not speak sessiond's protocol/,
  ],
  [
    "one that ends the connection",
    (socket) => socket.end(),
    "CONNECTION",
    /closed the connection without answering the greeting/,
  ],
  ["one that is silent", () => {}, "CONNECTION", /did not answer the greeting within 100 ms/],
  [
    "one of another version",
    (socket) =>
      messages(
        socket,
        () => {},
        (reply) => reply(null, { ...hello, version: 2 }),
      ),
    "PROTOCOL",
    /speaks version 2 of the protocol, this client version 1/,
  ],
  [
    "one that refuses the version",
    (socket) =>
      messages(
        socket,
        () => {},
        (reply) => reply({ code: "BAD_REQUEST", message: "This server speaks version 3." }, null),
      ),
    "PROTOCOL",
    /refused the greeting of protocol version 1: BAD_REQUEST: This server speaks version 3/,
  ],
  [
    "one whose greeting is no map",
    (socket) =>
      messages(
        socket,
        () => {},
        (reply) => reply(null, null),
      ),
    "PROTOCOL",
    /does not speak sessiond's protocol/,
  ],
])
  test(`a server that is not sessiond is named: ${name}`, () => unlessLate(50, async () => {
    const fake = await Fake.start(onConnection);
    // What is of no use to be tried again is not: it fails long before the timeout, which would be a CONNECTION error.
    const patience =
      code === "PROTOCOL" ? patient : { timeoutMs: 600, connectTimeoutMs: 100 };
    const { error } = await outcome(connect({ url: fake.url, ...patience }));
    assert.ok(error, "it was taken for a sessiond");
    assert.equal(error.code, code, error.message);
    assert.match(error.message, sentence);
    assert.ok(error.message.includes(`127.0.0.1:${fake.port}`));
    await fake.stop();
  }));

test("a server that is not sessiond is named: HTTP", async () => {
  const http = createHttpServer();
  await new Promise((resolve) => http.listen(0, "127.0.0.1", resolve));
  await assert.rejects(connect({ url: `sessiond://127.0.0.1:${http.address().port}`, ...patient }), {
    code: "PROTOCOL",
    message: /speaks HTTP, not sessiond's protocol/,
  });
  http.close();
});

test("a server that is full for now is tried again", async () => {
  const fake = await Fake.start((socket, count) =>
    messages(
      socket,
      ({ reply }) => reply(null, { now: count }),
      (reply) =>
        count < 3 ? reply({ code: "BUSY", message: "Too many.", retry_after_ms: 1 }, null) : reply(null, hello),
    ),
  );
  const client = open(fake.url);
  assert.deepEqual(await client.server.ping(), { now: 3 });
  client.destroy();
  await fake.stop();
});

test("an answer that is too long fails its call alone", async () => {
  const server = await Sessiond.start();
  const client = await connect({ url: server.url(), maxReplyBytes: 100_000, ...patient });
  await client.session.set("large", "x".repeat(500_000));
  const [before, large, behind] = await Promise.all([
    client.session.get("none"),
    outcome(client.session.get("large")),
    client.session.get("none"),
  ]);
  assert.deepEqual([before, behind], [null, null]);
  assert.equal(large.error.code, "PROTOCOL");
  assert.match(large.error.message, /more than 100000 bytes/);
  await client.close();
  await server.end();
});

test("rubbish amid the answers closes the connection, and what may be repeated is", async () => {
  const fake = await Fake.start((socket, count) =>
    messages(socket, ({ reply }) => (count === 1 ? socket.write("\xc1\xc1", "latin1") : reply(null, { now: count }))),
  );
  const client = open(fake.url);
  assert.deepEqual(await client.server.ping(), { now: 2 });
  client.destroy();
  await fake.stop();
});

test("answers may come byte by byte", async () => {
  const answer = { id: "a", data: { text: "é".repeat(20), list: [1, 2.5, Buffer.alloc(40)] } };
  const fake = await Fake.start((socket) => {
    socket.setNoDelay(true);
    messages(socket, async ({ msgid }) => {
      for (const byte of encode([1, msgid, null, answer])) {
        socket.write(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
    });
  });
  const client = open(fake.url);
  assert.deepEqual(await client.session.get("a"), answer);
  client.destroy();
  await fake.stop();
});

test("an error that nobody knows keeps its code and its details", async () => {
  const fake = await Fake.start((socket) =>
    messages(socket, ({ reply }) =>
      reply({ code: "NEWER", message: "Something new.", retry_after_ms: 5, shade: "blue" }, null),
    ),
  );
  const client = open(fake.url);
  await assert.rejects(client.server.ping(), {
    name: "ServerError",
    code: "NEWER",
    message: "Something new.",
    retry_after_ms: 5,
    details: { retry_after_ms: 5, shade: "blue" },
  });
  client.destroy();
  await fake.stop();
});

test("a name that does not exist is an error that says so", async () => {
  await assert.rejects(connect({ url: "sessiond://no-such-host.invalid", timeoutMs: 1500, connectTimeoutMs: 1000 }), {
    code: "CONNECTION",
    message: /no-such-host\.invalid:7420/,
  });
});
