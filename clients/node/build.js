// Compiles src into dist/esm and dist/cjs. The folders say in a package.json of their own which of the two they are, and
// in here.js where they are: no expression for that is right in both.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const compilerPackage = createRequire(import.meta.url).resolve("typescript/package.json");
const compiler = path.join(path.dirname(compilerPackage), "bin", "tsc");

rmSync(path.join(here, "dist"), { recursive: true, force: true });
for (const [project, folder, type, where] of [
  ["tsconfig.json", "esm", "module", "export const here = import.meta.url;"],
  ["tsconfig.cjs.json", "cjs", "commonjs", 'exports.here = require("node:url").pathToFileURL(__filename).href;'],
]) {
  const { status } = spawnSync(process.execPath, [compiler, "-p", project], { cwd: here, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  mkdirSync(path.join(here, "dist", folder), { recursive: true });
  writeFileSync(path.join(here, "dist", folder, "package.json"), JSON.stringify({ type }) + "\n");
  writeFileSync(path.join(here, "dist", folder, "here.js"), where + "\n");
}
