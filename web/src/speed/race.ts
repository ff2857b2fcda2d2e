import type { Engine, GenerationResult } from "lessismore";
import { RunRecord } from "../run/run-record.ts";

export interface RaceOptions {
  readonly engine: Engine;
  readonly promptTokenIds: ArrayLike<number>;
  /** The attention of each run as a spec, in the order in which they run. */
  readonly attentions: readonly string[];
  /** Maximum tokens of each run. */
  readonly maxTokens: number;
  /** Called when the race enters another phase; the records tell of their own changes. */
  readonly onPhase?: (phase: RacePhase) => void;
}

/** What a race does; `run` is an index into its attentions. */
export type RacePhase =
  | { readonly name: "warming up" | "running"; readonly run: number }
  | { readonly name: "done" | "stopped" }
  | { readonly name: "failed"; readonly reason: string };

const WARM_UP_TOKENS = 24;
/** Steps between two looks at the bytes read. */
const READS_EVERY = 32;

/**
 * Runs the same prompt under several attentions on one engine, so that their times compare. What makes it fair: the runs follow one
 * another, each alone on the engine; all are greedy and end where the model ends them; each has a cache salt of its own, so that
 * none finds the prompt computed; before the first is timed, each has run a few tokens, so that kernels are compiled for both; the
 * observers of both see the bytes read in every 32nd step, and nothing else.
 */
export class Race {
  /** By attention. Times begin with each run's own request. */
  readonly runs: readonly RunRecord[];
  readonly #options: RaceOptions;
  readonly #salt = crypto.randomUUID();
  readonly #controller = new AbortController();
  #phase: RacePhase = { name: "warming up", run: 0 };
  #started: Promise<void> | undefined;

  constructor(options: RaceOptions) {
    this.#options = options;
    this.runs = options.attentions.map((attention) => this.#record(attention));
  }

  get phase(): RacePhase {
    return this.#phase;
  }

  /** Runs it; called twice, it runs once. It does not throw: `phase` says how it ended. */
  start(): Promise<void> {
    this.#started ??= this.#start();
    return this.#started;
  }

  stop(): void {
    this.#controller.abort();
  }

  async #start(): Promise<void> {
    try {
      for (const run of this.runs.keys()) await this.#warmUp(run);
      for (const run of this.runs.keys()) await this.#run(run);
      this.#enter({ name: "done" });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      for (const record of this.runs) if (record.state === "running") record.fail(reason);
      this.#enter(this.#controller.signal.aborted ? { name: "stopped" } : { name: "failed", reason });
    }
  }

  async #warmUp(run: number): Promise<void> {
    this.#enter({ name: "warming up", run });
    await this.#generate(run, WARM_UP_TOKENS, "warm-up").result();
  }

  async #run(run: number): Promise<void> {
    this.#enter({ name: "running", run });
    const record = this.runs[run];
    if (!record) return;
    record.restartClock();
    const generation = this.#generate(run, this.#options.maxTokens, "run", record);
    for await (const part of generation)
      record.add({ ...part, tokenIds: [...(part.markerTokenIds ?? []), ...part.tokenIds] });
    const result: GenerationResult = await generation.result();
    record.finish(result);
  }

  #generate(run: number, maxTokens: number, purpose: string, record?: RunRecord) {
    const { engine, promptTokenIds: tokenIds, attentions } = this.#options;
    const attention = attentions[run];
    return engine.generate({
      ...{ tokenIds, maxTokens, temperature: 0, signal: this.#controller.signal },
      ...(attention !== undefined && { attention }),
      cacheSalt: `race ${this.#salt} ${purpose} ${run}`,
      ...(record && { observer: record.observer }),
    });
  }

  #record(attention: string): RunRecord {
    const { engine, promptTokenIds } = this.#options;
    return new RunRecord({
      ...{ promptTokenIds, attention, engine: engine.report() },
      textOf: (id) => engine.tokenizer.decode([id]),
      observes: "reads",
      observeEvery: READS_EVERY,
    });
  }

  #enter(phase: RacePhase): void {
    this.#phase = phase;
    this.#options.onPhase?.(phase);
  }
}
