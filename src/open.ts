/** The composition root: puts an engine together. */
import type { AttentionModel, AttentionPolicy, SelectionLayersSource } from "./attention/policy.ts";
import type { BackendReport, BackendShape } from "./backend/backend.ts";
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
import { checkWeights, loadWeights } from "./model/weights.ts";
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
    readonly kvBytesPerToken: number;
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
  /** Why the context is shorter than the model's, where memory made it so. */
  readonly contextNote?: string;
  /** What a person should know: the note above, and selection layers that are a guess. */
  readonly notes: readonly string[];
}

export interface Engine {
  readonly tokenizer: Tokenizer;
  /** Queues a request. What cannot run is an error here. @throws RequestError, ConfigError */
  generate(request: GenerationRequest): Generation;
  /** Dense logits of every position: f32 [tokenIds.length, vocabSize]. */
  logits(tokenIds: ArrayLike<number>): Promise<Float32Array>;
  report(): EngineReport;
  /** Aborts what runs, ends threads, frees memory. Calling it twice is allowed. */
  close(): Promise<void>;
}

/** Rows of one prefill chunk: large enough to read weights once for many tokens, small enough to stay responsive. */
const MAX_BATCH_ROWS = 256;
/** Tokens of a page of the KV cache. */
export const DEFAULT_PAGE_SIZE = 16;

/** Opens a checkpoint on a backend. @throws ModelFileError, ConfigError, BackendError */
export async function openEngineWith(host: EngineHost, options: EngineOptions = {}): Promise<Engine> {
  const started = performance.now();
  checkEngineOptions(options, {});
  const checkpoint = await openCheckpoint(host.folder);
  try {
    const config = parseModelConfig(checkpoint.config, `${checkpoint.name}/config.json`);
    const attentionModel = attentionModelOf(config, options.pageSize ?? DEFAULT_PAGE_SIZE);
    checkWeights(checkpoint.tensors, config, checkpoint.name);
    const plan = { shape: backendShape(config, options), weightBytes: weightBytesOf(checkpoint) };
    const chosen = await chooseBackend(host, options, plan);
    const { backend } = chosen;
    try {
      const weights = await loadWeights(checkpoint.tensors, config, backend, checkpoint.name);
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
      });
      const loadMs = performance.now() - started;
      return {
        tokenizer: engine.tokenizer,
        generate: (request) => engine.generate(request),
        logits: (tokenIds) => engine.logits(tokenIds),
        report: () => report(checkpoint, config, chosen, engine.policyOf(attention), loadMs),
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

function backendShape(config: ModelConfig, options: EngineOptions): BackendShape {
  const { pageSize = DEFAULT_PAGE_SIZE, maxConcurrent: maxBatchSequences = 4 } = options;
  const maxSequenceLength = options.contextLength ?? config.maxPositionEmbeddings;
  if (maxSequenceLength > config.maxPositionEmbeddings)
    throw new ConfigError(
      `contextLength ${maxSequenceLength} is more than the ${config.maxPositionEmbeddings} positions the model was made for`,
    );
  return {
    numLayers: config.numLayers,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    numQueryHeads: config.numQueryHeads,
    numKvHeads: config.numKvHeads,
    headDim: config.headDim,
    vocabSize: config.vocabSize,
    rmsNormEps: config.rmsNormEps,
    pageSize,
    numPages: Math.ceil(maxSequenceLength / pageSize) * maxBatchSequences,
    maxSequenceLength,
    maxBatchRows: Math.max(MAX_BATCH_ROWS, maxBatchSequences),
    maxBatchSequences,
  };
}

function weightBytesOf(checkpoint: Checkpoint): number {
  return [...checkpoint.tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
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
    minTokens: () => 0,
    tokenId: () => undefined,
    token: () => undefined,
  };
}

function report(
  checkpoint: Checkpoint,
  config: ModelConfig,
  { backend, why, contextNote, selfTestMs }: ChosenBackend,
  policy: AttentionPolicy,
  loadMs: number,
): EngineReport {
  const { maxSequenceLength } = backend.shape;
  const { name, settings, selectionLayersFrom: from } = policy;
  return {
    model: {
      name: checkpoint.name,
      architecture: config.family.architecture,
      parameters: countParameters(checkpoint),
      contextLength: maxSequenceLength,
      maxPositionEmbeddings: config.maxPositionEmbeddings,
      kvBytesPerToken: kvBytesPerToken(config),
    },
    backend: { ...backend.report(), why, ...(selfTestMs !== undefined && { selfTestMs }) },
    attention: { name, settings, ...(from && { selectionLayersFrom: from }) },
    loadMs,
    ...(contextNote !== undefined && { contextNote }),
    notes: [contextNote, from === "guess" ? guessNote(name, settings.layers) : undefined].filter(
      (note) => note !== undefined,
    ),
  };
}

/** Bytes of one token's keys and values over all layers, stored as f32. */
export function kvBytesPerToken(config: ModelConfig): number {
  return 2 * 4 * config.numLayers * config.numKvHeads * config.headDim;
}

/** Elements of all tensors; tied ones count once. */
export function countParameters(checkpoint: Checkpoint): number {
  let count = 0;
  for (const { shape } of checkpoint.tensors.values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}
