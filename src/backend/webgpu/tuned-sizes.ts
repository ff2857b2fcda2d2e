/** Sizes of kernels that a GPU is timed for: the work that each of them moves, and the variants to try. */
import type { DeviceTraits } from "./device-traits.ts";
import type { MatrixTile, SkinnyTile, Tuning } from "./tuning.ts";

/** Work that is timed: a decode step of one request, with full and with sparse attention; one of eight requests; a prefill chunk. */
export const TUNED_WORKS = ["step", "sparse step", "batch", "prefill"] as const;
export type TunedWork = (typeof TUNED_WORKS)[number];

/** Sizes that are chosen together. */
export interface TunedSizes {
  readonly name: string;
  readonly work: TunedWork;
  /** What to try in place of the sizes of a tuning. */
  readonly variants: (tuning: Tuning) => readonly Partial<Tuning>[];
}

type NumberName = {
  [Name in keyof Tuning]: Tuning[Name] extends number ? Name : never;
}[keyof Tuning];

/** The sizes that matter on a device, the ones that move most first. */
export function tunedSizesOf(traits: DeviceTraits): readonly TunedSizes[] {
  const threads = [64, 128, 256, 512].filter(
    (count) => count <= traits.maxInvocations && count >= traits.maxSubgroupSize,
  );
  return [
    ...(traits.forwardProgress === undefined
      ? []
      : [
          numbers("layerThreads", "step", threads),
          numbers("layerLoads", "step", [4, 8, 16]),
          numbers("layerRows", "step", [8, 16, 32]),
        ]),
    numbers("matvecLanes", "step", [...threads, 32]),
    numbers("matvecLoads", "step", [4, 8, 16, 32]),
    numbers("matvecGroupRows", "step", [1, 2, 4, 8]),
    numbers("attendThreads", "step", threads),
    numbers("attendTokens", "step", [1, 2, 4, 8]),
    {
      name: "attendWorkgroups",
      work: "step",
      variants: ({ attendWorkgroups: now }) =>
        [now / 4, now / 2, 2 * now].map((count) => ({ attendWorkgroups: Math.max(1, Math.round(count)) })),
    },
    numbers("selectFours", "sparse step", [1, 2, 4, 8]),
    ...(traits.subgroupMatrix
      ? [
          skinny("wideTile", traits),
          skinny("narrowTile", traits),
          large("matrixTile", traits),
          large("largeMatrixTile", traits),
        ]
      : []),
  ];
}

function numbers(name: NumberName, work: TunedWork, values: readonly number[]): TunedSizes {
  return {
    name,
    work,
    variants: (tuning) =>
      values.filter((value) => value !== tuning[name]).map((value) => ({ [name]: value })),
  };
}

function skinny(name: "narrowTile" | "wideTile", traits: DeviceTraits): TunedSizes {
  return {
    name,
    work: "batch",
    variants: (tuning) => {
      const now = tuning[name];
      const changes: Partial<SkinnyTile>[] = [
        ...[32, 64].map((w) => ({ w })),
        ...[4, 8, 16].map((splitK) => ({ splitK })),
        ...[128, 256].map((strip) => ({ strip })),
        ...[1, 2].map((depth) => ({ depth })),
        ...(name === "narrowTile" ? [1, 2, 4, 8].map((slices) => ({ slices })) : []),
      ];
      return changes
        .map((change) => ({ ...now, ...change }))
        .filter((tile) => !isSame(tile, now) && isWhole(tile, traits))
        .map((tile) => ({ [name]: tile }));
    },
  };
}

/** True if a workgroup of the tile is possible, with whole steps of a strip and whole outputs of a pair of matrices for its subgroups. */
function isWhole(
  { w, strip, splitK }: SkinnyTile,
  { subgroupMatrix, maxSubgroupSize, maxInvocations }: DeviceTraits,
): boolean {
  if (!subgroupMatrix || maxSubgroupSize * splitK > maxInvocations) return false;
  const { m, n, k } = subgroupMatrix;
  return strip % (k * splitK) === 0 && w % (2 * n) === 0 && (m * w) % (2 * maxSubgroupSize * splitK) === 0;
}

function large(
  name: "matrixTile" | "largeMatrixTile",
  { maxInvocations, maxSubgroupSize }: DeviceTraits,
): TunedSizes {
  const tiles = [
    { x: 128, w: 128, splitX: 2, splitW: 4 },
    { x: 192, w: 128, splitX: 3, splitW: 4 },
    { x: 64, w: 128, splitX: 2, splitW: 4 },
    { x: 128, w: 64, splitX: 4, splitW: 2 },
  ];
  return {
    name,
    work: "prefill",
    variants: (tuning) =>
      tiles
        .flatMap((tile) => [1, 2].map((depth): MatrixTile => ({ ...tuning[name], ...tile, depth })))
        .filter(
          (tile) =>
            !isSame(tile, tuning[name]) && maxSubgroupSize * tile.splitX * tile.splitW <= maxInvocations,
        )
        .map((tile) => ({ [name]: tile })),
  };
}

function isSame(a: object, b: object): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** A tuning as numbers by name, those of tiles as "narrowTile.w". */
export function choicesOf(tuning: Partial<Tuning>): Readonly<Record<string, number>> {
  const choices: Record<string, number> = {};
  for (const [name, value] of Object.entries(tuning)) {
    if (typeof value === "number") choices[name] = value;
    else if (typeof value === "object")
      for (const [field, size] of Object.entries(value)) choices[`${name}.${field}`] = size as number;
  }
  return choices;
}
