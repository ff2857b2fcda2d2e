import { Dict, type Value } from "./values.ts";

/** Maximum nesting of data for a template, near Python's own limit. */
export const MAX_DATA_DEPTH = 500;

/**
 * Converts plain data to a template value. Whole numbers become int, others float; keys with the value `undefined` are
 * dropped. Other values become a text that names their kind, as in transformers.
 * @throws RangeError when the data nests deeper than `MAX_DATA_DEPTH` or contains itself
 */
export function toValue(data: unknown, depth = 0): Value {
  if (depth > MAX_DATA_DEPTH) throw new RangeError(`more than ${MAX_DATA_DEPTH} levels inside each other`);
  if (data === null || data === undefined) return null;
  if (typeof data === "string" || typeof data === "boolean" || typeof data === "bigint") return data;
  if (typeof data === "number") return isWhole(data) ? BigInt(data) : data;
  if (typeof data !== "object") return `<${typeof data}>`;
  if (Array.isArray(data)) return Array.from(data, (item) => toValue(item, depth + 1));
  const prototype: unknown = Object.getPrototypeOf(data);
  if (prototype !== null && prototype !== Object.prototype && Object.getPrototypeOf(prototype) !== null)
    return `<${data.constructor?.name ?? "object"}>`;
  if (data instanceof Date || data instanceof Map || data instanceof Set || ArrayBuffer.isView(data))
    return `<${data.constructor.name}>`;
  const dict = new Dict();
  for (const [key, item] of Object.entries(data))
    if (item !== undefined) dict.set(key, toValue(item, depth + 1));
  return dict;
}

/** From 1e21 JSON writes a whole number with an exponent, and Python reads that as a float. */
const isWhole = (value: number): boolean =>
  Number.isInteger(value) && Math.abs(value) < 1e21 && !Object.is(value, -0);
