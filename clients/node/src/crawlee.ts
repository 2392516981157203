// A session pool for Crawlee's crawlers that any number of processes share.
//
// The happy path: getSession acquires a session of the server's pool, which counts the use; the crawler marks it, and the
// mark is sent without anybody waiting for it; teardown waits until all is sent. A watch tells of every session that
// somebody retired.
// What is always true: the server counts uses, so no session is handed out more often than its maxUsageCount, by however
// many processes. A session that was retired is never handed out again: not by another process from the moment on at which
// the server knows, and not by this one even before. While the server cannot be reached getSession and what is to be sent
// are tried again, for patienceMs; then there is an error, or a warning that says what was lost.
import { EventEmitter } from "node:events";
import { takeClient, type AdapterClient } from "./adapter.js";
import type { CallOptions } from "./call.js";
import { opId } from "./chance.js";
import type { NamespacedClient } from "./client.js";
import type { CookieJarClass } from "./crawlee-cookies.js";
import {
  addOptionsOf,
  optionsOf,
  resolvePoolOptions,
  type Resolved,
  type SessiondPoolOptions,
  type SessionOptions,
} from "./crawlee-options.js";
import { SessiondSession, type HandOut, type SessionState } from "./crawlee-session.js";
import { PoolSetUp } from "./crawlee-setup.js";
import { isTransient, SharedState, type Home } from "./crawlee-state.js";
import { ArgumentError, ClosedError, type SessiondError } from "./errors.js";
import { ExhaustedError } from "./generated/errors.js";
import type { SessionRecord } from "./generated/operations.js";
import type { AcquiredRecord } from "./shapes.js";
import type { Watch, WatchEvent } from "./watch.js";

export { SessiondSession } from "./crawlee-session.js";
export type { ResponseLike, SessionState } from "./crawlee-session.js";
export type { BrowserCookie, CookieJarClass } from "./crawlee-cookies.js";
export type { Log, SessiondPoolOptions, SessionOptions } from "./crawlee-options.js";

/** The event, with the session, when it was retired, by whichever process. */
export const EVENT_SESSION_RETIRED = "sessionRetired";

const DEFAULT_NAMESPACE = "crawlee";
const BLOCKED_STATUS_CODES = [401, 403, 429];
const ENDS = ["retired", "destroyed", "expired", "ended", "removed", "revoked", "replaced", "abandoned"] as const;
/** How often a new session is made for one getSession before it is given up: others may take each first. */
const MADE_MAX = 20;
const PAGE = 100;
/** Sessions that are over and remembered, against answers that come late. */
const ENDED_MAX = 10_000;
const PAUSE_MIN_MS = 20;
const PAUSE_MAX_MS = 500;

/** What the pool knows of the sessions of all processes. */
export interface PoolSnapshot {
  usableSessionsCount: number;
  retiredSessionsCount: number;
  sessions: SessionState[];
}

/**
 * A pool of sessions on a sessiond server, with the members of Crawlee's SessionPool; also an ISessionPool of Crawlee 4.
 *
 * It has a connection of its own, unless it is given a client, from initialize (or open, or the first getSession) to
 * teardown. It emits "sessionRetired" with the session.
 */
export class SessiondSessionPool extends EventEmitter {
  /** Statuses that retire a session. */
  blockedStatusCodes: number[] = BLOCKED_STATUS_CODES;
  /** What new sessions are made with, for a createSessionFunction. */
  readonly sessionOptions: SessionOptions;
  readonly maxPoolSize: number | undefined;
  /** Marks, cookies and userData that could not be sent. Each was warned of. */
  lostCount = 0;
  readonly #options: Resolved;
  readonly #taken: AdapterClient<unknown>;
  readonly #client: NamespacedClient;
  readonly #home: Home;
  readonly #setUp: PoolSetUp;
  /** The sessions that may be handed out, as far as is known here, and those whose end the server does not know yet. */
  readonly #states = new Map<string, SharedState>();
  readonly #kept = new Set<Promise<void>>();
  /** Hand-outs that nobody marked or looked at. */
  readonly #unseen = new Set<HandOut>();
  readonly #forgotten = new FinalizationRegistry<HandOut>((handOut) => this.#giveBack(handOut));
  /** Sessions that are over, the last of them, and up to when one of that name has begun that is over. */
  readonly #ended = new Map<string, number>();
  #goneCount = 0;
  #watch: Watch | undefined;
  #initializing: Promise<void> | undefined;
  #ending: Promise<void> | undefined;
  #patienceEndsAt = Infinity;
  readonly #waiting = new AbortController();
  #isOver = false;

