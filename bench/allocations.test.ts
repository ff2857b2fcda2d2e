import { expect, test } from "vitest";
import { measureAllocations } from "./allocations.ts";

/** An array of `length` doubles and its object: 8 bytes each, 16 of the header, 32 of the array object (V8, 64 bits). */
const bytesOf = (length: number) => 8 * length + 48;
let kept: number[] = [];

function makeGarbage(arrays: number, length: number): void {
  for (let i = 0; i < arrays; i++) kept = new Array(length).fill(i + 0.5);
}

test.each([
  ["of 1 kB", 40_000, 126],
  ["of 100 kB", 400, 12_800],
])("arrays %s that are garbage at once count, within 10 %%", async (_, arrays, length) => {
  makeGarbage(100, length); // compiled
  const { bytes, sites } = await measureAllocations(async () => {
    for (let turn = 0; turn < 10; turn++) {
      makeGarbage(arrays / 10, length);
      await new Promise(setImmediate); // what runs between steps of a device counts, too
    }
  });
  const expected = arrays * bytesOf(length);
  expect(bytes / expected).toBeGreaterThan(0.9);
  expect(bytes / expected).toBeLessThan(1.1);
  expect(sites[0]?.where).toContain("makeGarbage");
  expect(sites[0]?.where).toContain("bench/allocations.test.ts");
  expect(kept).toHaveLength(length);
});

test("work that makes nothing counts next to nothing", async () => {
  const words = new Int32Array(1024);
  const { bytes } = await measureAllocations(async () => {
    for (let i = 0; i < 1e6; i++) words[i % 1024] = (words[i % 1024] + 1) | 0;
  });
  expect(bytes).toBeLessThan(100_000);
});
