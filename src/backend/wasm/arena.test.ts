import { expect, test } from "vitest";
import { OutOfMemoryError } from "../../base/errors.ts";
import { Arena } from "./arena.ts";
import { PAGE_BYTES } from "./memory-map.ts";

test("an allocation of several parts takes all of them or nothing, and the next one has its place", () => {
  const arena = new Arena(new WebAssembly.Memory({ initial: 16, maximum: 64 }));
  const first = arena.allocate(100, "a part");
  let place = 0;
  const both = () =>
    arena.allOrNothing("two parts", () => {
      place = arena.allocate(PAGE_BYTES, "one");
      return arena.allocate(64 * PAGE_BYTES, "another");
    });
  expect(both).toThrow(OutOfMemoryError);
  expect(both).toThrow(/^the wasm backend has no room for two parts: .* another/);
  expect(place).toBeGreaterThan(first);
  expect(arena.allOrNothing("one part", () => arena.allocate(PAGE_BYTES, "one"))).toBe(place);
});
