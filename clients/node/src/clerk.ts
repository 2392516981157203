// Sessions and clients as resources, in the shape of Clerk's documents: objects with a status and the calls that
// change it. This is sessiond's own interface in that shape: it is not Clerk's SDK, talks to none of its services, and
// has no sign-in of its own; who somebody is you have found out before `signIn`.
//
// A resource is what the server said when it was read. Its calls ask the server, take over what it answers and resolve
// with the resource itself. Which change is allowed only the server decides; what it refuses rejects and changes nothing.
import { preparedByConnection, takeClient, type AdapterOptions } from "./adapter.js";
import type { NamespacedClient } from "./client.js";
import { ArgumentError } from "./errors.js";
import type { FieldName, Status } from "./generated/constants.js";
import { ConflictError, GoneError } from "./generated/errors.js";
import type { PolicyChange, SessionRecord } from "./generated/operations.js";
import type { ClientSessions } from "./shapes.js";

/**
 * The seven states. Only "active" is valid. A session of the namespace that another program made with `pending` shows
 * "pending" until it is activated.
 */
export type SessionStatus = Exclude<Status, "pending">;

/** Whose session it is. Whatever stands beside the id is kept with the session as it was given to `signIn`. */
export interface User {
  id: string;
  [attribute: string]: unknown;
}

export interface SessionResourcesOptions extends AdapterOptions {
  /** Default: the client's or the URL's, else "sessions". */
  namespace?: string;
  /**
   * Entries of the namespace's policy, set with the first call: `single_session: true` for one session per client,
   * `abandon_timeout_ms`, `idle_timeout_ms`, `absolute_timeout_ms`, `retention_ms` ... Left out: it stays as it is.
   */
  policy?: PolicyChange;
}

/** Of one session; durations are milliseconds, left out the namespace's default, 0 none. */
export interface SignInOptions {
  /** who: an id, or an object with one whose other members are kept too */
  user: string | User;
  /** the session expires so long after its last activity */
  idle_timeout_ms?: number;
  /** the session expires so long after it began */
  absolute_timeout_ms?: number;
  /** the session is abandoned so long after its last activity */
  abandon_timeout_ms?: number;
}

const FIELDS: readonly FieldName[] = [
  ...(["id", "status", "created_at", "updated_at", "last_active_at", "expires_at", "abandon_at"] as const),
  ...(["status_at", "reason", "replaced_by", "user", "client", "data"] as const),
];

/** What the resources share: the namespace's operations, as soon as its policy stands. */
type Ready = () => Promise<NamespacedClient>;

/**
 * The place where resources come from. It connects with its first call, and an idle one does not keep the process
 * alive. All calls reject with a SessiondError: CONNECTION or TIMEOUT where the server cannot be reached, ARGUMENT where
 * nothing was sent, CONFLICT and GONE where a session's `status` does not allow it.
 */
export class SessionResources {
  readonly #ready: Ready;
  readonly #close: () => Promise<void>;

