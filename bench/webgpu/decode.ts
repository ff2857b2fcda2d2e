/**
 * Whole decode steps of a shape, embedding to drawn token, run as the engine runs them: a step is recorded and submitted
 * while the one before it runs, then that one's token is read. Attentions take turns within a context, so that their
 * ratios come from the same minutes.
 */
import type { AttentionPolicy } from "../../src/attention/policy.ts";
import type { InFlightSample } from "../../src/backend/backend.ts";
import type { ModelConfig } from "../../src/model/config.ts";
import { median } from "../statistics.ts";
import { openDeviceModel } from "./device-model.ts";
import { DeviceStepper } from "./device-stepper.ts";
import type { BenchGpu } from "./gpu.ts";
import { WARM_UP_MS } from "./layer-kernel-timer.ts";
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
  /** Median over turns. */
  readonly msPerStep: number;
  readonly leastMs: number;
  readonly mostMs: number;
  /** In which the host records and submits a step. */
  readonly hostMs: number;
  /** Of a step by itself, from its first dispatch to the end of its last. */
  readonly gpuMs: number;
  /** Every dispatch timed by itself: together more than a step. */
  readonly gpuMsByPart: Readonly<Record<string, number>>;
  readonly bytes: number;
  readonly rooflineMs: number;
  readonly overRoofline: number;
  /** Over full attention at the same context, where that was asked for. */
  readonly speedupOverFull?: number;
}

/** Steps of a turn that come before those measured. */
const LEAD_STEPS = 3;
const PROFILES = 3;

export async function benchShapeDecode(
  gpu: BenchGpu,
  config: ModelConfig,
  options: ShapeDecodeOptions,
): Promise<readonly ShapeDecodeRow[]> {
  const { contexts, dtype, cacheDtype } = options;
  const context = Math.max(...contexts);
  const model = await openDeviceModel(gpu, config, { context, rows: 1, dtype, cacheDtype });
  try {
    const stepper = new DeviceStepper(model);
    const rows: ShapeDecodeRow[] = [];
    for (const length of contexts) rows.push(...(await benchContext(stepper, config, length, options)));
    return rows;
  } finally {
    await model.backend.close();
  }
}

async function benchContext(
  stepper: DeviceStepper,
  config: ModelConfig,
  context: number,
  options: ShapeDecodeOptions,
): Promise<readonly ShapeDecodeRow[]> {
  const turns = options.attention.map((spec) => new Turns(stepper, context, spec, options.steps));
  for (const turn of turns) await turn.compile();
  await turns[0]?.warmUp();
  for (let round = 0; round < options.rounds; round++) for (const turn of turns) await turn.run();
  const fullMs = turns.find(({ spec }) => spec === "full")?.msPerStep;
  const rows: ShapeDecodeRow[] = [];
  for (const turn of turns) rows.push(await turn.row(config, options, fullMs));
  return rows;
}

/** The turns of one attention at one context. */
class Turns {
  readonly spec: string;
  readonly #stepper: DeviceStepper;
  readonly #context: number;
  readonly #policy: AttentionPolicy;
  readonly #steps: number;
  readonly #ms: number[] = [];
  readonly #hostMs: number[] = [];

  constructor(stepper: DeviceStepper, context: number, spec: string, steps: number) {
    this.spec = spec;
    this.#stepper = stepper;
    this.#context = context;
    this.#policy = stepper.policy(spec);
    this.#steps = steps;
  }

  get msPerStep(): number {
    return median(this.#ms);
  }

  async compile(): Promise<void> {
    await this.#stepper.step(this.#context, this.#policy).tokens();
  }

  async warmUp(): Promise<void> {
    const started = performance.now();
    while (performance.now() - started < WARM_UP_MS) await this.compile();
  }

  /** Steps that follow one another and end at the context. */
  async run(): Promise<void> {
    const total = LEAD_STEPS + this.#steps;
    let unread: InFlightSample | undefined;
    let started = 0;
    for (let i = 0; i < total; i++) {
      const recorded = performance.now();
      const draw = this.#stepper.step(Math.max(1, this.#context - total + 1 + i), this.#policy);
      if (i >= LEAD_STEPS) this.#hostMs.push(performance.now() - recorded);
      await unread?.tokens();
      unread = draw;
      // at both ends of the measured steps one more is under way
      if (i === LEAD_STEPS - 1) started = performance.now();
    }
    this.#ms.push((performance.now() - started) / this.#steps);
    await unread?.tokens();
  }

  async row(
    config: ModelConfig,
    options: ShapeDecodeOptions,
    fullMs: number | undefined,
  ): Promise<ShapeDecodeRow> {
    const bytes = stepBytes(config, options, {
      policy: this.#policy,
      model: this.#stepper.model,
      length: this.#context,
    });
    const rooflineMs = bytes / options.readBandwidth / 1e6;
    const { all: gpuMs = Number.NaN } = await this.#profile("all");
    const { all, ...gpuMsByPart } = await this.#profile("part");
    return {
      context: this.#context,
      attention: this.spec,
      msPerStep: this.msPerStep,
      leastMs: Math.min(...this.#ms),
      mostMs: Math.max(...this.#ms),
      hostMs: median(this.#hostMs),
      gpuMs,
      gpuMsByPart,
      bytes,
      rooflineMs,
      overRoofline: this.msPerStep / rooflineMs,
      ...(fullMs !== undefined && { speedupOverFull: fullMs / this.msPerStep }),
    };
  }

  /** Median GPU milliseconds of steps that each run right after another. */
  async #profile(by: "all" | "part"): Promise<Readonly<Record<string, number>>> {
    const step = () => this.#stepper.recordStep(this.#context, this.#policy);
    const profiles: Record<string, number>[] = [];
    for (let i = 0; i < PROFILES; i++) {
      step();
      profiles.push(await this.#stepper.backend.profile(step, by));
    }
    const names = Object.keys(profiles[0] ?? {});
    return Object.fromEntries(
      names.map((name) => [name, median(profiles.map((profile) => profile[name] ?? 0))]),
    );
  }
}
