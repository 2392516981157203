// The URL of a server, taken apart. Pure.
import { DEFAULT_PORT, LIMITS } from "./generated/constants.js";
import { UrlError } from "./errors.js";

/** One way to the server. */
export interface Endpoint {
  /** for messages: "127.0.0.1:7420", "[::1]:7420" or "unix:/run/sessiond.sock" */
  readonly name: string;
  readonly host?: string;
  readonly port?: number;
  readonly path?: string;
}

export interface ParsedUrl {
  /** at least one */
  readonly endpoints: readonly Endpoint[];
  readonly namespace?: string;
}

const MAX_ENDPOINTS = 16;
const MAX_SOCKET_PATH = 107; // what the system's address of a Unix socket holds
const GRAMMAR =
  "write sessiond://host[:port][,host2[:port]...][/namespace] or sessiond+unix:///path/of/socket[?namespace=name]";

/** Takes `sessiond://host[:port][,...][/namespace]` or `sessiond+unix:///path[?namespace=name]` apart, or throws. */
export function parseUrl(url: string): ParsedUrl {
  if (typeof url !== "string" || url === "")
    throw new UrlError(`The URL is ${url === "" ? "empty" : `of the type ${typeof url}`}; ${GRAMMAR}.`);
  if (url.startsWith("sessiond://")) return parseHosts(url, url.slice("sessiond://".length));
  if (url.startsWith("sessiond+unix://")) return parseSocket(url, url.slice("sessiond+unix://".length));
  if (url.startsWith("sessionds://"))
    throw new UrlError(
      "sessionds:// is kept for TLS, which is not offered yet; use sessiond:// over a network that you trust.",
    );
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(url)?.[0];
  throw new UrlError(
    `${scheme ? `"${scheme}//" is no scheme of sessiond` : `"${shorten(url)}" has no scheme`}; ${GRAMMAR}.`,
  );
}

function parseHosts(url: string, rest: string): ParsedUrl {
  if (/[?#]/.test(rest))
    throw new UrlError(`"${shorten(url)}" has a ? or #, which a URL with hosts cannot have; ${GRAMMAR}.`);
  const slash = rest.indexOf("/");
  const hosts = slash < 0 ? rest : rest.slice(0, slash);
  const name = slash < 0 ? "" : rest.slice(slash + 1);
  if (hosts.includes("@"))
    throw new UrlError("The URL holds a user or password; sessiond has none, leave out what stands before the @.");
  const parts = hosts.split(",");
  if (parts.length > MAX_ENDPOINTS)
    throw new UrlError(`The URL has ${parts.length} hosts; at most ${MAX_ENDPOINTS} are possible.`);
  return {
    endpoints: parts.map((part) => parseHost(url, part)),
    namespace: name === "" ? undefined : parseNamespace(name),
  };
}

function parseHost(url: string, text: string): Endpoint {
  const found = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:[\]\s]+))(?::([^:]*))?$/.exec(text);
  if (!found)
    throw new UrlError(`"${shorten(text)}" in "${shorten(url)}" is no host; ${GRAMMAR}, an IPv6 address in brackets.`);
  const host = found[1] ?? found[2]!;
  let port: number = DEFAULT_PORT;
  if (found[3] !== undefined) {
    port = /^[0-9]{1,5}$/.test(found[3]) ? Number(found[3]) : 0;
    if (port < 1 || port > 65535)
      throw new UrlError(`"${shorten(found[3])}" is no port; give a number from 1 to 65535.`);
  }
  return { name: `${found[1] ? `[${host}]` : host}:${port}`, host, port };
}

function parseSocket(url: string, rest: string): ParsedUrl {
  const question = rest.indexOf("?");
  const path = decode(question < 0 ? rest : rest.slice(0, question));
  if (!path.startsWith("/")) throw new UrlError(`"${shorten(url)}" has no absolute path; ${GRAMMAR}.`);
  if (Buffer.byteLength(path) > MAX_SOCKET_PATH)
    throw new UrlError(`The path of the socket is longer than ${MAX_SOCKET_PATH} bytes, more than the system takes.`);
  if (path.includes("\0")) throw new UrlError("The path of the socket holds a NUL.");
  let namespace: string | undefined;
  if (question >= 0) {
    const found = /^namespace=([^&]*)$/.exec(rest.slice(question + 1));
    if (!found)
      throw new UrlError(`"${shorten(rest.slice(question))}" is unknown; only ?namespace=name may stand there.`);
    namespace = parseNamespace(found[1]!);
  }
  return { endpoints: [{ name: `unix:${path}`, path }], namespace };
}

function parseNamespace(text: string): string {
  const name = decode(text);
  checkNamespace(name, (message) => new UrlError(message));
  return name;
}

/** Throws what `fail` makes of the sentence unless it is a namespace's name. */
export function checkNamespace(name: unknown, fail: (message: string) => Error): asserts name is string {
  if (typeof name !== "string") throw fail(`The namespace is of the type ${typeof name}; give a string.`);
  const size = Buffer.byteLength(name);
  if (size < 1 || size > LIMITS.max_namespace)
    throw fail(`The namespace "${shorten(name)}" has ${size} bytes; give 1 to ${LIMITS.max_namespace}.`);
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new UrlError(`"${shorten(text)}" is not well percent-encoded.`);
  }
}

/** Keeps what a caller gave short in messages. */
function shorten(text: string): string {
  return text.length > 80 ? text.slice(0, 77) + "..." : text;
}
