// A login app: what a session holds, a list of one's sessions, and "log out everywhere".
import { randomBytes, timingSafeEqual } from "node:crypto";
import { fileURLToPath } from "node:url";
import { setTimeout as sleep } from "node:timers/promises";
import express from "express";
import session from "express-session";
import { SessiondError, connect } from "sessiond";
import { SessiondStore } from "sessiond/express";
import { deviceOf } from "./device.js";
import * as pages from "./pages.js";
import { isPassword } from "./passwords.js";

const SESSION_MS = 30 * 60 * 1000;
const FAILURES = { 500: "Something is broken here.", 503: "Sessions cannot be reached just now. Try again." };
const PRODUCTS = ["Apples", "Bread", "Coffee"];

/**
 * The app, and the connection that it uses, which is the caller's to close.
 * @param url of the sessiond server, with a namespace for this app's sessions
 * @param users by name, each with a `passwordHash`
 * @param secret signs the cookies
 * @param makeReport the work of the slow page
 */
export async function createApp({ url, users, secret = randomBytes(32).toString("hex"), makeReport = makeSlowly }) {
  const client = await connect(url);
  // The server keeps hashes of the ids only: what it lists are handles, which can be shown and sign nobody in.
  await client.namespace.configure({ hash_ids: true });
  const store = new SessiondStore({ client, user: (session) => session.user });

  const app = express();
  app.disable("x-powered-by");
  app.use(securityHeaders);
  app.use("/assets", express.static(fileURLToPath(new URL("assets", import.meta.url))));
  app.use(express.urlencoded({ extended: false, limit: "10kb" }));
  app.use(
    session({
      store,
      secret,
      name: "login.sid",
      resave: false,
      saveUninitialized: false,
      rolling: true,
      cookie: { httpOnly: true, sameSite: "lax", secure: "auto", maxAge: SESSION_MS },
    }),
  );
  app.use(checkFormToken);

  app.get("/sign-in", (request, response) => {
    if (request.session.user) return response.redirect(303, "/");
    response.send(pages.signIn({ formToken: formTokenOf(request) }));
  });

  app.post("/sign-in", async (request, response) => {
    const { name = "", password = "" } = request.body;
    if (!(await isPassword(String(password), users.get(name)?.passwordHash)))
      return response.status(401).send(pages.signIn({ formToken: formTokenOf(request), name, isRefused: true }));
    // A new id: whoever knew the one from before the login has nothing.
    await new Promise((done, failed) => request.session.regenerate((error) => (error ? failed(error) : done())));
    Object.assign(request.session, { user: name, device: deviceOf(request.get("user-agent")) });
    response.redirect(303, "/");
  });

  app.use((request, response, next) => {
    if (request.session.user) return next();
    response.redirect(303, "/sign-in");
  });

  app.get("/", async (request, response) => {
    // Added on the server: of twenty pages that are opened at once, none is forgotten.
    const views = await store.increment(request.session, "views");
    const [{ sessions }, own] = await Promise.all([
      client.session.list({ user: request.session.user, fields: ["handle", "created_at", "last_active_at", "data"] }),
      client.session.get(request.sessionID, { fields: ["handle"] }),
    ]);
    response.send(
      pages.home({
        ...request.session,
        views,
        products: PRODUCTS,
        cart: cartOf(request.session),
        sessions: sessions.map((each) => ({
          ...each,
          device: each.data.device,
          cart: cartOf(each.data),
          isOwn: each.handle === own?.handle,
        })),
        formToken: formTokenOf(request),
      }),
    );
  });

  // A counter for each product, and no list under one key: two clicks at once put two pieces into the cart.
  app.post("/cart", async (request, response) => {
    const { product } = request.body;
    if (PRODUCTS.includes(product)) await store.increment(request.session, cartKey(product));
    response.redirect(303, "/");
  });

  app.post("/cart/empty", (request, response) => {
    for (const product of PRODUCTS) delete request.session[cartKey(product)];
    response.redirect(303, "/");
  });

  // Slow on purpose: it writes the session that it loaded before it began. Where its user was logged out meanwhile,
  // the server refuses that write, so the session does not come back.
  app.post("/report", async (request, response) => {
    await makeReport();
    request.session.reportedAt = Date.now();
    response.send(pages.report({ user: request.session.user }));
  });

  app.post("/log-out", async (request, response) => {
    await destroySession(request);
    response.redirect(303, "/sign-in");
  });

  app.post("/log-out/one", async (request, response) => {
    const { sessions } = await client.session.list({ user: request.session.user, fields: ["handle"] });
    const found = sessions.find(({ handle }) => handle === request.body.handle);
    if (found) await client.session.revoke({ handle: found.handle });
    response.redirect(303, "/");
  });

  app.post("/log-out/everywhere", async (request, response) => {
    await client.session.revokeAll({ user: request.session.user });
    response.redirect(303, "/sign-in");
  });

  app.use((request, response) => response.status(404).send(pages.failure("There is no such page.")));
  app.use((error, request, response, next) => {
    if (response.headersSent) return next(error);
    const status = error.statusCode ?? (error instanceof SessiondError ? 503 : 500);
    if (status >= 500) console.error(status === 503 ? error.message : error);
    response.status(status).send(pages.failure(FAILURES[status] ?? error.message));
  });
  return { app, client };
}

async function makeSlowly() {
  await sleep(5000);
}

function cartKey(product) {
  return `cart:${product}`;
}

/** How many of each product, of those that there are any of. */
function cartOf(session) {
  return PRODUCTS.map((product) => [product, session[cartKey(product)]]).filter(([, count]) => count > 0);
}

function destroySession(request) {
  return new Promise((done, failed) => request.session.destroy((error) => (error ? failed(error) : done())));
}

function securityHeaders(request, response, next) {
  response.set({
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
  });
  next();
}

/** What every form of this session carries: a page of somebody else's does not know it. */
function formTokenOf(request) {
  return (request.session.formToken ??= randomBytes(18).toString("base64url"));
}

function checkFormToken(request, response, next) {
  if (request.method === "GET" || request.method === "HEAD") return next();
  const [given, expected] = [request.body?.formToken, request.session.formToken].map((text) => Buffer.from(text ?? ""));
  if (expected.length > 0 && given.length === expected.length && timingSafeEqual(given, expected)) return next();
  // Who was logged out, and whose page still has a form, is shown where to go.
  if (!request.session.user) return response.redirect(303, "/sign-in");
  response.status(403).send(pages.failure("This form is from another session. Reload the page and try again."));
}
