import { decodeWeights, elementsIn, WEIGHT_FORMATS, type WeightFormat } from "../src/base/weight-format.ts";

/** Bytes of a block at which the formats with blocks keep their f16 scales and minima. */
const SCALES: Readonly<Partial<Record<WeightFormat, readonly number[]>>> = {
  q8_0: [0],
  q4_0: [0],
  q4_1: [0, 2],
  q5_0: [0],
  q5_1: [0, 2],
  q3_k: [108],
  q4_k: [0, 2],
  q5_k: [0, 2],
  q6_k: [208],
  iq4_nl: [0],
};

/** Largest magnitude of an element over its scale. */
const LARGEST: Readonly<Partial<Record<WeightFormat, number>>> = {
  ...{ q8_0: 128, q4_0: 8, q4_1: 16, q5_0: 16, q5_1: 32, iq4_nl: 127 },
  ...{ q3_k: 4 * 32, q4_k: 15 * 63, q5_k: 31 * 63, q6_k: 32 * 128 },
};

/**
 * Random whole blocks of a quantised format: any bits in the elements and the small scales, f16 scales of both signs such that
 * elements stay below about 0.5. below(n): a random whole number below n.
 */
export function randomBlocks(
  format: WeightFormat,
  elements: number,
  below: (n: number) => number,
): Uint8Array {
  const { blockElements, blockBytes } = WEIGHT_FORMATS[format];
  const scales = SCALES[format];
  if (!scales) throw new Error(`${format} has no blocks`);
  const bytes = Uint8Array.from({ length: (elements / blockElements) * blockBytes }, () => below(256));
  const view = new DataView(bytes.buffer);
  const exponent = 14 - Math.ceil(Math.log2(LARGEST[format] ?? 1));
  for (let block = 0; block < bytes.length; block += blockBytes)
    for (const at of scales)
      view.setUint16(
        block + at,
        (below(2) << 15) | (Math.max(1, exponent - below(2)) << 10) | below(1024),
        true,
      );
  return bytes;
}

/** The values of whole blocks. */
export function decoded(format: WeightFormat, bytes: Uint8Array): Float32Array {
  const values = new Float32Array(elementsIn(format, bytes.byteLength));
  decodeWeights(bytes, format, values);
  return values;
}
