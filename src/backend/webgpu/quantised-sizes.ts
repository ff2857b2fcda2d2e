/** Sizes that kernels with quantised weights share: how much of x lies in workgroup memory as digits. */
import type { DeviceTraits } from "./device-traits.ts";
import { PIECE } from "./weight-rows.ts";

/** Bytes of a piece of x in workgroup memory (quants.wgsl): three digits an element, a scale, two sums. */
const PIECE_BYTES = 3 * PIECE + 12;

export interface PieceSizes {
  /** Pieces of each row in flight in an invocation. */
  readonly chunk: number;
  /** Pieces of x in workgroup memory. */
  readonly span: number;
  readonly strips: number;
}

/** Invocations that take a row together and exchange their sums. */
export function reduceLanesOf({ minSubgroupSize }: DeviceTraits): number {
  return Math.min(32, minSubgroupSize);
}

/**
 * Splits x into strips that fit `bytes` of workgroup memory, each in whole chunks of all lanes; as even as possible, since
 * lanes idle past the end.
 */
export function piecesIn(bytes: number, cols: number, lanes: number, mostChunk: number): PieceSizes {
  const pieces = cols / PIECE;
  const chunk = Math.min(mostChunk, Math.ceil(pieces / lanes));
  const step = chunk * lanes;
  const most = Math.max(1, Math.floor(bytes / PIECE_BYTES / step)) * step;
  const strips = Math.ceil(pieces / most);
  const span = Math.ceil(pieces / strips / step) * step;
  return { chunk, span, strips: Math.ceil(pieces / span) };
}
