// What a web session is on its way to the server and back: which part is data and which is cookie, how long it lives,
// whose it is, and what changed since it was loaded. Nothing here is sent.
import { ArgumentError } from "./errors.js";
import type { SessionRecord, Timeouts } from "./generated/operations.js";

/** A session's cookie as JSON keeps it; `expires` is an ISO date or null. */
export interface StoredCookie {
  originalMaxAge?: number | null;
  expires?: any;
  [attribute: string]: any;
}

/** A session as the store hands it out and takes it in. */
export interface StoredSession {
  cookie?: any;
  [key: string]: any;
}

/** A name for a group, or something that has one as its text; null, undefined and "" are no group. */
export type GroupName = string | number | bigint | { toString(): string } | null | undefined;
export type GroupOf = (session: any) => GroupName;

export type Meta = Readonly<Record<string, unknown>>;

/** Turns sessions into something else than JSON would, such as ciphertext. */
export interface Serializer {
  stringify(session: any): unknown;
  parse(value: any): any;
}

/** Milliseconds since the last activity; 0: for ever; undefined: as the namespace says; "over": it has ended. */
export type Lifetime = number | undefined | "over";

export interface LifetimeRule {
  /** seconds, of sessions whose cookie has no end; as a function: of all sessions */
  ttl?: number | ((session: any) => number);
  disableTTL: boolean;
}

/** A session as it is to be written, or was last read or written. */
export interface Snapshot {
  /** by key, what JSON makes of the value */
  texts: ReadonlyMap<string, string>;
  /** the cookie's attributes without the moment of its end, which moves with every request; "": it has none */
  cookieText: string;
  /** when the cookie ends; undefined: with the browser's session */
  end_ms: number | undefined;
  lifetime: Lifetime;
  user: string | null | undefined;
  client: string | null | undefined;
}

/** Keys that differ between two snapshots. */
export interface Changes {
  set: Record<string, unknown>;
  unset: string[];
}

/** The longest duration that the server takes, ten years. */
const MAX_DURATION_MS = 315_576_000_000;

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Divides what JSON keeps of a session into cookie and contents. Throws what JSON.stringify throws, or ARGUMENT. */
export function splitSession(session: unknown): { data: Record<string, unknown>; cookie: StoredCookie | undefined } {
  let text: string | undefined;
  try {
    text = JSON.stringify(session);
  } catch (cause) {
    throw new ArgumentError(`The session cannot be stored, as JSON cannot hold it: ${(cause as Error).message}`, {
      cause,
    });
  }
  const data: unknown = text === undefined ? undefined : JSON.parse(text);
  if (!isMap(data)) throw new ArgumentError("The session cannot be stored, as it is no object.");
  const cookie = data["cookie"];
  if (!isMap(cookie)) return { data, cookie: undefined };
  delete data["cookie"];
  return { data, cookie };
}

/** What JSON makes of each value; "" of one that it cannot hold. */
export function textsOf(data: Record<string, unknown>): Map<string, string> {
  const texts = new Map<string, string>();
  for (const [key, value] of Object.entries(data)) texts.set(key, textOf(value));
  return texts;
}

function textOf(value: unknown): string {
  try {
    return JSON.stringify(value) ?? "";
  } catch {
    return "";
  }
}

export function cookieTextOf(cookie: StoredCookie | undefined): string {
  if (cookie === undefined) return "";
  return JSON.stringify({ ...cookie, expires: cookie.expires == null ? null : "" });
}

/** What leads from one snapshot to the other. `data` has the values of the second one's texts. */
export function changesBetween(
  from: ReadonlyMap<string, string>,
  to: ReadonlyMap<string, string>,
  data: Record<string, unknown>,
): Changes {
  const set = [...to].filter(([key, text]) => from.get(key) !== text).map(([key]) => [key, data[key]]);
  return { set: Object.fromEntries(set), unset: [...from.keys()].filter((key) => !to.has(key)) };
}

/** Contents with the changes made to them; the ones given stay as they are. */
export function applyChanges(data: Record<string, unknown>, changes: Changes): Record<string, unknown> {
  const kept = Object.entries(data).filter(([key]) => !changes.unset.includes(key));
  return Object.fromEntries([...kept, ...Object.entries(changes.set)]);
}

