import type { TensorRef } from "../../base/tensor-ref.ts";
import type { Scores, SequenceRange, TokenSelection } from "../backend.ts";
import type { CommandLists, ProfileCategory } from "./command-lists.ts";
import type { BatchSizes, GpuContext } from "./context.ts";
import { DecodeAttention, type Pass, type RowRun, type SplitRun } from "./decode-attention.ts";
import type { KvCache } from "./kv-cache.ts";
import { PrefillAttention } from "./prefill-attention.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

/** Maximum rows of a prefill chunk that attend one by one, in split-KV passes; longer chunks use tiles. */
const MAX_SPLIT_ROWS = 8;
/** Maximum distinct passes kept from step to step; a policy has one to three. */
const MAX_PASSES = 64;

/** Rows of a prefill chunk that attend in tiles. */
interface TileRun {
  readonly firstRow: number;
  readonly numRows: number;
  readonly sequence: number;
  readonly lists: CommandLists;
}

/** A pass over some sequences, prepared once a step for all layers. */
interface PreparedPass extends Pass {
  readonly first: number;
  readonly count: number;
  /** The step of the last preparation. */
  step: number;
  /** The partials of that preparation; another pass into the same output may have replaced them since. */
  partials: NumberedBuffer | undefined;
  readonly splitRuns: SplitRun[];
  readonly tileRuns: TileRun[];
}

/** Attention to cached keys and values: routes the rows of a batch to decode or prefill kernels. */
export class AttentionOps {
  readonly #context: GpuContext;
  readonly decode: DecodeAttention;
  readonly #prefill: PrefillAttention;
  readonly #tiles: CommandLists;
  #passes: PreparedPass[] = [];

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.decode = new DecodeAttention(context, cache);
    this.#prefill = new PrefillAttention(context, cache);
    this.#tiles = context.recorder.newCommandLists();
  }

  attendAll(
    batch: BatchSizes,
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    output: TensorRef,
    scores?: Scores,
  ): void {
    this.#record(batch, layer, this.#pass(range, query, output, undefined, scores, "dense attention"));
  }

  attendSelected(
    batch: BatchSizes,
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    this.#record(batch, layer, this.#pass(range, query, output, selection, undefined, "sparse attention"));
  }

  scores(batch: BatchSizes, layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#record(batch, layer, this.#pass(range, query, undefined, undefined, out, "selection"));
  }

  /** Finds a pass among those of earlier layers and steps; the same call in the next step allocates nothing. */
  #pass(
    range: SequenceRange,
    query: TensorRef,
    output: TensorRef | undefined,
    selection: TokenSelection | undefined,
    scores: Scores | undefined,
    category: ProfileCategory,
  ): PreparedPass {
    for (let i = 0; i < this.#passes.length; i++) {
      const pass = this.#passes[i] as PreparedPass;
      if (
        pass.first === range.first &&
        pass.count === range.count &&
        pass.query === query &&
        pass.output === output &&
        pass.selection === selection &&
        pass.scores === scores
      )
        return pass;
    }
    if (this.#passes.length >= MAX_PASSES) this.#passes = [];
    const pass = {
      ...{
        first: range.first,
        count: range.count,
        selection,
        scores,
        category,
        step: -1,
        partials: undefined,
      },
      query: WebGpuTensor.of(query),
      output: output && WebGpuTensor.of(output),
      splitRuns: [],
      tileRuns: [],
    };
    this.#passes.push(pass);
    return pass;
  }

  #record(batch: BatchSizes, layer: number, pass: PreparedPass): void {
    while (pass.step !== batch.step || pass.partials !== pass.output?.partials) this.#prepare(pass, batch);
    const { splitRuns, tileRuns } = pass;
    for (let i = 0; i < splitRuns.length; i++) this.decode.record(layer, splitRuns[i] as SplitRun, pass);
    for (let i = 0; i < tileRuns.length; i++) this.#recordTiles(layer, tileRuns[i] as TileRun, pass);
  }

  /** Cuts the sequences of a pass into runs of decode rows, split over their tokens, and prefill chunks, by tiles. */
  #prepare(pass: PreparedPass, batch: BatchSizes): void {
    const end = pass.first + pass.count;
    pass.step = batch.step;
    pass.partials = pass.output?.partials;
    let numSplitRuns = 0;
    pass.tileRuns.length = 0;
    for (let first = pass.first; first < end; ) {
      const rows = batch.rowCounts[first];
      const isDecode = rows === 1;
      let next = first + 1;
      if (isDecode) while (next < end && batch.rowCounts[next] === 1) next++;
      const firstRow = batch.firstRows[first];
      if (rows > MAX_SPLIT_ROWS && pass.output) {
        pass.tileRuns.push(this.#tileRun(pass, firstRow, rows, first));
      } else {
        const run: RowRun = {
          firstRow,
          numRows: isDecode ? next - first : rows,
          sequence: first,
          sequenceStep: isDecode ? 1 : 0,
          ofSelection: first - pass.first,
        };
        const before = pass.splitRuns[numSplitRuns];
        pass.splitRuns[numSplitRuns++] = this.decode.prepare(run, pass, batch, before);
      }
      first = next;
    }
    pass.splitRuns.length = numSplitRuns;
  }

  #tileRun(pass: Pass, firstRow: number, numRows: number, sequence: number): TileRun {
    const lists = this.#tiles
      .at(pass.query.id)
      .at(pass.output?.id ?? 0)
      .at(firstRow)
      .at(numRows)
      .at(sequence);
    return { firstRow, numRows, sequence, lists };
  }

  #recordTiles(layer: number, run: TileRun, { query, output, category }: Pass): void {
    if (!output) return;
    if (output.pending) this.decode.settle(output);
    const { recorder } = this.#context;
    const place = run.lists.at(layer);
    if (recorder.replay(place)) return;
    const { firstRow, numRows, sequence } = run;
    recorder.keep(place, () =>
      this.#prefill.attend(layer, firstRow, numRows, sequence, query, output, category),
    );
  }
}
