/** What answers problems: an engine in this process (`engine-solver.ts`), or a model behind an endpoint. */
import type { AttentionObserver, AttentionPolicy, ChatMessage } from "../../src/node/index.ts";

/** Sampling values; those left out are the model's own. */
export interface Sampling {
  /** 0 is greedy. */
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
}

/** A problem for a solver. */
export interface SolveRequest {
  readonly messages: readonly ChatMessage[];
  readonly sampling: Sampling;
  /** Maximum tokens to generate. Left out: what the context holds. */
  readonly maxTokens?: number;
  /** In [0, 2^31): the range that every engine's seed has. */
  readonly seed: number;
  /** A method of `Solver.bind`. */
  readonly method: Method;
  /** Variables of the chat template, such as enable_thinking. */
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  readonly signal?: AbortSignal;
}

/** A response, and what it cost. */
export interface Solved {
  /** The whole response with its reasoning markers. */
  readonly text: string;
  /** The part after the reasoning, by the model's own markers; absent if the solver does not know them. */
  readonly answer?: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** length: cut at maxTokens or at the end of the context. */
  readonly finishReason: "stop" | "length";
  /** Absent where nobody measures it, such as behind an endpoint. */
  readonly attendedFraction?: number;
  readonly prefillMs?: number;
  readonly decodeMs?: number;
  readonly msPerToken?: number;
  /** Deviations from the request. */
  readonly notes?: readonly string[];
}

/** Forced tokens under several methods: one dense prefill of [0, from), then each further token as a decode step. */
export interface ScoreRequest {
  readonly tokenIds: readonly number[];
  /** First scored token, at least 1. */
  readonly from: number;
  readonly methods: readonly Method[];
  readonly signal?: AbortSignal;
}

/** Forced tokens under one method. */
export interface ForcedRequest extends Omit<ScoreRequest, "methods"> {
  readonly method: Method;
}

/** Probabilities of forced tokens, and what they cost. */
export interface Scored {
  /** Natural logarithms of the probabilities, f32 [tokenIds.length - from]. */
  readonly logProbs: Float32Array;
  /** True for each forced token that is the likeliest one, ties to the lower id; [tokenIds.length - from]. */
  readonly isLikeliest: readonly boolean[];
  readonly attendedFraction?: number;
  readonly prefillMs?: number;
  readonly decodeMs?: number;
  readonly msPerToken?: number;
  readonly notes?: readonly string[];
}

/** A way of attending, bound to the solver's model. */
export interface Method {
  /** The policy as a spec with all its settings; the served model's name behind an endpoint. Names the method in rows and tables. */
  readonly label: string;
  /** Absent behind an endpoint. */
  readonly attention?: AttentionPolicy | string;
  /** What else decides its results and the label does not say, such as the hash of a policy's file. */
  readonly identity?: Readonly<Record<string, unknown>>;
}

/** What a solver is: recorded with the results. */
export interface SolverReport {
  /** For people and for the folder of the results: the path or name as it was given. */
  readonly model: string;
  /**
   * What decides the outcome of a request besides the request: content or revision of the model, template, precisions, backend.
   * JSON; it enters the settings' hash, so it has no time, path or machine.
   */
  readonly identity: Readonly<Record<string, unknown>>;
  /** The rest that a reader wants to know: device, threads, versions, load time. JSON. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** Answers problems: an engine, or a server behind its API. */
export interface Solver {
  readonly report: SolverReport;
  /** Requests that it takes at once; the runner keeps that many in flight. */
  readonly concurrency: number;
  /** Tokens of prompt and output together, if it is known. */
  readonly contextLength?: number;
  /** The model's tokenizer, for tasks that come in lengths; absent behind an endpoint. */
  readonly tokenizer?: SolverTokenizer;
  /** Checks attention specs against the model and fills in their settings. @throws ConfigError naming the spec */
  bind(attentions: readonly AttentionChoice[]): Promise<readonly Method[]>;
  /** @throws AbortedError, RequestError (this request cannot run), or another error that a retry may mend */
  solve(request: SolveRequest): Promise<Solved>;
  /** Scores forced tokens, one result a method in their order; absent if the solver cannot. */
  score?(request: ScoreRequest): Promise<readonly Scored[]>;
  /**
   * Runs a request again beside an observer of its attention, for traces; absent if the solver cannot.
   * @throws as `solve` does
   */
  observe?(request: SolveRequest | ForcedRequest, observer: AttentionObserver): Promise<void>;
  /** Tokens generated and scored so far, those of running requests included; absent if only finished requests are known. */
  generatedTokens?(): number;
  /** Ends what the solver has opened. */
  close(): Promise<void>;
}

/** The model's tokenizer. */
export interface SolverTokenizer {
  /** Returns the ids of a text. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** Returns the text of ids. */
  decode(ids: ArrayLike<number>): string;
}

/** A policy as the command line names it. */
export interface AttentionChoice {
  /** As it was given: "less-is-more:budget=256", "./my-policy.mjs:budget=64". */
  readonly spec: string;
  readonly attention: AttentionPolicy | string;
  readonly identity?: Readonly<Record<string, unknown>>;
}
