import type { AttentionPolicy, SelectionLayersSource } from "../attention/policy.ts";
import type { TemplateMessage } from "../load/chat-template.ts";

/**
 * One message of a chat. It goes to the chat template as it is, so it may hold what the template knows besides:
 * `tool_calls`, `tool_call_id`, `name`, `reasoning_content`, … Content: a text; null or left out beside `tool_calls`; a list
 * of parts where the template takes one.
 */
export type ChatMessage = TemplateMessage;

/**
 * What to generate. Exactly one of `messages`, `prompt` (raw text, no template) and `tokenIds`.
 * Values left out come from the checkpoint's generation_config.json, then from the defaults. Unknown keys are refused.
 */
export interface GenerationRequest {
  readonly messages?: readonly ChatMessage[];
  readonly prompt?: string;
  readonly tokenIds?: ArrayLike<number>;
  /** Variables for the chat template besides messages: `enable_thinking`, `tools`, `documents` and any other. */
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  /**
   * The output goes on inside a block of thinking. Default: of messages, what the template's generation prompt says; of
   * a prompt and token ids, false.
   */
  readonly startsInReasoning?: boolean;
  /** A policy value or a spec such as "less-is-more:budget=256,layers=2+7"; the engine's own where left out. */
  readonly attention?: AttentionPolicy | string;
  /**
   * Most tokens to generate; what the checkpoint says or the context has room for where left out. One that does not fit is
   * lowered, with a note in the result.
   */
  readonly maxTokens?: number;
  /** 0 or more; 0 is greedy. */
  readonly temperature?: number;
  /** Draws from the k likeliest tokens; 0 from all. */
  readonly topK?: number;
  /** In (0, 1]: draws from the likeliest tokens that have this probability together. */
  readonly topP?: number;
  /** In [0, 1]: draws from tokens that are at least this likely, relative to the likeliest. */
  readonly minP?: number;
  /** Above 0: divides the logits of tokens that were seen; 1 changes nothing. */
  readonly repetitionPenalty?: number;
  /** Any integer; a fresh one for each request where left out. */
  readonly seed?: number;
  /**
   * Texts that end the output; they are not part of it. They are looked for in the answer and in the thinking markers
   * (`</think>` ends the request with the reasoning alone), not inside the reasoning.
   */
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
    /** Who named the policy's selection layers, where it has any. */
    readonly selectionLayersFrom?: SelectionLayersSource;
    /**
     * Bytes that decoding read of the KV cache and its per-page data, over the bytes of the keys and values cached; over all
     * layers and decode steps. 1 is dense. What selection reads counts (every key for the oracle, page bounds for Quest), and
     * query heads with sets of their own read each their own, so it may be above 1. Counted by the ops recorded
     * (`attention/cache-reads.ts`).
     */
    readonly attendedFraction: number;
  };
  /** What was done otherwise than asked, or on a guess: a maxTokens that was lowered, selection layers nobody named, pages given up. */
  readonly notes: readonly string[];
}

/** How far a request is. */
export interface GenerationProgress {
  readonly phase: "waiting" | "prefill" | "decode" | "done";
  readonly promptTokens: number;
  /** Tokens whose keys and values are cached. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** While it waits: who has what it needs. */
  readonly waitsFor?: string;
}

/**
 * A generation under way: iterate over its parts, await its result, or both, in any order; each part comes once.
 *
 * It starts by itself. When 64 parts lie unread and nobody has asked for the result, it pauses; a paused one gives its
 * place to requests that wait, and goes on where it was, with the same tokens, once it is read on. So one that is
 * dropped holds nobody up. Leaving the loop early aborts it, unless its result was asked for.
 */
export interface Generation extends AsyncIterable<GenerationPart> {
  /** @throws AbortedError, RequestError, BackendError */
  result(): Promise<GenerationResult>;
  readonly progress: GenerationProgress;
}
