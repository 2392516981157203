// The other side of sync-client.ts: a thread that has the connection, and executes one call after the other.
//
// What it is told comes through a port; each answer goes back through it, and then the count of answers grows, on which
// the caller waits. While the server cannot be reached it says so in the shared state and tries on by itself.
import { workerData, type MessagePort } from "node:worker_threads";
import { Client } from "./client.js";
import type { SessiondError } from "./errors.js";
import { decode } from "./msgpack-read.js";
import { encode } from "./msgpack.js";
import { hasForgotten } from "./restart.js";
import { OUTAGE, State, type Answer, type Call, type WorkerData } from "./sync-client.js";

const PAUSE_MS = 100;
const OUTAGES = ["CONNECTION", "TIMEOUT", "PROTOCOL"];

const { options, port, shared } = workerData as WorkerData & { port: MessagePort };
const state = new Int32Array(shared);
const client = new Client(options);
let wishes = Promise.resolve();
let lastWish = 0;
/** The wish that was fulfilled last, and when, by the server's clock. */
let fulfilled: { call: Call; at: number } | undefined;
let isProbing = false;

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

/** What of an error crosses to another thread. */
function wordsOf({ code, message, details, mayHaveExecuted }: SessiondError): Answer["error"] {
  return { code, message, details, mayHaveExecuted };
}

/** Whether a call failed because nobody answers; then the outage is told, and its end looked for. */
function isOutage(error: unknown): boolean {
  const found = OUTAGES.includes((error as SessiondError).code);
  if (found && !isProbing) void probe(error as SessiondError);
  return found;
}

async function probe(why: SessiondError): Promise<void> {
  isProbing = true;
  port.postMessage({ seq: OUTAGE, error: wordsOf(why) } satisfies Answer);
  Atomics.store(state, State.IS_DOWN, 1);
  while (!(await client.server.ping().then(Boolean, () => false))) await sleep(PAUSE_MS);
  Atomics.store(state, State.IS_DOWN, 0);
  isProbing = false;
}

function execute({ method, bytes }: Call): Promise<unknown> {
  const [params, given] = decode(bytes) as [unknown[], object];
  return client.call(method, params, given);
}

async function answer(call: Call): Promise<Answer> {
  try {
    return { seq: call.seq, bytes: new Uint8Array(encode(await execute(call))) };
  } catch (error) {
    isOutage(error);
    return { seq: call.seq, error: wordsOf(error as SessiondError) };
  }
}

/** Until it succeeds or a later wish takes its place. */
async function fulfil(call: Call): Promise<void> {
  while (call.seq === lastWish)
    try {
      await execute(call);
      fulfilled = { call, at: (await client.server.ping()).now };
      return;
    } catch (error) {
      if (!isOutage(error) && (error as SessiondError).code !== "BUSY") {
        process.emitWarning(`${call.method}: ${(error as Error).message}`, "SessiondWarning");
        return;
      }
      await sleep(PAUSE_MS);
    }
}

/** A server that keeps nothing has forgotten with its restart what was wished. */
async function remind(): Promise<void> {
  if (fulfilled === undefined || fulfilled.call.seq !== lastWish) return;
  const { call, at } = fulfilled;
  if (hasForgotten(await client.server.info(), at)) await fulfil(call);
}

/** One after the other, in the order in which they came. */
function afterWishes(step: () => Promise<void>): void {
  wishes = wishes.then(step);
}

async function take(call: Call): Promise<void> {
  if (call.isWish) {
    lastWish = call.seq;
    afterWishes(() => fulfil(call));
    return;
  }
  port.postMessage(await answer(call));
  Atomics.add(state, State.ANSWERS, 1);
  Atomics.notify(state, State.ANSWERS);
}

// Where this connection breaks too, the next one reminds.
client.on("connect", () => afterWishes(() => remind().catch(() => {})));
port.on("message", (call: Call) => void take(call));
Atomics.store(state, State.IS_READY, 1);
