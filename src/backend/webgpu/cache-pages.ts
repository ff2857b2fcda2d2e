import {
  type CachePageSizes,
  type CachePages,
  cachePageBytes,
  checkCachePages,
  rowPlaces,
} from "../cache-pages.ts";
import type { GpuContext } from "./context.ts";
import { keyRowBytes, valueRowBytes } from "./context.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Readbacks } from "./readbacks.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

const SCALE_BYTES = 4;

/** Pages that follow one another, in the pool and in the list. */
interface Run {
  readonly page: number;
  /** Index of the first one in the list. */
  readonly index: number;
  count: number;
}

/** Copies of one kind of row between a run's bytes on the device and the file's form. */
type CopyRow = (device: Uint8Array, from: number, at: number, length: number) => void;

/** A buffer of a layer holds its pages, each kv head after kv head; a q8 key's row ends in the scales of key and value. */
export function webGpuCachePages(context: GpuContext, cache: KvCache, readbacks: Readbacks): CachePages {
  const { model, capacity, cacheDtype, recorder } = context;
  const sizes: CachePageSizes = { model, capacity, cacheDtype };
  const pageBytes = cachePageBytes(sizes);
  const rowBytes = { keys: keyRowBytes(model, cacheDtype), values: valueRowBytes(model, cacheDtype) };
  const rows = capacity.pageSize * model.numKvHeads;
  const isInt8 = cacheDtype === "q8";
  const scalesAt = rowBytes.values;

  const visitRows = (
    run: Run,
    layer: number,
    part: "keys" | "values",
    visit: CopyRow,
    device: Uint8Array,
  ) => {
    const { first, headBytes, tokenBytes } = rowPlaces(sizes, layer, part);
    const values = rowPlaces(sizes, layer, "values");
    const elementBytes = headBytes - (isInt8 ? SCALE_BYTES : 0);
    for (let row = 0; row < run.count * rows; row++) {
      const head = Math.floor(row / capacity.pageSize) % model.numKvHeads;
      const inPage = (run.index + Math.floor(row / rows)) * pageBytes;
      const at = inPage + (row % capacity.pageSize) * tokenBytes + head * headBytes;
      const from = row * rowBytes[part];
      visit(device, from, at + first, elementBytes);
      if (!isInt8 || part === "values") continue;
      visit(device, from + scalesAt, at + first + elementBytes, SCALE_BYTES);
      visit(device, from + scalesAt + SCALE_BYTES, at + values.first + elementBytes, SCALE_BYTES);
    }
  };

  const check = (pages: readonly number[], bytes: Uint8Array) =>
    checkCachePages(pages, bytes, { pageBytes, numPages: cache.numPages });

  return {
    pageBytes,
    read: async (pages, out) => {
      check(pages, out);
      const readback = readbacks.start();
      const copies: (() => void)[] = [];
      for (const run of runsOf(pages))
        for (const [layer, { keys, values }] of cache.layers.entries())
          for (const [part, buffer] of [
            ["keys", keys],
            ["values", values],
          ] as const) {
            const device = new Uint8Array(run.count * rows * rowBytes[part]);
            const first = (run.page * rows * rowBytes[part]) / 4;
            readback.add(asTensor(buffer), first, new Uint32Array(device.buffer));
            const copy: CopyRow = (from, begin, at, length) =>
              out.set(from.subarray(begin, begin + length), at);
            copies.push(() => visitRows(run, layer, part, copy, device));
          }
      await readback.arrive();
      for (const copy of copies) copy();
    },
    write: (pages, bytes) => {
      check(pages, bytes);
      const copy: CopyRow = (device, to, at, length) => device.set(bytes.subarray(at, at + length), to);
      for (const run of runsOf(pages))
        for (const [layer, { keys, values }] of cache.layers.entries())
          for (const [part, buffer] of [
            ["keys", keys],
            ["values", values],
          ] as const) {
            const device = new Uint8Array(run.count * rows * rowBytes[part]);
            visitRows(run, layer, part, copy, device);
            const words = new Uint32Array(device.buffer);
            recorder.write(buffer, run.page * rows * rowBytes[part], words, words.length);
          }
    },
  };
}

/** The words of a buffer. */
function asTensor(buffer: NumberedBuffer): WebGpuTensor {
  return new WebGpuTensor("u32", [buffer.buffer.size / 4], buffer);
}

function runsOf(pages: readonly number[]): readonly Run[] {
  const runs: Run[] = [];
  for (const [index, page] of pages.entries()) {
    const last = runs[runs.length - 1];
    if (last && last.page + last.count === page) last.count++;
    else runs.push({ page, index, count: 1 });
  }
  return runs;
}
