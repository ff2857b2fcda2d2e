/** The composition root: puts an engine together. */
import type { AttentionModel, AttentionPolicy, SelectionLayersSource } from "./attention/policy.ts";
import type { BackendReport, CacheDtype, Capacity } from "./backend/backend.ts";
import { abortable } from "./base/abort.ts";
import { dtypeBytes } from "./base/dtype.ts";
import { ConfigError, ModelFileError } from "./base/errors.ts";
import { type BackendHost, type ChosenBackend, chooseBackend } from "./choose-backend.ts";
import { GenerationEngine } from "./engine/engine.ts";
import type { Generation, GenerationRequest } from "./engine/request.ts";
import type { FileFolder } from "./load/byte-source.ts";
import { type Checkpoint, openCheckpoint } from "./load/checkpoint.ts";
import type { Tokenizer } from "./load/tokenizer.ts";
import { type ModelConfig, parseModelConfig } from "./model/config.ts";
import { createRope } from "./model/rope.ts";
import { defaultSelectionLayers, guessNote } from "./model/selection-layers.ts";
import { checkWeights, loadWeights, unusedOutput } from "./model/weights.ts";
import { checkEngineOptions, type EngineOptions } from "./open-options.ts";

export type { EngineOptions } from "./open-options.ts";

/** What the place the engine runs in gives it. */
export interface EngineHost extends BackendHost {
  readonly folder: FileFolder;
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
    /** Tensors that no step uses, as `transformers` leaves them out: how many, and the first of their names. */
    readonly ignoredTensors: IgnoredTensors;
  };
  readonly backend: BackendReport & {
    /** Why this backend. */
    readonly why: string;
    /** What the self-test of the GPU took; it runs once in a process. */
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
   * What a person should know: the note above, selection layers that are a guess, files that were taken for missing since
   * they may not be read, values of the checkpoint that are not followed.
   */
  readonly notes: readonly string[];
}

export interface IgnoredTensors {
  readonly count: number;
  readonly names: readonly string[];
}

export interface Engine {
  readonly tokenizer: Tokenizer;
  /** Queues a request. What cannot run is an error here. @throws RequestError, ConfigError */
  generate(request: GenerationRequest): Generation;
  /**
   * Dense logits of every position: f32 [tokenIds.length, vocabSize], of at most contextLength tokens. Queues for its pages
   * like a request, and takes its turns between the steps of others.
   * @throws RequestError, BackendError, AbortedError when the engine is closed meanwhile
   */
  logits(tokenIds: ArrayLike<number>): Promise<Float32Array>;
  report(): EngineReport;
  /** Aborts what runs, ends threads, frees memory. Calling it twice is allowed. */
  close(): Promise<void>;
}

/** Rows of a batch where the backend proposes no more: enough to read weights once for many tokens. */
const MAX_BATCH_ROWS = 256;
/** Tokens of a page of the KV cache. */
export const DEFAULT_PAGE_SIZE = 16;

/** Opens a checkpoint on a backend. @throws ModelFileError, ConfigError, BackendError, AbortedError */
export async function openEngineWith(host: EngineHost, given: EngineOptions = {}): Promise<Engine> {
  const started = performance.now();
  const options = checkEngineOptions(given, {});
  const { signal } = options;
  const checkpoint = await openCheckpoint(host.folder, { signal });
  try {
    const config = parseModelConfig(checkpoint.config, `${checkpoint.name}/config.json`);
    const attentionModel = attentionModelOf(config, options.pageSize ?? DEFAULT_PAGE_SIZE);
    const check = checkWeights(checkpoint.tensors, config, checkpoint.name, checkpoint.promised);
    const plan = { model: config, capacity: capacityFor(config, options), weightBytes: check.usedBytes };
    const choosing = chooseBackend(host, options, plan);
    const chosen = await abortable(choosing, signal, "opening the backend", (late) => late.backend.close());
    const { backend } = chosen;
    try {
      const weights = await loadWeights(checkpoint.tensors, config, backend, checkpoint.name, signal);
      const attention = options.attention ?? checkpoint.generationConfig.attention ?? "full";
      const engine = new GenerationEngine({
        backend,
        weights,
        attentionModel,
        rope: createRope(config.rope),
        tokenizer: checkpoint.tokenizer ?? noTokenizer(checkpoint.name),
        renderChat: (messages, settings) => chatTemplateOf(checkpoint)(messages, settings),
        eosTokenIds: checkpoint.generationConfig.eosTokenIds ?? config.eosTokenIds,
        generationDefaults: checkpoint.generationConfig,
        attentionDefaults: checkpoint.generationConfig.attention,
        attention,
        maxStallMs: options.maxStallMs,
      });
      const ignored = [...check.ignored, ...unusedOutput(weights, checkpoint.tensors)];
      const loadMs = performance.now() - started;
      return {
        tokenizer: engine.tokenizer,
        generate: (request) => engine.generate(request),
        logits: (tokenIds) => engine.logits(tokenIds),
        report: () => report(checkpoint, config, ignored, chosen, engine.policyOf(attention), loadMs),
        close: () => engine.close(),
      };
    } catch (error) {
      await backend.close();
      throw error;
    }
  } finally {
    await checkpoint.close();
  }
}

