// The load, a process of its own: for each message {port, path, cookies, duration_ms} one connection for each cookie
// asks for the path again and again, and what came of it is told: {count, elapsed_ms, p50_ms, p99_ms}, or {error}.
// It reads answers only as far as it must, so that the processor is left to the app.
import net from "node:net";

const HEAD_END = "\r\n\r\n";

function percentile(sorted, share) {
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

class Connection {
  #socket;
  #request;
  #text = "";
  #begun;
  #isLast;
  #settle;

  constructor(port, path, cookie) {
    this.#request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nCookie: ${cookie}\r\n\r\n`;
    this.#socket = net.connect(port, "127.0.0.1");
    this.#socket.setNoDelay(true);
    this.#socket.setEncoding("latin1");
  }

  /** Asks until isLast() holds after an answer. Tells each answer's time. */
  run(isLast, tell) {
    this.#isLast = isLast;
    return new Promise((resolve, reject) => {
      this.#settle = resolve;
      this.#socket.on("error", reject);
      this.#socket.on("close", () => reject(new Error("the app closed a connection")));
      this.#socket.on("data", (text) => {
        try {
          this.#take(text, tell);
        } catch (error) {
          reject(error);
        }
      });
      this.#ask();
    });
  }

  end() {
    this.#socket.destroy();
  }

  #ask() {
    this.#begun = performance.now();
    this.#socket.write(this.#request);
  }

  #take(text, tell) {
    this.#text += text;
    const head = this.#text.indexOf(HEAD_END);
    if (head < 0) return;
    if (!this.#text.startsWith("HTTP/1.1 200 ")) throw new Error(`the app answered ${this.#text.slice(0, 200)}`);
    const length = Number(/\r\ncontent-length: (\d+)/i.exec(this.#text)[1]);
    if (this.#text.length < head + HEAD_END.length + length) return;
    if (this.#text.slice(head + HEAD_END.length) !== "ann\n") throw new Error("the session was lost");
    this.#text = "";
    tell(performance.now() - this.#begun);
    if (this.#isLast()) this.#settle();
    else this.#ask();
  }
}

process.on("message", async ({ port, path, cookies, duration_ms }) => {
  const connections = cookies.map((cookie) => new Connection(port, path, cookie));
  const times = [];
  const begun = performance.now();
  const isLast = () => performance.now() - begun >= duration_ms;
  try {
    await Promise.all(connections.map((each) => each.run(isLast, (time) => times.push(time))));
    const elapsed_ms = performance.now() - begun;
    times.sort((a, b) => a - b);
    process.send({ count: times.length, elapsed_ms, p50_ms: percentile(times, 0.5), p99_ms: percentile(times, 0.99) });
  } catch (error) {
    process.send({ error: error.message });
  }
  for (const each of connections) each.end();
});
