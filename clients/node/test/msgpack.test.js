// The encoder and decoder, against what they promise, against @msgpack/msgpack, and against the protocol's vectors.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import * as other from "@msgpack/msgpack";
import { decode, encode, Extension, METHODS } from "sessiond";
import { Writer } from "../dist/esm/msgpack.js";
import { Malformed, Reader, Scan } from "../dist/esm/msgpack-read.js";

const plain = [
  null,
  true,
  false,
  0,
  1,
  127,
  128,
  255,
  256,
  65535,
  65536,
  2 ** 32 - 1,
  2 ** 32,
  1767225600000,
  2 ** 53 - 1,
  -1,
  -32,
  -33,
  -128,
  -129,
  -32768,
  -32769,
  -(2 ** 31),
  -(2 ** 31) - 1,
  -(2 ** 53) + 1,
  0.5,
  -0.5,
  1e300,
  2 ** 60,
  Infinity,
  -Infinity,
  "",
  "a",
  "é",
  "日本",
  "🍪",
  "x".repeat(31),
  "x".repeat(32),
  "é".repeat(20),
  "x".repeat(255),
  "x".repeat(256),
  "x".repeat(65536),
  [],
  [1, [2, [3]]],
  new Array(15).fill(1),
  new Array(16).fill(1),
  new Array(65536).fill(0),
  {},
  { a: 1 },
  { "": 1, é: 2 },
  Object.fromEntries(Array.from({ length: 16 }, (_, i) => [`k${i}`, i])),
  Object.fromEntries(Array.from({ length: 70000 }, (_, i) => [`k${i}`, i])),
];

test("what it writes is what @msgpack/msgpack writes and reads, to the byte", () => {
  for (const value of plain) {
    assert.deepEqual(encode(value), Buffer.from(other.encode(value)), JSON.stringify(value)?.slice(0, 80));
    assert.deepEqual(decode(other.encode(value)), value);
    assert.deepEqual(other.decode(encode(value)), value);
  }
});

test("bytes, dates, maps, extensions and wide integers come back as they were", () => {
  const values = [
    2n ** 53n,
    2n ** 64n - 1n,
    -(2n ** 63n),
    -(2n ** 53n) - 1n,
    new Date(0),
    new Date(1767225600123),
    new Date(-1),
    new Date(8.64e15),
    new Map([
      [1, "a"],
      ["b", 2],
    ]),
    new Map([[[1], { a: 1 }]]),
    new Extension(5, Buffer.from("x")),
    new Extension(-128, Buffer.alloc(300)),
    ...[0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 70000].map((size) => Buffer.alloc(size, 7)),
    ...[1, 2, 4, 8, 16, 17].map((size) => new Extension(1, Buffer.alloc(size, 7))),
  ];
  for (const value of values) assert.deepEqual(decode(encode(value)), value);
  assert.deepEqual(decode(encode(new Uint8Array([1, 2]))), Buffer.from([1, 2]));
  assert.ok(Object.is(decode(encode(-0)), -0));
  assert.ok(Number.isNaN(decode(encode(NaN))));
  assert.equal(decode(encode(5n)), 5);
  assert.deepEqual(other.decode(encode(new Date(1767225600123))), new Date(1767225600123));
  assert.deepEqual(decode(other.encode(new Date(1767225600123))), new Date(1767225600123));
  // A timestamp finer than a Date stays what it was.
  const fine = Buffer.from("d7ff0000000400000000", "hex");
  assert.deepEqual(encode(decode(fine)), fine);
});

test("a key __proto__ is a key like any other", () => {
  const value = decode(encode(JSON.parse('{"__proto__": {"admin": true}, "a": 1}')));
  assert.deepEqual(Object.keys(value), ["__proto__", "a"]);
  assert.equal(value.admin, undefined);
  assert.equal({}.admin, undefined);
});

test("toJSON is asked, and class instances are their members", () => {
  class Point {
    x = 1;
  }
  assert.deepEqual(decode(encode({ url: new URL("http://a/"), point: new Point() })), {
    url: "http://a/",
    point: { x: 1 },
  });
});

const circular = { list: [] };
circular.list.push({ back: circular });
const deep = JSON.parse("[".repeat(300) + "]".repeat(300));
for (const [value, sentence] of [
  [{ cart: [1, () => 1] }, "the value.cart[1] is a function, which cannot be sent; leave it out."],
  [{ a: Symbol("x") }, "the value.a is a symbol, which cannot be sent; leave it out."],
  [circular, "the value.list[0].back is circular: it is what it stands in; send a tree."],
  [{ "odd key": 2n ** 64n }, 'the value["odd key"] is a BigInt of more than 64 bits; send it as a string.'],
  [-(2n ** 63n) - 1n, "the value is a BigInt of more than 64 bits; send it as a string."],
  [{ a: undefined }, "the value.a is undefined; leave it out, or use null."],
  [[undefined], "the value[0] is undefined; leave it out, or use null."],
  [undefined, "the value is undefined; leave it out, or use null."],
  [{ user: Promise.resolve(1) }, "the value.user is a Promise; await it first."],
  [
    new Set([1]),
    "the value is a Set, which has no MessagePack form; send its contents as an array, object or Uint8Array.",
  ],
  [
    new Float32Array(1),
    "the value is a Float32Array, which has no MessagePack form; send its contents as an array, object or Uint8Array.",
  ],
  [new Date(NaN), "the value is an invalid Date."],
  [
    "\ud800",
    "the value holds half of a surrogate pair, which UTF-8 cannot; send bytes, or mend it with toWellFormed().",
  ],
  [new Extension(200, Buffer.alloc(1)), "the value is an Extension whose type is not from -128 to 127."],
])
  test(`what cannot be sent is named: ${sentence}`, () => {
    assert.throws(() => encode(value), { name: "ArgumentError", code: "ARGUMENT", message: sentence });
  });

