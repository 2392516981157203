// What a session carries, cookies and userData: as Crawlee keeps it, and merged entry by entry between processes.
import assert from "node:assert/strict";
import { test } from "node:test";
import { client, newName, openPool, both } from "./crawlee-shared.js";

test("cookies are read and set as Crawlee does", async (t) => {
  const seen = [];
  const url = "http://www.example.com/a";
  for (const pool of await both(t)) {
    const session = await pool.getSession();
    session.setCookies(
      [
        { name: "plain", value: "1" },
        { name: "dotted", value: "2", domain: ".example.com", path: "/a", expires: 4_000_000_000, httpOnly: true },
        { name: "foreign", value: "3", domain: "other.example" },
      ],
      url,
    );
    session.setCookie("raw=4; Path=/", url);
    session.setCookiesFromResponse({ url, headers: { "set-cookie": ["from=5", "wrong=6; Domain=other.example", ""] } });
    session.setCookiesFromResponse({ url: () => url, headers: () => ({ "set-cookie": "single=7; Secure" }) });
    session.setCookiesFromResponse({ url, headers: {} });
    const plain = session.getCookies(url).map(({ expires, ...cookie }) => cookie);
    seen.push([plain.sort((a, b) => a.name.localeCompare(b.name)), session.getCookieString(url).split("; ").sort()]);
    assert.throws(() => session.setCookie("x=1; Domain=other.example", url));
  }
  assert.deepEqual(seen[1], seen[0]);
  assert.equal(seen[1][1].length, 4);
});

test("cookies and userData travel with the session, and two processes' changes are merged by entry", async (t) => {
  const name = newName();
  const url = "http://a.example/";
  const [one, two] = [await openPool(t, { maxPoolSize: 1 }, name), await openPool(t, { maxPoolSize: 1 }, name)];
  const first = await one.getSession();
  first.setCookie("login=yes; Path=/", url);
  first.userData.token = "t1";
  first.markGood();
  await one.persistState();
  const second = await two.getSession();
  assert.equal(second.id, first.id);
  assert.equal(second.getCookieString(url), "login=yes");
  assert.equal(second.userData.token, "t1");
  // Both go on at once, each with an older view of the other's cookies.
  first.cookieJar.setCookieSync("from=one; Path=/", url);
  second.cookieJar.setCookieSync("to=two; Path=/", url);
  first.userData.one = 1;
  second.userData.two = [2];
  second.cookieJar.setCookieSync("login=again; Path=/", url);
  first.markGood();
  second.markGood();
  await one.persistState();
  await two.persistState();
  for (const pool of [one, two]) {
    const session = await pool.getSession();
    assert.equal(session.getCookieString(url).split("; ").sort().join("; "), "from=one; login=again; to=two");
    assert.deepEqual(session.userData, { token: "t1", one: 1, two: [2] });
  }
  // What is taken away is taken away for all.
  delete first.userData.token;
  first.cookieJar.store.removeCookie("a.example", "/", "from", () => {});
  first.markGood();
  await one.persistState();
  const again = await two.getSession();
  assert.equal(again.getCookieString(url).split("; ").sort().join("; "), "login=again; to=two");
  assert.deepEqual(again.userData, { one: 1, two: [2] });
});

test("what is changed while the session is being sent is sent behind it", async (t) => {
  const pool = await openPool(t);
  const session = await pool.getSession();
  session.userData.first = 1;
  session.markGood();
  session.userData.second = 2;
  session.markGood();
  await pool.persistState();
  assert.deepEqual((await client.session.get(session.id)).data, { first: 1, second: 2 });
});

test("what another program wrote in the place of a cookie harms nothing", async (t) => {
  const pool = await openPool(t, { maxPoolSize: 1 });
  const { id } = await pool.getSession();
  const good = { key: "good", value: "1", domain: "a.example", path: "/" };
  const set = {
    "cookie a": 5,
    "cookie b": { key: "b" },
    "cookie c": null,
    "cookie d": { ...good, expires: {} },
    proxy: "p",
  };
  await client.session.patch(id, { set, target: "meta" });
  await client.session.patch(id, { set: { "cookie a.example / good": good }, target: "meta" });
  const session = await pool.getSession();
  assert.equal(session.getCookieString("http://a.example/"), "good=1");
  session.setCookie("more=2; Path=/", "http://a.example/");
  session.markGood();
  await pool.persistState();
  const { meta } = await client.session.get(id);
  assert.equal(meta.proxy, "p");
  assert.equal(meta["cookie a.example / more"].value, "2");
});

test("an answer that is older than what was sent since takes nothing back", async (t) => {
  const pool = await openPool(t, { maxPoolSize: 1 });
  const url = "http://a.example/";
  const session = await pool.getSession();
  for (let i = 0; i < 50; i++) {
    const asked = [pool.getSession(), pool.getSession()];
    session.setCookie(`n=${i}; Path=/`, url);
    session.userData.n = i;
    if (i % 2) session.markGood();
    await Promise.all(asked);
    assert.equal(session.getCookieString(url), `n=${i}`);
    assert.equal(session.userData.n, i);
    if (!session.isUsable()) break;
  }
});
