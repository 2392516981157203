// MessagePack, JavaScript values to bytes. The way back is in msgpack-read.ts.
//
// Why our own and no package: what a session holds must come back as it was given, and neither of the two well kept
// packages does that. @msgpack/msgpack 3.1.3 answers 9007199254740992 for 2^53 + 1, refuses a whole message because of
// a key "__proto__" that some user typed, writes BigInts beyond 64 bits as their remainder, and Promises and Sets as {}.
// msgpackr 2.1.3 writes every integer of more than 32 bits as a float, renames "__proto__", writes functions as an
// extension, and needs a compiled helper for its speed. Both would need a walk over the value before and one after it.
// The tests compare both files with @msgpack/msgpack.
//
// What is always true:
// - Integers up to 2^53 are numbers, larger ones BigInts, both ways. bin is a Buffer, a map whose keys are all texts is
//   an object, any other map a Map. A timestamp is a Date; other extensions are Extension.
// - What cannot be encoded without loss throws Unencodable; explain() finds out where it stands and says it.
import { ArgumentError } from "./errors.js";

/** A MessagePack extension that has no JavaScript type. */
export class Extension {
  constructor(
    /** from -128 to 127 */
    readonly type: number,
    readonly data: Uint8Array,
  ) {}
}

/** Nesting of a message of ours: 128 levels of data, and the envelope. */
export const MAX_DEPTH = 144;
const CHUNK = 64 * 1024;
export const TWO_32 = 0x1_0000_0000;

class Unencodable extends Error {}

/** Writes messages one behind the other into chunks. What a message's bytes are stays valid and is never overwritten. */
export class Writer {
  #buffer = Buffer.allocUnsafeSlow(CHUNK);
  #start = 0;
  #at = 0;
  #keepsUndefined = false;

  /** Begins a message. One that was not ended is forgotten. */
  begin(): void {
    this.#at = this.#start;
  }

  /** Ends it. */
  end(): Buffer {
    const message = this.#buffer.subarray(this.#start, this.#at);
    this.#start = this.#at;
    return message;
  }

  get size(): number {
    return this.#at - this.#start;
  }

  /** Room for so many bytes; what the message has so far moves into a new chunk where this one is full. */
  #reserve(size: number): void {
    if (this.#at + size <= this.#buffer.length) return;
    const had = this.#at - this.#start;
    let room = CHUNK;
    while (room < (had + size) * 2) room *= 2;
    const buffer = Buffer.allocUnsafeSlow(room);
    this.#buffer.copy(buffer, 0, this.#start, this.#at);
    this.#buffer = buffer;
    this.#start = 0;
    this.#at = had;
  }

  byte(value: number): void {
    this.#reserve(1);
    this.#buffer[this.#at++] = value;
  }

  uint32(value: number): void {
    this.#reserve(5);
    this.#buffer[this.#at++] = 0xce;
    this.#at = this.#buffer.writeUInt32BE(value, this.#at);
  }

  uint64(value: number): void {
    this.#reserve(9);
    this.#buffer[this.#at++] = 0xcf;
    this.#at = this.#buffer.writeUInt32BE(Math.floor(value / TWO_32), this.#at);
    this.#at = this.#buffer.writeUInt32BE(value % TWO_32, this.#at);
  }

