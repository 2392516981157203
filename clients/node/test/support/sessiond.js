// A sessiond under test. SESSIOND_BINARY names the program.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { connect } from "sessiond";

const binary = process.env["SESSIOND_BINARY"];
if (!binary) throw new Error("SESSIOND_BINARY does not name the server's program");

/** A test that has failed may have left its own behind. */
const started = new Set();
process.once("exit", () => {
  for (const left of started) left.kill("SIGKILL");
});

export class Sessiond {
  /** Starts one on loopback; port 0 takes any. Resolves when it is ready. */
  static async start({ port = 0, options = [] } = {}) {
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
  return connect({ url: server.url(), timeoutMs: 20_000, connectTimeoutMs: 10_000, ...options });
}
