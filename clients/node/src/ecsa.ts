// A SessionManager for express-cookie-session-auth, whose sessions are sessiond's: they survive restarts, and any number
// of processes share them.
//
// That package uses what `get` answers at once. A promise would be an object, and so everyone would be logged in; a copy
// kept by events would for a moment still know a session that another process has just deleted. So each method asks the
// server and blocks until it has answered (sync-client.ts): what it answers is true at that moment.
//
// What the package's own manager documents and does not do, and what is done here:
// - `new` forces userID and expires. There a model that has `expires` keeps it.
// - The model is copied. There all sessions that were made without one are one and the same object.
// - Sessions expire at their millisecond. There nothing ever looks at `expires`, and nothing is ever purged.
// - Ids cannot be guessed. There they are MD5 of a time and a Math.random().
// - `auth.logout` deletes the session. There it deletes that of req.session.id, which no session has; here each has one.
import { ArgumentError, SessiondError } from "./errors.js";
import { LIMITS } from "./generated/constants.js";
import type { SessionRecord } from "./generated/operations.js";
import { checkLifetime, expiredAt, NEVER_MS } from "./lifetimes.js";
import { resolveOptions, type ClientOptions } from "./options.js";
import { SyncClient } from "./sync-client.js";
import { encode } from "./msgpack.js";
import { withoutUndefined } from "./without-undefined.js";

const MAX_AGE_MS = 3_600_000;
const PURGE_INTERVAL_MS = 900_000;
const PURGE_INTERVAL_MIN_MS = 100;
const TIMEOUT_MS = 1000;
const SET_TRIES = 5;
const PAGE = 1000;
const DEFAULT_NAMESPACE = "sessions";
const FIELDS = ["status", "version", "expires_at", "data", "meta"] as const;

/** A session as it is read. What is changed in it is kept by `set` only. */
export interface SessionModel {
  /** Whose it is; whatever `new` was given. */
  userID: any;
  /** When it ends: milliseconds since the Unix epoch, or a Date where `set` was given one. */
  expires: number | Date;
  /** The session's id. Not enumerable, and a model's own member of that name goes before it. */
  readonly id?: any;
  [member: string]: any;
}

export interface SessionManagerOptions extends ClientOptions {
  /** What a session holds that is made without a model; default nothing beside userID and expires. */
  model?: object;
  /** Lifetime of a session (milliseconds); default an hour. */
  maxAge?: number;
  /** Between two purges (milliseconds, at least 100); default a quarter of an hour. */
  purgeInterval?: number;
  /** Attributes of the package's cookie; default true, true, true. */
  httpOnly?: boolean;
  sameSite?: boolean | "lax" | "strict" | "none";
  secure?: boolean;
  /** Is told why a method answered false; default: a warning of the process, once per cause. */
  onError?: (error: SessiondError) => void;
}

/**
 * What `auth.sessions` has to be. Each method blocks until the server has answered, at most `timeoutMs` (1,000); while
 * the server is known to be unreachable they fail at once.
 *
 * get, set and del answer false where the server could not be asked or refused; `lastError` then says why. new, all and
 * purge have no such answer and throw a SessiondError.
 */
export class SessionManager {
  /** What a session holds that is made without a model; it is copied. */
  model: object;
  /** Milliseconds. Those made later have it. */
  maxAge: number;
  /** Milliseconds; takes effect with startPeriodicPurging. */
  purgeInterval: number;
  httpOnly: boolean;
  sameSite: boolean | "lax" | "strict" | "none";
  secure: boolean;
  /** Why the last call failed; undefined: it succeeded. */
  lastError: SessiondError | undefined;
  readonly #client: SyncClient;
  readonly #onError: (error: SessiondError) => void;
  #warned: string | undefined;

