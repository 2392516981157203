// The options of a shared pool in Crawlee's words, checked and put into those of the server.
import type { AdapterOptions } from "./adapter.js";
import { entriesOf, type CookieJarClass } from "./crawlee-cookies.js";
import { ArgumentError } from "./errors.js";
import type { PoolAddOptions, PoolPolicyChange } from "./generated/operations.js";
import { NEVER_MS } from "./lifetimes.js";

/** What may be said about a session. */
export interface SessionOptions {
  /** Names it for every process; left out: the server makes one. */
  id?: string;
  /** Its lifetime in seconds, which may be fractions (3000). 0 and less: it is expired from the beginning. */
  maxAgeSecs?: number;
  /** Whatever is to travel with it; values that MessagePack can hold. */
  userData?: Record<string, unknown>;
  /** From this score on it is blocked (3). */
  maxErrorScore?: number;
  /** What a good mark takes off the score (0.5). */
  errorScoreDecrement?: number;
  createdAt?: Date | string;
  /** Instead of maxAgeSecs. */
  expiresAt?: Date | string;
  usageCount?: number;
  errorCount?: number;
  errorScore?: number;
  /** How often it may be used, by all processes together (50). */
  maxUsageCount?: number;
  /** A CookieJar of tough-cookie, or its form in JSON. */
  cookieJar?: any;
  proxyInfo?: unknown;
  fingerprint?: unknown;
  tags?: readonly string[];
  /** Crawlee's own entries, of no meaning here. */
  sessionPool?: unknown;
  log?: unknown;
}

/** Where warnings go: Crawlee's log, or the like. */
export interface Log {
  warning(message: string): void;
  debug(message: string): void;
}

/** All may be left out. Those of a client (url, timeoutMs ...) are among them, or `client`, one of yours. */
export interface SessiondPoolOptions extends AdapterOptions {
  /** The pool's name (crawlee). */
  pool?: string;
  /** Living sessions (1000). Of this and all other limits: what is given changes the pool for all processes. */
  maxPoolSize?: number;
  /** For new sessions. */
  sessionOptions?: SessionOptions;
  /** Statuses that retire a session (401, 403, 429). */
  blockedStatusCodes?: number[];
  /** Makes the sessions, in place of the server; answers a Session of Crawlee, or its options. */
  createSessionFunction?: (pool: any, options?: { sessionOptions?: SessionOptions }) => any;
  /** Added when the pool is opened, those whose id is known already left out: accounts, proxies. */
  sessions?: readonly SessionOptions[];
  /** auto: while there is room, new sessions are made (default); never: there are those that were added. */
  create?: "auto" | "never";
  /** How sessions are chosen, instead of the pool's policy (random). */
  strategy?: "random" | "round_robin" | "use_until_failure" | "least_used" | "least_recent";
  /** Only sessions with all of these; new ones get them. */
  tags?: readonly string[];
  /** Further entries of the pool's policy, such as cooldown_ms and max_concurrent, for all processes. */
  policy?: PoolPolicyChange;
  /** How long getSession waits for a session where none is free (milliseconds, 30,000; at most 60,000). */
  waitMs?: number;
  /** How long a server that cannot be reached is tried again (milliseconds, 30,000). */
  patienceMs?: number;
  /** The same at teardown, for what is still to be sent (milliseconds, 5,000). */
  teardownMs?: number;
  /** The class CookieJar of tough-cookie; the crawlers' hooks find it themselves. */
  CookieJar?: CookieJarClass;
  /** Warnings go there; left out: to process.emitWarning. */
  log?: Log | any;
  /** Crawlee's own entries: the server keeps the pool, so they mean nothing here. */
  persistStateKeyValueStoreId?: string;
  persistStateKey?: string;
  persistenceOptions?: object;
}

/** The options by whose they are, with defaults. */
export interface Resolved {
  clientOptions: AdapterOptions;
  pool: string;
  sessionOptions: SessionOptions;
  policy: PoolPolicyChange;
  /** Whether the server can make new sessions by the policy alone. */
  isServerMade: boolean;
  own: SessiondPoolOptions;
  waitMs: number;
  patienceMs: number;
  teardownMs: number;
}

