import type { KeptEnds, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend/backend.ts";
import { selectionDimensions } from "../backend/decoder-memory.ts";
import type { TensorDtype } from "../base/dtype.ts";
import { printValue } from "../base/print-value.ts";
import { capacityOf, type TensorRef } from "../base/tensor-ref.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import type { CacheReads } from "./cache-reads.ts";
import type { AttentionModel, Selector } from "./policy.ts";

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

/**
 * One policy's selection step on a backend. A policy records the same calls in every step, so the n-th call finds the
 * handle the n-th call made before.
 */
export class SelectionWorkspace implements Selector {
  layer = 0;
  readonly model: AttentionModel;
  readonly #backend: AttentionBackend;
  readonly #pool: TensorPool;
  readonly #reads: CacheReads;
  /** Results of the n-th call in a selection layer, with their tensors. */
  readonly #results: (Result & { readonly tensors: readonly TensorRef[] })[] = [];
  /** Handles that a policy may pass to calls: those of this workspace. */
  readonly #made = new WeakSet<object>();
  #call = 0;
  #range: SequenceRange = { first: 0, count: 0 };
  #query: TensorRef | undefined;
  #emittedScores: Scores | undefined;

  constructor(backend: AttentionBackend, model: AttentionModel, pool: TensorPool, reads: CacheReads) {
    this.#backend = backend;
    this.model = model;
    this.#pool = pool;
    this.#reads = reads;
  }

  /** Starts the records of one selection layer. */
  start(layer: number, range: SequenceRange, query: TensorRef, emittedScores: Scores | undefined): this {
    this.layer = layer;
    this.#range = range;
    this.#query = query;
    this.#emittedScores = emittedScores;
    this.#call = 0;
    return this;
  }

  release(): void {
    for (const { tensors } of this.#results) for (const tensor of tensors) this.#pool.giveBack(tensor);
    this.#results.length = 0;
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

  pageScores(pageSize: number): Scores {
    checkWhole("pageScores", "a page size", pageSize, 1, this.#most);
    const out = this.#scores(this.model.numQueryHeads, pageSize);
    this.#reads.pageBounds(this.#range);
    this.#backend.pageScores(this.layer, this.#range, this.#theQuery(), out);
    return out;
  }

  randomScores(seed: number): Scores {
    checkWhole("randomScores", "a seed", seed, 0, Number.MAX_SAFE_INTEGER);
    const out = this.#scores(1, 1);
    this.#backend.randomScores(this.layer, this.#range, seed, out);
    return out;
  }

  topK(scores: Scores, count: number, ends: KeptEnds): UnitSet {
    this.#check("topK", scores, count, ends);
    const out = this.#units(scores.heads, count, scores.unit);
    this.#backend.topK(this.#range, scores, ends, out);
    return out;
  }

  mergeByRank(scores: Scores, count: number, ends: KeptEnds): UnitSet {
    this.#check("mergeByRank", scores, count, ends);
    const out = this.#units(1, count, scores.unit);
    this.#backend.mergeByRank(this.#range, scores, ends, out);
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
    return out;
  }

  #scores(heads: number, unit: number): Scores {
    const known = this.#known();
    if (known && "values" in known && known.heads === heads && known.unit === unit) return known;
    const capacity = Math.ceil(this.#backend.capacity.maxSequenceLength / unit);
    const values = this.#pool.take("f32", this.#range.count, heads, capacity);
    return this.#keep({ values, heads, unit, tensors: [values] });
  }

  #units(headGroups: number, count: number, unit: number): UnitSet {
    const known = this.#known();
    if (
      known &&
      "units" in known &&
      known.headGroups === headGroups &&
      known.count === count &&
      known.unit === unit
    )
      return known;
    const units = this.#pool.take("u32", this.#range.count, headGroups, count);
    return this.#keep({ units, headGroups, count, unit, tensors: [units] });
  }

  #selection(headGroups: number, capacity: number): TokenSelection {
    const known = this.#known();
    if (
      known &&
      "indices" in known &&
      known.headGroups === headGroups &&
      capacityOf(known.indices) >= capacity
    )
      return known;
    const indices = this.#pool.take("u32", this.#range.count, headGroups, capacity);
    const counts = this.#pool.take("u32", this.#range.count, 1, 1);
    return this.#keep({ indices, counts, headGroups, tensors: [indices, counts] });
  }

  /** Returns the result of the same call in the last selection layer if it has room for this step's sequences. */
  #known(): Result | undefined {
    const known = this.#results[this.#call++];
    return known && (known.tensors[0]?.shape[0] ?? 0) >= this.#range.count ? known : undefined;
  }

  /**
   * Keeps a result for the same call in the next selection layer. Returns replaced tensors to the pool. If layers differ in
   * budget, this happens in every step.
   */
  #keep<T extends Result & { readonly tensors: readonly TensorRef[] }>(made: T): T {
    for (const tensor of this.#results[this.#call - 1]?.tensors ?? []) this.#pool.giveBack(tensor);
    this.#results[this.#call - 1] = made;
    this.#made.add(made);
    return made;
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

type Result = Scores | UnitSet | TokenSelection;

function checkWhole(call: string, what: string, value: number, least: number, most: number): void {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw new RangeError(
      `${call}: ${what} must be a whole number from ${least} to ${most}, got ${printValue(value)}`,
    );
}
