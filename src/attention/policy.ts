/**
 * The contract of an attention policy: which cached tokens a decode step attends to, layer by layer.
 *
 * Glossary. Token budget: maximum tokens that a sparse layer attends to, sinks and recency window included. Sink tokens: the
 * first n, always kept. Recency window: the last n, always kept; recency share: its share of the budget. Selection layer:
 * attends to all tokens and selects. Reuse layer: attends to the last selection. Dense layer: attends to all tokens. Head
 * group: query heads that share a selection. Batch group: consecutive sequences of a batch that share a policy. Sliding layer: the
 * model has it attend to a window of the last tokens, under every policy; it selects nothing. Global layer: any other.
 */
import type { KeptEnds, Pooling, Scores, TokenSelection, UnitSet } from "../backend/backend.ts";
import type { BlockGates, PolicyHost } from "./block-gates.ts";

/** One layer in a decode step. Dense: {all}. LessIsMore: selects at {all, selects}, reuses at {selected}. */
export interface LayerRole {
  readonly attends: "all" | "selected";
  readonly selects: boolean;
  /**
   * Of a reuse layer, after a selection with one set per kv head: kv head j attends to the set of kv head headMap[j]. Left out:
   * to its own.
   */
  readonly headMap?: readonly number[];
}

/**
 * Source of a policy's selection layers: the request (or the engine's policy), a calibration beside the model, the checkpoint, the paper's table for a model
 * of these sizes and tokens, or nobody. A guess by depth can be far worse than measured layers.
 */
export type SelectionLayersSource = "request" | "calibration" | "checkpoint" | "paper" | "guess";

/** Sizes of a model that a policy may depend on. */
export interface AttentionModel {
  readonly numLayers: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Tokens of a page of the KV cache. */
  readonly pageSize: number;
  /** The window of each sliding layer, by layer; undefined for global ones. Absent: all are global. */
  readonly windows?: readonly (number | undefined)[];
  /** Selection layers for settings that name none: global ones. Empty if there is none. */
  readonly defaultSelectionLayers: readonly number[];
  /** Source of `defaultSelectionLayers`. */
  readonly defaultSelectionLayersFrom: SelectionLayersSource;
  /** The model that the paper names these layers for. Absent: no paper does. */
  readonly defaultSelectionLayersOf?: string;
  /** Specs by policy: settings that somebody measured on this model, for specs of the policy that leave them out. */
  readonly measuredSettings?: ReadonlyMap<string, string>;
}

/** How to pool scores, and into one head per kv head or one for all. */
export interface PoolingOptions {
  readonly how: Pooling;
  readonly heads: "kv" | "all";
}

/**
 * Records a policy's selection in one selection layer, for all sequences that share the policy. Each of them is longer than
 * the budget. The results are handles; nothing is read back.
 */
export interface Selector {
  readonly layer: number;
  /** The policy's budget for sequences of these lengths: `tokenBudget`, or what `budgetShare` makes of it. */
  readonly budget: number;
  readonly model: AttentionModel;
  /** Scaled logits per query head: emitted by the dense pass of this layer, or computed from K. */
  scores(): Scores;
  /**
   * Scaled logits per query head of the candidates alone, -Infinity elsewhere: reads no other key. `topK` of fewer than there are
   * candidates selects among them.
   */
  scoresOf(candidates: TokenSelection): Scores;
  /** Per kv head the largest of its query heads' scaled logits against a 4-bit sketch of each key: reads the sketches alone. Needs `keySketch`. */
  sketchScores(): Scores;
  /** Quest's upper bounds per query head and page of `pageSize` tokens. */
  pageScores(pageSize: number): Scores;
  /** A learned score per kv head and block, by the layer's gate. gates: the policy's own */
  blockScores(gates: BlockGates): Scores;
  /** One pseudo-random score per token, the same on every backend. */
  randomScores(seed: number): Scores;
  /** Pools the scores of query heads: their maximum, or the mean of their softmax weights. */
  poolScores(scores: Scores, options: PoolingOptions): Scores;
  /** Per head the `count` best units apart from the always-kept tokens. */
  topK(scores: Scores, count: number, ends: KeptEnds): UnitSet;
  /** Per head the units whose score is above `threshold`, and unit 0, which the caller always keeps (`ends.sinks`). */
  unitsAbove(scores: Scores, threshold: number): UnitSet;
  /** One set of `count` units for all heads, by rank across heads. */
  mergeByRank(scores: Scores, count: number, ends: KeptEnds): UnitSet;
  /** Union of the set and the always-kept tokens (in units of the set; in tokens without a set), ascending. */
  expandSelection(set: UnitSet | undefined, ends: KeptEnds): TokenSelection;
}

/** Decides which cached tokens the layers of a decode step attend to. It keeps no state between steps. */
export interface AttentionPolicy {
  readonly name: string;
  /** Reports print them, spelled as in a spec. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Maximum tokens of a sparse layer; Infinity for full attention. Attention is dense while a sequence fits. */
  readonly tokenBudget: number;
  /**
   * The budget grows with the sequence: it is at least this share of the length, rounded up (`budgetAt`), from 0 to below 1.
   * Sequences with the same budget select together; `selector.budget` says which.
   */
  readonly budgetShare?: number;
  /** Longest sequence to which attention is dense, if it is not the budget. */
  readonly denseLength?: number;
  /** Present if the policy has selection layers. */
  readonly selectionLayersFrom?: SelectionLayersSource;
  /** True if `select` reads sketches of keys. */
  readonly keySketch?: true;
  /** Page size of the key bounds that `select` reads, if it reads any. */
  readonly pageBounds?: number;
  /** Weights of the policy, and their data of each page, which all of its steps extend. Undefined until `load` has run. */
  readonly gates?: BlockGates | undefined;
  /** Where `load` gets gates from, so that opening an engine leaves room for them. No location: the file beside the model. */
  readonly gate?: { readonly location: string | undefined };
  /** Pure. A sliding layer attends to its window, whatever its role. */
  layerRole(layer: number): LayerRole;
  /** Selects tokens in a selection layer, from what the selector offers. Absent in a policy without selection layers. */
  select?(selector: Selector): TokenSelection;
  /**
   * Binds the policy to a model: checks the settings and fills in those that depend on the model. A policy without it fits
   * every model.
   * @throws ConfigError when a setting is impossible for the model.
   */
  forModel?(model: AttentionModel): AttentionPolicy;
  /**
   * Loads weights that the policy owns. The engine calls it on the bound policy before its first step, while requests wait; roles
   * and budget are read after it.
   * @throws ModelFileError, ConfigError, BackendError
   */
  load?(host: PolicyHost): Promise<void>;
}

export const DENSE: LayerRole = { attends: "all", selects: false };
export const SELECTS: LayerRole = { attends: "all", selects: true };
export const REUSES: LayerRole = { attends: "selected", selects: false };
export const SELECTS_FOR_ITSELF: LayerRole = { attends: "selected", selects: true };
