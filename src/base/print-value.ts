/** Maximum characters of a value in a message. */
const MAX_LENGTH = 120;
const MAX_DEPTH = 4;

/**
 * Formats a value for an error message: like JSON, at most 120 characters. Values come from callers and files, so it never
 * throws, follows no cycle, and reads no further than the message shows.
 */
export function printValue(value: unknown): string {
  let text: string;
  try {
    text = print(value, MAX_DEPTH);
  } catch {
    text = `a value that cannot be shown`; // a getter or a proxy threw
  }
  return text.length > MAX_LENGTH ? `${text.slice(0, MAX_LENGTH - 3)}...` : text;
}

function print(value: unknown, depth: number): string {
  if (typeof value === "string")
    return JSON.stringify(value.length > MAX_LENGTH ? value.slice(0, MAX_LENGTH) : value);
  if (typeof value === "function") return "a function";
  if (typeof value !== "object" || value === null) return String(value);
  if (depth === 0) return Array.isArray(value) ? "[...]" : "{...}";
  if (Array.isArray(value)) return `[${join(value.length, (i) => print(value[i], depth - 1))}]`;
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name;
  const keys = Object.keys(value);
  const entry = (key: string) =>
    `${print(key, depth)}:${print((value as Record<string, unknown>)[key], depth - 1)}`;
  const body = `{${join(keys.length, (i) => entry(keys[i] ?? ""))}}`;
  return typeof name !== "string" || name === "Object" || name === "" ? body : `${name} ${body}`;
}

/** Joins entries by commas until they fill a message. */
function join(count: number, entry: (i: number) => string): string {
  let text = "";
  for (let i = 0; i < count && text.length <= MAX_LENGTH; i++) text += `${i > 0 ? "," : ""}${entry(i)}`;
  return text;
}
