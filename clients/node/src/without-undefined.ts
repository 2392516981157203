// Values of programs that are used to JSON, which leaves out what is undefined. Pure.

/** Members that are undefined are left out, as JSON would. What goes too deep is for the encoder to refuse. */
export function withoutUndefined(value: unknown, depth = 0): unknown {
  if (depth > 128 || typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((each) => withoutUndefined(each, depth + 1) ?? null);
  const prototype = Object.getPrototypeOf(value) as unknown;
  if (prototype !== Object.prototype && prototype !== null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutUndefined(member, depth + 1)]));
}
