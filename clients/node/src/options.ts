// The options of a client, checked and filled in.
import { ArgumentError, UrlError } from "./errors.js";
import { checkNamespace, parseUrl, type Endpoint } from "./url.js";

/** All may be left out. */
export interface ClientOptions {
  /** Where the server is; default sessiond://127.0.0.1:7420. */
  url?: string;
  /** Several ways to one server or cluster, tried in turn; in place of `url`. */
  urls?: readonly string[];
  /** What calls use that name none; default: the URL's. */
  namespace?: string;
  /** Who connects, for people who look at the traffic. */
  clientName?: string;
  /** How long a call takes at most, waiting for a connection included (milliseconds, 2,000). */
  timeoutMs?: number;
  /** How long one attempt to connect takes at most, the greeting included (milliseconds, 1,000). */
  connectTimeoutMs?: number;
  /** The first pause after all hosts failed; it doubles, half of it by chance (milliseconds, 20). */
  reconnectMinMs?: number;
  /** The longest pause (milliseconds, 500). */
  reconnectMaxMs?: number;
  /** Calls that may wait for their answers (65,536). More are refused with OVERLOADED. */
  maxPending?: number;
  /** Bytes of such calls together (64 MiB). */
  maxPendingBytes?: number;
  /** Calls and notifications that may wait for a connection (1,000). */
  maxOffline?: number;
  /** Bytes of one answer (16 MiB). A longer one fails its call with PROTOCOL. */
  maxReplyBytes?: number;
  /** Whether writes get an op_id, so that they may be repeated when their connection breaks (true). */
  autoOpId?: boolean;
}

export interface ResolvedOptions {
  readonly endpoints: readonly Endpoint[];
  readonly namespace: string | undefined;
  readonly clientName: string;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
  readonly reconnectMinMs: number;
  readonly reconnectMaxMs: number;
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  readonly maxOffline: number;
  readonly maxReplyBytes: number;
  readonly autoOpId: boolean;
}

const DEFAULT_URL = "sessiond://127.0.0.1:7420";
const NUMBERS = {
  timeoutMs: 2000,
  connectTimeoutMs: 1000,
  reconnectMinMs: 20,
  reconnectMaxMs: 500,
  maxPending: 65_536,
  maxPendingBytes: 64 << 20,
  maxOffline: 1000,
  maxReplyBytes: 16 << 20,
};
const OTHERS = ["url", "urls", "namespace", "clientName", "autoOpId"];

/** Throws an UrlError or ArgumentError that names the option. */
export function resolveOptions(options: ClientOptions): ResolvedOptions {
  for (const name of Object.keys(options))
    if (!(name in NUMBERS) && !OTHERS.includes(name))
      throw new ArgumentError(
        `There is no option "${name}"; there are ${[...OTHERS, ...Object.keys(NUMBERS)].join(", ")}.`,
      );
  const numbers = { ...NUMBERS };
  for (const name of Object.keys(NUMBERS) as (keyof typeof NUMBERS)[]) {
    const value = options[name];
    if (value === undefined) continue;
    if (typeof value !== "number" || !(value >= 1) || value > 0x7fff_ffff)
      throw new ArgumentError(`The option ${name} is ${String(value)}; give a number from 1 to 2147483647.`);
    numbers[name] = value;
  }
  if (options.autoOpId !== undefined && typeof options.autoOpId !== "boolean")
    throw new ArgumentError("The option autoOpId is neither true nor false.");
  const clientName = options.clientName ?? "sessiond for Node.js";
  if (typeof clientName !== "string" || Buffer.byteLength(clientName) > 1000)
    throw new ArgumentError("The option clientName is no string of at most 1000 bytes.");
  return { ...numbers, ...resolveUrls(options), clientName, autoOpId: options.autoOpId ?? true };
}

function resolveUrls({ url, urls, namespace }: ClientOptions): {
  endpoints: readonly Endpoint[];
  namespace: string | undefined;
} {
  if (url !== undefined && urls !== undefined) throw new UrlError("Both url and urls are given; give one of them.");
  if (urls !== undefined && (!Array.isArray(urls) || urls.length === 0))
    throw new UrlError("urls is no array of at least one URL.");
  const parsed = (urls ?? [url ?? DEFAULT_URL]).map(parseUrl);
  const names = new Set(parsed.map((each) => each.namespace).filter((name) => name !== undefined));
  if (namespace === undefined && names.size > 1)
    throw new UrlError(
      `The URLs name several namespaces (${[...names].join(", ")}); give them one, or the option namespace.`,
    );
  if (namespace !== undefined) checkNamespace(namespace, (message) => new ArgumentError(message));
  return { endpoints: parsed.flatMap((each) => each.endpoints), namespace: namespace ?? [...names][0] };
}
