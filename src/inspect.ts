import * as v from "valibot";
import { bindAttention, firstNamed } from "./attention/bind-attention.ts";
import { windowOf } from "./attention/layer-windows.ts";
import type { SelectionLayersSource } from "./attention/policy.ts";
import { predictReads } from "./attention/predict-reads.ts";
import { rolesOf } from "./attention/roles.ts";
import type { BackendName, CacheDtype, ExpertShape } from "./backend/backend.ts";
import { CACHE_DTYPES } from "./base/cache-dtype.ts";
import { checkOptions, flag, oneOf, wholeNumberFrom } from "./base/check-options.ts";
import { ConfigError } from "./base/errors.ts";
import { DEFAULT_PAGE_SIZE } from "./kv/page-size.ts";
import type { FileFolder } from "./load/byte-source.ts";
import { modelIdentity } from "./load/calibration.ts";
import { type Checkpoint, openCheckpoint } from "./load/checkpoint.ts";
import { scanWeights, type WeightProblem } from "./load/scan-weights.ts";
import { BACKENDS } from "./machine/backends.ts";
import { estimateMemory, type MemoryEstimate, singleRequest } from "./machine/estimate-memory.ts";
import { attentionFactsOf } from "./model/calibrated.ts";
import { type LayerConfig, type ModelConfig, readModelConfig } from "./model/config.ts";
import { countParameters, kvBytesPerToken } from "./model/model-size.ts";
import type { RopeConfig } from "./model/rope-config.ts";
import { guessNote } from "./model/selection-layers.ts";
import type { WeightPlan } from "./model/weight-rows.ts";
import { canStore, storedBytes, type WeightDtype } from "./model/weight-storage.ts";
import { checkWeights, type IgnoredTensors, ignoredTensors } from "./model/weights.ts";

/** Contents of a checkpoint, and the cache rows that attention would read. */
export interface CheckpointReport {
  readonly name: string;
  readonly architecture: string;
  readonly family: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly queryHeads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly contextLength: number;
  /** Source of the context if it is not max_position_embeddings. */
  readonly contextNote?: string;
  readonly rope: string;
  /** Layers that attend to the last `tokens` positions alone; absent if there are none. */
  readonly slidingWindow?: { readonly tokens: number; readonly layers: readonly number[] };
  /** Experts of the feed-forwards of `layers`; absent if there are none. */
  readonly experts?: ExpertShape & { readonly layers: readonly number[] };
  readonly tiedEmbeddings: boolean;
  readonly parameters: number;
  readonly dtypes: readonly string[];
  readonly weightBytes: number;
  readonly files: readonly string[];
  /** Identifies the model to its calibration (`sparse-attention.json`). */
  readonly identity: string;
  /** Tensors that no op uses: their number, and the first names. */
  readonly ignoredTensors: IgnoredTensors;
  /** Other omissions, for people: files that may not be read, values that the engine does not follow. */
  readonly notes: readonly string[];
  /** Assumed storage type of keys and values, here and in `attention`. */
  readonly cacheDtype: CacheDtype;
  /** Keys and values of one token over all layers. */
  readonly kvBytesPerToken: number;
  /** Memory that it takes on a GPU and on the CPU, by precision and context. */
  readonly memory: readonly MemoryRow[];
  readonly tokenizer: boolean;
  readonly chatTemplate: boolean;
  readonly eosTokenIds: readonly number[];
  readonly attention: AttentionReport;
  /** True if the report looked for values that are not finite. */
  readonly scannedWeights: boolean;
  /** Tensors with such values. */
  readonly problems: readonly WeightProblem[];
}

/** Memory of one request of this length, about. */
export interface MemoryRow extends MemoryEstimate {
  readonly backend: BackendName;
  readonly cacheDtype: CacheDtype;
  readonly dtype: WeightDtype;
  readonly context: number;
  /** False if the backend cannot address as much on any machine. */
  readonly isPossible: boolean;
}

