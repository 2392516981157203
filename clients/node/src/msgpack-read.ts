// MessagePack, bytes to JavaScript values, and where a message ends in a stream. What becomes what is said in msgpack.ts.
//
// What is always true: a Reader is only given whole messages, whose end a Scan has found, so what a length promises is
// there. Depth is bounded, and nothing is reserved for a length before its bytes have come.
import { Extension, MAX_DEPTH, TWO_32 } from "./msgpack.js";

/** What a MessagePack value must not be: cut off, nested too deep, or begun with 0xc1. */
export class Malformed extends Error {}

/** Decodes exactly one value. Throws Malformed. */
export function decode(bytes: Uint8Array): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const scan = new Scan();
  if (scan.advance(buffer, 0, buffer.length) !== buffer.length || !scan.isWhole)
    throw new Malformed("not exactly one value");
  return new Reader().read(buffer, 0);
}

/**
 * Finds a message's end, however it arrives: each byte is looked at once, and nothing is built. Give it the message's
 * bytes so far, where it stands in them, and where they end; it answers how far it has come.
 */
export class Scan {
  #left = 1; // values that are still to come
  #skip = 0; // bytes of the last one that are still to come

  get isWhole(): boolean {
    return this.#left === 0 && this.#skip === 0;
  }

  reset(): void {
    this.#left = 1;
    this.#skip = 0;
  }

  advance(buffer: Buffer, at: number, end: number): number {
    for (;;) {
      const step = Math.min(this.#skip, end - at);
      this.#skip -= step;
      at += step;
      if (this.#skip > 0 || this.#left === 0 || at === end) return at;
      const head = buffer[at]!;
      const size = HEAD_SIZES[head]!;
      if (size === 0) throw new Malformed("the byte 0xc1 is no MessagePack value");
      if (end - at < size) return at; // the head itself is cut; it is looked at again when there is more
      this.#left--;
      if (head < 0xa0 && head >= 0x80) this.#left += head < 0x90 ? (head & 0x0f) * 2 : head & 0x0f;
      else if (head >= 0xa0 && head < 0xc0) this.#skip = head & 0x1f;
      else if (head >= 0xc4 && head <= 0xdf) this.#long(buffer, at, head);
      at += size;
    }
  }

  #long(buffer: Buffer, at: number, head: number): void {
    if (head >= 0xdc) {
      const count = head & 1 ? buffer.readUInt32BE(at + 1) : buffer.readUInt16BE(at + 1);
      this.#left += head >= 0xde ? count * 2 : count;
    } else if (head <= 0xc6) this.#skip = readLength(buffer, at + 1, head - 0xc4);
    else if (head <= 0xc9) this.#skip = readLength(buffer, at + 1, head - 0xc7);
    else if (head >= 0xd9) this.#skip = readLength(buffer, at + 1, head - 0xd9);
  }
}

/** Of 1, 2 or 4 bytes. */
function readLength(buffer: Buffer, at: number, form: number): number {
  return form === 0 ? buffer[at]! : form === 1 ? buffer.readUInt16BE(at) : buffer.readUInt32BE(at);
}

/** How many bytes of a value tell its length: with each first byte. Numbers and fixed extensions count whole. */
const HEAD_SIZES = new Uint8Array(256).fill(1);
[0, 1, 1, 2, 3, 5, 3, 4, 6, 5, 9, 2, 3, 5, 9, 2, 3, 5, 9, 3, 4, 6, 10, 18, 2, 3, 5, 3, 5, 3, 5].forEach((size, i) => {
  HEAD_SIZES[0xc1 + i] = size;
});

/** Reads values out of whole messages. */
export class Reader {
  #buffer: Buffer = Buffer.alloc(0);
  #at = 0;

  /** The value that begins at `at`. */
  read(buffer: Buffer, at: number): unknown {
    this.#buffer = buffer;
    this.#at = at;
    const value = this.#value(0);
    this.#buffer = EMPTY;
    return value;
  }

  #value(depth: number): unknown {
    const buffer = this.#buffer;
    const head = buffer[this.#at++]!;
    if (head < 0x80) return head;
    if (head >= 0xe0) return head - 0x100;
    if (head < 0x90) return this.#map(head & 0x0f, depth + 1);
    if (head < 0xa0) return this.#array(head & 0x0f, depth + 1);
    if (head < 0xc0) return this.#string(head & 0x1f);
    const at = this.#at;
    this.#at += HEAD_SIZES[head]! - 1;
    switch (head) {
      case 0xc0:
        return null;
      case 0xc2:
        return false;
      case 0xc3:
        return true;
      case 0xc4:
      case 0xc5:
      case 0xc6:
        return this.#bytes(readLength(buffer, at, head - 0xc4));
      case 0xc7:
      case 0xc8:
      case 0xc9:
        return this.#extension(buffer.readInt8(this.#at - 1), this.#bytes(readLength(buffer, at, head - 0xc7)));
      case 0xca:
        return buffer.readFloatBE(at);
      case 0xcb:
        return buffer.readDoubleBE(at);
      case 0xcc:
        return buffer[at];
      case 0xcd:
        return buffer.readUInt16BE(at);
      case 0xce:
        return buffer.readUInt32BE(at);
      case 0xcf:
        return wide(buffer, at, buffer.readUInt32BE(at));
      case 0xd0:
        return buffer.readInt8(at);
      case 0xd1:
        return buffer.readInt16BE(at);
      case 0xd2:
        return buffer.readInt32BE(at);
      case 0xd3:
        return wide(buffer, at, buffer.readInt32BE(at));
      case 0xd4:
      case 0xd5:
      case 0xd6:
      case 0xd7:
      case 0xd8:
        return this.#extension(buffer.readInt8(at), Buffer.from(buffer.subarray(at + 1, this.#at)));
      case 0xd9:
      case 0xda:
      case 0xdb:
        return this.#string(readLength(buffer, at, head - 0xd9));
      case 0xdc:
        return this.#array(buffer.readUInt16BE(at), depth + 1);
      case 0xdd:
        return this.#array(buffer.readUInt32BE(at), depth + 1);
      case 0xde:
        return this.#map(buffer.readUInt16BE(at), depth + 1);
      case 0xdf:
        return this.#map(buffer.readUInt32BE(at), depth + 1);
      default:
        throw new Malformed("the byte 0xc1 is no MessagePack value");
    }
  }

