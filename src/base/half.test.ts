import { expect, test } from "vitest";
import { f16ToF32, f16Values } from "./half.ts";

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
