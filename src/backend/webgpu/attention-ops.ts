import type { TensorRef } from "../../base/tensor-ref.ts";
import type { Scores, SequenceRange, TokenSelection } from "../backend.ts";
import type { BatchSizes, GpuContext } from "./context.ts";
import { DecodeAttention, type Pass } from "./decode-attention.ts";
import type { KvCache } from "./kv-cache.ts";
import { PrefillAttention } from "./prefill-attention.ts";
import { WebGpuTensor } from "./refs.ts";

/** Rows of a chunk that are attended one by one, split over the tokens; more go by tiles. */
const MAX_SPLIT_ROWS = 8;

/** Attention over cached keys and values: rows of a batch go to the kernels that suit them. */
export class AttentionOps {
  readonly #context: GpuContext;
  readonly decode: DecodeAttention;
  readonly #prefill: PrefillAttention;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.decode = new DecodeAttention(context, cache);
    this.#prefill = new PrefillAttention(context, cache);
  }

  attendAll(
    batch: BatchSizes,
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    output: TensorRef,
    scores?: Scores,
  ): void {
    this.#attend(batch, layer, range, query, output, { scores, part: "dense attention" });
  }

  attendSelected(
    batch: BatchSizes,
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    this.#attend(batch, layer, range, query, output, { selection, part: "sparse attention" });
  }

  scores(batch: BatchSizes, layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#attend(batch, layer, range, query, undefined, { scores: out, onlyScores: true, part: "selection" });
  }

  /** Runs of decode rows, split over their tokens, and chunks of prefill, by tiles. */
  #attend(
    batch: BatchSizes,
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    output: TensorRef | undefined,
    pass: Pass,
  ): void {
    const end = range.first + range.count;
    let first = range.first;
    while (first < end) {
      const rows = batch.rowCounts[first];
      const isDecode = rows === 1;
      let next = first + 1;
      if (isDecode) while (next < end && batch.rowCounts[next] === 1) next++;
      if (rows > MAX_SPLIT_ROWS && output) {
        const firstRow = batch.firstRows[first];
        const key = `tiles ${layer},${firstRow},${rows},${first},${WebGpuTensor.of(query).id},${WebGpuTensor.of(output).id}`;
        const sequence = first;
        this.#context.recorder.plan(key, () =>
          this.#prefill.attend(layer, firstRow, rows, sequence, query, output, pass.part),
        );
      } else {
        let longest = 0;
        for (let s = first; s < next; s++) longest = Math.max(longest, batch.lengths[s]);
        const run = {
          firstRow: batch.firstRows[first],
          numRows: isDecode ? next - first : rows,
          sequence: first,
          sequenceStep: isDecode ? 1 : 0,
          longest,
        } as const;
        this.decode.attend(layer, run, range.first, query, output, pass);
      }
      first = next;
    }
  }
}
