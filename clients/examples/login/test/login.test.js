// The app as its users have it: two browsers, processes of their own, and a sessiond that is killed under it.
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import os from "node:os";
import path from "node:path";
import { after, afterEach, before, test } from "node:test";
import { chromium } from "playwright-core";
import { Sessiond } from "../../../node/test/support/sessiond.js";
import { createApp } from "../app.js";
import { hashPassword } from "../passwords.js";

const WINDOWS_FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";
const PASSWORDS = { ann: "apple", bob: "berry" };

const folder = mkdtempSync(path.join(os.tmpdir(), "sessiond-login-"));
const browsers = [];
const contexts = [];
let server, client, listener, address;
/** What the slow page waits for. */
let makeReport = async () => {};

async function startServer(port) {
  server = await Sessiond.start({ port, options: ["--data-dir", folder, "--durability", "always"] });
}

before(async () => {
  await startServer(0);
  const users = new Map();
  for (const [name, password] of Object.entries(PASSWORDS))
    users.set(name, { passwordHash: await hashPassword(password) });
  const made = await createApp({ url: server.url("login"), users, makeReport: () => makeReport() });
  client = made.client;
  listener = made.app.listen(0, "127.0.0.1");
  await once(listener, "listening");
  address = `http://127.0.0.1:${listener.address().port}`;
  // Chromium refuses to sandbox its pages for root.
  const args = process.getuid?.() === 0 ? ["--no-sandbox"] : [];
  for (let i = 0; i < 2; i++) browsers.push(await chromium.launch({ executablePath: process.env.CHROMIUM, args }));
});

after(async () => {
  await Promise.all(browsers.map((browser) => browser.close()));
  listener?.close();
  listener?.closeAllConnections();
  client?.destroy();
  await server?.end();
  rmSync(folder, { recursive: true, force: true });
});

afterEach(async () => {
  await Promise.all(contexts.splice(0).map((context) => context.close()));
  await client.session.clear();
  makeReport = async () => {};
});

/** A page in the browser of this number, with cookies of its own. */
async function open(number, options = {}) {
  const context = await browsers[number].newContext(options);
  contexts.push(context);
  return context.newPage();
}

async function signIn(page, name, password = PASSWORDS[name]) {
  await page.goto(`${address}/sign-in`);
  await page.getByLabel("Name").fill(name);
  await page.getByLabel("Password").fill(password);
  await page.getByRole("button", { name: "Sign in" }).click();
}

async function click(page, name) {
  await page.getByRole("button", { name, exact: true }).click();
}

/** A row for each session in the list: device, whether it is this one, and how much is in its cart. */
async function listOf(page) {
  const rows = await page.locator("#sessions tbody tr").allInnerTexts();
  return rows.map((row) => {
    const [device, , , count] = row.split("\t").map((cell) => cell.trim());
    return { device: device.replace(/\s*this one$/, ""), isOwn: /this one$/.test(device), count: Number(count) };
  });
}

async function titleOf(page) {
  return page.locator("h1").innerText();
}

test("two browsers sign in, see each other, and one logs both out", async () => {
  const [first, second] = [await open(0), await open(1, { userAgent: WINDOWS_FIREFOX })];
  await signIn(first, "ann");
  await signIn(second, "ann");
  assert.equal(await titleOf(second), "Hello, ann");
  await click(second, "Add Apples");
  await click(second, "Add Apples");
  await click(second, "Add Bread");
  assert.deepEqual(await second.locator("#cart li").allInnerTexts(), ["Apples 2", "Bread 1"]);

  await first.goto(address);
  assert.deepEqual(await first.locator("#cart li").allInnerTexts(), [], "a cart belongs to one session");
  assert.deepEqual(await listOf(first), [
    { device: "Firefox on Windows", isOwn: false, count: 3 },
    { device: "Chrome on Linux", isOwn: true, count: 0 },
  ]);
  assert.deepEqual(
    (await listOf(second)).map(({ device, isOwn }) => [device, isOwn]),
    [
      ["Firefox on Windows", true],
      ["Chrome on Linux", false],
    ],
  );

  await click(first, "Log out everywhere");
  assert.equal(await titleOf(first), "Sign in");
  await click(second, "Add Coffee");
  assert.equal(await titleOf(second), "Sign in");
  assert.equal(await client.session.count({ user: "ann" }), 0);
});

