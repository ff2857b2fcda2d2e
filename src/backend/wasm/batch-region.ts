import { ShapeError } from "../../base/errors.ts";
import type { Capacity, ModelShape, StepBatch } from "../backend.ts";
import type { SampledTokens } from "../sampled-tokens.ts";
import type { Arena } from "./arena.ts";
import type { Word } from "./memory-map.ts";

/** Where a step's ids, slots, RoPE rows, lengths and page tables stand for the kernels. Nothing is allocated in a step. */
export class BatchRegion {
  readonly #arena: Arena;
  readonly #model: ModelShape;
  readonly #capacity: Capacity;

  constructor(arena: Arena, model: ModelShape, capacity: Capacity) {
    this.#arena = arena;
    this.#model = model;
    this.#capacity = capacity;
  }

  /** @throws ShapeError when the batch is larger than the backend was opened for, or an id stands for no drawn token. */
  upload(batch: StepBatch, drawn: SampledTokens): void {
    const { headDim } = this.#model;
    const { maxBatchRows, maxBatchSequences, pageSize } = this.#capacity;
    const { numRows, numSequences } = batch;
    if (numRows > maxBatchRows || numSequences > maxBatchSequences)
      throw new ShapeError(
        `a batch of ${numRows} rows and ${numSequences} sequences; the backend was opened for ${maxBatchRows} and ${maxBatchSequences}`,
      );
    const stride = this.#arena.word("maxPagesPerSequence");
    const tables = this.#arena.word("pageTables") / 4;
    for (let s = 0; s < numSequences; s++) {
      const pages = Math.ceil(batch.lengths[s] / pageSize);
      if (pages > stride || pages > batch.maxPagesPerSequence)
        throw new ShapeError(
          `a sequence of ${batch.lengths[s]} tokens; the backend was opened for ${this.#capacity.maxSequenceLength}`,
        );
      const from = s * batch.maxPagesPerSequence;
      const to = tables + s * stride;
      for (let i = 0; i < pages; i++) this.#arena.integers[to + i] = batch.pageTables[from + i];
    }
    this.#arena.setWord("numRows", numRows);
    this.#arena.setWord("numSequences", numSequences);
    this.copy("tokenIds", batch.tokenIds, numRows);
    drawn.resolve(this.#arena.integers.subarray(this.#arena.word("tokenIds") / 4), numRows);
    this.copy("slots", batch.slots, numRows);
    this.copy("firstRows", batch.firstRows, numSequences);
    this.copy("rowCounts", batch.rowCounts, numSequences);
    this.copy("lengths", batch.lengths, numSequences);
    const rope = this.#arena.word("rope") / 4;
    for (let i = 0; i < numRows * headDim; i++) this.#arena.floats[rope + i] = batch.rope[i];
  }

  /** Copies the first `count` integers into the region of a word. */
  copy(word: Word, from: Uint32Array, count: number): void {
    const to = this.#arena.word(word) / 4;
    for (let i = 0; i < count; i++) this.#arena.integers[to + i] = from[i];
  }

  /** Cached length of a sequence of the batch. */
  length(s: number): number {
    return this.#arena.integers[this.#arena.word("lengths") / 4 + s];
  }
}