const OWN = new Set(
  (
    "pool maxPoolSize sessionOptions blockedStatusCodes createSessionFunction sessions create strategy tags policy " +
    "waitMs patienceMs teardownMs CookieJar log persistStateKeyValueStoreId persistStateKey persistenceOptions"
  ).split(" "),
);
/** Options of a session that are the same for all, and so the pool's. */
const POLICY = new Set(["maxAgeSecs", "maxErrorScore", "errorScoreDecrement", "maxUsageCount"]);
/** How well the server's clock is known here: its time is that of a batch of requests, and both count whole milliseconds. */
const CLOCK_MARGIN_MS = 5;
const NUMBERS = [
  "maxAgeSecs",
  "maxErrorScore",
  "errorScoreDecrement",
  "usageCount",
  "errorCount",
  "errorScore",
  "maxUsageCount",
] as const;
const DATES = ["createdAt", "expiresAt"] as const;

const MEMBERS = [...NUMBERS, ...DATES, "id", "userData", "cookieJar", "proxyInfo", "fingerprint"] as const;
const KNOWN = new Set<string>([...MEMBERS, "tags", "sessionPool", "log"]);

/** Throws an ArgumentError that names the option. */
export function resolvePoolOptions(options: SessiondPoolOptions): Resolved {
  const own: Record<string, unknown> = {};
  const clientOptions: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options))
    if (value !== undefined) (OWN.has(name) ? own : clientOptions)[name] = value;
  const { sessionOptions = {}, policy = {}, pool = "crawlee", create = "auto" } = own as SessiondPoolOptions;
  if (typeof pool !== "string" || pool === "") throw new ArgumentError("The option pool is no name.");
  if (create !== "auto" && create !== "never")
    throw new ArgumentError(`The option create is ${String(create)}; give "auto" or "never".`);
  checkSession(sessionOptions, "sessionOptions");
  for (const session of options.sessions ?? []) checkSession(session, "sessions");
  if (sessionOptions.maxAgeSecs !== undefined && sessionOptions.maxAgeSecs <= 0)
    throw new ArgumentError(
      `maxAgeSecs is ${sessionOptions.maxAgeSecs}, so no session could be used; give more than 0.`,
    );
  const isTemplate = Object.keys(sessionOptions).some((name) => !POLICY.has(name) && name !== "log");
  return {
    clientOptions,
    pool,
    sessionOptions,
    policy: { ...policyOf(sessionOptions, own as SessiondPoolOptions), ...policy },
    isServerMade: !isTemplate && !options.createSessionFunction,
    own: own as SessiondPoolOptions,
    waitMs: checkMs("waitMs", options.waitMs, 30_000, 60_000),
    patienceMs: checkMs("patienceMs", options.patienceMs, 30_000),
    teardownMs: checkMs("teardownMs", options.teardownMs, 5000),
  };
}

function checkMs(name: string, value: number | undefined, normally: number, max = 0x7fff_ffff): number {
  if (value === undefined) return normally;
  if (typeof value !== "number" || !(value >= 0) || value > max)
    throw new ArgumentError(`The option ${name} is ${String(value)}; give milliseconds from 0 to ${max}.`);
  return value;
}

/** What the server does not see with these names. */
function checkSession(options: SessionOptions, where: string): void {
  if (typeof options !== "object" || options === null) throw new ArgumentError(`${where} is no object of options.`);
  for (const name of Object.keys(options))
    if (!KNOWN.has(name))
      throw new ArgumentError(`There is no option "${name}" in ${where}; there are ${[...KNOWN].join(", ")}.`);
  for (const name of NUMBERS)
    if (options[name] !== undefined && !Number.isFinite(options[name]))
      throw new ArgumentError(`${name} in ${where} is ${String(options[name])}; give a number.`);
  for (const name of DATES)
    if (options[name] !== undefined && Number.isNaN(momentOf(options[name])))
      throw new ArgumentError(`${name} in ${where} is ${String(options[name])}; give a Date.`);
  const { userData } = options;
  if (userData !== undefined && (typeof userData !== "object" || userData === null || Array.isArray(userData)))
    throw new ArgumentError(`userData in ${where} is no object.`);
}

