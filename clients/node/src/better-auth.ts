// better-auth's secondaryStorage: its sessions, verifications and counters as keys of one namespace.
//
// A key is a session of that name, its text is {value}. A text that is a whole number is kept as one, so that
// `increment` can add to it. better-auth deletes keys and sets them again, so a key that is gone is begun anew; but not
// one of its sessions, which it deletes when somebody signs out and sets with every update: there the sign-out has won,
// and what a slower request writes is dropped.
import { createHash } from "node:crypto";
import { preparedByConnection, takeClient, type AdapterOptions } from "./adapter.js";
import type { NamespacedClient } from "./client.js";
import { ArgumentError } from "./errors.js";
import { LIMITS } from "./generated/constants.js";
import type { SessionRecord } from "./generated/operations.js";

/** Where the keys are kept. */
export interface StorageOptions extends AdapterOptions {
  /** The namespace of the keys alone; default: the URL's, else "better-auth". It is configured with the first call. */
  namespace?: string;
}

/**
 * What better-auth takes as its `secondaryStorage`. A call rejects with a SessiondError where the server cannot be
 * reached (CONNECTION, TIMEOUT), has no room (TOO_BIG, NO_MEMORY, LIMIT, STORAGE), or an argument is wrong (ARGUMENT).
 */
export interface SessiondStorage {
  /** The text under a key; null: there is none, or its time is over. Reading does not lengthen its time. */
  get(key: string): Promise<string | null>;
  /**
   * Keeps a text under a key, in place of what was there. A session of better-auth's whose token was deleted stays
   * deleted: nothing is kept then, and the call resolves.
   * @param key any text but an empty one; one of more than 255 bytes is kept under its SHA-256
   * @param value at most 1 MiB
   * @param ttl seconds from now on, fractions too; left out: for ever; 0 or less: its time is over, and the key is gone
   */
  set(key: string, value: string, ttl?: number | null): Promise<void>;
  /** Removes a key; one that is not there is no error. */
  delete(key: string): Promise<void>;
  /** Reads a key and removes it in one step: of many callers exactly one gets the text. */
  getAndDelete(key: string): Promise<string | null>;
  /**
   * Adds 1 to the number under a key, in one step, and answers the sum. BAD_REQUEST where a text is no number.
   * @param ttl seconds that a counter which is begun now lasts, however often it is incremented; left out: for ever
   */
  increment(key: string, ttl?: number | null): Promise<number>;
  /** Waits for the calls that were made and closes the connection, unless it is that of a client of yours. */
  close(): Promise<void>;
}

const KEPT_AS_NUMBER = /^(0|-?[1-9]\d*)$/;
/** Nothing reads a key whose time is over, and there are many: those of limits live for seconds. */
const POLICY = { retention_ms: 0 };
const MAX_TRIES = 10; // others may delete and set the same key as often in between

/**
 * A storage for `betterAuth({ secondaryStorage })`. It connects with its first call, and an idle one does not keep the
 * process alive. Throws an UrlError or ArgumentError where the URL or an option cannot be used.
 */
export function sessiondStorage(urlOrOptions: string | StorageOptions = {}): SessiondStorage {
  const { client, isGiven, namespace, close } = takeClient(urlOrOptions, "sessiond for better-auth");
  const name = namespace ?? (isGiven ? undefined : client.namespaceName) ?? "better-auth";
  const keys = client.withNamespace(name);
  const ready = preparedByConnection(client, configuring(keys));
  return {
    async get(key) {
      const id = idOf(key);
      await ready();
      return valueOf(key, await keys.session.get(id, { fields: ["data"] }));
    },
    async set(key, value, ttl) {
      const id = idOf(key);
      const data = { value: numberOr(key, value) };
      const ttl_ms = millisecondsOf(ttl);
      await ready();
      const timeouts = { idle_timeout_ms: ttl_ms, absolute_timeout_ms: 0 };
      if (ttl_ms < 0) await keys.session.destroy(id);
      else
        await beginningAnew(
          () => keys.session.set(id, data, { timeouts }),
          async () => {
            if (!isSession(key, value)) await keys.session.create({ id, data, timeouts, revive: true, fields: ["id"] });
          },
        );
    },
    async delete(key) {
      const id = idOf(key);
      await ready();
      await keys.session.destroy(id);
    },
    async getAndDelete(key) {
      const id = idOf(key);
      await ready();
      return valueOf(key, await keys.session.take(id, { fields: ["data"] }));
    },
    async increment(key, ttl) {
      const id = idOf(key);
      const ttl_ms = millisecondsOf(ttl);
      if (ttl_ms < 0) throw new ArgumentError(`The ttl is ${ttl}; a counter that begins lasts longer than 0 seconds.`);
      await ready();
      const timeouts = { idle_timeout_ms: 0, absolute_timeout_ms: ttl_ms };
      const data = { value: 1 };
      return beginningAnew(
        async () => (await keys.session.patch(id, { incr: data, create: true, timeouts }))!.values!["value"]!,
        async () => {
          await keys.session.create({ id, data, timeouts, revive: true, fields: ["id"] });
          return 1;
        },
      );
    },
    close,
  };
}

