import type { Capacity, ModelShape, StepBatch } from "../backend.ts";
import type { Buffers } from "./buffers.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Offsets of a step's inputs in its buffer, in words; the constants of step.wgsl. */
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
  const validBounds = lengths + sequences;
  const rope = Math.ceil((validBounds + sequences) / 4) * 4;
  const ropeWords = rows * model.headDim;
  const pageTables = rope + model.numRopes * ropeWords;
  const size = pageTables + sequences * maxPages;
  return {
    tokenIds,
    slots,
    rowSequences,
    rowLengths,
    firstRows,
    rowCounts,
    lengths,
    validBounds,
    rope,
    /** Of one table. */
    ropeWords,
    pageTables,
    maxPages,
    size,
  };
}

export type StepLayout = ReturnType<typeof stepLayout>;

interface StepBufferOptions {
  readonly device: GPUDevice;
  readonly buffers: Buffers;
  readonly model: ModelShape;
  readonly capacity: Capacity;
}

/** Uploads steps. It sends only the page-table entries that changed since the last step. */
export class StepBuffer {
  readonly layout: StepLayout;
  readonly storage: NumberedBuffer;
  readonly #device: GPUDevice;
  readonly #header: Uint32Array<ArrayBuffer>;
  readonly #pageTables: Uint32Array<ArrayBuffer>;
  readonly #pageSize: number;
  readonly #headDim: number;
  readonly #numRopes: number;

  constructor({ device, buffers, model, capacity }: StepBufferOptions) {
    this.#device = device;
    this.layout = stepLayout(model, capacity);
    this.storage = buffers.storage("step", this.layout.size * 4);
    this.#header = new Uint32Array(this.layout.rope);
    this.#pageTables = new Uint32Array(capacity.maxBatchSequences * this.layout.maxPages);
    this.#pageSize = capacity.pageSize;
    this.#headDim = model.headDim;
    this.#numRopes = model.numRopes;
  }

  upload(batch: StepBatch): void {
    const { layout } = this;
    const header = this.#header;
    const { numRows, numSequences } = batch;
    for (let row = 0; row < numRows; row++) {
      header[layout.tokenIds + row] = batch.tokenIds[row];
      header[layout.slots + row] = batch.slots[row];
    }
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
      header[layout.validBounds + s] = batch.validBounds[s];
      this.#uploadPages(batch, s);
    }
    const { queue } = this.#device;
    const { buffer } = this.storage;
    queue.writeBuffer(buffer, 0, header);
    const words = numRows * this.#headDim;
    for (let table = 0; table < this.#numRopes; table++)
      queue.writeBuffer(
        buffer,
        (layout.rope + table * layout.ropeWords) * 4,
        batch.rope as Float32Array<ArrayBuffer>,
        table * batch.tokenIds.length * this.#headDim,
        words,
      );
  }

  /** Sends the pages of a sequence from the first to the last that changed: the new ones, as a rule. */
  #uploadPages(batch: StepBatch, sequence: number): void {
    const count = Math.ceil(batch.lengths[sequence] / this.#pageSize);
    const from = sequence * batch.maxPagesPerSequence;
    const to = sequence * this.layout.maxPages;
    const given = batch.pageTables;
    const sent = this.#pageTables;
    let first = 0;
    while (first < count && sent[to + first] === given[from + first]) first++;
    if (first === count) return;
    let end = count;
    while (sent[to + end - 1] === given[from + end - 1]) end--;
    for (let i = first; i < end; i++) sent[to + i] = given[from + i];
    const at = (this.layout.pageTables + to + first) * 4;
    this.#device.queue.writeBuffer(this.storage.buffer, at, sent, to + first, end - first);
  }
}
