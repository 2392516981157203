// Calls over connections: what waits for its answer, what waits for a connection, and who gets what when one is lost.
//
// The happy path: a call is encoded at once (so later changes of its arguments do not matter) behind the others of this
// turn of the event loop, all of them go out in one write, and each answer finds its call by msgid. Without a
// connection calls wait, in the order in which they were made, until there is one or their time is over.
// What is always true: each call settles exactly once, at its timeout at the latest. A call is repeated on a new
// connection only if it is a read or carries an op_id, and at most WRITES_MAX times. Everything that waits is bounded.
// The process is kept alive while a call waits, and not otherwise.
import { Connection, serverError } from "./connection.js";
import {
  disconnectChannel,
  connectChannel,
  requestEndChannel,
  requestErrorChannel,
  requestStartChannel,
} from "./diagnostics.js";
import { ClosedError, ConnectionError, OverloadedError, TimeoutError, type SessiondError } from "./errors.js";
import type { CallOptions } from "./call.js";
import { LIMITS, type Method } from "./generated/constants.js";
import type { ResolvedOptions } from "./options.js";
import { checkTimeout, RequestEncoder } from "./request.js";
import type { Hello } from "./shapes.js";
import { Signals } from "./signals.js";
import type { Endpoint } from "./url.js";

/** How often one call is sent before it is given up: it may be what ends its connections. */
const WRITES_MAX = 3;
const MSGID_MAX = 0xffff_ffff;

/** Who is told how a call ended. */
export interface Settle {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

interface Pending {
  readonly msgid: number;
  readonly method: Method;
  readonly bytes: Buffer;
  readonly isRepeatable: boolean;
  /** It may take as long as the caller said, so a silent server says nothing. */
  readonly isPatient: boolean;
  readonly timeoutMs: number;
  readonly begunAt: number;
  readonly settle: Settle;
  timer: NodeJS.Timeout | undefined;
  signal: AbortSignal | undefined;
  writeCount: number;
  writtenAt: number;
  isWritten: boolean;
  isSettled: boolean;
}

/** What waits to be written. A notification has no call that waits for it. */
interface Unsent {
  readonly bytes: Buffer;
  readonly pending: Pending | undefined;
}

/** What the client does about connections and events. */
export interface ExchangeHandlers {
  onConnect(endpoint: Endpoint, hello: Hello): void;
  onDisconnect(endpoint: Endpoint, error: SessiondError | undefined): void;
  onEvent(event: Record<string, unknown>): void;
}

export class Exchange {
  readonly options: ResolvedOptions;
  readonly #handlers: ExchangeHandlers;
  readonly #owner: object;
  readonly #encoder: RequestEncoder;
  readonly #pendings = new Map<number, Pending>();
  readonly #signals = new Signals<Pending>((pending, reason) => this.#fail(pending, reason));
  #unsent: Unsent[] = [];
  #heldBytes = 0;
  #lastMsgid = 0;
  #connection: Connection | undefined;
  #isFlushing = false;
  #nextEndpoint = 0;
  #triedCount = 0; // endpoints that failed in this round
  #fatalCount = 0; // of those, the ones where trying again is of no use
  #pauseMs = 0; // the last pause
  #pause: NodeJS.Timeout | undefined;
  #wasUseful = false; // the connection answered more than its greeting
  #lastFailure: SessiondError | undefined;
  #holdCount = 0; // who wants the connection kept up, and of those who keep the process alive
  #refCount = 0;
  #closing: { promise: Promise<void>; done: () => void } | undefined;
  #isClosed = false;

  constructor(options: ResolvedOptions, handlers: ExchangeHandlers, owner: object) {
    this.options = options;
    this.#encoder = new RequestEncoder(options.autoOpId);
    this.#handlers = handlers;
    this.#owner = owner;
  }

  get isConnected(): boolean {
    return this.#connection?.isReady ?? false;
  }

  // ---------------------------------------------------------------- calls

  /** Sends a request, and settles with its answer. Never throws. */
  request(
    method: Method,
    params: readonly unknown[],
    options: object | undefined,
    call: CallOptions = {},
  ): Promise<unknown> {
    return new Promise((resolve, reject) => this.send(method, params, options, call, { resolve, reject }));
  }

