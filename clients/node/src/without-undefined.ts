// Values of programs that are used to JSON, which leaves out what is undefined. Pure.

const DEPTH_MAX = 128;

/**
 * Members that are undefined are left out, as JSON would. What goes too deep or is circular is for the encoder to refuse.
 * @param above what the value stands in
 */
export function withoutUndefined(value: unknown, above: readonly unknown[] = []): unknown {
  if (typeof value !== "object" || value === null || above.length > DEPTH_MAX || above.includes(value)) return value;
  const inside = [...above, value];
  if (Array.isArray(value)) return value.map((each) => withoutUndefined(each, inside) ?? null);
  const prototype = Object.getPrototypeOf(value) as unknown;
  if (prototype !== Object.prototype && prototype !== null) return value;
  const members = Object.entries(value).filter(([, member]) => member !== undefined);
  return Object.fromEntries(members.map(([name, member]) => [name, withoutUndefined(member, inside)]));
}
