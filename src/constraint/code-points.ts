/** Sets of code points, and their bytes in UTF-8. */

/** Code points from `low` to `high`, both included. */
export interface PointRange {
  readonly low: number;
  readonly high: number;
}

const MAX_POINT = 0x10ffff;
const SURROGATES: PointRange = { low: 0xd800, high: 0xdfff };

/** Sorts ranges and joins those that touch. */
export function normalise(ranges: readonly PointRange[]): readonly PointRange[] {
  const sorted = [...ranges].sort((a, b) => a.low - b.low);
  const joined: { low: number; high: number }[] = [];
  for (const { low, high } of sorted) {
    const last = joined[joined.length - 1];
    if (last && low <= last.high + 1) last.high = Math.max(last.high, high);
    else joined.push({ low, high });
  }
  return joined;
}

/** All code points but those of a set. */
export function invert(ranges: readonly PointRange[]): readonly PointRange[] {
  const rest: PointRange[] = [];
  let next = 0;
  for (const { low, high } of normalise(ranges)) {
    if (low > next) rest.push({ low: next, high: low - 1 });
    next = high + 1;
  }
  if (next <= MAX_POINT) rest.push({ low: next, high: MAX_POINT });
  return rest;
}

/** The code points of `from` that `removed` lacks. */
export const subtract = (
  from: readonly PointRange[],
  removed: readonly PointRange[],
): readonly PointRange[] => invert([...invert(from), ...removed]);

export const points = (text: string): readonly PointRange[] =>
  Array.from(text, (one) => ({ low: one.codePointAt(0) ?? 0, high: one.codePointAt(0) ?? 0 }));

export const ALL_POINTS: readonly PointRange[] = [{ low: 0, high: MAX_POINT }];

/** A range of bytes. */
export interface ByteRange {
  readonly low: number;
  readonly high: number;
}

/** First code point that takes 2, 3 and 4 bytes. */
const LONGER = [0x80, 0x800, 0x10000];

/**
 * The UTF-8 encodings of a set of code points, as sequences of ranges of bytes: a text is in the set if its bytes are in the ranges
 * of one sequence. Surrogates have no encoding.
 */
export function utf8Sequences(ranges: readonly PointRange[]): readonly (readonly ByteRange[])[] {
  const sequences: ByteRange[][] = [];
  for (const { low, high } of subtract(ranges, [SURROGATES])) splitLength(low, high, sequences);
  return sequences;
}

function splitLength(low: number, high: number, out: ByteRange[][]): void {
  const border = LONGER.find((first) => low < first && high >= first);
  if (border !== undefined) {
    splitLength(low, border - 1, out);
    splitLength(border, high, out);
  } else splitTail(low, high, out);
}

/** Splits a range of code points of one length until all bytes but one prefix range over all of their values. */
function splitTail(low: number, high: number, out: ByteRange[][]): void {
  const length = 1 + LONGER.filter((first) => low >= first).length;
  for (let i = 1; i < length; i++) {
    const mask = (1 << (6 * i)) - 1;
    if ((low & ~mask) === (high & ~mask)) continue;
    const from = (low & mask) !== 0 ? (low | mask) + 1 : (high & mask) !== mask ? high & ~mask : undefined;
    if (from === undefined) continue;
    splitTail(low, from - 1, out);
    splitTail(from, high, out);
    return;
  }
  const first = encode(low, length);
  const last = encode(high, length);
  out.push(first.map((byte, i) => ({ low: byte, high: last[i] ?? byte })));
}

function encode(point: number, length: number): number[] {
  if (length === 1) return [point];
  const bytes: number[] = [];
  for (let i = length - 1; i > 0; i--) bytes.unshift(0x80 | ((point >> (6 * (length - 1 - i))) & 0x3f));
  const lead = [0, 0, 0xc0, 0xe0, 0xf0][length] ?? 0;
  return [lead | (point >> (6 * (length - 1))), ...bytes];
}
