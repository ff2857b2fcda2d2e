import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights, Scores, SequenceRange, TokenSelection } from "../backend.ts";
import {
  type BatchSizes,
  cacheRowPieces,
  type GpuContext,
  paddedHeadDim,
  reducePrelude,
  stepConstants,
} from "./context.ts";
import { fillRandom } from "./fill-random.ts";
import type { Part } from "./recorder.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";

/** Partial sums of prefill rows that are kept at once. */
const MAX_PARTIAL_BYTES = 64 << 20;
/** Workgroups that keep a large device busy. */
const WANTED_GROUPS = 1024;
const LEAST_SHARE = 64;
const MAX_GROUPS = 65535;

export interface LayerCache {
  readonly keys: NumberedBuffer;
  readonly values: NumberedBuffer;
}

/** What a pass over keys is for. */
interface Pass {
  readonly selection?: TokenSelection | undefined;
  readonly scores?: Scores | undefined;
  readonly onlyScores?: boolean;
  readonly part: Part;
}

/** Keys and values into pages, and attention over them. */
export class AttentionSteps {
  readonly caches: readonly LayerCache[];
  readonly #context: GpuContext;
  readonly #maxChunk: number;
  #partials: NumberedBuffer | undefined;

  constructor(context: GpuContext) {
    const { shape, buffers, cacheDtype, traits } = context;
    this.#context = context;
    const bytes = shape.numPages * shape.pageSize * shape.numKvHeads * cacheRowPieces(shape, cacheDtype) * 16;
    this.caches = Array.from({ length: shape.numLayers }, (_, layer) => ({
      keys: buffers.storage(`keys of layer ${layer}`, bytes),
      values: buffers.storage(`values of layer ${layer}`, bytes),
    }));
    // scores of a share are kept in workgroup memory, a vec4 for every four heads
    this.#maxChunk = traits.workgroupBytes >= 32768 ? 512 : this.#headsOfGroup() > 4 ? 128 : 256;
  }

  get sizeBytes(): number {
    return this.caches.reduce((sum, { keys, values }) => sum + keys.buffer.size + values.buffer.size, 0);
  }

  /** Norm, RoPE and store of projected rows [rows, (query + 2 kv heads) * headDim]. */
  finishHeads(
    layer: number,
    weights: AttentionInputWeights,
    projected: NumberedBuffer,
    query: TensorRef,
    numRows: number,
  ): void {
    const { recorder, shape, cacheDtype, traits, step, weights: store } = this.#context;
    const threads = Math.max(64, traits.maxSubgroupSize);
    const kernel = recorder.kernel(["storage", "step", reducePrelude(traits), "finish-heads"], {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
      THREADS: threads,
      LANES: threads,
      HEAD_DIM: shape.headDim,
      QUERY_HEADS: shape.numQueryHeads,
      EPS: shape.rmsNormEps,
    });
    const norm = (ref: WeightRef | undefined) => (ref ? WebGpuWeight.of(ref).vector + 1 : 0);
    const cache = this.#cache(layer);
    recorder.dispatch(
      "rest",
      kernel,
      [norm(weights.qNorm), norm(weights.kNorm)],
      [step.storage, store.vectors, projected, WebGpuTensor.of(query), cache.keys, cache.values],
      shape.numQueryHeads + 2 * shape.numKvHeads,
      numRows,
    );
  }

