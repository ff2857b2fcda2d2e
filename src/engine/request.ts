import type { AttentionPolicy, SelectionLayersSource } from "../attention/policy.ts";
import type { TemplateMessage } from "../load/chat-template.ts";

/**
 * One message of a chat. The chat template gets it unchanged, so it may hold any value that the template reads:
 * `tool_calls`, `tool_call_id`, `name`, `reasoning_content`, … Content: a text; null or left out beside `tool_calls`; a list
 * of parts if the template accepts one.
 */
export type ChatMessage = TemplateMessage;

/**
 * A request: exactly one of `messages`, `prompt` (raw text, no template) and `tokenIds`, and options.
 * Values left out come from the checkpoint's generation_config.json, then from the defaults. `generate` refuses unknown keys.
 */
export interface GenerationRequest {
  readonly messages?: readonly ChatMessage[];
  readonly prompt?: string;
  readonly tokenIds?: ArrayLike<number>;
  /** Variables for the chat template besides messages: `enable_thinking`, `tools`, `documents` and any other. */
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  /**
   * True if the output starts inside the reasoning. Default: for messages, by the template's generation prompt; for a prompt and
   * token ids, false.
   */
  readonly startsInReasoning?: boolean;
  /** A policy value or a spec such as "less-is-more:budget=256,layers=2+7". Default: the engine's own. */
  readonly attention?: AttentionPolicy | string;
  /**
   * Maximum tokens to generate. Default: the checkpoint's limit, or the room in the context. The engine lowers a limit that exceeds
   * the context, and notes that in the result.
   */
  readonly maxTokens?: number;
  /** 0 or more; 0 is greedy. */
  readonly temperature?: number;
  /** Samples from the k likeliest tokens; 0: from all. */
  readonly topK?: number;
  /** In (0, 1]: samples from the likeliest tokens that have this probability together. */
  readonly topP?: number;
  /** In [0, 1]: samples from tokens with at least this probability, relative to the likeliest. */
  readonly minP?: number;
  /** Above 0: lowers the logits of tokens in the prompt and the output so far; 1 changes nothing. */
  readonly repetitionPenalty?: number;
  /** Any integer. Default: a new random one per request. */
  readonly seed?: number;
  /**
   * Texts that end the output and are not part of it. The engine searches the answer and the reasoning markers for them
   * (`</think>` ends the request after the reasoning), not the reasoning itself.
   */
  readonly stop?: string | readonly string[];
  /** Continues past end-of-sequence tokens, to maxTokens. */
  readonly ignoreEos?: boolean;
  readonly signal?: AbortSignal;
}

export type PartKind = "reasoning" | "answer";

/** A part of the output: whole characters, without reasoning markers. */
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
  /** decodeMs divided by the number of tokens after the first. */
  readonly msPerToken: number;
}

export interface GenerationResult {
  /** All generated text with its reasoning markers, without the end-of-sequence token and the stop text. */
  readonly text: string;
  readonly reasoning: string;
  readonly answer: string;
  /** All generated tokens, the end-of-sequence token included. */
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason;
  readonly usage: { readonly promptTokens: number; readonly completionTokens: number };
  readonly timings: GenerationTimings;
  readonly attention: {
    readonly name: string;
    readonly settings: Readonly<Record<string, unknown>>;
    /** Source of the policy's selection layers; absent if it has none. */
    readonly selectionLayersFrom?: SelectionLayersSource;
    /**
     * Bytes of the KV cache and its key bounds that decoding read, divided by the bytes of the cached keys and values, over all
     * layers and decode steps. 1 is dense. The reads of a selection count (every key for the oracle, key bounds for Quest), and each
     * set of heads reads its own tokens, so the fraction may exceed 1. Recorded ops count it (`attention/cache-reads.ts`).
     */
    readonly attendedFraction: number;
  };
  /** Deviations from the request, and guesses: a lowered maxTokens, guessed selection layers, KV pages given to older requests. */
  readonly notes: readonly string[];
}

/** Progress of a request. */
export interface GenerationProgress {
  readonly phase: "waiting" | "prefill" | "decode" | "done";
  readonly promptTokens: number;
  /** Tokens that recorded steps have cached or will cache. */
  readonly cachedTokens: number;
  readonly generatedTokens: number;
  /** Holders of the place and the pages that it waits for, or its consumer. Present while it waits. */
  readonly waitsFor?: string;
}

/**
 * A started generation. Iterate over its parts, await its result, or both, in any order; each part comes once.
 *
 * A generation starts by itself. It pauses at 64 unread parts if nobody has asked for the result. A paused generation yields its
 * place and pages to waiting requests; after the next read it continues with the same tokens. So an abandoned generation blocks no
 * request. Leaving the loop early aborts it, unless its result was asked for.
 */
export interface Generation extends AsyncIterable<GenerationPart> {
  /** @throws AbortedError, RequestError, BackendError */
  result(): Promise<GenerationResult>;
  readonly progress: GenerationProgress;
}
