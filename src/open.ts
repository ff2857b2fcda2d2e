/** The composition root: puts an engine together. */
import type { Backend, CacheDtype } from "./backend/backend.ts";
import { abortable } from "./base/abort.ts";
import { ConfigError, ModelFileError, OutOfMemoryError } from "./base/errors.ts";
import { GenerationEngine } from "./engine/engine.ts";
import type { Engine } from "./engine/engine-api.ts";
import type { EngineOrigin } from "./engine/engine-report.ts";
import type { FileFolder } from "./load/byte-source.ts";
import { type Checkpoint, openCheckpoint } from "./load/checkpoint.ts";
import { findReasoningMarkers } from "./load/reasoning-markers.ts";
import type { Tokenizer } from "./load/tokenizer.ts";
import type { BackendHost } from "./machine/backends.ts";
import { type ChosenBackend, chooseBackend } from "./machine/choose-backend.ts";
import type { DtypeChoice } from "./machine/fit-model.ts";
import { proveCache } from "./machine/prove-cache.ts";
import { type ModelConfig, readModelConfig } from "./model/config.ts";
import { attentionModelOf, countParameters, kvBytesPerToken } from "./model/model-size.ts";
import { createRope } from "./model/rope.ts";
import {
  canStore,
  precisionNotes,
  storedBytes,
  storedFormats,
  type WeightDtype,
  type WeightPrecision,
} from "./model/weight-storage.ts";
import {
  checkWeights,
  ignoredTensors,
  loadWeights,
  unusedOutput,
  type WeightCheck,
} from "./model/weights.ts";
import { demandOf } from "./model-demand.ts";
import { checkEngineOptions, type EngineOptions } from "./open-options.ts";

/** Means of a runtime environment for an engine. */
export interface EngineHost extends BackendHost {
  readonly folder: FileFolder;
  /** For people: what finding the folder did differently than expected. */
  readonly notes?: readonly string[];
}

/** Opens a checkpoint on a backend. @throws ModelFileError, ConfigError, BackendError, AbortedError */
export async function openEngineWith(host: EngineHost, given: EngineOptions = {}): Promise<Engine> {
  const startedAt = performance.now();
  const options = checkEngineOptions(given, {});
  const { signal } = options;
  const checkpoint = await openCheckpoint(host.folder, { signal });
  try {
    const config = readModelConfig(checkpoint);
    const check = checkWeights(checkpoint.tensors, config, checkpoint.name, checkpoint.promised);
    const opening = { host, checkpoint, config, check, startedAt };
    const { dtype = "auto" } = options;
    let isLast = dtype !== "auto";
    const canTakeLess = () => !isLast;
    const onChosen = ({ dtype: taken, backend: { weightFormats } }: ChosenBackend) => {
      isLast ||= taken !== "own" || !isSmaller(check, "q8", weightFormats);
    };
    try {
      return await openAs({ ...opening, options, dtype, onChosen, canTakeLess });
    } catch (error) {
      // WebGPU does not tell how much memory a device has: only loading shows that the weights do not fit
      if (!(error instanceof OutOfMemoryError) || isLast) throw error;
      const note = `auto: the checkpoint's own precision did not fit (${error.message})`;
      return await openAs({ ...opening, options, dtype: "q8", dtypeWhy: note });
    }
  } finally {
    await checkpoint.close();
  }
}

interface Opening {
  readonly host: EngineHost;
  readonly checkpoint: Checkpoint;
  readonly config: ModelConfig;
  readonly check: WeightCheck;
  readonly options: EngineOptions;
  readonly dtype: DtypeChoice;
  /** Reason for the precision, if the choice does not give one. */
  readonly dtypeWhy?: string;
  readonly onChosen?: (chosen: ChosenBackend) => void;
  /** True if a smaller precision may be tried where this one does not fit; asked once the backend is chosen. */
  readonly canTakeLess?: () => boolean;
  readonly startedAt: number;
}

/** True if a precision takes less memory than the checkpoint's own on a backend with these formats. */
function isSmaller({ plans }: WeightCheck, dtype: WeightDtype, formats: Backend["weightFormats"]): boolean {
  return (
    canStore(plans, dtype, formats) && storedBytes(plans, dtype, formats) < storedBytes(plans, "own", formats)
  );
}

