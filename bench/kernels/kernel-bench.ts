import { type StepBatch, type TensorRef, type WasmBackend, WasmWeight } from "../../src/node/internal.ts";
import { median } from "../statistics.ts";
import type { KernelFigure } from "./figure.ts";

/** Sizes of the benchmarked backend's shape. */
export const LENGTH = 32768;
export const HEADS = 8;
export const KV_HEADS = 2;
export const HEAD_DIM = 64;
export const PAGE_SIZE = 16;
export const MAX_ROWS = 256;

/** Milliseconds of one sample: long beside the clock's resolution, and short, so that a busy neighbour spoils few samples. */
const SAMPLE_MS = 4;

/** One timed case. Cases that are compared alternate sample by sample. */
export interface Case {
  readonly name: string;
  readonly unit: string;
  /** Runs untimed before every sample. */
  readonly prepare?: () => void;
  readonly run: () => void;
  /** Converts milliseconds a call to the figure. */
  readonly value: (ms: number) => number;
  /** A bound of any kernel on so many threads, in the same unit. */
  readonly floor?: (threads: number) => number;
}

/** Shared state of the kernel benchmarks: a backend, figures, reproducible numbers. */
export class KernelBench {
  readonly backend: WasmBackend;
  readonly threads: number;
  readonly figures: KernelFigure[] = [];
  #random = 1;

  constructor(backend: WasmBackend) {
    this.backend = backend;
    this.threads = backend.report().threads;
  }

  /** Numbers of threads to compare: one and all. */
  get threadCounts(): readonly number[] {
    return this.threads > 1 ? [1, this.threads] : [1];
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

  /** Samples every case on every number of threads in turn, `rounds` times, and records the medians. */
  alternate(rounds: number, cases: readonly Case[], threadCounts = this.threadCounts): void {
    const runs = cases.flatMap((one) =>
      threadCounts.map((threads) => ({ one, threads, ms: [] as number[] })),
    );
    for (let round = -1; round < rounds; round++)
      for (const { one, threads, ms } of runs) {
        this.backend.arena.setWord("workers", threads - 1);
        one.prepare?.();
        one.run(); // wakes the workers
        const sample = timeOf(one.run);
        if (round >= 0) ms.push(sample);
      }
    for (const { one, threads, ms } of runs) {
      const { name, unit, value, floor } = one;
      const limit = floor && { floor: floor(threads) };
      this.figures.push({ name, threads, value: value(median(ms)), unit, ...limit });
    }
  }

  /** Returns a figure that was recorded. */
  figure(name: string, threads: number): number {
    const found = this.figures.find((one) => one.name === name && one.threads === threads);
    if (!found) throw new RangeError(`no figure ${name} on ${threads} threads`);
    return found.value;
  }

  /** Records the ratio of two figures of one run, with its target. */
  ratio(name: string, threads: number, value: number, target?: string): void {
    this.figures.push({ name, threads, value, unit: "times", ...(target && { target }) });
  }

  /** A weight with distinct values of a magnitude that models have. */
  weight(dtype: "f32" | "bf16" | "f16", rows: number, cols: number): WasmWeight {
    const made = WasmWeight.of(
      this.backend.createWeight({ kind: "matrix", name: "w", format: dtype, rows, cols }),
    );
    const words = (rows * cols) / (dtype === "f32" ? 1 : 2);
    const start = made.address / 4;
    const { integers } = this.backend.arena;
    const keep = dtype === "f32" ? 0x807fffff : 0x807f807f;
    const exponent = dtype === "f32" ? 0x3c000000 : 0x3c003c00;
    let state = made.address | 1;
    for (let i = 0; i < words; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) | 0;
      integers[start + i] = (state & keep) | exponent;
    }
    return made;
  }

  vector(size: number): TensorRef {
    const tensor = this.backend.createTensor("f32", [size]);
    this.backend.write(
      tensor,
      Float32Array.from({ length: size }, () => this.gauss()),
    );
    return tensor;
  }

  /** Starts a step of one sequence: `rows` rows, `length` tokens cached with them. */
  begin(length: number, rows: number): void {
    const maxPagesPerSequence = LENGTH / PAGE_SIZE;
    // A fixed permutation: pages of a sequence are not contiguous.
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
      validBounds: Uint32Array.of(length - rows),
      pageTables,
      maxPagesPerSequence,
    };
    this.backend.beginStep(batch);
  }
}

/** Milliseconds a call. */
function timeOf(run: () => void): number {
  const started = performance.now();
  let calls = 0;
  let elapsed = 0;
  while (elapsed < SAMPLE_MS) {
    run();
    calls++;
    elapsed = performance.now() - started;
  }
  return elapsed / calls;
}

export function addressOf(tensor: TensorRef): number {
  if (!("address" in tensor) || typeof tensor.address !== "number") throw new TypeError("not a wasm tensor");
  return tensor.address;
}
