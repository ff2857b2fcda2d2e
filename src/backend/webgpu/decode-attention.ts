import type { Scores, TokenSelection } from "../backend.ts";
import type { CommandLists, ProfileCategory } from "./command-lists.ts";
import { type BatchSizes, cachePrelude, type GpuContext, paddedHeadDim, stepConstants } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import type { Kernel } from "./kernel-compiler.ts";
import type { KvCache } from "./kv-cache.ts";
import { type NumberedBuffer, type PendingCombine, WebGpuTensor } from "./refs.ts";
import type { ShaderFile } from "./shader.ts";
import { MIN_SPLIT, SplitKv, type SplitShape } from "./split-kv.ts";

/** Maximum bytes of split-KV partials at once: more rows take turns. */
const MAX_PARTIAL_BYTES = 64 << 20;
const MAX_GROUPS = 65535;

/** A scan over keys: attention, with scores emitted if asked for, or scores alone. */
export interface KeyScan {
  readonly query: WebGpuTensor;
  /** Undefined for scores alone. */
  readonly output: WebGpuTensor | undefined;
  readonly selection: TokenSelection | undefined;
  readonly scores: Scores | undefined;
  /** Tokens that a row attends to, up to its own; 0: all. */
  readonly window: number;
  readonly category: ProfileCategory;
}

/** Consecutive rows of a batch that one dispatch attends, as prepared for a step. */
export interface RowRun {
  firstRow: number;
  numRows: number;
  /** Sequence of the first row, and from row to row. */
  sequence: number;
  sequenceStep: 0 | 1;
  /** Row of the selection and of the scores that belongs to the first row. */
  ofSelection: number;
}

/** A run split over the tokens that its rows see. */
export interface SplitRun extends RowRun {
  readonly shape: SplitShape;
  readonly splits: number;
  /** Rows whose partials are kept at once. */
  readonly rowsAtOnce: number;
  /** Buffer of the partials; undefined for scores alone. */
  readonly partials: NumberedBuffer | undefined;
  /** Present if the reader of the output performs the combine. */
  readonly pending: PendingCombine | undefined;
  /** Its command lists, by layer. */
  readonly lists: CommandLists;
}

/**
 * Attention of single rows, split over their tokens (split-KV): partials, then their combine. If a batch has one row, the
 * combine stays pending on the output tensor: the layer kernel performs it, or `settle` does.
 */
