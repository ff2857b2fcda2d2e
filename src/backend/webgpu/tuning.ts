import type { BackendShape } from "../backend.ts";
import type { DeviceTraits } from "./device-traits.ts";

/** Sizes that change how fast kernels are, not what they compute. */
export interface Tuning {
  /**
   * Matrix-vector products: most invocations of a team, pieces of weights that each has in flight, least rows of a team.
   */
  readonly matvecLanes: number;
  readonly matvecLoads: number;
  readonly matvecTeamRows: number;
  /** Decode attention: invocations of a workgroup; tokens of a team in flight; workgroups for all of a row. */
  readonly attendThreads: number;
  readonly attendTokens: number;
  readonly attendGroups: number;
  /** Fewest tokens of a workgroup of decode attention: below it, bringing partial sums together costs more. */
  readonly attendLeastShare: number;
  /**
   * Products on the matrix units: rows of x and of the weight of a workgroup, columns of a strip, how its subgroups share
   * the outputs, and strips in workgroup memory.
   */
  readonly matrixTileX: number;
  readonly matrixTileW: number;
  readonly matrixStrip: number;
  readonly matrixSplitX: number;
  readonly matrixSplitW: number;
  readonly matrixBuffers: number;
  /** Prefill attention on the matrix units: subgroups of a workgroup, keys a turn. */
  readonly matrixSubgroups: number;
  readonly matrixKeys: number;
  /** Invocations of a workgroup that brings partial sums together. */
  readonly mergeThreads: number;
}

const GPU: Tuning = {
  matvecLanes: 256,
  matvecLoads: 16,
  matvecTeamRows: 1,
  attendThreads: 128,
  attendTokens: 4,
  attendGroups: 512,
  attendLeastShare: 64,
  matrixTileX: 128,
  matrixTileW: 128,
  matrixStrip: 64,
  matrixSplitX: 2,
  matrixSplitW: 4,
  matrixBuffers: 1,
  matrixSubgroups: 8,
  matrixKeys: 32,
  mergeThreads: 256,
};

/** On a CPU a workgroup is a loop, and a barrier a turn of every invocation. */
const EMULATED: Tuning = {
  ...GPU,
  matvecLanes: 16,
  matvecLoads: 4,
  matvecTeamRows: 8,
  attendThreads: 32,
  attendGroups: 16,
  mergeThreads: 64,
};

export function tuningFor(traits: DeviceTraits, overrides: Partial<Tuning> = {}): Tuning {
  return { ...(traits.isEmulated ? EMULATED : GPU), ...overrides };
}

/** Query heads that one workgroup of attention serves: all of a kv head, or the largest even share of them up to eight. */
export function headsOfWorkgroup({ numQueryHeads, numKvHeads }: BackendShape): number {
  const group = numQueryHeads / numKvHeads;
  for (let heads = Math.min(8, group); heads > 1; heads--) if (group % heads === 0) return heads;
  return 1;
}
