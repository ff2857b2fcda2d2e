import type { TensorRef } from "../../base/tensor-ref.ts";
import type { Scores, SequenceRange, TokenSelection } from "../backend.ts";
import { checkNoWindow } from "../checks.ts";
import type { CommandLists, ProfileCategory } from "./command-lists.ts";
import type { BatchSizes, GpuContext } from "./context.ts";
import { DecodeAttention, type KeyScan, type RowRun, type SplitRun } from "./decode-attention.ts";
import type { KvCache } from "./kv-cache.ts";
import { PrefillAttention, type TileRows } from "./prefill-attention.ts";
import { type NumberedBuffer, WebGpuTensor } from "./refs.ts";

/** Maximum rows of a prefill chunk that attend one by one, in split-KV scans; longer chunks use tiles. */
const MAX_SPLIT_ROWS = 8;
/** Maximum distinct scans kept from step to step; a policy has a few, or a few for each layer if layers differ in budget. */
const MAX_SCANS = 256;

/** Rows of a prefill chunk that attend in tiles. */
interface TileRun extends TileRows {
  readonly lists: CommandLists;
}

/** A scan over some sequences, planned once per step for all layers. */
interface PlannedScan extends KeyScan {
  readonly first: number;
  readonly count: number;
  /** The step of the last plan. */
  stepNumber: number;
  /** The partials of that plan; another scan into the same output may have replaced them since. */
  partials: NumberedBuffer | undefined;
  readonly splitRuns: SplitRun[];
  readonly tileRuns: TileRun[];
}

/** Attention to cached keys and values: routes the rows of a batch to decode or prefill kernels. */
export class AttentionOps {
  readonly #context: GpuContext;
  readonly #sizes: () => BatchSizes;
  readonly decode: DecodeAttention;
  readonly #prefill: PrefillAttention;
  readonly #tiles: CommandLists;
  /** Of each layer; 0: none that the longest sequence would notice. */
  readonly #windows: readonly number[];
  #scans: PlannedScan[] = [];

  /** sizes: returns the sizes of the current batch */
  constructor(context: GpuContext, cache: KvCache, sizes: () => BatchSizes) {
    this.#context = context;
    this.#sizes = sizes;
    this.decode = new DecodeAttention(context, cache);
    this.#prefill = new PrefillAttention(context, cache);
    this.#tiles = context.recorder.newCommandLists();
    const { model, capacity } = context;
    this.#windows = model.layers.map(({ window = 0 }) => (window < capacity.maxSequenceLength ? window : 0));
  }

  attendAll(layer: number, range: SequenceRange, query: TensorRef, output: TensorRef, scores?: Scores): void {
    const window = this.#windows[layer] ?? 0;
    if (scores) this.#checkNoWindow(layer);
    this.#record(layer, this.#scan(range, query, output, undefined, scores, window));
  }

  attendSelected(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    this.#record(layer, this.#scan(range, query, output, selection, undefined, 0));
  }

  /** candidates: the positions to score; all if left out. */
  scores(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    out: Scores,
    candidates?: TokenSelection,
  ): void {
    if (!candidates) this.#checkNoWindow(layer);
    this.#record(layer, this.#scan(range, query, undefined, candidates, out, 0));
  }

  #checkNoWindow(layer: number): void {
    checkNoWindow(layer, this.#context.model.layers[layer]?.window);
  }

  /** Finds a scan among those of earlier layers and steps; the same call in the next step allocates nothing. */
  #scan(
    range: SequenceRange,
    query: TensorRef,
    output: TensorRef | undefined,
    selection: TokenSelection | undefined,
    scores: Scores | undefined,
    window: number,
  ): PlannedScan {
    for (let i = 0; i < this.#scans.length; i++) {
      const scan = this.#scans[i] as PlannedScan;
      if (
        scan.first === range.first &&
        scan.count === range.count &&
        scan.query === query &&
        scan.output === output &&
        scan.selection === selection &&
        scan.scores === scores &&
        scan.window === window
      )
        return scan;
    }
    if (this.#scans.length >= MAX_SCANS) this.#scans = [];
    const scan = {
      ...{
        first: range.first,
        count: range.count,
        selection,
        scores,
        window,
        category: categoryOf(output, selection),
        stepNumber: -1,
        partials: undefined,
      },
      query: WebGpuTensor.of(query),
      output: output && WebGpuTensor.of(output),
      splitRuns: [],
      tileRuns: [],
    };
    this.#scans.push(scan);
    return scan;
  }

  #record(layer: number, scan: PlannedScan): void {
    const batch = this.#sizes();
    while (scan.stepNumber !== batch.stepNumber || scan.partials !== scan.output?.partials)
      this.#plan(scan, batch);
    const { splitRuns, tileRuns } = scan;
    for (let i = 0; i < splitRuns.length; i++) this.decode.record(layer, splitRuns[i] as SplitRun, scan);
    for (let i = 0; i < tileRuns.length; i++) this.#recordTiles(layer, tileRuns[i] as TileRun, scan);
  }

  /** Cuts the sequences of a scan into runs of decode rows, split over their tokens, and prefill chunks, by tiles. */
  #plan(scan: PlannedScan, batch: BatchSizes): void {
    const end = scan.first + scan.count;
    scan.stepNumber = batch.stepNumber;
    scan.partials = scan.output?.partials;
    let numSplitRuns = 0;
    scan.tileRuns.length = 0;
    for (let first = scan.first; first < end; ) {
      const rows = batch.rowCounts[first];
      const isDecode = rows === 1;
      let next = first + 1;
      if (isDecode) while (next < end && batch.rowCounts[next] === 1) next++;
      const firstRow = batch.firstRows[first];
      if (rows > MAX_SPLIT_ROWS && scan.output) {
        scan.tileRuns.push(this.#tileRun(scan, firstRow, rows, first));
      } else {
        const run: RowRun = {
          firstRow,
          numRows: isDecode ? next - first : rows,
          sequence: first,
          sequenceStep: isDecode ? 1 : 0,
          ofSelection: first - scan.first,
        };
        const before = scan.splitRuns[numSplitRuns];
        scan.splitRuns[numSplitRuns++] = this.decode.plan(run, scan, batch, before);
      }
      first = next;
    }
    scan.splitRuns.length = numSplitRuns;
  }

  #tileRun(scan: KeyScan, firstRow: number, numRows: number, sequence: number): TileRun {
    const lists = this.#tiles
      .at(scan.query.id)
      .at(scan.output?.id ?? 0)
      .at(firstRow)
      .at(numRows)
      .at(sequence)
      .at(scan.window);
    return { firstRow, numRows, sequence, lists };
  }

  #recordTiles(layer: number, run: TileRun, { query, output, category, window }: KeyScan): void {
    if (!output) return;
    if (output.pending) this.decode.settle(output);
    const { recorder } = this.#context;
    const node = run.lists.at(layer);
    if (recorder.replay(node)) return;
    recorder.keep(node, () => this.#prefill.attend(layer, run, { query, output, category, window }));
  }
}

function categoryOf(output: TensorRef | undefined, selection: TokenSelection | undefined): ProfileCategory {
  if (!output) return "selection";
  return selection ? "sparse attention" : "dense attention";
}
