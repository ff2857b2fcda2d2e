import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights, Scores, SequenceRange, TokenSelection } from "../backend.ts";
import {
  type BatchSizes,
  cacheRowPieces,
  type GpuContext,
  paddedHeadDim,
  reducePrelude,
  stepConstants,
  subgroupConstants,
} from "./context.ts";
import { fillRandom } from "./fill-random.ts";
import type { Kernel, Part } from "./recorder.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import { headsOfWorkgroup } from "./tuning.ts";

/** Partial sums of rows that are kept at once. */
const MAX_PARTIAL_BYTES = 64 << 20;
const MAX_GROUPS = 65535;
/** Rows of a chunk that are attended one by one, split over the tokens; more go by tiles. */
const MAX_SPLIT_ROWS = 8;
/** Of merge.wgsl. */
const MAX_SPLITS = 1024;
/** Most vec4s of query and sums that an invocation keeps in registers: 192 of the 255 that GPUs have. */
const MAX_KEPT = 48;
/** attend-shared.wgsl: fewest tokens of a workgroup. */
const LEAST_SHARE = 64;

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

/** Consecutive rows of a batch that are attended alike. */
interface RowRun {
  readonly firstRow: number;
  readonly numRows: number;
  /** Most tokens that one of them sees. */
  readonly longest: number;
}

/** How rows are split over workgroups. */
interface Split {
  /** Query heads of a workgroup. */
  readonly heads: number;
  /** Workgroups wanted for the tokens of a row, and most that a row here has. */
  readonly shares: number;
  readonly splits: number;
  readonly threads: number;
  /** Invocations of a team of attend.wgsl, tokens it has in flight, fewest turns; 0 lanes: attend-shared.wgsl. */
  readonly lanes: number;
  readonly tokens: number;
  readonly leastTurns: number;
  /** Most tokens of a workgroup of attend-shared.wgsl. */
  readonly chunk: number;
}

/** Keys and values into pages, and attention over them. */
export class AttentionSteps {
  readonly caches: readonly LayerCache[];
  readonly #context: GpuContext;
  #partials: NumberedBuffer | undefined;

