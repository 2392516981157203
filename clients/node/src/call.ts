// What a caller may say about a single call, and what the generated methods send through.
import type { Method } from "./generated/constants.js";

/** Of this one call. */
export interface CallOptions {
  /** Instead of the client's namespace. */
  namespace?: string;
  /** How long the call may take in all, waiting for a connection and repeating included (milliseconds). */
  timeoutMs?: number;
  /** Ends the call: it rejects with the signal's reason. A request that was sent may be executed all the same. */
  signal?: AbortSignal;
  /** Of a write: the number under which it may be repeated; false: none, and then it is never repeated. */
  opId?: number | false;
}

/** Sends requests; a Client is one, and so is each view of it. */
export interface Caller {
  /** `params` without the namespace, which is put before them where the method takes one. */
  request(
    method: Method,
    params: unknown[],
    options: object | undefined,
    call: CallOptions | undefined,
  ): Promise<unknown>;
}