  /** Connects to nothing yet. Throws an UrlError or ArgumentError where an option cannot be used. */
  constructor(options: SessiondPoolOptions = {}) {
    super();
    this.#options = resolvePoolOptions(options);
    this.sessionOptions = { ...this.#options.sessionOptions, log: options.log };
    this.maxPoolSize = options.maxPoolSize;
    this.#taken = takeClient(this.#options.clientOptions, "sessiond for Crawlee");
    const { client, namespace } = this.#taken;
    this.#client = client.withNamespace(namespace ?? client.namespaceName ?? DEFAULT_NAMESPACE);
    this.#home = this.#makeHome(options.CookieJar);
    this.#setUp = new PoolSetUp(client, this.#client, this.#options, (session) => this.#addUnlessKnown(session));
  }

  /** A pool that is connected. Rejects where there is no server, or it refuses. */
  static async open(options: SessiondPoolOptions = {}): Promise<SessiondSessionPool> {
    const pool = new SessiondSessionPool(options);
    await pool.initialize();
    return pool;
  }

  #makeHome(CookieJar: CookieJarClass | undefined): Home {
    const pool = this;
    const log = this.#options.own.log;
    return {
      CookieJar,
      client: this.#client,
      get blockedStatusCodes() {
        return pool.blockedStatusCodes;
      },
      now: () => Date.now() + this.#setUp.clockAheadMs,
      warn: (message) => (log?.warning ? log.warning(message) : process.emitWarning(message, "SessiondWarning")),
      debug: (message) => log?.debug?.(message),
      keep: (what, run, over) => this.#keep(what, run, over),
      announce: (state) => this.#announce(state),
      gone: (state) => this.#gone(state),
    };
  }

  // ---------------------------------------------------------------- beginning and end

