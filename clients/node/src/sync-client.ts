// Calls that have their answer when they return, for programs that cannot wait for a promise.
//
// A thread of its own has the connection (sync-worker.ts). The caller hands it a call and sleeps until the answer is
// there; the event loop stands still for that long, so this is for local servers and for interfaces that leave no
// choice. While the server is known to be unreachable a call fails at once instead: the loop is held up once per outage.
//
// What is sent and answered crosses the threads as MessagePack, because structured cloning would make Uint8Arrays of
// Buffers and plain objects of everything with a toJSON.
import { MessageChannel, receiveMessageOnPort, Worker, type MessagePort } from "node:worker_threads";
import { ClosedError, ConnectionError, SessiondError, TimeoutError, type ErrorDetails } from "./errors.js";
import { here } from "./here.js";
import { decode } from "./msgpack-read.js";
import { encode } from "./msgpack.js";
import { resolveOptions, type ClientOptions } from "./options.js";

/** The words of the shared state. */
export const State = {
  /** how many answers there were; it is waited on */
  ANSWERS: 0,
  /** 1: the server cannot be reached, and the thread tries on */
  IS_DOWN: 1,
  /** 1: the thread takes calls */
  IS_READY: 2,
  COUNT: 3,
} as const;

/** No call has this number. */
export const OUTAGE = 0;

export interface Call {
  /** from 1 on */
  seq: number;
  method: string;
  /** the parameters and the options, encoded */
  bytes: Uint8Array;
  /** nobody waits for it, and it is tried until it succeeds or another wish takes its place */
  isWish: boolean;
}

export interface Answer {
  /** of the call; OUTAGE: the server cannot be reached, for the reason that `error` is */
  seq: number;
  bytes?: Uint8Array;
  error?: { code: string; message: string; details: ErrorDetails; mayHaveExecuted: boolean };
}

export interface WorkerData {
  options: ClientOptions;
  port: MessagePort;
  shared: SharedArrayBuffer;
}

const START_MS = 10_000;
const SLACK_MS = 500;

/** One connection, one call at a time. An idle one does not keep the process alive. */
export class SyncClient {
  readonly #options: ClientOptions;
  readonly #timeoutMs: number;
  #worker: Worker | undefined;
  #port!: MessagePort;
  #state!: Int32Array;
  #seq = 0;
  #isClosed = false;
  #outage = "";

  /** Starts the thread, and waits for nothing. Throws an UrlError or ArgumentError where an option cannot be used. */
  constructor(options: ClientOptions) {
    this.#timeoutMs = resolveOptions(options).timeoutMs;
    this.#options = options;
    this.#start();
  }

  /**
   * Any operation by its name; blocks until it is answered, at most for the client's timeout.
   * Throws a SessiondError with the code that the call has.
   * @param params positional, with the namespace (null: the client's)
   */
  call(method: string, params: readonly unknown[], options: object = {}): unknown {
    const { seq } = this.#send(method, params, options, false);
    const answer = this.#wait(method, seq);
    if (answer.error === undefined) return decode(answer.bytes!);
    const { code, message, ...extra } = answer.error;
    throw new SessiondError(code, message, extra);
  }

  /** The same without waiting: it is tried until it succeeds or until there is another wish. */
  wish(method: string, params: readonly unknown[], options: object = {}): void {
    this.#send(method, params, options, true);
  }

  /** Ends the thread and its connection. Calls fail with CLOSED from now on. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#worker?.terminate();
  }

  #start(): void {
    const { port1, port2: port } = new MessageChannel();
    const shared = new SharedArrayBuffer(State.COUNT * Int32Array.BYTES_PER_ELEMENT);
    const worker = new Worker(new URL("./sync-worker.js", here), {
      name: "sessiond",
      workerData: { options: this.#options, port, shared } satisfies WorkerData,
      transferList: [port],
      execArgv: [],
    });
    // A thread that dies is replaced with the next call; the calls that it had fail.
    const forget = () => {
      if (this.#worker === worker) this.#worker = undefined;
    };
    worker.on("error", forget).on("exit", forget).unref();
    this.#worker = worker;
    this.#port = port1;
    this.#state = new Int32Array(shared);
  }

  #send(method: string, params: readonly unknown[], options: object, isWish: boolean): Call {
    if (this.#isClosed) throw new ClosedError(`${method} was called after close().`);
    const bytes = new Uint8Array(encode([params, options]));
    if (this.#worker === undefined) this.#start();
    if (!isWish && Atomics.load(this.#state, State.IS_DOWN) === 1) {
      this.#take(undefined);
      throw new ConnectionError(`${method} was not sent, the server cannot be reached: ${this.#outage}`);
    }
    const call = { seq: ++this.#seq, method, bytes, isWish };
    this.#port.postMessage(call);
    return call;
  }

  /** The answer with that number, if it is here. Those of calls that were given up are passed over. */
  #take(seq: number | undefined): Answer | undefined {
    for (let found; (found = receiveMessageOnPort(this.#port)) !== undefined;) {
      const answer = found.message as Answer;
      if (answer.seq === seq) return answer;
      if (answer.seq === OUTAGE) this.#outage = answer.error!.message;
    }
    return undefined;
  }

  #wait(method: string, seq: number): Answer {
    const isReady = Atomics.load(this.#state, State.IS_READY) === 1;
    const waitMs = this.#timeoutMs + SLACK_MS + (isReady ? 0 : START_MS);
    const end = performance.now() + waitMs;
    for (;;) {
      const seen = Atomics.load(this.#state, State.ANSWERS);
      const answer = this.#take(seq);
      if (answer !== undefined) return answer;
      const leftMs = end - performance.now();
      if (leftMs <= 0)
        throw new TimeoutError(
          `${method} was not answered within ${waitMs} ms by the thread that has the connection.`,
          {
            mayHaveExecuted: true,
          },
        );
      Atomics.wait(this.#state, State.ANSWERS, seen, leftMs);
    }
  }
}
