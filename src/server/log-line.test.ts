import { expect, it } from "vitest";
import { toLogEntry } from "./log-line.ts";

it.each([
  ["a", "a"],
  ["boom\nlessismore: fine\n    at f", "boom\n    lessismore: fine\n    at f"],
  ["a\r\nb\rc", "a\n    b\n    c"],
  ["\u001b[31m\u0000\t\u009b\u202e\u2028x", "\\u001b[31m\\u0000\\u0009\\u009b\\u202e\\u2028x"],
  ["naïve 🙂", "naïve 🙂"],
])("%j is %j in the log", (text, entry) => {
  expect(toLogEntry(text)).toBe(entry);
});
