// dot-do's `sessions` package over sessiond: the same eight functions and classes, by their names and signatures.
//
// The four functions createSession, validateSession, destroySession and refreshSession compute on a Session object and
// talk to nobody, as in the original. SessionStore keeps such objects. SessionManager has the server make sessions and
// tokens, and judges nothing itself: what is valid, expired, revoked or bound elsewhere is the server's answer.
//
// What the original documents and does not do, and what is done here:
// - Sliding expiration: documented, but no access ever slid a session. Here each validate of one that slides does.
// - A refreshed token: the old one stayed valid for ever. Here it is good for `refreshGraceMs` (10 s, so that two tabs
//   or a lost answer do no harm) and after that ends the session, because somebody must have stolen it.
// - A refreshed session keeps its lifetime. There each refresh added the session's age to it.
// - listForUser and destroyAllForUser looked under keys that nothing was ever written to: they found nobody.
// - destroy is final. There a slower save brought a revoked session back to life.
// - Who lacks the right token learns nothing. There a wrong token was told that its session is revoked or expired.
// - A session is over at expiresAt, not a millisecond later; a lifetime below a second is kept as it is.
import { createHash, randomBytes, randomUUID, timingSafeEqual } from "node:crypto";
import { Client, type NamespacedClient } from "./client.js";
import { ArgumentError } from "./errors.js";
import type { SessionRecord, Timeouts } from "./generated/operations.js";
import { checkLifetime, expiredAt, NEVER_MS } from "./lifetimes.js";
import { withoutUndefined } from "./without-undefined.js";

const DEFAULT_EXPIRES_IN_MS = 86_400_000;
const DEFAULT_PREFIX = "session:";
const DEFAULT_NAMESPACE = "sessions";
const TOKEN_BYTES_MAX = 4096;
const PAGE = 1000;
const HASH_TRIES = 5;

/** A session. `token` is there once, from the call that made it; who reads a session later finds "". */
export interface Session {
  id: string;
  userId: string;
  token: string;
  /** SHA-256 of the token, in hexadecimal. */
  tokenHash: string;
  createdAt: Date;
  /** From this millisecond on it is over. */
  expiresAt: Date;
  metadata?: Record<string, unknown>;
  /** When it was ended, by whatever means but its time. */
  revokedAt?: Date;
  /** true: it lasts `expiresIn` from its last access on; false: from its beginning (or last refresh) on. */
  slidingExpiration?: boolean;
  /** The user agent that has to be presented with its token. */
  boundUserAgent?: string;
  /** The lifetime it was made with (milliseconds). The original has no such member, and so forgot it. */
  expiresIn?: number;
}

/** What may be shown to anybody: without the token and its hash. */
export interface PublicSession {
  id: string;
  userId: string;
  createdAt: Date;
  expiresAt: Date;
  metadata?: Record<string, unknown>;
}

export interface CreateSessionOptions {
  userId: string;
  /** Milliseconds, up to ten years; default a day. 0 or less makes a session that is over. */
  expiresIn?: number;
  /** Any values that MessagePack has (README, "Values"); members that are undefined are left out, as JSON does. */
  metadata?: Record<string, unknown>;
  /** Default false. */
  slidingExpiration?: boolean;
}

export interface ValidationResult {
  valid: boolean;
  /** Where valid is true only. */
  session?: Session;
  /** The last three only for sessions that something else than this module put into the namespace. */
  error?:
    | "invalid_token"
    | "session_expired"
    | "session_revoked"
    | "user_agent_mismatch"
    | "session_pending"
    | "address_mismatch"
    | "device_mismatch";
}

/** Who presents a token; what is no text is a missing header. */
export interface ValidationContext {
  userAgent?: string | null;
}

/** Which server. One of `url` and `client`. */
export interface StoreConfig {
  type?: "sessiond";
  /** sessiond://host[:port][/namespace]; a client is made for it and ends with close(). */
  url?: string;
  /** A client of yours, which stays yours. */
  client?: Client | NamespacedClient;
  /** Default: the URL's or the client's, or else "sessions". */
  namespace?: string;
}

export interface SessionConfig {
  store: StoreConfig;
  /** Lifetime of sessions that say none (milliseconds); default a day. */
  defaultExpiresIn?: number;
  /** Any but "session:" has sessions of its own: they are in the namespace `<namespace>:<prefix>`. */
  prefix?: string;
  /** true: a session made with `metadata.userAgent` is valid for that user agent only. Default false. */
  bindToUserAgent?: boolean;
  /** How long the old token is good after a refresh (milliseconds, 0 to 60,000); default 10,000. */
  refreshGraceMs?: number;
}