/** Only what is given: the rest is as the pool has it. */
function policyOf(session: SessionOptions, pool: SessiondPoolOptions): PoolPolicyChange {
  const policy: PoolPolicyChange = {};
  if (pool.maxPoolSize !== undefined) policy.max_pool_size = pool.maxPoolSize;
  if (pool.blockedStatusCodes !== undefined) policy.blocked_status_codes = pool.blockedStatusCodes;
  if (session.maxAgeSecs !== undefined) policy.absolute_timeout_ms = durationOf(session.maxAgeSecs);
  if (session.maxUsageCount !== undefined) policy.max_usage_count = session.maxUsageCount;
  if (session.maxErrorScore !== undefined) policy.max_error_score = session.maxErrorScore;
  if (session.errorScoreDecrement !== undefined) policy.error_score_decrement = session.errorScoreDecrement;
  return policy;
}

/** Above 0, as 0 would be no end at all. */
function durationOf(seconds: number): number {
  return Math.max(1, Math.round(seconds * 1000));
}

function momentOf(date: Date | string | undefined): number {
  return date === undefined ? NaN : new Date(date).getTime();
}

/** What a createSessionFunction or a user gave: options, or a Session of Crawlee, whose members have the same names. */
export function optionsOf(given: any): SessionOptions {
  if (typeof given !== "object" || given === null)
    throw new ArgumentError(`A session to be added is ${String(given)}; give a Session or its options.`);
  if (typeof given.getState !== "function") return given;
  const options: Record<string, unknown> = {};
  for (const name of MEMBERS) if (given[name] !== undefined) options[name] = given[name];
  return options;
}

/** A session's options as those of pool.add. */
export function addOptionsOf(
  given: SessionOptions,
  now: number,
  CookieJar: CookieJarClass | undefined,
): PoolAddOptions {
  checkSession(given, "a session");
  const { maxAgeSecs, createdAt, expiresAt } = given;
  const options: PoolAddOptions = {
    id: given.id,
    data: given.userData,
    meta: metaOf(given, CookieJar),
    tags: given.tags,
    usage_count: given.usageCount,
    error_count: given.errorCount,
    error_score: given.errorScore,
    max_usage_count: given.maxUsageCount,
    max_error_score: given.maxErrorScore,
    error_score_decrement: given.errorScoreDecrement,
  };
  // The server refuses a beginning in the future, which a clock that is a little fast makes of "now".
  if (createdAt !== undefined) options.created_at = Math.min(momentOf(createdAt), now - CLOCK_MARGIN_MS);
  if (expiresAt !== undefined && momentOf(expiresAt) >= NEVER_MS) options.timeouts = { absolute_timeout_ms: 0 };
  else if (expiresAt !== undefined) options.absolute_expires_at = momentOf(expiresAt);
  else if (maxAgeSecs !== undefined && maxAgeSecs <= 0) options.absolute_expires_at = now;
  else if (maxAgeSecs !== undefined) options.timeouts = { absolute_timeout_ms: durationOf(maxAgeSecs) };
  return options;
}

function metaOf(given: SessionOptions, CookieJar: CookieJarClass | undefined): object {
  const meta: Record<string, unknown> = {};
  if (given.proxyInfo !== undefined) meta["proxyInfo"] = given.proxyInfo;
  if (given.fingerprint !== undefined) meta["fingerprint"] = given.fingerprint;
  const { cookieJar } = given;
  if (cookieJar === undefined || cookieJar === null) return meta;
  const json = typeof cookieJar.toJSON === "function" ? cookieJar.toJSON() : cookieJar;
  const jar = CookieJar ? CookieJar.fromJSON(JSON.stringify(json)) : { toJSON: () => json };
  return { ...meta, ...Object.fromEntries(entriesOf(jar)) };
}
