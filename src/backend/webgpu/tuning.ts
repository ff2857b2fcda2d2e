import type { ModelShape } from "../backend.ts";
import type { DeviceTraits } from "./device-traits.ts";

/** Tiling of a workgroup of gemm-subgroup-matrix.wgsl. */
export interface MatrixTile {
  /** Rows of x. */
  readonly x: number;
  /** Rows of the weight. */
  readonly w: number;
  /** Columns of an iteration; a divisor of PREPARED_STRIP. */
  readonly strip: number;
  /** Subgroups along the rows of x. */
  readonly splitX: number;
  /** Subgroups along the rows of the weight. */
  readonly splitW: number;
  /** Subgroups that share the columns of a block. */
  readonly splitK: number;
  /** Strips prefetched in registers. */
  readonly depth: number;
  /** Strips in workgroup memory: 1 or 2. */
  readonly buffers: number;
  /** Maximum workgroups that share the columns. */
  readonly slices: number;
}

/** Tiling of products of few rows of x, all of which a workgroup takes. */
export type SkinnyTile = Omit<MatrixTile, "x" | "splitX" | "splitW">;

/** Sizes of a stage of the layer kernel with quantised weights. */
export interface QuantisedTuning {
  /** Rows that a reduce group takes at once. */
  readonly rows: number;
  /** Pieces of each of them in flight in an invocation. */
  readonly chunk: number;
}

/** Sizes that change the speed of kernels, not their results. A vector has 16 bytes. */
export interface Tuning {
  /** Matrix-vector products: maximum invocations of a thread group. */
  readonly matvecLanes: number;
  /** Matrix-vector products: weight vectors in flight an invocation. */
  readonly matvecLoads: number;
  /** Matrix-vector products: minimum rows of a thread group. */
  readonly matvecGroupRows: number;
  /** Layer kernel: invocations of a workgroup. */
  readonly layerThreads: number;
  /** Layer kernel: weight vectors in flight an invocation. */
  readonly layerLoads: number;
  /** Layer kernel: rows of a workgroup. */
  readonly layerRows: number;
  /** Layer kernel: minimum workgroups of a stage, if it has the rows for them. */
  readonly layerWorkgroups: number;
  /** Layer kernel: vectors of the input that an invocation keeps. */
  readonly layerVectors: number;
  /**
   * Layer kernel of a model with quantised weights: the stages with such weights, invocations of a workgroup, the workgroups that a
   * device holds at once, and the maximum bytes of workgroup memory for the vector.
   */
  readonly layerQuantised: Readonly<Record<"o" | "gateUp" | "down" | "input", QuantisedTuning>> & {
    readonly threads: number;
    readonly workgroups: number;
    readonly bytes: number;
  };
  /**
   * Products of few rows with quantised weights, as the stages above; rows of x share what is in flight. turns: maximum
   * iterations over such rows.
   */
  readonly matvecQuantised: QuantisedTuning & {
    readonly threads: number;
    readonly turns: number;
    readonly bytes: number;
  };
  /** Split-KV attention: invocations of a workgroup. */
  readonly attendThreads: number;
  /** Split-KV attention: tokens in flight per thread group. */
  readonly attendTokens: number;
  /** Split-KV attention: workgroups of all query heads of a row. */
  readonly attendWorkgroups: number;
  /** Split-KV attention: minimum tokens of a split; below it the combine costs more than a split saves. */
  readonly attendMinSplit: number;
  /** Selection: vec4s of scores in flight an invocation. */
  readonly selectFours: number;
  /** Products of many rows with subgroup matrices. */
  readonly matrixTile: MatrixTile;
  /** The same if the outputs are read as well, or come in pairs. */
  readonly largeMatrixTile: MatrixTile;
  /** Products of a decode batch with subgroup matrices: of weights with few rows, and with many. */
  readonly narrowTile: SkinnyTile;
  readonly wideTile: SkinnyTile;
  /** Prefill attention with subgroup matrices: subgroups of a workgroup. */
  readonly matrixSubgroups: number;
  /** Prefill attention with subgroup matrices: keys per turn. */
  readonly matrixKeys: number;
  /** Combine of split-KV partials: invocations of a workgroup. */
  readonly combineThreads: number;
  /**
   * Kernel parameters as immediates, on devices that have them; else in uniforms, which command lists keep in their bind groups. A
   * uniform saves the host one call of four per dispatch.
   */
  readonly immediates: boolean;
}

const GPU: Tuning = {
  matvecLanes: 256,
  matvecLoads: 16,
  matvecGroupRows: 1,
  layerThreads: 256,
  layerLoads: 8,
  layerRows: 16,
  layerWorkgroups: 128,
  layerVectors: 2,
  layerQuantised: {
    o: { rows: 2, chunk: 4 },
    gateUp: { rows: 2, chunk: 4 },
    down: { rows: 2, chunk: 2 },
    input: { rows: 2, chunk: 2 },
    threads: 512,
    workgroups: 128,
    bytes: 28672,
  },
  matvecQuantised: { threads: 256, rows: 4, chunk: 1, turns: 2, bytes: 14336 },
  attendThreads: 256,
  attendTokens: 4,
  attendWorkgroups: 264,
  attendMinSplit: 64,
  selectFours: 4,
  matrixTile: { x: 128, w: 128, strip: 64, splitX: 2, splitW: 4, splitK: 1, depth: 2, buffers: 1, slices: 1 },
  largeMatrixTile: {
    x: 192,
    w: 128,
    strip: 64,
    splitX: 3,
    splitW: 4,
    splitK: 1,
    depth: 2,
    buffers: 1,
    slices: 1,
  },
  narrowTile: { w: 64, strip: 256, splitK: 8, depth: 1, buffers: 1, slices: 4 },
  wideTile: { w: 32, strip: 256, splitK: 4, depth: 1, buffers: 1, slices: 1 },
  matrixSubgroups: 8,
  matrixKeys: 32,
  combineThreads: 256,
  immediates: false,
};

/** On a CPU a workgroup is a loop, and a barrier costs one turn of every invocation. */
const SOFTWARE: Tuning = {
  ...GPU,
  matvecLanes: 16,
  matvecLoads: 4,
  matvecGroupRows: 8,
  layerThreads: 16,
  layerLoads: 4,
  layerRows: 8,
  layerWorkgroups: 1,
  layerVectors: 2,
  layerQuantised: {
    o: { rows: 2, chunk: 1 },
    gateUp: { rows: 2, chunk: 2 },
    down: { rows: 2, chunk: 2 },
    input: { rows: 2, chunk: 1 },
    threads: 16,
    workgroups: 16,
    bytes: 1024,
  },
  matvecQuantised: { threads: 16, rows: 2, chunk: 1, turns: 2, bytes: 4096 },
  attendThreads: 32,
  attendTokens: 2,
  attendWorkgroups: 16,
  selectFours: 1,
  // unrolled products of matrices take a compiler for CPUs minutes
  matrixTile: { x: 32, w: 32, strip: 32, splitX: 2, splitW: 2, splitK: 1, depth: 1, buffers: 1, slices: 1 },
  largeMatrixTile: {
    x: 48,
    w: 32,
    strip: 32,
    splitX: 3,
    splitW: 2,
    splitK: 1,
    depth: 2,
    buffers: 2,
    slices: 1,
  },
  narrowTile: { w: 16, strip: 32, splitK: 2, depth: 1, buffers: 1, slices: 2 },
  wideTile: { w: 32, strip: 32, splitK: 2, depth: 1, buffers: 2, slices: 1 },
  matrixSubgroups: 2,
  matrixKeys: 16,
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
