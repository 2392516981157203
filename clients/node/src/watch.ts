// Events as an async iterator, over as many connections as it takes.
//
// What is always true: every loss of events is told. What the server left out comes as its `lagged`; what this side had
// no room for as a `lagged` too; what happened while there was no connection as `resumed`, after which seq begins again
// from 1. When the server does not take a watch again, the iterator throws the reason.
import type { CallOptions } from "./call.js";
import { ArgumentError, type SessiondError } from "./errors.js";
import type { Exchange } from "./exchange.js";
import { METHODS, type EventKind } from "./generated/constants.js";
import type { WatchStartOptions } from "./generated/operations.js";

/** What happened to a session. */
export interface WatchEvent<Data = any> {
  /** A kind of the protocol, or "resumed": the connection was lost, and what happened until now is missing. */
  kind: EventKind | "resumed";
  /** Counts the watch's events from 1, those that were left out included; with "resumed" 0. */
  seq: number;
  /** the session; in a namespace with hash_ids there is its handle instead */
  id?: string;
  handle?: string;
  user?: string;
  client?: string;
  pool?: string;
  /** when it happened; for a deadline, the deadline (milliseconds since the Unix epoch) */
  at?: number;
  /** of the record after it */
  version?: number;
  reason?: string;
  /** where the watch was started with `data: true` */
  data?: Data;
  /** with "lagged": how many events were left out */
  missed?: number;
}

/** How a watch behaves on this side. */
export interface WatchOptions {
  /** Instead of the client's namespace. */
  namespace?: string;
  /** Ends the watch: the iterator throws the signal's reason. */
  signal?: AbortSignal;
  /** Events that may wait to be taken (10,000); more are counted, and told as one "lagged". */
  maxEvents?: number;
  /** Whether who waits for an event keeps the process alive (true). */
  keepsAlive?: boolean;
}

interface Waiter {
  resolve(result: IteratorResult<WatchEvent, undefined>): void;
  reject(error: unknown): void;
}

const END: IteratorResult<WatchEvent, undefined> = { done: true, value: undefined };

/** Made by client.watch(). Ends by break, return(), close(), its signal, or with the client. */
export class Watch implements AsyncIterableIterator<WatchEvent> {
  readonly #set: WatchSet;
  readonly #options: WatchOptions;
  readonly #maxEvents: number;
  readonly #queue: WatchEvent[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #onAbort = () => this.fail(this.#options.signal!.reason);
  #missed = 0;
  #missedSeq = 0;
  #failure: { error: unknown } | undefined;
  #isOver = false;

