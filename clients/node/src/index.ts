// What the package "sessiond" offers. README.md is the place to begin.
export { Client, connect } from "./client.js";
export type { ClientEvents, NamespacedClient, OneWay, OneWayOperations } from "./client.js";
export type { CallOptions } from "./call.js";
export type { ClientOptions } from "./options.js";
export { Watch } from "./watch.js";
export type { WatchEvent, WatchOptions } from "./watch.js";
export * from "./errors.js";
export * from "./generated/errors.js";
export * from "./generated/constants.js";
export type * from "./generated/operations.js";
export type * from "./shapes.js";
export { encode, Extension } from "./msgpack.js";
export { decode } from "./msgpack-read.js";
export { parseUrl, type Endpoint, type ParsedUrl } from "./url.js";
