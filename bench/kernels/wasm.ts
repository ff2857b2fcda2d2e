/**
 * Measures the WASM kernels: what they do against a plain read of the same bytes, against each other, and on one thread
 * against all. Ratios are taken within one run, from medians of alternated rounds, because a shared machine's memory
 * speed changes by the second.
 */
import type { StepBatch } from "../../src/backend/backend.ts";
import { openWasmBackend } from "../../src/backend/wasm/open-wasm.ts";
import { WasmWeight } from "../../src/backend/wasm/refs.ts";
import { WasmBackend } from "../../src/backend/wasm/wasm-backend.ts";
import type { TensorRef } from "../../src/base/tensor-ref.ts";
import { createWasmHost } from "../../src/node/wasm-host.ts";
import { median } from "../statistics.ts";
import type { KernelFigure } from "./figure.ts";

const SIZE = 4096;
const MATRICES = 12;
const LENGTH = 32768;
const HEADS = 8;
const KV_HEADS = 2;
const HEAD_DIM = 64;
const PAGE_SIZE = 16;
const ROWS = 256;

class Bench {
  readonly backend: WasmBackend;
  readonly threads: number;
  readonly figures: KernelFigure[] = [];
  #random = 1;

  constructor(backend: WasmBackend) {
    this.backend = backend;
    this.threads = backend.report().threads;
  }

  /** Threads that take part from now on, the caller's included. */
  use(threads: number): void {
    this.backend.arena.setWord("workers", threads - 1);
  }