  /** The same with callbacks, which come before the next message of the server is looked at. Throws like notify. */
  send(
    method: Method,
    params: readonly unknown[],
    options: object | undefined,
    call: CallOptions,
    settle: Settle,
  ): void {
    this.#add(this.#begin(method, params, options, call, settle), call.signal);
  }

  /** For what begins again with each connection: it goes out before all that waits, and on this connection only. */
  sendFirst(
    method: Method,
    params: readonly unknown[],
    options: object | undefined,
    call: CallOptions,
    settle: Settle,
  ): void {
    const pending = { ...this.#begin(method, params, options, call, settle), isRepeatable: false };
    const waiting = this.#unsent;
    this.#unsent = [];
    this.#add(pending, call.signal);
    this.#unsent.push(...waiting);
  }

  /** Sends a notification: there is no answer, and what is lost is lost. Throws where it cannot be sent. */
  notify(method: Method, params: readonly unknown[], options: object | undefined, call: CallOptions = {}): void {
    this.#checkRoom();
    const bytes = this.#encoder.encode(undefined, method, params, options, call);
    this.#unsent.push({ bytes, pending: undefined });
    this.#heldBytes += bytes.length;
    this.#flushSoon();
  }

  #begin(
    method: Method,
    params: readonly unknown[],
    options: object | undefined,
    call: CallOptions,
    settle: Settle,
  ): Pending {
    call.signal?.throwIfAborted();
    this.#checkRoom();
    const waitMs = (options as { wait_ms?: unknown } | undefined)?.wait_ms;
    const isPatient = typeof waitMs === "number" && waitMs > 0;
    const timeoutMs = call.timeoutMs ?? this.options.timeoutMs + (isPatient ? waitMs : 0);
    checkTimeout(timeoutMs);
    const msgid = this.#newMsgid();
    const isRepeatable = !method.isWrite || this.#encoder.opIdOf(call) !== undefined;
    const bytes = this.#encoder.encode(msgid, method, params, options, call);
    const begunAt = performance.now();
    return {
      msgid,
      method,
      bytes,
      isRepeatable,
      isPatient,
      timeoutMs,
      begunAt,
      settle,
      timer: undefined,
      signal: undefined,
      writeCount: 0,
      writtenAt: 0,
      isWritten: false,
      isSettled: false,
    };
  }

