/**
 * The engine over a device model, with its defaults: what a request gets, without a checkpoint to read.
 *
 * Decode steps at a long context need not wait for its prefill: the cache holds values made on the device, and `decode` leaves the
 * prefill's ops out. The engine knows nothing of it; it schedules and records every chunk.
 */
import {
  createRope,
  type Generation,
  GenerationEngine,
  type GenerationRequest,
  type StepBatch,
  THINK_TAGS,
  type Tokenizer,
  type WebGpuBackend,
} from "../../src/node/internal.ts";
import { beside, newSalt, promptOf, type TimedRequest, type TokenTimes, timeTokens } from "../token-times.ts";
import type { DeviceModel } from "./device-model.ts";

/** Ops of a step between its start and its logits. */
const SKIPPED = [
  "embed",
  "attentionInput",
  "attendAll",
  "advance",
  "updatePageBounds",
] as const satisfies readonly (keyof WebGpuBackend)[];

/** A character a token, so that every token is a part as it comes. */
const TOKENIZER: Tokenizer = {
  encode: (text) => Array.from(text, () => 1),
  decode: (ids) => Array.from(ids, () => ".").join(""),
  decodeStream: () => ({ push: () => ".", end: () => "" }),
  minTokens: (text) => text.length,
  tokenId: () => undefined,
  token: () => ".",
};

/** An engine over a device model, with an engine's defaults. */
export function engineOver(
  { backend, weights, config, attentionModel }: DeviceModel,
  tokenizer: Tokenizer,
): GenerationEngine {
  const { architecture } = config.family;
  const { maxPositionEmbeddings } = config;
  const sizes = {
    ...{ parameters: 0, kvBytesPerToken: 0, ignoredTensors: { count: 0, names: [] } },
    weights: { dtype: "own" as const, why: "made on the device", formats: [] },
  };
  return new GenerationEngine({
    ...{ backend, weights, attentionModel, tokenizer },
    ropes: config.ropes.map(createRope),
    renderChat: () => "",
    reasoningMarkers: THINK_TAGS,
    eosTokenIds: [],
    generationDefaults: {},
    attentionDefaults: undefined,
    attention: "full",
    origin: {
      model: {
        name: "made on the device",
        fingerprint: "made on the device",
        architecture,
        maxPositionEmbeddings,
        ...sizes,
      },
      ...{ why: "benchmark", contextNotes: [], notes: [], startedAt: performance.now() },
    },
  });
}

export interface DeviceTimes extends TokenTimes {
  /** Milliseconds in which the host records and submits, of each timed step. */
  readonly hostMs: readonly number[];
}

export class DeviceEngine {
  readonly #engine: GenerationEngine;
  readonly #watch: StepWatch;

  private constructor(engine: GenerationEngine, watch: StepWatch) {
    this.#engine = engine;
    this.#watch = watch;
  }

  /** Opens it as a checkpoint is opened: kernels of its default attention are compiled ahead. */
  static async open(model: DeviceModel, tokenizer: Tokenizer = TOKENIZER): Promise<DeviceEngine> {
    const engine = engineOver(model, tokenizer);
    const watch = new StepWatch(model.backend);
    await engine.prepare();
    return new DeviceEngine(engine, watch);
  }

  /**
   * Times of a request's decode steps. others: requests that decode in the same steps, and go on for longer. started: called when
   * the first timed step begins.
   */
  async decode(
    request: TimedRequest,
    started: () => void = () => {},
    others: readonly Pick<TimedRequest, "promptTokens" | "attention">[] = [],
  ): Promise<DeviceTimes> {
    this.#watch.skipsPrefill = true;
    const times = await beside(this.#engine, others, () =>
      timeTokens(this.#engine, request, () => {
        this.#watch.hostMs = [];
        started();
      }),
    );
    // after the first timed step's tokens the steps recorded are those that follow
    return { ...times, hostMs: this.#watch.hostMs };
  }

  /** Milliseconds from a prompt's first step to its first token, and the rows of its chunks. */
  async prefill(tokens: number): Promise<{ readonly ms: number; readonly chunks: readonly number[] }> {
    this.#watch.skipsPrefill = false;
    this.#watch.chunks = [];
    const request = {
      tokenIds: promptOf(tokens),
      ...{ cacheSalt: newSalt(), maxTokens: 1, ignoreEos: true, temperature: 0 },
    };
    const { timings } = await this.#engine.generate(request).result();
    return { ms: timings.prefillMs, chunks: this.#watch.chunks };
  }

  /** Starts a request. */
  generate(request: GenerationRequest): Generation {
    return this.#engine.generate(request);
  }

  /** Leaves the ops of prefill out from now on, or records them again. */
  set skipsPrefill(skips: boolean) {
    this.#watch.skipsPrefill = skips;
  }

  /** Closes the backend, too. */
  close(): Promise<void> {
    return this.#engine.close();
  }
}

type Op = (a?: unknown, b?: unknown, c?: unknown, d?: unknown, e?: unknown, f?: unknown) => unknown;

/** Stands before the backend's ops: times each step's record, notes the rows of chunks, leaves a prefill's ops out. */
class StepWatch {
  skipsPrefill = false;
  hostMs: number[] = [];
  chunks: number[] = [];
  #isSkipping = false;
  #recordedAt = 0;

  constructor(backend: WebGpuBackend) {
    const [beginStep, sample] = [backend.beginStep.bind(backend), backend.sample.bind(backend)];
    backend.beginStep = (batch: StepBatch) => {
      this.#recordedAt = performance.now();
      const isPrefill = batch.numRows > batch.numSequences;
      if (isPrefill) this.chunks.push(batch.numRows);
      this.#isSkipping = isPrefill && this.skipsPrefill;
      beginStep(batch);
    };
    // the pool stays as it is: its random values are the context
    backend.resizeCache = async () => true;
    backend.sample = (logits, rows) => {
      const drawn = sample(logits, rows);
      this.hostMs.push(performance.now() - this.#recordedAt);
      return drawn;
    };
    for (const name of SKIPPED) {
      const op = (Reflect.get(backend, name) as Op).bind(backend);
      // written out: rest parameters would make an array a call
      const skippable: Op = (a, b, c, d, e, f) => (this.#isSkipping ? undefined : op(a, b, c, d, e, f));
      Reflect.set(backend, name, skippable);
    }
  }
}
