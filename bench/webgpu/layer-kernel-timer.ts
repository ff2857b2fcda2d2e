/**
 * GPU time of kernels: chains of calls in one pass between two timestamps, so that the gaps between dispatches count, as
 * they do in a step. A GPU that idles clocks down, so it is kept busy before and right up to every sample, and chains
 * that are compared are sampled in turn.
 */
import type { WebGpuBackend } from "../../src/node/internal.ts";
import { median } from "../statistics.ts";

/** A GPU takes about this long to clock up. */
export const WARM_UP_MS = 60;
/** GPU time of one sample. */
const SAMPLE_MS = 12;
const MAX_CALLS = 400;
const ROUNDS = 7;
/** A slow device gets fewer rounds. */
const MAX_SAMPLING_MS = 2000;

export interface Chain {
  readonly name: string;
  /** Sets the stage before every sample, untimed. */
  readonly prepare?: () => void;
  /** Records one call; calls are numbered, so that they can take different weights and layers. */
  readonly run: (call: number) => void;
}

/** Median microseconds of a call of every chain, by name. */
export async function timeChains(
  backend: WebGpuBackend,
  chains: readonly Chain[],
): Promise<ReadonlyMap<string, number>> {
  const runs = [];
  for (const chain of chains) runs.push({ chain, calls: await callsOf(backend, chain), ms: [] as number[] });
  const started = performance.now();
  for (let round = 0; round < ROUNDS; round++) {
    for (const { chain, calls, ms } of runs) ms.push((await sample(backend, chain, calls)) / calls);
    if (performance.now() - started > MAX_SAMPLING_MS) break;
  }
  return new Map(runs.map(({ chain, ms }) => [chain.name, median(ms) * 1000]));
}

/** Compiles a chain, clocks the device up with it, and returns the calls that make a sample. */
async function callsOf(backend: WebGpuBackend, chain: Chain): Promise<number> {
  await sample(backend, chain, 1);
  const started = performance.now();
  let ms: number;
  do ms = await sample(backend, chain, 1);
  while (performance.now() - started < WARM_UP_MS);
  return Math.min(MAX_CALLS, Math.max(1, Math.ceil(SAMPLE_MS / ms)));
}

/** GPU milliseconds of so many calls, run right after as many that are not timed. */
async function sample(backend: WebGpuBackend, { prepare, run }: Chain, calls: number): Promise<number> {
  const runAll = () => {
    for (let call = 0; call < calls; call++) run(call);
  };
  prepare?.();
  runAll();
  const { all } = await backend.profile(runAll, "all");
  return all ?? Number.NaN;
}
