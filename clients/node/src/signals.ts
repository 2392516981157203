// Abort signals of calls: one listener for all calls of a signal, since a request's signal may be given to many, and
// Node warns of many listeners.

/** Calls by their signals. */
export class Signals<Call> {
  readonly #signals = new Map<AbortSignal, { calls: Set<Call>; listener: () => void }>();
  readonly #end: (call: Call, reason: unknown) => void;

  /** `end` is called with each call of a signal that aborts, and is to take it out. */
  constructor(end: (call: Call, reason: unknown) => void) {
    this.#end = end;
  }

  add(signal: AbortSignal, call: Call): void {
    const heeding = this.#signals.get(signal);
    if (heeding) return void heeding.calls.add(call);
    const calls = new Set([call]);
    const listener = () => {
      for (const each of [...calls]) this.#end(each, signal.reason);
    };
    this.#signals.set(signal, { calls, listener });
    signal.addEventListener("abort", listener);
  }

  remove(signal: AbortSignal, call: Call): void {
    const heeding = this.#signals.get(signal);
    if (!heeding) return;
    heeding.calls.delete(call);
    if (heeding.calls.size > 0) return;
    this.#signals.delete(signal);
    signal.removeEventListener("abort", heeding.listener);
  }
}
