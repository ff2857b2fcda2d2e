/**
 * How rows of matrices lie on the device. A row is whole vectors of 16 bytes. Floats lie as in the file. Quantised rows are
 * repacked without loss into planes, each with one field of every piece of 32 elements, so that neighbouring invocations read
 * neighbouring words; `kernels/weights-*.wgsl` have the order of the planes. f16 scales come last. Bits an element of long
 * rows: q8_0 8.5, q4_0 4.5, q4_1 5, q5_1 6, q6_k 6.5625; six-bit scales take a byte, so q4_k takes 4.625 and q5_k 5.625.
 */
import { rowBytes, WEIGHT_FORMATS, type WeightFormat } from "../../base/weight-format.ts";

/** Formats in blocks that have kernels. */
export type QuantisedFormat = "q8_0" | "q4_0" | "q4_1" | "q5_1" | "q4_k" | "q5_k" | "q6_k";

/** Elements of a piece. */
export const PIECE = 32;

/** Where a block is repacked from and to. */
interface Repack {
  readonly blocks: DataView;
  /** First byte of the block. */
  readonly at: number;
  readonly words: Uint32Array;
  /** First word of the row. */
  readonly row: number;
  /** Pieces of the row. */
  readonly pieces: number;
  /** First piece of the block. */
  readonly piece: number;
}

interface RowLayout {
  /** Words of a row before its f16 scales, and of those. */
  words(pieces: number): { readonly plain: number; readonly scales: number };
  /** Repacks a block into words that are zero before. */
  pack(one: Repack): void;
}

const QUANTISED: Readonly<Record<QuantisedFormat, RowLayout>> = {
  q8_0: {
    words: (pieces) => ({ plain: 8 * pieces, scales: Math.ceil(pieces / 2) }),
    pack: ({ blocks, at, words, row, pieces, piece }) => {
      for (let i = 0; i < 4; i++) {
        words[row + 4 * piece + i] = blocks.getUint32(at + 2 + 4 * i, true);
        words[row + 4 * (pieces + piece) + i] = blocks.getUint32(at + 18 + 4 * i, true);
      }
      putPair(words, { plane: row + 8 * pieces, pieces, piece }, blocks.getUint16(at, true));
    },
  },
  q4_0: {
    words: (pieces) => ({ plain: 4 * pieces, scales: Math.ceil(pieces / 2) }),
    pack: (one) => {
      const { blocks, at, words, row, pieces, piece } = one;
      copyNibbles(one, 2);
      putPair(words, { plane: row + 4 * pieces, pieces, piece }, blocks.getUint16(at, true));
    },
  },
  q4_1: {
    words: (pieces) => ({ plain: 4 * pieces, scales: pieces }),
    pack: (one) => {
      copyNibbles(one, 4);
      one.words[one.row + 4 * one.pieces + one.piece] = one.blocks.getUint32(one.at, true);
    },
  },
  q5_1: {
    words: (pieces) => ({ plain: 5 * pieces, scales: pieces }),
    pack: (one) => {
      const { blocks, at, words, row, pieces, piece } = one;
      copyNibbles(one, 8);
      words[row + 4 * pieces + piece] = fifthsInOrder(blocks.getUint32(at + 4, true));
      words[row + 5 * pieces + piece] = blocks.getUint32(at, true);
    },
  },
  q4_k: {
    words: (pieces) => ({ plain: 4.5 * pieces, scales: pieces / 8 }),
    pack: (one) => {
      const { words, row, pieces } = one;
      for (let group = 0; group < 8; group++)
        packNibbles(one, { from: 16 + 32 * (group >> 1), shift: 4 * (group & 1), group });
      packSmallScales(one, row + 4 * pieces);
      words[row + 4.5 * pieces + one.piece / 8] = one.blocks.getUint32(one.at, true);
    },
  },
  q5_k: {
    words: (pieces) => ({ plain: 5.5 * pieces, scales: pieces / 8 }),
    pack: (one) => {
      const { blocks, at, words, row, pieces, piece } = one;
      for (let group = 0; group < 8; group++) {
        packNibbles(one, { from: 48 + 32 * (group >> 1), shift: 4 * (group & 1), group });
        let fifths = 0;
        for (let i = 0; i < 8; i++)
          fifths |= ((blocks.getUint32(at + 16 + 4 * i, true) >>> group) & 0x01010101) << i;
        words[row + 4 * pieces + piece + group] = fifths;
      }
      packSmallScales(one, row + 5 * pieces);
      words[row + 5.5 * pieces + piece / 8] = blocks.getUint32(at, true);
    },
  },
  q6_k: {
    words: (pieces) => ({ plain: 6.5 * pieces, scales: Math.ceil(pieces / 16) }),
    pack: (one) => {
      const { blocks, at, words, row, pieces, piece } = one;
      for (let group = 0; group < 8; group++) {
        const half = group >> 2; // of 128 elements: 64 bytes of nibbles, 32 of bits 4 and 5
        const quarter = group & 3;
        packNibbles(one, { from: 64 * half + 32 * (quarter & 1), shift: quarter < 2 ? 0 : 4, group });
        for (let side = 0; side < 2; side++) {
          let tops = 0;
          for (let i = 0; i < 4; i++) {
            const word = blocks.getUint32(at + 128 + 32 * half + 16 * side + 4 * i, true);
            tops |= ((word >>> (2 * quarter)) & 0x03030303) << (2 * i);
          }
          words[row + (4 + side) * pieces + piece + group] = tops;
        }
        putHalf(words, row + 6 * pieces, piece + group, blocks.getUint16(at + 192 + 2 * group, true));
      }
      putHalf(words, row + 6.5 * pieces, piece / 8, blocks.getUint16(at + 208, true));
    },
  },
};