  /** @internal */
  constructor(set: WatchSet, options: WatchOptions) {
    this.#set = set;
    this.#options = options;
    this.#maxEvents = options.maxEvents ?? 10_000;
    if (!Number.isInteger(this.#maxEvents) || this.#maxEvents < 1)
      throw new ArgumentError(`maxEvents is ${String(options.maxEvents)}; give an integer above 0.`);
    options.signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next event. */
  next(): Promise<IteratorResult<WatchEvent, undefined>> {
    const event = this.#queue.shift();
    if (event) {
      this.#tellMissed();
      return Promise.resolve({ done: false, value: event });
    }
    if (this.#failure) {
      const { error } = this.#failure;
      this.#failure = undefined;
      return Promise.reject(error);
    }
    if (this.#isOver) return Promise.resolve(END);
    return new Promise((resolve, reject) => {
      this.#waiters.push({ resolve, reject });
      if (this.#waiters.length === 1 && this.#options.keepsAlive !== false) this.#set.exchange.setRef(true);
    });
  }

  /** Ends the watch; what was not taken is forgotten. */
  return(): Promise<IteratorResult<WatchEvent, undefined>> {
    this.#queue.length = 0;
    this.#missed = 0;
    this.#end();
    return Promise.resolve(END);
  }

  /** Ends the watch. */
  async close(): Promise<void> {
    await this.return();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  /** @internal */
  push(event: WatchEvent): void {
    if (this.#isOver) return;
    const waiter = this.#takeWaiter();
    if (waiter) waiter.resolve({ done: false, value: event });
    else if (this.#missed === 0 && this.#queue.length < this.#maxEvents) this.#queue.push(event);
    else {
      this.#missed += event.kind === "lagged" ? (event.missed ?? 1) : 1;
      this.#missedSeq = event.seq;
    }
  }

  /** @internal Ends with an error, which the iterator throws behind the events that still wait. */
  fail(error: unknown): void {
    if (this.#isOver) return;
    const waiter = this.#takeWaiter();
    if (waiter) waiter.reject(error);
    else this.#failure = { error };
    this.#end();
  }

  /** @internal The client is closed. */
  finish(): void {
    this.#end();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#options.signal?.removeEventListener("abort", this.#onAbort);
    for (let waiter = this.#takeWaiter(); waiter; waiter = this.#takeWaiter()) waiter.resolve(END);
    this.#set.remove(this);
  }

  #takeWaiter(): Waiter | undefined {
    const waiter = this.#waiters.shift();
    if (waiter && this.#waiters.length === 0 && this.#options.keepsAlive !== false) this.#set.exchange.setRef(false);
    return waiter;
  }

  /** There is room again: first of all it is said what was left out. */
  #tellMissed(): void {
    if (this.#missed === 0) return;
    this.#queue.push({ kind: "lagged", seq: this.#missedSeq, missed: this.#missed });
    this.#missed = 0;
  }
}

/** What started a watch, and under which number the server knows it on the connection that stands. */
interface Started {
  readonly start: WatchStartOptions;
  readonly call: CallOptions;
  number: number | undefined;
}

/** All watches of a client. */
export class WatchSet {
  readonly exchange: Exchange;
  readonly #watches = new Map<Watch, Started>();
  readonly #byNumber = new Map<number, Watch>();

  constructor(exchange: Exchange) {
    this.exchange = exchange;
  }

  /** Resolves when the server watches. */
  start(start: WatchStartOptions, options: WatchOptions, namespace: string | undefined): Promise<Watch> {
    return new Promise((resolve, reject) => {
      const call: CallOptions = { namespace: options.namespace ?? namespace };
      const watch = new Watch(this, options);
      const refused = (error: unknown) => {
        watch.finish();
        reject(error);
      };
      const begun = (answer: unknown) => {
        this.#watches.set(watch, { start: { ...start }, call, number: undefined });
        this.exchange.hold(false);
        this.#run(watch, answer);
        resolve(watch);
      };
      try {
        this.exchange.send(
          METHODS["watch.start"],
          [],
          start,
          { ...call, signal: options.signal },
          { resolve: begun, reject: refused },
        );
      } catch (error) {
        refused(error);
      }
    });
  }

  /** A connection stands: all watches are asked for again, before whatever else waits. */
  resume(): void {
    for (const [watch, { start, call }] of this.#watches) {
      try {
        this.exchange.sendFirst(METHODS["watch.start"], [], start, call, {
          resolve: (answer) => {
            if (!this.#watches.has(watch)) return this.#stop(numberOf(answer), call);
            this.#run(watch, answer);
            watch.push({ kind: "resumed", seq: 0 });
          },
          // Where this connection is lost too, the next one brings the next attempt.
          reject: (error) => (error as SessiondError).code !== "CONNECTION" && watch.fail(error),
        });
      } catch (error) {
        watch.fail(error);
      }
    }
  }

  /** The connection is gone, and with it the server's numbers. */
  pause(): void {
    this.#byNumber.clear();
    for (const started of this.#watches.values()) started.number = undefined;
  }

  take(event: Record<string, unknown>): void {
    const { watch: number, ...rest } = event;
    this.#byNumber.get(number as number)?.push(rest as unknown as WatchEvent);
  }

  /** The client ends, and its watches with its connection. */
  finish(): void {
    this.pause();
    for (const watch of [...this.#watches.keys()]) watch.finish();
  }

  remove(watch: Watch): void {
    const started = this.#watches.get(watch);
    if (!started) return;
    this.#watches.delete(watch);
    this.exchange.release(false);
    if (started.number === undefined) return;
    this.#byNumber.delete(started.number);
    this.#stop(started.number, started.call);
  }

  #run(watch: Watch, answer: unknown): void {
    const number = numberOf(answer);
    this.#watches.get(watch)!.number = number;
    this.#byNumber.set(number, watch);
  }

  /** If the server does not hear it, it ends the watch with the connection. */
  #stop(number: number, call: CallOptions): void {
    this.exchange.request(METHODS["watch.stop"], [], { watch: number }, call).catch(() => {});
  }
}

function numberOf(answer: unknown): number {
  return (answer as { watch: number }).watch;
}
