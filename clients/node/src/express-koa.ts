// The same store for koa-session, whose sessions carry their own end and whose stores are told their lifetimes.
import type { SessiondStoreOptions } from "./express-options.js";
import { SessiondStore } from "./express-store.js";
import { lifetimeOfMs, type StoredSession } from "./express-values.js";

/** What koa-session takes as its option `store`. */
export interface KoaStore {
  get(key: string, maxAge?: number | string, of?: { ctx?: any }): Promise<StoredSession | undefined>;
  set(key: string, session: object, maxAge?: number | string, of?: { ctx?: any }): Promise<void>;
  destroy(key: string, of?: { ctx?: any }): Promise<void>;
  /** The store beneath: its `increment`, lists and `close`. */
  readonly store: SessiondStore;
}

/**
 * A store for koa-session: `session({ store: koaStore({ url }) }, app)`. A session lives as long as koa-session says
 * (10 seconds longer than its cookie), one of a `maxAge` of "session" as `ttl` says. What a request changed is merged.
 * A key `cookie` of a session is kept as express-session's is.
 * @param store a SessiondStore, or its options or URL
 */
export function koaStore(store: SessiondStore | string | SessiondStoreOptions = {}): KoaStore {
  const used = isStore(store) ? store : new SessiondStore(store);
  /** What was last read or written, by the request's context: koa-session writes another object than it was given. */
  const known = new WeakMap<object, StoredSession>();
  return {
    store: used,
    async get(key, _maxAge, { ctx } = {}) {
      const session = await used.get(key);
      if (session && ctx) known.set(ctx, session);
      return session;
    },
    async set(key, session, maxAge, { ctx } = {}) {
      const lifetime = typeof maxAge === "number" ? lifetimeOfMs(maxAge) : undefined;
      await used.writeFor(ctx && known.get(ctx), key, session, lifetime);
      if (ctx) known.set(ctx, session);
    },
    async destroy(key) {
      await used.destroy(key);
    },
  };
}

/** By what it can do: a store of the other build (ESM, CommonJS) is of another class. */
function isStore(store: SessiondStore | string | SessiondStoreOptions): store is SessiondStore {
  return typeof (store as SessiondStore | undefined)?.writeFor === "function";
}
