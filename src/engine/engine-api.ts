/** The public interface of an engine. */
import type { SelectionLayersSource } from "../attention/policy.ts";
import type { BackendReport } from "../backend/backend.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { IgnoredTensors } from "../model/weights.ts";
import type { Generation, GenerationRequest } from "./request.ts";

export interface Engine {
  readonly tokenizer: Tokenizer;
  /**
   * Queues a request. A request that cannot run throws here, not later. After a failure of the backend, every generation
   * ends with that failure.
   * @throws RequestError, ConfigError
   */
  generate(request: GenerationRequest): Generation;
  /**
   * Computes the dense logits of every position: f32 [tokenIds.length, vocabSize], of at most contextLength tokens. Queues
   * for pages like a request, and runs between the steps of others.
   * @throws RequestError, BackendError, AbortedError when the engine closes meanwhile
   */
  logits(tokenIds: ArrayLike<number>): Promise<Float32Array>;
  report(): EngineReport;
  /** Aborts running requests, ends threads, frees memory. A second call does nothing. */
  close(): Promise<void>;
}

export interface EngineReport {
  readonly model: {
    readonly name: string;
    readonly architecture: string;
    readonly parameters: number;
    readonly contextLength: number;
    readonly maxPositionEmbeddings: number;
    readonly kvBytesPerToken: number;
    /** Tensors that no op uses and `transformers` ignores: their number and the first names. */
    readonly ignoredTensors: IgnoredTensors;
  };
  readonly backend: BackendReport & {
    /** The reason for the choice of backend. */
    readonly why: string;
    /** Duration of the GPU's self-test, which runs once in a process. */
    readonly selfTestMs?: number;
  };
  readonly attention: {
    readonly name: string;
    readonly settings: Readonly<Record<string, unknown>>;
    /** The source of the policy's selection layers, if it has any. */
    readonly selectionLayersFrom?: SelectionLayersSource;
  };
  readonly loadMs: number;
  /** The source of the context if it is not max_position_embeddings: a scaling of RoPE, or the memory. */
  readonly contextNote?: string;
  /**
   * Notes for people: the note above, guessed selection layers, refused files that count as missing, and values of the
   * checkpoint that the engine ignores.
   */
  readonly notes: readonly string[];
}
