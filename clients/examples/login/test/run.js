// Runs the tests where there is a Chromium; status 77 says that there is none.
import { spawnSync } from "node:child_process";
import { accessSync, constants } from "node:fs";
import path from "node:path";

const SKIPPED = 77;
const NAMES = ["chromium", "chromium-browser", "google-chrome"];

function isProgram(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

const folders = process.env.PATH.split(path.delimiter);
const found = folders.flatMap((folder) => NAMES.map((name) => path.join(folder, name))).find(isProgram);
if (!found) {
  console.log(`skipped: none of ${NAMES.join(", ")} is here; Debian's package is chromium`);
  process.exit(SKIPPED);
}
const options = { stdio: "inherit", env: { ...process.env, CHROMIUM: found } };
process.exit(spawnSync(process.execPath, ["--test", "test/login.test.js"], options).status ?? 1);
