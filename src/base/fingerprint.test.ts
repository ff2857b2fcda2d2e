import { expect, test } from "vitest";
import { Fingerprint } from "./fingerprint.ts";

const of = (bytes: Uint8Array, stride?: number) => new Fingerprint().addBytes(bytes, stride).toString();
const bytes = Uint8Array.from({ length: 1027 }, (_, i) => (i * 31) & 255);

test("every bit of the bytes counts, and their order and number", () => {
  const seen = new Set([
    of(bytes),
    of(bytes.subarray(0, 1026)),
    of(new Uint8Array(1027)),
    of(new Uint8Array(1028)),
  ]);
  for (let at = 0; at < bytes.length; at++)
    for (let bit = 1; bit < 256; bit <<= 1) {
      const changed = bytes.slice();
      changed[at] = (changed[at] as number) ^ bit;
      seen.add(of(changed));
    }
  seen.add(of(bytes.slice().reverse()));
  expect(seen.size).toBe(5 + 8 * bytes.length);
  expect(of(bytes)).toMatch(/^[0-9a-f]{16}$/);
});

test("the place of the bytes in memory does not count; with a stride words between do not", () => {
  const moved = new Uint8Array(1030).subarray(3);
  moved.set(bytes);
  expect(of(moved)).toBe(of(bytes));
  const between = bytes.slice();
  between[5] = 99;
  expect(of(between, 4)).toBe(of(bytes, 4));
  between[16] = 99;
  expect(of(between, 4)).not.toBe(of(bytes, 4));
});

test("texts that join alike are told apart", () => {
  const texts = (...parts: string[]) =>
    parts.reduce((hash, part) => hash.addText(part), new Fingerprint()).toString();
  expect(texts("ab", "c")).not.toBe(texts("a", "bc"));
  expect(texts("ab", "c")).toBe(texts("ab", "c"));
});
