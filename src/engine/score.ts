import type { AttentionObserver } from "../attention/observer.ts";
import type { AttentionPolicy, SelectionLayersSource } from "../attention/policy.ts";
import type { GenerationTimings } from "./request.ts";

/** Tokens whose probabilities are wanted under one attention policy. */
export interface ScoreRequest {
  /** At least two tokens, at most contextLength. */
  readonly tokenIds: ArrayLike<number>;
  /** Index of the first token to score: at least 1, below the number of tokens. The tokens before it are the prompt. */
  readonly from: number;
  /** A policy value or a spec such as "less-is-more:budget=256,layers=2+7". Default: the engine's own. */
  readonly attention?: AttentionPolicy | string;
  /**
   * Receives the logits of the token at each scored position, in order: f32 [vocabSize], given the tokens before it. The array is
   * reused; it is valid until the callback returns.
   */
  readonly onLogits?: (position: number, logits: Float32Array) => void;
  /** Watches the attention of sampled decode steps. */
  readonly observer?: AttentionObserver;
  readonly signal?: AbortSignal;
}

/** The same tokens under several attention policies at once. */
export interface ScoreEachRequest extends Omit<ScoreRequest, "attention" | "onLogits" | "observer"> {
  /** Policy values or specs, at least one. */
  readonly attentions: readonly (AttentionPolicy | string)[];
  /** As of `score`, with the index of the policy: all policies of a position, in order of `attentions`, before the next position. */
  readonly onLogits?: (index: number, position: number, logits: Float32Array) => void;
}

/** Probabilities of forced tokens. */
export interface ScoreResult {
  /** Natural logarithm of the probability of each token from `from` on: f32 [tokenIds.length - from]; -Infinity for a masked token. */
  readonly logProbs: Float32Array;
  /**
   * Bytes of the KV cache and its key bounds that the decode steps read, divided by the bytes of the cached keys and values, as in the
   * result of a generation. 1 without decode steps.
   */
  readonly attendedFraction: number;
  readonly attention: {
    readonly name: string;
    readonly settings: Readonly<Record<string, unknown>>;
    /** Source of the policy's selection layers; absent if it has none. */
    readonly selectionLayersFrom?: SelectionLayersSource;
  };
  /** Times of the call: policies that are scored together share their steps. */
  readonly timings: GenerationTimings;
  /** Guesses about the policy. */
  readonly notes: readonly string[];
}
