// Stores for express-session on the sessiond of a file's tests.
import { SessiondStore } from "sessiond/express";
import { session } from "./express.js";
import { client } from "./shared.js";

let count = 0;

/** A store with a namespace of its own, on the client of all tests. */
export function storeWith(options = {}) {
  const namespace = `store-${++count}`;
  const store = new SessiondStore({ connection: client, namespace, ...options });
  return Object.assign(store, { operations: client.withNamespace(namespace) });
}

/** Calls it while no time passes for this side, now or later: what it starts takes its lifetimes at once. */
export function inOneMoment(run, later_ms = 0) {
  const { now } = Date;
  const moment = now() + later_ms;
  Date.now = () => moment;
  try {
    return run();
  } finally {
    Date.now = now;
  }
}

/** As express-session would write it. */
export const sessionWith = (data, cookie = {}) => ({ cookie: new session.Cookie(cookie), ...data });