  /** Connects, sets what the options say, and learns what sessions there are. Once; getSession does it too. */
  initialize(): Promise<void> {
    this.#initializing ??= this.#initialize().catch((error) => {
      void this.#watch?.close();
      this.#setUp.close();
      if (!this.#taken.isGiven) this.#taken.client.destroy();
      throw error;
    });
    return this.#initializing;
  }

  async #initialize(): Promise<void> {
    await this.#setUp.ready();
    this.blockedStatusCodes = [...(this.#setUp.blockedStatusCodes ?? BLOCKED_STATUS_CODES)];
    const kinds = ["created", ...ENDS] as const;
    this.#watch = await this.#client.watch({ pool: this.#options.pool, kinds }, { keepsAlive: false });
    void this.#follow(this.#watch);
    await this.refresh();
  }

  /** One that the server has forgotten goes on as it is known here. */
  async #addUnlessKnown(session: SessionOptions): Promise<void> {
    const id = session.id ?? "";
    const known = this.#states.get(id);
    if (known?.isRetired || this.#ended.has(id)) return;
    const usageCount = Math.max(session.usageCount ?? 0, known?.usageCount ?? 0);
    try {
      await this.#add(usageCount > 0 ? { ...session, usageCount } : session, true);
    } catch (error) {
      if (!["EXISTS", "GONE"].includes((error as SessiondError).code)) throw error;
    }
  }

  /** Sends what is still to be sent, gives back what was not used, and closes the connection. Never rejects. */
  teardown(_options?: { persistState?: boolean }): Promise<void> {
    return (this.#ending ??= this.#teardown());
  }

  async #teardown(): Promise<void> {
    this.#patienceEndsAt = performance.now() + this.#options.teardownMs;
    this.#waiting.abort(new ClosedError("The pool was torn down before a session was free."));
    await this.#initializing?.catch(() => {});
    for (const handOut of this.#unseen) this.#giveBack(handOut);
    do await this.persistState();
    while (this.#kept.size > 0);
    this.#isOver = true;
    await this.#watch?.close();
    this.#setUp.close();
    await this.#taken.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.teardown();
  }

  /** Sends what this process still has to send; the server keeps the sessions, so there is nothing else to persist. */
  async persistState(_options?: object): Promise<void> {
    for (const state of this.#states.values()) state.sync();
    await Promise.all(this.#kept);
    // What was changed while its session was being sent went out behind that.
    await Promise.all(this.#kept);
  }

  /**
   * Destroys all sessions of the pool, for all processes. After teardown it does nothing: a crawler that runs again asks
   * for it then, and a shared pool is not one crawler's to empty.
   */
  async resetStore(_options?: object): Promise<void> {
    if (this.#ending) return;
    await this.initialize();
    await this.#client.pool.reset(this.#options.pool);
    await this.refresh();
  }

  // ---------------------------------------------------------------- handing out

  /**
   * A session to use: a new one as long as the pool has room, then one of those that are usable. The use is counted now.
   * @param sessionId that session, or undefined where it is not usable
   * Rejects with EXHAUSTED where none is free for waitMs, and with CONNECTION or TIMEOUT where the server cannot be reached
   *   for patienceMs.
   */
  async getSession(): Promise<SessiondSession>;
  async getSession(sessionId: string): Promise<SessiondSession | undefined>;
  async getSession(sessionId?: string): Promise<SessiondSession | undefined> {
    if (this.#ending) throw new ClosedError("The pool was torn down; open a new one.");
    await this.initialize();
    for (; ; await pause(PAUSE_MIN_MS)) {
      const record = await this.#acquirePatiently(sessionId || undefined);
      if (!record) return undefined;
      // Its retirement was lost with a connection, or overtaken by the hand-out.
      const isOver = this.#isKnownOver(record);
      const handOut = this.#handOut(record);
      if (!isOver) return this.#view(handOut);
      handOut.state.retireAgain(handOut.use, opId());
      if (sessionId) return undefined;
    }
  }

  async #acquirePatiently(id: string | undefined): Promise<AcquiredRecord | null> {
    for (;;) {
      // The same number for each attempt, so that what was handed out with a lost answer is not lost.
      const call = { signal: this.#waiting.signal, opId: opId() };
      const { lossCount, forgottenCount } = this.#setUp;
      const record = await this.#patiently(async () => {
        await this.#setUp.ready();
        return this.#acquire(id, call);
      });
      if (!record || lossCount === this.#setUp.lossCount) return record;
      // It was perhaps asked for again, of a server that had forgotten the pool and its limits.
      await this.#patiently(() => this.#setUp.ready());
      if (forgottenCount === this.#setUp.forgottenCount || !this.#setUp.isMadeByOthers(record)) return record;
      await this.#patiently(() => this.#client.session.destroy(record.id));
    }
  }

  #acquire(id: string | undefined, call: CallOptions): Promise<AcquiredRecord | null> {
    const { pool, isServerMade, own, waitMs } = this.#options;
    if (id !== undefined) return this.#client.pool.acquire(pool, { id }, call);
    const { strategy, tags, create } = own;
    if (create !== "never" && !isServerMade) return this.#acquireMade();
    return this.#client.pool.acquire(pool, { create, strategy, tags, wait_ms: waitMs }, call);
  }

  /** The pool says when there is room for a session; it is made here, and another process may be the first to get it. */
  async #acquireMade(): Promise<AcquiredRecord> {
    const { pool, own, waitMs } = this.#options;
    const { strategy, tags } = own;
    for (let count = 0; count < MADE_MAX; count++) {
      try {
        const options = { create: "ask", strategy, tags, wait_ms: waitMs } as const;
        return (await this.#client.pool.acquire(pool, options, { signal: this.#waiting.signal }))!;
      } catch (error) {
        if ((error as SessiondError).code !== "CREATE_NEEDED") throw error;
      }
      const id = await this.#addMade();
      const record = id === undefined ? null : await this.#client.pool.acquire(pool, { id });
      if (record) return record;
    }
    throw new ExhaustedError("EXHAUSTED", `Of ${MADE_MAX} sessions that were made for the pool none was usable.`);
  }

  async #addMade(): Promise<string | undefined> {
    const { createSessionFunction } = this.#options.own;
    const made = createSessionFunction ? await createSessionFunction(this) : this.sessionOptions;
    try {
      return (await this.#add(optionsOf(made), false)).id;
    } catch (error) {
      const { code } = error as SessiondError;
      // Another process made the same one, or took the room; or it was used up and destroyed.
      if (code === "EXISTS") return made.id;
      if (code === "EXHAUSTED" || code === "GONE") return undefined;
      throw error;
    }
  }

  /** Adds a session, also to a full pool. Rejects with EXISTS where the id is taken. */
  async addSession(options: SessionOptions | SessiondSession = {}): Promise<void> {
    await this.initialize();
    await this.#addGiven(options);
  }

  /** Adds a session, also to a full pool, and hands it out. */
  async newSession(options: SessionOptions = {}): Promise<SessiondSession> {
    await this.initialize();
    const added = await this.#addGiven(options);
    const record = await this.#client.pool.acquire(this.#options.pool, { id: added.id });
    return this.#view(this.#handOut(record ?? added));
  }

  async #addGiven(options: SessionOptions | SessiondSession): Promise<SessionRecord> {
    await this.#setUp.ready();
    const { createSessionFunction } = this.#options.own;
    const isMade = !createSessionFunction || "getState" in options;
    return this.#add(
      optionsOf(isMade ? options : await createSessionFunction(this, { sessionOptions: options })),
      true,
    );
  }

  async #add(options: SessionOptions, force: boolean): Promise<SessionRecord> {
    const { CookieJar, now } = this.#home;
    const { pool, sessionOptions, own } = this.#options;
    const given = { tags: own.tags, ...sessionOptions, ...options };
    const record = await this.#client.pool.add(pool, { ...addOptionsOf(given, now(), CookieJar), force });
    this.#stateOf(record.id).take(record);
    return record;
  }

  #handOut(record: SessionRecord): HandOut {
    const state = this.#stateOf(record.id);
    state.take(record);
    return { state, use: record.use, isMarked: false, isLookedAt: false };
  }

  #view(handOut: HandOut): SessiondSession {
    const session = new SessiondSession(handOut, this);
    if (handOut.use !== undefined) {
      this.#unseen.add(handOut);
      this.#forgotten.register(session, handOut);
    }
    return session;
  }

  /** A crawler takes a session before it knows whether there is a request for it. */
  #giveBack(handOut: HandOut): void {
    this.#unseen.delete(handOut);
    const { state, use, isMarked, isLookedAt } = handOut;
    if (isMarked || isLookedAt || this.#isOver) return;
    handOut.isMarked = true;
    this.#keep(
      `the release of session ${state.id}`,
      async () => void (await this.#client.pool.release(state.id, { use })),
      () => {},
    );
  }

  // ---------------------------------------------------------------- what is known of all sessions

  /** Sessions that could be used, as far as this process knows; refresh asks the server. */
  get usableSessionsCount(): number {
    return [...this.#states.values()].filter((state) => state.isUsable(0)).length;
  }

  /** Sessions that are used up, blocked, expired or retired, and not forgotten yet. */
  get retiredSessionsCount(): number {
    return this.#states.size - this.usableSessionsCount + this.#goneCount;
  }

  /** The counts and the sessions that are not retired, as far as this process knows; refresh asks the server. */
  getState(): PoolSnapshot {
    const { usableSessionsCount, retiredSessionsCount } = this;
    const sessions = [...this.#states.values()].map((state) =>
      new SessiondSession({ state, use: undefined, isMarked: true, isLookedAt: true }, this).getState(),
    );
    return { usableSessionsCount, retiredSessionsCount, sessions };
  }

  /** Asks the server for all sessions, so that the counts and getState are as the server has them. */
  async refresh(): Promise<void> {
    const before = new Set(this.#states.keys());
    let goneCount = 0;
    let cursor: string | undefined;
    do {
      const page = await this.#client.pool.state(this.#options.pool, { limit: PAGE, cursor });
      for (const record of page?.sessions ?? []) {
        before.delete(record.id);
        const isOver = record.retired || record.status !== "active" || this.#isKnownOver(record);
        if (isOver) goneCount++;
        if (isOver) this.#states.get(record.id)?.end();
        else this.#stateOf(record.id).take(record);
      }
      cursor = page?.cursor ?? undefined;
    } while (cursor !== undefined);
    for (const id of before) this.#states.get(id)?.end();
    this.#goneCount = goneCount;
  }

  #stateOf(id: string): SharedState {
    let state = this.#states.get(id);
    if (!state) this.#states.set(id, (state = new SharedState(id, this.#home)));
    return state;
  }

  async #follow(watch: Watch): Promise<void> {
    try {
      for await (const event of watch) this.#happened(event);
    } catch (error) {
      this.#home.warn(`The pool hears no more of what other processes retire: ${(error as Error).message}`);
    }
  }

  #happened({ kind, id, at }: WatchEvent): void {
    if (kind === "resumed" || kind === "lagged")
      this.#readAgain().catch((error) => this.#home.debug(`The pool's sessions could not be read: ${error.message}`));
    else if (kind === "created") this.#created(id!, at!);
    else this.#states.get(id!)?.end();
  }

  /** An answer may have told of its end before. */
  #created(id: string, at: number): void {
    if (at > (this.#ended.get(id) ?? -1)) this.#stateOf(id).createdAt ||= at;
  }

  /** Given sessions that the server has forgotten are not over. */
  async #readAgain(): Promise<void> {
    await this.#setUp.ready();
    await this.refresh();
  }

  /** Answers and events may overtake each other: one that is over does not begin again, but another of its name may. */
  #isKnownOver(record: SessionRecord): boolean {
    const endedAt = this.#ended.get(record.id);
    return this.#states.get(record.id)?.isRetired || (endedAt !== undefined && record.created_at <= endedAt);
  }

  /** The server has said that a session is over. */
  #gone(state: SharedState): void {
    if (this.#states.get(state.id) === state) {
      this.#states.delete(state.id);
      this.#goneCount++;
      this.#ended.set(state.id, state.createdAt);
      if (this.#ended.size > ENDED_MAX) this.#ended.delete(this.#ended.keys().next().value!);
    }
    this.#announce(state);
  }

  #announce(state: SharedState): void {
    if (state.isAnnounced) return;
    state.isAnnounced = true;
    if (this.listenerCount(EVENT_SESSION_RETIRED) === 0) return;
    if (state.isWhole) this.#emitRetired(state);
    else void this.#readRetired(state);
  }

  #emitRetired(state: SharedState): void {
    const handOut = { state, use: undefined, isMarked: true, isLookedAt: true };
    this.emit(EVENT_SESSION_RETIRED, new SessiondSession(handOut, this));
  }

  /** Of a session that another process made there is only the id here; who listens may want its userData. */
  async #readRetired(state: SharedState): Promise<void> {
    const record = await this.#client.session.get(state.id, { include_dead: true }).catch(() => null);
    if (record) state.take(record);
    this.#emitRetired(state);
  }

  // ---------------------------------------------------------------- patience

  /** What is tried again as long as the server cannot be reached. */
  async #patiently<Result>(run: () => Promise<Result>): Promise<Result> {
    const endsAt = performance.now() + this.#options.patienceMs;
    for (let pauseMs = PAUSE_MIN_MS; ; pauseMs = Math.min(2 * pauseMs, PAUSE_MAX_MS)) {
      try {
        return await run();
      } catch (error) {
        if (!isTransient(error) || performance.now() >= Math.min(endsAt, this.#patienceEndsAt)) throw error;
        await pause(pauseMs);
      }
    }
  }

  #keep(what: string, run: () => Promise<void>, over: () => void): void {
    const kept = this.#patiently(run)
      .catch((error) => {
        this.lostCount++;
        this.#home.warn(`Lost was ${what}: ${error.message}`);
      })
      .then(over)
      .finally(() => this.#kept.delete(kept));
    this.#kept.add(kept);
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

// -------------------------------------------------------------------- Crawlee 3

/** Crawlee 3's class SessionPool. */
export interface SessionPoolClass {
  new (...args: any[]): any;
  open: (...args: any[]) => Promise<any>;
}

/**
 * From now on every crawler of this process has its sessions from sessiond.
 * @param SessionPool the class, from the package that the crawlers are from
 * @param options for all; a crawler's sessionPoolOptions win over them
 * Returns a function that undoes it. Each crawler opens a pool at its run, and tears it down at its end.
 */
export function installSessiondPool(SessionPool: SessionPoolClass, options: SessiondPoolOptions = {}): () => void {
  if (typeof SessionPool !== "function" || typeof SessionPool.open !== "function")
    throw new ArgumentError("The first argument is no class SessionPool; give that of the crawlers' package.");
  new SessiondSessionPool(options); // throws where an option is wrong
  const original = SessionPool.open;
  SessionPool.open = (given: SessiondPoolOptions = {}, config?: unknown) =>
    openLike(new SessionPool({}, config), options, given);
  return () => void (SessionPool.open = original);
}

/**
 * A class of crawlers that have their sessions from sessiond; other crawlers keep theirs.
 * @param Crawler HttpCrawler, CheerioCrawler, PlaywrightCrawler ... of Crawlee 3
 * @param options for all crawlers of the class; a crawler's sessionPoolOptions win over them
 */
export function sessiondCrawler<Crawler extends new (...args: any[]) => any>(
  Crawler: Crawler,
  options: SessiondPoolOptions = {},
): Crawler {
  if (typeof Crawler !== "function" || typeof Crawler.prototype._init !== "function")
    throw new ArgumentError("The first argument is no class of Crawlee 3's crawlers; give HttpCrawler or the like.");
  new SessiondSessionPool(options); // throws where an option is wrong
  return class extends Crawler {
    protected async _init(): Promise<void> {
      const given = this.sessionPoolOptions;
      // Its own pool is opened all the same, for the classes that it knows; it is to load and keep nothing.
      this.sessionPoolOptions = { ...given, persistenceOptions: { enable: false } };
      try {
        await super._init();
      } finally {
        this.sessionPoolOptions = given;
      }
      if (!this.useSessionPool) return;
      try {
        this.sessionPool = await openLike(this.sessionPool, options, given ?? {});
      } catch (error) {
        // A crawler that could not begin is not torn down, and its timers would keep the process alive.
        if (this._ownsEventManager) await this.events.close();
        throw error;
      }
      this.sessionPool.setMaxListeners(20);
    }
  };
}

/** Opens a pool for crawlers whose own pool would be `original`: with its classes of cookie jars and sessions. */
async function openLike(original: any, options: SessiondPoolOptions, given: SessiondPoolOptions): Promise<any> {
  const session = original._defaultCreateSessionFunction(original);
  adopt(session.constructor);
  return SessiondSessionPool.open({
    CookieJar: session.cookieJar.constructor,
    ...options,
    ...given,
    sessionOptions: { ...options.sessionOptions, ...given.sessionOptions },
  });
}

/** The pool's sessions are instances of Crawlee's Session too, for whoever asks; its members are all overridden. */
function adopt(Session: { prototype: object }): void {
  const { prototype } = SessiondSession;
  if (Object.getPrototypeOf(prototype) === Object.prototype) Object.setPrototypeOf(prototype, Session.prototype);
}
