/**
 * GPU time of kernels: sequences of calls in one pass between two timestamps, so that gaps between dispatches count as in a step. An
 * idle GPU clocks down, so untimed calls keep it busy up to every sample. Compared sequences alternate sample by sample.
 */
import { profile, type WebGpuBackend } from "../../src/node/internal.ts";
import { median } from "../statistics.ts";

/** A GPU takes about this long to clock up. */
export const WARM_UP_MS = 60;
/** GPU time of one sample. */
const SAMPLE_MS = 12;
const MAX_CALLS = 400;
const ROUNDS = 7;
/** A slow device gets fewer rounds. */
const MAX_SAMPLING_MS = 2000;

export interface CallSequence {
  readonly name: string;
  /** Runs untimed before every sample. */
  readonly prepare?: () => void;
  /** Records one call. Its number chooses among weights and layers. */
  readonly run: (call: number) => void;
}

/** Median microseconds of a call of every sequence, by name. */
export async function timeSequences(
  backend: WebGpuBackend,
  sequences: readonly CallSequence[],
): Promise<ReadonlyMap<string, number>> {
  const runs = [];
  for (const sequence of sequences)
    runs.push({ sequence, calls: await callsOf(backend, sequence), ms: [] as number[] });
  const started = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (const { sequence, calls, ms } of runs) ms.push((await sample(backend, sequence, calls)) / calls);
    if (performance.now() - started > MAX_SAMPLING_MS) break;
  }
  return new Map(runs.map(({ sequence, ms }) => [sequence.name, median(ms) * 1000]));
}

/** Compiles a sequence, clocks the device up with it, and returns the calls that make a sample. */
async function callsOf(backend: WebGpuBackend, sequence: CallSequence): Promise<number> {
  await sample(backend, sequence, 1);
  const started = performance.now();
  let ms: number;
  do ms = await sample(backend, sequence, 1);
  while (performance.now() - started < WARM_UP_MS);
  return Math.min(MAX_CALLS, Math.max(1, Math.ceil(SAMPLE_MS / ms)));
}

/** GPU milliseconds of so many calls, run right after as many that are not timed. */
async function sample(
  backend: WebGpuBackend,
  { prepare, run }: CallSequence,
  calls: number,
): Promise<number> {
  const runAll = () => {
    for (let call = 0; call < calls; call++) run(call);
  };
  prepare?.();
  runAll();
  const { all } = await profile(backend, runAll, "all");
  return all ?? Number.NaN;
}
