/** The composition root: puts an engine together. */
import type { Backend, CacheDtype } from "./backend/backend.ts";
import { abortable } from "./base/abort.ts";
import { ConfigError, OutOfMemoryError } from "./base/errors.ts";
import { GenerationEngine } from "./engine/engine.ts";
import type { LoadedEngine } from "./engine/engine-api.ts";
import type { EngineComponents } from "./engine/engine-components.ts";
import type { EngineOrigin } from "./engine/engine-report.ts";
import type { GateSource } from "./engine/gate-store.ts";
import { keptAtOpen } from "./kept-at-open.ts";
import { DEFAULT_PAGE_SIZE } from "./kv/page-size.ts";
import type { FileFolder } from "./load/byte-source.ts";
import { type Checkpoint, openCheckpoint } from "./load/checkpoint.ts";
import { findReasoningMarkers } from "./load/reasoning-markers.ts";
import { noTokenizer, type TokenizerSource } from "./load/tokenizer-source.ts";
import type { BackendHost } from "./machine/backends.ts";
import { type ChosenBackend, chooseBackend } from "./machine/choose-backend.ts";
import type { DtypeChoice, KeptByPolicy } from "./machine/fit-model.ts";
import { proveCache } from "./machine/prove-cache.ts";
import { type AttentionFacts, attentionFactsOf } from "./model/calibrated.ts";
import { type ModelConfig, readModelConfig } from "./model/config.ts";
import { gateRope } from "./model/gate-rope.ts";
import { modelFingerprint } from "./model/model-fingerprint.ts";
import { countParameters, kvBytesPerToken } from "./model/model-size.ts";
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
  /** Opens the folder of a gate by its path, URL or repository. Absent: only the gate beside the model can be used. */
  readonly openGate?: (location: string) => Promise<FileFolder>;
  /** Receives what the engine's tokenizer was made of, for a second one on another thread. */
  readonly onTokenizer?: (source: TokenizerSource) => unknown;
  /**
   * Receives the engine's components, for benchmarks that also step the model without it.
   * @internal
   */
  readonly onComponents?: (components: EngineComponents) => unknown;
  /** For people: what finding the folder did differently than expected. */
  readonly notes?: readonly string[];
}

