import type { ModelShape } from "../backend.ts";
import type { DeviceTraits } from "./device-traits.ts";

/** How a workgroup of gemm-subgroup-subgroup-matrix.wgsl goes about its outputs. */
export interface MatrixTile {
  /** Rows of x and of the weight. */
  readonly x: number;
  readonly w: number;
  /** Columns at a time; a divisor of PREPARED_STRIP. */
  readonly strip: number;
  /** How its subgroups share the outputs, and the columns. */
  readonly splitX: number;
  readonly splitW: number;
  readonly splitK: number;
  /** Strips on their way in registers, and strips in workgroup memory. */
  readonly depth: number;
  readonly buffers: number;
}

/** Sizes that change how fast kernels are, not what they compute. */
export interface Tuning {
  /**
   * Matrix-vector products: most invocations of a team, pieces of weights that each has in flight, least rows of a team.
   */
  readonly matvecLanes: number;
  readonly matvecLoads: number;
  readonly matvecTeamRows: number;
  /** Chains of products: invocations of a workgroup, pieces of weights that each has in flight, rows of a workgroup. */
  readonly chainThreads: number;
  readonly chainLoads: number;
  readonly chainRows: number;
  /** Fewest workgroups of a stage, if its rows can be spread so far. */
  readonly chainGroups: number;
  /** Pieces of the vector that an invocation keeps. */
  readonly chainPieces: number;
  /** Decode attention: invocations of a workgroup; tokens of a team in flight; workgroups for all of a row. */
  readonly attendThreads: number;
  readonly attendTokens: number;
  readonly attendGroups: number;
  /** Fewest tokens of a workgroup of decode attention: below it, bringing partial sums together costs more. */
  readonly attendLeastShare: number;
  /** Selection: fours of scores that an invocation has in flight. */
  readonly selectFours: number;
  /** Products of many rows on the matrix units. */
  readonly matrixTile: MatrixTile;
  readonly largeMatrixTile: MatrixTile;
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
  chainThreads: 256,
  chainLoads: 8,
  chainRows: 16,
  chainGroups: 128,
  chainPieces: 2,
  attendThreads: 256,
  attendTokens: 4,
  attendGroups: 264,
  attendLeastShare: 64,
  selectFours: 4,
  matrixTile: { x: 128, w: 128, strip: 64, splitX: 2, splitW: 4, splitK: 1, depth: 2, buffers: 1 },
  largeMatrixTile: { x: 192, w: 128, strip: 64, splitX: 3, splitW: 4, splitK: 1, depth: 2, buffers: 1 },
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
  chainThreads: 16,
  chainLoads: 4,
  chainRows: 8,
  chainGroups: 1,
  chainPieces: 2,
  attendThreads: 32,
  attendTokens: 2,
  attendGroups: 16,
  selectFours: 1,
  mergeThreads: 64,
};

export function tuningFor(traits: DeviceTraits, overrides: Partial<Tuning> = {}): Tuning {
  return { ...(traits.isSoftware ? EMULATED : GPU), ...overrides };
}

/** Query heads that one workgroup of attention serves: all of a kv head, or the largest even share of them up to eight. */
export function headsOfWorkgroup({ numQueryHeads, numKvHeads }: ModelShape): number {
  const group = numQueryHeads / numKvHeads;
  for (let heads = Math.min(8, group); heads > 1; heads--) if (group % heads === 0) return heads;
  return 1;
}
