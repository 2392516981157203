// Crawls of four processes, each with Crawlee's real HttpCrawler, against a site that blocks an identity after N uses.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { Sessiond, open } from "../support/sessiond.js";

const PROCESSES = 4;
const worker = new URL("./crawlee-worker.js", import.meta.url);
const folder = mkdtempSync(path.join(tmpdir(), "crawlee-crawl-"));
let server;
before(async () => (server = await Sessiond.start()));
after(async () => {
  await server?.end();
  rmSync(folder, { recursive: true, force: true });
});

/** A site that knows identities by a header, and answers 403 to those that were used more than `usesMax` times. */
class Site {
  static async start(usesMax) {
    const site = new Site();
    site.usesMax = usesMax;
    site.uses = new Map();
    site.processes = new Map();
    site.cookies = new Map();
    site.travelled = 0;
    site.strangers = [];
    site.served = 0;
    site.server = createServer((request, response) => site.answer(request, response));
    await new Promise((resolve) => site.server.listen(0, "127.0.0.1", resolve));
    site.url = `http://127.0.0.1:${site.server.address().port}`;
    return site;
  }

  answer(request, response) {
    const { "x-identity": identity, "x-process": from, cookie = "" } = request.headers;
    const uses = (this.uses.get(identity) ?? 0) + 1;
    this.uses.set(identity, uses);
    this.processes.set(identity, new Set([...(this.processes.get(identity) ?? []), from]));
    this.look(identity, from, cookie);
    const cookies = [`by${from}=1; Path=/`];
    if (!cookie.includes("visitor=")) cookies.push(`visitor=${identity}-${from}; Path=/; HttpOnly`);
    const isBlocked = uses > this.usesMax;
    if (!isBlocked) this.served++;
    setTimeout(
      () => {
        response.writeHead(isBlocked ? 403 : 200, { "content-type": "text/html", "set-cookie": cookies });
        response.end("<p>page</p>");
      },
      5 + Math.random() * 15,
    );
  }

  /** Whose cookies an identity comes with. */
  look(identity, from, cookie) {
    const visitor = /visitor=(\w+)-(\d)/.exec(cookie);
    if (!visitor) return;
    if (visitor[1] !== identity) this.strangers.push(`${identity} came with the cookie of ${visitor[1]}`);
    if (visitor[2] !== from) this.travelled++;
  }

  get overshoot() {
    return [...this.uses.values()].reduce((sum, uses) => sum + Math.max(0, uses - this.usesMax), 0);
  }

  stop() {
    this.server.closeAllConnections();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** Runs all processes to their end. */
async function crawl(options) {
  const runs = Array.from({ length: PROCESSES }, async (_, number) => {
    const process_ = spawn(process.execPath, [worker.pathname], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, CRAWLEE_STORAGE_DIR: folder, CRAWL: JSON.stringify({ ...options, number }) },
    });
    const patience = setTimeout(() => process_.kill("SIGKILL"), 240_000);
    let text = "";
    for await (const piece of process_.stdout) text += piece;
    clearTimeout(patience);
    assert.ok(text, `process ${number} did not end its crawl`);
    return JSON.parse(text.trim().split("\n").at(-1));
  });
  return Promise.all(runs);
}

const total = (results, name) => results.reduce((sum, result) => sum + result[name], 0);

