import { expect, test } from "vitest";
import { f16ToF32, f16Values, f32ToF16 } from "./half.ts";

/** IEEE 754's definition of binary16. */
function defined(bits: number): number {
  const sign = (-1) ** (bits >> 15);
  const exponent = (bits >> 10) & 31;
  const fraction = (bits & 1023) / 1024;
  if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -14 : sign * (1 + fraction) * 2 ** (exponent - 15);
}

test("every bit pattern has its value, signs of zeros included, from the function and from the table", () => {
  const values = f16Values();
  const wrong: number[] = [];
  for (let bits = 0; bits < 65_536; bits++) {
    const value = defined(bits);
    if (!Object.is(f16ToF32(bits), value) || !Object.is(values[bits], value)) wrong.push(bits);
  }
  expect(wrong).toEqual([]);
});

test("every half comes back from its value", () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = f16ToF32(bits);
    if (Number.isNaN(value)) expect(f32ToF16(value) & 0x7fff).toBeGreaterThan(0x7c00);
    else if (f32ToF16(value) !== bits) expect([bits, f32ToF16(value)]).toEqual([bits, bits]);
  }
});

test("between two halves the nearer one is taken, at the middle the even one", () => {
  for (let bits = 0; bits < 0x7bff; bits++) {
    const [low, high] = [f16ToF32(bits), f16ToF32(bits + 1)];
    const middle = (low + high) / 2;
    const even = bits & 1 ? bits + 1 : bits;
    const got = [middle, middle - (high - low) / 8, middle + (high - low) / 8].map(f32ToF16);
    if (got.join() !== [even, bits, bits + 1].join()) expect(got).toEqual([even, bits, bits + 1]);
  }
});

test.each([
  ["just below the middle to infinity", 65519.99, 0x7bff],
  ["the middle to infinity", 65520, 0x7c00],
  ["past every half", -1e30, 0xfc00],
  ["infinity", Number.POSITIVE_INFINITY, 0x7c00],
  ["half of the smallest", 2 ** -25, 0],
  ["more than half of the smallest", -(2 ** -25) * 1.5, 0x8001],
  ["minus zero", -0, 0x8000],
])("%s", (_, value, bits) => {
  expect(f32ToF16(value)).toBe(bits);
});