test("one session of the list is logged out, the others stay", async () => {
  const [first, second, bob] = [await open(0), await open(1, { userAgent: WINDOWS_FIREFOX }), await open(1)];
  await signIn(first, "ann");
  await signIn(second, "ann");
  await signIn(bob, "bob");
  await first.goto(address);
  await first.locator("#sessions").getByRole("button", { name: "Log out", exact: true }).click();
  assert.deepEqual(await listOf(first), [{ device: "Chrome on Linux", isOwn: true, count: 0 }]);
  await second.goto(address);
  assert.equal(await titleOf(second), "Sign in");

  await click(first, "Log out everywhere");
  await bob.goto(address);
  assert.equal(await titleOf(bob), "Hello, bob");
  await bob.locator("header").getByRole("button", { name: "Log out" }).click();
  assert.equal(await titleOf(bob), "Sign in");
});

test("a slow request that was under way at the logout does not bring its session back", async () => {
  const [first, second] = [await open(0), await open(1)];
  await signIn(first, "ann");
  await signIn(second, "ann");
  const begun = new Promise((resolve) => {
    makeReport = () => new Promise((finish) => resolve(finish));
  });
  const clicked = click(second, "Make a report");
  const finish = await begun;
  await click(first, "Log out everywhere");
  assert.equal(await titleOf(first), "Sign in");
  finish();
  await clicked;
  await second.waitForURL(`${address}/report`);
  assert.equal(await titleOf(second), "The report is ready");
  assert.equal(await client.session.count({ user: "ann" }), 0);
  await second.getByRole("link", { name: "Back" }).click();
  assert.equal(await titleOf(second), "Sign in");
});

test("whoever is signed in stays so when sessiond is killed and started again", async () => {
  const [first, second] = [await open(0), await open(1)];
  await signIn(first, "ann");
  await signIn(second, "ann");
  await click(first, "Add Coffee");
  const views = Number(await first.locator("#views").innerText());
  const { port } = server;
  await server.end("SIGKILL");
  const answer = await first.goto(address);
  assert.equal(answer.status(), 503);
  assert.match(await first.locator("main").innerText(), /cannot be reached/);

  await startServer(port);
  await first.goto(address);
  assert.equal(await titleOf(first), "Hello, ann");
  assert.deepEqual(await first.locator("#cart li").allInnerTexts(), ["Coffee 1"]);
  assert.equal(Number(await first.locator("#views").innerText()), views + 1);
  assert.equal((await listOf(first)).length, 2);

  await click(first, "Log out everywhere");
  await server.end("SIGKILL");
  await startServer(port);
  await second.goto(address);
  assert.equal(await titleOf(second), "Sign in", "a logout outlasts a crash, too");
});

test("views and clicks that come at once are all counted", async () => {
  const page = await open(0);
  await signIn(page, "ann");
  const before = Number(await page.locator("#views").innerText());
  const formToken = await page.locator("[name=formToken]").first().inputValue();
  const form = { formToken, product: "Bread" };
  const cart = () => page.request.post(`${address}/cart`, { form, maxRedirects: 0 });
  const home = () => page.request.get(address);
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 ? cart() : home())));
  assert.deepEqual(new Set(answers.map((answer) => answer.status())), new Set([200, 303]));
  await page.reload();
  assert.equal(Number(await page.locator("#views").innerText()), before + 11);
  assert.deepEqual(await page.locator("#cart li").allInnerTexts(), ["Bread 10"]);
});

test("a wrong password, an unknown name and a form of somebody else's are refused", async () => {
  const page = await open(0);
  for (const [name, password] of [
    ["ann", "berry"],
    ["<b>eve</b>", "apple"],
  ]) {
    await signIn(page, name, password);
    assert.match(await page.getByRole("alert").innerText(), /not the name and password/);
    assert.equal(await page.getByLabel("Name").inputValue(), name);
  }
  await signIn(page, "ann");
  const forged = await page.request.post(`${address}/cart`, { form: { product: "Apples", formToken: "guessed" } });
  assert.equal(forged.status(), 403);
  await page.reload();
  assert.deepEqual(await page.locator("#cart li").allInnerTexts(), []);
  const [cookie] = (await page.context().cookies()).filter(({ name }) => name === "login.sid");
  assert.deepEqual([cookie.httpOnly, cookie.sameSite], [true, "Lax"]);
});

test("the login gives the session a new id, and the old one stays signed out", async () => {
  const page = await open(0);
  await page.goto(`${address}/sign-in`);
  const [before] = await page.context().cookies();
  await signIn(page, "ann");
  const [now] = await page.context().cookies();
  assert.notEqual(now.value, before.value);
  const fixated = await open(1);
  await fixated.context().addCookies([before]);
  await fixated.goto(address);
  assert.equal(await titleOf(fixated), "Sign in");
});
