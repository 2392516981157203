// Watches: events in order, what is told when some are lost, and how they end.
import assert from "node:assert/strict";
import { test } from "node:test";
import { Client, connect, encode } from "sessiond";
import { Fake, messages } from "./support/fake.js";
import { open, patient, Sessiond } from "./support/sessiond.js";
import { client, server } from "./support/shared.js";

async function take(watch, count) {
  const events = [];
  for (let i = 0; i < count; i++) events.push((await watch.next()).value);
  return events;
}

test("events come in order, with what was asked for", async () => {
  const watch = await client.watch({ kinds: ["created", "updated", "destroyed"], user: "ann", data: true });
  await client.session.create({ id: "a", user: "ann", data: { n: 1 } });
  await client.session.create({ id: "b", user: "bob" });
  await client.session.set("a", { n: 2 });
  await client.session.touch("a");
  await client.session.destroy("a");
  const events = await take(watch, 3);
  assert.deepEqual(
    events.map(({ seq, kind, id, user }) => [seq, kind, id, user]),
    [
      [1, "created", "a", "ann"],
      [2, "updated", "a", "ann"],
      [3, "destroyed", "a", "ann"],
    ],
  );
  assert.deepEqual(events[1].data, { n: 2 });
  assert.ok(events[0].at > 0 && events[1].version > events[0].version);
  await watch.close();
  assert.deepEqual(await watch.next(), { done: true, value: undefined });
});

test("break ends a watch, at the server too", async () => {
  for (let i = 0; i < 40; i++) {
    const watch = await client.watch({ kinds: "created" }); // the server allows 16 of a connection
    await client.session.create();
    for await (const { kind } of watch) {
      assert.equal(kind, "created");
      break;
    }
  }
});

test("more watches than the server allows are refused", async () => {
  const watches = await Promise.all(Array.from({ length: 16 }, () => client.watch()));
  await assert.rejects(client.watch(), { code: "LIMIT" });
  await Promise.all(watches.map((watch) => watch.close()));
});

test("a namespace of a view or of the call is watched", async () => {
  const [one, two] = [await client.withNamespace("shop").watch(), await client.watch({}, { namespace: "shop" })];
  await client.session.create({ id: "elsewhere" });
  await client.session.create({ id: "here" }, { namespace: "shop" });
  for (const watch of [one, two]) {
    assert.equal((await watch.next()).value.id, "here");
    await watch.close();
  }
});

test("events that find no room are counted and told as one", async () => {
  const watch = await client.watch({ kinds: "created" }, { maxEvents: 3 });
  for (let i = 0; i < 10; i++) await client.session.create();
  // The last events may come behind the last answer, so how many are left out is not always the same.
  let [seq, missed] = [0, 0];
  while (seq < 10) {
    const { value } = await watch.next();
    if (value.kind === "lagged") missed += value.missed;
    assert.equal(value.seq, seq + (value.missed ?? 1));
    seq = value.seq;
  }
  assert.ok(missed >= 4 && missed <= 7, `${missed}`);
  await watch.close();
  await assert.rejects(client.watch({}, { maxEvents: 0 }), { code: "ARGUMENT" });
});

test("a signal ends a watch with its reason, a client that closes without one", async () => {
  const controller = new AbortController();
  const watch = await client.watch({}, { signal: controller.signal });
  const next = watch.next();
  controller.abort(new Error("enough"));
  await assert.rejects(next, { message: "enough" });
  assert.equal((await watch.next()).done, true);
  await assert.rejects(client.watch({}, { signal: AbortSignal.abort() }), { name: "AbortError" });
  const other = await open(server);
  const last = (await other.watch()).next();
  await other.close();
  assert.equal((await last).done, true);
});

test("a watch goes on after its server was started again, and says so", async () => {
  let mortal = await Sessiond.start();
  const { port } = mortal;
  const other = await open(mortal, { reconnectMaxMs: 50 });
  const watch = await other.watch({ kinds: ["created"] });
  await other.session.create({ id: "a" });
  assert.equal((await watch.next()).value.id, "a");
  for (let round = 0; round < 2; round++) {
    const next = watch.next(); // waits through the restart, with no call that would connect
    await mortal.end("SIGKILL");
    mortal = await Sessiond.start({ port });
    assert.deepEqual((await next).value, { kind: "resumed", seq: 0 });
    await other.session.create({ id: `b${round}` });
    const { value } = await watch.next();
    assert.deepEqual([value.id, value.seq], [`b${round}`, 1]);
  }
  await watch.close();
  await other.close();
  await mortal.end();
});

test("a watch that the server does not take again throws the reason", async () => {
  const fake = await Fake.start((socket, count) =>
    messages(socket, ({ reply }) =>
      count === 1 ? reply(null, { watch: 1 }) : reply({ code: "LIMIT", message: "No more." }, null),
    ),
  );
  const other = new Client({ url: fake.url, reconnectMinMs: 1, ...patient });
  const watch = await other.watch();
  const next = watch.next();
  for (const socket of fake.sockets) socket.destroy();
  await assert.rejects(next, { code: "LIMIT" });
  assert.equal((await watch.next()).done, true);
  other.destroy();
  await fake.stop();
});

test("an event behind the answer in one packet is not lost, and one of nobody's is passed over", async () => {
  const event = (watch, seq) =>
    encode([2, "event", [{ watch, seq, kind: "created", id: `s${seq}`, at: 1, version: 1 }]]);
  const fake = await Fake.start((socket) =>
    messages(socket, ({ msgid }) =>
      socket.write(Buffer.concat([encode([1, msgid, null, { watch: 3 }]), event(9, 1), event(3, 1), event(3, 2)])),
    ),
  );
  const other = new Client({ url: fake.url, ...patient });
  const watch = await other.watch();
  assert.deepEqual(
    (await take(watch, 2)).map(({ id }) => id),
    ["s1", "s2"],
  );
  other.destroy();
  await fake.stop();
});
