import type { AttentionPolicy } from "../attention/policy.ts";

/** One message of a chat, as chat templates take it. */
export interface ChatMessage {
  readonly role: string;
  readonly content: string;
}

/**
 * What to generate. Exactly one of `messages`, `prompt` (raw text, no template) and `tokenIds`.
 * Sampling values left out come from the checkpoint's generation_config.json, then from the defaults.
 */
export interface GenerationRequest {
  readonly messages?: readonly ChatMessage[];
  readonly prompt?: string;
  readonly tokenIds?: ArrayLike<number>;
  /** A policy value or a spec such as "less-is-more:budget=256,layers=2+7"; the engine's own where left out. */
  readonly attention?: AttentionPolicy | string;
  /** Most tokens to generate; what the context has room for where left out. */
  readonly maxTokens?: number;
  /** 0 is greedy. */
  readonly temperature?: number;
  readonly topK?: number;
  readonly topP?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  /** Any integer; a fresh one for each request where left out. */
  readonly seed?: number;
  /** Texts that end the answer; they are not part of it. */
  readonly stop?: string | readonly string[];
  /** Runs to maxTokens past end-of-sequence tokens. */
  readonly ignoreEos?: boolean;
  readonly signal?: AbortSignal;
}

export type PartKind = "reasoning" | "answer";

/** A piece of the output as it comes: whole characters, markers of thinking left out. */
export interface GenerationPart {
  readonly kind: PartKind;
  readonly text: string;
  readonly tokenIds: readonly number[];
}

/** stop: an end-of-sequence token or a stop text; length: maxTokens or the end of the context. */
export type FinishReason = "stop" | "length";

export interface GenerationTimings {
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** decodeMs over the tokens decoded after the first. */
  readonly msPerToken: number;
}

export interface GenerationResult {
  /** Everything generated as text, thinking markers included, the end-of-sequence token and stop text left out. */
  readonly text: string;
  readonly reasoning: string;
  readonly answer: string;
  /** Everything generated, the end-of-sequence token included. */
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason;
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number };
  readonly timings: GenerationTimings;
  readonly attention: {
    readonly name: string;
    readonly settings: Readonly<Record<string, unknown>>;
    /** Key/value rows read by decode attention over rows cached, over all layers and decode steps; 1 is dense. */
    readonly attendedFraction: number;
  };
}

/** A running generation: iterate over its parts, or await its result, or both (parts first). */
export interface Generation extends AsyncIterable<GenerationPart> {
  result(): Promise<GenerationResult>;
}
