/** Exact fractions of big integers, limited in size. */

/** A fraction in lowest terms; the denominator is positive. */
export interface Rational {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

/** Bits of a numerator or denominator beyond which arithmetic gives up: 2^16384 has 4,933 digits. */
const MAX_BITS = 16_384;

export const ZERO: Rational = { numerator: 0n, denominator: 1n };
export const ONE: Rational = { numerator: 1n, denominator: 1n };

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y > 0n) [x, y] = [y, x % y];
  return x;
}

function bitsOf(value: bigint): number {
  return value === 0n ? 0 : (value < 0n ? -value : value).toString(16).length * 4;
}

/** Size of a fraction in bits, rounded up to whole hexadecimal digits. */
export function sizeOf(value: Rational): number {
  return Math.max(bitsOf(value.numerator), bitsOf(value.denominator));
}

/** Reduces a fraction; undefined for a denominator of 0. */
export function rational(numerator: bigint, denominator = 1n): Rational | undefined {
  if (denominator === 0n) return undefined;
  if (denominator === 1n) return { numerator, denominator };
  const sign = denominator < 0n ? -1n : 1n;
  const divisor = gcd(numerator, denominator) * sign;
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

export function integer(value: number | bigint): Rational {
  return { numerator: BigInt(value), denominator: 1n };
}

/** Reads digits with an optional decimal point; undefined for more digits than `MAX_BITS` allows. */
export function fromDecimal(text: string): Rational | undefined {
  if (text.length > MAX_BITS / 8 || !/^\d*\.?\d*$/.test(text) || !/\d/.test(text)) return undefined;
  const [whole = "", fraction = ""] = text.split(".");
  return rational(BigInt(whole + fraction), 10n ** BigInt(fraction.length));
}

export function add(a: Rational, b: Rational): Rational | undefined {
  if (sizeOf(a) + sizeOf(b) > MAX_BITS) return undefined;
  return rational(a.numerator * b.denominator + b.numerator * a.denominator, a.denominator * b.denominator);
}

export function multiply(a: Rational, b: Rational): Rational | undefined {
  if (sizeOf(a) + sizeOf(b) > MAX_BITS) return undefined;
  return rational(a.numerator * b.numerator, a.denominator * b.denominator);
}

export function negate(a: Rational): Rational {
  return { numerator: -a.numerator, denominator: a.denominator };
}

export function invert(a: Rational): Rational | undefined {
  return rational(a.denominator, a.numerator);
}

export function isEqual(a: Rational, b: Rational): boolean {
  return a.numerator === b.numerator && a.denominator === b.denominator;
}

export function isInteger(a: Rational): boolean {
  return a.denominator === 1n;
}

/** The largest integer that is not above the fraction. */
export function floor(a: Rational): Rational {
  const quotient = a.numerator / a.denominator;
  const isBelow = a.numerator < 0n && quotient * a.denominator !== a.numerator;
  return integer(isBelow ? quotient - 1n : quotient);
}

/** Raises to a whole power; undefined for 0 to a negative power and for results beyond `MAX_BITS`. */
export function power(base: Rational, exponent: bigint): Rational | undefined {
  if (exponent < 0n) {
    const inverse = invert(base);
    return inverse && power(inverse, -exponent);
  }
  if (exponent === 0n) return ONE;
  const isUnit = base.denominator === 1n && base.numerator >= -1n && base.numerator <= 1n;
  if (isUnit) return exponent % 2n === 0n ? multiply(base, base) : base;
  if (exponent > BigInt(MAX_BITS) || sizeOf(base) * Number(exponent) > MAX_BITS) return undefined;
  return { numerator: base.numerator ** exponent, denominator: base.denominator ** exponent };
}

/** The real root of a whole degree, where it is a fraction. */
export function root(value: Rational, degree: number): Rational | undefined {
  if (!Number.isInteger(degree) || degree < 2 || degree > 64 || sizeOf(value) > 4096) return undefined;
  if (value.numerator < 0n) {
    const positive = degree % 2 === 1 ? root(negate(value), degree) : undefined;
    return positive && negate(positive);
  }
  const numerator = integerRoot(value.numerator, degree);
  const denominator = integerRoot(value.denominator, degree);
  return numerator === undefined || denominator === undefined ? undefined : { numerator, denominator };
}

/** Newton's method from above; undefined if the root is not whole. */
function integerRoot(value: bigint, degree: number): bigint | undefined {
  if (value < 2n) return value;
  const n = BigInt(degree);
  let guess = 1n << BigInt(Math.ceil((bitsOf(value) + 4) / degree));
  for (;;) {
    const next = ((n - 1n) * guess + value / guess ** (n - 1n)) / n;
    if (next >= guess) return guess ** n === value ? guess : undefined;
    guess = next;
  }
}

export function toNumber(a: Rational): number {
  const [top, bottom] = [Number(a.numerator), Number(a.denominator)];
  if (Number.isFinite(top) && Number.isFinite(bottom)) return top / bottom;
  const shift = BigInt(Math.max(0, sizeOf(a) - 1000));
  return Number(a.numerator >> shift) / Number(a.denominator >> shift);
}
