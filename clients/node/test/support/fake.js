// A server that does what a test says, and speaks sessiond's protocol as far as it is told to.
import { createServer } from "node:net";
import { decode, encode, METHODS } from "sessiond";
import { Scan } from "../../dist/esm/msgpack-read.js";
import { drawPort } from "./port.js";

const NAMES = new Map(Object.values(METHODS).map(({ number, name }) => [number, name]));

/** What a server answers to the greeting. */
export const hello = {
  server: "sessiond fake",
  version: 1,
  namespace: "web",
  now: 1,
  features: [],
  limits: {},
  methods: {},
};

export class Fake {
  /** `onConnection(socket, count)` is called with each one; it may take the messages with `messages`. */
  static async start(onConnection) {
    const fake = new Fake();
    fake.sockets = new Set();
    fake.count = 0;
    fake.server = createServer((socket) => {
      fake.sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => fake.sockets.delete(socket));
      onConnection(socket, ++fake.count);
    });
    for (let isListening = false; !isListening; )
      isListening = await new Promise((resolve) => {
        fake.server.once("error", () => resolve(false));
        fake.server.listen(drawPort(), "127.0.0.1", () => resolve(true));
      });
    fake.port = fake.server.address().port;
    fake.url = `sessiond://127.0.0.1:${fake.port}/web`;
    return fake;
  }

  stop() {
    for (const socket of this.sockets) socket.destroy();
    return new Promise((resolve) => this.server.close(resolve));
  }
}

/** Calls take({msgid, method, params, bytes}) for each request; the greeting is answered here unless `greeting` says otherwise. */
export function messages(socket, take, greeting = (reply) => reply(null, hello)) {
  let all = Buffer.alloc(0);
  let isGreeted = false;
  socket.on("data", (data) => {
    all = Buffer.concat([all, data]);
    for (;;) {
      const scan = new Scan();
      const end = scan.advance(all, 0, all.length);
      if (!scan.isWhole) return;
      const bytes = all.subarray(0, end);
      const [type, ...rest] = decode(bytes);
      all = all.subarray(end);
      const [msgid, number, params] = type === 0 ? rest : [undefined, ...rest];
      const method = NAMES.get(number) ?? number;
      if (method === "server.hello" && type === 2) continue;
      const reply = (error, result) => socket.write(encode([1, msgid, error, result]));
      if (method !== "server.hello" || isGreeted) take({ msgid, method, params, bytes, reply });
      else {
        isGreeted = true;
        greeting(reply);
      }
    }
  });
}