  constructor(context: GpuContext) {
    const { shape, buffers, cacheDtype } = context;
    this.#context = context;
    const bytes = shape.numPages * shape.pageSize * shape.numKvHeads * cacheRowPieces(shape, cacheDtype) * 16;
    this.caches = Array.from({ length: shape.numLayers }, (_, layer) => ({
      keys: buffers.storage(`keys of layer ${layer}`, bytes),
      values: buffers.storage(`values of layer ${layer}`, bytes),
    }));
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
    const kernel = recorder.kernel(["storage", "step", reducePrelude(traits, threads), "finish-heads"], {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
      ...subgroupConstants(traits),
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
        const key = `tiles ${layer},${firstRow},${rows},${first},${idOf(query)},${idOf(output)}`;
        const sequence = first;
        this.#context.recorder.plan(key, () =>
          this.#attendTiles(layer, firstRow, rows, sequence, query, output, pass.part),
        );
      } else {
        let longest = 0;
        for (let s = first; s < next; s++) longest = Math.max(longest, batch.lengths[s]);
        const run = { firstRow: batch.firstRows[first], numRows: isDecode ? next - first : rows, longest };
        this.#attendRows(layer, run, range.first, query, output, pass);
      }
      first = next;
    }
  }

  #attendTiles(
    layer: number,
    firstRow: number,
    rows: number,
    sequence: number,
    query: TensorRef,
    output: TensorRef,
    part: Part,
  ): void {
    const { recorder, shape, step, cacheDtype, traits } = this.#context;
    const cache = this.#cache(layer);
    const constants = {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
      QUERY_HEADS: shape.numQueryHeads,
      HEAD_DIM: shape.headDim,
      SCALE: shape.headDim ** -0.5,
    };
    if (traits.hasMatrixUnits && cacheDtype === "f16" && shape.headDim % 16 === 0) {
      const heads = headsOfWorkgroup(shape);
      const rowBlocks = Math.floor(8 / heads);
      const kernel = recorder.kernel(["storage", "matrix", "step", "attend-matrix"], {
        ...constants,
        HEADS: heads,
        ROW_BLOCKS: rowBlocks,
        // keys, values, scores and weights within 48 KiB
        BLOCK: shape.headDim > 128 ? 16 : 32,
      });
      recorder.dispatch(
        part,
        kernel,
        [firstRow, rows, sequence],
        [step.storage, WebGpuTensor.of(query), cache.keys, cache.values, WebGpuTensor.of(output)],
        Math.ceil(rows / (16 * rowBlocks)),
        shape.numQueryHeads / heads,
      );
      return;
    }
    const padding = paddedHeadDim(shape, cacheDtype);
    const kernel = recorder.kernel(["storage", "step", "attend-tiles"], {
      ...constants,
      // 4 KiB of values at a time, within the 16 KiB of any device
      VALUE_KEYS: padding > 256 ? 2 : padding > 128 ? 4 : 8,
    });
    recorder.dispatch(
      part,
      kernel,
      [firstRow, rows, sequence],
      [step.storage, WebGpuTensor.of(query), cache.keys, cache.values, WebGpuTensor.of(output)],
      Math.ceil(rows / 32),
      shape.numQueryHeads,
    );
  }

  #attendRows(
    layer: number,
    run: RowRun,
    firstSequence: number,
    query: TensorRef,
    output: TensorRef | undefined,
    pass: Pass,
  ): void {
    const { selection, scores } = pass;
    const split = this.#split(run.longest, pass);
    const key =
      `rows ${layer},${run.firstRow},${run.numRows},${firstSequence},${split.splits},${split.shares},` +
      `${idOf(query)},${idOf(output)},${idOf(scores?.values)},${pass.onlyScores},` +
      `${selection?.groups},${idOf(selection?.indices)},${idOf(selection?.counts)}`;
    this.#context.recorder.plan(key, () =>
      this.#recordRows(layer, run, split, firstSequence, query, output, pass),
    );
  }

  #recordRows(
    layer: number,
    { firstRow, numRows }: RowRun,
    split: Split,
    firstSequence: number,
    query: TensorRef,
    output: TensorRef | undefined,
    pass: Pass,
  ): void {
    const { recorder, shape, step, weights } = this.#context;
    const { selection, scores, onlyScores = false } = pass;
    const { heads, shares, splits } = split;
    const kernel = this.#splitKernel(split, pass);
    const rowBytes = shape.numQueryHeads * splits * (paddedHeadDim(shape, this.#context.cacheDtype) + 4) * 4;
    const rowsAtOnce = Math.max(1, Math.min(numRows, MAX_GROUPS, Math.floor(MAX_PARTIAL_BYTES / rowBytes)));
    const partials = onlyScores ? this.#nothing() : this.#reservePartials(rowsAtOnce * rowBytes);
    const cache = this.#cache(layer);
    const none = weights.vectors; // stands where the kernel reads nothing
    const selected = selection && WebGpuTensor.of(selection.indices);
    const scoreTensor = scores ? WebGpuTensor.of(scores.values) : undefined;
    for (let row = 0; row < numRows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, numRows - row);
      recorder.dispatch(
        pass.part,
        kernel,
        [
          firstRow + row,
          firstSequence,
          selection?.groups ?? 1,
          selected?.capacity ?? 0,
          scoreTensor?.capacity ?? 0,
          splits,
          shares,
        ],
        [
          step.storage,
          WebGpuTensor.of(query),
          cache.keys,
          cache.values,
          selected ?? none,
          selection ? WebGpuTensor.of(selection.counts) : none,
          partials,
          scoreTensor ?? this.#nothing(),
        ],
        splits,
        shape.numQueryHeads / heads,
        count,
      );
      if (output && !onlyScores)
        this.#merge(firstRow + row, count, splits, partials, WebGpuTensor.of(output), pass.part);
    }
  }

  #merge(
    firstRow: number,
    rows: number,
    splits: number,
    partials: NumberedBuffer,
    output: NumberedBuffer,
    part: Part,
  ): void {
    const { recorder, shape, traits, cacheDtype, tuning } = this.#context;
    const threads = tuning.mergeThreads;
    const merge = recorder.kernel([reducePrelude(traits, threads), "merge"], {
      ...subgroupConstants(traits),
      THREADS: threads,
      LANES: threads,
      QUERY_HEADS: shape.numQueryHeads,
      HEAD_DIM: shape.headDim,
      PADDED4: paddedHeadDim(shape, cacheDtype) / 4,
      MAX_SPLITS,
    });
    recorder.dispatch(part, merge, [firstRow, splits], [partials, output], shape.numQueryHeads, rows);
  }

  /** How rows that see `longest` tokens or fewer are split. */
  #split(longest: number, { selection }: Pass): Split {
    const { shape, traits, tuning } = this.#context;
    const heads = selection && selection.groups > shape.numKvHeads ? 1 : headsOfWorkgroup(shape);
    const most = selection ? Math.min(longest, WebGpuTensor.of(selection.indices).capacity) : longest;
    const groups = Math.floor((tuning.attendGroups * heads) / shape.numQueryHeads);
    const shares = Math.max(1, Math.min(MAX_SPLITS, groups));
    const lanes = this.#teamLanes(heads);
    if (lanes > 0) {
      const threads = Math.max(tuning.attendThreads, traits.maxSubgroupSize);
      const tokens = Math.min(tuning.attendTokens, shape.pageSize);
      const turn = (threads / lanes) * tokens;
      const leastTurns = Math.ceil(tuning.attendLeastShare / turn);
      const splits = Math.min(shares, Math.ceil(most / (leastTurns * turn)));
      return { heads, shares, splits, threads, lanes, tokens, leastTurns, chunk: 0 };
    }
    // scores of a share are kept in workgroup memory, a vec4 for every four heads
    const chunk = traits.workgroupBytes >= 32768 ? 512 : heads > 4 ? 128 : 256;
    const splits = Math.max(Math.ceil(most / chunk), Math.min(shares, Math.ceil(most / LEAST_SHARE)));
    const threads = traits.isEmulated ? 64 : 256;
    return { heads, shares, splits, threads, lanes, tokens: 0, leastTurns: 0, chunk };
  }

  #splitKernel(split: Split, { selection, scores, onlyScores = false }: Pass): Kernel {
    const { recorder, shape, cacheDtype, traits } = this.#context;
    const { heads, threads, lanes } = split;
    const constants = {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
      THREADS: threads,
      HEADS: heads,
      QUERY_HEADS: shape.numQueryHeads,
      HEAD_DIM: shape.headDim,
      SCALE: shape.headDim ** -0.5,
      SELECTED: selection !== undefined,
      HAND_ON: scores !== undefined,
      ONLY_SCORES: onlyScores,
    };
    if (lanes === 0)
      return recorder.kernel(["storage", "step", reducePrelude(traits, threads), "attend-shared"], {
        ...constants,
        ...subgroupConstants(traits),
        LANES: threads,
        CHUNK: split.chunk,
        LEAST_SHARE,
      });
    const sumBytes = (threads / lanes) * paddedHeadDim(shape, cacheDtype) * 4; // of a head
    return recorder.kernel(["storage", "step", "attend"], {
      ...constants,
      LANES: lanes,
      TOKENS: split.tokens,
      HEADS_PADDED: 2 ** Math.ceil(Math.log2(heads)),
      LEAST_TURNS: split.leastTurns,
      // 8 KiB, beside the query and the states within the 16 KiB of any device
      SUM_HEADS: Math.max(1, Math.min(heads, Math.floor(8192 / sumBytes))),
    });
  }

  /** Invocations that share a key in attend.wgsl; 0 where the device's subgroups are too small or absent. */
  #teamLanes(heads: number): number {
    const { traits, shape, cacheDtype } = this.#context;
    const pieces = cacheRowPieces(shape, cacheDtype);
    const lanes = Math.min(32, 2 ** Math.ceil(Math.log2(pieces)), traits.minSubgroupSize);
    if (lanes < Math.min(4, pieces)) return 0;
    const kept = 2 * heads * Math.ceil(pieces / lanes) * (cacheDtype === "f32" ? 1 : 2);
    return kept <= MAX_KEPT ? lanes : 0;
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

function idOf(ref: TensorRef | undefined): number | undefined {
  return ref && WebGpuTensor.of(ref).id;
}
