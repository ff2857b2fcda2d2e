/** Shared state of the kernel groups: a model, its tensors, the start of a step. */
import type { TensorRef } from "../../src/node/internal.ts";
import type { DeviceModel } from "./device-model.ts";
import { pagesInOrder } from "./device-stepper.ts";
import type { KernelCase } from "./kernel-case.ts";

export class KernelBench {
  readonly model: DeviceModel;
  readonly plan: KernelCase;
  /** GB/s of the plain read in the same run. */
  readonly readBandwidth: number;
  /** f32 [rows of the largest batch, hiddenSize] */
  readonly x: TensorRef;
  /** f32 [rows of the largest batch, numQueryHeads * headDim] */
  readonly query: TensorRef;
  readonly output: TensorRef;
  readonly #pageTables: Uint32Array;

  constructor(model: DeviceModel, plan: KernelCase, readBandwidth: number) {
    const { hiddenSize, numQueryHeads, headDim } = model.backend.model;
    const { maxBatchRows, maxPages } = model.backend.capacity;
    this.model = model;
    this.plan = plan;
    this.readBandwidth = readBandwidth;
    this.x = this.tensor([maxBatchRows, hiddenSize], gauss);
    this.query = this.tensor([maxBatchRows, numQueryHeads * headDim], gauss);
    this.output = this.tensor([maxBatchRows, numQueryHeads * headDim], gauss);
    this.#pageTables = Uint32Array.from(pagesInOrder(maxPages));
  }

  /** Calls take layers in turn. */
  layer(call: number): number {
    return call % this.model.config.numLayers;
  }

  /** An f32 tensor filled by a function of the index. */
  tensor(shape: readonly number[], value: (i: number) => number): TensorRef {
    const { backend } = this.model;
    const made = backend.createTensor("f32", shape);
    const length = shape.reduce((a, b) => a * b, 1);
    backend.write(
      made,
      Float32Array.from({ length }, (_, i) => value(i)),
    );
    return made;
  }

  /** Starts a step of one sequence: `rows` rows, `length` tokens cached with them. */
  begin(length: number, rows: number): void {
    const { backend } = this.model;
    const { headDim } = backend.model;
    const { pageSize } = backend.capacity;
    const slot = (position: number) =>
      this.#pageTables[Math.floor(position / pageSize)] * pageSize + (position % pageSize);
    backend.beginStep({
      numRows: rows,
      numSequences: 1,
      tokenIds: new Uint32Array(rows),
      slots: Uint32Array.from({ length: rows }, (_, row) => slot(length - rows + row)),
      rope: new Float32Array(rows * headDim).fill(Math.SQRT1_2),
      firstRows: new Uint32Array(1),
      rowCounts: Uint32Array.of(rows),
      lengths: Uint32Array.of(length),
      validBounds: Uint32Array.of(length - rows),
      pageTables: this.#pageTables,
      maxPagesPerSequence: this.#pageTables.length,
    });
  }
}

/** A normally distributed number, a function of `i`. */
export function gauss(i: number): number {
  return Math.sqrt(-2 * Math.log(1 - hash(2 * i))) * Math.cos(2 * Math.PI * hash(2 * i + 1));
}

function hash(n: number): number {
  let h = Math.imul(n + 1, 0x9e3779b9);
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}
