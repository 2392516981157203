// Compiled, not run: the storage is what better-auth asks for.
import { betterAuth, type BetterAuthOptions } from "better-auth";
import { sessiondStorage, type SessiondStorage } from "sessiond/better-auth";

const storage: SessiondStorage = sessiondStorage({ url: "sessiond://127.0.0.1:7420", timeoutMs: 500 });
export const taken: BetterAuthOptions["secondaryStorage"] = storage;
export const auth = betterAuth({ secondaryStorage: storage });
export const count: Promise<number> = storage.increment("key", 60);
// @ts-expect-error a value is a text
void storage.set("key", { session: 1 });
