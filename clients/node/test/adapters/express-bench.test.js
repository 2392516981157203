// The comparison of stores, as short as can be: it plays and measures all of them, and what sessiond promises holds.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const bench = fileURLToPath(new URL("../../bench/express.js", import.meta.url));
const hasRedis = spawnSync("redis-server", ["--version"]).status === 0;

test("the comparison with connect-redis runs", { skip: !hasRedis && "redis-server is not installed" }, () => {
  const options = ["--rounds=1", "--duration-ms=200", "--connections=4", "--race-rounds=2"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [bench, ...options], { encoding: "utf8" });
  assert.equal(status, 0, stderr);
  const rows = stdout.split("\n").map((line) => line.split("|").map((cell) => cell.trim()));
  const race = (name) => rows.find((cells) => cells[1] === name)?.slice(2, 5);
  assert.deepEqual(race("logout during a slow request"), ["2", "2", "0"]);
  assert.deepEqual(race("two requests change different keys"), ["2", "2", "0"]);
  assert.deepEqual(race("20 increments, session.views++"), ["2", "2", "2"]);
  assert.deepEqual(race("20 increments, store.increment()"), ["-", "-", "0"]);
  for (const store of ["MemoryStore", "connect-redis", "sessiond"]) {
    const found = rows.filter((cells) => cells.length === 10 && cells[2] === store);
    assert.equal(found.length, 2);
    for (const cells of found) assert.ok(Number(cells[3].replace(",", "")) > 0, cells.join(" "));
  }
});

test("the comparison names the option that it cannot use", () => {
  const { status, stderr } = spawnSync(process.execPath, [bench, "--rounds=none"], { encoding: "utf8" });
  assert.equal(status, 2);
  assert.match(stderr, /--rounds is "none"/);
});