/** Writes a key, or begins it anew where it is gone; it may be begun by another one, and end, in between. */
async function beginningAnew<T, B>(write: () => Promise<T>, begin: () => Promise<B> | B): Promise<T | B> {
  for (let tries = 1; ; tries++) {
    try {
      return await write();
    } catch (error) {
      if (codeOf(error) !== "GONE" || tries === MAX_TRIES) throw error;
    }
    try {
      return await begin();
    } catch (error) {
      if (codeOf(error) !== "EXISTS") throw error;
    }
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && "code" in error ? error.code : undefined;
}

/** Whether a text is the session whose token is the key, as better-auth stores it. */
function isSession(key: string, value: string): boolean {
  try {
    return JSON.parse(value)?.session?.token === key;
  } catch {
    return false;
  }
}

/** Gives the namespace its policy, at first only if nobody else's sessions are there. */
function configuring(keys: NamespacedClient): () => Promise<void> {
  let isOurs = false;
  return async () => {
    if (!isOurs) await checkNamespaceIsFree(keys);
    await keys.namespace.configure(POLICY);
    isOurs = true;
  };
}

/** Sessions that are kept after their end for somebody to read are not to be forgotten unasked. */
async function checkNamespaceIsFree(keys: NamespacedClient): Promise<void> {
  const found = await keys.namespace.describe();
  if (found === null || found.policy.retention_ms === 0 || found.sessions === 0) return;
  throw new ArgumentError(
    `The namespace "${keys.namespaceName}" has ${found.sessions} sessions, which are kept for ` +
      `${found.policy.retention_ms} ms after their end; the storage's keys are not. Give better-auth a namespace of its own.`,
  );
}

/** Some keys hold what a visitor sent, such as a path of any length. */
function idOf(key: string): string {
  if (typeof key !== "string" || key === "") throw new ArgumentError("The key is no text of at least one letter.");
  if (Buffer.byteLength(key) <= LIMITS.max_id) return key;
  return `sha256-${createHash("sha256").update(key).digest("base64url")}`;
}

function numberOr(key: string, value: string): string | number {
  if (typeof value !== "string")
    throw new ArgumentError(`The value of "${key}" is of the type ${typeof value}; give a text, as JSON.stringify.`);
  const number = Number(value);
  return KEPT_AS_NUMBER.test(value) && Number.isSafeInteger(number) ? number : value;
}

/** 0: for ever; below 0: its time is over. */
function millisecondsOf(ttl: number | null | undefined): number {
  if (ttl === undefined || ttl === null) return 0;
  if (typeof ttl !== "number" || !Number.isFinite(ttl))
    throw new ArgumentError(`The ttl is ${String(ttl)}; give a number of seconds, or leave it out.`);
  return ttl <= 0 ? -1 : Math.ceil(ttl * 1000);
}

function valueOf(key: string, record: SessionRecord | null): string | null {
  if (record === null) return null;
  const value: unknown = record.data?.value;
  if (typeof value !== "string" && typeof value !== "number")
    throw new ArgumentError(`What stands under "${key}" was not set by this storage; give it a namespace of its own.`);
  return String(value);
}
