/**
 * Decode steps of a checkpoint without the engine, attentions in turn on one filled cache: steps that follow one another,
 * as in decoding, because the last-level cache takes a dozen of them to settle. Beside each the two floors: its bytes at
 * the speed of a plain read in the same turn, and its multiply-adds at the machine's ceiling.
 */
import { arithmeticCeiling } from "../kernels/machine-speed.ts";
import { mean, median, percentile } from "../statistics.ts";
import { ModelStepper, type StepperOptions } from "./model-stepper.ts";

/** Steps of a turn that come before those measured. */
const SETTLING_STEPS = 12;

export interface StepBenchOptions extends Omit<StepperOptions, "contextLength" | "backend"> {
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  /** Measured steps of a turn. */
  readonly steps: number;
  readonly rounds: number;
}

export interface StepRow {
  readonly context: number;
  readonly threads: number;
  readonly attention: string;
  /** Median over all measured steps; so are the next three. */
  readonly msPerStep: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly leastMs: number;
  /** Speed-up over the first attention. */
  readonly speedup: number;
  readonly plainReadMs: number;
  readonly arithmeticMs: number;
  /** Median milliseconds by backend call, of steps that were timed call by call. */
  readonly parts: Readonly<Record<string, number>>;
}

export interface PrefillRow {
  readonly context: number;
  readonly threads: number;
  readonly prefillTokensPerSecond: number;
  /** At the end of the same context, with the first attention. */
  readonly decodeTokensPerSecond: number;
  readonly prefillOverDecode: number;
  /** Prefill speed if every multiply-add runs at the ceiling. */
  readonly ceilingTokensPerSecond: number;
}

export async function benchSteps(
  options: StepBenchOptions,
): Promise<{ steps: readonly StepRow[]; prefill: readonly PrefillRow[] }> {
  const { contexts, attention, rounds, ...rest } = options;
  const contextLength = Math.max(...contexts);
  const stepper = await ModelStepper.open({ backend: "wasm", contextLength, ...rest });
  try {
    const ceiling = arithmeticCeiling() * stepper.threads * 1e6;
    const steps: StepRow[] = [];
    const prefill: PrefillRow[] = [];
    stepper.prefill(Math.min(512, contextLength)); // warms the compiler and the workers
    for (const context of contexts) {
      const prefillMs: number[] = [];
      for (let round = 0; round < Math.min(3, rounds); round++) prefillMs.push(stepper.prefill(context));
      const turns = attention.map((spec) => new Turns(stepper, context, spec));
      for (let round = 0; round < rounds; round++) for (const turn of turns) await turn.run(options.steps);
      const yardstick = turns[0]?.msPerStep ?? Number.NaN;
      steps.push(...turns.map((turn) => turn.row(yardstick, ceiling)));
      prefill.push({
        context,
        threads: stepper.threads,
        prefillTokensPerSecond: (context / median(prefillMs)) * 1000,
        decodeTokensPerSecond: 1000 / yardstick,
        prefillOverDecode: (context / median(prefillMs)) * yardstick,
        ceilingTokensPerSecond: (context / stepper.prefillMultiplyAdds(context)) * ceiling * 1000,
      });
    }
    return { steps, prefill };
  } finally {
    await stepper.backend.close();
  }
}

/** The turns of one attention at one context. */
class Turns {
  readonly #stepper: ModelStepper;
  readonly #context: number;
  readonly #attention: string;
  readonly #ms: number[] = [];
  readonly #readMs: number[] = [];
  readonly #parts: ReadonlyMap<string, number>[] = [];

  constructor(stepper: ModelStepper, context: number, attention: string) {
    this.#stepper = stepper;
    this.#context = context;
    this.#attention = attention;
  }

  get msPerStep(): number {
    return median(this.#ms);
  }

  async run(steps: number): Promise<void> {
    const step = () => this.#stepper.step(this.#context, this.#attention);
    for (let i = 0; i < SETTLING_STEPS; i++) await step();
    for (let i = 0; i < steps; i++) this.#ms.push(await step());
    for (let i = 0; i < 3; i++) {
      this.#stepper.clock.start();
      await step();
      this.#parts.push(this.#stepper.clock.take());
    }
    const bytes = this.#stepper.stepBytes(this.#context, this.#attention);
    for (let i = 0; i < SETTLING_STEPS; i++) this.#stepper.plainRead(bytes);
    for (let i = 0; i < 3; i++) this.#readMs.push(this.#stepper.plainRead(bytes));
  }

  row(yardstickMs: number, ceiling: number): StepRow {
    const names = new Set(this.#parts.flatMap((part) => [...part.keys()]));
    return {
      context: this.#context,
      threads: this.#stepper.threads,
      attention: this.#attention,
      msPerStep: this.msPerStep,
      meanMs: mean(this.#ms),
      p99Ms: percentile(this.#ms, 0.99),
      leastMs: Math.min(...this.#ms),
      speedup: yardstickMs / this.msPerStep,
      plainReadMs: median(this.#readMs),
      arithmeticMs: this.#stepper.stepMultiplyAdds(this.#context, this.#attention) / ceiling,
      parts: Object.fromEntries([...names].map((name) => [name, this.#part(name)])),
    };
  }

  #part(name: string): number {
    return median(this.#parts.map((part) => part.get(name) ?? 0));
  }
}
