import type { Capacity, ModelShape, StepBatch } from "../backend.ts";
import type { Buffers } from "./buffers.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Where the parts of a step's input stand in its buffer, in words; the constants of step.wgsl. */
export function stepLayout(model: ModelShape, capacity: Capacity) {
  const { maxBatchRows: rows, maxBatchSequences: sequences } = capacity;
  const maxPages = Math.ceil(capacity.maxSequenceLength / capacity.pageSize);
  const tokenIds = 0;
  const slots = tokenIds + rows;
  const rowSequences = slots + rows;
  const rowLengths = rowSequences + rows;
  const firstRows = rowLengths + rows;
  const rowCounts = firstRows + sequences;
  const lengths = rowCounts + sequences;
  const rope = Math.ceil((lengths + sequences) / 4) * 4;
  const pageTables = rope + rows * model.headDim;
  const size = pageTables + sequences * maxPages;
  return {
    tokenIds,
    slots,
    rowSequences,
    rowLengths,
    firstRows,
    rowCounts,
    lengths,
    rope,
    pageTables,
    maxPages,
    size,
  };
}

export type StepLayout = ReturnType<typeof stepLayout>;

/** What a step buffer is made of. */
interface StepBufferOptions {
  readonly device: GPUDevice;
  readonly buffers: Buffers;
  readonly model: ModelShape;
  readonly capacity: Capacity;
}

/** Uploads steps. Page tables change rarely and are sent only where they did. */
export class StepBuffer {
  readonly layout: StepLayout;
  readonly storage: NumberedBuffer;
  readonly #device: GPUDevice;
  readonly #header: Uint32Array<ArrayBuffer>;
  readonly #pageTables: Uint32Array<ArrayBuffer>;
  readonly #pageSize: number;
  readonly #headDim: number;

  constructor({ device, buffers, model, capacity }: StepBufferOptions) {
    this.#device = device;
    this.layout = stepLayout(model, capacity);
    this.storage = buffers.storage("step", this.layout.size * 4);
    this.#header = new Uint32Array(this.layout.rope);
    this.#pageTables = new Uint32Array(capacity.maxBatchSequences * this.layout.maxPages);
    this.#pageSize = capacity.pageSize;
    this.#headDim = model.headDim;
  }

  upload(batch: StepBatch): void {
    const { layout } = this;
    const header = this.#header;
    const { numRows, numSequences } = batch;
    header.set(batch.tokenIds.subarray(0, numRows), layout.tokenIds);
    header.set(batch.slots.subarray(0, numRows), layout.slots);
    for (let s = 0; s < numSequences; s++) {
      const count = batch.rowCounts[s];
      for (let i = 0; i < count; i++) {
        const row = batch.firstRows[s] + i;
        header[layout.rowSequences + row] = s;
        header[layout.rowLengths + row] = batch.lengths[s] - count + i + 1;
      }
      header[layout.firstRows + s] = batch.firstRows[s];
      header[layout.rowCounts + s] = count;
      header[layout.lengths + s] = batch.lengths[s];
      this.#uploadPages(batch, s);
    }
    const { queue } = this.#device;
    const { buffer } = this.storage;
    queue.writeBuffer(buffer, 0, header);
    queue.writeBuffer(
      buffer,
      layout.rope * 4,
      batch.rope as Float32Array<ArrayBuffer>,
      0,
      numRows * this.#headDim,
    );
  }

  #uploadPages(batch: StepBatch, sequence: number): void {
    const pages = Math.ceil(batch.lengths[sequence] / this.#pageSize);
    const from = sequence * batch.maxPagesPerSequence;
    const to = sequence * this.layout.maxPages;
    let first = pages;
    let end = 0;
    for (let i = 0; i < pages; i++) {
      const page = batch.pageTables[from + i];
      if (this.#pageTables[to + i] === page) continue;
      this.#pageTables[to + i] = page;
      if (first === pages) first = i;
      end = i + 1;
    }
    if (first >= end) return;
    const at = (this.layout.pageTables + to + first) * 4;
    this.#device.queue.writeBuffer(this.storage.buffer, at, this.#pageTables, to + first, end - first);
  }
}
