// Lifetimes as adapters are given them.
import { ArgumentError } from "./errors.js";
import { LIMITS } from "./generated/constants.js";

/** The last moment that a Date can hold; it stands for "never". */
export const NEVER_MS = 8.64e15;
/** So that a session whose lifetime is 0 has expired on a server whose clock is behind this one, too. */
const CLOCK_MARGIN_MS = 60_000;

/** Whole milliseconds of a lifetime. Throws an ArgumentError that names it where it is no number or over ten years. */
export function checkLifetime(name: string, value: number): number {
  const max = LIMITS.max_duration_ms;
  if (typeof value !== "number" || !Number.isFinite(value) || Math.abs(value) > max)
    throw new ArgumentError(`${name} is ${String(value)}; give milliseconds, at most ten years (${max}).`);
  return Math.floor(value);
}

/** When a session whose lifetime is 0 or less has expired: before it began, by each clock. */
export function expiredAt(lifetimeMs: number): number {
  return Date.now() + lifetimeMs - CLOCK_MARGIN_MS;
}
