import { expect, test } from "vitest";
import type { Buffers } from "./buffers.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { WeightStore } from "./weight-store.ts";

/** Places need no device: buffers are made at the first write. */
function storeOf(bindingBytes: number) {
  const buffers = { storage: () => ({ buffer: { size: 1 << 16 } }) } as unknown as Buffers;
  return new WeightStore({} as GPUDevice, buffers, {} as DeviceWatch, bindingBytes);
}

/** Rows of 4 f32: 16 bytes each on the device. */
const rowsOf = (store: WeightStore, rows: number) =>
  store
    .create({ kind: "matrix", name: `${rows}`, format: "f32", rows, cols: 4 })
    .slices.map((slice) => slice.rows);

test("a matrix whose rows are no multiple of 8 is placed whole where a buffer has fewer than 8 rows to spare", () => {
  const store = storeOf(16 * 32);
  expect(rowsOf(store, 18)).toEqual([18]);
  expect(rowsOf(store, 13)).toEqual([13]); // 14 rows of room
  expect(rowsOf(store, 27)).toEqual([27]);
  expect(rowsOf(store, 5)).toEqual([5]); // 5 rows of room
  expect(rowsOf(store, 75)).toEqual([32, 32, 11]);
});