/** Bytes of the CSPRNG as base64url text, 32 where no number is given. Throws an ArgumentError for less than one. */
export function generateSecureToken(bytes = 32): string {
  if (!Number.isInteger(bytes) || bytes < 1 || bytes > TOKEN_BYTES_MAX)
    throw new ArgumentError(`A token of ${String(bytes)} bytes cannot be made; give 1 to ${TOKEN_BYTES_MAX}.`);
  return randomBytes(bytes).toString("base64url");
}

/** SHA-256 of a token, 64 hexadecimal digits. */
export async function hashToken(token: string): Promise<string> {
  return createHash("sha256").update(token).digest("hex");
}

/**
 * A session with a new id and token. It is nowhere kept; see SessionStore.save.
 * Rejects with ARGUMENT where an option cannot be used.
 */
export async function createSession(options: CreateSessionOptions): Promise<Session> {
  const { userId, expiresIn, metadata, slidingExpiration } = checkOptions(options, DEFAULT_EXPIRES_IN_MS);
  const token = generateSecureToken();
  const createdAt = new Date();
  return {
    id: randomUUID(),
    userId,
    token,
    tokenHash: await hashToken(token),
    createdAt,
    expiresAt: new Date(createdAt.getTime() + expiresIn),
    metadata,
    revokedAt: undefined,
    slidingExpiration,
    expiresIn,
  };
}

/**
 * Compares a token with a session as it was read. Only the right token learns more than invalid_token. A session that
 * is bound to a user agent needs it in `context`. Changes nothing: a session that slides does so by refreshSession.
 */
export async function validateSession(
  token: string,
  session: Session,
  context?: ValidationContext | null,
): Promise<ValidationResult> {
  const isRight = isSame(typeof token === "string" ? await hashToken(token) : "", session.tokenHash);
  if (!isRight) return { valid: false, error: "invalid_token" };
  if (session.boundUserAgent !== undefined && context?.userAgent !== session.boundUserAgent)
    return { valid: false, error: "user_agent_mismatch" };
  const error = endOf(session);
  return error ? { valid: false, error } : { valid: true, session };
}

/** The session, revoked now; one that was revoked keeps its moment. */
export async function destroySession(session: Session): Promise<Session> {
  return { ...session, revokedAt: session.revokedAt ?? new Date() };
}

/**
 * The session with a new token and its whole lifetime again; with `slideOnly` the token stays.
 * Rejects with an Error whose message and code are session_revoked or session_expired. A session that a SessionManager
 * made is refreshed by that manager: the server knows its tokens.
 */
export async function refreshSession(session: Session, options: { slideOnly?: boolean } = {}): Promise<Session> {
  const error = endOf(session);
  if (error) throw refusal(error);
  const expiresIn = lifetimeOf(session);
  const slid = { ...session, expiresIn, expiresAt: new Date(Date.now() + expiresIn) };
  if (options.slideOnly) return slid;
  const token = generateSecureToken();
  return { ...slid, token, tokenHash: await hashToken(token) };
}

/**
 * Keeps sessions. The token itself is never sent.
 * All methods reject with a SessiondError where the server cannot be reached or refuses.
 */
export class SessionStore {
  readonly #owned: Client | undefined;
  readonly #client: NamespacedClient;

  /** Connects with the first call. Throws an ArgumentError or UrlError where the configuration cannot be used. */
  constructor(config: StoreConfig, prefix: string = DEFAULT_PREFIX) {
    checkStore(config);
    if (config.url !== undefined) this.#owned = new Client(config.url);
    const client = this.#owned ?? config.client!;
    const base = config.namespace ?? client.namespaceName ?? DEFAULT_NAMESPACE;
    const name = prefix === DEFAULT_PREFIX ? base : `${base}:${prefix}`;
    this.#client = namespaceOf(client, name);
  }

  /** The sessions of its namespace, by the server's own operations. */
  get sessions(): NamespacedClient["session"] {
    return this.#client.session;
  }

  /**
   * Keeps a session, new or changed. Saving is an access: one that slides lasts its lifetime from now on.
   * Rejects with GONE where the session was revoked, deleted or has expired: a save never brings it back; with ARGUMENT
   * where a member is missing or no Date. One with `revokedAt` is revoked, and the moment is the server's.
   */
  async save(session: Session): Promise<void> {
    checkSession(session);
    if (session.revokedAt === undefined) return this.#write(session);
    if ((await endedOr(this.sessions.revoke(session.id))) !== null) return;
    await this.#write(session);
    await endedOr(this.sessions.revoke(session.id));
  }