  #add(pending: Pending, signal: AbortSignal | undefined): void {
    this.#pendings.set(pending.msgid, pending);
    this.#unsent.push({ bytes: pending.bytes, pending });
    this.#heldBytes += pending.bytes.length;
    pending.timer = setTimeout(() => this.#late(pending), pending.timeoutMs);
    if (signal) {
      pending.signal = signal;
      this.#signals.add(signal, pending);
    }
    if (requestStartChannel.hasSubscribers)
      requestStartChannel.publish({ client: this.#owner, method: pending.method.name, id: pending.msgid });
    if (this.#pendings.size === 1) this.#updateRef();
    this.#flushSoon();
  }

  /** Throws where nothing more may be sent or wait. */
  #checkRoom(): void {
    if (this.#isClosed || this.#closing) throw new ClosedError("The client was closed; make a new one.");
    const { maxPending, maxPendingBytes, maxOffline } = this.options;
    if (this.#pendings.size >= maxPending)
      throw new OverloadedError(`${maxPending} calls wait for their answers; await some first, or raise maxPending.`);
    if (this.#heldBytes + (this.#connection?.unwrittenBytes ?? 0) >= maxPendingBytes)
      throw new OverloadedError(
        `${maxPendingBytes} bytes of calls wait for their answers; await some first, or raise maxPendingBytes.`,
      );
    // Calls whose time was over are still among the unsent ones; they are cleared away when it matters.
    if (!this.isConnected && this.#unsent.length >= maxOffline)
      this.#unsent = this.#unsent.filter(({ pending }) => !pending?.isSettled);
    if (!this.isConnected && this.#unsent.length >= maxOffline)
      throw new OverloadedError(
        `There is no connection, and ${maxOffline} calls wait for one${this.#reason()}; try again later, or raise maxOffline.`,
      );
  }

  #newMsgid(): number {
    do this.#lastMsgid = this.#lastMsgid >= MSGID_MAX ? 1 : this.#lastMsgid + 1;
    while (this.#pendings.has(this.#lastMsgid));
    return this.#lastMsgid;
  }

  // ---------------------------------------------------------------- settling

  #forget(pending: Pending): boolean {
    if (pending.isSettled) return false;
    pending.isSettled = true;
    clearTimeout(pending.timer);
    if (pending.signal) this.#signals.remove(pending.signal, pending);
    this.#pendings.delete(pending.msgid);
    this.#heldBytes -= pending.bytes.length;
    if (this.#pendings.size === 0) {
      this.#updateRef();
      if (this.#closing) setImmediate(() => this.#finishClosing());
    }
    return true;
  }

  #succeed(pending: Pending, result: unknown): void {
    if (!this.#forget(pending)) return;
    if (requestEndChannel.hasSubscribers)
      requestEndChannel.publish({
        client: this.#owner,
        method: pending.method.name,
        id: pending.msgid,
        durationMs: performance.now() - pending.begunAt,
      });
    pending.settle.resolve(result);
  }

  #fail(pending: Pending, error: unknown): void {
    if (!this.#forget(pending)) return;
    if (requestErrorChannel.hasSubscribers)
      requestErrorChannel.publish({
        client: this.#owner,
        method: pending.method.name,
        id: pending.msgid,
        durationMs: performance.now() - pending.begunAt,
        error,
      });
    pending.settle.reject(error);
  }

  /** Whether a call that now fails may have been executed: reads change nothing. */
  #mayHaveExecuted(pending: Pending): boolean {
    return pending.method.isWrite && pending.writeCount > 0;
  }

  #uncertainty(pending: Pending): string {
    if (!pending.method.isWrite) return "";
    return pending.writeCount > 0 ? " It is not known whether it was executed." : " It was not sent.";
  }

  #late(pending: Pending): void {
    const { name } = pending.method;
    const mayHaveExecuted = this.#mayHaveExecuted(pending);
    const connection = this.#connection;
    if (!pending.isWritten && this.isConnected) {
      const text = `${name} was not sent within ${pending.timeoutMs} ms, because the event loop was busy with something else.`;
      this.#fail(pending, new TimeoutError(text, { mayHaveExecuted }));
      return;
    }
    if (!pending.isWritten) {
      const text = `${name} found no connection within ${pending.timeoutMs} ms${this.#reason()}`;
      this.#fail(
        pending,
        new ConnectionError(text + this.#uncertainty(pending), { cause: this.#lastFailure, mayHaveExecuted }),
      );
      return;
    }
    this.#fail(
      pending,
      new TimeoutError(`${name} was not answered within ${pending.timeoutMs} ms.${this.#uncertainty(pending)}`, {
        mayHaveExecuted,
      }),
    );
    // A server from which nothing at all has come since is hung or cut off; the others go to a new connection.
    const isSilent = connection?.isReady && connection.receivedAt < pending.writtenAt;
    if (isSilent && !pending.isPatient && performance.now() - pending.writtenAt >= this.options.connectTimeoutMs)
      connection.drop(
        new ConnectionError(
          `${connection.endpoint.name} answered nothing for ${Math.round(performance.now() - pending.writtenAt)} ms; the connection was given up.`,
        ),
      );
  }

  /** Why there is no connection, for a sentence. */
  #reason(): string {
    return this.#lastFailure ? `: ${this.#lastFailure.message}` : ".";
  }

  // ---------------------------------------------------------------- writing

  #flushSoon(): void {
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    // Not a microtask: in this way the calls of all that the event loop has at hand share one write.
    setImmediate(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush(): void {
    if (this.#unsent.length === 0 || this.#isClosed) return;
    if (!this.isConnected) {
      if (this.#isWanted()) this.#connect();
      return;
    }
    const pieces: Buffer[] = [];
    const now = performance.now();
    for (const { bytes, pending } of this.#unsent) {
      if (pending) {
        if (pending.isSettled) continue;
        pending.isWritten = true;
        pending.writeCount++;
        pending.writtenAt = now;
      } else this.#heldBytes -= bytes.length;
      const last = pieces.at(-1);
      // What was encoded one behind the other is one piece.
      if (last && last.buffer === bytes.buffer && last.byteOffset + last.length === bytes.byteOffset)
        pieces[pieces.length - 1] = Buffer.from(last.buffer, last.byteOffset, last.length + bytes.length);
      else pieces.push(bytes);
    }
    this.#unsent = [];
    this.#connection!.write(pieces);
    if (this.#closing) this.#finishClosing();
  }

  // ---------------------------------------------------------------- connecting

  /** Asks for a connection to be kept up, and (isRef) for the process to be kept alive by it. */
  hold(isRef: boolean): void {
    this.#holdCount++;
    if (isRef) this.setRef(true);
    this.#connect();
  }

  release(isRef: boolean): void {
    this.#holdCount--;
    if (isRef) this.setRef(false);
  }

  setRef(isRef: boolean): void {
    this.#refCount += isRef ? 1 : -1;
    this.#updateRef();
  }

  #updateRef(): void {
    const isRef = this.#pendings.size > 0 || this.#refCount > 0 || this.#closing !== undefined;
    this.#connection?.setRef(isRef);
    if (isRef) this.#pause?.ref();
    else this.#pause?.unref();
  }

  #isWanted(): boolean {
    return this.#unsent.some(({ pending }) => !pending?.isSettled) || this.#holdCount > 0;
  }

  #connect(): void {
    if (this.#connection || this.#pause || this.#isClosed) return;
    const { endpoints } = this.options;
    const endpoint = endpoints[this.#nextEndpoint % endpoints.length]!;
    let connection: Connection | undefined = undefined;
    const isCurrent = () => connection !== undefined && this.#connection === connection;
    connection = new Connection(endpoint, this.options, {
      onReady: (hello) => this.#ready(connection!, hello),
      onReply: (msgid, error, result) => this.#reply(msgid, error, result),
      onEvent: (event) => this.#handlers.onEvent(event),
      onTooBig: (msgid, error) => this.#tooBig(msgid, error),
      onGone: (error, isFatal) => isCurrent() && this.#gone(connection!, error, isFatal),
    });
    this.#connection = connection;
    this.#wasUseful = false;
    this.#updateRef();
  }

  #ready(connection: Connection, hello: Hello): void {
    this.#lastFailure = undefined;
    this.#triedCount = this.#fatalCount = 0;
    const maxFrame = hello.limits?.["max_frame"];
    this.#encoder.maxFrame = typeof maxFrame === "number" && maxFrame > 0 ? maxFrame : LIMITS.max_frame;
    if (connectChannel.hasSubscribers)
      connectChannel.publish({ client: this.#owner, endpoint: connection.endpoint.name, server: hello.server });
    this.#handlers.onConnect(connection.endpoint, hello);
    this.#flush();
  }

  #reply(msgid: number, error: unknown, result: unknown): void {
    const pending = this.#pendings.get(msgid);
    // One that is not known was given up before it was answered.
    if (!pending?.isWritten) return;
    this.#wasUseful = true;
    if (error === null) this.#succeed(pending, result);
    else this.#fail(pending, serverError(error));
  }

  #tooBig(msgid: number, error: SessiondError): void {
    const pending = this.#pendings.get(msgid);
    if (pending) this.#fail(pending, error);
  }

  #gone(connection: Connection, error: SessiondError, isFatal: boolean): void {
    this.#connection = undefined;
    this.#lastFailure = error;
    if (connection.isReady) {
      if (disconnectChannel.hasSubscribers)
        disconnectChannel.publish({ client: this.#owner, endpoint: connection.endpoint.name, error });
      this.#handlers.onDisconnect(connection.endpoint, error);
      this.#takeBack(error);
    }
    if (connection.isReady && this.#wasUseful) {
      this.#pauseMs = 0;
      this.#triedCount = this.#fatalCount = 0;
    } else {
      this.#nextEndpoint++;
      this.#triedCount++;
      if (isFatal) this.#fatalCount++;
    }
    this.#tryAgain(error);
  }

  /** What was sent and not answered waits again where it may be repeated, and fails where not. */
  #takeBack(error: SessiondError): void {
    const again: Unsent[] = [];
    for (const pending of [...this.#pendings.values()]) {
      if (!pending.isWritten) continue;
      pending.isWritten = false;
      if (pending.isRepeatable && pending.writeCount < WRITES_MAX) again.push({ bytes: pending.bytes, pending });
      else
        this.#fail(
          pending,
          new ConnectionError(
            `${pending.method.name} was sent${pending.writeCount > 1 ? ` ${pending.writeCount} times` : ""} and not answered: ${error.message}${this.#uncertainty(pending)}`,
            {
              cause: error,
              mayHaveExecuted: this.#mayHaveExecuted(pending),
            },
          ),
        );
    }
    this.#unsent = [...again, ...this.#unsent];
  }

  /** The next host at once, or after all of them a pause that grows and is half chance. */
  #tryAgain(error: SessiondError): void {
    if (this.#isClosed) return;
    const { endpoints, reconnectMinMs, reconnectMaxMs } = this.options;
    const isRoundOver = this.#triedCount >= endpoints.length;
    if (isRoundOver && this.#fatalCount === this.#triedCount) this.#failAll(error);
    if (!isRoundOver) {
      if (this.#isWanted()) this.#connect();
      return;
    }
    this.#triedCount = this.#fatalCount = 0;
    this.#pauseMs = Math.min(Math.max(this.#pauseMs * 2, reconnectMinMs), reconnectMaxMs);
    this.#pause = setTimeout(
      () => {
        this.#pause = undefined;
        if (this.#isWanted()) this.#connect();
      },
      this.#pauseMs / 2 + (Math.random() * this.#pauseMs) / 2,
    );
    this.#updateRef();
  }

  /** No host is what it should be: who waits need not wait longer. */
  #failAll(error: SessiondError): void {
    for (const pending of [...this.#pendings.values()]) this.#fail(pending, error);
    this.#dropUnsent();
    if (this.#closing) this.#finishClosing();
  }

  #dropUnsent(): void {
    for (const { bytes, pending } of this.#unsent) if (!pending) this.#heldBytes -= bytes.length;
    this.#unsent = [];
  }

  // ---------------------------------------------------------------- the end

  /** Takes no more calls, lets those that wait end, sends what notifications there are, and closes. */
  close(): Promise<void> {
    if (this.#closing) return this.#closing.promise;
    let done!: () => void;
    const promise = new Promise<void>((resolve) => (done = resolve));
    // Notifications have no time of their own in which a connection has to be found.
    const patience = setTimeout(() => this.#finishClosing(true), this.options.timeoutMs);
    this.#closing = { promise, done: () => (clearTimeout(patience), done()) };
    this.#updateRef();
    if (this.#isClosed) this.#closing.done();
    else this.#finishClosing();
    return promise;
  }

  #finishClosing(isLate = false): void {
    if (this.#isClosed || this.#pendings.size > 0) return;
    if (!isLate && this.#isWanted()) return this.#flushSoon();
    const connection = this.#end();
    if (!connection) return this.#closing!.done();
    connection.close(() => this.#closing!.done());
  }

  /** Ends at once: calls that wait reject with ClosedError. */
  destroy(): void {
    if (this.#isClosed) return;
    const connection = this.#end();
    connection?.drop(new ClosedError("The client was closed."));
    for (const pending of [...this.#pendings.values()])
      this.#fail(
        pending,
        new ClosedError(
          `The client was closed before ${pending.method.name} was answered.${this.#uncertainty(pending)}`,
          { mayHaveExecuted: this.#mayHaveExecuted(pending) },
        ),
      );
    this.#closing?.done();
  }

  /** What both ends have in common; hands the connection out. */
  #end(): Connection | undefined {
    this.#isClosed = true;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#dropUnsent();
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection?.isReady) {
      if (disconnectChannel.hasSubscribers)
        disconnectChannel.publish({ client: this.#owner, endpoint: connection.endpoint.name, error: undefined });
      this.#handlers.onDisconnect(connection.endpoint, undefined);
    }
    return connection;
  }
}