/** Opens a checkpoint on a backend. @throws ModelFileError, ConfigError, BackendError, AbortedError */
export async function openEngineWith(host: EngineHost, given: EngineOptions = {}): Promise<LoadedEngine> {
  const startedAt = performance.now();
  const options = checkEngineOptions(given, {});
  const { signal } = options;
  const checkpoint = await openCheckpoint(host.folder, { signal });
  try {
    const config = readModelConfig(checkpoint);
    const check = checkWeights(checkpoint.tensors, config, checkpoint.name, checkpoint.promised);
    const attention = attentionFactsOf(checkpoint, config, options.pageSize ?? DEFAULT_PAGE_SIZE);
    const kept = await keptAtOpen(options.attention, attention, gatesOf(host));
    const opening = { host, checkpoint, config, check, attention, kept, startedAt };
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
  readonly attention: AttentionFacts;
  /** What the engine's policy keeps beside the cache. */
  readonly kept: KeptByPolicy;
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
  attention,
  options,
  dtype,
  ...given
}: Opening): Promise<LoadedEngine> {
  const { signal } = options;
  const demand = demandOf(config, check.plans, { ...options, dtype, kept: given.kept });
  const choosing = chooseBackend(host, options, demand);
  const chosen = await abortable(choosing, signal, "opening the backend", (late) => late.backend.close());
  const { backend } = chosen;
  given.onChosen?.(chosen);
  // the engine keeps the template, not the checkpoint with the contents of its files
  const { chatTemplate, name } = checkpoint;
  try {
    const fingerprint = modelFingerprint(config, chosen.dtype);
    const weights = await loadWeights(checkpoint, config, backend, {
      dtype: chosen.dtype,
      signal,
      fingerprint,
    });
    const ignored = [...check.ignored, ...unusedOutput(weights, checkpoint.tensors)];
    const precision: WeightPrecision = {
      dtype: chosen.dtype,
      why: given.dtypeWhy ?? chosen.dtypeWhy,
      formats: storedFormats(check.plans, chosen.dtype, backend.weightFormats),
    };
    const components: EngineComponents = {
      backend,
      weights,
      attentionModel: attention.model,
      ropes: config.ropes.map(createRope),
      tokenizer: checkpoint.tokenizer ?? noTokenizer(checkpoint.name),
      renderChat: (messages, settings) => chatTemplateOf(chatTemplate, name)(messages, settings),
      chatTemplates: checkpoint.chatTemplate?.texts ?? [],
      reasoningMarkers: findReasoningMarkers(checkpoint.tokenizer, checkpoint.chatTemplate?.texts ?? []),
      eosTokenIds: checkpoint.generationConfig.eosTokenIds ?? config.eosTokenIds,
      generationDefaults: checkpoint.generationConfig,
      attentionDefaults: attention.defaults,
      attention: options.attention,
      maxStallMs: options.maxStallMs,
      gates: {
        ...gatesOf(host),
        ropeOf: (dim) => gateRope(config, dim),
      },
      limitWith: chosen.limitWith,
      origin: {
        ...originOf(checkpoint, config, chosen, {
          ignored,
          precision,
          fingerprint: fingerprint.toString(),
          cacheDtype: options.cacheDtype,
          notes: [...(host.notes ?? []), ...attention.notes],
        }),

        startedAt: given.startedAt,
      },
    };
    host.onComponents?.(components);
    const engine = new GenerationEngine(components);
    await abortable(engine.loadPolicy(), signal, "loading the attention policy");
    // Without a named context a model may do with less than the least, unless a smaller precision leaves room for that.
    if (options.contextLength !== undefined || given.canTakeLess?.()) await proveCache(chosen);
    await abortable(engine.prepare(), signal, "compiling kernels");
    host.onTokenizer?.(checkpoint.tokenizerSource);
    return engine;
  } catch (error) {
    await backend.close();
    throw error;
  }
}

function gatesOf(host: EngineHost): Pick<GateSource, "openFolder"> {
  return { openFolder: (location) => openGateFolder(host, location) };
}

async function openGateFolder(host: EngineHost, location: string | undefined): Promise<FileFolder> {
  if (location === undefined) return host.folder;
  if (host.openGate) return host.openGate(location);
  throw new ConfigError(
    `opening the gate ${location}: this engine was opened without a way to open gates by name; put the gate beside the model`,
  );
}

function chatTemplateOf(template: Checkpoint["chatTemplate"], name: string) {
  if (!template)
    throw new ConfigError(
      `${name} has no chat template (chat_template.jinja, chat_template in tokenizer_config.json, or ` +
        "tokenizer.chat_template in a GGUF file); give a prompt instead of messages (--raw on the command line)",
    );
  return template;
}

/** How a checkpoint was opened, for the report. */
interface OpenedAs {
  readonly ignored: readonly string[];
  readonly precision: WeightPrecision;
  readonly fingerprint: string;
  /** As asked for. */
  readonly cacheDtype: CacheDtype | undefined;
  readonly notes: readonly string[];
}

function originOf(
  checkpoint: Checkpoint,
  config: ModelConfig,
  { backend, why, contextNote, selfTestMs }: ChosenBackend,
  { ignored, precision, fingerprint, cacheDtype, notes }: OpenedAs,
): Omit<EngineOrigin, "startedAt"> {
  // A context below max_position_embeddings owes nothing to a scaling.
  const isScaled =
    backend.capacity.maxSequenceLength >= Math.min(config.contextLength, config.maxPositionEmbeddings + 1) ||
    contextNote !== undefined;
  return {
    model: {
      ...{ name: checkpoint.name, fingerprint },
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
