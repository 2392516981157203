// The stores that are compared: each with the server that it needs, if any, and as express-session takes it.
// SESSIOND_BINARY names sessiond's program; redis-server is found in the PATH. Neither keeps anything on disk.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createRequire } from "node:module";
import net from "node:net";
import { createInterface } from "node:readline";
import { SessiondStore } from "sessiond/express";
import { session } from "../test/support/express.js";
import { Sessiond } from "../test/support/sessiond.js";

const require = createRequire(new URL("../test/adapters/package.json", import.meta.url));

/** By the name that a figure stands under. `start` answers {pid, url, end}, `open` a store of it and its `close`. */
export const STORES = {
  MemoryStore: {
    start: async () => ({ end: async () => {} }),
    open: async () => ({ store: new session.MemoryStore(), close: async () => {} }),
  },
  "connect-redis": {
    start: startRedis,
    open: async (url) => {
      const { RedisStore } = require("connect-redis");
      const client = require("redis").createClient({ url });
      await client.connect();
      return { store: new RedisStore({ client }), close: () => client.close() };
    },
  },
  sessiond: {
    start: async () => {
      // One thread, as redis-server has.
      const server = await Sessiond.start({ options: ["--threads=1"] });
      return { pid: server.process.pid, url: server.url("bench"), end: () => server.end() };
    },
    open: async (url) => {
      const store = new SessiondStore({ url });
      return { store, close: () => store.close() };
    },
  },
};

async function startRedis() {
  const port = await freePort();
  const options = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"];
  const server = spawn("redis-server", options, { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(server, "exit");
  const ended = exited.then(() => {
    throw new Error("redis-server ended before it was ready");
  });
  await Promise.race([said(server.stdout, "Ready to accept connections"), ended]);
  ended.catch(() => {});
  const end = async () => {
    server.kill("SIGTERM");
    await exited;
  };
  return { pid: server.pid, url: `redis://127.0.0.1:${port}`, end };
}

async function freePort() {
  const listener = net.createServer().listen(0, "127.0.0.1");
  await once(listener, "listening");
  const { port } = listener.address();
  listener.close();
  await once(listener, "close");
  return port;
}

/** Resolves when a line of the output holds the text. */
function said(output, text) {
  const lines = createInterface({ input: output });
  return new Promise((resolve) => lines.on("line", (line) => line.includes(text) && resolve()));
}