  /** Begins to connect and starts periodic purging. Throws an ArgumentError or UrlError that names the option. */
  constructor(urlOrOptions: string | SessionManagerOptions = {}) {
    const options = typeof urlOrOptions === "string" ? { url: urlOrOptions } : urlOrOptions;
    if (typeof options !== "object" || options === null)
      throw new ArgumentError("The options are neither a URL nor an object, such as {url}.");
    const { model, maxAge, purgeInterval, httpOnly, sameSite, secure, onError, ...rest } = options;
    this.model = model ?? { userID: "", expires: 0 };
    this.maxAge = checkLifetime("maxAge", maxAge ?? MAX_AGE_MS);
    this.purgeInterval = checkLifetime("purgeInterval", purgeInterval ?? PURGE_INTERVAL_MS);
    this.httpOnly = httpOnly ?? true;
    this.sameSite = sameSite ?? true;
    this.secure = secure ?? true;
    this.#onError = onError ?? ((error) => this.#warn(error));
    this.#client = new SyncClient({
      timeoutMs: TIMEOUT_MS,
      ...rest,
      namespace: resolveOptions(rest).namespace ?? DEFAULT_NAMESPACE,
    });
    this.startPeriodicPurging();
  }

  /**
   * Makes a session and answers its id. Whatever the model says, `userID` is the user's and `expires` is maxAge from
   * now on. Throws where it cannot be made: nobody is logged in then.
   * @param maxAge milliseconds; 0 or less makes a session that has expired
   */
  new(userID: unknown, model: unknown = this.model, maxAge: number = this.maxAge): string {
    if (userID === undefined) throw new ArgumentError("userID is undefined; give whose session it is.");
    const lifetimeMs = checkLifetime("maxAge", maxAge);
    const record = this.#ask("session.create", [], {
      ...contents(model, userID),
      timeouts: { idle_timeout_ms: 0, absolute_timeout_ms: Math.max(lifetimeMs, 0) },
      ...(lifetimeMs > 0 ? {} : { absolute_expires_at: expiredAt(lifetimeMs) }),
      fields: ["id"],
    }) as SessionRecord;
    return record.id;
  }

  /** The session; undefined: there is none, or not any more; false: it could not be read. */
  get(id: unknown): SessionModel | undefined | false {
    if (!isId(id)) return undefined;
    return this.#try(() => {
      const record = this.#read(id);
      return record && modelOf(id, record);
    });
  }

  /** The ids of all sessions. */
  all(): string[] {
    const found: string[] = [];
    let cursor: string | null = null;
    do {
      const page = this.#ask("session.list", [], {
        status: "active",
        limit: PAGE,
        fields: ["id"],
        ...(cursor === null ? {} : { cursor }),
      }) as { sessions: SessionRecord[]; cursor: string | null };
      for (const { id } of page.sessions) found.push(id);
      ({ cursor } = page);
    } while (cursor !== null);
    return found;
  }

  /**
   * Replaces what a session holds. `userID` (a string) and `expires` (a Date) change the session's; where they are left
   * out it keeps its own, and so it does with the number that `get` answered.
   * @returns true; undefined: there is no such session; false: one of the two is no string or Date, or it failed
   */
  set(id: unknown, model: unknown): true | undefined | false {
    if (!isId(id)) return undefined;
    return this.#try(() => {
      for (let left = SET_TRIES; ; left--) {
        const current = this.#read(id);
        if (current === undefined) return undefined;
        const options = changeOf(modelOf(id, current), model);
        if (options === false) return false;
        const { data, ...rest } = options;
        try {
          const version = { mode: "if_version", version: current.version };
          const written = this.#ask("session.set", [id, data], { ...rest, ...version });
          return written === null ? undefined : true;
        } catch (error) {
          const { code } = error as SessiondError;
          if (code === "GONE") return undefined;
          if (code !== "CONFLICT" || left <= 1) throw error; // else somebody was faster: look again
        }
      }
    });
  }

  /** @returns true: it is deleted; undefined: there was none; false: it failed */
  del(id: unknown): true | undefined | false {
    if (!isId(id)) return undefined;
    return this.#try(() => (this.#ask("session.destroy", [id]) === true ? true : undefined));
  }

  /** Has the server forget what has expired. That it has expired does not depend on it. */
  purge(): void {
    this.#ask("session.purge", []);
  }

  /** Has the server do so every `purgeInterval`, for all processes, and again where it forgot. Waits for nothing. */
  startPeriodicPurging(): void {
    const interval_ms = Math.max(checkLifetime("purgeInterval", this.purgeInterval), PURGE_INTERVAL_MIN_MS);
    this.#client.wish("server.purging", [null], { enabled: true, interval_ms });
  }

  /** Ends that, for all processes. Waits for nothing. */
  stopPeriodicPurging(): void {
    this.#client.wish("server.purging", [null], { enabled: false });
  }

  /** Ends the connection; every method fails from now on. Purging goes on on the server. */
  async close(): Promise<void> {
    await this.#client.close();
  }

  #read(id: string): SessionRecord | undefined {
    const record = this.#ask("session.get", [id], { fields: FIELDS }) as SessionRecord | null;
    return record === null || record.status !== "active" ? undefined : record;
  }

  #ask(method: string, params: readonly unknown[], options?: object): unknown {
    try {
      const answer = this.#client.call(method, [null, ...params], options);
      this.lastError = undefined;
      this.#warned = undefined;
      return answer;
    } catch (error) {
      this.lastError = error as SessiondError;
      throw error;
    }
  }

  /** What went wrong becomes false, and is told. */
  #try<Answer>(ask: () => Answer): Answer | false {
    try {
      return ask();
    } catch (error) {
      if (!(error instanceof SessiondError)) throw error;
      this.lastError = error;
      this.#onError(error);
      return false;
    }
  }

  #warn(error: SessiondError): void {
    if (this.#warned === error.code) return;
    this.#warned = error.code;
    process.emitWarning(error.message, { type: "SessiondWarning", code: error.code });
  }
}