/** Reads of one policy in a decode step. */
export interface AttentionReport {
  readonly name: string;
  readonly settings: Readonly<Record<string, unknown>>;
  /** Source of the policy's selection layers, if it has any. */
  readonly selectionLayersFrom?: SelectionLayersSource;
  /** The model that the paper names the layers for, if they come from the paper. */
  readonly selectionLayersOf?: string;
  /** For people: guessed selection layers. */
  readonly notes: readonly string[];
  readonly layers: readonly {
    readonly layer: number;
    /** sliding window: the model has the layer attend to its last tokens, under every policy. */
    readonly role: "dense" | "selects" | "reuses" | "selects for itself" | "sliding window";
  }[];
  readonly reads: readonly {
    readonly context: number;
    /** Cache and per-page bytes that a decode step reads, over the key and value bytes cached (`GenerationResult`). */
    readonly attendedFraction: number;
    /** Cache and per-page bytes that a decode step reads. */
    readonly kvBytes: number;
  }[];
}

/** What to report on. */
export interface InspectOptions {
  /** The policy to report on, as a spec; default: the checkpoint's own, else full. */
  readonly attention?: string;
  /** Storage type of keys and values: "f16" (default) as on WebGPU, "f32" as on the CPU backends, "q8" if asked for. */
  readonly cacheDtype?: CacheDtype;
  /** Tokens for which to estimate the memory; default: 4096, 32768 and the model's own. */
  readonly contextLength?: number;
  /** Read every weight and count those that are not finite. */
  readonly scanWeights?: boolean;
}

const INSPECT_OPTIONS = v.object({
  attention: v.optional(v.string("an attention spec")),
  cacheDtype: oneOf(CACHE_DTYPES),
  contextLength: wholeNumberFrom(2),
  scanWeights: flag(),
});

/**
 * Reports on a checkpoint without opening an engine.
 * @throws ModelFileError, ConfigError as opening an engine would.
 */
export async function inspectFolder(
  folder: FileFolder,
  options: InspectOptions = {},
): Promise<CheckpointReport> {
  const { cacheDtype = "f16" } = checkOptions(INSPECT_OPTIONS, options, "inspect", ConfigError);
  const checkpoint = await openCheckpoint(folder);
  try {
    const config = readModelConfig(checkpoint);
    const { ignored, plans } = checkWeights(checkpoint.tensors, config, checkpoint.name, checkpoint.promised);
    const tensors = [...checkpoint.tensors.values()];
    return {
      name: checkpoint.name,
      architecture: config.family.architecture,
      family: config.family.modelType,
      layers: config.numLayers,
      hiddenSize: config.hiddenSize,
      intermediateSize: config.intermediateSize,
      queryHeads: config.numQueryHeads,
      kvHeads: config.numKvHeads,
      headDim: config.headDim,
      vocabSize: config.vocabSize,
      contextLength: config.contextLength,
      ...(config.contextNote !== undefined && { contextNote: config.contextNote }),
      rope: config.ropes.map(describeRope).join("; "),
      ...describeLayers(config),
      tiedEmbeddings: config.tieWordEmbeddings,
      parameters: countParameters(checkpoint),
      dtypes: [...new Set(tensors.map((entry) => entry.fileDtype))].sort(),
      weightBytes: tensors.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
      files: checkpoint.files,
      identity: modelIdentity(checkpoint.config, checkpoint.tensors),
      ignoredTensors: ignoredTensors(ignored),
      notes: checkpoint.notes,
      cacheDtype,
      kvBytesPerToken: kvBytesPerToken(config, cacheDtype),
      memory: memoryRows(config, plans, options),
      tokenizer: checkpoint.tokenizer !== undefined,
      chatTemplate: checkpoint.chatTemplate !== undefined,
      eosTokenIds: checkpoint.generationConfig.eosTokenIds ?? config.eosTokenIds,
      attention: reportAttention(checkpoint, config, cacheDtype, options.attention),
      scannedWeights: options.scanWeights ?? false,
      problems: options.scanWeights ? await scanWeights(checkpoint) : [],
    };
  } finally {
    await checkpoint.close();
  }
}

const DTYPES: readonly WeightDtype[] = ["own", "q8", "q4"];

