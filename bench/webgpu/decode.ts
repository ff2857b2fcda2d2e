/**
 * Decode steps of a shape as a request gets them: through the engine, from token to token at its consumer. Attentions take turns
 * within a context, so that their ratios come from the same minutes. What the GPU does in a step is timed by itself.
 */
import { type ModelConfig, profile } from "../../src/node/internal.ts";
import { mean, median, percentile } from "../statistics.ts";
import { LEAD_TOKENS } from "../token-times.ts";
import { DeviceEngine } from "./device-engine.ts";
import { openDeviceModel } from "./device-model.ts";
import { DeviceStepper } from "./device-stepper.ts";
import type { BenchGpu } from "./gpu.ts";
import { type Dtypes, type SteppedSequence, stepBytes } from "./step-work.ts";

/** A request of a batch. */
export interface BatchedRequest {
  readonly context: number;
  readonly attention: string;
}

export interface ShapeDecodeOptions extends Dtypes {
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  /** Requests at once, all alike. Default: 1. */
  readonly sequences?: readonly number[];
  /** Batches of unlike requests, after those. */
  readonly mixes?: readonly (readonly BatchedRequest[])[];
  /** Measured steps of a turn. */
  readonly steps: number;
  /** Turns of each attention. */
  readonly rounds: number;
  /** GB/s of a plain read in the same run. */
  readonly readBandwidth: number;
}

export interface ShapeDecodeRow {
  readonly sequences: number;
  /** Of each request; of unlike requests the mean. */
  readonly context: number;
  /** Of unlike requests all of them, in the form of `--mix`. */
  readonly attention: string;
  /** Median over all measured steps, from token to token; so are the next three. */
  readonly msPerStep: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly leastMs: number;
  /** In which the host records and submits a step: median and mean. */
  readonly hostMs: number;
  readonly hostMeanMs: number;
  /** Duration of a step by itself, from its first dispatch to the end of its last. */
  readonly gpuMs: number;
  /** Every dispatch timed by itself: together more than a step. */
  readonly gpuMsByCategory: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly rooflineMs: number;
  readonly overRoofline: number;
  /** Of all requests together. */
  readonly tokensPerSecond: number;
  /** Over full attention of as many requests at the same context, where that was asked for. */
  readonly speedupOverFull?: number;
}

/** Steps of a turn that compiles kernels and clocks the device up. */
const WARM_UP_STEPS = 8;
/**
 * Such turns go on for so long: a card that was idle while weights were made clocks up meanwhile. With eight steps alone an
 * H200 had a p99 of 9.25 ms in q8_0, with a second 4.03 ms.
 */
const WARM_UP_MS = 1000;
const PROFILES = 3;

export async function benchShapeDecode(
  gpu: BenchGpu,
  config: ModelConfig,
  options: ShapeDecodeOptions,
): Promise<readonly ShapeDecodeRow[]> {
  const { dtype, cacheDtype, steps } = options;
  const groups = batchesOf(options);
  const batches = groups.flat();
  const sequences = Math.max(...batches.map(({ length }) => length));
  // the end of a turn may lie past a context that is shorter than the turn, and others decode while the last prompts are prefilled
  const longest = Math.max(...batches.flat().map(({ context }) => context), LEAD_TOKENS + steps + 2);
  const context = longest + 1 + (sequences > 1 ? SPARE_TOKENS : 0);
  const model = await openDeviceModel(gpu, config, { context, sequences, dtype, cacheDtype });
  const engine = await DeviceEngine.open(model);
  try {
    const stepper = new DeviceStepper(model);
    const rows: ShapeDecodeRow[] = [];
    for (const group of groups) rows.push(...(await benchGroup({ engine, stepper }, config, group, options)));
    return rows;
  } finally {
    await engine.close();
  }
}

/** Tokens that requests of a batch may be ahead of the last one. */
const SPARE_TOKENS = 512;

/** Batches by context and number of requests, whose attentions take turns; then the mixes, each by itself. */
function batchesOf({ contexts, attention, sequences = [1], mixes = [] }: ShapeDecodeOptions) {
  const alike = contexts.flatMap((context) =>
    sequences.map((count) =>
      attention.map((spec): readonly BatchedRequest[] =>
        Array.from({ length: count }, () => ({ context, attention: spec })),
      ),
    ),
  );
  return [...alike, ...mixes.map((mix) => [mix])];
}

/** One model, driven by the engine and step by step. */
interface Drivers {
  readonly engine: DeviceEngine;
  readonly stepper: DeviceStepper;
}

