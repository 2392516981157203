// Never run: the compiler is to accept this, and to refuse each line behind an @ts-expect-error.
import { SessionManager as TokenManager } from "sessiond/dot-do";
import { SessionResources, type SessionStatus } from "sessiond/clerk";
import { SessionManager } from "sessiond/ecsa";
import { Client, connect, GoneError, type SessionRecord, type WatchEvent } from "sessiond";

export async function use(): Promise<void> {
  const client: Client = await connect({ url: "sessiond://localhost/web", timeoutMs: 100 });
  const made: SessionRecord = await client.session.create({
    user: "ann",
    timeouts: { idle_timeout_ms: 5 },
    meta: null,
  });
  const read = await client.session.get(made.id, { fields: ["id", "data"] }, { signal: AbortSignal.timeout(5) });
  // @ts-expect-error it may be null
  read.id;
  // @ts-expect-error there is no such field
  await client.session.get(made.id, { fields: ["idd"] });
  // @ts-expect-error there is no such option
  await client.session.get(made.id, { tuch: true });
  // @ts-expect-error a mode is one of four words
  await client.session.set(made.id, {}, { mode: "replace" });
  const one = await client.pool.acquire("p", { wait_ms: 5 });
  const use: number = one!.use;
  const many = await client.pool.acquire("p", { count: 3 });
  for (const each of many) await client.pool.mark(each.id, 403, { use: each.use });
  // @ts-expect-error an outcome is a word or a status code
  await client.pool.mark("x", "fine");
  const nothing: void = client.oneWay.session.touch(made.id);
  const cookie: SessionRecord | null = await client.withNamespace("shop").session.get({ cookie: "s:x" });
  client.on("connect", ({ endpoint }) => endpoint.length);
  for await (const event of await client.watch({ kinds: ["expired"] })) {
    const { kind, at }: WatchEvent = event;
    if (kind === "resumed") console.log(at, use, nothing, cookie);
  }
  try {
    await client.session.destroy(made.id);
  } catch (error) {
    if (error instanceof GoneError) console.log(error.status, error.version);
  }
  await client.namespace.configure({ cookie: { same_site: "lax", secure: "auto" }, idle_timeout_ms: null });
  await client[Symbol.asyncDispose]();
}

export async function adaptersForTokensAndBlockingCalls(): Promise<void> {
  const tokens = new TokenManager({ store: { url: "sessiond://127.0.0.1/web" }, bindToUserAgent: true });
  const { valid, session, error } = await tokens.validate("a.b", { userAgent: null });
  if (valid) console.log(session?.userId, session?.expiresAt.getTime(), error === "session_expired");
  // @ts-expect-error a session has a user
  await tokens.create({ metadata: {} });
  // @ts-expect-error another kind of store
  new TokenManager({ store: { type: "kv" } });
  const resources = new SessionResources({ url: "sessiond://localhost", policy: { single_session: true } });
  const browser = await resources.client("browser");
  const signedIn = await browser.signIn({ user: { id: "ann", name: "Ann" }, idle_timeout_ms: 5 });
  const status: SessionStatus = (await signedIn.end()).status;
  // @ts-expect-error there is no such state
  console.log(status === "closed", signedIn.lastActiveAt.getTime(), signedIn.user?.["name"]);
  // @ts-expect-error a session may never be abandoned
  signedIn.abandonAt.getTime();
  // @ts-expect-error a sign-in has a user
  await browser.signIn({});
  const sessions = new SessionManager({ maxAge: 5, sameSite: "lax", timeoutMs: 100 });
  const model = sessions.get(sessions.new("ann"));
  // @ts-expect-error there may be none, or it could not be read
  console.log(model.userID);
  if (model) console.log(model.userID, sessions.set("id", { ...model, expires: new Date() }));
}
