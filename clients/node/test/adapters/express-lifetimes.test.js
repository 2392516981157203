// How long the store keeps a session: the lifetimes of cookie, ttl and namespace, touches, and the time that requests take.
import assert from "node:assert/strict";
import { test } from "node:test";
import { session } from "../support/express.js";
import { storeWith, inOneMoment, sessionWith } from "../support/stores.js";

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

test("the time that a request takes is no change of its session's lifetime, with a serializer neither", async () => {
  for (const serializer of [undefined, { stringify: JSON.stringify, parse: JSON.parse }]) {
    const store = storeWith({ serializer });
    for (const method of ["set", "touch"]) {
      await store.set("a", sessionWith({}, { maxAge: 60_000 }));
      const slow = await store.get("a");
      const other = await store.get("a");
      other.cookie = new session.Cookie({ maxAge: 900_000 });
      await store.set("a", other);
      // When it is saved for the second time, what it loaded would have expired.
      for (const later_ms of [30_000, 70_000]) {
        slow.value = later_ms;
        await inOneMoment(() => store[method]("a", slow), later_ms);
        assert.equal((await store.operations.session.get("a")).idle_timeout_ms, 900_000);
      }
      assert.equal((await store.get("a")).cookie.originalMaxAge, 900_000);
    }
  }
});

test("lifetimes: the cookie's, ttl as a number, as a function, none, and the namespace's", async () => {
  const lifetimeWith = async (options, cookie = {}) => {
    const store = storeWith(options);
    await inOneMoment(() => store.set("a", sessionWith({ n: 3 }, cookie)));
    return (await store.operations.session.get("a")).idle_timeout_ms;
  };
  const day = 86_400_000;
  assert.equal(await lifetimeWith({}), day);
  assert.equal(await lifetimeWith({}, { maxAge: 60_000 }), 60_000);
  // A cookie that was renewed a moment ago has not become shorter; one that was not has.
  for (const [passed, kept] of [
    [50, 600_000],
    [51, 599_949],
  ]) {
    const store = storeWith();
    await inOneMoment(() => {
      const expires = new Date(Date.now() + 600_000 - passed);
      return store.set("a", { cookie: { originalMaxAge: 600_000, expires } });
    });
    assert.equal((await store.operations.session.get("a")).idle_timeout_ms, kept);
  }
  assert.equal(await lifetimeWith({ ttl: 30 }), 30_000);
  assert.equal(await lifetimeWith({ ttl: 0.25 }), 250);
  assert.equal(await lifetimeWith({ ttl: 30 }, { maxAge: 60_000 }), 60_000);
  assert.equal(await lifetimeWith({ ttl: (each) => each.n }, { maxAge: 60_000 }), 3_000);
  assert.equal(await lifetimeWith({ disableTTL: true }, { maxAge: 60_000 }), 0);
  assert.equal(await lifetimeWith({}, { maxAge: 1e15 }), 315_576_000_000);
  const store = storeWith();
  await store.operations.namespace.configure({ idle_timeout_ms: 5_000 });
  await store.set("a", sessionWith({}));
  assert.equal((await store.operations.session.get("a")).idle_timeout_ms, 5_000);
  const over = storeWith({ ttl: (each) => each.rest });
  await over.set("a", sessionWith({ rest: 0 }));
  assert.equal(await over.get("a"), undefined);
  await over.set("b", sessionWith({ rest: 10 }));
  await over.set("b", Object.assign(await over.get("b"), { rest: -1 }));
  assert.equal(await over.get("b"), undefined);
  await assert.rejects(over.set("c", sessionWith({ rest: "soon" })), { code: "ARGUMENT", message: /ttl/ });
});

test("lifetimes of 5 and 10 ms end to the millisecond", async () => {
  const store = storeWith();
  for (const maxAge of [5, 10]) {
    await inOneMoment(() => store.set(`a${maxAge}`, sessionWith({}, { maxAge })));
    const { expires_at, last_active_at } = await store.operations.session.get(`a${maxAge}`, { include_dead: true });
    assert.equal(expires_at - last_active_at, maxAge);
    await sleep(20);
    assert.equal(await store.get(`a${maxAge}`), undefined);
  }
  await store.set("over", sessionWith({}, { maxAge: 0 }));
  assert.equal(await store.get("over"), undefined);
  assert.equal(await store.length(), 0);
});

test("touch carries a changed maxAge, and what was loaded has the moment of its end", async () => {
  const store = storeWith();
  await inOneMoment(() => store.set("a", sessionWith({ n: 1 }, { maxAge: 60_000 })));
  const loaded = await store.get("a");
  const record = await store.operations.session.get("a");
  assert.equal(new Date(loaded.cookie.expires).getTime(), record.expires_at);
  assert.equal(loaded.cookie.originalMaxAge, 60_000);
  await inOneMoment(() => store.touch("a", sessionWith({}, { maxAge: 120_000 })));
  const after_ = await store.operations.session.get("a");
  assert.equal(after_.idle_timeout_ms, 120_000);
  assert.equal(after_.meta.cookie.originalMaxAge, 120_000);
  assert.deepEqual(after_.data, { n: 1 });
  // The cookie loses its end: the session lives as long as the namespace says again.
  const shortened = await store.get("a");
  Object.assign(shortened.cookie, { originalMaxAge: null, expires: null });
  await store.set("a", shortened);
  assert.equal((await store.operations.session.get("a")).idle_timeout_ms, 86_400_000);
  assert.equal((await store.get("a")).cookie.expires, null);
});

test("a touch that changes nothing changes no version; disableTouch and disableTTL send none", async () => {
  for (const options of [{}, { disableTouch: true }, { disableTTL: true }]) {
    const store = storeWith(options);
    await inOneMoment(() => store.set("a", sessionWith({}, { maxAge: 60_000 })));
    const before_ = await store.operations.session.get("a");
    await sleep(5);
    const loaded = await store.get("a");
    await inOneMoment(() => {
      loaded.cookie.expires = new Date(Date.now() + 60_000);
      return store.touch("a", loaded);
    });
    const after_ = await store.operations.session.get("a");
    assert.equal(after_.version, before_.version);
    assert.equal(after_.last_active_at > before_.last_active_at, Object.keys(options).length === 0);
  }
});
