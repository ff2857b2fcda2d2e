/**
 * Requests at once beside bare steps of as many sequences: what of the backend's speed streaming requests get. Both run on one backend,
 * in turn within a round, so that their ratio holds on a machine whose speed changes.
 */
import type { AttentionObserver, Engine } from "../src/node/index.ts";
import type { BareStepper } from "./bare-stepper.ts";
import { mean, median, percentile } from "./statistics.ts";
import {
  CHAT,
  type StreamsOptions,
  type StreamTimes,
  TOKENS_AHEAD,
  TOKENS_BEFORE,
  timeStreams,
} from "./streams.ts";

export interface ConcurrentOptions {
  /** Requests at once. */
  readonly sequences: readonly number[];
  /** Cached tokens of each at the middle of the timed steps. */
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  /** Timed steps of a turn. */
  readonly steps: number;
  readonly rounds: number;
  readonly observer?: AttentionObserver | undefined;
  /** Tokens of a prompt that comes every second; adds turns with such requests beside the streams. */
  readonly newcomerTokens?: number | undefined;
}

/** One model, driven through its engine and step by step. */
export interface ConcurrentDrivers {
  readonly engine: Pick<Engine, "generate">;
  readonly stepper: BareStepper;
  /** Called when the timed part of streams begins and ends. */
  readonly onTimed?: (isTimed: boolean) => void;
}

export interface ConcurrentRow {
  readonly sequences: number;
  readonly context: number;
  readonly attention: string;
  /** Median of greedy steps, and of steps that sample as the requests do. */
  readonly bareMs: number;
  readonly bareSampledMs: number;
  /** Tokens per second of all sequences: bare greedy steps, by the mean of their times, and requests. Medians over rounds. */
  readonly bareTokensPerSecond: number;
  readonly tokensPerSecond: number;
  /** Requests over bare greedy steps, and over steps that sample alike: medians of the rounds' ratios. */
  readonly ofBare: number;
  readonly ofBareSampled: number;
  /** Milliseconds from a token of a stream to its next. */
  readonly betweenTokensP50: number;
  readonly betweenTokensP99: number;
  /** The same while a request with a new prompt comes every second; and the median time to the first tokens of those. */
  readonly withNewcomersP50?: number;
  readonly withNewcomersP99?: number;
  readonly withNewcomersMax?: number;
  readonly newcomerFirstTokenMs?: number;
}

/** Timed tokens of streams beside which newcomers come, at least: several seconds of them. */
const NEWCOMER_STEPS = 256;

/** Tokens of context that streams of this bench may take. */
export function contextOfStreams({ contexts, steps, newcomerTokens }: ConcurrentOptions): number {
  const timed = newcomerTokens === undefined ? steps : Math.max(steps, NEWCOMER_STEPS);
  return Math.max(...contexts, newcomerTokens ?? 0) + TOKENS_BEFORE + timed + TOKENS_AHEAD;
}

export async function benchConcurrent(
  drivers: ConcurrentDrivers,
  options: ConcurrentOptions,
  say: (what: string) => void = () => {},
): Promise<readonly ConcurrentRow[]> {
  const rows: ConcurrentRow[] = [];
  for (const context of options.contexts)
    for (const sequences of options.sequences) {
      const turns = options.attention.map(
        (spec) => new Turns(drivers, options, { context, sequences, spec }),
      );
      for (let round = -1; round < options.rounds; round++)
        for (const turn of turns) {
          say(
            `${sequences} requests of ${context} tokens, ${turn.attention}, ${round < 0 ? "warming up" : `round ${round + 1}`}`,
          );
          if (round < 0) await turn.warmUp();
          else await turn.run();
        }
      rows.push(...turns.map((turn) => turn.row()));
    }
  return rows;
}

interface Case {
  readonly context: number;
  readonly sequences: number;
  readonly spec: string;
}

interface Round {
  readonly bare: readonly number[];
  readonly bareSampled: readonly number[];
  readonly streams: StreamTimes;
  readonly withNewcomers: StreamTimes | undefined;
}

