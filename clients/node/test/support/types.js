// Whether a TypeScript program compiles, as strictly as its users may have it.
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";

const compiler = fileURLToPath(import.meta.resolve("typescript/package.json")).replace("package.json", "bin/tsc");
const flags = ["--ignoreConfig", "--noEmit", "--strict", "--skipLibCheck", "--target", "es2022", "--types", "node"];
const libraries = ["--lib", "es2023,dom,esnext.disposable", "--module", "nodenext"];

/** Compiles `file` of test/adapters, with the packages that are installed there. */
export function assertCompiles(file) {
  const cwd = fileURLToPath(new URL("../adapters", import.meta.url));
  const args = [compiler, ...flags, ...libraries, file];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd, encoding: "utf8", timeout: 120_000 });
  assert.deepEqual([status, stdout, stderr], [0, "", ""]);
}
