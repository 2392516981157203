// Crawls a site twice with four processes: with Crawlee's own pool in each, and with one pool of sessiond for all of them.
// Prints how often each account was used. SESSIOND_URL says where the server is.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "sessiond";
import { openSite } from "./site.js";

const PROCESSES = 4;
const PAGES = 22; // of each process
const USES_MAX = 3;
const accounts = Array.from({ length: 32 }, (_, i) => `account${String(i + 1).padStart(2, "0")}`);
const processes = new Set();
let isStopped = false;

// Each run has a namespace of its own, so that the accounts are fresh.
const url = process.env.SESSIOND_URL ?? "sessiond://127.0.0.1:7420/crawler";
const namespace = `crawler-${process.pid}-${Date.now()}`;

async function runProcess(number, site, sessiond) {
  const urls = Array.from({ length: PAGES }, (_, i) => `${site.url}/members/${number * PAGES + i}`);
  const env = { ...process.env, CRAWL: JSON.stringify({ urls, accounts, usesMax: USES_MAX, sessiond }) };
  const child = spawn(process.execPath, [new URL("crawl.js", import.meta.url).pathname], { env, stdio: "inherit" });
  processes.add(child);
  const [code] = await once(child, "exit");
  processes.delete(child);
  if (code !== 0) throw new Error(`Process ${number} did not read all of its pages.`);
}

async function crawl(sessiond) {
  const site = await openSite(USES_MAX);
  try {
    await Promise.all(Array.from({ length: PROCESSES }, (_, number) => runProcess(number, site, sessiond)));
    return site;
  } finally {
    site.close();
  }
}

function print(own, shared) {
  const row = (name, ...values) =>
    console.log(name.padEnd(26) + values.map((value) => String(value).padStart(12)).join(""));
  row("uses of", "own pools", "sessiond");
  for (const account of accounts) row(account, own.usesOf(account), shared.usesOf(account));
  row("pages read", own.counts.served, shared.counts.served);
  row(`overshoot (above ${USES_MAX} uses)`, own.counts.blocked, shared.counts.blocked);
}

for (const signal of ["SIGINT", "SIGTERM"])
  process.once(signal, () => {
    isStopped = true;
    for (const child of processes) child.kill("SIGKILL");
  });

const client = await connect(url);
console.log(
  `${PROCESSES} processes read ${PROCESSES * PAGES} pages with ${accounts.length} accounts, ${USES_MAX} pages each.`,
);
try {
  print(await crawl(undefined), await crawl({ url, namespace, pool: "accounts" }));
} catch (error) {
  if (!isStopped) throw error;
  process.exitCode = 130;
} finally {
  await client.withNamespace(namespace).namespace.drop();
  await client.close();
}
