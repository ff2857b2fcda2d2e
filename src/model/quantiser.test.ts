import { expect, test } from "vitest";
import { decoded } from "../../test/random-blocks.ts";
import { f32ToF16 } from "../base/half.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "../base/quantize-weights.ts";
import { hashUnit } from "../base/random.ts";
import { decodeWeights, type FloatFormat, WEIGHT_FORMATS } from "../base/weight-format.ts";
import { type BlockFormat, Quantiser } from "./quantiser.ts";

const REFERENCES = { q8_0: quantizeQ8_0, q4_0: quantizeQ4_0 } as const;
const FORMATS = ["q8_0", "q4_0"] as const;
const FLOATS = ["f32", "f16", "bf16"] as const;

const quantiser = await Quantiser.open();

/** The blocks of the definition; undefined if it refuses the values. */
function defined(bytes: Uint8Array, from: FloatFormat, to: BlockFormat): Uint8Array | undefined {
  const values = new Float32Array(bytes.length / WEIGHT_FORMATS[from].blockBytes);
  decodeWeights(bytes, from, values);
  const out = new Uint8Array((values.length / 32) * WEIGHT_FORMATS[to].blockBytes);
  return REFERENCES[to](values, out) ? out : undefined;
}

/** Compares bytes with a message that names the first block that differs. */
function expectSame(bytes: Uint8Array, from: FloatFormat, to: BlockFormat): void {
  const [got, wanted] = [quantiser.quantise(bytes, from, to), defined(bytes, from, to)];
  expect(got === undefined).toBe(wanted === undefined);
  if (!got || !wanted) return;
  const first = wanted.findIndex((byte, i) => byte !== got[i]);
  const at = first < 0 ? first : Math.floor(first / WEIGHT_FORMATS[to].blockBytes);
  expect({ length: got.length, firstBlockThatDiffers: at }).toEqual({
    length: wanted.length,
    firstBlockThatDiffers: -1,
  });
}

const bytesOf = (values: ArrayLike<number>): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

/** Blocks of a normal distribution, each of another spread: 2^-150 to 2^17. */
function normals(blocks: number, seed: number): Float32Array {
  return Float32Array.from({ length: blocks * 32 }, (_, i) => {
    const unit = (n: number) => hashUnit(seed, i, n, 0) || 1e-9;
    const spread = 2 ** (((i >> 5) % 168) - 150);
    return spread * Math.sqrt(-2 * Math.log(unit(0))) * Math.cos(2 * Math.PI * unit(1));
  });
}

function asFormat(values: Float32Array, format: FloatFormat): Uint8Array {
  if (format === "f32") return bytesOf(values);
  const bits = new Uint32Array(values.buffer);
  const halves = Uint16Array.from(values, (value, i) =>
    format === "f16" ? f32ToF16(value) : bits[i] >>> 16,
  );
  return new Uint8Array(halves.buffer);
}

const PAIRS = FLOATS.flatMap((from) => FORMATS.map((to) => ({ from, to })));

test.each(PAIRS)("$from to $to: normal values of every size, as defined", ({ from, to }) => {
  // one block at a time: f16 has no value of the largest spreads, and a refusal is of all blocks
  const values = normals(1680, 1);
  for (let block = 0; block < 1680; block++)
    expectSame(asFormat(values.slice(32 * block, 32 * block + 32), from), from, to);
  expectSame(asFormat(normals(148, 2), from), from, to);
});

test.each(PAIRS)("$from to $to: random bits, subnormal, infinite and NaN among them", ({ from, to }) => {
  const size = WEIGHT_FORMATS[from].blockBytes;
  for (let seed = 0; seed < 400; seed++) {
    const bytes = Uint8Array.from({ length: 32 * size }, (_, i) => 256 * hashUnit(seed, i, 7, 0));
    // without the top bits of exponents most blocks are finite, and small
    if (seed % 2)
      for (let i = size - 1; i < bytes.length; i += size) bytes[i] &= 0x8f | (seed % 3 ? 0x30 : 0);
    expectSame(bytes, from, to);
  }
});

test.each(["f16", "bf16"] as const)("every value of %s, alone and scaled by a neighbour", (from) => {
  for (let start = 0; start < 65_536; start += 32) {
    const halves = Uint16Array.from({ length: 32 }, (_, i) => start + i);
    for (const to of FORMATS) expectSame(new Uint8Array(halves.buffer), from, to);
  }
});

test.each(FORMATS)("%s: values on the halves between two elements", (to) => {
  for (let seed = 0; seed < 64; seed++) {
    const scale = 2 ** -(seed % 24);
    const most = to === "q8_0" ? 127 : 8;
    const values = Float32Array.from({ length: 32 }, (_, i) =>
      i === 0
        ? (seed % 2 ? -most : most) * scale
        : (Math.round(4 * most * (hashUnit(seed, i, 3, 0) - 0.5)) / 2) * scale,
    );
    expectSame(bytesOf(values), "f32", to);
  }
});

const SPECIAL = [
  ...[0, -0, 1, -1, 2 ** -149, -(2 ** -149), 2 ** -126, 2 ** -24, 2 ** -25, 1.5 * 2 ** -25, 65_504, -65_504],
  ...[
    65_520,
    7 * 65_504,
    -7 * 65_504,
    7 * 65_504 + 1,
    8 * 65_504,
    127 * 65_504,
    127 * 65_520,
    -127 * 65_519,
    3.4e38,
  ],
  ...[Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN],
];

test.each(FORMATS)("%s: special values in every pair, and alone in a block", (to) => {
  for (const a of SPECIAL)
    for (const b of SPECIAL) {
      const mixed = Float32Array.from({ length: 64 }, (_, i) =>
        i % 7 === 3 ? a : i % 5 === 1 ? b : 0.01 * (i - 32),
      );
      expectSame(bytesOf(mixed), "f32", to);
      expectSame(bytesOf(Float32Array.from({ length: 32 }, (_, i) => (i % 2 ? a : b))), "f32", to);
    }
});

test("q8_0 to q4_0, at any alignment, and larger slices after smaller ones", () => {
  for (const blocks of [1, 3, 5000, 2]) {
    const values = normals(blocks, blocks).map((value) => Math.max(-4, Math.min(4, value)));
    const q8 = quantiser.quantise(bytesOf(values), "f32", "q8_0")?.slice();
    expect(q8?.length).toBe(34 * blocks);
    if (!q8) return;
    const wanted = defined(bytesOf(decoded("q8_0", q8)), "f32", "q4_0");
    const shifted = new Uint8Array(q8.length + 1);
    shifted.set(q8, 1);
    expect(quantiser.quantise(shifted.subarray(1), "q8_0", "q4_0")?.slice()).toEqual(wanted);
  }
});
