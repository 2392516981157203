// What adapters share: a client of the caller's or one of their own, and what is to be done once per connection.
import { Client } from "./client.js";
import { ArgumentError } from "./errors.js";
import type { ClientOptions } from "./options.js";

/** The options that adapters have in common. */
export interface AdapterOptions extends Omit<ClientOptions, "namespace"> {
  /** A client of yours, which then stays open when the adapter is closed; in place of a URL and its options. */
  client?: Client;
  /** The namespace of the adapter's sessions. */
  namespace?: string;
}

/** A client for an adapter, and how the adapter lets it go. */
export interface AdapterClient<Own> {
  readonly client: Client;
  readonly isGiven: boolean;
  /** The namespace that was given, and the adapter's own options. */
  readonly namespace: string | undefined;
  readonly own: Own;
  /** Waits for the calls that were made and closes the connection, unless it is that of a client of the caller's. */
  close(): Promise<void>;
}

/**
 * The client that an adapter was given, or one of its own. A given one is known by what it can, since the ESM and the
 * CommonJS build have classes of their own. Throws an UrlError or ArgumentError that names the option.
 * @param ownNames the options that are the adapter's and no client's
 */
export function takeClient<Options extends AdapterOptions, Own extends keyof Options = never>(
  urlOrOptions: string | Options,
  clientName: string,
  ownNames: readonly Own[] = [],
): AdapterClient<Pick<Options, Own>> {
  const options = typeof urlOrOptions === "string" ? ({ url: urlOrOptions } as Options) : urlOrOptions;
  if (typeof options !== "object" || options === null)
    throw new ArgumentError("The options are neither a URL nor an object, such as {url}.");
  const { client: given, namespace, ...others } = options;
  const isOwn = (name: string) => (ownNames as readonly PropertyKey[]).includes(name);
  const own = Object.fromEntries(Object.entries(others).filter(([name]) => isOwn(name))) as Pick<Options, Own>;
  const rest = Object.fromEntries(Object.entries(others).filter(([name]) => !isOwn(name)));
  if (given === undefined) {
    const client = new Client({ clientName, ...rest });
    return { client, isGiven: false, namespace, own, close: () => client.close() };
  }
  if (typeof given?.withNamespace !== "function")
    throw new ArgumentError("The option client is no client; give what connect() of sessiond answers.");
  const [first] = Object.keys(rest);
  if (first !== undefined) throw new ArgumentError(`With a client of yours, the option ${first} is to be given to it.`);
  return { client: given, isGiven: true, namespace, own, close: () => Promise.resolve() };
}

/**
 * Waits until `prepare` is done: before the first call, and again behind each lost connection, since a server that keeps
 * nothing has forgotten it with its restart. Where it rejects the call rejects, and the next one tries again.
 */
export function preparedByConnection(client: Client, prepare: () => Promise<void>): () => Promise<void> {
  let prepared: Promise<void> | undefined;
  client.on("disconnect", () => (prepared = undefined));
  return () => {
    if (prepared === undefined) {
      const begun = prepare();
      prepared = begun;
      begun.catch(() => (prepared === begun ? (prepared = undefined) : undefined));
    }
    return prepared;
  };
}
