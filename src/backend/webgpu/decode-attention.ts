import { BackendError } from "../../base/errors.ts";
import type { TensorRef } from "../../base/tensor-ref.ts";
import type { Scores, TokenSelection } from "../backend.ts";
import { cacheRowPieces, type GpuContext, paddedHeadDim, stepConstants } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import type { Kernel } from "./kernel-compiler.ts";
import type { KvCache } from "./kv-cache.ts";
import type { ProfileCategory } from "./recorder.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor } from "./refs.ts";
import { headsOfWorkgroup } from "./tuning.ts";

/** Partial sums of rows that are kept at once. */
const MAX_PARTIAL_BYTES = 64 << 20;
const MAX_GROUPS = 65535;
/** Most splits of a row. */
const MAX_SPLITS = 1024;
/** Most vec4s of query and sums that an invocation keeps in registers: 192 of the 255 that GPUs have. */
const MAX_KEPT = 48;
/** attend.wgsl: fewest invocations of a team. */
const LEAST_LANES = 4;
/** attend-shared.wgsl: fewest tokens of a workgroup. */
const LEAST_SHARE = 64;

/** What a pass over keys is for. */
export interface Pass {
  readonly selection?: TokenSelection | undefined;
  readonly scores?: Scores | undefined;
  readonly onlyScores?: boolean;
  readonly part: ProfileCategory;
}

/** Consecutive rows of a batch that are attended alike. */
export interface RowRun {
  readonly firstRow: number;
  readonly numRows: number;
  /** Of the first row, and from row to row. */
  readonly sequence: number;
  readonly sequenceStep: 0 | 1;
  /** Most tokens that one of them sees. */
  readonly longest: number;
}

/** Partial sums that are yet to be brought together into the attention of one row. */
export interface HeldCombine {
  readonly firstRow: number;
  readonly rows: number;
  readonly splits: number;
  readonly partials: NumberedBuffer;
  readonly output: NumberedBuffer;
  readonly part: ProfileCategory;
}

/** How rows are split over workgroups. */
interface Split {
  /** Query heads of a workgroup. */
  readonly heads: number;
  /** Workgroups wanted for the tokens of a row, and most that a row here has. */
  readonly shares: number;
  readonly splits: number;
  readonly threads: number;
  /** By teams that stream, or by workgroups that keep their scores. */
  readonly kind: "teams" | "shared";
  /** Fewest turns of a workgroup, where it makes turns. */
  readonly leastTurns: number;
  /** Of a team: invocations, and tokens it has in flight. */
  readonly lanes: number;
  readonly tokens: number;
  /** Most tokens of a workgroup that keeps their scores. */
  readonly chunk: number;
}

/**
 * Attention of single rows, each split over its tokens: partial sums, and a merge of them. The merge of a row alone is held
 * back, as it may become part of a chain; whatever else is recorded must call `release` first.
 */
