/**
 * Decoders of GGUF's quantised blocks: the definition of a block's values.
 *
 * blocks  whole blocks, little-endian, any alignment
 * out     f32 [blocks.length / block bytes * block elements], written from its start
 *
 * Every decoder multiplies in the order of the `gguf` Python package, so that zeros keep its sign and NaN and infinite
 * scales spread as there. Products of an f16 scale and small integers fit a double, so rounding to f32 happens once, in
 * the store, as in f32 arithmetic.
 * Source: ggml's `dequantize_row_*` (ggml-quants.c) and `gguf/quants.py`; layouts in `ggml-common.h`.
 */
import { f16ToF32 } from "./half.ts";

/** Decodes whole blocks of one format into f32. */
export type BlockDecoder = (blocks: Uint8Array, out: Float32Array) => void;

/** Elements of a block of the formats q8_0 to q5_1 and iq4_nl. */
const SMALL_BLOCK = 32;

/** Elements of a super-block of the K formats. */
const SUPER_BLOCK = 256;

/** Values of the 16 codes of iq4_nl. */
export const IQ4_NL_VALUES = Int8Array.of(
  ...[-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113],
);

/** Bytes: f16 scale, 32 × i8. Value: q × scale. */
export const decodeQ8_0: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 34, to += SMALL_BLOCK) {
    const scale = f16At(blocks, at);
    for (let i = 0; i < SMALL_BLOCK; i++) out[to + i] = i8At(blocks, at + 2 + i) * scale;
  }
};

/** Bytes: f16 scale, 16 × two nibbles; element i in the low nibble, 16 + i in the high one. Value: scale × (q − 8). */
export const decodeQ4_0: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 18, to += SMALL_BLOCK) {
    const scale = f16At(blocks, at);
    for (let i = 0; i < 16; i++) {
      const pair = blocks[at + 2 + i];
      out[to + i] = scale * ((pair & 15) - 8);
      out[to + 16 + i] = scale * ((pair >> 4) - 8);
    }
  }
};

/** Bytes: f16 scale, f16 minimum, nibbles as in q4_0. Value: scale × q + minimum. */
export const decodeQ4_1: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 20, to += SMALL_BLOCK) {
    const scale = f16At(blocks, at);
    const minimum = f16At(blocks, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = blocks[at + 4 + i];
      out[to + i] = scale * (pair & 15) + minimum;
      out[to + 16 + i] = scale * (pair >> 4) + minimum;
    }
  }
};

/** Bytes: f16 scale, u32 of fifth bits, nibbles as in q4_0. Value: scale × (q − 16). */
export const decodeQ5_0: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 22, to += SMALL_BLOCK) {
    const scale = f16At(blocks, at);
    const fifths = u32At(blocks, at + 2);
    for (let i = 0; i < 16; i++) {
      const pair = blocks[at + 6 + i];
      out[to + i] = scale * (((pair & 15) | (((fifths >>> i) & 1) << 4)) - 16);
      out[to + 16 + i] = scale * (((pair >> 4) | (((fifths >>> (16 + i)) & 1) << 4)) - 16);
    }
  }
};

/** Bytes: f16 scale, f16 minimum, u32 of fifth bits, nibbles as in q4_0. Value: scale × q + minimum. */
export const decodeQ5_1: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 24, to += SMALL_BLOCK) {
    const scale = f16At(blocks, at);
    const minimum = f16At(blocks, at + 2);
    const fifths = u32At(blocks, at + 4);
    for (let i = 0; i < 16; i++) {
      const pair = blocks[at + 8 + i];
      out[to + i] = scale * ((pair & 15) | (((fifths >>> i) & 1) << 4)) + minimum;
      out[to + 16 + i] = scale * ((pair >> 4) | (((fifths >>> (16 + i)) & 1) << 4)) + minimum;
    }
  }
};

/** Bytes: f16 scale, nibbles as in q4_0. Value: scale × `IQ4_NL_VALUES[q]`. */
export const decodeIq4Nl: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 18, to += SMALL_BLOCK) {
    const scale = f16At(blocks, at);
    for (let i = 0; i < 16; i++) {
      const pair = blocks[at + 2 + i];
      out[to + i] = scale * IQ4_NL_VALUES[pair & 15];
      out[to + 16 + i] = scale * IQ4_NL_VALUES[pair >> 4];
    }
  }
};

/**
 * Bytes: 32 of third bits, 64 of four 2-bit codes, 12 of 16 six-bit scales, f16 super-scale.
 * Value: (super-scale × (scale − 32)) × (code − 4, or code where the third bit is set).
 */
export const decodeQ3K: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 110, to += SUPER_BLOCK) {
    const superScale = f16At(blocks, at + 108);
    for (let group = 0; group < 16; group++) {
      const scale = superScale * (q3kScale(blocks, at + 96, group) - 32);
      for (let i = 0; i < 16; i++) out[to + 16 * group + i] = scale * q3kCode(blocks, at, 16 * group + i);
    }
  }
};

