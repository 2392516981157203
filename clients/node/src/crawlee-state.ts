// What this process knows of one session of a shared pool: its counters, its userData and its cookies. All hand-outs of
// the session in this process share it.
//
// What is always true: the server has the truth. Counters run ahead of it by the marks that are under way. Data and
// cookies are merged entry by entry: what was changed here is sent, what was changed elsewhere is taken over, and of an
// entry that was changed on both sides the later one to be sent stays. At most one sending is under way, so that an
// older value never overtakes a newer one. A session that was retired is never usable again.
import type { NamespacedClient } from "./client.js";
import {
  entriesOf,
  isCookieKey,
  putEntry,
  removeEntry,
  type CookieJarClass,
  type CookieJarLike,
} from "./crawlee-cookies.js";
import { ArgumentError, type SessiondError } from "./errors.js";
import type { SessionRecord } from "./generated/operations.js";
import { encode } from "./msgpack.js";
import type { Marked } from "./shapes.js";

/** What a session needs of its pool. */
export interface Home {
  readonly client: NamespacedClient;
  readonly CookieJar: CookieJarClass | undefined;
  readonly blockedStatusCodes: number[];
  /** The server's clock (milliseconds since the Unix epoch). */
  now(): number;
  warn(message: string): void;
  debug(message: string): void;
  /** Runs until it succeeds, is refused, or the pool's patience is over, at once for the first time; then calls over. */
  keep(what: string, run: () => Promise<void>, over: () => void): void;
  /** This process retired the session: tell whoever listens, once. */
  announce(state: SharedState): void;
  /** The server will not hand it out again. */
  gone(state: SharedState): void;
}

/** What is asked of the local side of a map that two sides change. */
interface Local {
  entries(): Iterable<[string, unknown]>;
  put(key: string, value: unknown): void;
  remove(key: string, last: unknown): void;
}

interface Change {
  set: Record<string, unknown>;
  unset: string[];
  codes: Map<string, string>;
}

/** Entries of data or meta: what both sides knew last, against which each side's changes are seen. */
class Replica {
  readonly #local: Local;
  readonly #warn: (key: string, error: SessiondError) => void;
  readonly #unsendable = new Set<string>();
  #known = new Map<string, { code: string; value: unknown }>();

  constructor(local: Local, warn: (key: string, error: SessiondError) => void) {
    this.#local = local;
    this.#warn = warn;
  }

  /** The local entries in the form in which they are compared. One that cannot be sent is told of once, and left out. */
  #codes(): Map<string, { code: string; value: unknown }> {
    const codes = new Map<string, { code: string; value: unknown }>();
    for (const [key, value] of this.#local.entries()) {
      if (value === undefined) continue;
      try {
        codes.set(key, { code: encode(value).toString("latin1"), value });
      } catch (error) {
        if (!this.#unsendable.has(key)) this.#warn(key, error as SessiondError);
        this.#unsendable.add(key);
        const known = this.#known.get(key);
        if (known) codes.set(key, known);
      }
    }
    return codes;
  }

