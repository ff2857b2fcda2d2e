/**
 * The attention driver: runs dense or selected attention in each layer, by the layer's role in the request's policy.
 * It owns the current selection of each policy. Prefill is dense, and so is a sequence that fits the budget, for every policy.
 */
import type { RawHeads, Scores, SequenceRange, StepBatch, TokenSelection } from "../backend/backend.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import { CacheReads } from "./cache-reads.ts";
import { KeptData, type MissingData } from "./kept-data.ts";
import { globalLayers, windowOf } from "./layer-windows.ts";
import type { AttentionModel, AttentionPolicy, LayerRole } from "./policy.ts";
import { rolesOf } from "./roles.ts";
import { type RecordedSelection, SelectionWorkspace, TensorPool } from "./workspace.ts";

/** Consecutive sequences of a batch that share a policy and a budget, and all attend densely, or all sparsely. */
export interface BatchGroup {
  readonly policy: AttentionPolicy;
  readonly range: SequenceRange;
  readonly isSparse: boolean;
  /** Of its sparse layers. Default: the policy's `tokenBudget`. */
  readonly budget?: number;
  /** Its number among the sparse groups of its policy, each of which has a selection of its own. Default 0. */
  readonly part?: number;
}

interface PolicyState {
  readonly roles: readonly LayerRole[];
  readonly workspace: SelectionWorkspace;
  selection: TokenSelection | undefined;
}

/** A policy's roles, its current selection, and the record of the last selection step. */
export interface ObservedState {
  readonly roles: readonly LayerRole[];
  readonly selection: TokenSelection | undefined;
  readonly recorded: RecordedSelection;
}

export class Attention {
  readonly model: AttentionModel;
  /** Cache reads of the current step's ops, by sequence. */
  readonly reads: CacheReads;
  readonly #backend: AttentionBackend;
  readonly #pool: TensorPool;
  /** By the part of a group. */
  readonly #states = new Map<AttentionPolicy, PolicyState[]>();
  #denseScores: Scores | undefined;
  readonly #kept: KeptData;
  /** Groups of the step whose policy threw. */
  #failures = new Map<BatchGroup, unknown>();

  constructor(backend: AttentionBackend, model: AttentionModel) {
    this.#backend = backend;
    this.model = model;
    this.reads = new CacheReads(model, backend.cacheDtype, backend.capacity.maxBatchSequences);
    this.#pool = new TensorPool(backend);
    this.#kept = new KeptData(backend, model);
  }

  /** Starts a step; `reads` counts its ops. */
  begin(batch: Pick<StepBatch, "lengths" | "numSequences">): void {
    this.reads.begin(batch);
  }

  /** Receives queries and keys before RoPE, if a policy of the step has gates; the caller gives it to `attentionInput`. */
  rawHeads(groups: readonly BatchGroup[]): RawHeads | undefined {
    for (let i = 0; i < groups.length; i++) if (groups[i]?.policy.gates) return this.#kept.rawHeads();
    return undefined;
  }

  /** Returns what a policy keeps beside the cache and is not there yet, so that the caller can make it before a step does. */
  missingFor(policy: AttentionPolicy): MissingData | undefined {
    return this.#kept.missingFor(policy);
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
      if (isGlobal && group.policy.keySketch)
        this.#backend.updateKeySketch(layer, group.range, this.#kept.sketch(layer));
      const gate = isGlobal ? group.policy.gates?.layers[layer] : undefined;
      if (gate) this.#backend.updateBlockKeys(group.range, this.#kept.rawHeads().keys, gate);
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
    const { policy, range, budget = policy.tokenBudget } = group;
    const state = this.#state(group);
    const role = state.roles[layer] as LayerRole;
    const raw = policy.gates && this.#kept.rawHeads();
    const sketch = policy.keySketch && this.#kept.sketch(layer);
    if (role.attends === "all") {
      const scores = role.selects ? this.#scores(range.count) : undefined;
      this.#attendAll(layer, range, query, output, scores);
      if (role.selects)
        state.selection = policy.select?.(
          state.workspace.start(layer, range, query, { budget, scores, raw, sketch }),
        );
      return;
    }
    if (role.selects)
      state.selection = policy.select?.(
        state.workspace.start(layer, range, query, { budget, scores: undefined, raw, sketch }),
      );
    if (!state.selection)
      throw new TypeError(
        `attention ${policy.name}: layer ${layer} attends to a selection, but none was made; ` +
          `layers that may select are ${globalLayers(this.model).join(", ")}`,
      );
    const selection = role.headMap
      ? state.workspace.mapHeads(range, state.selection, role.headMap)
      : state.selection;
    this.reads.selected(range, selection);
    this.#backend.attendSelected(layer, range, query, selection, output);
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

  /**
   * Returns what a group's policy has done in the current layer, for observers; undefined in a dense step, and if the policy threw.
   * Valid until the next call of `attend`.
   */
  stateOf(group: BatchGroup): ObservedState | undefined {
    if (!group.isSparse || this.#failures.has(group)) return undefined;
    const { roles, selection, workspace } = this.#state(group);
    return { roles, selection, recorded: workspace.recorded };
  }

  /** Gives the buffers of a policy back when its last request has ended. */
  forget(policy: AttentionPolicy): void {
    for (const { workspace } of this.#states.get(policy) ?? []) workspace.release();
    this.#states.delete(policy);
  }

  #state({ policy, part = 0 }: BatchGroup): PolicyState {
    const known = this.#states.get(policy);
    const state = known?.[part];
    if (state) return state;
    const roles = rolesOf(policy, this.model);
    const workspace = new SelectionWorkspace(this.#backend, this.model, this.#pool, this.reads);
    const made: PolicyState = { roles, workspace, selection: undefined };
    if (known) known[part] = made;
    else this.#states.set(policy, [made]); // a policy's first group is part 0
    return made;
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
