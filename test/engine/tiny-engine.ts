/** Opens an engine with a tiny checkpoint on a given backend, with or without running ahead. */
import type { Backend, BackendFactory, InFlightSample } from "../../src/backend/backend.ts";
import type { KeptMemory, MemoryLimit } from "../../src/backend/backend-kind.ts";
import { GenerationEngine } from "../../src/engine/engine.ts";
import type { EngineOrigin } from "../../src/engine/engine-report.ts";
import type { GateSource } from "../../src/engine/gate-store.ts";
import type { PoolOptions } from "../../src/kv/cache-sizer.ts";
import type { FileFolder } from "../../src/load/byte-source.ts";
import { type Checkpoint, openCheckpoint } from "../../src/load/checkpoint.ts";
import { THINK_TAGS } from "../../src/load/reasoning-markers.ts";
import type { Tokenizer } from "../../src/load/tokenizer.ts";
import { parseModelConfig } from "../../src/model/config.ts";
import { modelFingerprint } from "../../src/model/model-fingerprint.ts";
import { attentionModelOf } from "../../src/model/model-size.ts";
import { createRope } from "../../src/model/rope.ts";
import { loadWeights } from "../../src/model/weights.ts";
import { openFileFolder } from "../../src/node/file-folder.ts";
import { repositoryPath } from "../golden/open-fixture.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { tinyGates } from "./tiny-gate.ts";

/** Two layers, f32: the smallest of the golden checkpoints. */
export const TINY_MODEL = repositoryPath("test/golden/hf/llama-mha-f32");

export interface TinyOptions {
  /** Overrides the backend's own value. */
  readonly runsAhead?: boolean;
  /** Overrides the backend's own. */
  readonly prefillRows?: number;
  readonly maxStallMs?: number;
  readonly eosTokenIds?: readonly number[];
  readonly sizes?: Partial<Sizes>;
  /** Overrides the pool's sizes: the first piece of so small a model is the whole pool. */
  readonly pool?: Partial<PoolOptions>;
  /** Default: `TINY_MODEL`. */
  readonly folder?: FileFolder;
  readonly tokenizer?: Tokenizer;
  /** Default: a random gate. */
  readonly gates?: GateSource;
  /** Attention of requests that name none. */
  readonly attention?: string;
  /** Changes the tokens of every sample. */
  readonly changeTokens?: (tokens: Uint32Array) => Uint32Array;
  /** Pages that fit the backend's memory. Default: all of its capacity. */
  readonly memory?: number;
  /** The backend's limit with what policies keep. */
  readonly limitWith?: (kept: KeptMemory) => MemoryLimit;
  /** Replaces the backend's `prepare`; calls `record` for a dry run. */
  readonly prepare?: (record: () => void) => Promise<void>;
  /** Called with each new size of the backend's cache; the resize waits for its promise. */
  readonly onResize?: (numPages: number) => unknown;
  /** Runs before each call of the backend, with the method's name, and with "tokens" before a read of a sample's tokens. */
  readonly onCall?: (step: string) => void;
}

/** Default components that no test of the engine checks. */
const TINY_ORIGIN: EngineOrigin = {
  model: {
    ...{
      name: "tiny",
      fingerprint: "",
      architecture: "none",
      parameters: 0,
      maxPositionEmbeddings: 0,
      kvBytesPerToken: 0,
    },
    ignoredTensors: { count: 0, names: [] },
    weights: { dtype: "own", why: "asked for", formats: [] },
  },
  ...{ why: "a test", contextNotes: [], notes: [], startedAt: 0 },
};

/** A tokenizer of one character per token, so that texts show tokens. */
export const characters: Tokenizer = {
  encode: (text) => [...text].map((character) => (character.codePointAt(0) ?? 0) - 0x4e00),
  decode: (ids) => Array.from(ids, (id) => String.fromCodePoint(0x4e00 + id)).join(""),
  decodeStream: () => ({ push: (id) => String.fromCodePoint(0x4e00 + id), end: () => "" }),
  minTokens: (text) => text.length / 2,
  tokenId: () => undefined,
  token: (id) => String.fromCodePoint(0x4e00 + id),
};

export async function openTiny(open: BackendFactory, options: TinyOptions = {}): Promise<GenerationEngine> {
  const checkpoint = await openCheckpoint(options.folder ?? (await openFileFolder(TINY_MODEL)));
  try {
    return await openOn(checkpoint, open, options);
  } finally {
    await checkpoint.close();
  }
}

async function openOn(
  checkpoint: Checkpoint,
  open: BackendFactory,
  options: TinyOptions,
): Promise<GenerationEngine> {
  const config = parseModelConfig(checkpoint.config, "config.json");
  const [shape, capacity] = sizesOf({
    ...config,
    ...{ pageSize: 4, maxPages: 48, maxSequenceLength: 96, maxBatchRows: 16, maxBatchSequences: 4 },
    ...options.sizes,
  });
  const backend = wrap(await open(shape, capacity), options);
  const fingerprint = modelFingerprint(config, "own");
  const weights = await loadWeights(checkpoint, config, backend, { fingerprint });
  const model = { ...TINY_ORIGIN.model, fingerprint: fingerprint.toString() };
  return new GenerationEngine({
    backend,
    weights,
    attentionModel: attentionModelOf(config, capacity.pageSize),
    ropes: config.ropes.map(createRope),
    tokenizer: options.tokenizer ?? characters,
    renderChat: () => "",
    reasoningMarkers: THINK_TAGS,
    eosTokenIds: options.eosTokenIds ?? [],
    generationDefaults: {},
    attentionDefaults: undefined,
    attention: options.attention,
    gates: options.gates ?? tinyGates(),
    maxStallMs: options.maxStallMs,
    origin: { ...TINY_ORIGIN, model },
    limitWith: options.limitWith,
    pool: options.pool ?? {},
  });
}

/** Wraps a backend in a proxy that overrides `runsAhead` and reports calls. */
function wrap(backend: Backend, options: TinyOptions): Backend {
  const {
    runsAhead = backend.runsAhead,
    prefillRows = backend.prefillRows,
    onCall = () => {},
    onResize = () => {},
    memory = Infinity,
    prepare,
  } = options;
  return new Proxy(backend, {
    get(target, key) {
      if (key === "runsAhead") return runsAhead;
      if (key === "prefillRows") return prefillRows;
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]): unknown => {
        onCall(String(key));
        if (key === "prepare" && prepare) return prepare(args[0] as () => void);
        if (key === "resizeCache") {
          if (Number(args[0]) > memory) return Promise.resolve(false);
          return Promise.resolve(onResize(Number(args[0]))).then(() => value.apply(target, args) as unknown);
        }
        const result: unknown = value.apply(target, args);
        return key === "sample" ? watchSample(result as InFlightSample, options) : result;
      };
    },
  });
}

function watchSample(
  sample: InFlightSample,
  { onCall, changeTokens = (tokens) => tokens }: TinyOptions,
): InFlightSample {
  return {
    tokens: async () => {
      onCall?.("tokens");
      return changeTokens(await sample.tokens());
    },
  };
}
