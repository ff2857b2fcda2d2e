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

export interface StepBenchOptions extends Omit<StepperOptions, "contextLength" | "backend" | "sequences"> {
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  /** Sequences of a step, one decode row each. */
  readonly sequences: readonly number[];
  /** Measured steps of a turn. */
  readonly steps: number;
  readonly rounds: number;
}

export interface StepRow {
  readonly context: number;
  readonly threads: number;
  readonly attention: string;
  readonly sequences: number;
  /** Median over all measured steps; so are the next three. */
  readonly msPerStep: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly leastMs: number;
  /** Speed-up over the first attention with as many sequences. */
  readonly speedup: number;
  /** Tokens a second over those of a step of the first number of sequences. */
  readonly throughput: number;
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
  const { contexts, attention, sequences, rounds, ...rest } = options;
  const contextLength = Math.max(...contexts);
  const most = Math.max(...sequences);
  const stepper = await ModelStepper.open({ backend: "wasm", contextLength, sequences: most, ...rest });
  try {
    const ceiling = arithmeticCeiling() * stepper.threads * 1e6;
    const steps: StepRow[] = [];
    const prefill: PrefillRow[] = [];
    stepper.prefill(Math.min(512, contextLength)); // warms the compiler and the workers
    for (const context of contexts) {
      const prefillMs: number[] = [];
      for (let round = 0; round < Math.min(3, rounds); round++) prefillMs.push(stepper.prefill(context));
      for (let s = 1; s < most; s++) stepper.prefill(context, s);
      const turns = sequences.map((count) =>
        attention.map((spec) => new Turns(stepper, context, spec, count)),
      );
      for (let round = 0; round < rounds; round++)
        for (const turn of turns.flat()) await turn.run(options.steps);
      const yardstick = turns[0]?.[0]?.msPerStep ?? Number.NaN;
      for (const ofCount of turns)
        steps.push(...ofCount.map((turn, i) => turn.row(ofCount[0], turns[0]?.[i], ceiling)));
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
  readonly #sequences: number;
  readonly #ms: number[] = [];
  readonly #readMs: number[] = [];
  readonly #parts: ReadonlyMap<string, number>[] = [];

  constructor(stepper: ModelStepper, context: number, attention: string, sequences: number) {
    this.#stepper = stepper;
    this.#context = context;
    this.#attention = attention;
    this.#sequences = sequences;
  }

  get msPerStep(): number {
    return median(this.#ms);
  }

  get msPerToken(): number {
    return this.msPerStep / this.#sequences;
  }

  async run(steps: number): Promise<void> {
    const step = () => this.#stepper.step(this.#context, this.#attention, this.#sequences);
    for (let i = 0; i < SETTLING_STEPS; i++) await step();
    for (let i = 0; i < steps; i++) this.#ms.push(await step());
    for (let i = 0; i < 3; i++) {
      this.#stepper.clock.start();
      await step();
      this.#parts.push(this.#stepper.clock.take());
    }
    const bytes = this.#stepper.stepBytes(this.#context, this.#attention, this.#sequences);
    for (let i = 0; i < SETTLING_STEPS; i++) this.#stepper.plainRead(bytes);
    for (let i = 0; i < 3; i++) this.#readMs.push(this.#stepper.plainRead(bytes));
  }

  /** yardstick: of the first attention; alone: of the first number of sequences. */
  row(yardstick: Turns | undefined, alone: Turns | undefined, ceiling: number): StepRow {
    const names = new Set(this.#parts.flatMap((part) => [...part.keys()]));
    return {
      context: this.#context,
      threads: this.#stepper.threads,
      attention: this.#attention,
      sequences: this.#sequences,
      msPerStep: this.msPerStep,
      meanMs: mean(this.#ms),
      p99Ms: percentile(this.#ms, 0.99),
      leastMs: Math.min(...this.#ms),
      speedup: (yardstick ?? this).msPerStep / this.msPerStep,
      throughput: (alone ?? this).msPerToken / this.msPerToken,
      plainReadMs: median(this.#readMs),
      arithmeticMs: this.#stepper.stepMultiplyAdds(this.#context, this.#attention, this.#sequences) / ceiling,
      parts: Object.fromEntries([...names].map((name) => [name, this.#part(name)])),
    };
  }

  #part(name: string): number {
    return median(this.#parts.map((part) => part.get(name) ?? 0));
  }
}