/** Estimates for every backend that people would use; precisions that take as much as the checkpoint's own are left out. */
function memoryRows(
  config: ModelConfig,
  plans: readonly WeightPlan[],
  { cacheDtype, contextLength }: InspectOptions,
): readonly MemoryRow[] {
  const usual = [4096, 32768, config.contextLength].filter((length) => length <= config.contextLength);
  const contexts = contextLength === undefined ? usual : [contextLength];
  return BACKENDS.filter(({ name }) => name !== "reference").flatMap(({ name: backend, memory }) => {
    const sizes = DTYPES.filter((dtype) => canStore(plans, dtype, memory.weightFormats)).map((dtype) => ({
      dtype,
      weightBytes: storedBytes(plans, dtype, memory.weightFormats),
    }));
    const own = sizes[0]?.weightBytes;
    const cache = {
      cacheDtype: memory.cacheDtypes.find((one) => one === cacheDtype) ?? memory.cacheDtypes[0],
    };
    return sizes
      .filter(({ dtype, weightBytes }) => dtype === "own" || weightBytes !== own)
      .flatMap(({ dtype, weightBytes }) =>
        [...new Set(contexts)].map((context) => {
          const capacity = singleRequest(memory, context);
          const estimate = estimateMemory(memory, { model: config, weightBytes, ...cache, capacity });
          const isPossible = estimate.totalBytes <= (memory.maxBytes ?? Number.POSITIVE_INFINITY);
          return { backend, dtype, context, ...cache, ...estimate, isPossible };
        }),
      );
  });
}

function reportAttention(
  checkpoint: Checkpoint,
  config: ModelConfig,
  cacheDtype: CacheDtype,
  spec: string | undefined,
): AttentionReport {
  const { model, defaults: own, notes } = attentionFactsOf(checkpoint, config, DEFAULT_PAGE_SIZE);
  const policy = bindAttention(firstNamed(spec, own), model, own);
  const layers = rolesOf(policy, model).map(({ attends, selects }, layer) => {
    if (windowOf(model, layer) !== undefined) return { layer, role: "sliding window" as const };
    if (attends === "all") return { layer, role: selects ? ("selects" as const) : ("dense" as const) };
    return { layer, role: selects ? ("selects for itself" as const) : ("reuses" as const) };
  });
  const contexts = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072].filter(
    (context) => context <= config.contextLength,
  );
  const tokenBytes = kvBytesPerToken(config, cacheDtype);
  const reads = contexts.map((context) => {
    const tokens = predictReads(policy, model, { length: context, cacheDtype }) / config.numLayers;
    return { context, attendedFraction: tokens / context, kvBytes: tokens * tokenBytes };
  });
  const { name, settings, selectionLayersFrom: from } = policy;
  return {
    ...{ name, settings, layers, reads },
    ...(from && { selectionLayersFrom: from }),
    ...(from === "paper" && { selectionLayersOf: model.defaultSelectionLayersOf ?? "" }),
    notes: [...notes, ...(from === "guess" ? [guessNote(policy)] : [])],
  };
}

/** Which layers have a window or experts. All windows of a model have one length. */
function describeLayers({
  layers,
  experts,
}: ModelConfig): Pick<CheckpointReport, "slidingWindow" | "experts"> {
  const indices = (has: (layer: LayerConfig) => boolean) =>
    layers.flatMap((layer, i) => (has(layer) ? [i] : []));
  const tokens = layers.find(({ window }) => window !== undefined)?.window;
  return {
    ...(tokens !== undefined && {
      slidingWindow: { tokens, layers: indices(({ window }) => window !== undefined) },
    }),
    ...(experts && {
      experts: { ...experts, layers: indices(({ feedForward }) => feedForward === "experts") },
    }),
  };
}

function describeRope({ type, theta, headDim, rotaryDim }: RopeConfig): string {
  if (type === "none") return "none in some layers";
  return `${type}, theta ${theta}${rotaryDim === undefined ? "" : `, ${rotaryDim} of ${headDim} elements`}`;
}
