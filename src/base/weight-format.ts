/**
 * Formats in which checkpoints and backends store weights: the one table that every other place asks. A row of a matrix is
 * whole blocks. Names and blocks of the quantised formats are those of GGUF (llama.cpp).
 */
import {
  decodeIq4Nl,
  decodeQ3K,
  decodeQ4_0,
  decodeQ4_1,
  decodeQ4K,
  decodeQ5_0,
  decodeQ5_1,
  decodeQ5K,
  decodeQ6K,
  decodeQ8_0,
} from "./block-decoders.ts";
import { ShapeError } from "./errors.ts";
import { decodeBf16, decodeF16, decodeF32 } from "./float-decoders.ts";
import * as codes from "./format-codes.ts";

/** One format. */
interface WeightFormatRow {
  /** The number that WGSL and the WASM kernels know. */
  readonly code: number;
  /** Elements of a block; 1 for formats without blocks. */
  readonly blockElements: number;
  readonly blockBytes: number;
  /** Decodes little-endian whole blocks, of any alignment, into `out` from its start: the definition of right. */
  readonly decode: (blocks: Uint8Array, out: Float32Array) => void;
}

const row = (
  code: number,
  blockElements: number,
  blockBytes: number,
  decode: WeightFormatRow["decode"],
): WeightFormatRow => ({ code, blockElements, blockBytes, decode });

export const WEIGHT_FORMATS = {
  f32: row(codes.F32, 1, 4, decodeF32),
  f16: row(codes.F16, 1, 2, decodeF16),
  bf16: row(codes.BF16, 1, 2, decodeBf16),
  q8_0: row(codes.Q8_0, 32, 34, decodeQ8_0),
  q4_0: row(codes.Q4_0, 32, 18, decodeQ4_0),
  q4_1: row(codes.Q4_1, 32, 20, decodeQ4_1),
  q5_0: row(codes.Q5_0, 32, 22, decodeQ5_0),
  q5_1: row(codes.Q5_1, 32, 24, decodeQ5_1),
  q3_k: row(codes.Q3_K, 256, 110, decodeQ3K),
  q4_k: row(codes.Q4_K, 256, 144, decodeQ4K),
  q5_k: row(codes.Q5_K, 256, 176, decodeQ5K),
  q6_k: row(codes.Q6_K, 256, 210, decodeQ6K),
  iq4_nl: row(codes.IQ4_NL, 32, 18, decodeIq4Nl),
} as const satisfies Readonly<Record<string, WeightFormatRow>>;

export type WeightFormat = keyof typeof WEIGHT_FORMATS;

/** Formats whose elements are floats of whole bytes. */
export type FloatFormat = "f32" | "f16" | "bf16";

export function isFloatFormat(format: WeightFormat): format is FloatFormat {
  return WEIGHT_FORMATS[format].blockElements === 1;
}

/** The number that stands for a format in WGSL and in the WASM kernels. */
export function formatCode(format: WeightFormat): number {
  return WEIGHT_FORMATS[format].code;
}

/** Bytes of a row of `cols` elements. @throws ShapeError unless it is whole blocks */
export function rowBytes(format: WeightFormat, cols: number): number {
  const { blockElements, blockBytes } = WEIGHT_FORMATS[format];
  const blocks = cols / blockElements;
  if (!Number.isInteger(blocks))
    throw new ShapeError(
      `a row of ${cols} elements is not whole blocks of ${format} (${blockElements} elements)`,
    );
  return blocks * blockBytes;
}

/** Elements in `sizeBytes` bytes of whole blocks. */
export function elementsIn(format: WeightFormat, sizeBytes: number): number {
  const { blockElements, blockBytes } = WEIGHT_FORMATS[format];
  return (sizeBytes / blockBytes) * blockElements;
}

/**
 * Decodes weights into f32.
 *
 * bytes  whole blocks of `format`, any alignment
 * out    f32, at least as many as the blocks have elements; written from its start
 */
export function decodeWeights(bytes: Uint8Array, format: WeightFormat, out: Float32Array): void {
  WEIGHT_FORMATS[format].decode(bytes, out);
}
