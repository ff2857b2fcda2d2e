/** What an engine offers. */
import type { SelectionLayersSource } from "../attention/policy.ts";
import type { BackendReport } from "../backend/backend.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { IgnoredTensors } from "../model/weights.ts";
import type { Generation, GenerationRequest } from "./request.ts";

export interface Engine {
  readonly tokenizer: Tokenizer;
  /**
   * Queues a request. What cannot run is an error here, not later. Once the backend has failed, every generation ends
   * with that failure.
   * @throws RequestError, ConfigError, OutOfPagesError
   */
  generate(request: GenerationRequest): Generation;
  /**
   * Dense logits of every position: f32 [tokenIds.length, vocabSize], of at most contextLength tokens. Queues for its pages
   * like a request, and takes its turns between the steps of others.
   * @throws RequestError, OutOfPagesError, BackendError, AbortedError when the engine is closed meanwhile
   */
  logits(tokenIds: ArrayLike<number>): Promise<Float32Array>;
  report(): EngineReport;
  /** Aborts what runs, ends threads, frees memory. Calling it twice is allowed. */
  close(): Promise<void>;
}

export interface EngineReport {
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly parameters: number;
    readonly contextLength: number;
    readonly maxPositionEmbeddings: number;
    /** Keys and values of one token over all layers, as the backend stores them. */
    readonly kvBytesPerToken: number;
    /** Tensors that no op uses, as `transformers` leaves them out: how many, and the first of their names. */
    readonly ignoredTensors: IgnoredTensors;
  };
  readonly backend: BackendReport & {
    /** Why this backend. */
    readonly why: string;
    /** Duration of the GPU's self-test, which runs once in a process. */
    readonly selfTestMs?: number;
  };
  readonly attention: {
    readonly name: string;
    readonly settings: Readonly<Record<string, unknown>>;
    /** Who named the policy's selection layers, where it has any. */
    readonly selectionLayersFrom?: SelectionLayersSource;
  };
  readonly loadMs: number;
  /** Where the context comes from, if not from max_position_embeddings: a scaling of RoPE, or what memory holds. */
  readonly contextNote?: string;
  /**
   * What a person should know: the note above, guessed selection layers, files that may not be read and so count as missing,
   * values of the checkpoint that the engine does not follow.
   */
  readonly notes: readonly string[];
}
