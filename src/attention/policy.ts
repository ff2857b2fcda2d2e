/**
 * The contract of an attention policy: which cached tokens a decode step may see, layer by layer.
 *
 * Glossary. Token budget: tokens a sparse layer may attend to, all parts included. Sink tokens: the first n, kept.
 * Recency window: the last n, kept; recency share: share of the budget given to it. Selection layer: attends to all and
 * selects. Reuse layer: attends to the last selection. Dense layer: attends to all. Group: query heads that share one
 * selection.
 */
import type { KeptEnds, Scores, TokenSelection, UnitSet } from "../backend/backend.ts";

/** One layer in a decode step. Dense: {all}. LessIsMore: selects at {all, selects}, reuses at {selected}. */
export interface LayerRole {
  readonly attends: "all" | "selected";
  readonly selects: boolean;
}

/**
 * Who named a policy's selection layers: the request (or the engine's own policy), the checkpoint, the paper's table for
 * a model of these sizes, or nobody: a guess by depth, which can be far worse than layers that were measured.
 */
export type SelectionLayersSource = "request" | "checkpoint" | "paper" | "guess";

/** The sizes of a model that a policy may depend on. */
export interface AttentionModel {
  readonly numLayers: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  /** Tokens of a page of the KV cache. */
  readonly pageSize: number;
  /** Selection layers to use where the settings name none. */
  readonly defaultSelectionLayers: readonly number[];
  /** Where those come from. */
  readonly defaultSelectionLayersFrom: SelectionLayersSource;
}

/**
 * What a policy may record in one selecting layer, for all sequences that share the policy. Every sequence is longer
 * than the budget here. Nothing is read back; the results are handles.
 */
export interface Selector {
  readonly layer: number;
  readonly model: AttentionModel;
  /** Scaled logits per query head: handed on by the dense pass of this layer, or computed (reads K only). */
  scores(): Scores;
  /** Quest's upper bounds per query head and page of `pageSize` tokens. */
  pageScores(pageSize: number): Scores;
  /** One pseudo-random score a token, the same on every backend. */
  randomScores(seed: number): Scores;
  /** Per head the `count` best units between the ends. */
  topK(scores: Scores, count: number, ends: KeptEnds): UnitSet;
  /** One set of `count` units for all heads, by rank across heads. */
  mergeByRank(scores: Scores, count: number, ends: KeptEnds): UnitSet;
  /** The set and both ends (in units of the set; tokens where there is no set), ascending. */
  expandSelection(set: UnitSet | undefined, ends: KeptEnds): TokenSelection;
}

export interface AttentionPolicy {
  readonly name: string;
  /** Printed in every report, spelled as in a spec. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Tokens a sparse layer may see; Infinity for full attention. A sequence that fits is attended densely. */
  readonly tokenBudget: number;
  /** Set where the policy has selection layers. */
  readonly selectionLayersFrom?: SelectionLayersSource;
  /** Page size whose key bounds `select` reads, where it does. */
  readonly pageBounds?: number;
  /** Pure. */
  layerRole(layer: number): LayerRole;
  select?(step: Selector): TokenSelection;
  /**
   * The policy for one model: checks the settings against it and fills in those that depend on it. Without it the
   * policy holds for every model.
   * @throws ConfigError when a setting is impossible for the model.
   */
  forModel?(model: AttentionModel): AttentionPolicy;
}

export const DENSE: LayerRole = { attends: "all", selects: false };
export const SELECTS: LayerRole = { attends: "all", selects: true };
export const REUSES: LayerRole = { attends: "selected", selects: false };
export const SELECTS_FOR_ITSELF: LayerRole = { attends: "selected", selects: true };
