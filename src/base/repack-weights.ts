/**
 * Re-packs quantised weights into a format that a backend computes with, without loss: every decoded value keeps its
 * bits, signs of zeros and values of infinite or NaN scales included.
 */
import { IQ4_NL_VALUES, q3kCode, q3kScale } from "./block-decoders.ts";
import { decodeWeights, elementsIn, rowBytes, type WeightFormat } from "./weight-format.ts";

/**
 * The format that holds all values of `format` and that the backend computes with: itself, the block format of the table
 * below, else f32.
 */
export function repackedFormat(format: WeightFormat, supported: ReadonlySet<WeightFormat>): WeightFormat {
  if (supported.has(format)) return format;
  const next = REPACKS[format]?.to;
  return next !== undefined && supported.has(next) ? next : "f32";
}

/**
 * Returns the weights in another format.
 * bytes  whole blocks of `from`
 * to     `repackedFormat` of `from`, or "f32"
 * @throws RangeError on a pair without a lossless re-packing
 */
export function repackWeights(bytes: Uint8Array, from: WeightFormat, to: WeightFormat): Uint8Array {
  if (from === to) return bytes;
  const out = new Uint8Array(rowBytes(to, elementsIn(from, bytes.length)));
  if (to === "f32") decodeWeights(bytes, from, new Float32Array(out.buffer));
  else {
    const repack = REPACKS[from];
    if (repack?.to !== to) throw new RangeError(`weights of ${from} cannot become ${to} without loss`);
    repack.write(bytes, out);
  }
  return out;
}

interface Repack {
  readonly to: WeightFormat;
  readonly write: (bytes: Uint8Array, out: Uint8Array) => void;
}

/** The formula of `to` with the codes of `from` is the formula of `from`, so even NaN and -0 come out alike. */
const REPACKS: Readonly<Partial<Record<WeightFormat, Repack>>> = {
  q5_0: { to: "q8_0", write: writeQ5_0AsQ8_0 },
  iq4_nl: { to: "q8_0", write: writeIq4NlAsQ8_0 },
  q3_k: { to: "q6_k", write: writeQ3KAsQ6K },
};

function writeQ5_0AsQ8_0(bytes: Uint8Array, out: Uint8Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 22, to += 34) {
    out[to] = bytes[at];
    out[to + 1] = bytes[at + 1];
    const fifths = bytes[at + 2] | (bytes[at + 3] << 8) | (bytes[at + 4] << 16) | (bytes[at + 5] << 24);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 6 + i];
      out[to + 2 + i] = ((pair & 15) | (((fifths >>> i) & 1) << 4)) - 16;
      out[to + 18 + i] = ((pair >> 4) | (((fifths >>> (16 + i)) & 1) << 4)) - 16;
    }
  }
}

function writeIq4NlAsQ8_0(bytes: Uint8Array, out: Uint8Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 18, to += 34) {
    out[to] = bytes[at];
    out[to + 1] = bytes[at + 1];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i];
      out[to + 2 + i] = IQ4_NL_VALUES[pair & 15];
      out[to + 18 + i] = IQ4_NL_VALUES[pair >> 4];
    }
  }
}

/** Scales of −32..31 fit q6_k's bytes, codes of −4..3 its −32..31. */
function writeQ3KAsQ6K(bytes: Uint8Array, out: Uint8Array): void {
  for (let at = 0, to = 0; at < bytes.length; at += 110, to += 210) {
    for (let group = 0; group < 16; group++) out[to + 192 + group] = q3kScale(bytes, at + 96, group) - 32;
    out[to + 208] = bytes[at + 108];
    out[to + 209] = bytes[at + 109];
    for (let element = 0; element < 256; element++) {
      const code = q3kCode(bytes, at, element) + 32;
      const half = element >> 7;
      const quarter = (element >> 5) & 3;
      const column = element & 31;
      out[to + 64 * half + 32 * (quarter & 1) + column] |= (code & 15) << (quarter < 2 ? 0 : 4);
      out[to + 128 + 32 * half + column] |= (code >> 4) << (2 * quarter);
    }
  }
}
