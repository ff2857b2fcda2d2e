import type {
  KeptEnds,
  KeySketch,
  RawHeads,
  Scores,
  SequenceRange,
  TokenSelection,
  UnitSet,
} from "../backend/backend.ts";
import { powerOfTwo, selectionDimensions } from "../backend/decoder-memory.ts";
import type { TensorDtype } from "../base/dtype.ts";
import { printValue } from "../base/print-value.ts";
import { capacityOf, type TensorRef } from "../base/tensor-ref.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import type { BlockGates } from "./block-gates.ts";
import type { CacheReads } from "./cache-reads.ts";
import { KeptResults, type ResultSizes } from "./kept-results.ts";
import type { AttentionModel, PoolingOptions, Selector } from "./policy.ts";

/** Tensors for selection, returned and reused, so that steady state creates none. */
export class TensorPool {
  readonly #backend: AttentionBackend;
  readonly #free = new Map<string, TensorRef[]>();

  constructor(backend: AttentionBackend) {
    this.#backend = backend;
  }

  /** dtype [at least `sequences`, headGroups, at least `capacity`]; both come in powers of two, so that sizes repeat. */
  take(dtype: TensorDtype, sequences: number, headGroups: number, capacity: number): TensorRef {
    const shape = selectionDimensions(sequences, headGroups, capacity);
    const key = `${dtype}:${shape.join("x")}`;
    return this.#free.get(key)?.pop() ?? this.#backend.createTensor(dtype, shape);
  }

  giveBack(tensor: TensorRef): void {
    const key = `${tensor.dtype}:${tensor.shape.join("x")}`;
    const free = this.#free.get(key);
    if (free) free.push(tensor);
    else this.#free.set(key, [tensor]);
  }
}

/** The last merge of a selection step, and what it keeps at the ends; no scores and no units: there was no merge. */
export interface RecordedSelection {
  scores: Scores | undefined;
  units: UnitSet | undefined;
  /** Of the last `expandSelection`, in units of so many tokens. */
  ends: KeptEnds;
  endsUnit: number;
}

/**
 * One policy's selection step on a backend. A policy records the same calls in every step, so the n-th call of a layer finds
 * the handle that it made before.
 */
export class SelectionWorkspace implements Selector {
  layer = 0;
  budget = 0;
  /** What observers need to know of the selection step. */
  readonly recorded: RecordedSelection = { scores: undefined, units: undefined, ends: NO_ENDS, endsUnit: 1 };
  readonly model: AttentionModel;
  readonly #backend: AttentionBackend;
  readonly #pool: TensorPool;
  readonly #reads: CacheReads;
  readonly #scoresMade = new KeptResults<Scores>();
  readonly #setsMade = new KeptResults<UnitSet>();
  readonly #selectionsMade = new KeptResults<TokenSelection>();
  readonly #mappedMade = new KeptResults<TokenSelection>();
  /** The last selection with its heads mapped, and by which map. */
  #mapped: { readonly by: readonly number[]; readonly selection: TokenSelection } | undefined;
  /** Handles that a policy may pass to calls: those of this workspace. */
  readonly #made = new WeakSet<object>();
  #call = 0;
  #range: SequenceRange = { first: 0, count: 0 };
  #query: TensorRef | undefined;
  #emittedScores: Scores | undefined;
  #raw: RawHeads | undefined;
  #sketch: KeySketch | undefined;

  constructor(backend: AttentionBackend, model: AttentionModel, pool: TensorPool, reads: CacheReads) {
    this.#backend = backend;
    this.model = model;
    this.#pool = pool;
    this.#reads = reads;
  }

  /** Starts the records of one selection layer. */
  start(layer: number, range: SequenceRange, query: TensorRef, given: StepInputs): this {
    this.layer = layer;
    this.budget = given.budget;
    this.#range = range;
    this.#query = query;
    this.#emittedScores = given.scores;
    this.#raw = given.raw;
    this.#sketch = given.sketch;
    this.#call = 0;
    this.recorded.scores = undefined;
    this.recorded.units = undefined;
    this.recorded.ends = NO_ENDS;
    this.#mapped = undefined;
    return this;
  }