test("accounts that a site blocks after 3 uses: the processes' own pools overshoot, sessiond's does not", async (t) => {
  const accounts = Array.from({ length: 32 }, (_, i) => `account${i}`);
  const crawlOf = async (url) => {
    const site = await Site.start(3);
    t.after(() => site.stop());
    const options = { url, pool: "accounts", site: site.url, pages: 22, accounts, maxUsageCount: 3 };
    return [site, await crawl(options)];
  };
  const [shared, sharedResults] = await crawlOf(server.url("crawlee"));
  const [own, ownResults] = await crawlOf(undefined);
  for (const [name, site, results] of [
    ["sessiond", shared, sharedResults],
    ["own pools", own, ownResults],
  ])
    t.diagnostic(
      `${name}: overshoot ${site.overshoot}, served ${site.served}, finished ${total(results, "requestsFinished")} of 88, uses ${[...site.uses.values()].join(" ")}`,
    );
  assert.equal(total(sharedResults, "requestsFinished"), 88);
  assert.equal(shared.overshoot, 0);
  // Each process begins with the same 22 accounts.
  assert.ok(own.overshoot >= 22, "without a shared pool the site blocks; else this crawl shows nothing");
  assert.deepEqual(shared.strangers, []);
  assert.ok(shared.travelled > 0, "no cookie of one process was sent by another");

  // Each process's cookie is in the jar of each account that the process used.
  const client = await open(server, { namespace: "crawlee" });
  t.after(() => client.close());
  for (const [id, processes] of shared.processes) {
    const { meta, usage_count } = await client.session.get(id, { include_dead: true });
    const names = Object.values(meta).map((cookie) => cookie.key);
    assert.deepEqual(names.filter((name) => name.startsWith("by")).sort(), [...processes].map((p) => `by${p}`).sort());
    assert.ok(names.includes("visitor"));
    assert.ok(usage_count >= shared.uses.get(id));
  }
});

test("identities that a site blocks early are retired for all processes, and none is handed out after that", async (t) => {
  const site = await Site.start(4);
  t.after(() => site.stop());
  const client = await open(server, { namespace: "crawlee" });
  t.after(() => client.close());
  const watch = await client.watch({ pool: "early", kinds: ["retired"] });
  const retiredAt = new Map();
  (async () => {
    for await (const { id, at } of watch) retiredAt.set(id, at);
  })();
  const options = {
    url: server.url("crawlee"),
    pool: "early",
    site: site.url,
    pages: 25,
    maxUsageCount: 50,
    maxPoolSize: 6,
  };
  const results = await crawl(options);
  assert.equal(total(results, "requestsFinished"), 100);
  const { sessions } = await client.pool.state("early");
  const retired = sessions.filter(({ retired }) => retired);
  t.diagnostic(
    `retired ${retired.length}, blocked answers ${site.overshoot}, uses ${[...site.uses.values()].join(" ")}`,
  );
  assert.ok(retired.length >= 10);
  for (const { id, last_used_at } of retired) {
    assert.ok(retiredAt.has(id), "a session was retired and no event told of it");
    assert.ok(last_used_at <= retiredAt.get(id), `${id} was handed out after it was retired`);
  }
  // What was in flight when the site began to block is all that a site sees of it then.
  for (const [id, uses] of site.uses) assert.ok(uses <= 4 + PROCESSES * 5, `${id} was used ${uses} times`);
});

test("a server that is killed and started again in the middle: the crawl ends, and no limit is exceeded", async (t) => {
  const options = [`--data-dir=${path.join(folder, "data")}`, "--durability=always"];
  let durable = await Sessiond.start({ options });
  const { port } = durable;
  t.after(() => durable.end());
  const site = await Site.start(7);
  t.after(() => site.stop());
  const crawling = crawl({
    url: durable.url("crawlee"),
    pool: "killed",
    site: site.url,
    pages: 60,
    maxUsageCount: 7,
    maxPoolSize: 10,
  });
  let kills = 0;
  const killing = (async () => {
    for (const served of [40, 120]) {
      while (site.served < served) await sleep(2);
      await durable.end("SIGKILL");
      await sleep(400);
      durable = await Sessiond.start({ port, options });
      kills++;
    }
  })();
  const results = await crawling;
  await killing;
  t.diagnostic(
    `kills ${kills}, served ${site.served}, identities ${site.uses.size}, lost ${total(results, "lostCount")}`,
  );
  assert.equal(kills, 2);
  assert.equal(total(results, "requestsFinished"), 240);
  assert.equal(site.overshoot, 0);
  assert.equal(total(results, "lostCount"), 0);
});