  /** What was changed here since. */
  changes(): Change | undefined {
    const local = this.#codes();
    const change: Change = { set: {}, unset: [], codes: new Map() };
    for (const [key, { code, value }] of local) {
      if (this.#known.get(key)?.code === code) continue;
      change.set[key] = value;
      change.codes.set(key, code);
    }
    for (const key of this.#known.keys()) if (!local.has(key)) change.unset.push(key);
    return change.codes.size + change.unset.length > 0 ? change : undefined;
  }

  /** The server has it. */
  settle({ set, unset, codes }: Change): void {
    for (const [key, code] of codes) this.#known.set(key, { code, value: set[key] });
    for (const key of unset) this.#known.delete(key);
  }

  /** What the server has now. */
  take(remote: Iterable<[string, unknown]>): void {
    const local = this.#codes();
    const known = this.#known;
    this.#known = new Map();
    for (const [key, value] of remote) {
      if (key === "__proto__") continue; // whoever wrote that: it is no key of an object
      const code = encode(value).toString("latin1");
      this.#known.set(key, { code, value });
      const last = known.get(key)?.code;
      if (code !== last && local.get(key)?.code === last) this.#local.put(key, value);
    }
    for (const [key, { code, value }] of known)
      if (!this.#known.has(key) && local.get(key)?.code === code) this.#local.remove(key, value);
  }
}

/** Members of meta that are no cookies and yet the session's. */
const EXTRAS = ["proxyInfo", "fingerprint"] as const;

export class SharedState {
  readonly id: string;
  readonly home: Home;
  userData: Record<string, unknown> = {};
  proxyInfo: unknown = undefined;
  fingerprint: unknown = undefined;
  createdAt = 0;
  /** 0: it never expires by itself. */
  expiresAt = 0;
  maxAgeMs = 0;
  usageCount = 0;
  maxUsageCount = 50;
  errorCount = 0;
  errorScore = 0;
  maxErrorScore = 3;
  errorScoreDecrement = 0.5;
  /** Unusable for ever, by this process's or the server's word. */
  isRetired = false;
  isAnnounced = false;
  /** Whether a whole record was ever taken over. */
  isWhole = false;
  #version = 0;
  #marksUnderWay = 0;
  #jar: CookieJarLike | undefined;
  /** The cookies, as long as nobody needed a jar. */
  readonly #entries = new Map<string, unknown>();
  readonly #data: Replica;
  readonly #meta: Replica;
  #isSending = false;
  #isChanged = false;
  #isSyncPlanned = false;

  constructor(id: string, home: Home) {
    this.id = id;
    this.home = home;
    const warn = (key: string, error: SessiondError) =>
      home.warn(`"${key}" of session ${id} stays in this process, as it cannot be sent: ${error.message}`);
    this.#data = new Replica(
      {
        entries: () => Object.entries(this.userData),
        put: (key, value) => (this.userData[key] = value),
        remove: (key) => delete this.userData[key],
      },
      warn,
    );
    this.#meta = new Replica(this.#metaSide(), warn);
  }

  #metaSide(): Local {
    return {
      entries: () => [
        ...EXTRAS.map((name): [string, unknown] => [name, this[name]]),
        ...(this.#jar ? entriesOf(this.#jar) : this.#entries),
      ],
      put: (key, value) => {
        if (!isCookieKey(key)) this[key as "proxyInfo"] = value;
        else if (this.#jar) this.#put(this.#jar, key, value);
        else this.#entries.set(key, value);
      },
      remove: (key, last) => {
        if (!isCookieKey(key)) this[key as "proxyInfo"] = undefined;
        else if (this.#jar) removeEntry(this.#jar, last);
        else this.#entries.delete(key);
      },
    };
  }

  /** Throws an ArgumentError where the pool was not told how jars are made. */
  get jar(): CookieJarLike {
    if (this.#jar) return this.#jar;
    const { CookieJar } = this.home;
    if (!CookieJar)
      throw new ArgumentError(
        "The pool has no class for cookie jars; give it the option CookieJar, which is CookieJar of tough-cookie.",
      );
    const jar: CookieJarLike = new CookieJar();
    for (const [key, entry] of this.#entries) this.#put(jar, key, entry);
    this.#entries.clear();
    return (this.#jar = jar);
  }

  /** What is no cookie leaves meta with the next sending. */
  #put(jar: CookieJarLike, key: string, entry: unknown): void {
    if (!putEntry(jar, entry)) this.home.debug(`"${key}" in the meta of session ${this.id} is no cookie.`);
  }

  /** The jar in the form of JSON, also where there is no class for one. */
  jarJson(): any {
    if (this.home.CookieJar) return this.jar.toJSON();
    return { cookies: [...this.#entries.values()] };
  }

  isExpired(): boolean {
    return this.expiresAt !== 0 && this.expiresAt <= this.home.now();
  }

  /** @param openUses uses that were counted and have not happened yet */
  isUsable(openUses: number): boolean {
    const isUsedUp = this.usageCount - openUses >= this.maxUsageCount;
    return !this.isRetired && !isUsedUp && this.errorScore < this.maxErrorScore && !this.isExpired();
  }

  /** What the server says of the session. */
  take(record: SessionRecord): void {
    this.createdAt = record.created_at;
    this.expiresAt = record.expires_at;
    this.maxAgeMs = record.absolute_timeout_ms;
    this.maxUsageCount = record.max_usage_count ?? this.maxUsageCount;
    this.maxErrorScore = record.max_error_score ?? this.maxErrorScore;
    this.errorScoreDecrement = record.error_score_decrement ?? this.errorScoreDecrement;
    this.isRetired ||= record.retired === true || record.status !== "active";
    if (this.#marksUnderWay === 0) {
      this.usageCount = record.usage_count ?? 0;
      this.errorCount = record.error_count ?? 0;
      this.errorScore = record.error_score ?? 0;
    } else this.usageCount = Math.max(this.usageCount, record.usage_count ?? 0);
    this.isWhole = true;
    // An answer that is older than what was sent since would take it back.
    if (this.#isSending || record.version < this.#version) return;
    this.#version = record.version;
    this.#data.take(isMap(record.data) ? Object.entries(record.data) : []);
    const meta = isMap(record.meta) ? Object.entries(record.meta) : [];
    this.#meta.take(meta.filter(([key]) => isCookieKey(key) || EXTRAS.includes(key as "proxyInfo")));
  }

  /** Sends a mark; the counters here were changed before. */
  mark(outcome: "good" | "bad" | "retire", use: number | undefined, opId: number): void {
    this.sync();
    this.#marksUnderWay++;
    let marked: Marked | null | undefined;
    this.home.keep(
      `the mark "${outcome}" of session ${this.id}`,
      async () => void (marked = await this.home.client.pool.mark(this.id, outcome, { use }, { opId })),
      () => this.#marked(marked),
    );
  }

  /** The server handed it out although it is over: its retirement is on its way, or was lost. It was told of before. */
  retireAgain(use: number | undefined, opId: number): void {
    this.isRetired = this.isAnnounced = true;
    if (this.#marksUnderWay === 0) this.mark("retire", use, opId);
  }

  /** A mark is answered; null: there is no such session any more; undefined: it is given up. */
  #marked(marked: Marked | null | undefined): void {
    this.#marksUnderWay--;
    if (marked === null || marked?.retired) this.end();
    if (!marked || this.#marksUnderWay > 0) return;
    this.usageCount = marked.usage_count;
    this.errorScore = marked.error_score;
  }

  /** It will not be handed out again, to nobody. */
  end(): void {
    this.isRetired = true;
    this.home.gone(this);
  }

  /** Sends what was changed here with the next turn of the event loop. */
  syncSoon(): void {
    if (this.#isSyncPlanned) return;
    this.#isSyncPlanned = true;
    setImmediate(() => {
      this.#isSyncPlanned = false;
      this.sync();
    });
  }

  /** Sends what was changed here, now or behind what is under way. */
  sync(): void {
    if (this.#isSending) this.#isChanged = true;
    else if (this.#data.changes() || this.#meta.changes()) {
      this.#isSending = true;
      const over = () => {
        this.#isSending = false;
        const isChanged = this.#isChanged;
        this.#isChanged = false;
        if (isChanged) this.sync();
      };
      this.home.keep(`userData and cookies of session ${this.id}`, () => this.#send(), over);
    }
  }

  async #send(): Promise<void> {
    try {
      const answers = await Promise.all([this.#patch(this.#data, "data"), this.#patch(this.#meta, "meta")]);
      if (answers.includes(null)) this.end();
    } catch (error) {
      if ((error as SessiondError).code !== "GONE") throw error;
      this.end();
    }
  }

  async #patch(replica: Replica, target: "data" | "meta"): Promise<unknown> {
    const change = replica.changes();
    if (!change) return undefined;
    const { set, unset } = change;
    const answer = await this.home.client.session.patch(this.id, { set, unset, target });
    replica.settle(change);
    if (answer) this.#version = Math.max(this.#version, answer.version);
    return answer;
  }
}

/** Whether the same request may succeed in a while. */
export function isTransient(error: unknown): boolean {
  const { code, retry_after_ms } = error as SessiondError;
  return ["CONNECTION", "TIMEOUT", "BUSY", "OVERLOADED"].includes(code) || retry_after_ms !== undefined;
}

export function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && Object.getPrototypeOf(value) === Object.prototype;
}