async function benchGroup(
  drivers: Drivers,
  config: ModelConfig,
  batches: readonly (readonly BatchedRequest[])[],
  options: ShapeDecodeOptions,
): Promise<readonly ShapeDecodeRow[]> {
  const turns = batches.map((batch) => new Turns(drivers, batch));
  for (const turn of turns) await turn.warmUp();
  for (let round = 0; round < options.rounds; round++)
    for (const turn of turns) await turn.run(options.steps);
  const fullMs = turns.find(({ name }) => name === "full")?.msPerStep;
  const rows: ShapeDecodeRow[] = [];
  for (const turn of turns) rows.push(await turn.row(config, options, fullMs));
  return rows;
}

/** A mix of requests as `--mix` takes it. */
export function formatMix(requests: readonly BatchedRequest[]): string {
  return requests.map(({ context, attention }) => `${context} ${attention}`).join("; ");
}

/** The turns of one batch. */
class Turns {
  /** The attention of requests that are alike, or the mix. */
  readonly name: string;
  readonly #drivers: Drivers;
  readonly #batch: readonly BatchedRequest[];
  readonly #sequences: readonly SteppedSequence[];
  readonly #ms: number[] = [];
  readonly #hostMs: number[] = [];

  constructor(drivers: Drivers, batch: readonly BatchedRequest[]) {
    const [first] = batch;
    const isAlike = batch.every((one) => formatMix([one]) === formatMix(batch.slice(0, 1)));
    this.name = isAlike && first ? first.attention : formatMix(batch);
    this.#drivers = drivers;
    this.#batch = batch;
    // requests of one attention share its policy, as in an engine
    const policies = new Map(batch.map(({ attention }) => [attention, drivers.stepper.policy(attention)]));
    this.#sequences = batch.map(({ context, attention }) => ({
      length: context,
      policy: policies.get(attention) ?? drivers.stepper.policy(attention),
    }));
  }

  get msPerStep(): number {
    return median(this.#ms);
  }

  async warmUp(): Promise<void> {
    const started = performance.now();
    do await this.#decode(WARM_UP_STEPS);
    while (performance.now() - started < WARM_UP_MS);
  }

  /** A request whose last step ends at the context. */
  async run(steps: number): Promise<void> {
    const { intervals, hostMs } = await this.#decode(steps);
    this.#ms.push(...intervals);
    this.#hostMs.push(...hostMs);
  }

  #decode(steps: number) {
    const requests = this.#batch.map(({ context, attention }) => ({
      promptTokens: Math.max(1, context - LEAD_TOKENS - steps),
      attention,
    }));
    const [timed, ...others] = requests;
    if (!timed) throw new RangeError("a batch needs a request");
    return this.#drivers.engine.decode({ ...timed, steps }, () => {}, others);
  }

  async row(
    config: ModelConfig,
    options: ShapeDecodeOptions,
    fullMs: number | undefined,
  ): Promise<ShapeDecodeRow> {
    const bytes = stepBytes(config, options, this.#drivers.stepper.model, this.#sequences);
    const rooflineMs = bytes / options.readBandwidth / 1e6;
    const { all: gpuMs = Number.NaN } = await this.#profile("all");
    const { all, ...gpuMsByCategory } = await this.#profile("category");
    return {
      sequences: this.#batch.length,
      context: Math.round(mean(this.#batch.map(({ context }) => context))),
      attention: this.name,
      msPerStep: this.msPerStep,
      meanMs: mean(this.#ms),
      p99Ms: percentile(this.#ms, 0.99),
      leastMs: Math.min(...this.#ms),
      hostMs: median(this.#hostMs),
      hostMeanMs: mean(this.#hostMs),
      gpuMs,
      gpuMsByCategory,
      bytes,
      rooflineMs,
      overRoofline: this.msPerStep / rooflineMs,
      tokensPerSecond: (1000 * this.#batch.length) / this.msPerStep,
      ...(fullMs !== undefined && { speedupOverFull: fullMs / this.msPerStep }),
    };
  }

  /** Median GPU milliseconds of steps that each run right after another. */
  async #profile(by: "all" | "category"): Promise<Readonly<Record<string, number>>> {
    const { stepper } = this.#drivers;
    const step = () => stepper.recordStep(this.#sequences);
    const profiles: Record<string, number>[] = [];
    stepper.begin();
    step(); // compiles what the engine has not
    for (let i = 0; i < PROFILES; i++) {
      step();
      profiles.push(await profile(stepper.backend, step, by));
    }
    const names = Object.keys(profiles[0] ?? {});
    return Object.fromEntries(
      names.map((name) => [name, median(profiles.map((profile) => profile[name] ?? 0))]),
    );
  }
}
