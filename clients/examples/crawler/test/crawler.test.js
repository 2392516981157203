// The example as its users start it, with a server of the test's.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { connect } from "sessiond";
import { Sessiond } from "../../../node/test/support/sessiond.js";

const folder = new URL("..", import.meta.url).pathname;

async function start(url) {
  const child = spawn(process.execPath, ["main.js"], { cwd: folder, env: { ...process.env, SESSIOND_URL: url } });
  let text = "";
  let errors = "";
  child.stdout.on("data", (data) => (text += data));
  child.stderr.on("data", (data) => (errors += data));
  const [status] = await once(child, "close");
  return { status, text, errors };
}

test("with sessiond no account is used more often than the site allows; with a pool for each process many are", async (t) => {
  const server = await Sessiond.start();
  t.after(() => server.end());
  const { status, text, errors } = await start(server.url("crawler"));
  assert.deepEqual([status, errors], [0, ""]);
  t.diagnostic(text);
  const rows = new Map(
    [...text.matchAll(/^(\S.*?) +(\d+) +(\d+)$/gm)].map(([, name, own, shared]) => [
      name,
      [Number(own), Number(shared)],
    ]),
  );
  const uses = [...rows].filter(([name]) => name.startsWith("account")).map(([, row]) => row);
  assert.equal(uses.length, 32);
  const sum = (column) => uses.reduce((total, row) => total + row[column], 0);
  const overshoot = (column) => uses.reduce((total, row) => total + Math.max(0, row[column] - 3), 0);
  assert.deepEqual(rows.get("pages read"), [88, 88]);
  assert.deepEqual(rows.get("overshoot (above 3 uses)"), [overshoot(0), 0]);
  assert.deepEqual([sum(0), sum(1)], [88 + overshoot(0), 88]);
  assert.ok(overshoot(0) > 0);

  const client = await connect(server.url("crawler"));
  t.after(() => client.close());
  assert.deepEqual(await client.namespace.list(), []);
});

test("without a server it ends with a sentence that says so", async () => {
  const { status, errors } = await start("sessiond://127.0.0.1:1/crawler");
  assert.equal(status, 1);
  assert.match(errors, /127\.0\.0\.1:1 cannot be reached/);
});
