/** Sizes that kernels with quantised weights share: how much of x lies in workgroup memory as digits. */
import type { DeviceTraits } from "./device-traits.ts";
import { PIECE, type QuantisedFormat } from "./weight-rows.ts";

/** Bytes of a piece of x in workgroup memory (quants.wgsl): two digits an element, a scale, two sums, padding. */
const PIECE_BYTES = 2 * PIECE + 16;

/** Words of 32 bits that an invocation keeps of a piece. */
const PIECE_WORDS: Readonly<Record<QuantisedFormat, number>> = {
  ...{ q8_0: 9, q4_0: 5, q4_1: 5, q5_1: 6, q4_k: 6, q5_k: 7, q6_k: 8 },
};
/** Maximum words of a piece that the tuning's pieces in flight are meant for. */
const LIGHT_WORDS = 5;

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

/** Pieces in flight: of formats with more words half as many fit the registers. wanted: the tuning's. */
export function piecesInFlight(format: QuantisedFormat, wanted: number): number {
  return PIECE_WORDS[format] <= LIGHT_WORDS ? wanted : Math.max(1, wanted / 2);
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
