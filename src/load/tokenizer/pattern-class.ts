/** Translates character classes and escapes of Oniguruma to JavaScript's `v` mode. */
import { MAX_NESTING, PatternError } from "./pattern-ast.ts";

/** The code points of a pattern and the reader's index. */
export interface Reader {
  readonly points: readonly string[];
  at: number;
}

const WORD_IN_CLASS = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}";
/** Outside a class, Oniguruma also counts these Latin-1 signs as word characters. */
const WORD = `${WORD_IN_CLASS}\\u00b2\\u00b3\\u00b9\\u00bc-\\u00be`;
const HEX = "0-9A-Fa-f";

const SETS: Readonly<Record<string, string>> = { d: "\\p{Nd}", s: "\\p{White_Space}", h: HEX };
const CONTROLS: Readonly<Record<string, number>> = { t: 9, n: 10, v: 11, f: 12, r: 13, a: 7, e: 27 };

const POSIX: ReadonlyMap<string, string> = new Map([
  ["alpha", "\\p{Alphabetic}"],
  ["alnum", "\\p{Alphabetic}\\p{Nd}"],
  ["digit", "\\p{Nd}"],
  ["lower", "\\p{Lowercase}"],
  ["upper", "\\p{Uppercase}"],
  ["space", "\\p{White_Space}"],
  ["blank", "\\t\\p{Zs}"],
  ["punct", "\\p{P}\\p{S}"],
  ["cntrl", "\\p{Cc}"],
  ["word", WORD_IN_CLASS],
  ["xdigit", HEX],
]);

/** Escapes a code point for a class in `v` mode. */
export function escapePoint(point: string): string {
  return `\\u{${(point.codePointAt(0) ?? 0).toString(16)}}`;
}

/** Extra case variants beyond upper and lower case: long s, kelvin sign, ångström sign. */
const FOLDS: Readonly<Record<string, string>> = { s: "ſ", k: "\u212a", å: "\u212b" };

/** Returns all case variants of a code point, as Oniguruma folds single characters. */
export function foldPoint(point: string): readonly string[] {
  const lower = point.toLowerCase();
  const base =
    { ſ: "s", "\u212a": "k", "\u212b": "å" }[point] ?? (Array.from(lower).length === 1 ? lower : point);
  const upper = base.toUpperCase();
  const more = FOLDS[base];
  return [...new Set([base, ...(Array.from(upper).length === 1 ? [upper] : []), ...(more ? [more] : [])])];
}

/** Translates `\p{Name}`, `\p{^Name}` and `\P{Name}`. */
export function propertySource(name: string, isNegated: boolean): string {
  const isInverse = name.startsWith("^");
  const plain = name.replace(/^\^/, "").replace(/[ _-]/g, "").toLowerCase();
  const letter = isInverse !== isNegated ? "P" : "p";
  const posix = POSIX.get(plain);
  if (posix !== undefined) return letter === "p" ? `[${posix}]` : `[^${posix}]`;
  for (const candidate of [name.replace(/^\^/, ""), `Script=${name.replace(/^\^/, "")}`]) {
    if (!/^\w+(=\w+)?$/.test(candidate)) break;
    try {
      new RegExp(`\\p{${candidate}}`, "u");
      return `\\${letter}{${candidate}}`;
    } catch {}
  }
  throw new PatternError(`the character property ${name.slice(0, 40)} is unknown`);
}

/** Reads an escape after its backslash: a set (`isSet`) or a code point. */
export function readEscape(reader: Reader, inClass: boolean): { source: string; isSet: boolean } {
  const { points } = reader;
  const letter = points[reader.at++];
  if (letter === undefined) throw new PatternError("it ends in a backslash");
  const lower = letter.toLowerCase();
  if ((letter === "p" || letter === "P") && points[reader.at] === "{") {
    return { source: propertySource(readBraces(reader), letter === "P"), isSet: true };
  }
  const word = inClass ? WORD_IN_CLASS : WORD;
  const set = lower === "w" ? word : SETS[lower];
  if (set !== undefined && /[dwsh]/i.test(letter))
    return { source: letter === lower ? `[${set}]` : `[^${set}]`, isSet: true };
  const code = readCode(reader, letter);
  return { source: escapePoint(code === undefined ? letter : String.fromCodePoint(code)), isSet: false };
}

function readBraces(reader: Reader): string {
  const end = reader.points.indexOf("}", reader.at);
  if (end < 0) throw new PatternError("a brace is not closed");
  const text = reader.points.slice(reader.at + 1, end).join("");
  reader.at = end + 1;
  return text;
}