export class DecodeAttention {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  #partials: NumberedBuffer | undefined;
  #held: HeldCombine | undefined;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.#cache = cache;
  }

  /** The merge that makes `output`, if it is held back; it is the caller's then. */
  takeCombine(output: NumberedBuffer): HeldCombine | undefined {
    if (this.#held?.output.id !== output.id) return undefined;
    const held = this.#held;
    this.#held = undefined;
    return held;
  }

  /** Records what was held back. */
  release(): void {
    const held = this.#held;
    this.#held = undefined;
    if (held) this.merge(held);
  }

  /** Attention, or only scores, of a run of rows; selections and scores begin with the sequence `firstSequence`. */
  attend(
    layer: number,
    run: RowRun,
    firstSequence: number,
    query: TensorRef,
    output: TensorRef | undefined,
    pass: Pass,
  ): void {
    this.release(); // of another run of the same batch, whose partial sums this one would overwrite
    const { selection, scores } = pass;
    const split = this.#split(run.longest, pass);
    const key =
      `rows ${layer},${run.firstRow},${run.numRows},${run.sequence},${run.sequenceStep},${firstSequence},${split.splits},${split.shares},` +
      `${idOf(query)},${idOf(output)},${idOf(scores?.values)},${pass.onlyScores},` +
      `${selection?.groups},${idOf(selection?.indices)},${idOf(selection?.counts)}`;
    const isHeld = output !== undefined && !pass.onlyScores && run.firstRow === 0 && run.numRows === 1;
    this.#context.recorder.plan(key, () =>
      this.#recordRows(layer, run, split, firstSequence, query, isHeld ? undefined : output, pass),
    );
    if (isHeld)
      this.#held = {
        ...{ firstRow: 0, rows: 1, splits: split.splits, part: pass.part },
        partials: this.#partials as NumberedBuffer,
        output: WebGpuTensor.of(output),
      };
  }

  #recordRows(
    layer: number,
    { firstRow, numRows, sequence, sequenceStep }: RowRun,
    split: Split,
    firstSequence: number,
    query: TensorRef,
    output: TensorRef | undefined,
    pass: Pass,
  ): void {
    const { recorder, model, step } = this.#context;
    const { selection, scores, onlyScores = false } = pass;
    const { heads, shares, splits } = split;
    const kernel = this.#splitKernel(split, pass);
    const rowBytes = model.numQueryHeads * splits * (paddedHeadDim(model, this.#context.cacheDtype) + 4) * 4;
    const rowsAtOnce = Math.max(1, Math.min(numRows, MAX_GROUPS, Math.floor(MAX_PARTIAL_BYTES / rowBytes)));
    const partials = onlyScores ? undefined : this.#reservePartials(rowsAtOnce * rowBytes);
    const cache = this.#cache.layer(layer);
    const selected = selection && WebGpuTensor.of(selection.indices);
    const scoreTensor = scores ? WebGpuTensor.of(scores.values) : undefined;
    for (let row = 0; row < numRows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, numRows - row);
      recorder.dispatch({
        category: pass.part,
        kernel,
        params: {
          first_row: firstRow + row,
          sequence: sequence + row * sequenceStep,
          sequence_step: sequenceStep,
          of_selection: sequence - firstSequence + row * sequenceStep,
          groups: selection?.groups ?? 1,
          capacity: selected?.capacity ?? 0,
          score_capacity: scoreTensor?.capacity ?? 0,
          splits,
          shares,
        },
        bindings: {
          ...{ step: step.storage, query: WebGpuTensor.of(query), keys: cache.keys, values: cache.values },
          indices: selected ?? "unused",
          counts: selection ? WebGpuTensor.of(selection.counts) : "unused",
          partials: partials ?? "unused",
          scores: scoreTensor ?? "unused",
        },
        grid: [splits, model.numQueryHeads / heads, count],
      });
      if (output && partials)
        this.merge({
          ...{ firstRow: firstRow + row, rows: count, splits, partials, part: pass.part },
          output: WebGpuTensor.of(output),
        });
    }
  }

  merge({ firstRow, rows, splits, partials, output, part }: HeldCombine): void {
    const { recorder, model, cacheDtype, tuning } = this.#context;
    const threads = tuning.mergeThreads;
    const merge = recorder.kernel(["combine-core", "combine"], {
      THREADS: threads,
      QUERY_HEADS: model.numQueryHeads,
      HEAD_DIM: model.headDim,
      PADDED4: paddedHeadDim(model, cacheDtype) / 4,
    });
    recorder.dispatch({
      category: part,
      kernel: merge,
      params: { first_row: firstRow, splits },
      bindings: { partials, out: output },
      grid: [model.numQueryHeads, rows],
    });
  }

  /** How rows that see `longest` tokens or fewer are split. */
  #split(longest: number, { selection }: Pass): Split {
    const { model, capacity, traits, tuning } = this.#context;
    const heads = selection && selection.groups > model.numKvHeads ? 1 : headsOfWorkgroup(model);
    const most = selection ? Math.min(longest, WebGpuTensor.of(selection.indices).capacity) : longest;
    const groups = Math.floor((tuning.attendGroups * heads) / model.numQueryHeads);
    const shares = Math.max(1, Math.min(MAX_SPLITS, groups));
    const one = { heads, shares, lanes: 0, tokens: 0, leastTurns: 0, chunk: 0 };
    const threads = Math.max(tuning.attendThreads, traits.maxSubgroupSize);
    const lanes = this.#teamLanes(heads, threads);
    if (lanes > 0) {
      const tokens = Math.min(tuning.attendTokens, capacity.pageSize);
      const turn = (threads / lanes) * tokens;
      const leastTurns = Math.ceil(tuning.attendLeastShare / turn);
      const splits = Math.min(shares, Math.ceil(most / (leastTurns * turn)));
      return { ...one, kind: "teams", splits, threads, lanes, tokens, leastTurns };
    }
    const space = this.#sharedSpace(heads);
    const splits = Math.max(Math.ceil(most / space.chunk), Math.min(shares, Math.ceil(most / LEAST_SHARE)));
    return { ...one, ...space, kind: "shared", splits };
  }

  /** The most that fits workgroup memory: fewer tokens of a share first, then fewer invocations, then fewer heads. */
  #sharedSpace(heads: number): Pick<Split, "heads" | "threads" | "chunk"> {
    const { model, traits, cacheDtype } = this.#context;
    const leastThreads = Math.max(64, cacheRowPieces(model, cacheDtype));
    // a vec4 of scores for every four heads
    const wanted = traits.workgroupBytes >= 32768 ? 512 : heads > 4 ? 128 : 256;
    for (let threads = traits.isSoftware ? leastThreads : 256; threads >= leastThreads; threads /= 2) {
      // the query, beside two vec4s of an invocation
      const otherBytes = heads * paddedHeadDim(model, cacheDtype) * 4 + threads * 32;
      const room = (traits.workgroupBytes - otherBytes) / (Math.ceil(heads / 4) * 16);
      if (room >= LEAST_SHARE)
        return { heads, threads, chunk: Math.min(wanted, 2 ** Math.floor(Math.log2(room))) };
    }
    let fewer = heads - 1;
    while (fewer > 1 && heads % fewer !== 0) fewer--;
    if (fewer < 1)
      throw new BackendError(
        `backend webgpu: heads of ${model.headDim} channels do not fit the ${traits.workgroupBytes} bytes of workgroup ` +
          "memory of this device; use the wasm backend",
      );
    return this.#sharedSpace(fewer);
  }

  #splitKernel(split: Split, { selection, scores, onlyScores = false }: Pass): Kernel {
    const { recorder, model, cacheDtype, traits } = this.#context;
    const { heads, threads, lanes } = split;
    const constants = {
      ...stepConstants(this.#context),
      DTYPE: DTYPE_CODES[cacheDtype],
      HEADS: heads,
      QUERY_HEADS: model.numQueryHeads,
      HEAD_DIM: model.headDim,
      SCALE: model.headDim ** -0.5,
      SELECTED: selection !== undefined,
      HAND_ON: scores !== undefined,
      ONLY_SCORES: onlyScores,
    };
    if (split.kind === "shared")
      return recorder.kernel(["storage", "step", reducePrelude(traits, threads), "attend-shared"], {
        ...constants,
        THREADS: threads,
        ...subgroupConstants(traits),
        LANES: threads,
        CHUNK: split.chunk,
        UNROLL: traits.isSoftware ? 1 : 4,
        LEAST_SHARE,
      });
    const isTwin = this.#isTwin(lanes);
    const sumBytes = this.#sumBytes(lanes, threads);
    return recorder.kernel(["storage", "step", "attend"], {
      ...constants,
      THREADS: threads,
      LANES: lanes,
      TOKENS: split.tokens,
      HEADS_PADDED: 2 ** Math.ceil(Math.log2(heads)),
      LEAST_TURNS: split.leastTurns,
      TWINS: isTwin,
      // 8 KiB, beside the query and the states within the 16 KiB of any device
      SUM_HEADS: Math.max(1, Math.min(heads, Math.floor(8192 / sumBytes))),
    });
  }

  /** Whether subgroups hold teams in pairs. */
  #isTwin(lanes: number): boolean {
    return this.#context.traits.minSubgroupSize >= 2 * lanes;
  }

  /** Bytes of the sums of one head in attend.wgsl. */
  #sumBytes(lanes: number, threads: number): number {
    const { model, cacheDtype } = this.#context;
    return (threads / lanes / (this.#isTwin(lanes) ? 2 : 1)) * paddedHeadDim(model, cacheDtype) * 4;
  }

  /** Invocations that share a key in attend.wgsl; 0 where the device's subgroups or its memory are too small for it. */
  #teamLanes(heads: number, threads: number): number {
    const { traits, model, cacheDtype } = this.#context;
    const pieces = cacheRowPieces(model, cacheDtype);
    const lanes = Math.min(32, 2 ** Math.ceil(Math.log2(pieces)), traits.minSubgroupSize);
    // smaller teams keep the softmax of several heads each, which no real model needs and compilers grow on: 24 GB once
    if (lanes < LEAST_LANES) return 0;
    const kept = 2 * heads * Math.ceil(pieces / lanes) * (cacheDtype === "f32" ? 1 : 2);
    const stateBytes = (threads / lanes) * 2 ** Math.ceil(Math.log2(heads)) * 8;
    const isRoom = this.#sumBytes(lanes, threads) + stateBytes <= traits.workgroupBytes;
    return kept <= MAX_KEPT && isRoom ? lanes : 0;
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
}

function idOf(ref: TensorRef | undefined): number | undefined {
  return ref && WebGpuTensor.of(ref).id;
}