/** The sizes that policies see. */
export function attentionModelOf(config: ModelConfig, pageSize: number): AttentionModel {
  const { numLayers, numQueryHeads, numKvHeads } = config;
  const { layers, from } = defaultSelectionLayers(config);
  return {
    numLayers,
    numQueryHeads,
    numKvHeads,
    pageSize,
    defaultSelectionLayers: layers,
    defaultSelectionLayersFrom: from,
  };
}

function capacityFor(config: ModelConfig, options: EngineOptions): Capacity {
  const { pageSize = DEFAULT_PAGE_SIZE, maxConcurrent: maxBatchSequences = 4 } = options;
  const maxSequenceLength = options.contextLength ?? config.contextLength;
  if (maxSequenceLength > config.contextLength)
    throw new ConfigError(
      `contextLength ${maxSequenceLength} is more than the ${config.contextLength} positions the model was made for ` +
        `(${config.contextNote ?? "max_position_embeddings of its config.json"})`,
    );
  return {
    pageSize,
    maxPages: Math.ceil(maxSequenceLength / pageSize) * maxBatchSequences,
    maxSequenceLength,
    maxBatchRows: Math.max(MAX_BATCH_ROWS, maxBatchSequences),
    maxBatchSequences,
  };
}

function chatTemplateOf(checkpoint: Checkpoint) {
  if (!checkpoint.chatTemplate)
    throw new ConfigError(
      `${checkpoint.name} has no chat template (chat_template.jinja, or chat_template in tokenizer_config.json); ` +
        "give a prompt instead of messages",
    );
  return checkpoint.chatTemplate;
}

/** Checkpoints without a tokenizer still run on token ids; only text is refused. */
function noTokenizer(name: string): Tokenizer {
  const refuse = () => {
    throw new ModelFileError(`${name} has no tokenizer.json; give tokenIds instead of text`);
  };
  return {
    encode: refuse,
    decode: () => "",
    decodeStream: () => ({ push: () => "", end: () => "" }),
    minTokens: () => 0,
    tokenId: () => undefined,
    token: () => undefined,
  };
}

function report(
  checkpoint: Checkpoint,
  config: ModelConfig,
  ignored: readonly string[],
  { backend, why, contextNote, selfTestMs }: ChosenBackend,
  policy: AttentionPolicy,
  loadMs: number,
): EngineReport {
  const { maxSequenceLength } = backend.capacity;
  // a context below max_position_embeddings owes nothing to a scaling
  const isScaled =
    maxSequenceLength >= Math.min(config.contextLength, config.maxPositionEmbeddings + 1) ||
    contextNote !== undefined;
  const contextNotes = [isScaled ? config.contextNote : undefined, contextNote].filter(
    (note) => note !== undefined,
  );
  const { name, settings, selectionLayersFrom: from } = policy;
  const guess = from === "guess" ? [guessNote(name, settings.layers)] : [];
  return {
    model: {
      name: checkpoint.name,
      architecture: config.family.architecture,
      parameters: countParameters(checkpoint),
      contextLength: maxSequenceLength,
      maxPositionEmbeddings: config.maxPositionEmbeddings,
      kvBytesPerToken: kvBytesPerToken(config, backend.cacheDtype),
      ignoredTensors: ignoredTensors(ignored),
    },
    backend: { ...backend.report(), why, ...(selfTestMs !== undefined && { selfTestMs }) },
    attention: { name, settings, ...(from && { selectionLayersFrom: from }) },
    loadMs,
    ...(contextNotes.length > 0 && { contextNote: contextNotes.join("; ") }),
    notes: [...contextNotes, ...guess, ...checkpoint.notes],
  };
}

/** Names in a report, each cut: they come from files. */
export function ignoredTensors(names: readonly string[]): IgnoredTensors {
  return { count: names.length, names: names.slice(0, 20).map((name) => name.slice(0, 200)) };
}

/** Bytes of one token's keys and values over all layers. */
export function kvBytesPerToken(config: ModelConfig, cacheDtype: CacheDtype): number {
  return 2 * dtypeBytes(cacheDtype) * config.numLayers * config.numKvHeads * config.headDim;
}

/** Elements of all tensors; tied ones count once. */
export function countParameters(checkpoint: Checkpoint): number {
  let count = 0;
  for (const { shape } of checkpoint.tensors.values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}
