// Express apps with sessions under test, and browsers for them.
import { createRequire } from "node:module";
import { once } from "node:events";
// From the folder of the adapters' packages, wherever this file is.
const require = createRequire(new URL("../adapters/package.json", import.meta.url));
export const express = require("express");
export const session = require("express-session");

/** An app with sessions that listens on loopback. `routes` are functions of (request, response, next) by name. */
export class App {
  static async start(store, routes, options = {}) {
    const app = express();
    app.use(session({ secret: "keyboard cat", resave: false, saveUninitialized: false, store, ...options }));
    for (const [name, route] of Object.entries(routes)) app.get(`/${name}`, route);
    // Errors end their request with their code, and are no noise in the test's output.
    const errors = [];
    app.use((error, _request, response, _next) => {
      errors.push(error);
      if (response.headersSent) return response.end();
      response.status(500).send(String(error.code ?? error.message));
    });
    const http = app.listen(0, "127.0.0.1");
    await once(http, "listening");
    return new App(app, http, errors);
  }

  constructor(app, http, errors) {
    this.app = app;
    this.http = http;
    /** What its error handler was given. */
    this.errors = errors;
  }

  get url() {
    return `http://127.0.0.1:${this.http.address().port}`;
  }

  browser() {
    return new Browser(this.url);
  }

  async end() {
    this.http.closeAllConnections();
    this.http.close();
    await once(this.http, "close");
  }
}

/** Keeps the cookies that it is sent. */
export class Browser {
  constructor(url) {
    this.url = url;
    this.cookies = new Map();
  }

  async get(name, headers = {}) {
    const cookie = [...this.cookies].map(([key, value]) => `${key}=${value}`).join("; ");
    const response = await fetch(`${this.url}/${name}`, {
      headers: { ...(cookie ? { cookie } : {}), ...headers },
      signal: AbortSignal.timeout(30_000),
    });
    const body = await response.text();
    const set = response.headers.getSetCookie();
    for (const line of set) {
      const [, key, value] = /^([^=]+)=([^;]*)/.exec(line);
      this.cookies.set(key, value);
    }
    return { status: response.status, body, set };
  }
}

/** A place where requests wait until as many as are expected have come and somebody opens it. */
export class Gate {
  #arrived = 0;
  #waiters = [];
  #opened = new Promise((resolve) => (this.open = resolve));

  async pass() {
    this.#arrived++;
    for (const waiter of this.#waiters) if (this.#arrived >= waiter.count) waiter.resolve();
    await this.#opened;
  }

  /** Resolves when so many wait. */
  async arrived(count) {
    if (this.#arrived >= count) return;
    await new Promise((resolve) => this.#waiters.push({ count, resolve }));
  }
}

/** What a callback is given: rejects with its error. */
export const called = (start) =>
  new Promise((resolve, reject) => start((error, value) => (error ? reject(error) : resolve(value))));