  #head(length: number, fix: number, fixMax: number, eight: number, sixteen: number): void {
    this.#reserve(5);
    if (length <= fixMax) this.#buffer[this.#at++] = fix | length;
    else if (eight !== 0 && length <= 0xff) {
      this.#buffer[this.#at++] = eight;
      this.#buffer[this.#at++] = length;
    } else if (length <= 0xffff) {
      this.#buffer[this.#at++] = sixteen;
      this.#at = this.#buffer.writeUInt16BE(length, this.#at);
    } else {
      this.#buffer[this.#at++] = sixteen + 1;
      this.#at = this.#buffer.writeUInt32BE(length, this.#at);
    }
  }

  arrayHead(length: number): void {
    this.#head(length, 0x90, 15, 0, 0xdc);
  }

  mapHead(length: number): void {
    this.#head(length, 0x80, 15, 0, 0xde);
  }

  string(text: string): void {
    const length = text.length;
    if (length <= 31) {
      // Nearly all texts are short and ASCII.
      this.#reserve(32);
      const buffer = this.#buffer;
      let at = this.#at + 1;
      let i = 0;
      for (; i < length; i++) {
        const code = text.charCodeAt(i);
        if (code >= 0x80) break;
        buffer[at++] = code;
      }
      if (i === length) {
        buffer[this.#at] = 0xa0 | length;
        this.#at = at;
        return;
      }
    }
    const size = Buffer.byteLength(text);
    if (size !== length && !isWellFormed(text)) throw new Unencodable();
    this.#head(size, 0xa0, 31, 0xd9, 0xda);
    this.#reserve(size);
    this.#at += this.#buffer.write(text, this.#at, size, "utf8");
  }

  number(value: number): void {
    this.#reserve(9);
    const buffer = this.#buffer;
    if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
      buffer[this.#at++] = 0xcb;
      this.#at = buffer.writeDoubleBE(value, this.#at);
    } else if (value >= 0) {
      if (value < 0x80) buffer[this.#at++] = value;
      else if (value <= 0xff) {
        buffer[this.#at++] = 0xcc;
        buffer[this.#at++] = value;
      } else if (value <= 0xffff) {
        buffer[this.#at++] = 0xcd;
        this.#at = buffer.writeUInt16BE(value, this.#at);
      } else if (value < TWO_32) this.uint32(value);
      else this.uint64(value);
    } else if (value >= -0x20) buffer[this.#at++] = value & 0xff;
    else if (value >= -0x80) {
      buffer[this.#at++] = 0xd0;
      buffer[this.#at++] = value & 0xff;
    } else if (value >= -0x8000) {
      buffer[this.#at++] = 0xd1;
      this.#at = buffer.writeInt16BE(value, this.#at);
    } else if (value >= -0x8000_0000) {
      buffer[this.#at++] = 0xd2;
      this.#at = buffer.writeInt32BE(value, this.#at);
    } else {
      const high = Math.floor(value / TWO_32);
      buffer[this.#at++] = 0xd3;
      this.#at = buffer.writeInt32BE(high, this.#at);
      this.#at = buffer.writeUInt32BE(value - high * TWO_32, this.#at);
    }
  }

  #bigint(value: bigint): void {
    if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) return this.number(Number(value));
    if (value < -(1n << 63n) || value >= 1n << 64n) throw new Unencodable();
    this.#reserve(9);
    this.#buffer[this.#at++] = value < 0 ? 0xd3 : 0xcf;
    this.#at = this.#buffer.writeBigUInt64BE(BigInt.asUintN(64, value), this.#at);
  }

  #bytes(bytes: Uint8Array): void {
    this.#head(bytes.length, 0, -1, 0xc4, 0xc5);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #extension(type: number, data: Uint8Array): void {
    const size = data.length;
    if (!Number.isInteger(type) || type < -128 || type > 127) throw new Unencodable();
    this.#reserve(6);
    const fix = [1, 2, 4, 8, 16].indexOf(size);
    if (fix >= 0) this.#buffer[this.#at++] = 0xd4 + fix;
    else this.#head(size, 0, -1, 0xc7, 0xc8);
    this.#reserve(1 + size);
    this.#buffer[this.#at++] = type & 0xff;
    this.#buffer.set(data, this.#at);
    this.#at += size;
  }

  /** The shortest of the three forms of a timestamp. */
  #date(date: Date): void {
    const ms = date.getTime();
    if (Number.isNaN(ms)) throw new Unencodable();
    const seconds = Math.floor(ms / 1000);
    const nanoseconds = (ms - seconds * 1000) * 1_000_000;
    let data: Buffer;
    if (seconds >= 0 && seconds < TWO_32 && nanoseconds === 0) {
      data = Buffer.alloc(4);
      data.writeUInt32BE(seconds);
    } else if (seconds >= 0 && seconds < 2 ** 34) {
      data = Buffer.alloc(8);
      data.writeBigUInt64BE((BigInt(nanoseconds) << 34n) | BigInt(seconds));
    } else {
      data = Buffer.alloc(12);
      data.writeUInt32BE(nanoseconds);
      data.writeBigInt64BE(BigInt(seconds), 4);
    }
    this.#extension(-1, data);
  }

  /**
   * An argument under its name. Of the caller's own values (`keepsUndefined`) nothing may be lost, so a member that is
   * undefined is an error; in options it is one that is left out. Throws an ArgumentError that says what and where.
   */
  argument(name: string, value: unknown, keepsUndefined: boolean): void {
    this.#keepsUndefined = keepsUndefined;
    try {
      this.#value(value, 0);
    } catch (error) {
      if (!(error instanceof Unencodable)) throw error;
      throw new ArgumentError(explain(name, value, keepsUndefined));
    }
  }

  #value(value: unknown, depth: number): void {
    switch (typeof value) {
      case "string":
        return this.string(value);
      case "number":
        return this.number(value);
      case "boolean":
        return this.byte(value ? 0xc3 : 0xc2);
      case "object":
        return value === null ? this.byte(0xc0) : this.#object(value, depth + 1);
      case "bigint":
        return this.#bigint(value);
      default:
        throw new Unencodable();
    }
  }

  #object(value: object, depth: number): void {
    if (depth > MAX_DEPTH) throw new Unencodable();
    const kind = kindOf(value);
    if (kind === "array") {
      const array = value as unknown[];
      this.arrayHead(array.length);
      for (let i = 0; i < array.length; i++) this.#value(array[i], depth);
    } else if (kind === "object") this.#members(value as Record<string, unknown>, depth);
    else if (kind === "bytes")
      this.#bytes(value instanceof ArrayBuffer ? new Uint8Array(value) : (value as Uint8Array));
    else if (kind === "date") this.#date(value as Date);
    else if (kind === "json") this.#value((value as { toJSON(): unknown }).toJSON(), depth);
    else if (kind === "map") {
      this.mapHead((value as Map<unknown, unknown>).size);
      for (const [key, member] of value as Map<unknown, unknown>) {
        this.#value(key, depth);
        this.#value(member, depth);
      }
    } else if (kind === "extension") this.#extension((value as Extension).type, (value as Extension).data);
    else throw new Unencodable();
  }

  #members(value: Record<string, unknown>, depth: number): void {
    const keys = Object.keys(value);
    let count = keys.length;
    for (const key of keys)
      if (value[key] === undefined) {
        if (this.#keepsUndefined) throw new Unencodable();
        count--;
      }
    this.mapHead(count);
    for (const key of keys) {
      const member = value[key];
      if (member === undefined) continue;
      this.string(key);
      this.#value(member, depth);
    }
  }
}

type Kind = "array" | "object" | "bytes" | "date" | "json" | "map" | "extension" | "other";

/** What an object is to be written as. */
function kindOf(value: object): Kind {
  if (Array.isArray(value)) return "array";
  const prototype: unknown = Object.getPrototypeOf(value);
  const mayBePlain = prototype === Object.prototype || prototype === null;
  if (mayBePlain) return typeof (value as { toJSON?: unknown }).toJSON === "function" ? "json" : "object";
  if (value instanceof Uint8Array || value instanceof ArrayBuffer) return "bytes";
  if (value instanceof Date) return "date";
  if (value instanceof Map) return "map";
  if (value instanceof Extension) return "extension";
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return "json";
  if (ArrayBuffer.isView(value) || Object.prototype.toString.call(value) !== "[object Object]") return "other";
  return "object";
}

/** String.prototype.isWellFormed, which the types of Node 20 do not have. */
function isWellFormed(text: string): boolean {
  return (text as unknown as { isWellFormed(): boolean }).isWellFormed();
}

/** The sentence for what an Unencodable was thrown for. Walks the value again, now with names. */
function explain(name: string, root: unknown, keepsUndefined: boolean): string {
  const ancestors: object[] = [];
  const walk = (value: unknown, at: string): string | undefined => {
    switch (typeof value) {
      case "undefined":
        return `${at} is undefined; leave it out, or use null.`;
      case "function":
      case "symbol":
        return `${at} is a ${typeof value}, which cannot be sent; leave it out.`;
      case "bigint":
        return value < -(1n << 63n) || value >= 1n << 64n
          ? `${at} is a BigInt of more than 64 bits; send it as a string.`
          : undefined;
      case "string":
        return isWellFormed(value)
          ? undefined
          : `${at} holds half of a surrogate pair, which UTF-8 cannot; send bytes, or mend it with toWellFormed().`;
      case "object":
        return value === null ? undefined : walkObject(value, at);
      default:
        return undefined;
    }
  };
  const walkObject = (value: object, at: string): string | undefined => {
    if (ancestors.includes(value)) return `${at} is circular: it is what it stands in; send a tree.`;
    if (ancestors.length > MAX_DEPTH)
      return `${at.slice(0, 80)}... is nested more than ${MAX_DEPTH} deep; send something flatter.`;
    ancestors.push(value);
    const found = walkMembers(value, at);
    ancestors.pop();
    return found;
  };
  const walkMembers = (value: object, at: string): string | undefined => {
    const kind = kindOf(value);
    if (kind === "other") {
      if (value instanceof Promise) return `${at} is a Promise; await it first.`;
      return `${at} is a ${Object.prototype.toString.call(value).slice(8, -1)}, which has no MessagePack form; send its contents as an array, object or Uint8Array.`;
    }
    if (kind === "date") return Number.isNaN((value as Date).getTime()) ? `${at} is an invalid Date.` : undefined;
    if (kind === "extension") return `${at} is an Extension whose type is not from -128 to 127.`;
    if (kind === "json") return walk((value as { toJSON(): unknown }).toJSON(), `${at}.toJSON()`);
    if (kind === "bytes") return undefined;
    const entries: Iterable<[unknown, unknown]> =
      kind === "array"
        ? (value as unknown[]).entries()
        : kind === "map"
          ? (value as Map<unknown, unknown>)
          : Object.entries(value);
    for (const [key, member] of entries) {
      if (kind === "object" && member === undefined && !keepsUndefined) continue;
      const here =
        kind === "array"
          ? `${at}[${String(key)}]`
          : typeof key === "string" && /^[\w$]+$/.test(key)
            ? `${at}.${key}`
            : `${at}[${JSON.stringify(String(key))}]`;
      const found = (kind === "array" ? undefined : walk(key, `the key ${here}`)) ?? walk(member, here);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return walk(root, name) ?? `${name} cannot be sent.`;
}

/** Encodes one value, as `data` is encoded. Throws an ArgumentError where that is not possible. */
export function encode(value: unknown): Buffer {
  // A toJSON of the value's may encode something itself; it then makes a writer of its own.
  const writer = idleWriter ?? new Writer();
  idleWriter = undefined;
  try {
    writer.begin();
    writer.argument("the value", value, true);
    return Buffer.from(writer.end());
  } finally {
    idleWriter = writer;
  }
}

let idleWriter: Writer | undefined;