  fillRandom(seed: number): void {
    const { recorder, cacheDtype } = this.#context;
    this.caches.forEach(({ keys, values }, layer) => {
      fillRandom(recorder, keys, cacheDtype, seed + 2 * layer, -1);
      fillRandom(recorder, values, cacheDtype, seed + 2 * layer + 1, -1);
    });
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

  /** Runs of rows that see about as much; each row is split alike. */
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
      const isDecode = batch.rowCounts[first] === 1;
      let next = first + 1;
      if (isDecode) while (next < end && batch.rowCounts[next] === 1) next++;
      let longest = 0;
      for (let s = first; s < next; s++) longest = Math.max(longest, batch.lengths[s]);
      const rows = isDecode ? next - first : batch.rowCounts[first];
      this.#attendRows(
        layer,
        batch.firstRows[first],
        rows,
        longest,
        isDecode,
        range.first,
        query,
        output,
        pass,
      );
      first = next;
    }
  }

  #attendRows(
    layer: number,
    firstRow: number,
    numRows: number,
    longest: number,
    isDecode: boolean,
    firstSequence: number,
    query: TensorRef,
    output: TensorRef | undefined,
    pass: Pass,
  ): void {
    const { recorder, shape, step, cacheDtype, traits } = this.#context;
    const { selection, scores, onlyScores = false } = pass;
    const heads = selection && selection.groups > shape.numKvHeads ? 1 : this.#headsOfGroup();
    const blocks = shape.numQueryHeads / heads;
    const most = selection ? Math.min(longest, WebGpuTensor.of(selection.indices).capacity) : longest;
    const padding = paddedHeadDim(shape, cacheDtype);
    // decode rows are cut fine enough to keep the device busy; prefill rows are many
    const shares = isDecode ? Math.max(1, Math.floor(WANTED_GROUPS / blocks)) : 1;
    const share = Math.min(this.#maxChunk, Math.max(LEAST_SHARE, Math.ceil(most / shares)));
    const splits = Math.ceil(most / share);
    const rowBytes = shape.numQueryHeads * splits * (padding + 2) * 4;
    const rowsAtOnce = Math.max(1, Math.min(numRows, MAX_GROUPS, Math.floor(MAX_PARTIAL_BYTES / rowBytes)));
    const partials = this.#reservePartials(rowsAtOnce * rowBytes);
    const isWide = traits.minSubgroupSize >= 8;
    const kernel = recorder.kernel(
      ["storage", "step", reducePrelude(traits), isWide ? "lanes-eight" : "lanes-one", "attend"],
      {
        ...stepConstants(this.#context),
        DTYPE: DTYPE_CODES[cacheDtype],
        THREADS: 256,
        LANES: 256,
        HEADS: heads,
        QUERY_HEADS: shape.numQueryHeads,
        HEAD_DIM: shape.headDim,
        SCALE: shape.headDim ** -0.5,
        CHUNK: this.#maxChunk,
        LEAST_SHARE,
        SELECTED: selection !== undefined,
        HAND_ON: scores !== undefined,
        ONLY_SCORES: onlyScores,
        ROW_LANES: isWide ? 8 : 1,
      },
    );
    const cache = this.#cache(layer);
    const { weights } = this.#context;
    const none = weights.vectors; // stands where the kernel reads nothing
    const scoreTensor = scores ? WebGpuTensor.of(scores.values) : this.#nothing();
    for (let row = 0; row < numRows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, numRows - row);
      recorder.dispatch(
        pass.part,
        kernel,
        [
          firstRow + row,
          firstSequence,
          selection?.groups ?? 1,
          selection ? WebGpuTensor.of(selection.indices).capacity : 0,
          scores ? WebGpuTensor.of(scores.values).capacity : 0,
          splits,
          shares,
        ],
        [
          step.storage,
          WebGpuTensor.of(query),
          cache.keys,
          cache.values,
          selection ? WebGpuTensor.of(selection.indices) : none,
          selection ? WebGpuTensor.of(selection.counts) : none,
          partials,
          scoreTensor,
        ],
        splits,
        blocks,
        count,
      );
      if (!output || onlyScores) continue;
      const merge = recorder.kernel(["merge"], {
        QUERY_HEADS: shape.numQueryHeads,
        HEAD_DIM: shape.headDim,
        PADDED: padding,
      });
      recorder.dispatch(
        pass.part,
        merge,
        [firstRow + row, splits],
        [partials, WebGpuTensor.of(output)],
        shape.numQueryHeads,
        count,
      );
    }
  }

  /** Query heads that one workgroup serves: all of a kv head, or the largest even share of them up to eight. */
  #headsOfGroup(): number {
    const { numQueryHeads, numKvHeads } = this.#context.shape;
    const group = numQueryHeads / numKvHeads;
    for (let heads = Math.min(8, group); heads > 1; heads--) if (group % heads === 0) return heads;
    return 1;
  }

  #cache(layer: number): LayerCache {
    return this.caches[layer] as LayerCache;
  }

  #reservePartials(bytes: number): NumberedBuffer {
    const { buffers, recorder } = this.#context;
    if (!this.#partials || this.#partials.buffer.size < bytes) {
      if (this.#partials) {
        recorder.submit();
        buffers.destroy(this.#partials);
      }
      this.#partials = buffers.storage("partial sums of attention", 2 ** Math.ceil(Math.log2(bytes)));
    }
    return this.#partials;
  }

  #empty: NumberedBuffer | undefined;

  /** A small buffer where a kernel writes nothing. */
  #nothing(): NumberedBuffer {
    this.#empty ??= this.#context.buffers.storage("nothing", 16);
    return this.#empty;
  }
}