export class DecodeAttention {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  readonly #split: SplitKv;
  /** By shape and kind of scan. */
  readonly #kernels = new Map<SplitShape, (Kernel | undefined)[]>();
  readonly #runs: CommandLists;
  readonly #combines: CommandLists;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.#cache = cache;
    this.#split = new SplitKv(context);
    this.#runs = context.recorder.newCommandLists();
    this.#combines = context.recorder.newCommandLists();
  }

  /** Plans a run for all layers of a step. before: the previous step's run at this index. */
  plan(run: RowRun, scan: KeyScan, batch: BatchSizes, before: SplitRun | undefined): SplitRun {
    const { model } = this.#context;
    const { selection, output } = scan;
    let longest = 0;
    const sequences = run.sequenceStep === 1 ? run.numRows : 1;
    for (let i = 0; i < sequences; i++) longest = Math.max(longest, batch.lengths[run.sequence + i]);
    const shape = this.#split.shapeFor(selection !== undefined && selection.headGroups > model.numKvHeads);
    const most = Math.min(longest, this.#mostTokens(shape, scan));
    const splits = this.#split.splitsOf(shape, most);
    const isPending = output !== undefined && batch.numRows === 1;
    if (
      before &&
      isSameRun(before, run) &&
      before.shape === shape &&
      before.splits === splits &&
      before.partials === output?.partials &&
      (before.pending !== undefined) === isPending
    )
      return before;
    const rowBytes = this.#partialBytes(splits);
    const rowsAtOnce = Math.max(
      1,
      Math.min(run.numRows, MAX_GROUPS, Math.floor(MAX_PARTIAL_BYTES / rowBytes)),
    );
    const partials = output && this.#reservePartials(output, rowsAtOnce * rowBytes);
    const pending = isPending && partials ? { partials, splits, category: scan.category } : undefined;
    const lists = nodeOf(this.#runs, run, scan)
      .at(splits)
      .at(Number(isPending))
      .at(partials?.id ?? 0);
    return { ...run, shape, splits, rowsAtOnce, partials, pending, lists };
  }

  /** Maximum tokens that a row of a scan reads. */
  #mostTokens(shape: SplitShape, { selection, window }: KeyScan): number {
    if (selection) return WebGpuTensor.of(selection.indices).capacity;
    return window > 0 ? this.#split.windowTokens(shape, window) : Number.POSITIVE_INFINITY;
  }

  /** Records a prepared run in one layer. */
  record(layer: number, run: SplitRun, scan: KeyScan): void {
    const { output } = scan;
    // rows of another batch may wait for their combine in the same output
    if (output?.pending && !run.pending) this.settle(output);
    const { recorder } = this.#context;
    const node = run.lists.at(layer);
    if (!recorder.replay(node)) this.#keep(node, layer, run, scan);
    if (output && run.pending) output.pending = run.pending;
  }

  /** Records the pending combine of a tensor. Every reader of attention but `advance` calls it first. */
  settle(output: WebGpuTensor): void {
    const { pending } = output;
    const { recorder } = this.#context;
    if (!pending) return;
    output.pending = undefined;
    const node = this.#combines.at(output.id).at(pending.partials.id).at(pending.splits);
    if (!recorder.replay(node))
      recorder.keep(node, () => this.#combine(pending, output, { firstRow: 0, rows: 1 }));
  }

  #keep(node: CommandLists, layer: number, run: SplitRun, scan: KeyScan): void {
    this.#context.recorder.keep(node, () => this.#recordRows(layer, run, scan));
  }

  #recordRows(layer: number, run: SplitRun, scan: KeyScan): void {
    const { recorder, model, stepBuffer } = this.#context;
    const { selection, scores, output, category, window } = scan;
    const { firstRow, numRows, sequence, sequenceStep, ofSelection, splits, rowsAtOnce, partials } = run;
    const kernel = this.#splitKernel(run.shape, scan);
    const cache = this.#cache.layer(layer);
    const selected = selection && WebGpuTensor.of(selection.indices);
    const scoreTensor = scores ? WebGpuTensor.of(scores.values) : undefined;
    for (let row = 0; row < numRows; row += rowsAtOnce) {
      const count = Math.min(rowsAtOnce, numRows - row);
      recorder.dispatch({
        category,
        kernel,
        params: {
          first_row: firstRow + row,
          sequence: sequence + row * sequenceStep,
          sequence_step: sequenceStep,
          of_selection: ofSelection + row * sequenceStep,
          groups: selection?.headGroups ?? 1,
          capacity: selected?.capacity ?? 0,
          score_capacity: scoreTensor?.capacity ?? 0,
          splits,
          ...{ wanted_splits: run.shape.wanted, window },
        },
        bindings: {
          ...{ step: stepBuffer.storage, query: scan.query, keys: cache.keys, values: cache.values },
          indices: selected ?? "unused",
          counts: selection ? WebGpuTensor.of(selection.counts) : "unused",
          partials: partials ?? "unused",
          scores: scoreTensor ?? "unused",
        },
        grid: [splits, model.numQueryHeads / run.shape.heads, count],
      });
      if (output && partials && !run.pending)
        this.#combine({ partials, splits, category }, output, { firstRow: firstRow + row, rows: count });
    }
  }

  #combine(
    { partials, splits, category }: PendingCombine,
    output: NumberedBuffer,
    { firstRow, rows }: { readonly firstRow: number; readonly rows: number },
  ): void {
    const { recorder, model, cacheDtype, tuning } = this.#context;
    const kernel = recorder.kernel(["combine-core", "combine"], {
      THREADS: tuning.combineThreads,
      QUERY_HEADS: model.numQueryHeads,
      HEAD_DIM: model.headDim,
      PADDED4: paddedHeadDim(model, cacheDtype) / 4,
    });
    recorder.dispatch({
      category,
      kernel,
      params: { first_row: firstRow, splits },
      bindings: { partials, out: output },
      grid: [model.numQueryHeads, rows],
    });
  }

  /** The kernel of a scan: the same for all layers and lengths, so that a new number of splits costs little. */
  #splitKernel(shape: SplitShape, scan: KeyScan): Kernel {
    let kernels = this.#kernels.get(shape);
    if (!kernels) {
      kernels = [];
      this.#kernels.set(shape, kernels);
    }
    const { selection, scores, output, window } = scan;
    const kind =
      Number(selection !== undefined) +
      2 * Number(scores !== undefined) +
      4 * Number(output !== undefined) +
      8 * Number(window > 0);
    const kernel = kernels[kind] ?? this.#assemble(shape, scan);
    kernels[kind] = kernel;
    return kernel;
  }

  #assemble(shape: SplitShape, { selection, scores, output, window }: KeyScan): Kernel {
    const { recorder, model, traits } = this.#context;
    const prelude = cachePrelude(this.#context);
    const { heads, threads } = shape;
    const constants = {
      ...stepConstants(this.#context),
      ...prelude.constants,
      HEADS: heads,
      QUERY_HEADS: model.numQueryHeads,
      HEAD_DIM: model.headDim,
      SCALE: model.attentionScale,
      SELECTED: selection !== undefined,
      WINDOWED: window > 0,
      EMIT_SCORES: scores !== undefined,
      ONLY_SCORES: output === undefined,
      THREADS: threads,
    };
    switch (shape.kind) {
      case "shared":
        return recorder.kernel(
          [...prelude.files, reducePrelude(traits, threads), "attend-inputs", "attend-shared"],
          {
            ...constants,
            ...subgroupConstants(traits),
            LANES: threads,
            SPLIT_TOKENS: shape.maxTokens,
            UNROLL: traits.isSoftware ? 1 : 4,
            MIN_SPLIT,
          },
        );
      case "streamed":
        return recorder.kernel(
          [...prelude.files, ...this.#productFiles, "attend-inputs", "attend-rows", "attend"],
          {
            ...constants,
            LANES: shape.lanes,
            TOKENS: shape.tokens,
            HEADS_PADDED: 2 ** Math.ceil(Math.log2(heads)),
            MIN_TURNS: shape.minTurns,
            TWINS: shape.isTwin,
            SUM_HEADS: shape.sumHeads,
          },
        );
    }
  }

  /** Preludes of the products of queries and keys. */
  get #productFiles(): readonly ShaderFile[] {
    const { cacheDtype, traits } = this.#context;
    if (cacheDtype !== "q8") return ["attend-floats"];
    return [traits.hasPackedDot ? "packed-dot" : "packed-dot-none", "attend-int8"];
  }

  /** Bytes of one row's partials. */
  #partialBytes(splits: number): number {
    const { model, cacheDtype } = this.#context;
    return model.numQueryHeads * splits * (paddedHeadDim(model, cacheDtype) + 4) * 4;
  }

  #reservePartials(output: WebGpuTensor, bytes: number): NumberedBuffer {
    const { buffers, recorder } = this.#context;
    if (output.partials && output.partials.buffer.size >= bytes) return output.partials;
    if (output.partials) {
      this.settle(output);
      recorder.submit();
      buffers.destroy(output.partials);
    }
    output.partials = buffers.storage("split-KV partials", 2 ** Math.ceil(Math.log2(bytes)));
    return output.partials;
  }
}

function isSameRun(a: RowRun, b: RowRun): boolean {
  return (
    a.firstRow === b.firstRow &&
    a.numRows === b.numRows &&
    a.sequence === b.sequence &&
    a.sequenceStep === b.sequenceStep &&
    a.ofSelection === b.ofSelection
  );
}

/** The node of a run's command lists, by everything but its splits and partials. */
function nodeOf(
  root: CommandLists,
  run: RowRun,
  { query, output, selection, scores, window }: KeyScan,
): CommandLists {
  return root
    .at(query.id)
    .at(output?.id ?? 0)
    .at(scores ? WebGpuTensor.of(scores.values).id : 0)
    .at(selection ? WebGpuTensor.of(selection.indices).id : 0)
    .at(selection ? WebGpuTensor.of(selection.counts).id : 0)
    .at(selection?.headGroups ?? 0)
    .at(window)
    .at(run.firstRow)
    .at(run.numRows)
    .at(run.sequence)
    .at(run.sequenceStep)
    .at(run.ofSelection);
}