  unit(): number {
    this.#random ^= this.#random << 13;
    this.#random ^= this.#random >>> 17;
    this.#random ^= this.#random << 5;
    return (this.#random >>> 0) / 2 ** 32;
  }

  gauss(): number {
    return Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
  }

  /**
   * Runs the cases in turn, `rounds` times on each number of threads, and records the median of what each makes of
   * its milliseconds a call.
   */
  alternate(
    rounds: number,
    threadCounts: readonly number[],
    cases: readonly { name: string; unit: string; run: () => void; value: (ms: number) => number }[],
  ): void {
    for (const threads of threadCounts) {
      this.use(threads);
      const times = cases.map(() => [] as number[]);
      for (let round = -1; round < rounds; round++)
        cases.forEach(({ run }, i) => {
          const ms = timeOf(run);
          if (round >= 0) times[i].push(ms);
        });
      cases.forEach(({ name, unit, value }, i) => {
        this.figures.push({ name, threads, value: value(median(times[i])), unit });
      });
    }
  }
}

/** Milliseconds a call, over as many calls as fill about 4 ms. */
function timeOf(run: () => void): number {
  const started = performance.now();
  let calls = 0;
  let elapsed = 0;
  while (elapsed < 4) {
    run();
    calls++;
    elapsed = performance.now() - started;
  }
  return elapsed / calls;
}

/** Measures all kernels on one thread and on all of them. */
export async function benchWasmKernels(threads?: number): Promise<readonly KernelFigure[]> {
  const maxPages = LENGTH / PAGE_SIZE;
  const backend = await openWasmBackend(
    {
      numLayers: 1,
      hiddenSize: SIZE,
      intermediateSize: 1024,
      numQueryHeads: HEADS,
      numKvHeads: KV_HEADS,
      headDim: HEAD_DIM,
      vocabSize: 1024,
      rmsNormEps: 1e-6,
      pageSize: PAGE_SIZE,
      numPages: maxPages,
      maxSequenceLength: LENGTH,
      maxBatchRows: ROWS,
      maxBatchSequences: 1,
    },
    createWasmHost(),
    threads === undefined ? {} : { threads },
  );
  if (!(backend instanceof WasmBackend)) throw new TypeError("the wasm backend is of another class");
  const bench = new Bench(backend);
  try {
    benchMatvec(bench);
    benchCached(bench);
    benchGemm(bench);
    benchAttention(bench);
    benchTopK(bench);
  } finally {
    await backend.close();
  }
  return bench.figures;
}

/** Sizes of thread counts to compare. */
function counts(bench: Bench): readonly number[] {
  return bench.threads > 1 ? [1, bench.threads] : [1];
}

function weight(bench: Bench, dtype: "f32" | "bf16", rows: number, cols: number): WasmWeight {
  const { backend } = bench;
  const made = WasmWeight.of(backend.createWeight("w", dtype, rows, cols));
  const words = (rows * cols) / (dtype === "f32" ? 1 : 2);
  const start = made.address / 4;
  const { integers } = backend.arena;
  const keep = dtype === "f32" ? 0x807fffff : 0x807f807f;
  const exponent = dtype === "f32" ? 0x3c000000 : 0x3c003c00;
  let state = made.address | 1;
  for (let i = 0; i < words; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    integers[start + i] = (state & keep) | exponent;
  }
  return made;
}

function vectorOf(bench: Bench, size: number): TensorRef {
  const tensor = bench.backend.createTensor("f32", [size]);
  bench.backend.write(
    tensor,
    Float32Array.from({ length: size }, () => bench.gauss()),
  );
  return tensor;
}

function address(tensor: TensorRef): number {
  if (!("address" in tensor) || typeof tensor.address !== "number") throw new TypeError("not a wasm tensor");
  return tensor.address;
}

function benchMatvec(bench: Bench): void {
  const { kernels } = bench.backend;
  const f32 = Array.from({ length: MATRICES }, () => weight(bench, "f32", SIZE, SIZE));
  const bf16 = Array.from({ length: MATRICES }, () => weight(bench, "bf16", SIZE, SIZE));
  const x = address(vectorOf(bench, SIZE));
  const out = address(vectorOf(bench, SIZE));
  const gigabytes = (bytes: number) => (ms: number) => bytes / ms / 1e6;
  const all = (matrices: readonly WasmWeight[]) => () => {
    for (const { descriptor } of matrices) kernels.matmul(descriptor, x, 1, out);
  };
  const read = () => {
    for (const matrix of f32) kernels.readAll(matrix.address, SIZE * SIZE * 4, out);
  };
  bench.alternate(7, counts(bench), [
    { name: "plain read", unit: "GB/s", run: read, value: gigabytes(MATRICES * SIZE * SIZE * 4) },
    { name: "matvec f32", unit: "GB/s", run: all(f32), value: gigabytes(MATRICES * SIZE * SIZE * 4) },
    { name: "matvec bf16", unit: "GB/s", run: all(bf16), value: gigabytes(MATRICES * SIZE * SIZE * 2) },
  ]);
}

/** Weights that stay in cache: what the fork and join cost. */
function benchCached(bench: Bench): void {
  const { kernels } = bench.backend;
  const x = address(vectorOf(bench, 1024));
  const out = address(vectorOf(bench, 1024));
  const cases = [256, 512, 1024].map((size) => {
    const { descriptor } = weight(bench, "bf16", size, size);
    const run = () => {
      for (let i = 0; i < 16; i++) kernels.matmul(descriptor, x, 1, out);
    };
    return { name: `cached ${size}² bf16`, unit: "µs", run, value: (ms: number) => (ms * 1000) / 16 };
  });
  bench.alternate(21, counts(bench), cases);
}

function benchGemm(bench: Bench): void {
  const { kernels } = bench.backend;
  const x = address(vectorOf(bench, ROWS * 2048));
  const out = address(vectorOf(bench, ROWS * 2048));
  const cases = (["f32", "bf16"] as const).flatMap((dtype) =>
    [
      [640, 256],
      [2048, 768],
      [768, 2048],
    ].map(([rows, cols]) => {
      const { descriptor } = weight(bench, dtype, rows, cols);
      return {
        name: `gemm ${dtype} ${rows}×${cols}, ${ROWS} rows`,
        unit: "GMAC/s",
        run: () => kernels.matmul(descriptor, x, ROWS, out),
        value: (ms: number) => (rows * cols * ROWS) / ms / 1e6,
      };
    }),
  );
  bench.alternate(7, counts(bench), cases);
}

function begin(bench: Bench, length: number, rows: number): void {
  const maxPagesPerSequence = LENGTH / PAGE_SIZE;
  // A fixed permutation: no sequence lies in a row.
  const pageTables = Uint32Array.from(
    { length: maxPagesPerSequence },
    (_, i) => (i * 1021) % maxPagesPerSequence,
  );
  const batch: StepBatch = {
    numRows: rows,
    numSequences: 1,
    tokenIds: new Uint32Array(rows),
    slots: new Uint32Array(rows),
    rope: new Float32Array(rows * HEAD_DIM),
    firstRows: new Uint32Array(1),
    rowCounts: Uint32Array.of(rows),
    lengths: Uint32Array.of(length),
    pageTables,
    maxPagesPerSequence,
  };
  bench.backend.beginStep(batch);
}

function benchAttention(bench: Bench): void {
  const { backend } = bench;
  const start = backend.arena.word("cache") / 4;
  for (let i = 0; i < 2 * LENGTH * KV_HEADS * HEAD_DIM; i++)
    backend.arena.floats[start + i] = bench.unit() - 0.5;
  const range = { first: 0, count: 1 };
  const query = vectorOf(bench, ROWS * HEADS * HEAD_DIM);
  const output = vectorOf(bench, ROWS * HEADS * HEAD_DIM);
  const values = backend.createTensor("f32", [1, HEADS, LENGTH]);
  const indices = backend.createTensor("u32", [1, 1, 1024]);
  const sizes = backend.createTensor("u32", [1]);
  backend.write(
    indices,
    Uint32Array.from({ length: 1024 }, (_, i) => i * 32 + Math.floor(bench.unit() * 32)),
  );
  backend.write(sizes, Uint32Array.of(1024));
  const micros = (ms: number) => ms * 1000;
  for (const length of [2048, 8192, LENGTH]) {
    begin(bench, length, 1);
    const run = () => backend.attendAll(0, range, query, output);
    const per = (name: string, unit: string, value: (ms: number) => number) => ({ name, unit, run, value });
    bench.alternate(9, counts(bench), [per(`dense ${length}`, "µs", micros)]);
    bench.figures.push(
      ...bench.figures
        .filter(({ name }) => name === `dense ${length}`)
        .map((figure) => ({ ...figure, unit: "ns/row", value: (figure.value * 1000) / length })),
    );
  }
  const selection = { indices, counts: sizes, groups: 1 };
  const gather = () => backend.attendSelected(0, range, query, selection, output);
  const handOn = () => backend.attendAll(0, range, query, output, { values, heads: HEADS, unit: 1 });
  bench.alternate(9, counts(bench), [
    { name: "1024 of 32768", unit: "µs", run: gather, value: micros },
    { name: "1024 of 32768", unit: "ns/row", run: gather, value: (ms) => (ms * 1e6) / 1024 },
    { name: "dense 32768 + scores", unit: "µs", run: handOn, value: micros },
  ]);
  begin(bench, 2048, ROWS);
  const macs = (2 * HEADS * HEAD_DIM * ROWS * (2048 - ROWS + 2048)) / 2;
  bench.alternate(7, counts(bench), [
    {
      name: `prefill attention, ${ROWS} rows at 2048`,
      unit: "GMAC/s",
      run: () => backend.attendAll(0, range, query, output),
      value: (ms) => macs / ms / 1e6,
    },
  ]);
}

function benchTopK(bench: Bench): void {
  const { backend } = bench;
  begin(bench, LENGTH, 1);
  const range = { first: 0, count: 1 };
  const units = { units: backend.createTensor("u32", [1, HEADS, 768]), groups: HEADS, count: 768, unit: 1 };
  const merged = { units: backend.createTensor("u32", [1, 1, 768]), groups: 1, count: 768, unit: 1 };
  const base = Float32Array.from({ length: LENGTH }, () => bench.gauss());
  const kinds = {
    gaussian: () => bench.gauss(),
    correlated: (i: number) => base[i] + 0.3 * bench.gauss(),
    spiky: () => (bench.unit() < 0.01 ? 10 + bench.gauss() : -5 + 1e-3 * bench.gauss()),
  };
  for (const [kind, draw] of Object.entries(kinds)) {
    const values = backend.createTensor("f32", [1, HEADS, LENGTH]);
    backend.write(
      values,
      Float32Array.from({ length: HEADS * LENGTH }, (_, i) => draw(i % LENGTH)),
    );
    const scores = { values, heads: HEADS, unit: 1 };
    const ends = { sinks: 4, recent: 252 };
    const perHead = (ms: number) => (ms * 1000) / HEADS;
    bench.alternate(9, counts(bench), [
      {
        name: `topK 768 of 32768, ${kind}`,
        unit: "µs/head",
        run: () => backend.topK(range, scores, ends, units),
        value: perHead,
      },
      {
        name: `mergeByRank, ${kind}`,
        unit: "µs/head",
        run: () => backend.mergeByRank(range, scores, ends, merged),
        value: perHead,
      },
    ]);
  }
}