/** Reads the code of a numeric or control escape; undefined when the escaped letter is literal. */
function readCode(reader: Reader, letter: string): number | undefined {
  const control = CONTROLS[letter];
  if (control !== undefined) return control;
  const digits = (count: number, pattern: RegExp) => {
    let text = "";
    while (text.length < count && pattern.test(reader.points[reader.at] ?? ""))
      text += reader.points[reader.at++];
    return text;
  };
  const isHex = /^[\da-f]$/i;
  let hex: string | undefined;
  if (letter === "x") hex = reader.points[reader.at] === "{" ? readBraces(reader) : digits(2, isHex);
  else if (letter === "u") hex = digits(4, isHex);
  else if (letter === "0") hex = Number.parseInt(`0${digits(2, /^[0-7]$/)}`, 8).toString(16);
  if (hex === undefined) return undefined;
  const code = Number.parseInt(hex, 16);
  if (!(code <= 0x10ffff)) throw new PatternError(`the escape \\${letter} is cut or too large`);
  return code;
}

/** Reads a class after its "[", through the closing "]", and translates it. */
export function readClass(reader: Reader, isFolded: boolean, depth = 0): string {
  if (depth > MAX_NESTING) throw new PatternError(`classes nest more than ${MAX_NESTING} times`);
  const { points } = reader;
  const isNegated = points[reader.at] === "^";
  if (isNegated) reader.at++;
  const operands: string[] = [];
  let members: string[] = [];
  const start = reader.at;
  for (;;) {
    const point = points[reader.at];
    if (point === undefined) throw new PatternError("a character class is not closed");
    if (point === "]" && reader.at > start) break;
    if (point === "&" && points[reader.at + 1] === "&") {
      reader.at += 2;
      operands.push(members.join(""));
      members = [];
    } else members.push(readMember(reader, isFolded, depth));
  }
  reader.at++;
  operands.push(members.join(""));
  if (operands.some((operand) => operand === "")) throw new PatternError("a character class is empty");
  const inner = operands.length === 1 ? operands[0] : operands.map((operand) => `[${operand}]`).join("&&");
  return `[${isNegated ? "^" : ""}${inner}]`;
}

function readMember(reader: Reader, isFolded: boolean, depth: number): string {
  const { points } = reader;
  if (points[reader.at] === "[") {
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(points.slice(reader.at, reader.at + 20).join(""));
    if (posix) {
      const set = POSIX.get(posix[2] ?? "");
      if (set === undefined) throw new PatternError(`the class [:${posix[2]}:] is unknown`);
      reader.at += posix[0].length;
      return `[${posix[1] === "^" ? "^" : ""}${set}]`;
    }
    reader.at++;
    return readClass(reader, isFolded, depth + 1);
  }
  const first = readOne(reader);
  if (points[reader.at] !== "-" || points[reader.at + 1] === "]" || points[reader.at + 1] === undefined)
    return first.isSet || !isFolded ? first.source : folded(first.source);
  if (first.isSet) return first.source; // the hyphen is literal
  reader.at++;
  if (points[reader.at] === "[") throw new PatternError("a range ends in a class");
  const last = readOne(reader);
  if (last.isSet) throw new PatternError("a range ends in a class");
  const [from, to] = [pointOf(first.source), pointOf(last.source)];
  if (from > to) throw new PatternError("a range ends before it begins");
  const range = `${first.source}-${last.source}`;
  if (!isFolded || to - from > 1_000) return range;
  const all = Array.from({ length: to - from + 1 }, (_, i) =>
    folded(escapePoint(String.fromCodePoint(from + i))),
  );
  return all.join("");
}

function readOne(reader: Reader): { source: string; isSet: boolean } {
  const point = reader.points[reader.at++];
  if (point === undefined) throw new PatternError("a character class is not closed");
  return point === "\\" ? readEscape(reader, true) : { source: escapePoint(point), isSet: false };
}

const pointOf = (source: string): number => Number.parseInt(source.slice(3, -1), 16);

const folded = (source: string): string =>
  foldPoint(String.fromCodePoint(pointOf(source)))
    .map(escapePoint)
    .join("");

const IS_WORD = `[${WORD}]`;
/** Assertions on the position between code points, by the letter of their escape. */
export const ASSERTIONS: Readonly<Record<string, string>> = {
  A: "(?<![^])",
  z: "(?![^])",
  Z: "(?=\\n?(?![^]))",
  b: `(?:(?<!${IS_WORD})(?=${IS_WORD})|(?<=${IS_WORD})(?!${IS_WORD}))`,
  B: `(?:(?<!${IS_WORD})(?!${IS_WORD})|(?<=${IS_WORD})(?=${IS_WORD}))`,
  "^": "(?:(?<![^])|(?<=\\n))",
  $: "(?:(?=\\n)|(?![^]))",
};