test("what is nested too deep is refused both ways, and the stack holds", () => {
  assert.throws(() => encode(deep), /nested more than 144 deep/);
  assert.throws(() => decode(Buffer.from("91".repeat(100_000) + "c0", "hex")), /nested/);
});

test("bytes that are not one whole value are refused", () => {
  for (const hex of ["", "c1", "91", "a161a1", "0101", "dcffff", "c6ffffffff", "81a161c1"])
    assert.throws(() => decode(Buffer.from(hex, "hex")), Error, hex);
});

test("a message's end is found wherever it is cut", () => {
  const message = encode([
    1,
    "x".repeat(40),
    Buffer.alloc(300),
    new Extension(3, Buffer.alloc(5)),
    { a: [1.5, -7, null, 2n ** 60n] },
    new Date(1),
  ]);
  const all = Buffer.concat([message, Buffer.from([0xc0])]);
  for (let first = 0; first <= message.length; first++) {
    const scan = new Scan();
    const at = scan.advance(all, 0, first);
    assert.equal(scan.isWhole, first === message.length);
    assert.equal(scan.advance(all, at, all.length), message.length);
    assert.ok(scan.isWhole);
  }
});

test("messages written one behind the other keep their bytes", () => {
  const writer = new Writer();
  const messages = [];
  for (let i = 0; i < 300; i++) {
    writer.begin();
    writer.argument("x", { i, text: "y".repeat(i * 7) }, true);
    if (i % 3) messages.push([i, writer.end()]);
  }
  for (const [i, bytes] of messages) assert.deepEqual(new Reader().read(bytes, 0), { i, text: "y".repeat(i * 7) });
});

const vectors = JSON.parse(readFileSync(`${process.env["SESSIOND_VECTORS"]}/requests.json`, "utf8")).cases;

test("every vector decodes to what it says, and what we write of it decodes to the same", () => {
  assert.ok(vectors.length >= Object.keys(METHODS).length);
  for (const { method, msgid, params, result, request, request_by_number, notification, reply } of vectors) {
    assert.deepEqual(decode(Buffer.from(request, "hex")), [0, msgid, method, params]);
    assert.deepEqual(decode(Buffer.from(request_by_number, "hex")), [0, msgid, METHODS[method].number, params]);
    assert.deepEqual(decode(Buffer.from(notification, "hex")), [2, method, params]);
    assert.deepEqual(decode(Buffer.from(reply, "hex")), [1, msgid, null, result]);
    for (const value of [
      [0, msgid, method, params],
      [1, msgid, null, result],
    ])
      assert.deepEqual(decode(encode(value)), value);
    assert.equal(encode([0, msgid, method, params]).toString("hex"), request);
  }
});

test("unusual and broken messages are told apart where they end", () => {
  const { cases } = JSON.parse(readFileSync(`${process.env["SESSIOND_VECTORS"]}/malformed.json`, "utf8"));
  for (const { name, bytes, state, method, size } of cases) {
    const buffer = Buffer.from(bytes.replaceAll(" ", ""), "hex");
    const scan = new Scan();
    const end = () => scan.advance(buffer, 0, buffer.length);
    if (state === "incomplete") assert.ok((end(), !scan.isWhole), name);
    else if (bytes.includes("c1") && state === "broken" && /no value/.test(name))
      assert.throws(end, { message: /0xc1/ }, name);
    else if (state === "ok") {
      assert.equal(end(), size ?? buffer.length, name);
      const message = decode(buffer.subarray(0, size ?? buffer.length));
      const found = message.at(-2);
      assert.ok([method, METHODS[method].number].includes(Buffer.isBuffer(found) ? found.toString() : found), name);
    }
  }
});

test("whatever the bytes are, they are a value or Malformed", () => {
  const seeds = [
    { id: "a", list: [1, -7, 2.5, null, true], bytes: Buffer.alloc(20), date: new Date(1), big: 2n ** 60n },
    [1, 7, null, { map: new Map([[1, [2]]]), ext: new Extension(5, Buffer.alloc(3)), text: "é".repeat(20) }],
  ].map((value) => encode(value));
  let state = 12345;
  const random = (bound) => (state = (Math.imul(state, 1103515245) + 12345) >>> 0) % bound;
  const came = { values: 0, refused: 0 };
  for (let i = 0; i < 20_000; i++) {
    const bytes = Buffer.from(seeds[i % seeds.length]);
    for (let n = random(4); n >= 0; n--) bytes[random(bytes.length)] = random(256);
    const cut = random(8) ? bytes : bytes.subarray(0, random(bytes.length));
    try {
      decode(cut);
      came.values++;
    } catch (error) {
      assert.ok(error instanceof Malformed, `${cut.toString("hex")}: ${error.stack}`);
      came.refused++;
    }
  }
  assert.ok(came.values > 1000 && came.refused > 1000, JSON.stringify(came));
});
