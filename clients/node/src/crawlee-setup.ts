// What a shared pool is to be on the server: its limits, and the sessions that were given with them.
//
// A server that keeps nothing has forgotten both with its restart, and would hand out sessions with limits of its own.
// So behind each lost connection they are looked after before the pool is used again.
import type { Client, NamespacedClient } from "./client.js";
import type { Resolved, SessionOptions } from "./crawlee-options.js";
import type { SessionRecord } from "./generated/operations.js";
import { hasForgotten } from "./restart.js";
import type { PoolDescription } from "./shapes.js";

/** The set-up of one pool by one process. */
export class PoolSetUp {
  /** How often the connection was lost: a call that was sent before may be executed by a server that was restarted. */
  lossCount = 0;
  /** How often the server had forgotten the pool. */
  forgottenCount = 0;
  /** What the server's clock is ahead of this process's (milliseconds). */
  clockAheadMs = 0;
  /** Those of the pool's policy; undefined: nobody has said. */
  blockedStatusCodes: readonly number[] | undefined;
  readonly #connection: Client;
  readonly #client: NamespacedClient;
  readonly #options: Resolved;
  readonly #add: (session: SessionOptions) => Promise<void>;
  #ready: Promise<void> | undefined;
  #isListening = false;
  /** When the server was last found to have it, by the server's clock. */
  #standsAt = -Infinity;

  /** @param add puts one of the given sessions into the pool, or leaves it out where it is there or over */
  constructor(
    connection: Client,
    client: NamespacedClient,
    options: Resolved,
    add: (session: SessionOptions) => Promise<void>,
  ) {
    this.#connection = connection;
    this.#client = client;
    this.#options = options;
    this.#add = add;
  }

  readonly #lost = (): void => {
    this.lossCount++;
    this.#ready = undefined;
  };

  /**
   * Waits until the server has the pool as it is to be. Rejects where it cannot be reached or refuses, and tries again
   * when it is asked again.
   */
  ready(): Promise<void> {
    if (this.#ready === undefined) {
      if (!this.#isListening) this.#connection.on("disconnect", this.#lost);
      this.#isListening = true;
      const begun = this.#look();
      this.#ready = begun;
      begun.catch(() => (this.#ready === begun ? (this.#ready = undefined) : undefined));
    }
    return this.#ready;
  }

  /** Hears no more of the connection. */
  close(): void {
    if (this.#isListening) this.#connection.off("disconnect", this.#lost);
    this.#isListening = false;
  }

  /** Whether the server made a session by other limits than the pool's, because it had forgotten them. */
  isMadeByOthers({ id, ...record }: SessionRecord): boolean {
    const { policy, isServerMade, own } = this.#options;
    const isGiven = own.sessions?.some((session) => session.id === id) ?? false;
    if (!isServerMade || own.create === "never" || isGiven) return false;
    const limits = ["max_usage_count", "max_error_score", "error_score_decrement", "absolute_timeout_ms"] as const;
    return limits.some((name) => policy[name] !== undefined && policy[name] !== record[name]);
  }

  async #look(): Promise<void> {
    const { pool } = this.#options;
    const [info, description] = await Promise.all([this.#client.server.info(), this.#client.pool.info(pool)]);
    const now: number = info["now"];
    this.clockAheadMs = now - Date.now();
    const isFirst = this.#standsAt === -Infinity;
    const isOther = hasForgotten(info, this.#standsAt);
    if (isFirst || isOther || description === null) await this.#set(description);
    if (!isFirst && isOther) this.forgottenCount++;
    this.#standsAt = now;
  }

  async #set(found: PoolDescription | null): Promise<void> {
    const { pool, policy, own } = this.#options;
    const isGiven = Object.keys(policy).length > 0;
    const description = isGiven ? await this.#client.pool.configure(pool, policy) : found;
    this.blockedStatusCodes = own.blockedStatusCodes ?? description?.policy.blocked_status_codes;
    for (const session of own.sessions ?? []) await this.#add(session);
  }
}
