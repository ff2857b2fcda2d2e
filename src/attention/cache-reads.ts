/**
 * Counts the cache reads of a step's attention, op by op as the ops are recorded.
 *
 * The unit is a *row*: the key and the value of one token in one layer, for all kv heads.
 * - Dense attention reads every cached row once, in a sliding layer every row of the window; the query heads of a kv head share
 *   the read.
 * - Scores computed apart from attention read every key: half a row per token. Emitted scores read nothing more.
 * - Scores of candidates read their keys: half a row for each candidate of each set. Pooled scores read nothing.
 * - Page scores read two bounds per page and kv head, which are f32 on every backend: one row per page if the cache is f32,
 *   two if it is f16, almost four if it is q8.
 * - Block scores read the f32 key of each whole block per kv head.
 * - Sketch scores read a sketch per token and kv head: of 64 channels 36 bytes, 0.07 rows of an f32 cache.
 * - Sparse attention reads the selected rows of each set: heads that share a set share the read, and query heads with sets
 *   of their own read each their own, so that a row of a kv head may count several times.
 * Upkeep of the step's own rows (storing them, their page's bounds, their block's key) does not count. A selection of pages without recent ones
 * counts its last page whole.
 */
import type {
  BlockGateShape,
  KeptEnds,
  SequenceRange,
  StepBatch,
  TokenSelection,
  UnitSet,
} from "../backend/backend.ts";
import { sketchWords } from "../backend/sketch-words.ts";
import { type CacheDtype, cacheRowBytes } from "../base/cache-dtype.ts";
import type { AttentionModel } from "./policy.ts";

/** Bytes of a channel of a page bound. */
const BOUND_BYTES = 4;

/** Units of one set of a selection. */
interface SelectionSize {
  units: number;
  unit: number;
  /** True if they include the sequence's last unit, which may be cut at the length. */
  hasLast: boolean;
}

export class CacheReads {
  readonly #model: AttentionModel;
  readonly #rowsPerPage: number;
  readonly #rowBytes: number;
  readonly #sizes = new WeakMap<TokenSelection, SelectionSize>();
  /** Rows read in the current step, by sequence of the batch. */
  readonly #rows: Float64Array;
  readonly #lengths: Uint32Array;

  constructor(model: AttentionModel, cacheDtype: CacheDtype, maxBatchSequences: number) {
    this.#model = model;
    this.#rowsPerPage = (BOUND_BYTES * model.headDim) / cacheRowBytes(cacheDtype, model.headDim);
    this.#rowBytes = 2 * cacheRowBytes(cacheDtype, model.headDim);
    this.#rows = new Float64Array(maxBatchSequences);
    this.#lengths = new Uint32Array(maxBatchSequences);
  }

  /** Starts counting a step. */
  begin({ lengths, numSequences }: Pick<StepBatch, "lengths" | "numSequences">): void {
    this.#rows.fill(0);
    for (let sequence = 0; sequence < numSequences; sequence++) this.#lengths[sequence] = lengths[sequence];
  }

  /** Rows that a sequence of the batch has read since `begin`. */
  of(sequence: number): number {
    return this.#rows[sequence];
  }

  dense({ first, count }: SequenceRange, window = Number.POSITIVE_INFINITY): void {
    for (let s = first; s < first + count; s++) this.#rows[s] += Math.min(this.#lengths[s], window);
  }

  keys({ first, count }: SequenceRange): void {
    for (let s = first; s < first + count; s++) this.#rows[s] += this.#lengths[s] / 2;
  }

  pageBounds({ first, count }: SequenceRange): void {
    const { pageSize } = this.#model;
    for (let s = first; s < first + count; s++)
      this.#rows[s] += Math.ceil(this.#lengths[s] / pageSize) * this.#rowsPerPage;
  }

  blockKeys({ first, count }: SequenceRange, { blockSize, gateDim }: BlockGateShape): void {
    for (let s = first; s < first + count; s++)
      this.#rows[s] += (Math.floor(this.#lengths[s] / blockSize) * gateDim * 4) / this.#rowBytes;
  }

  keySketches({ first, count }: SequenceRange): void {
    const bytes = 4 * sketchWords(this.#model.headDim);
    for (let s = first; s < first + count; s++) this.#rows[s] += (this.#lengths[s] * bytes) / this.#rowBytes;
  }

  /** Keeps the size of a selection, for the layers that attend to it. */
  expanded(selection: TokenSelection, set: UnitSet | undefined, { sinks, recent }: KeptEnds): void {
    let size = this.#sizes.get(selection);
    if (!size) {
      size = { units: 0, unit: 1, hasLast: false };
      this.#sizes.set(selection, size);
    }
    size.units = (set?.count ?? 0) + sinks + recent;
    size.unit = set?.unit ?? 1;
    size.hasLast = recent > 0;
  }

  /** Keeps the size of a selection whose heads were mapped. @throws TypeError like `selected` */
  mapped(mapped: TokenSelection, selection: TokenSelection): void {
    this.#sizes.set(mapped, this.#sizeOf(selection));
  }

  #sizeOf(selection: TokenSelection): SelectionSize {
    const size = this.#sizes.get(selection);
    if (!size) throw new TypeError("select must return what expandSelection of its selector gave");
    return size;
  }

  /** Keys of the candidates. @throws TypeError on a selection that no `expandSelection` of this driver gave. */
  candidates(range: SequenceRange, candidates: TokenSelection): void {
    this.#sets(range, candidates, 0.5);
  }

  /** @throws TypeError on a selection that no `expandSelection` of this driver gave. */
  selected(range: SequenceRange, selection: TokenSelection): void {
    this.#sets(range, selection, 1);
  }

  /** rowsPerToken: 1, or a half if only keys are read */
  #sets({ first, count }: SequenceRange, selection: TokenSelection, rowsPerToken: number): void {
    const { units, unit, hasLast } = this.#sizeOf(selection);
    const setsPerKvHead = Math.max(1, selection.headGroups / this.#model.numKvHeads);
    for (let s = first; s < first + count; s++) {
      const length = this.#lengths[s];
      const cut = hasLast ? Math.ceil(length / unit) * unit - length : 0;
      this.#rows[s] += Math.min(length, units * unit - cut) * setsPerKvHead * rowsPerToken;
    }
  }
}
