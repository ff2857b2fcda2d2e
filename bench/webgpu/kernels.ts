/** Each WebGPU kernel against the bytes it must move and against a plain read, timed on the device in one run. */
import type { Scores, TokenSelection, UnitSet } from "../../src/backend/backend.ts";
import type { CacheDtype } from "../../src/backend/webgpu/context.ts";
import { openWebGpuBackend } from "../../src/backend/webgpu/open-webgpu.ts";
import { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import type { WeightDtype } from "../../src/base/dtype.ts";
import { median } from "../statistics.ts";
import { openShape } from "./decode.ts";
import { backendShape, SHAPES } from "./shapes.ts";

export interface KernelRow {
  readonly name: string;
  readonly microseconds: number;
  /** Bytes that must move; 0 where bytes say nothing. */
  readonly bytes: number;
  readonly gigabytesPerSecond: number;
}

const REPEATS = 20;

async function time(
  backend: WebGpuBackend,
  name: string,
  bytes: number,
  run: (i: number) => void,
): Promise<KernelRow> {
  const one = async () => {
    // a chain in one pass, between two stamps of the wall clock far apart: gaps between dispatches count
    const started = performance.now();
    for (let i = 0; i < REPEATS; i++) run(i);
    await backend.finish();
    return performance.now() - started;
  };
  const two = async () => {
    const started = performance.now();
    for (let i = 0; i < 3 * REPEATS; i++) run(i);
    await backend.finish();
    return performance.now() - started;
  };
  await one();
  const times: number[] = [];
  for (let round = 0; round < 7; round++) times.push(((await two()) - (await one())) / (2 * REPEATS));
  const ms = median(times);
  return { name, microseconds: ms * 1000, bytes, gigabytesPerSecond: bytes / ms / 1e6 };
}

/** GB/s of reading 2 GiB, or as much as a buffer holds. */
export async function plainRead(backend: WebGpuBackend): Promise<KernelRow> {
  const { context } = backend;
  const { maxStorageBufferBindingSize, maxBufferSize } = context.device.limits;
  // a device of 1 GiB buffers is no fast one
  const most = Math.min(maxStorageBufferBindingSize, maxBufferSize);
  const size = most > 2 ** 30 ? Math.floor(Math.min(2 ** 31, most) / 256) * 256 : 2 ** 20;
  const data = context.buffers.storage("plain read", size);
  const out = context.buffers.storage("plain read out", 16);
  const kernel = context.recorder.kernel(["plain-read"], {});
  const rows: KernelRow[] = [];
  for (const groups of [2048, 4096, 8192])
    rows.push(
      await time(backend, `plain read, ${groups} workgroups`, size, () => {
        context.recorder.dispatch("rest", kernel, undefined, [data, out], groups);
      }),
    );
  context.buffers.destroy(data);
  context.buffers.destroy(out);
  return rows.reduce((best, row) => (row.gigabytesPerSecond > best.gigabytesPerSecond ? row : best));
}

export async function measureRead(adapter: GPUAdapter): Promise<number> {
  const shape = SHAPES["pico-reasoner"];
  if (!shape) throw new TypeError("no shape");
  const backend = await openWebGpuBackend(backendShape(shape, 64, 1), adapter);
  if (!(backend instanceof WebGpuBackend)) throw new TypeError("the webgpu backend is of another class");
  try {
    return (await plainRead(backend)).gigabytesPerSecond;
  } finally {
    await backend.close();
  }
}

/** Matrix products, attention and selection of llama-3.1-8b at the contexts given. */
export async function benchKernels(
  adapter: GPUAdapter,
  contexts: readonly number[],
  dtype: WeightDtype,
  cacheDtype: CacheDtype,
): Promise<readonly KernelRow[]> {
  const llama = SHAPES["llama-3.1-8b"];
  if (!llama) throw new TypeError("no shape");
  const shape = { ...llama, numLayers: 12 };
  const { backend, weights } = await openShape(adapter, shape, Math.max(...contexts), 1, dtype, cacheDtype);
  const size = dtype === "f32" ? 4 : 2;
  const cacheSize = cacheDtype === "f32" ? 4 : 2;
  const rows: KernelRow[] = [];
  try {
    rows.push(await plainRead(backend));
    const x = backend.createTensor("f32", [1, shape.hiddenSize]);
    const query = backend.createTensor("f32", [1, shape.numQueryHeads * shape.headDim]);
    const output = backend.createTensor("f32", [1, shape.numQueryHeads * shape.headDim]);
    const logits = backend.createTensor("f32", [1, shape.vocabSize]);
    const begin = (length: number) => {
      const maxPages = Math.ceil(Math.max(...contexts) / 16);
      backend.beginStep({
        numRows: 1,
        numSequences: 1,
        tokenIds: Uint32Array.of(1),
        slots: Uint32Array.of(length - 1),
        rope: new Float32Array(shape.headDim),
        firstRows: Uint32Array.of(0),
        rowCounts: Uint32Array.of(1),
        lengths: Uint32Array.of(length),
        pageTables: Uint32Array.from({ length: maxPages }, (_, i) => i ^ 1),
        maxPagesPerSequence: maxPages,
      });
    };
    begin(16);
    const layer = (i: number) => weights.layers[i % shape.numLayers] as (typeof weights.layers)[number];
    const { hiddenSize: hidden, intermediateSize: wide, numQueryHeads: heads, numKvHeads, headDim } = shape;
    const kv = numKvHeads * headDim;
    rows.push(
      await time(backend, "qkv and heads", (heads * headDim + 2 * kv) * hidden * size, (i) =>
        backend.attentionInput(i % shape.numLayers, layer(i).attentionInput, x, query),
      ),
      await time(backend, "attention output", hidden * heads * headDim * size, (i) =>
        backend.attentionOutput(layer(i).attentionOutput, output, x),
      ),
      await time(backend, "feed forward", 3 * hidden * wide * size, (i) =>
        backend.feedForward(layer(i).feedForward, x),
      ),
      await time(backend, "logits", hidden * shape.vocabSize * size, () =>
        backend.logits(weights.norm, weights.output, x, Uint32Array.of(0), 1, logits),
      ),
    );
    const range = { first: 0, count: 1 };
    const budget = 2048;
    const ends = { sinks: 4, recent: 508 };
    const set: UnitSet = {
      units: backend.createTensor("u32", [1, 1, budget]),
      groups: 1,
      count: budget - 512,
      unit: 1,
    };
    const selection: TokenSelection = {
      indices: backend.createTensor("u32", [1, 1, budget]),
      counts: backend.createTensor("u32", [1]),
      groups: 1,
    };
    const capacity = Math.max(...contexts);
    const scores: Scores = { values: backend.createTensor("f32", [1, heads, capacity]), heads, unit: 1 };
    backend.write(
      scores.values,
      Float32Array.from({ length: heads * capacity }, (_, i) => gauss(i % capacity) + 0.5 * gauss(i + 7e6)),
    );
    backend.write(
      query,
      Float32Array.from({ length: heads * headDim }, (_, i) => gauss(i + 99)),
    );
    for (const context of [budget, ...contexts]) {
      begin(context);
      const rowBytes = 2 * kv * cacheSize;
      rows.push(
        await time(backend, `dense attention at ${context}`, context * rowBytes, (i) =>
          backend.attendAll(i % shape.numLayers, range, query, output),
        ),
      );
      if (context <= budget) continue;
      rows.push(
        await time(backend, `selection at ${context}`, 0, () => {
          backend.mergeByRank(range, scores, ends, set);
          backend.withEnds(range, set, ends, selection);
        }),
        await time(backend, `sparse attention, ${budget} of ${context}`, budget * rowBytes, (i) =>
          backend.attendSelected(i % shape.numLayers, range, query, selection, output),
        ),
      );
    }
  } finally {
    await backend.close();
  }
  return rows;
}

function gauss(i: number): number {
  const hash = (n: number) => {
    let h = Math.imul(n + 1, 0x9e3779b9);
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
  };
  return Math.sqrt(-2 * Math.log(1 - hash(2 * i))) * Math.cos(2 * Math.PI * hash(2 * i + 1));
}
