// What a store under express-session loses, and what it costs:
//
//   express.js [--rounds N] [--duration-ms N] [--connections N] [--race-rounds N]
//
// prints the races, and then what one app answers in a second, each store in turn in each round. On a machine that does
// something else at the same time only the ratios mean anything.
import { fork } from "node:child_process";
import { once } from "node:events";
import { readFileSync, readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { Browser } from "../test/support/express.js";
import { RACE_NAMES, playRaces } from "./races.js";
import { STORES } from "./stores.js";

const NAMES = Object.keys(STORES);
const PATHS = { read: "a page that reads its session", write: "a page that changes its session" };
const WARMUP_MS = 500;

const options = Object.fromEntries(
  Object.entries(
    parseArgs({
      options: {
        rounds: { type: "string", default: "7" },
        "duration-ms": { type: "string", default: "1500" },
        connections: { type: "string", default: "32" },
        "race-rounds": { type: "string", default: "100" },
      },
    }).values,
  ).map(([name, value]) => [name, atLeastOne(name, value)]),
);

function atLeastOne(name, text) {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1) return value;
  console.error(`--${name} is "${text}"; give a whole number from 1 on.`);
  process.exit(2);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)];
}

/** Rows of a Markdown table, with columns as wide as they need to be. */
function print(rows) {
  const widths = rows[0].map((_, column) => Math.max(...rows.map((row) => row[column].length)));
  const line = (cells) => console.log(`| ${cells.map((cell, column) => cell.padEnd(widths[column])).join(" | ")} |`);
  line(rows[0]);
  console.log(`|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`);
  rows.slice(1).forEach(line);
}

/** Nanoseconds that a process was on a processor, all its threads together; 0 without a process. */
function cpuOf(pid) {
  if (pid === undefined) return 0;
  const files = readdirSync(`/proc/${pid}/task`).map((thread) => `/proc/${pid}/task/${thread}/schedstat`);
  return files.reduce((sum, file) => sum + Number(readFileSync(file, "utf8").split(" ")[0]), 0);
}

/** What a child says next. Rejects where it ends instead. */
async function hear(child) {
  const settled = new AbortController();
  const { signal } = settled;
  const ended = once(child, "exit", { signal }).then(() => {
    throw new Error(`the process of ${child.spawnargs.slice(1).join(" ")} ended`);
  });
  try {
    const [message] = await Promise.race([once(child, "message", { signal }), ended]);
    if (message.error) throw new Error(message.error);
    return message;
  } finally {
    ended.catch(() => {});
    settled.abort();
  }
}

function ask(child, message) {
  child.send(message);
  return hear(child);
}

async function printRaces(servers) {
  const rounds = options["race-rounds"];
  console.log(`Rounds of ${rounds} that lost something:\n`);
  const lost = {};
  for (const name of NAMES) {
    const { store, close } = await STORES[name].open(servers[name].url);
    lost[name] = await playRaces(store, rounds);
    await close();
  }
  print([["", ...NAMES], ...RACE_NAMES.map((race) => [race, ...NAMES.map((name) => `${lost[name][race] ?? "-"}`)])]);
}

/** An app process with a store, and as many signed-in browsers as there are connections. */
async function startApp(name, url) {
  const child = fork(new URL("app.js", import.meta.url), [name, url ?? ""]);
  const { port } = await hear(child);
  const cookies = [];
  for (let i = 0; i < options.connections; i++) {
    const browser = new Browser(`http://127.0.0.1:${port}`);
    await browser.get("login");
    cookies.push([...browser.cookies].map(([key, value]) => `${key}=${value}`).join("; "));
  }
  return { child, port, cookies };
}

async function measure(load, app, server, path, duration_ms) {
  const before = { app: await ask(app.child, "cpu"), server: cpuOf(server.pid) };
  const answer = await ask(load, { port: app.port, path: `/${path}`, cookies: app.cookies, duration_ms });
  const after = { app: await ask(app.child, "cpu"), server: cpuOf(server.pid) };
  return {
    rate: (answer.count / answer.elapsed_ms) * 1000,
    p50_ms: answer.p50_ms,
    p99_ms: answer.p99_ms,
    app_us: (after.app.cpu_us - before.app.cpu_us) / answer.count,
    server_us: (after.server - before.server) / 1000 / answer.count,
  };
}

/** Rounds of all stores and paths, each with another store first. */
async function measureAll(load, apps, servers) {
  const forEach = (names, make) => Object.fromEntries(names.map((name) => [name, make()]));
  const found = forEach(Object.keys(PATHS), () => forEach(NAMES, () => []));
  for (let round = -1; round < options.rounds; round++)
    for (const path of Object.keys(PATHS))
      for (let turn = 0; turn < NAMES.length; turn++) {
        const name = NAMES[(turn + round + NAMES.length) % NAMES.length];
        // The round before the first one warms up.
        const duration_ms = round < 0 ? Math.min(WARMUP_MS, options["duration-ms"]) : options["duration-ms"];
        const figures = await measure(load, apps[name], servers[name], path, duration_ms);
        if (round >= 0) found[path][name].push(figures);
      }
  return found;
}

function printLoad(found) {
  const { rounds, connections } = options;
  console.log(`\nAn Express app, ${connections} connections with a session each, medians of ${rounds} rounds;`);
  console.log("CPU time is in microseconds for a request, the ratio that of requests to connect-redis':\n");
  const rows = [["", "store", "requests/s", "p50 ms", "p99 ms", "app CPU", "store's server CPU", "ratio"]];
  for (const [path, label] of Object.entries(PATHS))
    for (const name of NAMES) {
      const of = (key) => median(found[path][name].map((figures) => figures[key]));
      // Of the same round, so that what else the machine did bears on both.
      const ratio = median(found[path][name].map(({ rate }, round) => rate / found[path]["connect-redis"][round].rate));
      const server = of("server_us");
      rows.push([
        label,
        name,
        Math.round(of("rate")).toLocaleString("en"),
        of("p50_ms").toFixed(2),
        of("p99_ms").toFixed(2),
        of("app_us").toFixed(0),
        server === 0 ? "-" : server.toFixed(1),
        ratio.toFixed(2),
      ]);
    }
  print(rows);
}

const servers = {};
const apps = {};
const load = fork(new URL("load.js", import.meta.url));
try {
  for (const name of NAMES) servers[name] = await STORES[name].start();
  await printRaces(servers);
  for (const name of NAMES) apps[name] = await startApp(name, servers[name].url);
  printLoad(await measureAll(load, apps, servers));
} finally {
  // An app that has lost its parent ends by itself, and closes its store before.
  for (const child of [load, ...Object.values(apps).map((app) => app.child)]) {
    if (child.exitCode !== null || child.signalCode !== null) continue;
    child.disconnect();
    await once(child, "exit");
  }
  for (const server of Object.values(servers)) await server.end();
}
