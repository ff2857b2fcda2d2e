/** Classes of characters in ECMAScript patterns, as sets of code points, with the meaning of the flag u. */
import { ALL_POINTS, invert, normalise, type PointRange, points, subtract } from "./code-points.ts";

/** A pattern that is no regular expression, or one that needs more than a finite automaton. */
export class PatternError extends Error {}

/** The code points of a pattern, and the reader's place. */
export interface PatternReader {
  readonly points: readonly string[];
  at: number;
  /** Counts the properties of characters that are found anew. */
  onProperty(): void;
}

const range = (low: number, high: number): PointRange => ({ low, high });
const DIGITS = [range(0x30, 0x39)];
const WORD = normalise([...DIGITS, range(0x41, 0x5a), range(0x61, 0x7a), range(0x5f, 0x5f)]);
const SPACE = normalise([
  range(9, 13),
  ...points(" \u00a0\u1680\u2028\u2029\u202f\u205f\u3000\ufeff"),
  range(0x2000, 0x200a),
]);
/** What a dot matches: everything but the ends of lines. */
export const DOT: readonly PointRange[] = subtract(ALL_POINTS, points("\n\r\u2028\u2029"));

const SETS: Readonly<Record<string, readonly PointRange[]>> = {
  d: DIGITS,
  w: WORD,
  s: SPACE,
  D: invert(DIGITS),
  W: invert(WORD),
  S: invert(SPACE),
};
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13 };
const SYNTAX = /^[\^$\\.*+?()[\]{}|/\-"'#&,:;<=>@`~!% _]$/;

/** Reads an escape behind its backslash, as a set; a single character is a set of one. */
export function readEscape(reader: PatternReader, isInClass: boolean): readonly PointRange[] {
  const letter = reader.points[reader.at++];
  if (letter === undefined) throw new PatternError("it ends in a backslash");
  const set = SETS[letter];
  if (set) return set;
  if (letter === "p" || letter === "P") return readProperty(reader, letter);
  return points(String.fromCodePoint(readPoint(reader, letter, isInClass)));
}

function readPoint(reader: PatternReader, letter: string, isInClass: boolean): number {
  const control = CONTROLS[letter];
  if (control !== undefined) return control;
  if (letter === "b" && isInClass) return 8;
  if (letter === "0" && !/\d/.test(reader.points[reader.at] ?? "")) return 0;
  if (letter === "x") return readHex(reader, 2);
  if (letter === "u") return readUnicode(reader);
  if (letter === "c") {
    const control = reader.points[reader.at++] ?? "";
    if (/^[A-Za-z]$/.test(control)) return control.charCodeAt(0) % 32;
    throw new PatternError("a letter must follow \\c");
  }
  if (SYNTAX.test(letter)) return letter.charCodeAt(0);
  throw new PatternError(`the escape \\${letter} is not supported`);
}

function readHex(reader: PatternReader, length: number): number {
  const digits = reader.points.slice(reader.at, reader.at + length).join("");
  if (digits.length !== length || !/^[\da-f]+$/i.test(digits))
    throw new PatternError(`${length} hexadecimal digits must follow the escape`);
  reader.at += length;
  return Number.parseInt(digits, 16);
}

function readUnicode(reader: PatternReader): number {
  if (reader.points[reader.at] === "{") {
    const end = reader.points.indexOf("}", reader.at);
    const digits = reader.points.slice(reader.at + 1, end).join("");
    if (end < 0 || !/^0*[\da-f]{1,6}$/i.test(digits) || Number.parseInt(digits, 16) > 0x10ffff)
      throw new PatternError("the escape \\u{…} names no character");
    reader.at = end + 1;
    return Number.parseInt(digits, 16);
  }
  const first = readHex(reader, 4);
  if (first < 0xd800 || first > 0xdfff) return first;
  const isPair = first < 0xdc00 && reader.points[reader.at] === "\\" && reader.points[reader.at + 1] === "u";
  if (isPair) {
    reader.at += 2;
    const second = readHex(reader, 4);
    if (second >= 0xdc00 && second <= 0xdfff) return 0x10000 + (first - 0xd800) * 0x400 + (second - 0xdc00);
  }
  throw new PatternError("an escape is half of a surrogate pair");
}

/** Sets of properties found so far. */
const properties = new Map<string, readonly PointRange[]>();
const MAX_PROPERTIES = 64;
/** First code point behind the surrogates, and the first that takes two units of UTF-16. */
const AFTER_SURROGATES = 0xe000;
const PAIRS_FROM = 0x10000;

function readProperty(reader: PatternReader, letter: string): readonly PointRange[] {
  const end = reader.points.indexOf("}", reader.at);
  const name = reader.points.slice(reader.at + 1, end).join("");
  if (reader.points[reader.at] !== "{" || end < 0 || !/^[A-Za-z_]{1,40}(=[A-Za-z_]{1,40})?$/.test(name))
    throw new PatternError("the name of a property must follow \\p");
  reader.at = end + 1;
  let set = properties.get(name);
  if (!set) {
    reader.onProperty();
    set = findProperty(name);
    if (properties.size >= MAX_PROPERTIES) properties.clear();
    properties.set(name, set);
  }
  return letter === "p" ? set : invert(set);
}

/** All code points but surrogates, in order: V8 finds a property in it in one pass. */
function allCharacters(): string {
  const pieces: string[] = [];
  const add = (from: number, to: number) => {
    for (let low = from; low < to; low += 4096) {
      const length = Math.min(4096, to - low);
      pieces.push(String.fromCodePoint(...Array.from({ length }, (_, i) => low + i)));
    }
  };
  add(0, 0xd800);
  add(AFTER_SURROGATES, 0x110000);
  return pieces.join("");
}

let characters: string | undefined;

function findProperty(name: string): readonly PointRange[] {
  let runs: RegExp;
  try {
    runs = new RegExp(`\\p{${name}}+`, "gu");
  } catch {
    throw new PatternError(`the property ${name} is unknown`);
  }
  characters ??= allCharacters();
  const found = [...characters.matchAll(runs)].map(({ index, 0: { length } }) => ({
    low: pointAt(index),
    high: pointAt(index + length) - 1,
  }));
  // a run over the gap of the surrogates has them as well; they have no encoding
  return normalise(found);
}

/** The code point at an index of `allCharacters`. */
function pointAt(index: number): number {
  if (index < 0xd800) return index;
  const inPlane = index + (AFTER_SURROGATES - 0xd800);
  return inPlane < PAIRS_FROM ? inPlane : PAIRS_FROM + (inPlane - PAIRS_FROM) / 2;
}

/** Reads a class behind its "[", with its "]". */
export function readClass(reader: PatternReader): readonly PointRange[] {
  const isNegated = reader.points[reader.at] === "^";
  if (isNegated) reader.at++;
  const ranges: PointRange[] = [];
  for (;;) {
    const point = reader.points[reader.at];
    if (point === undefined) throw new PatternError("a class of characters is not closed");
    if (point === "]") break;
    const first = readMember(reader);
    const next = reader.points[reader.at + 1];
    const isRange = reader.points[reader.at] === "-" && next !== undefined && next !== "]";
    if (!isRange) {
      ranges.push(...first);
      continue;
    }
    reader.at++;
    const low = single(first);
    const high = single(readMember(reader));
    if (low === undefined || high === undefined || low > high)
      throw new PatternError("a range of characters ends before it begins, or in a class");
    ranges.push({ low, high });
  }
  reader.at++;
  return isNegated ? invert(ranges) : normalise(ranges);
}

function readMember(reader: PatternReader): readonly PointRange[] {
  const point = reader.points[reader.at++] ?? "";
  return point === "\\" ? readEscape(reader, true) : points(point);
}

const single = (set: readonly PointRange[]): number | undefined =>
  set.length === 1 && set[0]?.low === set[0]?.high ? set[0]?.low : undefined;