/** The turns of one batch. */
class Turns {
  readonly attention: string;
  readonly #drivers: ConcurrentDrivers;
  readonly #options: ConcurrentOptions;
  readonly #case: Case;
  readonly #rounds: Round[] = [];

  constructor(drivers: ConcurrentDrivers, options: ConcurrentOptions, one: Case) {
    this.attention = one.spec;
    this.#drivers = drivers;
    this.#options = options;
    this.#case = one;
  }

  /** Compiles kernels and functions, and fills the cache that the bare steps read. */
  async warmUp(): Promise<void> {
    const steps = Math.min(16, this.#options.steps);
    await this.#streams(steps);
    await this.#bare(steps, "greedy");
  }

  async run(): Promise<void> {
    const { steps, newcomerTokens } = this.#options;
    const bare = await this.#bare(steps, "greedy");
    const bareSampled = await this.#bare(steps, "sampled");
    const streams = await this.#streams(steps);
    const withNewcomers =
      newcomerTokens === undefined
        ? undefined
        : await this.#streams(Math.max(steps, NEWCOMER_STEPS), { newcomerTokens });
    this.#rounds.push({ bare, bareSampled, streams, withNewcomers });
  }

  #bare(steps: number, how: "greedy" | "sampled"): Promise<readonly number[]> {
    const { context, sequences } = this.#case;
    const sampling = how === "greedy" ? { temperature: 0, topP: 1 } : CHAT;
    const length = Math.max(1, context - Math.floor(steps / 2));
    return this.#drivers.stepper.time({ sequences, length, attention: this.attention, steps, sampling });
  }

  #streams(steps: number, more: Partial<StreamsOptions> = {}): Promise<StreamTimes> {
    const { context, sequences } = this.#case;
    const { observer } = this.#options;
    const promptTokens = Math.max(1, context - TOKENS_BEFORE - Math.floor(steps / 2));
    const maxTokens = TOKENS_BEFORE + steps + TOKENS_AHEAD;
    const { engine, onTimed } = this.#drivers;
    return timeStreams(engine, {
      ...{ sequences, promptTokens, maxTokens, attention: this.attention, steps, observer },
      ...{ began: () => onTimed?.(true), ended: () => onTimed?.(false) },
      ...more,
    });
  }

  row(): ConcurrentRow {
    const { context, sequences, spec: attention } = this.#case;
    const rounds = this.#rounds;
    const perSecond = (times: readonly number[]) => (1000 * sequences) / mean(times);
    const intervals = rounds.flatMap(({ streams }) => streams.intervals);
    return {
      ...{ sequences, context, attention },
      bareMs: median(rounds.flatMap(({ bare }) => bare)),
      bareSampledMs: median(rounds.flatMap(({ bareSampled }) => bareSampled)),
      bareTokensPerSecond: median(rounds.map(({ bare }) => perSecond(bare))),
      tokensPerSecond: median(rounds.map(({ streams }) => streams.tokensPerSecond)),
      ofBare: median(rounds.map(({ bare, streams }) => streams.tokensPerSecond / perSecond(bare))),
      ofBareSampled: median(
        rounds.map(({ bareSampled, streams }) => streams.tokensPerSecond / perSecond(bareSampled)),
      ),
      betweenTokensP50: median(intervals),
      betweenTokensP99: percentile(intervals, 0.99),
      ...newcomersOf(rounds),
    };
  }
}

function newcomersOf(rounds: readonly Round[]) {
  const beside = rounds.flatMap(({ withNewcomers }) => withNewcomers ?? []);
  if (beside.length === 0) return {};
  const intervals = beside.flatMap((one) => one.intervals);
  return {
    withNewcomersP50: median(intervals),
    withNewcomersP99: percentile(intervals, 0.99),
    withNewcomersMax: percentile(intervals, 1),
    newcomerFirstTokenMs: median(beside.flatMap(({ newcomersMs }) => newcomersMs)),
  };
}
