// The client, as its users see it.
import { EventEmitter } from "node:events";
import type { CallOptions, Caller } from "./call.js";
import { ArgumentError, type SessiondError } from "./errors.js";
import { Exchange } from "./exchange.js";
import { METHODS, type Method } from "./generated/constants.js";
import { createOperations, type Operations, type WatchStartOptions } from "./generated/operations.js";
import { resolveOptions, type ClientOptions } from "./options.js";
import type { Hello } from "./shapes.js";
import { checkNamespace } from "./url.js";
import { Watch, WatchSet, type WatchOptions } from "./watch.js";

/** An operation as a notification: it answers nothing, not even that it failed. */
export type OneWay<Group> = {
  [Name in keyof Group]: Group[Name] extends (...args: infer Args) => Promise<unknown>
    ? (...args: Args) => void
    : never;
};
export type OneWayOperations = { readonly [Group in keyof Operations]: OneWay<Operations[Group]> };

/** A client whose calls use another namespace; it shares its connection and ends with it. */
export interface NamespacedClient extends Operations {
  readonly namespaceName: string;
  readonly oneWay: OneWayOperations;
  watch(start?: WatchStartOptions, options?: WatchOptions): Promise<Watch>;
}

export interface ClientEvents {
  /** A connection stands and was greeted. */
  connect: [{ endpoint: string; server: string }];
  /** A connection was lost (error), or closed. */
  disconnect: [{ endpoint: string; error: SessiondError | undefined }];
}

export interface Client extends Operations {}

/**
 * Sessions over one connection, which is made with the first call and again whenever it is needed.
 *
 * All operations are methods: `client.session.get(id)`, `client.pool.acquire(pool, {wait_ms: 1000})`. Each answers a
 * promise that settles within its timeout. A missing session is null; what the server refuses rejects with an error
 * whose `code` says what it is. The client emits "connect" and "disconnect", and never "error".
 */
export class Client extends EventEmitter<ClientEvents> {
  /** Operations sent without waiting for an answer: nothing tells whether they were executed. */
  readonly oneWay: OneWayOperations;
  readonly #exchange: Exchange;
  readonly #watches: WatchSet;
  #hello: Hello | undefined;

  /** Connects to nothing yet. Throws an UrlError or ArgumentError where the URL or an option cannot be used. */
  constructor(urlOrOptions: string | ClientOptions = {}, options: ClientOptions = {}) {
    super();
    const given =
      typeof urlOrOptions === "string" ? { ...options, url: urlOrOptions } : { ...urlOrOptions, ...options };
    this.#exchange = new Exchange(
      resolveOptions(given),
      {
        onConnect: (endpoint, hello) => {
          this.#hello = hello;
          this.#watches.resume();
          this.#tell("connect", { endpoint: endpoint.name, server: hello.server });
        },
        onDisconnect: (endpoint, error) => {
          this.#watches.pause();
          this.#tell("disconnect", { endpoint: endpoint.name, error });
        },
        onEvent: (event) => this.#watches.take(event),
      },
      this,
    );
    this.#watches = new WatchSet(this.#exchange);
    Object.assign(this, createOperations(this.#callerFor(undefined)));
    this.oneWay = this.#oneWayFor(undefined);
  }

  /** What calls use that name none; undefined: none was given. */
  get namespaceName(): string | undefined {
    return this.#exchange.options.namespace;
  }

  /** Whether there is a connection now, as far as is known without asking. */
  get isConnected(): boolean {
    return this.#exchange.isConnected;
  }

  /** What the server said of itself when it was last connected to. */
  get hello(): Hello | undefined {
    return this.#hello;
  }

  /** The same client with another namespace for calls that name none. */
  withNamespace(namespace: string): NamespacedClient {
    checkNamespace(namespace, (message) => new ArgumentError(message));
    return {
      ...createOperations(this.#callerFor(namespace)),
      namespaceName: namespace,
      oneWay: this.#oneWayFor(namespace),
      watch: (start, options) => this.#watches.start(start ?? {}, options ?? {}, namespace),
    };
  }

  /**
   * Any operation by its name, also one that this package does not know.
   * @param params positional, with the namespace where the operation has one (null: the client's)
   */
  call(method: string, params: readonly unknown[] = [], options?: object, call: CallOptions = {}): Promise<unknown> {
    return this.#exchange.request(this.#methodOf(method), params, options, call);
  }

  /** The same as a notification. Throws where it cannot be sent. */
  notify(method: string, params: readonly unknown[] = [], options?: object, call: CallOptions = {}): void {
    this.#exchange.notify(this.#methodOf(method), params, options, call);
  }

  /**
   * Events of the namespace's sessions, from now on, as an async iterator.
   * @param start which ones: kinds, user, client, pool; with their data or without
   */
  watch(start: WatchStartOptions = {}, options: WatchOptions = {}): Promise<Watch> {
    return this.#watches.start(start, options, undefined);
  }

  /** Takes no more calls, waits for the answers of those that were made, and closes the connection. */
  close(): Promise<void> {
    this.#watches.finish();
    return this.#exchange.close();
  }

  /** Closes at once: what waits rejects with CLOSED. */
  destroy(): void {
    this.#watches.finish();
    this.#exchange.destroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Later, so that a listener that throws does not stop what is under way. */
  #tell<Name extends keyof ClientEvents>(name: Name, event: ClientEvents[Name][0]): void {
    process.nextTick(() => (this as EventEmitter).emit(name, event));
  }

  #callerFor(namespace: string | undefined): Caller {
    return {
      request: (method, params, options, call) =>
        this.#exchange.request(method, params, options, inNamespace(call, namespace)),
    };
  }

  #oneWayFor(namespace: string | undefined): OneWayOperations {
    const notify: Caller["request"] = (method, params, options, call) => {
      this.#exchange.notify(method, params, options, inNamespace(call, namespace));
      return undefined as unknown as Promise<unknown>;
    };
    return createOperations({ request: notify }) as unknown as OneWayOperations;
  }

  /** Its parameters are given whole, so the exchange is to put nothing before them. */
  #methodOf(name: string): Method {
    if (typeof name !== "string" || name === "") throw new ArgumentError("The method is no name, such as session.get.");
    const known: Method | undefined = (METHODS as Record<string, Method>)[name];
    return { name, number: known?.number, isWrite: known?.isWrite ?? true, params: [] };
  }
}

function inNamespace(call: CallOptions | undefined, namespace: string | undefined): CallOptions | undefined {
  return namespace === undefined || call?.namespace !== undefined ? call : { ...call, namespace };
}

/** A client that is connected. Rejects, and leaves nothing open, where that does not succeed within the timeout. */
export async function connect(urlOrOptions: string | ClientOptions = {}, options: ClientOptions = {}): Promise<Client> {
  const client = new Client(urlOrOptions, options);
  try {
    await client.server.ping();
  } catch (error) {
    client.destroy();
    throw error;
  }
  return client;
}
