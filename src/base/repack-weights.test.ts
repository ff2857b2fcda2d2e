import { expect, test } from "vitest";
import { repackedFormat, repackWeights } from "./repack-weights.ts";
import {
  decodeWeights,
  elementsIn,
  isFloatFormat,
  WEIGHT_FORMATS,
  type WeightFormat,
} from "./weight-format.ts";

const FORMATS = Object.keys(WEIGHT_FORMATS) as WeightFormat[];
const COMPUTED: ReadonlySet<WeightFormat> = new Set(["f32", "f16", "q8_0", "q4_0", "q4_k", "q6_k"]);

/** Scales of every kind in the f16 fields, and random bytes elsewhere. */
const SCALES = [0x0000, 0x8000, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff, 0x7c00, 0xfc00, 0x7e01, 0x3555];
const SCALE_AT: Partial<Record<WeightFormat, number>> = { q3_k: 108, q6_k: 208 };

function randomBlocks(format: WeightFormat, seed: number): Uint8Array {
  const { blockBytes } = WEIGHT_FORMATS[format];
  let state = seed;
  const bytes = Uint8Array.from({ length: blockBytes * 4 * SCALES.length }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state >>> 24;
  });
  if (isFloatFormat(format)) return bytes;
  const view = new DataView(bytes.buffer);
  for (let block = 0; block < 2 * SCALES.length; block++)
    view.setUint16(block * blockBytes + (SCALE_AT[format] ?? 0), SCALES[block % SCALES.length], true);
  return bytes;
}

/** Values as text that tells -0 from 0. */
function valuesOf(bytes: Uint8Array, format: WeightFormat): string[] {
  const out = new Float32Array(elementsIn(format, bytes.length));
  decodeWeights(bytes, format, out);
  return Array.from(out, (value) => (Object.is(value, -0) ? "-0" : String(value)));
}

test.each([
  ["q5_0", "q8_0"],
  ["iq4_nl", "q8_0"],
  ["q3_k", "q6_k"],
  ...FORMATS.map((format) => [format, "f32"] as const),
] as const)("%s as %s keeps every value, special scales and signs of zeros included", (from, to) => {
  for (let seed = 1; seed < 9; seed++) {
    const bytes = randomBlocks(from, seed);
    const repacked = repackWeights(bytes, from, to);
    expect(repacked.length % WEIGHT_FORMATS[to].blockBytes).toBe(0);
    expect(valuesOf(repacked, to)).toEqual(valuesOf(bytes, from));
  }
});

test("the blocks that the tests re-pack hold zeros of both signs, infinities and NaN", () => {
  for (const format of ["q5_0", "iq4_nl", "q3_k"] as const) {
    const values = new Set(valuesOf(randomBlocks(format, 1), format));
    for (const special of ["0", "-0", "Infinity", "-Infinity", "NaN"]) expect(values).toContain(special);
  }
});

test("a backend's own format stays, another becomes the block format that holds it, else f32", () => {
  expect(FORMATS.map((format) => `${format} ${repackedFormat(format, COMPUTED)}`)).toEqual([
    "f32 f32",
    "f16 f16",
    "bf16 f32",
    "q8_0 q8_0",
    "q4_0 q4_0",
    "q4_1 f32",
    "q5_0 q8_0",
    "q5_1 f32",
    "q3_k q6_k",
    "q4_k q4_k",
    "q5_k f32",
    "q6_k q6_k",
    "iq4_nl q8_0",
  ]);
  expect(repackedFormat("q5_0", new Set(["f32"]))).toBe("f32");
  expect(repackWeights(Uint8Array.of(1, 2), "f16", "f16")).toEqual(Uint8Array.of(1, 2));
});

test("a re-packing that would lose values is refused", () => {
  expect(() => repackWeights(new Uint8Array(176), "q5_k", "q8_0")).toThrow(
    "weights of q5_k cannot become q8_0 without loss",
  );
});
