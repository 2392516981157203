// Compiled, not run: the store is what the frameworks' own types ask for, and its methods have theirs.
import express from "express";
import session from "express-session";
import type { FastifySessionOptions } from "@fastify/session";
import { connect } from "sessiond";
import { koaStore, SessiondStore, type KoaStore, type StoredSession } from "sessiond/express";

declare module "express-session" {
  interface SessionData {
    user: string;
    views: number;
  }
}

const client = await connect("sessiond://127.0.0.1:7420/web");
const store = new SessiondStore({
  client,
  prefix: "web:",
  ttl: (each) => each.hours * 3600,
  user: (each) => each.user,
});
export const other = new SessiondStore({ url: "sessiond://127.0.0.1", timeoutMs: 500, client: (each) => each.device });
export const viewed = new SessiondStore({ connection: client.withNamespace("web"), serializer: JSON });

const app = express();
app.use(session({ store, secret: "keyboard cat", resave: false, saveUninitialized: false }));
app.get("/", async (request, response) => {
  const views: number | undefined = await store.increment(request.session, "views");
  store.get(request.sessionID, (error, found?: session.SessionData) => response.send(error ?? found?.user));
  store.set(request.sessionID, request.session, (error) => response.send(error ?? views));
  store.touch(request.sessionID, request.session, () => {});
  const done: void = await store.set(request.sessionID, request.session);
  return done;
});

export const fastifyOptions: FastifySessionOptions = { secret: "x".repeat(32), store };
export const koa: KoaStore = koaStore(store);
export const all: Promise<StoredSession[]> = store.all();
export const counted: Promise<number> = store.length();
// @ts-expect-error a ttl is a number of seconds
export const wrong = new SessiondStore({ ttl: "60" });
// @ts-expect-error an increment is one of a number
void store.increment("id", "views", "1");