  /** Also one that was revoked or has expired, for the namespace's `retention_ms` (a day); null: there is none. */
  async get(id: string): Promise<Session | null> {
    const record = await this.sessions.get(id, { include_dead: true });
    return record === null || record.status === "pending" ? null : sessionOf(record);
  }

  /** Forgets a session for good. One that is not there is no error. */
  async delete(id: string): Promise<void> {
    await this.sessions.destroy(id);
  }

  /** By the hash of its token (hashToken), in one round trip; as with get. */
  async findByTokenHash(tokenHash: string): Promise<Session | null> {
    if (typeof tokenHash !== "string" || tokenHash === "") return null;
    const { sessions } = await this.sessions.list({ client: tokenHash, status: "any", limit: 1, fields: FIELDS });
    const record = sessions[0];
    return record === undefined || record.status === "pending" ? null : sessionOf(record);
  }

  /** Closes the connection that it made; a client that was given stays open. */
  async close(): Promise<void> {
    await this.#owned?.close();
  }

  async #write(session: Session): Promise<void> {
    const { metadata, ...life } = { metadata: withoutUndefined(session.metadata ?? {}), ...lifeOf(session) };
    await this.sessions.set(session.id, metadata, {
      ...life,
      user: session.userId,
      client: session.tokenHash,
      meta: withoutUndefined({
        tokenHash: session.tokenHash,
        boundUserAgent: session.boundUserAgent,
        // Not as the server's created_at: it refuses one that its own clock has not reached.
        createdAt: session.createdAt.getTime(),
      }) as object,
    });
  }
}

/**
 * Makes, checks and ends sessions; any number of processes may have one over the same namespace.
 * All methods reject with a SessiondError where the server cannot be reached or refuses.
 */
export class SessionManager {
  readonly #store: SessionStore;
  readonly #expiresIn: number;
  readonly #bindsUserAgent: boolean;
  readonly #graceMs: number | undefined;

  /** Connects with the first call. Throws an ArgumentError or UrlError where the configuration cannot be used. */
  constructor(config: SessionConfig) {
    if (typeof config !== "object" || config === null)
      throw new ArgumentError('The configuration is missing; give { store: { url: "sessiond://host/namespace" } }.');
    this.#store = new SessionStore(config.store, config.prefix);
    this.#expiresIn = checkLifetime("defaultExpiresIn", config.defaultExpiresIn ?? DEFAULT_EXPIRES_IN_MS);
    this.#bindsUserAgent = config.bindToUserAgent ?? false;
    this.#graceMs = config.refreshGraceMs;
  }

