/** Subgroup matrices: those of a device, and the tiles of workgroups that use them. */
import type { DeviceTraits, MatrixShape } from "./device-traits.ts";
import type { Constants } from "./shader.ts";
import type { MatrixTile } from "./tuning.ts";

/** Workgroup memory without which tiles are too small to be worth it. */
const MIN_WORKGROUP_BYTES = 32768;
/** Columns that a piece of a quantised weight has. */
const PIECE = 32;

/** The largest matrices that the kernels can use; undefined if there are none, or the size of a subgroup is not known. */
export function subgroupMatrixOf(
  info: GPUAdapterInfo,
  device: Pick<GPUDevice, "features" | "limits">,
): MatrixShape | undefined {
  const { subgroupMinSize, subgroupMaxSize, subgroupMatrixConfigs } = info as {
    subgroupMinSize?: number;
    subgroupMaxSize?: number;
    subgroupMatrixConfigs?: Iterable<Readonly<Record<string, unknown>>>;
  };
  const { features, limits } = device;
  if (
    subgroupMinSize === undefined ||
    subgroupMinSize !== subgroupMaxSize ||
    !["subgroups", "shader-f16", "chromium-experimental-subgroup-matrix"].every((name) =>
      features.has(name),
    ) ||
    limits.maxComputeWorkgroupStorageSize < MIN_WORKGROUP_BYTES
  )
    return undefined;
  return [...(subgroupMatrixConfigs ?? [])]
    .filter(
      ({ componentType, resultComponentType }) => componentType === "f16" && resultComponentType === "f32",
    )
    .map(({ M, N, K }) => ({ m: Number(M), n: Number(N), k: Number(K) }))
    .filter((shape) => isUsable(shape, subgroupMinSize))
    .sort((one, other) => other.m * other.n * other.k - one.m * one.n * one.k)[0];
}

/** True if one, two or four invocations share a row, each with whole vectors of eight of it. */
function isUsable({ m, n, k }: MatrixShape, subgroup: number): boolean {
  const side = subgroup / m;
  return [1, 2, 4].includes(side) && n % 8 === 0 && k % (8 * side) === 0;
}

/** Constants of the prelude subgroup-matrix.wgsl. */
export function matrixConstants({ m, n, k }: MatrixShape, { maxSubgroupSize }: DeviceTraits): Constants {
  return { SUBGROUP: maxSubgroupSize, MATRIX_M: m, MATRIX_N: n, MATRIX_K: k };
}

/** Lowers the columns of a tile, then the subgroups that share them, until it fits workgroup memory. */
export function fitTile(tile: MatrixTile, shape: MatrixShape, { workgroupBytes }: DeviceTraits): MatrixTile {
  let fitted = tile;
  const isTooLarge = () => tileBytes(fitted, shape) > workgroupBytes;
  const minStrip = () => Math.max(PIECE, shape.k * fitted.splitK);
  for (;;) {
    while (isTooLarge() && fitted.strip > minStrip()) fitted = { ...fitted, strip: fitted.strip / 2 };
    if (!isTooLarge() || fitted.splitK === 1) return fitted;
    fitted = { ...fitted, splitK: fitted.splitK / 2 };
  }
}

/** Workgroup memory of gemm-subgroup-matrix.wgsl: strips of x and of the weight, a row of which has one vector more than its columns; later its sums. */
function tileBytes({ x, w, strip, splitX, splitW, splitK, buffers }: MatrixTile, { m }: MatrixShape): number {
  const strips = buffers * (x + w) * (strip / 8 + 1);
  const sums = splitX * splitW * splitK * m * (w / splitW / 4 + 1);
  return 16 * Math.max(strips, sums);
}

/** Query heads, blocks of rows and keys of a turn of a workgroup of attend-subgroup-matrix.wgsl. */
export interface AttentionTile {
  readonly heads: number;
  readonly rowBlocks: number;
  readonly keys: number;
}

/** Lowers the rows, the keys, then the heads of a tile until it fits workgroup memory; undefined if it cannot. */
export function fitAttention(
  tile: AttentionTile,
  headDim: number,
  { m, n, k }: MatrixShape,
  { workgroupBytes, maxSubgroupSize }: DeviceTraits,
): AttentionTile | undefined {
  if (headDim % n !== 0 || headDim % k !== 0) return undefined;
  const minKeys = Math.max(n, k, (8 * maxSubgroupSize) / m);
  let { heads, rowBlocks, keys } = { ...tile, keys: Math.max(tile.keys, minKeys) };
  const bytes = () =>
    // keys, their scales, values; scores and weights of each subgroup; a flag
    keys * (2 * 16 * (headDim / 8 + 1) + 4) +
    heads * rowBlocks * m * (4 * (keys + 4) + 16 * (keys / 8 + 1)) +
    4;
  while (bytes() > workgroupBytes)
    if (rowBlocks > 1) rowBlocks = Math.floor(rowBlocks / 2);
    else if (keys > minKeys) keys /= 2;
    else if (heads > 1) heads = largestDivisorBelow(heads);
    else return undefined;
  return { heads, rowBlocks, keys };
}

function largestDivisorBelow(n: number): number {
  for (let divisor = n >> 1; divisor > 1; divisor--) if (n % divisor === 0) return divisor;
  return 1;
}
