// A Store for express-session (and @fastify/session; express-koa for koa-session) that keeps sessions in a sessiond.
//
// A session that was loaded is written back as what changed since, key by key, so requests at the same time keep each
// other's changes; and a session that was ended meanwhile stays ended, which is no error: the logout has won.
// express-session tells which session was loaded by calling createSession, and nothing else of it is relied on.
import { EventEmitter } from "node:events";
import type { Client } from "./client.js";
import { ArgumentError } from "./errors.js";
import { Notes } from "./express-notes.js";
import { SessionFactory, type Generate } from "./express-session.js";
import { answerWith, byCallback, resolveStoreOptions, type Callback, type Done } from "./express-options.js";
import type { Sessions, SessiondStoreOptions, StoreOptions } from "./express-options.js";
import {
  applyChanges,
  changesBetween,
  cookieIn,
  cookieOf,
  cookieTextOf,
  countChanges,
  endOf,
  groupOf,
  isMap,
  lifetimeOf,
  lifetimeOptions,
  metaOf,
  splitSession,
  textsOf,
  type Changes,
  type Lifetime,
  type Meta,
  type Snapshot,
  type StoredCookie,
  type StoredSession,
} from "./express-values.js";
import type { FieldName } from "./generated/constants.js";
import type { SessionRecord, SessionSetOptions } from "./generated/operations.js";

const FIELDS = [
  "version",
  "expires_at",
  "idle_timeout_ms",
  "user",
  "client",
  "data",
  "meta",
] as const satisfies readonly FieldName[];
const NAMES = ["id", "handle"] as const satisfies readonly FieldName[];

/** Keys that one patch takes. */
const MAX_PATCHED = 1000;
/** Each attempt fails only because another writer succeeded. */
const MAX_ATTEMPTS = 100;
/** Destroyed at a time by a clear of a prefix. */
const MAX_DESTROYED_AT_ONCE = 500;

/** What is known of a session since it was last read or written. */
interface Loaded extends Snapshot {
  readonly sid: string;
  /** undefined: others may have written since */
  readonly version: number | undefined;
  readonly meta: Meta;
}

/** A session as it is to be written. */
interface Draft extends Snapshot {
  readonly data: Record<string, unknown>;
  readonly cookie: StoredCookie | undefined;
}

/** What became of a write; undefined: the session was ended or had expired, and stays so. */
type Outcome = Pick<Loaded, "version" | "meta"> | undefined;

/**
 * A session store for express-session: `session({ store: new SessiondStore({ url }), ... })`.
 *
 * Every method takes a callback or answers a promise. A missing session is undefined. Errors are SessiondErrors (look at
 * `code`): CONNECTION or TIMEOUT where the server does not answer within `timeoutMs`, so no request hangs; LIMIT, BUSY,
 * STORAGE and others as the server says; ARGUMENT for what cannot be stored. A set or touch of a session that was ended
 * or has expired changes nothing and is no error. The store emits no events.
 */
export class SessiondStore extends EventEmitter {
  readonly #options: StoreOptions;
  readonly #sessions: Sessions;
  readonly #ownClient: Client | undefined;
  readonly #factory = new SessionFactory();
  /** By the object: what `get` answered, the session that was made of it, or a new one that was written. */
  readonly #loaded = new Notes<Loaded>();

  /**
   * Connects with the first call. Throws ARGUMENT or URL where an option cannot be used.
   * @param options the server's URL, or all options
   */
  constructor(options: string | SessiondStoreOptions = {}) {
    super();
    this.#options = resolveStoreOptions(typeof options === "string" ? { url: options } : options);
    this.#ownClient = this.#options.ownClient;
    this.#sessions = this.#options.sessions;
  }

  /** Set by express-session: makes a new session for a request. */
  get generate(): Generate | undefined {
    return this.#factory.generate;
  }

  set generate(generate: Generate | undefined) {
    this.#factory.generate = generate;
  }