  /** A new session, with its token: two round trips, because the hash of a token is known after it was made. */
  async create(options: CreateSessionOptions): Promise<Session> {
    const { userId, expiresIn, metadata, slidingExpiration } = checkOptions(options, this.#expiresIn);
    const boundUserAgent = this.#bindsUserAgent ? userAgentOf(metadata) : undefined;
    const record = await this.#sessions.create({
      user: userId,
      data: metadata ?? {},
      token: true,
      ...(boundUserAgent === undefined ? {} : { bind: { user_agent: boundUserAgent }, meta: { boundUserAgent } }),
      ...(expiresIn > 0
        ? { timeouts: timeoutsOf(expiresIn, slidingExpiration) }
        : { timeouts: NO_TIMEOUTS, absolute_expires_at: expiredAt(expiresIn) }),
    });
    const session = await this.#withToken(record, record.token!);
    return expiresIn > 0 ? session : { ...session, expiresAt: new Date(record.created_at + expiresIn), expiresIn };
  }

  /** Checks a token in one round trip, and slides its session where that slides. */
  async validate(token: string, context?: ValidationContext | null): Promise<ValidationResult> {
    if (typeof token !== "string" || token.length > TOKEN_BYTES_MAX) return { valid: false, error: "invalid_token" };
    const { userAgent } = context ?? {};
    const presented = typeof userAgent === "string" ? { user_agent: Buffer.from(userAgent) } : {};
    const answer = await this.#sessions.validate(Buffer.from(token), { ...presented, slide: true });
    const error = (answer.error ?? undefined) as ValidationResult["error"];
    if (!answer.valid) return { valid: false, error };
    const session = sessionOf(answer.session!, token, await hashToken(token));
    return error === undefined ? { valid: true, session } : { valid: true, session, error };
  }

  /** Revokes a session: its token is refused from now on, everywhere. One that is over or not there is no error. */
  async destroy(sessionId: string): Promise<void> {
    await endedOr(this.#sessions.revoke(sessionId));
  }

  /**
   * The session with a new token and its whole lifetime again, counted from now. Whoever repeats it with the old token
   * within the grace gets the same new one. Rejects with an Error whose message and code are session_not_found (the
   * token is wrong), session_revoked or session_expired.
   */
  async refresh(token: string): Promise<Session> {
    if (typeof token !== "string" || token.length > TOKEN_BYTES_MAX) throw refusal("session_not_found");
    const grace = this.#graceMs === undefined ? {} : { grace_ms: this.#graceMs };
    const answer = await this.#sessions.rotate(Buffer.from(token), { ...grace, extend: true });
    if (answer.error !== undefined)
      throw refusal(answer.error === "invalid_token" ? "session_not_found" : answer.error);
    return this.#withToken(answer.session!, answer.token!);
  }

  /** The user's living sessions, the newest first. Rejects with ARGUMENT where userId is no text: it names nobody. */
  async listForUser(userId: string): Promise<Session[]> {
    checkText("userId", userId);
    const found: Session[] = [];
    let cursor: string | null = null;
    do {
      const page: { sessions: SessionRecord[]; cursor: string | null } = await this.#sessions.list({
        user: userId,
        status: "active",
        limit: PAGE,
        fields: FIELDS,
        ...(cursor === null ? {} : { cursor }),
      });
      found.push(...page.sessions.map((record) => sessionOf(record)));
      cursor = page.cursor;
    } while (cursor !== null);
    return found;
  }

  /** Logs a user out everywhere: when it has answered, no session of the user that there was is valid. */
  async destroyAllForUser(userId: string): Promise<void> {
    checkText("userId", userId);
    await this.#sessions.revokeAll({ user: userId });
  }

  /** Without the token and its hash. */
  toPublicSession({ id, userId, createdAt, expiresAt, metadata }: Session): PublicSession {
    return { id, userId, createdAt, expiresAt, metadata };
  }

  /** Closes the connection that it made; a client that was given stays open. */
  async close(): Promise<void> {
    await this.#store.close();
  }

  get #sessions(): NamespacedClient["session"] {
    return this.#store.sessions;
  }

  /** The session of a token that was just made; its hash is kept, so that findByTokenHash finds it. */
  async #withToken(record: SessionRecord, token: string): Promise<Session> {
    const tokenHash = await hashToken(token);
    const session = sessionOf(record, token, tokenHash);
    let current: SessionRecord | null = record;
    for (let left = HASH_TRIES; current !== null && current.meta?.tokenHash !== tokenHash; left--) {
      try {
        await this.#sessions.set(current.id, current.data, {
          mode: "if_version",
          version: current.version,
          client: tokenHash,
          meta: { ...current.meta, tokenHash },
        });
        break;
      } catch (error) {
        const { code } = error as { code?: string };
        if (code === "GONE") break; // It is over already; that is for validate to say.
        if (code !== "CONFLICT" || left <= 1) throw error;
        current = await this.#sessions.get(current.id); // Somebody changed it in between.
      }
    }
    return session;
  }
}

const FIELDS = [
  "id",
  "status",
  "created_at",
  "expires_at",
  "idle_timeout_ms",
  "absolute_timeout_ms",
  "abandon_at",
  "status_at",
  "user",
  "data",
  "meta",
] as const;

const NO_TIMEOUTS: Timeouts = { idle_timeout_ms: 0, absolute_timeout_ms: 0 };

function timeoutsOf(expiresIn: number, isSliding: boolean | undefined): Timeouts {
  return isSliding
    ? { ...NO_TIMEOUTS, idle_timeout_ms: expiresIn }
    : { ...NO_TIMEOUTS, absolute_timeout_ms: expiresIn };
}

/** What the server is to know of a session's time. */
function lifeOf(session: Session): { timeouts: Timeouts; absolute_expires_at: number | null } {
  const expiresIn = checkLifetime("expiresIn", lifetimeOf(session));
  const expiresAt = session.expiresAt.getTime();
  const isOver = expiresAt <= Date.now() || expiresIn <= 0;
  return {
    timeouts: timeoutsOf(Math.max(expiresIn, 1), session.slidingExpiration),
    absolute_expires_at: session.slidingExpiration && !isOver ? null : expiresAt,
  };
}

function lifetimeOf(session: Session): number {
  return session.expiresIn ?? session.expiresAt.getTime() - session.createdAt.getTime();
}

