// A session as Crawlee's crawlers and their users hold it: one for each hand-out.
//
// What is always true: marks change the counters at once and are sent without anybody waiting for them. The first mark
// of a hand-out is the use that the server counted with it; further ones add a use, as Crawlee has it. A hand-out that
// was neither marked nor looked at was no use.
import { opId } from "./chance.js";
import { fromBrowser, toBrowser, type BrowserCookie, type CookieJarLike } from "./crawlee-cookies.js";
import type { SharedState } from "./crawlee-state.js";
import { ArgumentError } from "./errors.js";
import { NEVER_MS } from "./lifetimes.js";

/** A response of Node.js or of a browser. */
export interface ResponseLike {
  url?: string | (() => string);
  headers?: Record<string, string | string[] | undefined> | (() => Record<string, string | string[] | undefined>);
}

/** The state of a session in the form that Crawlee persists it in. */
export interface SessionState {
  id: string;
  cookieJar: any;
  userData: Record<string, unknown>;
  errorScore: number;
  /** How often it was marked bad. */
  errorCount: number;
  maxErrorScore: number;
  errorScoreDecrement: number;
  usageCount: number;
  maxUsageCount: number;
  expiresAt: string;
  createdAt: string;
}

/** A hand-out, as the pool follows it. */
export interface HandOut {
  readonly state: SharedState;
  /** Its number; undefined: it was not counted. */
  readonly use: number | undefined;
  isMarked: boolean;
  isLookedAt: boolean;
}

/**
 * What a pool hands out: everything of Crawlee's Session.
 *
 * Sessions are made by a pool. All hand-outs of one session in a process share its counters, cookies and userData;
 * entries of userData, top-level ones, and cookies reach other processes with the next mark.
 */
export class SessiondSession {
  readonly #state: SharedState;
  readonly #handOut: HandOut;
  readonly #pool: object;

  /** @internal */
  constructor(handOut: HandOut, pool: object) {
    this.#handOut = handOut;
    this.#state = handOut.state;
    this.#pool = pool;
  }

