// A sessiond under test. SESSIOND_BINARY names the program.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { connect } from "sessiond";
import { drawPort } from "./port.js";

const binary = process.env["SESSIOND_BINARY"];
if (!binary) throw new Error("SESSIOND_BINARY does not name the server's program");

/** A test that has failed may have left its own behind. */
const started = new Set();
process.once("exit", () => {
  for (const left of started) left.kill("SIGKILL");
});

/** A client's patience with a machine that stands still for some seconds. */
export const patient = { timeoutMs: 20_000, connectTimeoutMs: 10_000 };

/**
 * Runs a test whose own limits of time are short. Where it fails and this process stood still for `late_ms` meanwhile,
 * that says nothing: it is run again.
 */
export async function unlessLate(late_ms, run) {
  for (let tries = 0; ; tries++) {
    let last = performance.now();
    let longest_ms = 0;
    const look = () => {
      longest_ms = Math.max(longest_ms, performance.now() - last);
      last = performance.now();
    };
    const looking = setInterval(look, 5);
    try {
      return await run();
    } catch (error) {
      look();
      if (longest_ms < late_ms || tries === 5) throw error;
    } finally {
      clearInterval(looking);
    }
  }
}

export class Sessiond {
  /** Starts one on loopback; port 0 takes any. Resolves when it is ready. */
  static async start({ port = 0, options = [] } = {}) {
    for (let tries = 0; ; tries++)
      try {
        return await Sessiond.#startAt(port || drawPort(), options);
      } catch (error) {
        if (!/cannot listen/.test(error.message) || tries === 20) throw error;
        await new Promise((resolve) => setTimeout(resolve, 50));
      }
  }

  static async #startAt(port, options) {
    const process_ = spawn(binary, [`--port=${port}`, ...options], { stdio: ["ignore", "pipe", "pipe"] });
    started.add(process_);
    process_.once("exit", () => started.delete(process_));
    let log = "";
    process_.stderr.on("data", (data) => (log += data));
    const lines = createInterface({ input: process_.stdout });
    const ended = once(process_, "exit").then(() => {
      throw new Error(`sessiond ended before it was ready: ${log}`);
    });
    const [ready] = await Promise.race([once(lines, "line"), ended]);
    ended.catch(() => {});
    const found = /tcp=127\.0\.0\.1:(\d+)/.exec(ready);
    return new Sessiond(process_, found ? Number(found[1]) : 0);
  }

  constructor(process_, port) {
    this.process = process_;
    this.port = port;
  }

  url(namespace = "web") {
    return `sessiond://127.0.0.1:${this.port}/${namespace}`;
  }

  /** Ends it by a signal, and waits until it is gone. */
  async end(signal = "SIGTERM") {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const exited = once(this.process, "exit");
    this.process.kill(signal);
    await exited;
  }
}

/** A connected client of a server, with patience for a machine that is busy. */
export function open(server, options = {}) {
  return connect({ url: server.url(), ...patient, ...options });
}