  /** A session with its cookie, whose `expires` is an ISO date or null; undefined where there is none. */
  get(sid: string): Promise<StoredSession | undefined>;
  get(sid: string, callback: Callback<any>): void;
  get(sid: string, callback?: Callback<any>): unknown {
    return answerWith(this.#read(sid), arguments.length > 1, callback);
  }

  /**
   * Writes a session. One that was loaded (by express-session, or answered by this store's `get`) is written as what
   * changed since; any other object replaces what is there.
   */
  set(sid: string, session: StoredSession): Promise<void>;
  set(sid: string, session: StoredSession, callback?: Done): void;
  set(sid: string, session: StoredSession, callback?: Done): unknown {
    return answerWith(this.#write(sid, session), arguments.length > 2, callback);
  }

  /** Starts a session's lifetime again, and stores what was changed of its cookie. Never creates, never alters data. */
  touch(sid: string, session?: StoredSession): Promise<void>;
  touch(sid: string, session: StoredSession, callback?: Done): void;
  touch(sid: string, session?: StoredSession, callback?: Done): unknown {
    return answerWith(this.#renew(sid, session), arguments.length > 2, callback);
  }

  /** Ends a session for good: no slower request brings it back. One that is not there is no error. */
  destroy(sid: string): Promise<void>;
  destroy(sid: string, callback?: Done): void;
  destroy(sid: string, callback?: Done): unknown {
    return answerWith(this.#destroy(sid), arguments.length > 1, callback);
  }

  /** All living sessions, each with its `id`. */
  all(): Promise<StoredSession[]>;
  all(callback: Callback<any[]>): void;
  all(callback?: Callback<any[]>): unknown {
    return answerWith(this.#listSessions(), arguments.length > 0, callback);
  }

  /** The ids of all living sessions, without the prefix; in a namespace with `hash_ids` their handles. */
  ids(): Promise<string[]>;
  ids(callback: Callback<string[]>): void;
  ids(callback?: Callback<string[]>): unknown {
    return answerWith(this.#listIds(), arguments.length > 0, callback);
  }

  /** How many living sessions there are. */
  length(): Promise<number>;
  length(callback: Callback<number>): void;
  length(callback?: Callback<number>): unknown {
    return answerWith(this.#count(), arguments.length > 0, callback);
  }

  /** Destroys all sessions of the namespace, or those with the prefix where the store has one. */
  clear(): Promise<void>;
  clear(callback?: Done): void;
  clear(callback?: Done): unknown {
    return answerWith(this.#clear(), arguments.length > 0, callback);
  }

  /**
   * Adds to a number of a session on the server, from 0 where there is none: 20 requests at once add 20. The new value
   * is put into the session given, too. Answers the value, or undefined where the session was ended or is not there.
   * What is there and no number is an error: ARGUMENT where the session given shows it, else BAD_REQUEST.
   * @param session `req.session`, or an id; in one that was never stored the number is counted here until it is
   * @param key not `cookie`, and no member that every session has, such as `id` and `save`
   * @param by how much, also a fraction or less than 0
   */
  increment(session: string | StoredSession, key: string, by?: number): Promise<number | undefined>;
  increment(session: string | StoredSession, key: string, callback: Callback<number | undefined>): void;
  increment(session: string | StoredSession, key: string, by: number, callback: Callback<number | undefined>): void;
  increment(
    session: string | StoredSession,
    key: string,
    by: number | Callback<number | undefined> = 1,
    callback?: Callback<number | undefined>,
  ): unknown {
    if (typeof by === "function") return this.increment(session, key, 1, by);
    return answerWith(this.#increment(session, key, by), arguments.length > 3, callback);
  }

  /** Used by express-session: destroys the request's session and puts a new one into the request. */
  regenerate(request: any): Promise<void>;
  regenerate(request: any, callback?: Done): void;
  regenerate(request: any, callback?: Done): unknown {
    // By its callback, as express-session's Store does it: who overrides destroy is asked here, too.
    const work = byCallback<void>((done) => this.destroy(request.sessionID, done));
    const made = work.finally(() => this.generate?.(request));
    return answerWith(made, arguments.length > 1, callback);
  }

  /** A session as express-session has it in requests, outside of any; undefined where there is none. */
  load(sid: string): Promise<any>;
  load(sid: string, callback: Callback<any>): void;
  load(sid: string, callback?: Callback<any>): unknown {
    const request = { sessionID: sid, sessionStore: this };
    const work = byCallback<StoredSession | undefined>((done) => this.get(sid, done));
    const made = work.then((data) => data && this.createSession(request, data));
    return answerWith(made, arguments.length > 1, callback);
  }

  /** Used by express-session: makes what `get` answered the request's session. */
  createSession(request: any, data: StoredSession): any {
    const loaded = this.#loaded.get(data);
    const session = this.#factory.create(request, data);
    if (loaded) this.#loaded.set(session, loaded);
    return session;
  }

  /** Ends the connection that the store made for itself, after the calls under way; a client it was given stays. */
  async close(): Promise<void> {
    await this.#ownClient?.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** For frameworks that give a lifetime of their own, and say by `of` which loaded session is written. */
  async writeFor(of: object | undefined, sid: string, session: StoredSession, lifetime?: Lifetime): Promise<void> {
    const loaded = of && this.#loaded.get(of);
    if (loaded) this.#loaded.set(session, loaded);
    await this.#write(sid, session, lifetime);
  }

  async #read(sid: string): Promise<StoredSession | undefined> {
    const record = await this.#sessions.get(this.#keyOf(sid), { fields: FIELDS });
    if (!record) return undefined;
    const session = await this.#parse(record);
    const cookie = cookieOf(record, this.#options);
    this.#loaded.set(session, { ...this.#loadedOf(sid, session, record), end_ms: endOf(cookie) });
    if (cookie) session.cookie = cookie;
    return session;
  }

  async #parse(record: SessionRecord): Promise<StoredSession> {
    const session: unknown = this.#options.serializer
      ? await this.#options.serializer.parse(record.data)
      : (record.data ?? {});
    if (isMap(session)) return session;
    throw new ArgumentError("The stored session is no map: was it written with a serializer that this store has not?");
  }

  #loadedOf(sid: string, session: StoredSession, record: SessionRecord): Omit<Loaded, "end_ms"> {
    const meta = metaOf(record);
    const cookie = cookieIn(meta);
    const { ttl, disableTTL } = this.#options;
    const isDefault = ttl === undefined && !disableTTL && cookie?.expires == null;
    return {
      sid,
      version: record.version,
      meta,
      texts: textsOf(contentsOf(session)),
      cookieText: cookieTextOf(cookie),
      lifetime: isDefault ? undefined : record.idle_timeout_ms,
      user: record.user ?? null,
      client: record.client ?? null,
    };
  }

  async #write(sid: string, session: StoredSession, lifetime?: Lifetime): Promise<void> {
    const key = this.#keyOf(sid);
    const loaded = this.#loadedFor(sid, session);
    const draft = this.#draftOf(session, loaded, lifetime);
    const outcome = await unlessGone(
      loaded ? this.#update(key, draft, loaded) : this.#insert(key, draft, this.#factory.isFresh(session)),
    );
    if (outcome) this.#loaded.set(session, { ...draft, sid, ...outcome });
  }

  #loadedFor(sid: string, session: StoredSession | undefined): Loaded | undefined {
    const loaded = isMap(session) ? this.#loaded.get(session) : undefined;
    return loaded?.sid === sid ? loaded : undefined;
  }

  #draftOf(session: StoredSession, loaded: Loaded | undefined, lifetime?: Lifetime): Draft {
    const { data, cookie } = splitSession(session);
    return {
      // A serializer is there for what JSON does not keep.
      data: this.#options.serializer ? contentsOf(session) : data,
      cookie,
      texts: textsOf(data),
      cookieText: cookieTextOf(cookie),
      end_ms: endOf(cookie),
      lifetime: lifetime ?? lifetimeOf(session, cookie, this.#options, loaded),
      user: groupOf("user", this.#options.user, session),
      client: groupOf("client", this.#options.client, session),
    };
  }

  /** A new session may take an id that was used before, as a genid may give; any other object brings back nothing. */
  async #insert(key: string, draft: Draft, isFresh: boolean): Promise<Outcome> {
    const data = await this.#encode(draft.data, draft.cookie);
    const meta = metaWith(undefined, draft.cookie);
    const options = { meta, user: draft.user, client: draft.client, ...lifetimeOptions(draft.lifetime) };
    if (isFresh) {
      try {
        const { version } = await this.#sessions.create({
          id: key,
          data,
          revive: true,
          fields: ["version"],
          ...options,
        });
        return { version, meta };
      } catch (error) {
        if (!hasCode(error, "EXISTS")) throw error;
      }
    }
    const written = await this.#sessions.set(key, data, options);
    return written ? { version: written.version, meta } : undefined;
  }

  async #update(key: string, draft: Draft, loaded: Loaded): Promise<Outcome> {
    const changes = changesBetween(loaded.texts, draft.texts, draft.data);
    const count = countChanges(changes);
    const user = groupChange(draft.user, loaded.user);
    const client = groupChange(draft.client, loaded.client);
    const isPatchable = user === undefined && client === undefined && count <= MAX_PATCHED && !this.#options.serializer;
    if (isPatchable && count === 0) return this.#touch(key, draft, loaded);
    const options = lifetimeChange(draft.lifetime, loaded.lifetime);
    if (!isPatchable || draft.lifetime === "over" || draft.cookieText !== loaded.cookieText)
      return this.#replace(key, draft, loaded, changes, { ...options, user, client });
    const patched = await this.#sessions.patch(key, { ...changes, ...options });
    // Others may have changed other keys, so what the server has is not known from here on.
    return patched ? { version: undefined, meta: loaded.meta } : undefined;
  }

  /**
   * Writes the session as a whole where nobody else has written it, else what changed of it into what is there.
   * @param options what changed of its lifetime and groups
   */
  async #replace(
    key: string,
    draft: Draft,
    loaded: Loaded,
    changes: Changes,
    options: SessionSetOptions,
  ): Promise<Outcome> {
    const isCookieChanged = draft.cookieText !== loaded.cookieText;
    let { version, meta } = loaded;
    let data: Record<string, unknown> = draft.data;
    for (let attempt = 1; ; attempt++) {
      if (version === undefined) {
        const record = await this.#sessions.get(key, { fields: ["version", "data", "meta"] });
        if (!record) return undefined;
        version = record.version;
        meta = metaOf(record);
        data = applyChanges(contentsOf(await this.#parse(record)), changes);
      }
      if (isCookieChanged) meta = metaWith(meta, draft.cookie);
      try {
        const encoded = await this.#encode(data, cookieIn(meta));
        const written = await this.#sessions.set(key, encoded, { mode: "if_version", version, meta, ...options });
        return written ? { version: data === draft.data ? written.version : undefined, meta } : undefined;
      } catch (error) {
        if (!hasCode(error, "CONFLICT") || attempt === MAX_ATTEMPTS) throw error;
        version = undefined;
      }
    }
  }

  async #encode(data: Record<string, unknown>, cookie: StoredCookie | undefined): Promise<unknown> {
    const { serializer } = this.#options;
    return serializer ? serializer.stringify(cookie ? { ...data, cookie } : data) : data;
  }

  async #renew(sid: string, session: StoredSession | undefined): Promise<void> {
    const key = this.#keyOf(sid);
    if (this.#options.disableTouch || this.#options.disableTTL) return;
    if (session === undefined) return void (await unlessGone(this.#sessions.touch(key)));
    const { cookie } = splitSession({ cookie: session.cookie });
    const loaded = this.#loadedFor(sid, session);
    const lifetime = lifetimeOf(session, cookie, this.#options, loaded);
    const wanted = { cookieText: cookieTextOf(cookie), end_ms: endOf(cookie), lifetime };
    const outcome = await unlessGone(this.#touch(key, { ...wanted, cookie }, loaded));
    if (outcome && loaded) this.#loaded.set(session, { ...loaded, ...wanted, ...outcome });
  }

  /** Starts the lifetime again and writes what changed of it and of the cookie, but nothing beside the cookie. */
  async #touch(
    key: string,
    wanted: Pick<Draft, "cookie" | "cookieText" | "lifetime">,
    loaded: Loaded | undefined,
  ): Promise<Outcome> {
    const options = loaded ? lifetimeChange(wanted.lifetime, loaded.lifetime) : lifetimeOptions(wanted.lifetime);
    if (wanted.lifetime === "over" || wanted.cookieText === (loaded?.cookieText ?? "")) {
      const known = { version: loaded?.version, meta: loaded?.meta ?? {} };
      return (await this.#sessions.touch(key, options)) ? known : undefined;
    }
    const change = wanted.cookie ? { set: { cookie: wanted.cookie } } : { unset: ["cookie"] };
    const patched = await this.#sessions.patch(key, { target: "meta", ...change, ...options });
    return patched ? { version: undefined, meta: metaWith(loaded?.meta, wanted.cookie) } : undefined;
  }

  async #destroy(sid: string): Promise<void> {
    await this.#sessions.destroy(this.#keyOf(sid));
  }

  async #increment(session: string | StoredSession, key: string, by: number): Promise<number | undefined> {
    if (typeof key !== "string" || key === "cookie" || !Number.isFinite(by))
      throw new ArgumentError("increment takes a session or its id, a key other than cookie, and a number.");
    if (typeof session !== "string" && !isMap(session))
      throw new ArgumentError("increment takes a session or its id; a request whose session was destroyed has none.");
    // Also what every session has, such as its id and its methods: a number in their place would break it.
    const before = typeof session === "string" ? 0 : numberIn(session, key);
    const known = typeof session === "string" ? { sid: session } : this.#loaded.get(session);
    if (!known) return ((session as StoredSession)[key] = before + by);
    const value = this.#options.serializer
      ? await this.#addParsed(this.#keyOf(known.sid), key, by)
      : (await unlessGone(this.#sessions.patch(this.#keyOf(known.sid), { incr: { [key]: by } })))?.values?.[key];
    if (value === undefined || typeof session === "string") return value;
    session[key] = value;
    const loaded = this.#loaded.get(session)!;
    const texts = new Map(loaded.texts).set(key, JSON.stringify(value));
    this.#loaded.set(session, { ...loaded, texts, version: undefined });
    return value;
  }

  /** The same, where only this side understands what is stored. */
  async #addParsed(key: string, name: string, by: number): Promise<number | undefined> {
    for (let attempt = 1; ; attempt++) {
      const record = await this.#sessions.get(key, { fields: ["version", "data"] });
      if (!record) return undefined;
      const data = await this.#parse(record);
      const value = (data[name] = numberIn(data, name) + by);
      try {
        const encoded = await this.#options.serializer!.stringify(data);
        const options = { mode: "if_version", version: record.version } as const;
        return (await unlessGone(this.#sessions.set(key, encoded, options))) ? value : undefined;
      } catch (error) {
        if (!hasCode(error, "CONFLICT") || attempt === MAX_ATTEMPTS) throw error;
      }
    }
  }

  async *#records(fields: readonly FieldName[]): AsyncGenerator<SessionRecord> {
    const { prefix, scanCount } = this.#options;
    let cursor: string | null | undefined;
    do {
      const page = await this.#sessions.list({
        limit: scanCount,
        fields,
        ...(prefix === "" ? {} : { prefix }),
        ...(cursor ? { cursor } : {}),
      });
      yield* page.sessions;
      cursor = page.cursor;
    } while (cursor !== null);
  }

  async #listSessions(): Promise<StoredSession[]> {
    const found: StoredSession[] = [];
    for await (const record of this.#records([...NAMES, ...FIELDS])) {
      const session = await this.#parse(record);
      const cookie = cookieOf(record, this.#options);
      found.push({ ...session, ...(cookie ? { cookie } : {}), id: this.#sidOf(record) });
    }
    return found;
  }

  async #listIds(): Promise<string[]> {
    const found: string[] = [];
    for await (const record of this.#records(NAMES)) found.push(this.#sidOf(record));
    return found;
  }

  async #count(): Promise<number> {
    return this.#options.prefix === "" ? this.#sessions.count() : (await this.#listIds()).length;
  }

  async #clear(): Promise<void> {
    if (this.#options.prefix === "") return void (await this.#sessions.clear());
    const ids = await this.#listIds();
    while (ids.length > 0) await Promise.all(ids.splice(0, MAX_DESTROYED_AT_ONCE).map((sid) => this.#destroy(sid)));
  }

  #keyOf(sid: string): string {
    if (typeof sid === "string" && sid !== "") return this.#options.prefix + sid;
    throw new ArgumentError("The session's id is no text.");
  }

  #sidOf(record: SessionRecord): string {
    return record.id === undefined ? record.handle! : record.id.slice(this.#options.prefix.length);
  }
}

/** A session's own members without its cookie, as they are. */
function contentsOf(session: StoredSession): Record<string, unknown> {
  const { cookie, ...data } = session;
  return isMap(cookie) ? data : { ...session };
}

function metaWith(meta: Meta | undefined, cookie: StoredCookie | undefined): Meta {
  const { cookie: _, ...others } = meta ?? {};
  return cookie ? { ...others, cookie } : others;
}

/** Only what changed is written, so that a slower request does not undo what another one has changed meanwhile. */
function lifetimeChange(wanted: Lifetime, had: Lifetime) {
  return wanted === had ? {} : lifetimeOptions(wanted);
}

/** What a group is to become; undefined: it was the same before, or the store has nothing to do with it. */
function groupChange(wanted: string | null | undefined, had: string | null | undefined) {
  return wanted === (had ?? null) ? undefined : wanted;
}

function numberIn(session: StoredSession, key: string): number {
  const value: unknown = session[key] === undefined ? 0 : session[key];
  if (typeof value === "number") return value;
  throw new ArgumentError(`"${key}" of the session is no number.`);
}

/** By its code: errors of the ESM and of the CommonJS build are different classes. */
function hasCode(error: unknown, code: string): boolean {
  return (error as { code?: unknown } | undefined)?.code === code;
}

/** undefined where the session was ended or has expired, as where it is missing. */
async function unlessGone<Answer>(work: Promise<Answer>): Promise<NonNullable<Answer> | undefined> {
  try {
    return (await work) ?? undefined;
  } catch (error) {
    if (hasCode(error, "GONE")) return undefined;
    throw error;
  }
}