  /** Whatever is asked of a session, it may be used from then on. */
  get #seen(): SharedState {
    this.#handOut.isLookedAt = true;
    return this.#state;
  }

  /** Uses that the server counted for this hand-out and that have not happened yet. */
  get #openUses(): number {
    return this.#handOut.isMarked || this.#handOut.use === undefined ? 0 : 1;
  }

  /** Names the session for every process, and the proxy's session. */
  get id(): string {
    return this.#seen.id;
  }

  /** The pool that handed it out. */
  get sessionPool(): any {
    return this.#pool;
  }

  /** Whatever is to travel with the session; values that MessagePack can hold. Throws an ArgumentError for no object. */
  get userData(): Record<string, any> {
    return this.#seen.userData;
  }

  set userData(value: Record<string, any>) {
    if (typeof value !== "object" || value === null)
      throw new ArgumentError(`userData of session ${this.id} cannot be ${String(value)}; give an object, such as {}.`);
    this.#seen.userData = value;
  }

  /** The session's cookies, a CookieJar of tough-cookie. */
  get cookieJar(): any {
    return this.#seen.jar;
  }

  /** The proxy that the session is bound to, where somebody set one. */
  get proxyInfo(): any {
    return this.#seen.proxyInfo;
  }

  set proxyInfo(value: unknown) {
    this.#seen.proxyInfo = value;
  }

  /** The browser's fingerprint, where somebody set one. */
  get fingerprint(): any {
    return this.#seen.fingerprint;
  }

  set fingerprint(value: unknown) {
    this.#seen.fingerprint = value;
  }

  /** Seconds from its beginning to its end; 0 where it has no end. */
  get maxAgeSecs(): number {
    return this.#state.maxAgeMs / 1000;
  }

  get createdAt(): Date {
    return new Date(this.#state.createdAt);
  }

  /** On the server's clock. */
  get expiresAt(): Date {
    return new Date(this.#state.expiresAt || NEVER_MS);
  }

  /** Uses in all processes, as far as this one knows; this hand-out counts from its mark on. */
  get usageCount(): number {
    return this.#state.usageCount - this.#openUses;
  }

  get maxUsageCount(): number {
    return this.#state.maxUsageCount;
  }

  /** How often it was marked bad, in all processes. */
  get errorCount(): number {
    return this.#state.errorCount;
  }

  /** Grows by 1 with each bad mark, and shrinks by errorScoreDecrement with each good one. */
  get errorScore(): number {
    return this.#state.errorScore;
  }

  get maxErrorScore(): number {
    return this.#state.maxErrorScore;
  }

  get errorScoreDecrement(): number {
    return this.#state.errorScoreDecrement;
  }

  /** Whether its error score is too high, or it is retired. */
  isBlocked(): boolean {
    return this.#state.isRetired || this.errorScore >= this.maxErrorScore;
  }

  isExpired(): boolean {
    return this.#state.isExpired();
  }

  isMaxUsageCountReached(): boolean {
    return this.usageCount >= this.maxUsageCount;
  }

  /** Whether requests may be made with it: not blocked, expired, used up or retired, by any process. */
  isUsable(): boolean {
    return this.#state.isUsable(this.#openUses);
  }

  /** A use that went well. */
  markGood(): void {
    const state = this.#state;
    if (state.errorScore > 0) state.errorScore = Math.max(0, state.errorScore - state.errorScoreDecrement);
    this.#mark("good");
  }

  /** A use that failed, perhaps for a reason that is not the session's. */
  markBad(): void {
    this.#state.errorScore++;
    this.#state.errorCount++;
    this.#mark("bad");
  }

  /** The session is blocked: nobody gets it again. The pool emits "sessionRetired", in every process. */
  retire(): void {
    if (!this.#state.isRetired) this.#retireHere();
    this.#mark("retire");
  }

  #retireHere(): void {
    const state = this.#state;
    state.errorScore += state.maxErrorScore;
    state.usageCount++;
    state.isRetired = true;
    state.home.announce(state);
  }

  /** The server comes to the same result by the same rules. */
  #mark(outcome: "good" | "bad" | "retire"): void {
    const state = this.#state;
    const isFirst = !this.#handOut.isMarked && this.#handOut.use !== undefined;
    this.#handOut.isMarked = true;
    if (!isFirst && outcome !== "retire") state.usageCount++;
    if (!state.isRetired && !state.isUsable(0)) this.#retireHere();
    state.mark(outcome, this.#handOut.use, opId());
  }

  /** Retires the session if the status is one of the pool's blockedStatusCodes or of the given ones, and says so. */
  retireOnBlockedStatusCodes(statusCode: number, additionalBlockedStatusCodes: number[] = []): boolean {
    const { blockedStatusCodes } = this.#state.home;
    const isBlocked = blockedStatusCodes.includes(statusCode) || additionalBlockedStatusCodes.includes(statusCode);
    if (isBlocked) this.retire();
    return isBlocked;
  }

  /** Takes the cookies of a response's set-cookie header; those that are wrong are left out. */
  setCookiesFromResponse(response: ResponseLike): void {
    const headers = typeof response.headers === "function" ? response.headers() : response.headers;
    const lines = [headers?.["set-cookie"] ?? []].flat();
    const url = typeof response.url === "function" ? response.url() : response.url;
    this.#setCookies(lines, url ?? "");
  }

  /** Takes cookies in the form of Puppeteer and Playwright; those that are wrong are left out. */
  setCookies(cookies: BrowserCookie[], url: string): void {
    const jar = this.#seen.jar;
    const endsAt = Math.min(NEVER_MS, Date.now() + (this.#state.maxAgeMs || NEVER_MS));
    this.#setCookies(cookies, url, (cookie) => fromBrowser(jar, cookie, endsAt));
  }

  /** The cookies for a URL, in the form of Puppeteer and Playwright. */
  getCookies(url: string): BrowserCookie[] {
    return this.#seen.jar.getCookiesSync(url).map(toBrowser);
  }

  /** The value of the Cookie header for a URL. */
  getCookieString(url: string): string {
    return this.#seen.jar.getCookieStringSync(url, {});
  }

  /** Takes one cookie in the form of a Set-Cookie header. Throws where it is wrong. */
  setCookie(rawCookie: string, url: string): void {
    this.#seen.jar.setCookieSync(rawCookie, url);
    this.#state.syncSoon();
  }

  /** In the form in which Crawlee persists it; addSession takes it. */
  getState(): SessionState {
    return {
      id: this.id,
      cookieJar: this.#state.jarJson(),
      userData: this.userData,
      errorScore: this.errorScore,
      errorCount: this.errorCount,
      maxErrorScore: this.maxErrorScore,
      errorScoreDecrement: this.errorScoreDecrement,
      usageCount: this.usageCount,
      maxUsageCount: this.maxUsageCount,
      expiresAt: this.expiresAt.toISOString(),
      createdAt: this.createdAt.toISOString(),
    };
  }

  /** A site's wrong cookie is no reason to fail the request that brought it. */
  #setCookies<Given>(cookies: Given[], url: string, made: (cookie: Given) => unknown = (cookie) => cookie): void {
    const jar: CookieJarLike = this.#seen.jar;
    for (const cookie of cookies) {
      try {
        jar.setCookieSync(made(cookie), url, { ignoreError: false });
      } catch (error) {
        this.#state.home.debug(`A cookie of session ${this.#state.id} was left out: ${(error as Error).message}`);
      }
    }
    this.#state.syncSoon();
  }
}