function sessionOf(record: SessionRecord, token = "", tokenHash?: string): Session {
  const meta = (record.meta ?? {}) as { tokenHash?: string; boundUserAgent?: string; createdAt?: number };
  const isOver = record.status === "expired" || record.status === "abandoned";
  const isEnded = record.status !== "active" && record.status !== "pending" && !isOver;
  // What is over for the server is over here, also where this clock is behind the server's.
  const deadlines = [record.expires_at, record.abandon_at, isOver ? Date.now() : 0];
  return {
    id: record.id,
    userId: record.user ?? "",
    token,
    tokenHash: tokenHash ?? meta.tokenHash ?? "",
    createdAt: new Date(meta.createdAt ?? record.created_at),
    expiresAt: new Date(Math.min(NEVER_MS, ...deadlines.filter((each) => !!each).map(Number))),
    metadata: record.data,
    revokedAt: isEnded ? new Date(record.status_at!) : undefined,
    slidingExpiration: record.idle_timeout_ms > 0,
    boundUserAgent: meta.boundUserAgent,
    expiresIn: record.idle_timeout_ms || record.absolute_timeout_ms,
  };
}

/** Why a session is no longer valid, undefined: it is. */
function endOf(session: Session): "session_revoked" | "session_expired" | undefined {
  if (session.revokedAt) return "session_revoked";
  return session.expiresAt.getTime() <= Date.now() ? "session_expired" : undefined;
}

/** Null where there is no session; what has ended otherwise stays as it is. */
async function endedOr(ending: Promise<SessionRecord | null>): Promise<SessionRecord | null | undefined> {
  try {
    return await ending;
  } catch (error) {
    if ((error as { code?: string }).code === "CONFLICT") return undefined;
    throw error;
  }
}

function refusal(code: string): Error {
  return Object.assign(new Error(code), { code });
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function checkOptions(
  options: CreateSessionOptions,
  expiresInMs: number,
): CreateSessionOptions & { expiresIn: number } {
  const { userId, expiresIn = expiresInMs, metadata, slidingExpiration = false } = options ?? {};
  checkText("userId", userId);
  if (metadata !== undefined && (typeof metadata !== "object" || metadata === null || Array.isArray(metadata)))
    throw new ArgumentError("metadata is no object; give one with what the session is to hold, or leave it out.");
  return {
    userId,
    expiresIn: checkLifetime("expiresIn", expiresIn),
    metadata: metadata && (withoutUndefined(metadata) as Record<string, unknown>),
    slidingExpiration,
  };
}

/** A missing user would be everybody to the server's lists. */
function checkText(name: string, value: unknown): void {
  if (typeof value !== "string" || value === "")
    throw new ArgumentError(`${name} is no text; give one of at least one character.`);
}

/** A session that was JSON meanwhile has texts for its Dates. */
function checkSession(session: Session): void {
  if (typeof session !== "object" || session === null) throw new ArgumentError("The session is no object.");
  for (const name of ["id", "userId", "tokenHash"] as const) checkText(name, session[name]);
  for (const name of ["createdAt", "expiresAt"] as const)
    if (!(session[name] instanceof Date) || Number.isNaN(session[name].getTime()))
      throw new ArgumentError(`${name} of the session is ${String(session[name])}; give a Date.`);
}

function userAgentOf(metadata: Record<string, unknown> | undefined): string | undefined {
  const userAgent = metadata?.["userAgent"] ?? undefined;
  if (userAgent !== undefined && typeof userAgent !== "string")
    throw new ArgumentError("metadata.userAgent is no text, so the session cannot be bound to it.");
  return userAgent === "" ? undefined : userAgent;
}

function checkStore(config: StoreConfig): void {
  const advice = 'give { url: "sessiond://host/namespace" }, or { client } of a Client that you have';
  const type: string = config?.type ?? "sessiond";
  if (type !== "sessiond") throw new ArgumentError(`A store of the type "${type}" is not offered here; ${advice}.`);
  if ((config?.url === undefined) === (config?.client === undefined))
    throw new ArgumentError(`The store names ${config?.url ? "both a url and a client" : "no server"}; ${advice}.`);
}

function namespaceOf(client: Client | NamespacedClient, name: string): NamespacedClient {
  if ("withNamespace" in client) return client.withNamespace(name);
  if (client.namespaceName === name) return client;
  throw new ArgumentError(
    `The client is of the namespace "${client.namespaceName}", not of "${name}"; give the Client that it was made of.`,
  );
}
