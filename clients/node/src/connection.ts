// One connection: it is made, greeted, read, and gone. What its messages mean is the exchange's affair.
//
// What is always true: `onReady` comes at most once, `onGone` exactly once unless close() or drop() was called before,
// nothing comes after it. Until onReady, all of connecting and greeting takes at most connectTimeoutMs.
import { connect, type Socket } from "node:net";
import { ConnectionError, ProtocolError, ServerError, type ErrorDetails, type SessiondError } from "./errors.js";
import { METHODS, PROTOCOL_VERSION } from "./generated/constants.js";
import { ERROR_CLASSES } from "./generated/errors.js";
import { Writer } from "./msgpack.js";
import { Malformed, Reader, Scan } from "./msgpack-read.js";
import type { Hello } from "./shapes.js";
import type { Endpoint } from "./url.js";

export interface ConnectionOptions {
  namespace: string | undefined;
  clientName: string;
  connectTimeoutMs: number;
  maxReplyBytes: number;
}

export interface ConnectionHandlers {
  onReady(hello: Hello): void;
  /** A reply's error is null where it succeeded. */
  onReply(msgid: number, error: unknown, result: unknown): void;
  onEvent(event: Record<string, unknown>): void;
  /** A reply that is longer than maxReplyBytes has begun; the connection is then gone. */
  onTooBig(msgid: number, error: SessiondError): void;
  /** It is no more. `isFatal`: trying again is of no use, since the other side is not what it should be. */
  onGone(error: SessiondError, isFatal: boolean): void;
}

/** What the greeting's msgid is; no other request has it. */
const GREETING = 0;
/** Answers that a server gives to the greeting and that pass by themselves. */
const PASSING = new Set(["BUSY", "NO_MEMORY", "STORAGE", "READ_ONLY"]);

export class Connection {
  /** When the last bytes came, by performance.now(). */
  receivedAt = performance.now();
  isReady = false;
  readonly endpoint: Endpoint;
  readonly #options: ConnectionOptions;
  readonly #handlers: ConnectionHandlers;
  readonly #socket: Socket;
  readonly #timer: NodeJS.Timeout;
  readonly #scan = new Scan();
  readonly #reader = new Reader();
  #kept: Buffer = Buffer.alloc(0); // room for a message that came in part; it begins with #have bytes of it
  #have = 0;
  #scanned = 0;
  #isConnected = false;
  #isOver = false;
  #socketError: Error | undefined;

