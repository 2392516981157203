// Random op_ids, many from one question to the system.
import { randomFillSync } from "node:crypto";

const pool = new Uint32Array(512);
let used = pool.length;

/** A random integer from 0 to 2^53 - 1. */
export function opId(): number {
  if (used + 2 > pool.length) {
    randomFillSync(pool);
    used = 0;
  }
  const high = pool[used++]! & 0x1f_ffff;
  return high * 0x1_0000_0000 + pool[used++]!;
}
