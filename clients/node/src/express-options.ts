// The options of the express-session store, checked and filled in, and how its methods answer.
import { Client } from "./client.js";
import { ArgumentError } from "./errors.js";
import type { GroupOf, LifetimeRule, Serializer } from "./express-values.js";
import type { Operations } from "./generated/operations.js";
import type { ClientOptions } from "./options.js";

export type Sessions = Operations["session"];
/** Whatever has the operations: a Client of either build, or what `withNamespace` of one answers. */
export type Connection = {
  readonly session: Sessions;
  withNamespace?(namespace: string): { readonly session: Sessions };
};

export type Callback<Value> = (error: any, value?: Value) => void;
export type Done = (error?: any) => void;

/** Those of the store; where it is to connect by itself (no `connection`), all options of a Client too. */
export interface SessiondStoreOptions extends ClientOptions {
  /**
   * A Client that the store is to use and that stays yours to close. Or a function of the session that names the
   * browser or device it belongs to (see `user`); the Client is `connection` then.
   */
  client?: Connection | GroupOf;
  /** A Client that the store is to use and that stays yours to close. */
  connection?: Connection;
  /** Of the sessions; default: the URL's or the client's, else "express". */
  namespace?: string;
  /** Put before each id ("": namespaces keep stores apart already). */
  prefix?: string;
  /**
   * Seconds that a session without a `cookie.maxAge` lives after its last request; default: the namespace's
   * `idle_timeout_ms`, a day. As a function of the session it is asked for all; 0 or less ends the session.
   */
  ttl?: number | ((session: any) => number);
  /** Sessions never expire (false). */
  disableTTL?: boolean;
  /** A request that changes nothing does not renew its session (false). */
  disableTouch?: boolean;
  /** In place of JSON's values, which the server and other clients can read: what `stringify` answers is stored. */
  serializer?: Serializer;
  /** Sessions in one answer as `all`, `ids` and a `clear` with a prefix read them, 1 to 1,000 (100). */
  scanCount?: number;
  /** Whose session it is, as a function of the session: asked at each set, for `revokeAll({ user })` and lists. */
  user?: GroupOf;
}

export interface StoreOptions extends LifetimeRule {
  readonly sessions: Sessions;
  /** The one that the store made, and is to close. */
  readonly ownClient: Client | undefined;
  readonly prefix: string;
  readonly disableTouch: boolean;
  readonly serializer: Serializer | undefined;
  readonly scanCount: number;
  readonly user: GroupOf | undefined;
  readonly client: GroupOf | undefined;
}

/** Throws ARGUMENT, or URL, naming the option. Options of a Client are checked by the client. */
export function resolveStoreOptions(given: SessiondStoreOptions): StoreOptions {
  if (typeof given !== "object" || given === null) throw new ArgumentError("The store's options are no object.");
  const { client, connection, prefix, ttl, disableTTL, disableTouch, serializer, scanCount, user, ...others } = given;
  const groupOfClient = typeof client === "function" ? client : undefined;
  const used = connection ?? (groupOfClient ? undefined : (client as Connection | undefined));
  check(!(connection && client && !groupOfClient), "Both client and connection are Clients; give one of them.");
  check(prefix == null || typeof prefix === "string", "The option prefix is no text.");
  check(ttl == null || typeof ttl === "function" || (typeof ttl === "number" && ttl > 0), TTL_RULE);
  check(user == null || typeof user === "function", "The option user is no function of the session.");
  for (const [name, value] of Object.entries({ disableTTL, disableTouch }))
    check(value == null || typeof value === "boolean", `The option ${name} is neither true nor false.`);
  const isScanCountRight = scanCount == null || (Number.isInteger(scanCount) && scanCount >= 1 && scanCount <= 1000);
  check(isScanCountRight, "The option scanCount is no integer from 1 to 1000.");
  const isSerializer = typeof serializer?.parse === "function" && typeof serializer.stringify === "function";
  check(serializer == null || isSerializer, "The option serializer has no functions parse and stringify.");
  return {
    ...(used ? sessionsOf(used, others) : connectionOf(others)),
    prefix: prefix ?? "",
    ttl: ttl ?? undefined,
    disableTTL: disableTTL ?? false,
    disableTouch: disableTouch ?? false,
    serializer: serializer && (serializer as unknown) !== JSON ? serializer : undefined,
    scanCount: scanCount ?? 100,
    user: user ?? undefined,
    client: groupOfClient,
  };
}

const TTL_RULE = "The option ttl is neither a number of seconds above 0 nor a function; disableTTL turns it off.";

function check(isRight: boolean, message: string): void {
  if (!isRight) throw new ArgumentError(message);
}

function sessionsOf(connection: Connection, others: ClientOptions) {
  const { namespace, ...unused } = others;
  const isOurs = typeof connection === "object" && typeof connection.session?.get === "function";
  check(isOurs, "The client is no Client; give one (what connect answers is to be awaited), or the server's url.");
  const name = Object.keys(unused)[0];
  check(name === undefined, `The option ${name} is for a connection of the store's own; this one is given a client.`);
  const { namespaceName } = connection as { namespaceName?: string };
  const wanted = namespace ?? (namespaceName === undefined ? DEFAULT_NAMESPACE : undefined);
  if (wanted === undefined || wanted === namespaceName) return { sessions: connection.session, ownClient: undefined };
  check(typeof connection.withNamespace === "function", "The client given has a namespace already; give it no other.");
  return { sessions: connection.withNamespace!(wanted).session, ownClient: undefined };
}

const DEFAULT_NAMESPACE = "express";

function connectionOf(options: ClientOptions): { sessions: Sessions; ownClient: Client } {
  const ownClient = new Client({ clientName: "sessiond/express", ...options });
  if (ownClient.namespaceName !== undefined) return { sessions: ownClient.session, ownClient };
  return { sessions: ownClient.withNamespace(DEFAULT_NAMESPACE).session, ownClient };
}

/**
 * Answers by the callback, or by the promise where there is none.
 * @param isCallbackStyle there was a place for a callback
 */
export function answerWith<Value>(
  work: Promise<Value>,
  isCallbackStyle: boolean,
  callback: ((error: any, value?: any) => void) | undefined,
): Promise<Value> | undefined {
  if (typeof callback === "function") {
    // In a turn of its own: what a callback throws is its caller's, and no rejection of ours.
    work.then(
      (value) => process.nextTick(callback, null, value),
      (error) => process.nextTick(callback, error),
    );
    return undefined;
  }
  // express-session hands on the callback that req.session.destroy() was not given, and waits for nothing.
  if (isCallbackStyle) work.catch(() => {});
  return work;
}

/** What a method answers by its callback, as a promise. */
export function byCallback<Value>(call: (done: Callback<any>) => void): Promise<Value> {
  return new Promise((resolve, reject) => call((error, value) => (error ? reject(error) : resolve(value))));
}
