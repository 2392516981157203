// What a server that was restarted still knows. Pure.

/**
 * Whether a server that keeps nothing began later than a moment of its own clock, and so has forgotten what was then.
 * @param info what server.info answered
 * @param at milliseconds since the Unix epoch
 */
export function hasForgotten(info: Record<string, any>, at: number): boolean {
  return info["engine"] === "memory" && info["now"] - info["uptime_ms"] > at;
}