  constructor(endpoint: Endpoint, options: ConnectionOptions, handlers: ConnectionHandlers) {
    this.endpoint = endpoint;
    this.#options = options;
    this.#handlers = handlers;
    this.#socket = connect(
      endpoint.path !== undefined
        ? { path: endpoint.path }
        : { host: endpoint.host, port: endpoint.port!, noDelay: true, keepAlive: true, keepAliveInitialDelay: 10_000 },
    );
    this.#socket.on("connect", () => this.#greet());
    this.#socket.on("data", (data) => this.#take(data));
    this.#socket.on("error", (error) => (this.#socketError = error));
    this.#socket.on("close", () => this.#closed());
    this.#timer = setTimeout(() => this.#late(), options.connectTimeoutMs);
    this.#timer.unref();
  }

  /** One write, of as many pieces as there are. */
  write(pieces: readonly Buffer[]): void {
    if (pieces.length > 1) this.#socket.cork();
    for (const piece of pieces) this.#socket.write(piece);
    if (pieces.length > 1) this.#socket.uncork();
  }

  /** Bytes that were given to write and that the system has not taken yet. */
  get unwrittenBytes(): number {
    return this.#socket.writableLength;
  }

  /** Whether it keeps the process alive. */
  setRef(isRef: boolean): void {
    if (isRef) this.#socket.ref();
    else this.#socket.unref();
  }

  /** Ends it in order: what was written arrives. `done` is called when it is over. */
  close(done: () => void): void {
    this.#isOver = true;
    clearTimeout(this.#timer);
    if (this.#socket.destroyed) return done();
    const patience = setTimeout(() => this.#socket.destroy(), this.#options.connectTimeoutMs);
    this.#socket.once("close", () => {
      clearTimeout(patience);
      done();
    });
    this.#socket.ref();
    this.#socket.end();
    this.#socket.resume();
  }

  /** Cuts it; says why to onGone. */
  drop(error: SessiondError, isFatal = false): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#timer);
    this.#socket.destroy();
    this.#handlers.onGone(error, isFatal);
  }

  #late(): void {
    const ms = this.#options.connectTimeoutMs;
    const name = this.endpoint.name;
    this.drop(
      new ConnectionError(
        this.#isConnected
          ? `${name} takes connections but did not answer the greeting within ${ms} ms; check that it is a sessiond, and that it is not overloaded.`
          : `${name} could not be reached within ${ms} ms; check the address and the network.`,
      ),
    );
  }

  #closed(): void {
    const cause = this.#socketError;
    const name = this.endpoint.name;
    const text = !this.#isConnected
      ? `${name} cannot be reached: ${reasonOf(cause)}; check that the server runs and the address is right.`
      : this.isReady
        ? `The connection to ${name} was lost${cause ? `: ${reasonOf(cause)}` : ""}.`
        : `${name} closed the connection without answering the greeting${cause ? ` (${reasonOf(cause)})` : ""}; check that it is a sessiond.`;
    this.drop(new ConnectionError(text, { cause }));
  }

  #greet(): void {
    this.#isConnected = true;
    const writer = new Writer();
    const { clientName, namespace } = this.#options;
    // First a notification, which a sessiond does not answer. It holds a line's end and no NUL, so that a server of a
    // line protocol (Redis, memcached) answers its error at once and we can say what it is, where it would else wait.
    writer.begin();
    writer.argument("hello", [2, METHODS["server.hello"].number, [{ client_name: `${clientName}\r\n` }]], false);
    const first = writer.end();
    writer.begin();
    writer.argument(
      "hello",
      [
        0,
        GREETING,
        METHODS["server.hello"].number,
        [{ version: PROTOCOL_VERSION, namespace, client_name: clientName }],
      ],
      false,
    );
    this.write([first, writer.end()]);
  }

  #take(data: Buffer): void {
    if (this.#isOver) return;
    this.receivedAt = performance.now();
    try {
      if (this.#have === 0) this.#takeAll(data);
      else this.#takeRest(data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      this.#broken(data, error);
    }
  }

  /** All whole messages of the data; the beginning of one more is kept. */
  #takeAll(data: Buffer): void {
    let at = 0;
    while (at < data.length && !this.#isOver) {
      this.#scan.reset();
      const end = this.#scan.advance(data, at, data.length);
      if (!this.#scan.isWhole) {
        this.#keep(data.subarray(at), end - at);
        return;
      }
      this.#message(data, at);
      at = end;
    }
  }

  /** The rest of a message that came in part, and what stands behind it. */
  #takeRest(data: Buffer): void {
    const had = this.#have;
    this.#append(data);
    const end = this.#scan.advance(this.#kept, this.#scanned, this.#have);
    this.#scanned = end;
    if (!this.#scan.isWhole) return this.#checkSize();
    const message = this.#kept;
    this.#kept = Buffer.alloc(0);
    this.#have = 0;
    this.#message(message, 0);
    this.#takeAll(data.subarray(end - had));
  }

  #keep(part: Buffer, scanned: number): void {
    this.#have = 0;
    this.#append(part);
    this.#scanned = scanned;
    this.#checkSize();
  }

  #append(part: Buffer): void {
    const size = this.#have + part.length;
    if (size > this.#kept.length) {
      const bigger = Buffer.allocUnsafeSlow(Math.max(size * 2, 4096));
      this.#kept.copy(bigger, 0, 0, this.#have);
      this.#kept = bigger;
    }
    part.copy(this.#kept, this.#have);
    this.#have = size;
  }

  #checkSize(): void {
    if (this.#have <= this.#options.maxReplyBytes) return;
    const error = new ProtocolError(
      `${this.endpoint.name} sent an answer of more than ${this.#options.maxReplyBytes} bytes; ask for less at once (limit, fields), or raise maxReplyBytes.`,
    );
    const msgid = this.isReady ? msgidOf(this.#kept) : undefined;
    if (msgid !== undefined) this.#handlers.onTooBig(msgid, error);
    this.drop(error);
  }

  #message(buffer: Buffer, at: number): void {
    const message = this.#reader.read(buffer, at);
    if (!Array.isArray(message)) throw new Malformed("not a message of MessagePack-RPC");
    if (message[0] === 1 && message.length === 4 && typeof message[1] === "number") {
      if (this.isReady && message[1] !== GREETING) return this.#handlers.onReply(message[1], message[2], message[3]);
      return this.#greeted(message[1], message[2], message[3]);
    }
    const event =
      message[0] === 2 && message.length === 3 && message[1] === "event" && Array.isArray(message[2])
        ? (message[2][0] as unknown)
        : undefined;
    if (!this.isReady || typeof event !== "object" || event === null)
      throw new Malformed("not a message of MessagePack-RPC");
    this.#handlers.onEvent(event as Record<string, unknown>);
  }

  /** An answer to the greeting; later under its msgid too: what the server says before it cuts the connection. */
  #greeted(msgid: number, error: unknown, result: unknown): void {
    const name = this.endpoint.name;
    if (msgid !== GREETING) throw new Malformed("an answer to what was not asked");
    if (error !== null) {
      const said = serverError(error);
      if (this.isReady || PASSING.has(said.code))
        return this.drop(
          new ConnectionError(`${name} ended the connection: ${said.code}: ${said.message}`, { cause: said }),
        );
      return this.drop(
        new ProtocolError(
          `${name} refused the greeting of protocol version ${PROTOCOL_VERSION}: ${said.code}: ${said.message}`,
          { cause: said },
        ),
        true,
      );
    }
    const hello = result as Hello;
    if (this.isReady || typeof hello !== "object" || hello === null || typeof hello.version !== "number")
      throw new Malformed("no greeting of sessiond");
    if (hello.version !== PROTOCOL_VERSION)
      return this.drop(
        new ProtocolError(
          `${name} speaks version ${hello.version} of the protocol, this client version ${PROTOCOL_VERSION}; use a client and a server of one version.`,
        ),
        true,
      );
    this.isReady = true;
    clearTimeout(this.#timer);
    this.#handlers.onReady(hello);
  }

  #broken(data: Buffer, error: Malformed): void {
    const name = this.endpoint.name;
    const text = data.toString("latin1", 0, 64);
    const other = /^HTTP\//.test(text)
      ? "HTTP"
      : /^(-(ERR|NOAUTH|DENIED)|\+|-[A-Z]+ )/.test(text)
        ? "Redis"
        : /^(ERROR|CLIENT_ERROR)\r\n/.test(text)
          ? "memcached"
          : undefined;
    const begins = JSON.stringify(text.slice(0, 24).replace(/[^\x20-\x7e]/g, "."));
    const message = this.isReady
      ? `${name} sent what is not sessiond's protocol (${error.message}); the connection was closed.`
      : other
        ? `${name} speaks ${other}, not sessiond's protocol; check the address.`
        : `${name} does not speak sessiond's protocol (it began with ${begins}); check the address.`;
    this.drop(new ProtocolError(message, { cause: error }), !this.isReady);
  }
}

/** The error that a server's map stands for. */
export function serverError(error: unknown): ServerError {
  const details = (typeof error === "object" && error !== null ? error : {}) as ErrorDetails & {
    code?: unknown;
    message?: unknown;
  };
  const code = typeof details.code === "string" ? details.code : "UNKNOWN";
  const message = typeof details.message === "string" ? details.message : "The server gave no reason.";
  const { code: _code, message: _message, ...rest } = details;
  return new (ERROR_CLASSES.get(code) ?? ServerError)(code, message, { details: rest });
}

/** Which reply begins there; undefined: it is none. */
function msgidOf(buffer: Buffer): number | undefined {
  if (buffer[0] !== 0x94 || buffer[1] !== 1) return undefined;
  const head = buffer[2]!;
  return head < 0x80
    ? head
    : head === 0xcc
      ? buffer[3]
      : head === 0xcd
        ? buffer.readUInt16BE(3)
        : head === 0xce
          ? buffer.readUInt32BE(3)
          : undefined;
}

/** Errors of an address with several families have their reasons in a list, and an empty message. */
function reasonOf(error: Error | undefined): string {
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join(", ");
  return error?.message || "no reason given";
}