  release(): void {
    const all = [this.#scoresMade, this.#setsMade, this.#selectionsMade, this.#mappedMade];
    for (const made of all) this.#giveBack(made.clear());
  }

  /**
   * The selection of the last `start`, for a reuse layer in which heads attend to the sets of others. Layers in a row that share a
   * map share the result.
   */
  mapHeads(range: SequenceRange, selection: TokenSelection, map: readonly number[]): TokenSelection {
    if (this.#mapped?.by === map) return this.#mapped.selection;
    const { numKvHeads } = this.model;
    if (selection.headGroups !== numKvHeads)
      throw new TypeError(
        `a head map needs a selection with one set for each of ${numKvHeads} kv heads, got ${selection.headGroups}`,
      );
    const out = this.#mappedLike(range, selection);
    this.#backend.mapHeads(range, selection, map, out);
    this.#reads.mapped(out, selection);
    this.#mapped = { by: map, selection: out };
    return out;
  }

  #mappedLike({ count }: SequenceRange, { indices, headGroups }: TokenSelection): TokenSelection {
    const size = capacityOf(indices);
    const known = this.#mappedMade.find(0, headGroups, size, 1, count);
    if (known) return known;
    const sets = this.#pool.take("u32", count, headGroups, size);
    const counts = this.#pool.take("u32", count, headGroups, 1);
    return this.#keep(this.#mappedMade, 0, {
      ...{ groups: headGroups, size, unit: 1 },
      result: { indices: sets, counts, headGroups },
      tensors: [sets, counts],
    });
  }

  scores(): Scores {
    if (this.#emittedScores) {
      this.#made.add(this.#emittedScores);
      return this.#emittedScores;
    }
    const out = this.#scores(this.model.numQueryHeads, 1);
    this.#reads.keys(this.#range);
    this.#backend.scores(this.layer, this.#range, this.#theQuery(), out);
    return out;
  }

  scoresOf(candidates: TokenSelection): Scores {
    this.#check("scoresOf", candidates, 0, NO_ENDS);
    const out = this.#scores(this.model.numQueryHeads, 1);
    this.#reads.candidates(this.#range, candidates);
    this.#backend.selectedScores(this.layer, this.#range, this.#theQuery(), candidates, out);
    return out;
  }

  sketchScores(): Scores {
    if (!this.#sketch)
      throw new TypeError("sketchScores: a policy that reads sketches of keys sets keySketch");
    const out = this.#scores(this.model.numKvHeads, 1);
    this.#reads.keySketches(this.#range);
    this.#backend.sketchScores(this.#range, this.#theQuery(), this.#sketch, out);
    return out;
  }

  pageScores(pageSize: number): Scores {
    checkWhole("pageScores", "a page size", pageSize, 1, this.#most);
    const out = this.#scores(this.model.numQueryHeads, pageSize);
    this.#reads.pageBounds(this.#range);
    this.#backend.pageScores(this.layer, this.#range, this.#theQuery(), out);
    return out;
  }

  blockScores(gates: BlockGates): Scores {
    const gate = gates.layers[this.layer];
    if (!gate || !this.#raw)
      throw new TypeError(`blockScores: ${gates.name} has no gate of layer ${this.layer} in this step`);
    const out = this.#scores(this.model.numKvHeads, gates.blockSize);
    this.#reads.blockKeys(this.#range, gates);
    this.#backend.blockScores(this.#range, this.#raw.query, gate, out);
    return out;
  }

  randomScores(seed: number): Scores {
    checkWhole("randomScores", "a seed", seed, 0, Number.MAX_SAFE_INTEGER);
    const out = this.#scores(1, 1);
    this.#backend.randomScores(this.layer, this.#range, seed, out);
    return out;
  }

  poolScores(scores: Scores, { how, heads }: PoolingOptions): Scores {
    this.#check("poolScores", scores, 0, NO_ENDS);
    if (how !== "softmax-mean" && how !== "max")
      throw new TypeError(`poolScores: how must be softmax-mean or max, got ${printValue(how)}`);
    if (heads !== "kv" && heads !== "all")
      throw new TypeError(`poolScores: heads must be kv or all, got ${printValue(heads)}`);
    const out = this.#scores(heads === "all" ? 1 : this.model.numKvHeads, scores.unit);
    this.#backend.poolScores(this.#range, scores, how, out);
    return out;
  }

  topK(scores: Scores, count: number, ends: KeptEnds): UnitSet {
    this.#check("topK", scores, count, ends);
    const out = this.#units(scores.heads, count, scores.unit);
    this.#backend.topK(this.#range, scores, ends, out);
    return out;
  }

  unitsAbove(scores: Scores, threshold: number): UnitSet {
    this.#check("unitsAbove", scores, 0, NO_ENDS);
    if (!Number.isFinite(threshold))
      throw new RangeError(`unitsAbove: a threshold must be a finite number, got ${printValue(threshold)}`);
    const out = this.#units(scores.heads, Math.ceil(this.#most / scores.unit), scores.unit);
    this.#backend.unitsAbove(this.#range, scores, threshold, out);
    return out;
  }

  mergeByRank(scores: Scores, count: number, ends: KeptEnds): UnitSet {
    this.#check("mergeByRank", scores, count, ends);
    const out = this.#units(1, count, scores.unit);
    this.#backend.mergeByRank(this.#range, scores, ends, out);
    this.recorded.scores = scores;
    this.recorded.units = out;
    return out;
  }

  expandSelection(set: UnitSet | undefined, ends: KeptEnds): TokenSelection {
    this.#check("expandSelection", set, set?.count ?? 0, ends);
    const unit = set?.unit ?? 1;
    const headGroups = set?.headGroups ?? 1;
    const capacity = ((set?.count ?? 0) + ends.sinks + ends.recent) * unit;
    const out = this.#selection(headGroups, capacity);
    this.#backend.expandSelection(this.#range, set, ends, out);
    this.#reads.expanded(out, set, ends);
    this.recorded.ends = ends;
    this.recorded.endsUnit = unit;
    return out;
  }

  #scores(heads: number, unit: number): Scores {
    const call = this.#call++;
    const capacity = Math.ceil(this.#backend.capacity.maxSequenceLength / unit);
    const known = this.#scoresMade.find(call, heads, capacity, unit, this.#range.count);
    if (known) return known;
    const values = this.#pool.take("f32", this.#range.count, heads, capacity);
    return this.#keep(this.#scoresMade, call, {
      ...{ groups: heads, size: capacity, unit },
      result: { values, heads, unit },
      tensors: [values],
    });
  }

  #units(headGroups: number, count: number, unit: number): UnitSet {
    const call = this.#call++;
    const known = this.#setsMade.find(call, headGroups, count, unit, this.#range.count);
    if (known) return known;
    const units = this.#pool.take("u32", this.#range.count, headGroups, count);
    return this.#keep(this.#setsMade, call, {
      ...{ groups: headGroups, size: count, unit },
      result: { units, headGroups, count, unit },
      tensors: [units],
    });
  }

  #selection(headGroups: number, capacity: number): TokenSelection {
    const call = this.#call++;
    const room = powerOfTwo(capacity);
    const known = this.#selectionsMade.find(call, headGroups, room, 1, this.#range.count);
    if (known) return known;
    const indices = this.#pool.take("u32", this.#range.count, headGroups, room);
    const counts = this.#pool.take("u32", this.#range.count, headGroups, 1);
    return this.#keep(this.#selectionsMade, call, {
      ...{ groups: headGroups, size: room, unit: 1 },
      result: { indices, counts, headGroups },
      tensors: [indices, counts],
    });
  }

  /** Keeps a result for the same call in later layers and steps. Each layer may have sizes of its own. */
  #keep<T extends object>(
    kept: KeptResults<T>,
    call: number,
    made: ResultSizes & { readonly result: T; readonly tensors: readonly TensorRef[] },
  ): T {
    this.#giveBack(kept.keep(call, made, this.model.numLayers));
    this.#made.add(made.result);
    return made.result;
  }

  #giveBack(tensors: readonly TensorRef[]): void {
    for (const tensor of tensors) this.#pool.giveBack(tensor);
  }

  /** No sequence is longer, so no count is larger. */
  get #most(): number {
    return this.#backend.capacity.maxSequenceLength;
  }

  /** Kernels trust these numbers; one that cannot be would be read or written past the end of a tensor. */
  #check(call: string, handle: object | undefined, count: number, ends: KeptEnds): void {
    if (handle !== undefined && !this.#made.has(handle))
      throw new TypeError(`${call}: expected what an earlier call of this selection step gave`);
    checkWhole(call, "a count", count, 0, this.#most);
    checkWhole(call, "ends.sinks", ends.sinks, 0, this.#most);
    checkWhole(call, "ends.recent", ends.recent, 0, this.#most);
  }

  #theQuery(): TensorRef {
    if (!this.#query) throw new TypeError("a selection step was used before it was started");
    return this.#query;
  }
}

/** What a layer has for a selection step besides its queries. */
interface StepInputs {
  /** Of the sequences. */
  readonly budget: number;
  /** Emitted by the dense pass of the layer. */
  readonly scores: Scores | undefined;
  /** Queries and keys before RoPE. */
  readonly raw: RawHeads | undefined;
  /** Of the layer. */
  readonly sketch: KeySketch | undefined;
}

const NO_ENDS: KeptEnds = { sinks: 0, recent: 0 };

function checkWhole(call: string, what: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new RangeError(
      `${call}: ${what} must be a whole number from ${least} to ${most}, got ${printValue(value)}`,
    );
}
