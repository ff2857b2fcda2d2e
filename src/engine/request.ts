import type { AttentionObserver } from "../attention/observer.ts";
import type { AttentionPolicy, SelectionLayersSource } from "../attention/policy.ts";
import type { ConstraintSpec, TokenConstraint } from "../constraint/constraint.ts";
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
  /**
   * True gives the output as the model wrote it: reasoning, markers and answer are one text, that of the answer, and stop texts end it
   * anywhere. Default: parts and results split it, and have no markers.
   */
  readonly keepsMarkers?: boolean;
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
  /** From 0.001 to 1000: lowers the logits of tokens in the prompt and the output so far; 1 changes nothing. */
  readonly repetitionPenalty?: number;
  /** From -2 to 2: lowers the logit of each token of the output so far by this, once. */
  readonly presencePenalty?: number;
  /** From -2 to 2: lowers the logit of each token of the output so far by this for each time that it came. */
  readonly frequencyPenalty?: number;
  /** Added to the logits of tokens, after the penalties: token id to a number from -100 (never) to 100 (always). */
  readonly logitBias?: Readonly<Record<number, number>>;
  /**
   * Tokens that an earlier run of this request has generated: one that was aborted, or whose device was lost. They are the first of the
   * output, and come as parts again. The engine feeds them as decode steps under the request's attention and goes on after them, so that a
   * greedy request, or one with the same seed, gets the tokens of an uninterrupted run. Timings and `attendedFraction` count the steps after them. Not beside `logprobs` and `constraint`.
   */
  readonly generated?: ArrayLike<number>;
  /** Any integer. Default: a new random one per request. */
  readonly seed?: number;
  /**
   * Texts that end the output and are not part of it. The engine searches the answer and the reasoning markers for them
   * (`</think>` ends the request after the reasoning), not the reasoning itself.
   */
  readonly stop?: string | readonly string[];
  /** Tokens that end the output, as end-of-sequence tokens do, reasoning included. */
  readonly stopTokenIds?: readonly number[];
  /** Continues past end-of-sequence tokens, to maxTokens. */
  readonly ignoreEos?: boolean;
  /** Requests of different salts share no cached tokens, so that none can time what another has asked. Default: one salt for all. */
  readonly cacheSalt?: string;
  /**
   * Also reuses cached tokens of earlier answers that set this under the same attention, and leaves its own. Their keys depend on the
   * policy that decoded them, so that a result depends on what ran before; its notes say so. Default: tokens of prompts alone.
   */
  readonly reusesDecoded?: boolean;
  /** No end-of-sequence token, stop token or stop text ends the output before it has so many tokens. Default 0. */
  readonly minTokens?: number;
  /**
   * Tokens that the model may write inside its reasoning. Then the engine writes the model's closing marker, with the white space of
   * its chat format, and the model answers; 0 closes the reasoning at once. Default: no limit but maxTokens.
   */
  readonly thinkingBudget?: number;
  /**
   * From 0 to 20: the result and its parts have the logarithm of each token's probability, and of so many of the best tokens in its
   * place. They are those of the model's own distribution, before temperature, penalties, biases, constraint and filters. The host
   * reads all logits of such a request. Absent: none.
   */
  readonly logprobs?: number;
  /**
   * Says which tokens may come next in the answer; it does not see the reasoning. A spec, such as `{ schema }`, or a constraint of
   * the caller's own. A spec that cannot be compiled fails the request before it runs. Such a request waits for each token before
   * its next step is recorded; others of its batch do not.
   */
  readonly constraint?: TokenConstraint | ConstraintSpec;
  /** Watches the attention of sampled decode steps. */
  readonly observer?: AttentionObserver;
  readonly signal?: AbortSignal;
}

/** Where a part belongs. */
export type PartKind = "reasoning" | "answer";

/** A token and the natural logarithm of its probability. */
export interface TokenAlternative {
  readonly id: number;
  /** U+FFFD in place of parts of characters. */
  readonly text: string;
  /** UTF-8 of the token, which may be a part of a character. */
  readonly bytes: readonly number[];
  readonly logprob: number;
}

/** A token of the output. A token that the engine wrote itself, to close the reasoning, has logprob 0 and no alternatives. */
export interface TokenLogprob extends TokenAlternative {
  /** The best tokens in its place, the likeliest first; the token itself may be one. */
  readonly top: readonly TokenAlternative[];
}

/** A part of the output: whole characters, without reasoning markers. */
export interface GenerationPart {
  readonly kind: PartKind;
  readonly text: string;
  readonly tokenIds: readonly number[];
  /** Tokens between the part before and this one, whose text is in no part: those of a reasoning marker. Absent: none. */
  readonly markerTokenIds?: readonly number[];
  /** One for each of `tokenIds`, if the request asked for them. */
  readonly logprobs?: readonly TokenLogprob[];
}

/** stop: an end-of-sequence token, a stop token or a stop text; length: maxTokens or the end of the context. */
export type FinishReason = "stop" | "length";

/** Milliseconds of the two phases of a request. */
export interface GenerationTimings {
  readonly prefillMs: number;
  readonly decodeMs: number;
  /** decodeMs divided by the number of tokens after the first. */
  readonly msPerToken: number;
}

/** Times of a request among others. */
export interface RequestTimings extends GenerationTimings {
  /**
   * Steps of the engine that ended after the request came, up to the one with its first token: 1 if that is the next step to
   * begin. On a backend that runs ahead the steps that were recorded before count, too. 0 without a token.
   */
  readonly firstTokenSteps: number;
}

/** Tokens of a request. */
export interface GenerationUsage {
  readonly promptTokens: number;
  /** Tokens of the prompt that the request did not compute, since the cache held them or another request computed them. */
  readonly cachedTokens: number;
  /** All generated tokens. */
  readonly completionTokens: number;
  /** Those that the model wrote inside its reasoning, without the markers. */
  readonly reasoningTokens: number;
}

/** What a generation gave, and what it cost. */
export interface GenerationResult {
  /** All generated text with its reasoning markers, without the token or the stop text that ended it. */
  readonly text: string;
  readonly reasoning: string;
  readonly answer: string;
  /** All generated tokens, the one that ended the output included. */
  readonly tokenIds: readonly number[];
  /** One for each of `tokenIds`, if the request asked for them. */
  readonly logprobs?: readonly TokenLogprob[];
  readonly finishReason: FinishReason;
  readonly usage: GenerationUsage;
  /** Present if the request has a thinkingBudget. isCut: the budget ended the reasoning. */
  readonly thinking?: { readonly isCut: boolean };
  readonly timings: RequestTimings;
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