  /** Throws an UrlError or ArgumentError where the URL or an option cannot be used. */
  constructor(urlOrOptions: string | SessionResourcesOptions = {}) {
    const { client, namespace, own, close } = takeClient<SessionResourcesOptions, "policy">(
      urlOrOptions,
      "sessiond for session resources",
      ["policy"],
    );
    const sessions = client.withNamespace(namespace ?? client.namespaceName ?? "sessions");
    const prepared = preparedByConnection(client, async () => {
      if (own.policy !== undefined) await sessions.namespace.configure(own.policy);
    });
    this.#ready = async () => {
      await prepared();
      return sessions;
    };
    this.#close = close;
  }

  /** A browser or device and its sessions, under an id of yours (1 to 255 bytes); one that has none has no sessions. */
  async client(id: string): Promise<ClientResource> {
    return new ClientResource(this.#ready, id).reload();
  }

  /** A session by its id, whatever became of it; null: there is none, or it is no longer kept. */
  async session(id: string): Promise<SessionResource | null> {
    const { session } = await this.#ready();
    const record = await session.get(id, { include_dead: true, fields: FIELDS });
    return record && new SessionResource(this.#ready, record);
  }

  /** The sessions of a user on all clients, the newest first; left out, `status` means those that are active. */
  async sessionsOf(user: string | User, status: SessionStatus | "any" = "active"): Promise<SessionResource[]> {
    const { session } = await this.#ready();
    const all: SessionResource[] = [];
    let cursor: string | undefined;
    do {
      const page = await session.list({ user: idOf(user), status, limit: 1000, cursor, fields: FIELDS });
      all.push(...page.sessions.map((record) => new SessionResource(this.#ready, record)));
      cursor = page.cursor ?? undefined;
    } while (cursor !== undefined);
    return all;
  }

  /**
   * Revokes the sessions of a user on all clients; when it has resolved, none that began before is active.
   * @param except ids of sessions that stay, such as the one that asks
   * @returns how many were revoked
   */
  async revokeAll(user: string | User, except: readonly string[] = []): Promise<number> {
    const { session } = await this.#ready();
    return session.revokeAll({ user: idOf(user), except });
  }

  /** Waits for the calls that were made and closes the connection, unless it is that of a client of yours. */
  close(): Promise<void> {
    return this.#close();
  }
}

/** A session. Its members are what the server said last; times are Dates of the server's clock. */
export class SessionResource {
  readonly #ready: Ready;
  #record: SessionRecord;

  /** Resources come from SessionResources and ClientResource. */
  constructor(ready: Ready, record: SessionRecord) {
    this.#ready = ready;
    this.#record = record;
    if (record.id === undefined)
      throw new ArgumentError("The namespace has hash_ids, and its lists hold no ids; take one without, or session(id).");
  }

  get id(): string {
    return this.#record.id;
  }

  /** Whose it is; null: nobody's, which only another program can make. */
  get user(): User | null {
    const { user, data } = this.#record;
    return user === undefined ? null : { ...data?.user, id: user };
  }

  /** The browser or device that it began on. */
  get clientId(): string | null {
    return this.#record.client ?? null;
  }

  get status(): SessionStatus {
    return this.#record.status as SessionStatus;
  }

  /** When it was last touched. */
  get lastActiveAt(): Date {
    return new Date(this.#record.last_active_at);
  }

  /** When it is abandoned unless it is touched before, or was; null: never. */
  get abandonAt(): Date | null {
    return dateOrNull(this.#record.abandon_at);
  }

  /** When it expires, or did; null: never. */
  get expireAt(): Date | null {
    return dateOrNull(this.#record.expires_at);
  }

  /** Its last activity of any kind. */
  get updatedAt(): Date {
    return new Date(this.#record.updated_at);
  }

  get createdAt(): Date {
    return new Date(this.#record.created_at);
  }

  /** When it left "active"; null before that. */
  get statusAt(): Date | null {
    return dateOrNull(this.#record.status_at);
  }

  /** Why it left "active", such as "session_limit"; null where nobody said. */
  get reason(): string | null {
    return this.#record.reason ?? null;
  }

  /** Of one that is "replaced": the id of the session that took its place. */
  get replacedBy(): string | null {
    return this.#record.replaced_by ?? null;
  }

  /** Its user signed out: it becomes "ended" and stays among the client's sessions. CONFLICT where it is not active. */
  end(): Promise<this> {
    return this.#change((session) => session.end(this.id, { fields: FIELDS }));
  }

  /** Its user signed out: it becomes "removed" and leaves the client. CONFLICT where it was revoked. */
  remove(): Promise<this> {
    return this.#change((session) => session.remove(this.id, { fields: FIELDS }));
  }

  /** The application ended it: it becomes "revoked" and leaves the client. CONFLICT where it is not active. */
  revoke(): Promise<this> {
    return this.#change((session) => session.revoke(this.id, { fields: FIELDS }));
  }

  /** It becomes "abandoned", before its `abandonAt`. CONFLICT where it is not active. */
  abandon(): Promise<this> {
    return this.#change((session) => session.abandon(this.id, { fields: FIELDS }));
  }

  /** Its user did something: its deadlines start again, and it is its client's active session. GONE where it is not active. */
  touch(): Promise<this> {
    return this.#change(async (session) => {
      // Both are sent at once, and the server executes them in this order.
      const [touched, record] = await Promise.all([session.touch(this.id), this.#read(session)]);
      return touched && record;
    });
  }

  /** Asks the server how it stands. GONE where it is no longer kept. */
  reload(): Promise<this> {
    return this.#change((session) => this.#read(session));
  }

  /** For JSON: its members, times as milliseconds since the Unix epoch. */
  toJSON(): Record<string, unknown> {
    const { id, user, clientId, status, reason, replacedBy } = this;
    const times = { lastActiveAt: +this.lastActiveAt, updatedAt: +this.updatedAt, createdAt: +this.createdAt };
    const deadlines = { abandonAt: this.abandonAt && +this.abandonAt, expireAt: this.expireAt && +this.expireAt };
    return { object: "session", id, user, clientId, status, reason, replacedBy, ...times, ...deadlines };
  }

  #read(session: NamespacedClient["session"]): Promise<SessionRecord | null> {
    return session.get(this.id, { include_dead: true, fields: FIELDS });
  }

  async #change(ask: (session: NamespacedClient["session"]) => Promise<SessionRecord | null>): Promise<this> {
    const { session } = await this.#ready();
    const record = await ask(session);
    if (record === null)
      throw new GoneError("GONE", `The session "${this.id}" was destroyed, or its retention is over; sign in again.`);
    this.#record = record;
    return this;
  }
}

/** A browser or device. Its members are what the server said last. */
export class ClientResource {
  readonly id: string;
  readonly #ready: Ready;
  #sessions: readonly SessionResource[] = [];
  #answer: ClientSessions | null = null;

  /** Resources come from SessionResources. */
  constructor(ready: Ready, id: string) {
    this.#ready = ready;
    this.id = id;
  }

  /** Those that are active, ended, replaced, expired or abandoned, the oldest first; not those removed or revoked. */
  get sessions(): readonly SessionResource[] {
    return this.#sessions;
  }

  /** Those of them that are valid. */
  get activeSessions(): readonly SessionResource[] {
    return this.#sessions.filter(({ status }) => status === "active");
  }

  /** The one of several that is in use: the one that was last touched or made active, else the oldest valid one. */
  get session(): SessionResource | null {
    return this.#sessions.find(({ id }) => id === this.#answer?.default_session) ?? null;
  }

  /** The one that was last touched or made active, valid or not. */
  get lastActiveSessionId(): string | null {
    return this.#answer?.last_active_session ?? null;
  }

  /** null: it has no sessions. */
  get createdAt(): Date | null {
    return dateOrNull(this.#answer?.created_at);
  }

  /** null: it has no sessions. */
  get updatedAt(): Date | null {
    return dateOrNull(this.#answer?.updated_at);
  }

  /**
   * Begins a session of a user on this client and makes it the active one. With `single_session` it replaces the one
   * that was there. LIMIT where the user has as many as the namespace allows.
   */
  async signIn(options: SignInOptions): Promise<SessionResource> {
    const { user, ...timeouts } = checkedSignIn(options);
    const data = typeof user === "string" ? {} : { user };
    const calls = await this.#ready();
    const made = await calls.session.create({ user: idOf(user), client: this.id, data, timeouts, fields: FIELDS });
    await this.setActive({ session: made.id }).catch((error) => {
      // Meanwhile another sign-in may have replaced it, or its user may be out everywhere: its status says so.
      if (error.code !== "CONFLICT") throw error;
      return this.reload();
    });
    return this.#sessions.find(({ id }) => id === made.id) ?? new SessionResource(this.#ready, made).reload();
  }

  /** Makes one of its valid sessions the active one. CONFLICT where it is none of these. */
  async setActive(options: { session: SessionResource | string }): Promise<this> {
    const session = sessionId(options?.session);
    const calls = await this.#ready();
    return this.#take(calls.client.activate(this.id, { session, fields: FIELDS }));
  }

  /** Removes one session of this client, or all. CONFLICT where it is another client's, or was revoked. */
  async signOut({ session }: { session?: SessionResource | string } = {}): Promise<this> {
    const calls = await this.#ready();
    if (session === undefined) return this.#take(calls.client.destroy(this.id));
    const id = sessionId(session);
    const found = await calls.session.get(id, { include_dead: true, fields: ["client", "status"] });
    if (found !== null && found.client !== this.id)
      throw new ConflictError("CONFLICT", `The session "${id}" is none of the client "${this.id}".`, {
        details: { status: found.status },
      });
    await calls.session.remove(id, { fields: ["id"] });
    return this.reload();
  }

  /** Removes all its sessions, as signOut does. */
  destroy(): Promise<this> {
    return this.signOut();
  }

  /** Asks the server how it stands. */
  async reload(): Promise<this> {
    const calls = await this.#ready();
    return this.#take(calls.client.get(this.id, { fields: FIELDS }));
  }

  /** For JSON: its members and its sessions, times as milliseconds since the Unix epoch. */
  toJSON(): Record<string, unknown> {
    const { id, lastActiveSessionId, createdAt, updatedAt, sessions } = this;
    const times = { createdAt: createdAt && +createdAt, updatedAt: updatedAt && +updatedAt };
    return { object: "client", id, lastActiveSessionId, sessionId: this.session?.id ?? null, sessions, ...times };
  }

  async #take(asked: Promise<ClientSessions | null>): Promise<this> {
    const answer = await asked;
    this.#sessions = (answer?.sessions ?? []).map((record) => new SessionResource(this.#ready, record));
    this.#answer = answer;
    return this;
  }
}

function dateOrNull(at: number | undefined): Date | null {
  return at === undefined || at === 0 ? null : new Date(at);
}

function idOf(user: string | User): string {
  const id = typeof user === "object" && user !== null ? user.id : user;
  if (typeof id !== "string" || id === "") throw new ArgumentError("The user is no id, and no object with one: {id}.");
  return id;
}

function sessionId(session: SessionResource | string): string {
  const id = typeof session === "object" && session !== null ? session.id : session;
  if (typeof id !== "string" || id === "") throw new ArgumentError("The session is neither a session nor its id.");
  return id;
}

const SIGN_IN = ["user", "idle_timeout_ms", "absolute_timeout_ms", "abandon_timeout_ms"];

function checkedSignIn(options: SignInOptions): SignInOptions {
  if (typeof options !== "object" || options === null) throw new ArgumentError("signIn takes an object, such as {user}.");
  for (const name of Object.keys(options))
    if (!SIGN_IN.includes(name))
      throw new ArgumentError(`signIn has no option "${name}"; there are ${SIGN_IN.join(", ")}.`);
  return options;
}
