// Cookie jars of Crawlee's sessions, without a dependency on the package (tough-cookie) that makes them: whoever uses
// Crawlee has it, and hands its class over. Also what a cookie looks like in a session's meta: one entry for each, so
// that two processes that set different cookies of one session both keep theirs.

/** What is used of a jar of tough-cookie. */
export interface CookieJarLike {
  setCookieSync(cookie: unknown, url: string, options?: object): unknown;
  getCookiesSync(url: string): any[];
  getCookieStringSync(url: string, options?: object): string;
  toJSON(): any;
  readonly store: any;
}

/** The class CookieJar of tough-cookie. */
export interface CookieJarClass {
  new (): any;
  fromJSON(text: string): any;
}

/** A cookie as Puppeteer and Playwright have it. `expires` is seconds since the Unix epoch. */
export interface BrowserCookie {
  name: string;
  value: string;
  domain?: string;
  path?: string;
  expires?: number;
  secure?: boolean;
  httpOnly?: boolean;
  [other: string]: unknown;
}

const PREFIX = "cookie ";
const ignore = () => {};

/** Whether an entry of a session's meta is a cookie. */
export function isCookieKey(key: string): boolean {
  return key.startsWith(PREFIX);
}

/** The cookies of a jar as entries of meta. When a cookie was last looked at is nothing to tell others. */
export function entriesOf(jar: CookieJarLike): [string, unknown][] {
  return jar
    .toJSON()
    .cookies.map(({ lastAccessed, ...cookie }: any) => [
      `${PREFIX}${cookie.domain} ${cookie.path} ${cookie.key}`,
      cookie,
    ]);
}

/** Puts an entry of meta into a jar, as it is. False where it is no cookie: any program may write into meta. */
export function putEntry(jar: CookieJarLike, entry: any): boolean {
  const isCookie = [entry?.key, entry?.value, entry?.domain, entry?.path].every((text) => typeof text === "string");
  const cookie = isCookie ? cookieOf(jar, entry) : undefined;
  if (cookie) jar.store.putCookie(cookie, ignore);
  return cookie !== undefined;
}

/** Removes the cookie of an entry. */
export function removeEntry(jar: CookieJarLike, { domain, path, key }: any): void {
  jar.store.removeCookie(domain, path, key, ignore);
}

/** A cookie of the jar's own class. */
function cookieOf(jar: CookieJarLike, fields: object): any {
  const maker = jar.constructor as unknown as CookieJarClass;
  const { store } = maker.fromJSON(JSON.stringify({ cookies: [fields] }));
  let made: any;
  store.getAllCookies((_: unknown, cookies: any[]) => (made = cookies[0]));
  return made;
}

/** From a browser's cookie to one of the jar's class; without an end it has the session's. */
export function fromBrowser(jar: CookieJarLike, cookie: BrowserCookie, endsAt: number): any {
  const hasDot = cookie.domain?.startsWith?.(".") ?? false;
  const isEndValid = typeof cookie.expires === "number" && cookie.expires > 0;
  const made = cookieOf(jar, {
    key: cookie.name,
    value: cookie.value,
    expires: new Date(isEndValid ? cookie.expires! * 1000 : endsAt).toISOString(),
    // A store takes no cookie without these; the jar fills them in from the URL where they are missing.
    domain: "example.invalid",
    path: "/",
    secure: cookie.secure ?? false,
    httpOnly: cookie.httpOnly ?? false,
    hostOnly: !hasDot,
  });
  made.domain = (hasDot ? cookie.domain!.slice(1) : cookie.domain) ?? null;
  made.path = cookie.path ?? null;
  return made;
}

/** From a cookie of a jar to a browser's. */
export function toBrowser(cookie: any): BrowserCookie {
  const hasEnd = cookie.expires !== null && cookie.expires !== undefined && cookie.expires !== "Infinity";
  return {
    name: cookie.key,
    value: cookie.value,
    expires: hasEnd ? cookie.expires.getTime() / 1000 : undefined,
    domain: cookie.domain ? `${cookie.hostOnly ? "" : "."}${cookie.domain}` : undefined,
    path: cookie.path ?? undefined,
    secure: cookie.secure,
    httpOnly: cookie.httpOnly,
  };
}
