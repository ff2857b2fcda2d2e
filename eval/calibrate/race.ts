/** Accuracy on problems, where there are any: settings race, and those that fall behind leave. */
import type { Engine } from "../../src/node/index.ts";
import { mean, pickNear } from "./choose.ts";
import type { ForcedText } from "./divergence.ts";
import type { Pace } from "./pace.ts";

/** A setting's record. */
export interface Raced {
  readonly spec: string;
  /** Problems that greedy decoding solves: no forced token is other than the likeliest. */
  readonly solved: number;
  /** Problems that full attention solves and it does not. */
  readonly lost: number;
  /** Of each problem: loss of the right tokens above full attention's, nats a token. */
  readonly extraLosses: readonly number[];
  readonly of: number;
  /** Mean over the problems. */
  readonly attendedFraction: number;
  /** The largest mean of a length. */
  readonly mostRead: number;
  /** Left the race before its end. */
  readonly isOut: boolean;
}

export interface Race {
  readonly full: Raced;
  readonly settings: readonly Raced[];
  /** Blocks of problems that the time did not suffice for. */
  readonly leftOut: number;
}

export interface RaceOptions {
  /** Settings to compare, without full attention. */
  readonly specs: readonly string[];
  /** Settings that read more of the cache over the problems of some length leave. */
  readonly maxRead: number;
  readonly pace: Pace;
  readonly signal: AbortSignal;
  readonly onBlock?: (block: number, settings: number) => void;
}

/** Problems that a setting may have lost more than the best one and stay. */
const BEHIND = 1;

interface Runner {
  readonly spec: string;
  lost: number;
  solved: number;
  of: number;
  isOut: boolean;
  /** Share of the cache read, by length and problem. */
  readonly reads: number[][];
  readonly extraLosses: number[];
}

/**
 * Solves block after block of problems under full attention and every setting that is still in. A setting leaves when it reads too much, or has lost more
 * than one problem more than the best. blocks: problems of all tasks, by length
 */
export async function raceProblems(
  engine: Pick<Engine, "scoreEach">,
  blocks: readonly (readonly (readonly ForcedText[])[])[],
  { specs, maxRead, pace, signal, onBlock }: RaceOptions,
): Promise<Race> {
  const full = start("full");
  const settings = specs.map(start);
  let done = 0;
  let slowest = 0;
  for (const lengths of blocks) {
    if (done > 0 && slowest > pace.leftMs) break;
    const startedAt = performance.now();
    const running = settings.filter(({ isOut }) => !isOut);
    onBlock?.(done, running.length);
    for (const [i, problems] of lengths.entries())
      for (const problem of problems) await solve(engine, problem, [full, ...running], i, signal);
    const least = Math.min(...running.map(({ lost }) => lost));
    const cheapest = Math.min(...running.map(mostRead));
    for (const runner of running)
      runner.isOut =
        runner.lost > least + BEHIND || (mostRead(runner) > maxRead && mostRead(runner) > cheapest);
    slowest = Math.max(slowest, performance.now() - startedAt);
    done++;
  }
  return { full: record(full), settings: settings.map(record), leftOut: blocks.length - done };
}

/**
 * The setting that loses fewest problems to full attention; of several the one that reads least among those that give the right tokens as much
 * probability as the best does, within one standard error over the problems: a setting that just happened to lose none has less. Without a
 * tolerance: the one that gives them most.
 */
export function bestRunner(settings: readonly Raced[], tolerance: number | undefined): Raced | undefined {
  const running = settings.filter(({ isOut }) => !isOut);
  const least = Math.min(...running.map(({ lost }) => lost));
  const best = running.filter(({ lost }) => lost === least);
  if (best.length === 0) return undefined;
  return best[
    pickNear(
      best,
      best.map(({ extraLosses }) => extraLosses),
      tolerance,
    )
  ];
}

async function solve(
  engine: Pick<Engine, "scoreEach">,
  { tokenIds, from }: ForcedText,
  runners: readonly Runner[],
  length: number,
  signal: AbortSignal,
): Promise<void> {
  const wrong = runners.map(() => false);
  const results = await engine.scoreEach({
    ...{ tokenIds, from, signal, attentions: runners.map(({ spec }) => spec) },
    onLogits(index, position, logits) {
      if (argmax(logits) !== tokenIds[position]) wrong[index] = true;
    },
  });
  const losses = results.map(({ logProbs }) => -mean(logProbs));
  for (const [i, runner] of runners.entries()) {
    runner.of++;
    runner.extraLosses.push((losses[i] ?? 0) - (losses[0] ?? 0));
    const reads = runner.reads[length] ?? [];
    runner.reads[length] = reads;
    reads.push(results[i]?.attendedFraction ?? 1);
    if (wrong[i] !== true) runner.solved++;
    else if (wrong[0] !== true) runner.lost++;
  }
}

function start(spec: string): Runner {
  return { spec, lost: 0, solved: 0, of: 0, isOut: false, reads: [], extraLosses: [] };
}

function record({ reads, ...runner }: Runner): Raced {
  return { ...runner, attendedFraction: mean(reads.flat()), mostRead: mostRead({ reads }) };
}

function mostRead({ reads }: Pick<Runner, "reads">): number {
  return Math.max(...reads.map(mean));
}

function argmax(logits: Float32Array): number {
  let best = 0;
  for (let i = 1; i < logits.length; i++) if ((logits[i] ?? 0) > (logits[best] ?? 0)) best = i;
  return best;
}
