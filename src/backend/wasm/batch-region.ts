import { ShapeError } from "../../base/errors.ts";
import type { Backend, Capacity, ModelShape, StepBatch } from "../backend.ts";
import type { SampledTokens } from "../sampled-tokens.ts";
import type { Arena } from "./arena.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Word } from "./memory-map.ts";

/** The step's ids, slots, RoPE rows, lengths and page tables in linear memory. A step allocates nothing. */
export class BatchRegion {
  readonly #arena: Arena;
  readonly #cache: KvCache;
  readonly #model: ModelShape;
  readonly #capacity: Capacity;

  constructor(arena: Arena, cache: KvCache, { model, capacity }: Pick<Backend, "model" | "capacity">) {
    this.#arena = arena;
    this.#cache = cache;
    this.#model = model;
    this.#capacity = capacity;
  }

  /**
   * @throws ShapeError for a batch larger than the backend was opened for, a page that the pool does not hold, or an id of
   * a row that the last sample did not have
   */
  upload(batch: StepBatch, sampled: SampledTokens): void {
    const { headDim, numRopes } = this.#model;
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
      for (let i = 0; i < pages; i++) this.#arena.integers[to + i] = this.#held(batch.pageTables[from + i]);
    }
    for (let row = 0; row < numRows; row++) this.#held(Math.floor(batch.slots[row] / pageSize));
    this.#arena.setWord("numRows", numRows);
    this.#arena.setWord("numSequences", numSequences);
    this.copy("tokenIds", batch.tokenIds, numRows);
    sampled.resolve(this.#arena.integers.subarray(this.#arena.word("tokenIds") / 4), numRows);
    this.copy("slots", batch.slots, numRows);
    this.copy("firstRows", batch.firstRows, numSequences);
    this.copy("rowCounts", batch.rowCounts, numSequences);
    this.copy("lengths", batch.lengths, numSequences);
    this.copy("validBounds", batch.validBounds, numSequences);
    for (let table = 0; table < numRopes; table++) {
      const from = table * batch.tokenIds.length * headDim;
      const to = this.#arena.word("rope") / 4 + table * maxBatchRows * headDim;
      for (let i = 0; i < numRows * headDim; i++) this.#arena.floats[to + i] = batch.rope[from + i];
    }
  }

  /** A page of the pool: kernels would write anywhere for another. */
  #held(page: number): number {
    if (page < this.#cache.numPages) return page;
    throw new ShapeError(
      `a step of page ${page}, but the KV pool holds ${this.#cache.numPages} pages; call resizeCache before the step`,
    );
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
