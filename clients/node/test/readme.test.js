// What README.md shows is what happens, and what there is stands in it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { ERROR_CODES, METHODS } from "sessiond";
import { Sessiond } from "./support/sessiond.js";

const here = fileURLToPath(new URL("..", import.meta.url));
const readme = readFileSync(`${here}README.md`, "utf8");

test("the first program prints what README.md says", async () => {
  const [, program, printed] = /```js\n([^]*?)```\s+prints\s+```\n([^]*?)```/.exec(readme);
  const server = await Sessiond.start();
  const file = `${here}readme-example.mjs`;
  writeFileSync(file, program);
  try {
    const run = spawnSync(process.execPath, [file], {
      encoding: "utf8",
      timeout: 20_000,
      env: { ...process.env, SESSIOND_URL: server.url() },
    });
    assert.deepEqual([run.status, run.stdout, run.stderr], [0, printed, ""]);
  } finally {
    rmSync(file);
    await server.end();
  }
});

test("every operation and every error stands in README.md", () => {
  for (const method of Object.keys(METHODS)) {
    if (method.startsWith("watch.")) continue;
    const name = `\`client.${method.replace(/_(.)/g, (_, letter) => letter.toUpperCase())}(`;
    assert.ok(readme.includes(name), name);
  }
  for (const code of [...ERROR_CODES, "CONNECTION", "TIMEOUT", "PROTOCOL", "URL", "ARGUMENT", "OVERLOADED", "CLOSED"])
    assert.ok(readme.includes(`| ${code} |`), code);
});

test("the types hold what they promise, and refuse what is wrong", () => {
  const compiler = fileURLToPath(import.meta.resolve("typescript/package.json")).replace("package.json", "bin/tsc");
  for (const [module, resolution] of [
    ["nodenext", "nodenext"],
    ["commonjs", "bundler"],
  ]) {
    const args = [
      compiler,
      "--ignoreConfig",
      "--noEmit",
      "--strict",
      "--target",
      "es2022",
      "--lib",
      "es2023,esnext.disposable",
      "--types",
      "node",
      "--module",
      module,
      "--moduleResolution",
      resolution,
      "test/support/usage.ts",
    ];
    const run = spawnSync(process.execPath, args, { cwd: here, encoding: "utf8", timeout: 60_000 });
    assert.deepEqual([run.status, run.stdout, run.stderr], [0, "", ""]);
  }
});