/** Opens a backend, loads the weights into it and starts the engine. */
async function openAs({
  host,
  checkpoint,
  config,
  check,
  options,
  dtype,
  ...given
}: Opening): Promise<Engine> {
  const { signal } = options;
  const demand = demandOf(config, check.plans, { ...options, dtype });
  const choosing = chooseBackend(host, options, demand);
  const chosen = await abortable(choosing, signal, "opening the backend", (late) => late.backend.close());
  const { backend } = chosen;
  given.onChosen?.(chosen);
  try {
    const weights = await loadWeights(checkpoint, config, backend, { dtype: chosen.dtype, signal });
    // Without a named context a model may do with less than the least, unless a smaller precision leaves room for that.
    if (options.contextLength !== undefined || given.canTakeLess?.()) await proveCache(chosen);
    const ignored = [...check.ignored, ...unusedOutput(weights, checkpoint.tensors)];
    const precision: WeightPrecision = {
      dtype: chosen.dtype,
      why: given.dtypeWhy ?? chosen.dtypeWhy,
      formats: storedFormats(check.plans, chosen.dtype, backend.weightFormats),
    };
    const engine = new GenerationEngine({
      backend,
      weights,
      attentionModel: attentionModelOf(config, backend.capacity.pageSize, checkpoint.tokenizer),
      ropes: config.ropes.map(createRope),
      tokenizer: checkpoint.tokenizer ?? noTokenizer(checkpoint.name),
      renderChat: (messages, settings) => chatTemplateOf(checkpoint)(messages, settings),
      reasoningMarkers: findReasoningMarkers(checkpoint.tokenizer, checkpoint.chatTemplate?.texts ?? []),
      eosTokenIds: checkpoint.generationConfig.eosTokenIds ?? config.eosTokenIds,
      generationDefaults: checkpoint.generationConfig,
      attentionDefaults: checkpoint.generationConfig.attention,
      attention: options.attention,
      maxStallMs: options.maxStallMs,
      origin: {
        ...originOf(checkpoint, config, chosen, {
          ignored,
          precision,
          cacheDtype: options.cacheDtype,
          notes: host.notes ?? [],
        }),

        startedAt: given.startedAt,
      },
    });
    await abortable(engine.prepare(), signal, "compiling kernels");
    return engine;
  } catch (error) {
    await backend.close();
    throw error;
  }
}

function chatTemplateOf(checkpoint: Checkpoint) {
  if (!checkpoint.chatTemplate)
    throw new ConfigError(
      `${checkpoint.name} has no chat template (chat_template.jinja, chat_template in tokenizer_config.json, or ` +
        "tokenizer.chat_template in a GGUF file); give a prompt instead of messages (--raw on the command line)",
    );
  return checkpoint.chatTemplate;
}

/** Refuses text. A checkpoint without a tokenizer still runs on token ids. */
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

/** How a checkpoint was opened, for the report. */
interface OpenedAs {
  readonly ignored: readonly string[];
  readonly precision: WeightPrecision;
  /** As asked for. */
  readonly cacheDtype: CacheDtype | undefined;
  readonly notes: readonly string[];
}

function originOf(
  checkpoint: Checkpoint,
  config: ModelConfig,
  { backend, why, contextNote, selfTestMs }: ChosenBackend,
  { ignored, precision, cacheDtype, notes }: OpenedAs,
): Omit<EngineOrigin, "startedAt"> {
  // A context below max_position_embeddings owes nothing to a scaling.
  const isScaled =
    backend.capacity.maxSequenceLength >= Math.min(config.contextLength, config.maxPositionEmbeddings + 1) ||
    contextNote !== undefined;
  return {
    model: {
      name: checkpoint.name,
      architecture: config.family.architecture,
      parameters: countParameters(checkpoint),
      maxPositionEmbeddings: config.maxPositionEmbeddings,
      kvBytesPerToken: kvBytesPerToken(config, backend.cacheDtype),
      ignoredTensors: ignoredTensors(ignored),
      weights: precision,
    },
    why,
    selfTestMs,
    contextNotes: [isScaled ? config.contextNote : undefined, contextNote].filter(
      (note) => note !== undefined,
    ),
    notes: [...notes, ...precisionNotes(precision), ...cacheNotes(cacheDtype, backend), ...checkpoint.notes],
  };
}

/** Says that keys and values are stored in another type than was asked for. */
function cacheNotes(
  asked: CacheDtype | undefined,
  { cacheDtype }: Pick<Backend, "cacheDtype">,
): readonly string[] {
  if (asked === undefined || asked === cacheDtype) return [];
  return [`cacheDtype ${asked}: this backend keeps keys and values in ${cacheDtype} instead`];
}
