// Sessions and cookies of the caller's own express-session, without importing it: it may be a second copy, bundled, or
// not there at all (under Fastify and Koa). Its classes are seen on the first session that its `generate` makes.
import { ArgumentError } from "./errors.js";
import type { StoredCookie, StoredSession } from "./express-values.js";

/** What express-session gives its store: it puts a new session and its id into the request. */
export type Generate = (request: any) => void;

/** What a request without a request has, for who loads a session outside of one. */
const NO_REQUEST = { headers: {}, url: "/", originalUrl: "/" };

export class SessionFactory {
  #generate: Generate | undefined;
  #sessionClass: (new (request: any, data: StoredSession) => any) | undefined;
  #cookiePrototype: object | null = null;
  readonly #fresh = new WeakSet<object>();

  get generate(): Generate | undefined {
    return this.#generate;
  }

  /** Called by express-session as it is set up; each session that it then makes is known to be new. */
  set generate(generate: Generate | undefined) {
    this.#generate =
      generate &&
      ((request) => {
        generate(request);
        this.#learn(request.session);
        this.#fresh.add(request.session);
      });
  }

  /** Whether it was made here and not loaded. */
  isFresh(session: object): boolean {
    return this.#fresh.has(session);
  }

  /** A loaded session with its cookie, put into the request as `express-session`'s own Store does it. */
  create(request: any, data: StoredSession): any {
    const expires = data.cookie.expires;
    const originalMaxAge = data.cookie.originalMaxAge;
    if (!this.#sessionClass) this.#learnFrom(request);
    data.cookie = this.#createCookie(data.cookie);
    if (typeof expires === "string") data.cookie.expires = new Date(expires);
    data.cookie.originalMaxAge = originalMaxAge;
    request.session = new this.#sessionClass!(request, data);
    return request.session;
  }

  /** Setters of the prototype keep `expires`, `maxAge` and `originalMaxAge` together, so their order counts. */
  #createCookie(stored: StoredCookie): any {
    const cookie = Object.create(this.#cookiePrototype);
    Object.assign(cookie, { path: "/", maxAge: null, httpOnly: true });
    for (const key in stored) if (key !== "data") cookie[key] = stored[key];
    cookie.originalMaxAge ??= cookie.maxAge;
    return cookie;
  }

  /** Where the first session of a process is a stored one, one that nobody gets is made beside the request. */
  #learnFrom(request: any): void {
    if (!this.#generate)
      throw new ArgumentError("Sessions are made for express-session: give it this store before one is loaded.");
    const scratch = Object.create(request.headers ? request : Object.assign(Object.create(NO_REQUEST), request));
    this.#generate(scratch);
  }

  #learn(session: any): void {
    this.#sessionClass = session.constructor;
    this.#cookiePrototype = Object.getPrototypeOf(session.cookie);
  }
}
