/** The public interface of an engine. */
import type { SelectionLayersSource } from "../attention/policy.ts";
import type { BackendReport, CacheDtype } from "../backend/backend.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { WeightPrecision } from "../model/weight-storage.ts";
import type { IgnoredTensors } from "../model/weights.ts";
import type { EngineStats } from "./engine-stats.ts";
import type { Generation, GenerationRequest } from "./request.ts";
import type { ScoreEachRequest, ScoreRequest, ScoreResult } from "./score.ts";
import type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "./session.ts";
import type { PromptToTokenize, TokenizedPrompt } from "./tokenize-prompt.ts";

/** An open model, which runs requests concurrently. `close` ends it. */
export interface Engine extends LoadedEngine {
  /**
   * Gives the memory of the model and its cache back. The next request, or call of `logits` or `score`, loads the model again and waits for
   * it. Calling it twice is allowed. After a `failure` it gives up the engine that failed, so that the next request opens another.
   * @throws RequestError while requests run or wait on an engine that works
   */
  unload(): Promise<void>;
}

/** An engine whose model is in memory. */
export interface LoadedEngine {
  readonly tokenizer: Tokenizer;
  /** The texts of the checkpoint's chat templates; empty if it has none. */
  readonly chatTemplates: readonly string[];
  /** The error that ended the engine: every later request ends with it. Undefined while the engine works. */
  readonly failure: Error | undefined;
  /**
   * Queues a request. An impossible request throws here, not later. After a failure of the backend every generation ends with that
   * failure.
   * @throws RequestError, ConfigError, OutOfPagesError
   */
  generate(request: GenerationRequest): Generation;
  /**
   * Computes dense logits of every position: f32 [tokenIds.length, vocabSize], for at most contextLength tokens. Queues for its pages
   * like a request, and shares the backend with the steps of requests.
   * @throws RequestError, OutOfPagesError, BackendError; AbortedError if the engine closes meanwhile
   */
  logits(tokenIds: ArrayLike<number>): Promise<Float32Array>;
  /**
   * Computes the probability of each token from `from` on, fed as decode steps under an attention policy: prefill is dense, and so is a
   * step while the tokens fit the policy's budget, as in `generate`. Queues for its pages like a request, and takes turns with
   * requests. It fails alone.
   * @throws RequestError, ConfigError, OutOfPagesError, BackendError; AbortedError by the signal, or if the engine closes meanwhile
   */
  score(request: ScoreRequest): Promise<ScoreResult>;
  /**
   * Scores the same tokens under several policies at once. They share the pages and the dense prefill of the prompt, and each is
   * a row of the decode steps; if they are more than a batch has, each step takes several batches.
   * @throws as `score`
   */
  scoreEach(request: ScoreEachRequest): Promise<readonly ScoreResult[]>;
  /**
   * Makes a file of a conversation's cache: its whole pages, after computing by prefill those that the cache lacks. Takes its place among
   * the requests.
   * @throws RequestError, ConfigError, ModelFileError, OutOfPagesError, OutOfMemoryError, BackendError; AbortedError by the signal, or if the engine
   * closes meanwhile
   */
  saveSession(request: SessionRequest): Promise<SavedSession>;
  /**
   * Puts a saved conversation into the cache, where requests that begin with its tokens find it. Its keys and values decide what such requests get,
   * so that a file needs as much trust as a checkpoint. It is given up like any cached page: for requests that need the memory, or after ten
   * minutes without any.
   * @throws SessionError for a file that is damaged or of another version, model or kind of cache; otherwise as `saveSession`
   */
  loadSession(bytes: Uint8Array, options?: SessionOptions): Promise<LoadedSession>;
  /**
   * Renders and tokenises a prompt as `generate` does, and runs nothing. Behind a worker it is the worker that does it.
   * @throws RequestError, ConfigError
   */
  tokenizePrompt(prompt: PromptToTokenize): Promise<TokenizedPrompt>;
  /** Describes the model, its precision, the backend and the reasons for these choices. */
  report(): EngineReport;
  /** Counts requests, pages and uses of the prefix index. Cheap enough to call at any time. */
  stats(): EngineStats;
  /** Aborts all requests, ends threads, frees memory. Calling it twice is allowed. */
  close(): Promise<void>;
}

/** What was opened, on which backend, and why. */
export interface EngineReport {
  readonly model: {
    readonly name: string;
    /** Tells its config, weights and their precision from those of other models. */
    readonly fingerprint: string;
    readonly architecture: string;
    readonly parameters: number;
    readonly contextLength: number;
    readonly maxPositionEmbeddings: number;
    /** Bytes of the keys and values of one token in all layers. */
    readonly kvBytesPerToken: number;
    /** Storage type of keys and values. */
    readonly cacheDtype: CacheDtype;
    /** Tensors that no op uses and `transformers` ignores too: their number and first names. */
    readonly ignoredTensors: IgnoredTensors;
    /** Precision of the weights, why, and the formats of the matrices. */
    readonly weights: WeightPrecision;
  };
  readonly backend: BackendReport & {
    /** Reason for the choice of this backend. */
    readonly why: string;
    /** Duration of the GPU's self-test, which runs once in a process. */
    readonly selfTestMs?: number;
  };
  readonly attention: {
    readonly name: string;
    readonly settings: Readonly<Record<string, unknown>>;
    /** Source of the policy's selection layers; absent if it has none. */
    readonly selectionLayersFrom?: SelectionLayersSource;
    /** The model that the paper names the layers for, if they come from the paper. */
    readonly selectionLayersOf?: string;
  };
  readonly loadMs: number;
  /** Source of the context if it is not max_position_embeddings: a RoPE scaling, or a limit by memory. */
  readonly contextNote?: string;
  /**
   * Notes for people: the note above, guessed selection layers, unreadable files (they count as missing), and values of the
   * checkpoint that the engine ignores.
   */
  readonly notes: readonly string[];
}
