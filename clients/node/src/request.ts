// From a call's arguments to the bytes of its request, and what is checked on the way.
import type { CallOptions } from "./call.js";
import { opId } from "./chance.js";
import { ArgumentError } from "./errors.js";
import { LIMITS, VALUE_ARGUMENTS, type Method } from "./generated/constants.js";
import { Writer } from "./msgpack.js";
import { checkNamespace } from "./url.js";

/** Encodes requests one behind the other, so that those of one turn are one piece. */
export class RequestEncoder {
  /** Bytes of one message, as the server said in its greeting. */
  maxFrame: number = LIMITS.max_frame;
  readonly #autoOpId: boolean;
  readonly #writer = new Writer();
  #isEncoding = false;

  constructor(autoOpId: boolean) {
    this.#autoOpId = autoOpId;
  }

  /** undefined: it gets none; true: it gets a random one. */
  opIdOf(call: CallOptions): number | true | undefined {
    if (call.opId === undefined) return this.#autoOpId ? true : undefined;
    if (call.opId === false) return undefined;
    if (Number.isSafeInteger(call.opId) && call.opId >= 0) return call.opId;
    throw new ArgumentError("opId is no integer from 0 to 2^53 - 1; give one, or false for none.");
  }

  /** One message; a notification where there is no msgid. */
  encode(
    msgid: number | undefined,
    method: Method,
    params: readonly unknown[],
    options: object | undefined,
    call: CallOptions,
  ): Buffer {
    // A getter or toJSON of the caller's may make a call itself.
    const writer = this.#isEncoding ? new Writer() : this.#writer;
    const wasEncoding = this.#isEncoding;
    this.#isEncoding = true;
    try {
      writer.begin();
      this.#write(writer, msgid, method, params, options, call);
      return writer.end();
    } finally {
      this.#isEncoding = wasEncoding;
    }
  }

  #write(
    writer: Writer,
    msgid: number | undefined,
    method: Method,
    params: readonly unknown[],
    options: object | undefined,
    call: CallOptions,
  ): void {
    writer.byte(msgid === undefined ? 0x93 : 0x94);
    writer.byte(msgid === undefined ? 2 : 0);
    if (msgid !== undefined) writer.uint32(msgid);
    if (method.number !== undefined) writer.number(method.number);
    else writer.string(method.name);
    const isNamespaced = method.params[0] === "namespace";
    const given = optionsOf(options);
    const id = method.isWrite ? this.opIdOf(call) : undefined;
    const optionCount = given.length + (id === undefined ? 0 : 1);
    writer.arrayHead((isNamespaced ? 1 : 0) + params.length + (optionCount > 0 ? 1 : 0));
    if (isNamespaced) {
      if (call.namespace !== undefined) checkNamespace(call.namespace, (message) => new ArgumentError(message));
      writer.argument("namespace", call.namespace ?? null, false);
    }
    for (let i = 0; i < params.length; i++) {
      const name = method.params[i + (isNamespaced ? 1 : 0)] ?? `params[${i}]`;
      if (params[i] === undefined)
        throw new ArgumentError(`${name} of ${method.name} is undefined; give it, or null where that means something.`);
      writer.argument(name, params[i], VALUE_ARGUMENTS.has(name));
    }
    if (optionCount > 0) {
      writer.mapHead(optionCount);
      for (const [name, value] of given) {
        writer.string(name);
        writer.argument(name, value, VALUE_ARGUMENTS.has(name));
      }
      if (id !== undefined) {
        writer.string("op_id");
        writer.uint64(id === true ? opId() : id);
      }
    }
    if (writer.size > this.maxFrame)
      throw new ArgumentError(
        `The request ${method.name} has ${writer.size} bytes; a message may have ${this.maxFrame}, and the data of a session ${LIMITS.max_data}.`,
        {
          details: { limit: this.maxFrame },
        },
      );
  }
}

/** The options that are given, with their names. */
function optionsOf(options: object | undefined): [string, unknown][] {
  if (options === undefined || options === null) return [];
  if (typeof options !== "object" || Array.isArray(options))
    throw new ArgumentError(
      `The options are ${Array.isArray(options) ? "an array" : `of the type ${typeof options}`}; give an object.`,
    );
  const given: [string, unknown][] = [];
  for (const [name, value] of Object.entries(options)) if (value !== undefined) given.push([name, value]);
  return given;
}

/** A timeout has to be one that a timer can hold. */
export function checkTimeout(timeoutMs: number): void {
  if (typeof timeoutMs !== "number" || !(timeoutMs > 0) || timeoutMs > 0x7fff_ffff)
    throw new ArgumentError(`timeoutMs is ${String(timeoutMs)}; give milliseconds above 0, at most 2147483647.`);
}
