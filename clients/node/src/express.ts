// The entry sessiond/express: the store for express-session and @fastify/session, and koa-session's.
export { koaStore, type KoaStore } from "./express-koa.js";
export type { SessiondStoreOptions } from "./express-options.js";
export { SessiondStore } from "./express-store.js";
export type { GroupName, GroupOf, Serializer, StoredCookie, StoredSession } from "./express-values.js";