/** What a session holds of a model, as data, meta and user: expires is the session's own, and not among it. */
function contents(given: unknown, userID: unknown): { data: object; user: string | null } {
  // Left among the members, toJSON would make something else of all of them, userID too.
  const { toJSON } = (given ?? {}) as { toJSON?: unknown };
  const model: unknown = typeof toJSON === "function" ? toJSON.call(given) : given;
  const isMap = typeof model === "object" && model !== null && !Array.isArray(model);
  const { expires: _, ...members } = (isMap ? model : { value: model }) as SessionModel;
  const data = withoutUndefined({ ...members, userID }) as object;
  try {
    encode(data);
  } catch (error) {
    if (!(error instanceof ArgumentError)) throw error;
    throw new ArgumentError(error.message.replace(/^(The|the) value/, "model"));
  }
  return { data, user: isId(userID) ? userID : null };
}

function modelOf(id: string, record: SessionRecord): SessionModel {
  const expiresAt = record.expires_at || NEVER_MS;
  const expires = record.meta?.isDate === true ? new Date(expiresAt) : expiresAt;
  const model = { ...(record.data as object), userID: record.data?.userID ?? "", expires } as SessionModel;
  // For auth.logout, which deletes the session of req.session.id.
  if (!Object.hasOwn(model, "id")) Object.defineProperty(model, "id", { value: id, enumerable: false });
  return model;
}

/** The options of the set that makes `model` of the session; false: it may not be made. */
function changeOf(current: SessionModel, model: unknown): ({ data: object } & Record<string, unknown>) | false {
  const given = (typeof model === "object" && model !== null ? model : {}) as Partial<SessionModel>;
  const { userID = current.userID, expires = current.expires } = given;
  if (given.userID !== undefined && typeof userID !== "string" && userID !== current.userID) return false;
  if (expires instanceof Date) {
    const moment = expires.getTime();
    if (Number.isNaN(moment)) return false;
    return { ...contents(model, userID), absolute_expires_at: moment, meta: { isDate: true } };
  }
  return expires === current.expires ? contents(model, userID) : false;
}

/** Whether a session or user can be called so: 1 to 255 bytes of UTF-8. */
function isId(id: unknown): id is string {
  return typeof id === "string" && id !== "" && Buffer.byteLength(id) <= LIMITS.max_id && !/\p{Surrogate}/u.test(id);
}
