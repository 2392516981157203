// Compiles src into dist/esm and dist/cjs. The folders say in a package.json of their own which of the two they are.
import { spawnSync } from "node:child_process";
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import path from "node:path";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const compilerPackage = createRequire(import.meta.url).resolve("typescript/package.json");
const compiler = path.join(path.dirname(compilerPackage), "bin", "tsc");

rmSync(path.join(here, "dist"), { recursive: true, force: true });
for (const [project, folder, type] of [
  ["tsconfig.json", "esm", "module"],
  ["tsconfig.cjs.json", "cjs", "commonjs"],
]) {
  const { status } = spawnSync(process.execPath, [compiler, "-p", project], { cwd: here, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  mkdirSync(path.join(here, "dist", folder), { recursive: true });
  writeFileSync(path.join(here, "dist", folder, "package.json"), JSON.stringify({ type }) + "\n");
}