  #string(size: number): string {
    const at = this.#at;
    this.#at += size;
    return size === 0 ? "" : this.#buffer.toString("utf8", at, this.#at);
  }

  /** A copy, so that it does not hold the whole packet that it came in. */
  #bytes(size: number): Buffer {
    const at = this.#at;
    this.#at += size;
    return Buffer.from(this.#buffer.subarray(at, this.#at));
  }

  #extension(type: number, data: Buffer): unknown {
    return (type === -1 ? timestamp(data) : undefined) ?? new Extension(type, data);
  }

  #array(length: number, depth: number): unknown[] {
    if (depth > MAX_DEPTH) throw new Malformed(`nested more than ${MAX_DEPTH} deep`);
    const out: unknown[] = [];
    for (let i = 0; i < length; i++) out.push(this.#value(depth));
    return out;
  }

  #map(length: number, depth: number): object {
    if (depth > MAX_DEPTH) throw new Malformed(`nested more than ${MAX_DEPTH} deep`);
    const out: Record<string, unknown> = {};
    for (let i = 0; i < length; i++) {
      const head = this.#buffer[this.#at]!;
      const isText = (head >= 0xa0 && head < 0xc0) || (head >= 0xd9 && head <= 0xdb);
      if (!isText) return this.#oddMap(out, i, length, depth);
      const key = head < 0xc0 ? this.#key(head & 0x1f) : (this.#value(depth) as string);
      // A plain assignment of this one key would change the object's prototype.
      if (key === "__proto__")
        Object.defineProperty(out, key, {
          value: this.#value(depth),
          writable: true,
          enumerable: true,
          configurable: true,
        });
      else out[key] = this.#value(depth);
    }
    return out;
  }

  /** A map of which a key is no text; the entries before it were. */
  #oddMap(begun: Record<string, unknown>, done: number, length: number, depth: number): Map<unknown, unknown> {
    const out = new Map<unknown, unknown>(Object.entries(begun));
    for (let i = done; i < length; i++) {
      const key = this.#value(depth);
      out.set(key, this.#value(depth));
    }
    return out;
  }

  /** A short text that is a key: the same few come again and again, so they are kept. */
  #key(size: number): string {
    const buffer = this.#buffer;
    const at = ++this.#at;
    this.#at += size;
    let hash = size;
    for (let i = at; i < this.#at; i++) hash = (Math.imul(hash, 31) + buffer[i]!) | 0;
    const slot = hash & (KEYS - 1);
    const kept = keptKeys[slot];
    if (kept !== undefined && kept.bytes.length === size) {
      let i = 0;
      while (i < size && kept.bytes[i] === buffer[at + i]) i++;
      if (i === size) return kept.text;
    }
    const text = buffer.toString("utf8", at, this.#at);
    keptKeys[slot] = { bytes: Buffer.from(buffer.subarray(at, this.#at)), text };
    return text;
  }
}

const EMPTY = Buffer.alloc(0);
const KEYS = 1024;
const keptKeys: ({ bytes: Buffer; text: string } | undefined)[] = new Array(KEYS).fill(undefined);

/** A 64-bit integer whose upper half was read: a number where that is exact. */
function wide(buffer: Buffer, at: number, high: number): number | bigint {
  const low = buffer.readUInt32BE(at + 4);
  const value = high * TWO_32 + low;
  return Number.isSafeInteger(value) ? value : (BigInt(high) << 32n) | BigInt(low);
}

/** A Date, or undefined where it is none that a Date can hold. */
function timestamp(data: Buffer): Date | undefined {
  let seconds: number;
  let nanoseconds = 0;
  if (data.length === 4) seconds = data.readUInt32BE();
  else if (data.length === 8) {
    const both = data.readBigUInt64BE();
    nanoseconds = Number(both >> 34n);
    seconds = Number(both & 0x3_ffff_ffffn);
  } else if (data.length === 12) {
    nanoseconds = data.readUInt32BE();
    seconds = Number(data.readBigInt64BE(4));
  } else return undefined;
  if (nanoseconds % 1_000_000 !== 0 || nanoseconds >= 1_000_000_000) return undefined;
  const date = new Date(seconds * 1000 + nanoseconds / 1_000_000);
  return Number.isNaN(date.getTime()) ? undefined : date;
}
