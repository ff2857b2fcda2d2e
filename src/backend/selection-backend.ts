/**
 * The ops by which a policy selects tokens, and what they pass on. They take one row per sequence; all are deterministic, and
 * ties go to the lower position.
 */
import type { TensorRef } from "../base/tensor-ref.ts";
import type { BlockGate } from "./block-gate.ts";

/** Consecutive sequences of the current batch: first, first + 1, …, first + count - 1. */
export interface SequenceRange {
  readonly first: number;
  readonly count: number;
}

/**
 * One score for each unit of a sequence. A unit is a run of `unit` consecutive positions: 1 for token scores, the
 * page size for page scores. The sequence has `ceil(length / unit)` units.
 */
export interface Scores {
  /** f32 [at least range.count, heads, capacity]; row s is sequence range.first + s. */
  readonly values: TensorRef;
  readonly heads: number;
  readonly unit: number;
}

/** Units chosen from scores: for each sequence and head group exactly `count` units, in no promised order. Only `unitsAbove` repeats any. */
export interface UnitSet {
  /** u32 [at least range.count, headGroups, capacity] */
  readonly units: TensorRef;
  readonly headGroups: number;
  readonly count: number;
  readonly unit: number;
}

/**
 * The tokens that sparse layers attend to.
 *
 * indices u32 [at least range.count, headGroups, capacity]: ascending positions, no repeats, first counts[s, group] valid
 * counts  u32 [at least range.count, headGroups], at least 1 each: sets of a sequence may have different sizes
 * headGroups  1 (one set for all heads), numKvHeads or numQueryHeads
 */
export interface TokenSelection {
  readonly indices: TensorRef;
  readonly counts: TensorRef;
  readonly headGroups: number;
}

/** Units at both ends of a sequence: the first `sinks` and the last `recent`. */
export interface KeptEnds {
  readonly sinks: number;
  readonly recent: number;
}

/**
 * How the scores of a group of heads become one. softmax-mean: the mean of the heads' softmax weights, each head's softmax taken
 * over all units of its sequence. max: the maximum of the scores.
 */
export type Pooling = "softmax-mean" | "max";

/**
 * A sketch of the keys of one layer: 4 bits a channel and one scale for each key. A key k has the scale s = max |k| / 7 and the codes
 * round(k / s), ties to even; s = 0 has the codes 0. Quotients are f32.
 */
export interface KeySketch {
  /** u32 [maxPages, pageSize, numKvHeads, sketchWords(headDim)], words in an order of the backend's; an engine's follow the pool (`createPageTensor`). */
  readonly keys: TensorRef;
}

export interface SelectionBackend {
  /** Scaled logits of each query head against every cached key of `layer` (reads K, not V). */
  scores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void;
  /**
   * Scaled logits of each query head against the keys of the candidates of its head group; -Infinity for every other position.
   * Reads no other key. out: heads = numQueryHeads, unit 1.
   */
  selectedScores(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    candidates: TokenSelection,
    out: Scores,
  ): void;
  /** score of position t = hashUnit(seed, layer, length, t); one head. */
  randomScores(layer: number, range: SequenceRange, seed: number, out: Scores): void;
  /**
   * Brings the per-channel minimum and maximum of the keys of each page of `layer` up to date, from the step's
   * `validBounds` to the end of each sequence: a page is extended from there, or started anew at its first token.
   * Must be recorded after `attentionInput` and before `pageScores` reads what it changes.
   */
  updatePageBounds(layer: number, range: SequenceRange): void;
  /**
   * Quest's upper bound per query head and run of `out.unit` tokens: sum over channels of max(q * min, q * max), unscaled.
   * out.unit is a multiple of the cache's page size; the bounds of every page must be up to date.
   */
  pageScores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void;
  /**
   * Sketches the keys of `layer` from the step's `validBounds` to the end of each sequence, as the cache holds them. Must be
   * recorded after `attentionInput` and before `sketchScores` reads what it changes.
   */
  updateKeySketch(layer: number, range: SequenceRange, sketch: KeySketch): void;
  /**
   * Per kv head the largest of its query heads' scaled logits against the sketch of every key instead of the key: reads nothing else
   * of the cache. A backend may round the query to 16 bits. out: heads = numKvHeads, unit 1. NaN leaves a score undefined.
   */
  sketchScores(range: SequenceRange, query: TensorRef, sketch: KeySketch, out: Scores): void;
  /**
   * Extends `gate.pools` of the pages of each sequence by the raw keys of the step's rows, a page's first token starts it anew,
   * and computes `gate.blockKeys` of the blocks that the rows complete. keys: of `RawHeads`. Every earlier row of the sequences
   * went through this op.
   */
  updateBlockKeys(range: SequenceRange, keys: TensorRef, gate: BlockGate): void;
  /**
   * Per kv head and block: gate query · gate key / sqrt(gateDim); a block that is not whole has the key 0, hence the score 0.
   * query: of `RawHeads`; the range's sequences have one row each. out.heads = numKvHeads, out.unit = gate.blockSize.
   */
  blockScores(range: SequenceRange, query: TensorRef, gate: BlockGate, out: Scores): void;
  /**
   * Pools each run of scores.heads / out.heads consecutive heads into one. out.heads divides scores.heads; out.unit = scores.unit.
   * A unit of -Infinity has no weight, and stays -Infinity if all heads of the run have it so. NaN and +Infinity leave the scores
   * of their run undefined.
   * source: arXiv 2512.16391, section 3.5, for softmax-mean
   */
  poolScores(range: SequenceRange, scores: Scores, how: Pooling, out: Scores): void;
  /**
   * Per head the `out.count` best units between the ends (units sinks .. n - recent - 1): score descending, ties to the
   * lower position, NaN last. out.headGroups = scores.heads. The candidates must be at least out.count.
   */
  topK(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void;
  /**
   * Per head the units whose score is above `threshold`, and unit 0 in the places of the others up to out.count, which is at least the
   * units of each sequence. NaN is not above. out.headGroups = scores.heads.
   */
  unitsAbove(range: SequenceRange, scores: Scores, threshold: number, out: UnitSet): void;
  /**
   * One set for all heads: visit rank 0 of every head in ascending order of head, then rank 1, …; keep first
   * occurrences until out.count are kept. Ranks are those of `topK`. out.headGroups = 1.
   */
  mergeByRank(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void;
  /**
   * The set's units and both ends, as ascending token positions (units expanded, the last one cut at the length).
   * set may be left out: the ends alone, in tokens (unit 1), one group.
   */
  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void;
  /**
   * Gives each kv head the set of another: set j of out = set map[j] of the selection. Both have numKvHeads head groups, and out
   * at least the selection's capacity; it is another selection. A backend may cache data by the identity of `map`: pass the same
   * array in every step.
   */
  mapHeads(
    range: SequenceRange,
    selection: TokenSelection,
    map: readonly number[],
    out: TokenSelection,
  ): void;
}
