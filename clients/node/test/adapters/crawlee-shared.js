// One sessiond for all tests of a file, and pools on it beside Crawlee's own.
import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { log, SessionPool } from "@crawlee/basic";
import { SessiondSessionPool } from "sessiond/crawlee";
import { CookieJar } from "tough-cookie";
import { Sessiond, open } from "../support/sessiond.js";

const folder = mkdtempSync(path.join(tmpdir(), "crawlee-"));
export let server;
export let client;
let count = 0;
before(async () => {
  log.setLevel(log.LEVELS.OFF);
  process.env.CRAWLEE_STORAGE_DIR = folder;
  server = await Sessiond.start();
  client = await open(server, { namespace: "crawlee" });
});
after(async () => {
  await client?.close();
  await server?.end();
  rmSync(folder, { recursive: true, force: true });
});

export const newName = () => `pool${++count}`;
export const optionsFor = (pool, more = {}) => ({
  url: server.url("crawlee"),
  pool,
  timeoutMs: 20_000,
  connectTimeoutMs: 10_000,
  CookieJar,
  ...more,
});

/** A pool that is torn down with the test. */
export async function openPool(t, more = {}, pool = newName()) {
  const opened = await SessiondSessionPool.open(optionsFor(pool, more));
  t.after(() => opened.teardown());
  return opened;
}

/** Crawlee's own pool, and one of sessiond with the same options. */
export async function both(t, options = {}) {
  const own = await SessionPool.open({ ...options, persistenceOptions: { enable: false } });
  return [own, await openPool(t, options)];
}

/** A client of which only the calls are a test's own. */
export const clientOf = (withNamespace) => Object.assign(new EventEmitter(), { withNamespace });

/** What two sessions have in common; usageCount, errorScore and so on. */
export const countersOf = (session) => ({
  usageCount: session.usageCount,
  errorScore: session.errorScore,
  isUsable: session.isUsable(),
  isBlocked: session.isBlocked(),
  isExpired: session.isExpired(),
  isMaxUsageCountReached: session.isMaxUsageCountReached(),
});

export async function until(isTrue, what) {
  for (let i = 0; i < 2000; i++) {
    if (await isTrue()) return;
    await sleep(10);
  }
  assert.fail(`it did not come about that ${what}`);
}
