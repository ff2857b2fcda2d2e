import type { ModelShape } from "../backend.ts";
import type { DeviceTraits } from "./device-traits.ts";

/** The tile of a workgroup of gemm-subgroup-matrix.wgsl. */
export interface MatrixTile {
  /** Rows of x and of the weight. */
  readonly x: number;
  readonly w: number;
  /** Columns of an iteration; a divisor of PREPARED_STRIP. */
  readonly strip: number;
  /** Subgroups along the rows of x, along the rows of the weight, and along the columns. */
  readonly splitX: number;
  readonly splitW: number;
  readonly splitK: number;
  /** Strips in flight in registers. */
  readonly depth: number;
  /** Strips in workgroup memory. */
  readonly buffers: number;
}

/** Sizes that change the speed of kernels, not their results. */
export interface Tuning {
  /** Matrix-vector products: maximum invocations of a thread group. */
  readonly matvecLanes: number;
  /** Matrix-vector products: 16-byte vectors of weights in flight in an invocation. */
  readonly matvecLoads: number;
  /** Matrix-vector products: minimum rows of a thread group. */
  readonly matvecGroupRows: number;
  /** Persistent layer kernel: invocations of a workgroup. */
  readonly layerThreads: number;
  /** Persistent layer kernel: 16-byte vectors of weights in flight in an invocation. */
  readonly layerLoads: number;
  /** Persistent layer kernel: rows of a workgroup. */
  readonly layerRows: number;
  /** Persistent layer kernel: minimum workgroups of a stage, if its rows suffice for so many. */
  readonly layerGroups: number;
  /** Persistent layer kernel: 16-byte vectors of x that an invocation keeps in registers. */
  readonly layerVectors: number;
  /** Decode attention: invocations of a workgroup. */
  readonly attendThreads: number;
  /** Decode attention: tokens in flight in a thread group. */
  readonly attendTokens: number;
  /** Decode attention: workgroups of all splits of a row. */
  readonly attendGroups: number;
  /** Decode attention: minimum tokens of a split; combining shorter splits costs more than they save. */
  readonly attendMinTokens: number;
  /** Selection: vec4s of scores in flight in an invocation. */
  readonly selectFours: number;
  /** Products of many rows with subgroup matrices. */
  readonly matrixTile: MatrixTile;
  readonly largeMatrixTile: MatrixTile;
  /** Prefill attention with subgroup matrices: subgroups of a workgroup. */
  readonly matrixSubgroups: number;
  /** Prefill attention with subgroup matrices: keys of an iteration. */
  readonly matrixKeys: number;
  /** Invocations of a workgroup that combines splits. */
  readonly combineThreads: number;
}

const GPU: Tuning = {
  matvecLanes: 256,
  matvecLoads: 16,
  matvecGroupRows: 1,
  layerThreads: 256,
  layerLoads: 8,
  layerRows: 16,
  layerGroups: 128,
  layerVectors: 2,
  attendThreads: 256,
  attendTokens: 4,
  attendGroups: 264,
  attendMinTokens: 64,
  selectFours: 4,
  matrixTile: { x: 128, w: 128, strip: 64, splitX: 2, splitW: 4, splitK: 1, depth: 2, buffers: 1 },
  largeMatrixTile: { x: 192, w: 128, strip: 64, splitX: 3, splitW: 4, splitK: 1, depth: 2, buffers: 1 },
  matrixSubgroups: 8,
  matrixKeys: 32,
  combineThreads: 256,
};

/** Sizes for software adapters, which run a workgroup as a loop and each barrier as one turn of every invocation. */
const SOFTWARE: Tuning = {
  ...GPU,
  matvecLanes: 16,
  matvecLoads: 4,
  matvecGroupRows: 8,
  layerThreads: 16,
  layerLoads: 4,
  layerRows: 8,
  layerGroups: 1,
  layerVectors: 2,
  attendThreads: 32,
  attendTokens: 2,
  attendGroups: 16,
  selectFours: 1,
  combineThreads: 64,
};

export function tuningFor(traits: DeviceTraits, overrides: Partial<Tuning> = {}): Tuning {
  return { ...(traits.isSoftware ? SOFTWARE : GPU), ...overrides };
}

/** Returns the query heads of one workgroup of attention: the largest divisor of the GQA group size up to eight. */
export function headsOfWorkgroup({ numQueryHeads, numKvHeads }: ModelShape): number {
  const group = numQueryHeads / numKvHeads;
  for (let heads = Math.min(8, group); heads > 1; heads--) if (group % heads === 0) return heads;
  return 1;
}
