import type { Backend, Ends, Scores, SequenceRange, TokenSelection, UnitSet } from "../backend/backend.ts";
import type { TensorDtype } from "../base/dtype.ts";
import { capacityOf, type TensorRef } from "../base/tensor-ref.ts";
import type { AttentionModel, SelectionStep } from "./policy.ts";

/** Tensors for selection, handed back and reused, so that nothing is made in steady state. */
export class TensorPool {
  readonly #backend: Backend;
  readonly #free = new Map<string, TensorRef[]>();

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  /** dtype [maxBatchSequences, groups, at least `capacity`]; capacities come in powers of two. */
  take(dtype: TensorDtype, groups: number, capacity: number): TensorRef {
    const { maxBatchSequences } = this.#backend.shape;
    const shape = [maxBatchSequences, groups, 2 ** Math.ceil(Math.log2(Math.max(1, capacity)))];
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
export class SelectionWorkspace implements SelectionStep {
  layer = 0;
  readonly model: AttentionModel;
  readonly #backend: Backend;
  readonly #pool: TensorPool;
  readonly #taken: TensorRef[] = [];
  readonly #results: (Scores | UnitSet | TokenSelection)[] = [];
  #call = 0;
  #range: SequenceRange = { first: 0, count: 0 };
  #query: TensorRef | undefined;
  #handedOn: Scores | undefined;

  constructor(backend: Backend, model: AttentionModel, pool: TensorPool) {
    this.#backend = backend;
    this.model = model;
    this.#pool = pool;
  }

  /** Starts the records of one selecting layer. */
  start(layer: number, range: SequenceRange, query: TensorRef, handedOn: Scores | undefined): this {
    this.layer = layer;
    this.#range = range;
    this.#query = query;
    this.#handedOn = handedOn;
    this.#call = 0;
    return this;
  }

  release(): void {
    for (const tensor of this.#taken) this.#pool.giveBack(tensor);
    this.#taken.length = 0;
    this.#results.length = 0;
  }

  scores(): Scores {
    if (this.#handedOn) return this.#handedOn;
    const out = this.#scores(this.model.numQueryHeads, 1);
    this.#backend.scores(this.layer, this.#range, this.#theQuery(), out);
    return out;
  }

  pageScores(pageSize: number): Scores {
    const out = this.#scores(this.model.numQueryHeads, pageSize);
    this.#backend.pageScores(this.layer, this.#range, this.#theQuery(), out);
    return out;
  }

  randomScores(seed: number): Scores {
    const out = this.#scores(1, 1);
    this.#backend.randomScores(this.layer, this.#range, seed, out);
    return out;
  }

  topK(scores: Scores, count: number, ends: Ends): UnitSet {
    const out = this.#units(scores.heads, count, scores.unit);
    this.#backend.topK(this.#range, scores, ends, out);
    return out;
  }

  mergeByRank(scores: Scores, count: number, ends: Ends): UnitSet {
    const out = this.#units(1, count, scores.unit);
    this.#backend.mergeByRank(this.#range, scores, ends, out);
    return out;
  }

  withEnds(set: UnitSet | undefined, ends: Ends): TokenSelection {
    const unit = set?.unit ?? 1;
    const groups = set?.groups ?? 1;
    const capacity = ((set?.count ?? 0) + ends.sinks + ends.recent) * unit;
    const out = this.#selection(groups, capacity);
    this.#backend.withEnds(this.#range, set, ends, out);
    return out;
  }

  #scores(heads: number, unit: number): Scores {
    const known = this.#results[this.#call++];
    if (known && "values" in known && known.heads === heads && known.unit === unit) return known;
    const capacity = Math.ceil(this.#backend.shape.maxSequenceLength / unit);
    return this.#keep({ values: this.#take("f32", heads, capacity), heads, unit });
  }

  #units(groups: number, count: number, unit: number): UnitSet {
    const known = this.#results[this.#call++];
    if (known && "units" in known && known.groups === groups && known.count === count && known.unit === unit)
      return known;
    return this.#keep({ units: this.#take("u32", groups, count), groups, count, unit });
  }

  #selection(groups: number, capacity: number): TokenSelection {
    const known = this.#results[this.#call++];
    if (known && "indices" in known && known.groups === groups && capacityOf(known.indices) >= capacity)
      return known;
    return this.#keep({
      indices: this.#take("u32", groups, capacity),
      counts: this.#take("u32", 1, 1),
      groups,
    });
  }

  /** The result of the call just counted, for the same call of the next step. */
  #keep<T extends Scores | UnitSet | TokenSelection>(made: T): T {
    this.#results[this.#call - 1] = made;
    return made;
  }

  #take(dtype: TensorDtype, groups: number, capacity: number): TensorRef {
    const tensor = this.#pool.take(dtype, groups, capacity);
    this.#taken.push(tensor);
    return tensor;
  }

  #theQuery(): TensorRef {
    if (!this.#query) throw new TypeError("a selection step was used before it was started");
    return this.#query;
  }
}
