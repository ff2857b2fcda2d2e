import type { BackendShape } from "../backend.ts";
import type { DeviceTraits } from "./context.ts";

/** Sizes that change how fast kernels are, not what they compute. */
export interface Tuning {
  /** Matrix-vector products: invocations of a workgroup; rows of a team; steps whose loads are in flight together. */
  readonly matvecThreads: number;
  readonly matvecRows: number;
  readonly matvecUnroll: number;
  /** Decode attention: invocations of a workgroup; tokens of a team in flight; workgroups for all of a row. */
  readonly attendThreads: number;
  readonly attendTokens: number;
  readonly attendGroups: number;
  /** Fewest tokens of a workgroup of decode attention: below it, bringing partial sums together costs more. */
  readonly attendLeastShare: number;
  /**
   * Products on the matrix units: rows of x and of the weight of a workgroup, columns of a strip, and how its subgroups
   * share the outputs.
   */
  readonly matrixTileX: number;
  readonly matrixTileW: number;
  readonly matrixStrip: number;
  readonly matrixSplitX: number;
  readonly matrixSplitW: number;
  /** Invocations of a workgroup that brings partial sums together. */
  readonly mergeThreads: number;
}

const GPU: Tuning = {
  matvecThreads: 256,
  matvecRows: 4,
  matvecUnroll: 4,
  attendThreads: 128,
  attendTokens: 4,
  attendGroups: 512,
  attendLeastShare: 64,
  matrixTileX: 128,
  matrixTileW: 128,
  matrixStrip: 32,
  matrixSplitX: 2,
  matrixSplitW: 4,
  mergeThreads: 256,
};

/** On a CPU a workgroup is a loop, and a barrier a turn of every invocation. */
const EMULATED: Tuning = {
  ...GPU,
  matvecThreads: 64,
  matvecUnroll: 1,
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