export const QUANTISED_FORMATS = Object.keys(QUANTISED) as readonly QuantisedFormat[];

export function isQuantised(format: WeightFormat): format is QuantisedFormat {
  return format in QUANTISED;
}

/** Elements of a vector of 16 bytes of floats. */
export function vectorElements(format: WeightFormat): number {
  return 16 / WEIGHT_FORMATS[format].blockBytes;
}

/** Vectors of 16 bytes of a row. */
export function rowVectors(format: WeightFormat, cols: number): number {
  if (!isQuantised(format)) return Math.ceil(cols / vectorElements(format));
  const { plain, scales } = scaleWords(format, cols);
  return Math.ceil((plain + scales) / 4);
}

/** Words of a quantised row before its f16 scales, and of those. */
export function scaleWords(format: QuantisedFormat, cols: number) {
  return QUANTISED[format].words(cols / PIECE);
}

/** Rows of a quantised matrix as they lie on the device. blocks: whole rows as in the file. */
export function packRows(
  format: QuantisedFormat,
  cols: number,
  blocks: Uint8Array,
): Uint32Array<ArrayBuffer> {
  const { blockBytes, blockElements } = WEIGHT_FORMATS[format];
  const stride = 4 * rowVectors(format, cols);
  const numRows = blocks.byteLength / rowBytes(format, cols);
  const words = new Uint32Array(numRows * stride);
  const view = new DataView(blocks.buffer, blocks.byteOffset, blocks.byteLength);
  const { pack } = QUANTISED[format];
  const pieces = cols / PIECE;
  const step = blockElements / PIECE;
  let at = 0;
  for (let row = 0; row < words.length; row += stride)
    for (let piece = 0; piece < pieces; piece += step, at += blockBytes)
      pack({ blocks: view, at, words, row, pieces, piece });
  return words;
}

/** Pieces whose scales share a word are so many apart, in rows that have whole groups of twice as many; else neighbours. */
const SPREAD = 32;

/** Puts the f16 scale of a piece into its plane, in the order of `pair_word` in nibbles.wgsl. plane: its first word. */
function putPair(
  words: Uint32Array,
  { plane, pieces, piece }: { readonly plane: number; readonly pieces: number; readonly piece: number },
  half: number,
): void {
  const spread = pieces % (2 * SPREAD) === 0 ? SPREAD : 1;
  const word = Math.floor(piece / (2 * spread)) * spread + (piece % spread);
  putHalf(words, plane, 2 * word + (Math.floor(piece / spread) % 2), half);
}

/** Puts 16 bits into a plane that begins at a word. */
function putHalf(words: Uint32Array, plane: number, index: number, half: number): void {
  words[plane + (index >> 1)] |= half << (16 * (index & 1));
}

/** The nibbles of a block of 32, as they are: low ones of elements 0 to 15, high ones of 16 to 31. */
function copyNibbles({ blocks, at, words, row, piece }: Repack, from: number): void {
  for (let i = 0; i < 4; i++) words[row + 4 * piece + i] = blocks.getUint32(at + from + 4 * i, true);
}

/** The nibbles of a group of 32, one in each byte of the block, in that order. from: byte of the block. */
function packNibbles(
  { blocks, at, words, row, piece }: Repack,
  { from, shift, group }: { readonly from: number; readonly shift: number; readonly group: number },
): void {
  for (let i = 0; i < 4; i++) {
    const low = (blocks.getUint32(at + from + 4 * i, true) >>> shift) & 0x0f0f0f0f;
    const high = (blocks.getUint32(at + from + 16 + 4 * i, true) >>> shift) & 0x0f0f0f0f;
    words[row + 4 * (piece + group) + i] = low | (high << 4);
  }
}

/** Six-bit scales and minima of q4_k and q5_k as bytes. plane: first word. */
function packSmallScales({ blocks, at, words, piece }: Repack, plane: number): void {
  const byte = (i: number) => blocks.getUint8(at + 4 + i);
  for (let group = 0; group < 8; group++) {
    const [scale, minimum] =
      group < 4
        ? [byte(group) & 63, byte(group + 4) & 63]
        : [
            (byte(group + 4) & 15) | ((byte(group - 4) >> 2) & 48),
            (byte(group + 4) >> 4) | ((byte(group) >> 2) & 48),
          ];
    putHalf(words, plane, piece + group, scale | (minimum << 8));
  }
}

/** Bit e becomes bit 8 (e mod 4) + floor(e / 4). */
function fifthsInOrder(bits: number): number {
  let ordered = 0;
  for (let i = 0; i < 8; i++) {
    const four = bits >>> (4 * i);
    ordered |= ((four & 1) | ((four & 2) << 7) | ((four & 4) << 14) | ((four & 8) << 21)) << i;
  }
  return ordered;
}
