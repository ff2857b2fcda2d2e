/**
 * The attention driver: runs dense or selected attention in each layer, by the layer's role in the request's policy.
 * It owns the current selection of each policy. Prefill is dense, and so is a sequence that fits the budget, for every policy.
 */
import type { Scores, SequenceRange, StepBatch, TokenSelection } from "../backend/backend.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import { CacheReads } from "./cache-reads.ts";
import { globalLayers, windowOf } from "./layer-windows.ts";
import type { AttentionModel, AttentionPolicy, LayerRole } from "./policy.ts";
import { rolesOf } from "./roles.ts";
import { SelectionWorkspace, TensorPool } from "./workspace.ts";

/** Consecutive sequences of a batch that share a policy and all attend densely, or all sparsely. */
export interface BatchGroup {
  readonly policy: AttentionPolicy;
  readonly range: SequenceRange;
  readonly isSparse: boolean;
}

interface PolicyState {
  readonly roles: readonly LayerRole[];
  readonly workspace: SelectionWorkspace;
  selection: TokenSelection | undefined;
}

export class Attention {
  readonly model: AttentionModel;
  /** Cache reads of the current step's ops, by sequence. */
  readonly reads: CacheReads;
  readonly #backend: AttentionBackend;
  readonly #pool: TensorPool;
  readonly #states = new Map<AttentionPolicy, PolicyState>();
  #denseScores: Scores | undefined;
  /** Groups of the step whose policy threw. */
  #failures = new Map<BatchGroup, unknown>();

  constructor(backend: AttentionBackend, model: AttentionModel) {
    this.#backend = backend;
    this.model = model;
    this.reads = new CacheReads(model, backend.cacheDtype, backend.capacity.maxBatchSequences);
    this.#pool = new TensorPool(backend);
  }

  /** Starts a step; `reads` counts its ops. */
  begin(batch: Pick<StepBatch, "lengths" | "numSequences">): void {
    this.reads.begin(batch);
  }

  /**
   * Records the attention of one layer for all groups of the batch. A group whose policy throws drops out of the step:
   * its rows are undefined from then on and touch no others. `takeFailures` reports it.
   * query, output: f32 [maxBatchRows, numQueryHeads * headDim]
   */
  attend(layer: number, groups: readonly BatchGroup[], query: TensorRef, output: TensorRef): void {
    const isGlobal = windowOf(this.model, layer) === undefined;
    for (let i = 0; i < groups.length; i++) {
      const group = groups[i] as BatchGroup;
      if (this.#failures.size > 0 && this.#failures.has(group)) continue;
      if (isGlobal && group.policy.pageBounds !== undefined)
        this.#backend.updatePageBounds(layer, group.range);
      if (!group.isSparse) this.#attendAll(layer, group.range, query, output);
      else this.#attendOrFail(layer, group, query, output);
    }
  }

  /** The groups whose policies threw since the last call, and their errors. */
  takeFailures(): ReadonlyMap<BatchGroup, unknown> {
    const failures = this.#failures;
    if (failures.size > 0) this.#failures = new Map();
    return failures;
  }

  /**
   * An error of a policy, or of the backend in a policy's call, fails this group alone. A lost backend fails all groups: its
   * next call throws as well.
   */
  #attendOrFail(layer: number, group: BatchGroup, query: TensorRef, output: TensorRef): void {
    try {
      this.#attendSparsely(layer, group, query, output);
    } catch (error) {
      this.#failures.set(group, error);
    }
  }

  #attendSparsely(layer: number, group: BatchGroup, query: TensorRef, output: TensorRef): void {
    const { policy, range } = group;
    const state = this.#state(policy);
    const role = state.roles[layer] as LayerRole;
    if (role.attends === "all") {
      const scores = role.selects ? this.#scores(range.count) : undefined;
      this.#attendAll(layer, range, query, output, scores);
      if (role.selects) state.selection = policy.select?.(state.workspace.start(layer, range, query, scores));
      return;
    }
    if (role.selects)
      state.selection = policy.select?.(state.workspace.start(layer, range, query, undefined));
    if (!state.selection)
      throw new TypeError(
        `attention ${policy.name}: layer ${layer} attends to a selection, but none was made; ` +
          `layers that may select are ${globalLayers(this.model).join(", ")}`,
      );
    this.reads.selected(range, state.selection);
    this.#backend.attendSelected(layer, range, query, state.selection, output);
  }

  #attendAll(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    output: TensorRef,
    scores?: Scores,
  ): void {
    this.reads.dense(range, windowOf(this.model, layer));
    this.#backend.attendAll(layer, range, query, output, scores);
  }

  /** Gives the buffers of a policy back when its last request has ended. */
  forget(policy: AttentionPolicy): void {
    this.#states.get(policy)?.workspace.release();
    this.#states.delete(policy);
  }

  #state(policy: AttentionPolicy): PolicyState {
    let state = this.#states.get(policy);
    if (!state) {
      const roles = rolesOf(policy, this.model);
      const workspace = new SelectionWorkspace(this.#backend, this.model, this.#pool, this.reads);
      state = { roles, workspace, selection: undefined };
      this.#states.set(policy, state);
    }
    return state;
  }

  /** Emitted scores for so many sequences; one set serves all policies, one after the other. */
  #scores(sequences: number): Scores {
    const known = this.#denseScores;
    if (known && (known.values.shape[0] ?? 0) >= sequences) return known;
    if (known) this.#pool.giveBack(known.values);
    const { numQueryHeads: heads } = this.model;
    const values = this.#pool.take("f32", sequences, heads, this.#backend.capacity.maxSequenceLength);
    this.#denseScores = { values, heads, unit: 1 };
    return this.#denseScores;
  }
}

/** True if a decode step of this length attends sparsely: the sequence no longer fits the budget. */
export function isSparseAt(policy: AttentionPolicy, length: number): boolean {
  return length > policy.tokenBudget;
}