/** The six-bit scale of a group of 16 elements, 0..63. scales: offset of the 12 bytes. */
export function q3kScale(blocks: Uint8Array, scales: number, group: number): number {
  const low = blocks[scales + (group & 7)] >> (group < 8 ? 0 : 4);
  const high = blocks[scales + 8 + (group & 3)] >> (2 * (group >> 2));
  return (low & 15) | ((high & 3) << 4);
}

/** The code of an element, −4..3. block: offset of the block. */
export function q3kCode(blocks: Uint8Array, block: number, element: number): number {
  const column = element & 31;
  const low = blocks[block + 32 + 32 * (element >> 7) + column] >> (2 * ((element >> 5) & 3));
  const third = (blocks[block + column] >> (element >> 5)) & 1;
  return (low & 3) - (third ? 0 : 4);
}

/**
 * Bytes: f16 super-scale, f16 super-minimum, 12 of 8 six-bit scales and minima, 128 of two nibbles.
 * Value: (super-scale × scale) × q − super-minimum × minimum, one scale and minimum for 32 elements.
 */
export const decodeQ4K: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 144, to += SUPER_BLOCK) {
    const superScale = f16At(blocks, at);
    const superMinimum = f16At(blocks, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = superScale * kScale(blocks, at + 4, group);
      const minimum = superMinimum * kMinimum(blocks, at + 4, group);
      const nibbles = at + 16 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      const first = to + 32 * group;
      for (let i = 0; i < 32; i++) out[first + i] = scale * ((blocks[nibbles + i] >> shift) & 15) - minimum;
    }
  }
};

/** Bytes: as q4_k, with 32 bytes of fifth bits (bit g of byte i: element i of group g) before the nibbles. */
export const decodeQ5K: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 176, to += SUPER_BLOCK) {
    const superScale = f16At(blocks, at);
    const superMinimum = f16At(blocks, at + 2);
    for (let group = 0; group < 8; group++) {
      const scale = superScale * kScale(blocks, at + 4, group);
      const minimum = superMinimum * kMinimum(blocks, at + 4, group);
      const nibbles = at + 48 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      const first = to + 32 * group;
      for (let i = 0; i < 32; i++) {
        const fifth = (blocks[at + 16 + i] >> group) & 1;
        out[first + i] = scale * (((blocks[nibbles + i] >> shift) & 15) | (fifth << 4)) - minimum;
      }
    }
  }
};

/** The six-bit scale of a group of 32 elements of q4_k and q5_k. packed: offset of the 12 bytes. */
function kScale(blocks: Uint8Array, packed: number, group: number): number {
  if (group < 4) return blocks[packed + group] & 63;
  return (blocks[packed + 4 + group] & 15) | ((blocks[packed + group - 4] >> 2) & 48);
}

/** The six-bit minimum of a group of 32 elements of q4_k and q5_k. */
function kMinimum(blocks: Uint8Array, packed: number, group: number): number {
  if (group < 4) return blocks[packed + 4 + group] & 63;
  return (blocks[packed + 4 + group] >> 4) | ((blocks[packed + group] >> 2) & 48);
}

/**
 * Bytes: 128 of low nibbles, 64 of four 2-bit high parts, 16 × i8 scale, f16 super-scale.
 * Value: (super-scale × scale) × (q − 32), one scale for 16 elements.
 */
export const decodeQ6K: BlockDecoder = (blocks, out) => {
  for (let at = 0, to = 0; at < blocks.length; at += 210, to += SUPER_BLOCK) {
    const superScale = f16At(blocks, at + 208);
    for (let group = 0; group < 16; group++) {
      const scale = superScale * i8At(blocks, at + 192 + group);
      const half = group >> 3; // of 128 elements: 64 bytes of nibbles and 32 of high parts
      const quarter = (group >> 1) & 3; // of a half: 32 elements
      const column = 16 * (group & 1);
      const low = at + 64 * half + 32 * (quarter & 1) + column;
      const high = at + 128 + 32 * half + column;
      const lowShift = quarter < 2 ? 0 : 4;
      for (let i = 0; i < 16; i++) {
        const code = ((blocks[low + i] >> lowShift) & 15) | (((blocks[high + i] >> (2 * quarter)) & 3) << 4);
        out[to + 16 * group + i] = scale * (code - 32);
      }
    }
  }
};

function i8At(bytes: Uint8Array, at: number): number {
  return (bytes[at] << 24) >> 24;
}

function u32At(bytes: Uint8Array, at: number): number {
  return bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
}

function f16At(bytes: Uint8Array, at: number): number {
  return f16ToF32(bytes[at] | (bytes[at + 1] << 8));
}
