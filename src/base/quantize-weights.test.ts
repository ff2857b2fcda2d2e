import { expect, test } from "vitest";
import { decoded } from "../../test/random-blocks.ts";
import { f16ToF32 } from "./half.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "./quantize-weights.ts";
import { hashUnit } from "./random.ts";

/** Values like those of a matrix: a normal distribution, now and then one far out; blocks of zeros and of tiny values too. */
function randomValues(blocks: number, seed: number): Float32Array {
  return Float32Array.from({ length: blocks * 32 }, (_, i) => {
    const block = i >> 5;
    if (block % 16 === 3) return 0;
    const spread = block % 16 === 5 ? 1e-7 : 0.02;
    const unit = (n: number) => hashUnit(seed, i, n, 0) || 1e-9;
    const normal = Math.sqrt(-2 * Math.log(unit(0))) * Math.cos(2 * Math.PI * unit(1));
    return normal * spread * (unit(2) < 0.01 ? 8 : 1);
  });
}

const blockOf = (values: Float32Array, block: number) => values.subarray(32 * block, 32 * block + 32);

const squaredError = (a: Float32Array, b: Float32Array) =>
  a.reduce((sum, value, i) => sum + (value - (b[i] ?? 0)) ** 2, 0);

test("q8_0: every element is within half a step, the largest within the rounding of the scale", () => {
  const values = randomValues(256, 1);
  const bytes = new Uint8Array(256 * 34);
  expect(quantizeQ8_0(values, bytes)).toBe(true);
  const back = decoded("q8_0", bytes);
  for (let block = 0; block < 256; block++) {
    const [given, got] = [blockOf(values, block), blockOf(back, block)];
    const largest = Math.max(...given.map(Math.abs));
    const step = Math.max(largest / 127, 2 ** -24);
    const worst = Math.max(...given.map((value, i) => Math.abs(value - (got[i] ?? Number.NaN))));
    expect(worst).toBeLessThanOrEqual(0.5 * step + largest * 2 ** -10);
  }
});

test("q8_0: blocks that were q8_0 before come back bit for bit", () => {
  const bytes = new Uint8Array(64 * 34);
  quantizeQ8_0(randomValues(64, 2), bytes);
  const again = new Uint8Array(bytes.length);
  expect(quantizeQ8_0(decoded("q8_0", bytes), again)).toBe(true);
  expect(again).toEqual(bytes);
});

test("q4_0: no block is worse than by the usual rule, the largest value on -8, and most are better", () => {
  const values = randomValues(512, 3);
  const bytes = new Uint8Array(512 * 18);
  expect(quantizeQ4_0(values, bytes)).toBe(true);
  const back = decoded("q4_0", bytes);
  let [ours, usual] = [0, 0];
  for (let block = 0; block < 512; block++) {
    const given = blockOf(values, block);
    const extreme = given.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
    const scale = Math.fround(extreme / -8);
    const plain = given.map((value) =>
      scale === 0 ? 0 : scale * Math.max(-8, Math.min(7, Math.round(value / scale))),
    );
    const [mine, theirs] = [squaredError(given, blockOf(back, block)), squaredError(given, plain)];
    // the scale of a block is rounded to f16, whose smallest step is 2^-24
    expect(mine).toBeLessThanOrEqual(theirs * 1.01 + 32 * (8 * 2 ** -25) ** 2);
    ours += mine;
    usual += theirs;
  }
  expect(ours).toBeLessThan(0.97 * usual);
});

test.each([
  ["NaN", Number.NaN],
  ["infinity", Number.POSITIVE_INFINITY],
  ["a value past every scale", 3e38],
])("a block with %s is refused", (_, value) => {
  const values = randomValues(4, 4);
  values[77] = value;
  expect(quantizeQ8_0(values, new Uint8Array(4 * 34))).toBe(false);
  expect(quantizeQ4_0(values, new Uint8Array(4 * 18))).toBe(false);
});

test("zeros stay zeros and keep the scale 0", () => {
  const q8 = new Uint8Array(34).fill(9);
  quantizeQ8_0(new Float32Array(32), q8);
  expect(decoded("q8_0", q8).every((value) => value === 0)).toBe(true);
  expect(f16ToF32((q8[0] ?? 1) | ((q8[1] ?? 1) << 8))).toBe(0);
  const q4 = new Uint8Array(18).fill(9);
  quantizeQ4_0(new Float32Array(32), q4);
  expect(decoded("q4_0", q4).every((value) => value === 0)).toBe(true);
});