export function countChanges(changes: Changes): number {
  return Object.keys(changes.set).length + changes.unset.length;
}

/** When a cookie ends; undefined where nothing says so. */
export function endOf(cookie: StoredCookie | undefined): number | undefined {
  const end_ms = cookie?.expires == null ? NaN : new Date(cookie.expires).getTime();
  return Number.isNaN(end_ms) ? undefined : end_ms;
}

/**
 * How long a session lives, from its cookie or the rule. Throws ARGUMENT where the rule gives no number.
 * @param loaded what was known of it before
 */
export function lifetimeOf(
  session: unknown,
  cookie: StoredCookie | undefined,
  rule: LifetimeRule,
  loaded?: Snapshot,
): Lifetime {
  if (rule.disableTTL) return 0;
  if (typeof rule.ttl === "function") return lifetimeOfSeconds(rule.ttl(session));
  const end_ms = endOf(cookie);
  if (end_ms === undefined) return rule.ttl === undefined ? undefined : lifetimeOfSeconds(rule.ttl);
  // That time passed since it was loaded or renewed is no wish for a shorter life: a slow request would end a session
  // that others keep alive, and each request would be an update.
  if (loaded?.end_ms === end_ms) return loaded.lifetime;
  const rest = end_ms - Date.now();
  const whole = cookie?.originalMaxAge;
  const isRenewed = typeof whole === "number" && whole >= rest && whole - rest <= Math.min(50, whole / 100);
  return lifetimeOfMs(isRenewed ? whole : rest);
}

function lifetimeOfSeconds(seconds: unknown): Lifetime {
  if (typeof seconds !== "number" || Number.isNaN(seconds))
    throw new ArgumentError(`ttl gives ${String(seconds)}; it is to be a number of seconds.`);
  return lifetimeOfMs(seconds * 1000);
}

/** Milliseconds of life; none are left where it is 0 or less. */
export function lifetimeOfMs(duration_ms: number): Lifetime {
  return duration_ms <= 0 ? "over" : Math.min(Math.ceil(duration_ms), MAX_DURATION_MS);
}

/** The options of a write that gives a session this lifetime. */
export function lifetimeOptions(lifetime: Lifetime): { timeouts?: Timeouts; absolute_expires_at?: number } {
  // A duration of 0 is none, so what has ended is given a deadline in the past.
  if (lifetime === "over") return { absolute_expires_at: 1 };
  return { timeouts: { idle_timeout_ms: lifetime ?? null } };
}

/** The name of a session's group; undefined: the store has nothing to say about it. Throws ARGUMENT. */
export function groupOf(name: "user" | "client", of: GroupOf | undefined, session: unknown): string | null | undefined {
  if (of === undefined) return undefined;
  const group = of(session);
  if (group === null || group === undefined || group === "") return null;
  const isText = typeof group === "object" ? group.toString !== Object.prototype.toString : typeof group !== "boolean";
  if (!isText || typeof group === "function" || typeof group === "symbol")
    throw new ArgumentError(`The function ${name} gives what is no name: ${typeof group}.`);
  return String(group);
}

/** What a record keeps beside its data, the cookie among it. */
export function metaOf(record: SessionRecord): Meta {
  return isMap(record.meta) ? record.meta : {};
}

/** The cookie as it was stored: its `expires` is that of the last change. */
export function cookieIn(meta: Meta): StoredCookie | undefined {
  return isMap(meta["cookie"]) ? meta["cookie"] : undefined;
}

/** The cookie of a record as express-session is to see it. */
export function cookieOf(record: SessionRecord, rule: LifetimeRule): StoredCookie | undefined {
  const stored = cookieIn(metaOf(record));
  if (!stored) return undefined;
  const isEndKnown = typeof rule.ttl !== "function" && !rule.disableTTL && record.expires_at > 0;
  const { expires } = stored;
  return { ...stored, expires: expires != null && isEndKnown ? new Date(record.expires_at).toISOString() : expires };
}
