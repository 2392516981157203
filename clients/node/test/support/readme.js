// The examples of README.md, run as they stand.
import { spawnSync } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL("../..", import.meta.url));

/**
 * Runs the first program of the section "### <heading>" where the adapters' packages are, and answers how it ended and
 * what README.md says that it prints.
 */
export function runReadmeExample(heading, environment) {
  const sections = readFileSync(`${here}README.md`, "utf8").split(/^(?=##+ )/m);
  const section = sections.find((each) => each.startsWith(`### ${heading}\n`));
  if (!section) throw new Error(`README.md has no section "### ${heading}"`);
  const [, program, printed] = /```js\n([^]*?)```\s+prints\s+```\n([^]*?)```/.exec(section);
  const file = `${here}test/adapters/readme-${heading}.mjs`;
  writeFileSync(file, program);
  try {
    const env = { ...process.env, ...environment };
    const run = spawnSync(process.execPath, [file], { encoding: "utf8", timeout: 20_000, env });
    return { printed, status: run.status, stdout: run.stdout, stderr: run.stderr };
  } finally {
    rmSync(file);
  }
}
