/**
 * Decode steps of a shape as a request gets them: through the engine, from token to token at its consumer. Attentions take turns
 * within a context, so that their ratios come from the same minutes. What the GPU does in a step is timed by itself.
 */
import { type AttentionPolicy, type ModelConfig, profile } from "../../src/node/internal.ts";
import { mean, median, percentile } from "../statistics.ts";
import { LEAD_TOKENS } from "../token-times.ts";
import { DeviceEngine } from "./device-engine.ts";
import { openDeviceModel } from "./device-model.ts";
import { DeviceStepper } from "./device-stepper.ts";
import type { BenchGpu } from "./gpu.ts";
import { type Dtypes, stepBytes } from "./step-work.ts";

export interface ShapeDecodeOptions extends Dtypes {
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  /** Measured steps of a turn. */
  readonly steps: number;
  /** Turns of each attention. */
  readonly rounds: number;
  /** GB/s of a plain read in the same run. */
  readonly readBandwidth: number;
}

export interface ShapeDecodeRow {
  readonly context: number;
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
  /** Over full attention at the same context, where that was asked for. */
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
  const { contexts, dtype, cacheDtype, steps } = options;
  // the end of a turn may lie past a context that is shorter than the turn
  const context = Math.max(...contexts, LEAD_TOKENS + steps + 2) + 1;
  const model = await openDeviceModel(gpu, config, { context, dtype, cacheDtype });
  const engine = await DeviceEngine.open(model);
  try {
    const stepper = new DeviceStepper(model);
    const rows: ShapeDecodeRow[] = [];
    for (const length of contexts)
      rows.push(...(await benchContext({ engine, stepper }, config, length, options)));
    return rows;
  } finally {
    await engine.close();
  }
}

/** One model, driven by the engine and step by step. */
interface Drivers {
  readonly engine: DeviceEngine;
  readonly stepper: DeviceStepper;
}

async function benchContext(
  drivers: Drivers,
  config: ModelConfig,
  context: number,
  options: ShapeDecodeOptions,
): Promise<readonly ShapeDecodeRow[]> {
  const turns = options.attention.map((spec) => new Turns(drivers, context, spec));
  for (const turn of turns) await turn.warmUp();
  for (let round = 0; round < options.rounds; round++)
    for (const turn of turns) await turn.run(options.steps);
  const fullMs = turns.find(({ spec }) => spec === "full")?.msPerStep;
  const rows: ShapeDecodeRow[] = [];
  for (const turn of turns) rows.push(await turn.row(config, options, fullMs));
  return rows;
}

/** The turns of one attention at one context. */
class Turns {
  readonly spec: string;
  readonly #drivers: Drivers;
  readonly #context: number;
  readonly #policy: AttentionPolicy;
  readonly #ms: number[] = [];
  readonly #hostMs: number[] = [];

  constructor(drivers: Drivers, context: number, spec: string) {
    this.spec = spec;
    this.#drivers = drivers;
    this.#context = context;
    this.#policy = drivers.stepper.policy(spec);
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
    const promptTokens = Math.max(1, this.#context - LEAD_TOKENS - steps);
    return this.#drivers.engine.decode({ promptTokens, attention: this.spec, steps });
  }

  async row(
    config: ModelConfig,
    options: ShapeDecodeOptions,
    fullMs: number | undefined,
  ): Promise<ShapeDecodeRow> {
    const { model } = this.#drivers.stepper;
    const bytes = stepBytes(config, options, { policy: this.#policy, model, length: this.#context });
    const rooflineMs = bytes / options.readBandwidth / 1e6;
    const { all: gpuMs = Number.NaN } = await this.#profile("all");
    const { all, ...gpuMsByCategory } = await this.#profile("category");
    return {
      context: this.#context,
      attention: this.spec,
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
      ...(fullMs !== undefined && { speedupOverFull: fullMs / this.msPerStep }),
    };
  }

  /** Median GPU milliseconds of steps that each run right after another. */
  async #profile(by: "all" | "category"): Promise<Readonly<Record<string, number>>> {
    const { stepper } = this.#drivers;
    const step = () => stepper.recordStep(this.#context, this.#policy);
    const profiles: Record<string, number>[] = [];
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
