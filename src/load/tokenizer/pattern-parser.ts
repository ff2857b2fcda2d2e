import { MAX_COUNT, MAX_NESTING, MAX_PATTERN, type Pattern, PatternError } from "./pattern-ast.ts";
import { ASSERTIONS, escapePoint, foldPoint, type Reader, readClass, readEscape } from "./pattern-class.ts";

interface Flags {
  /** `(?i)`: ignores case. */
  readonly isFolded: boolean;
  /** `(?m)` of Oniguruma: a dot also matches line ends. */
  readonly dotTakesAll: boolean;
}

const LINE_END = "[\\n\\v\\f\\r\\u0085\\u2028\\u2029]";
const UNSUPPORTED = new Set("123456789GKXRkgyY");

/** Parses a regular expression. @throws PatternError */
export function parsePattern(source: string): Pattern {
  const points = Array.from(source);
  if (points.length > MAX_PATTERN) throw new PatternError(`it is longer than ${MAX_PATTERN} characters`);
  const parser = new PatternParser(points);
  return parser.parse();
}

class PatternParser {
  readonly #reader: Reader;
  #depth = 0;

  constructor(points: readonly string[]) {
    this.#reader = { points, at: 0 };
  }

  parse(): Pattern {
    const pattern = this.#choice({ isFolded: false, dotTakesAll: false });
    if (this.#reader.at < this.#reader.points.length) throw new PatternError("a parenthesis is not opened");
    return pattern;
  }

  #peek(offset = 0): string | undefined {
    return this.#reader.points[this.#reader.at + offset];
  }

  #skip(text: string): boolean {
    if (!Array.from(text).every((point, i) => this.#peek(i) === point)) return false;
    this.#reader.at += text.length;
    return true;
  }

  #choice(flags: Flags): Pattern {
    if (++this.#depth > MAX_NESTING) throw new PatternError(`groups nest more than ${MAX_NESTING} times`);
    const items = [this.#sequence(flags)];
    while (this.#skip("|")) items.push(this.#sequence(flags));
    this.#depth--;
    return items.length === 1 && items[0] ? items[0] : { kind: "choice", items };
  }

  #sequence(flags: Flags): Pattern {
    const items: Pattern[] = [];
    for (;;) {
      const point = this.#peek();
      if (point === undefined || point === "|" || point === ")") break;
      const switched = this.#inlineFlags(flags);
      if (switched) {
        items.push(this.#choiceToEnd(switched));
        break;
      }
      items.push(this.#repeated(this.#atom(flags)));
    }
    if (items.length === 1 && items[0]) return items[0];
    return items.length === 0 ? { kind: "empty" } : { kind: "sequence", items };
  }

  /** Reads `(?i)`, which applies to the end of the group, alternatives included. */
  #inlineFlags(flags: Flags): Flags | undefined {
    const match = /^\(\?([imx-]+)\)/.exec(
      this.#reader.points.slice(this.#reader.at, this.#reader.at + 12).join(""),
    );
    if (!match) return undefined;
    this.#reader.at += match[0].length;
    return this.#withFlags(flags, match[1] ?? "");
  }

  #choiceToEnd(flags: Flags): Pattern {
    return this.#choice(flags);
  }

  #withFlags(flags: Flags, letters: string): Flags {
    const [on = "", off = ""] = letters.split("-");
    if (letters.includes("x")) throw new PatternError("the flag x is not supported");
    return {
      isFolded: (flags.isFolded || on.includes("i")) && !off.includes("i"),
      dotTakesAll: (flags.dotTakesAll || on.includes("m")) && !off.includes("m"),
    };
  }

  #atom(flags: Flags): Pattern {
    const point = this.#peek() ?? "";
    this.#reader.at++;
    switch (point) {
      case "(":
        return this.#group(flags);
      case "[":
        return { kind: "set", source: readClass(this.#reader, flags.isFolded) };
      case ".":
        return { kind: "set", source: flags.dotTakesAll ? "[^]" : "[^\\n]" };
      case "^":
      case "$":
        return { kind: "assertion", source: ASSERTIONS[point] ?? "" };
      case "\\":
        return this.#escape(flags);
      case "*":
      case "+":
      case "?":
        throw new PatternError(`nothing stands before ${point}`);
      default:
        return this.#point(point, flags);
    }
  }

  #point(point: string, { isFolded }: Flags): Pattern {
    const points = isFolded ? foldPoint(point) : [point];
    return { kind: "set", source: `[${points.map(escapePoint).join("")}]` };
  }

  #escape(flags: Flags): Pattern {
    const letter = this.#peek() ?? "";
    const assertion = letter === "^" || letter === "$" ? undefined : ASSERTIONS[letter];
    if (assertion !== undefined) {
      this.#reader.at++;
      return { kind: "assertion", source: assertion };
    }
    if (letter === "R") {
      this.#reader.at++;
      const crLf: Pattern = { kind: "sequence", items: [this.#point("\r", flags), this.#point("\n", flags)] };
      return { kind: "atomic", item: { kind: "choice", items: [crLf, { kind: "set", source: LINE_END }] } };
    }
    if (letter === "N" || letter === "O") {
      this.#reader.at++;
      return { kind: "set", source: letter === "N" ? "[^\\n]" : "[^]" };
    }
    if (UNSUPPORTED.has(letter)) throw new PatternError(`the escape \\${letter} is not supported`);
    const { source, isSet } = readEscape(this.#reader, false);
    if (isSet) return { kind: "set", source: source.startsWith("[") ? source : `[${source}]` };
    return this.#point(String.fromCodePoint(Number.parseInt(source.slice(3, -1), 16)), flags);
  }

  #group(flags: Flags): Pattern {
    let inner = flags;
    let wrap = (item: Pattern): Pattern => item;
    const look =
      (isBehind: boolean, isNegated: boolean) =>
      (item: Pattern): Pattern => ({ kind: "lookaround", item, isBehind, isNegated });
    if (this.#skip("?:")) wrap = (item) => item;
    else if (this.#skip("?=")) wrap = look(false, false);
    else if (this.#skip("?!")) wrap = look(false, true);
    else if (this.#skip("?<=")) wrap = look(true, false);
    else if (this.#skip("?<!")) wrap = look(true, true);
    else if (this.#skip("?>")) wrap = (item) => ({ kind: "atomic", item });
    else if (this.#skip("?#")) {
      while (this.#peek() !== ")" && this.#peek() !== undefined) this.#reader.at++;
    } else if (this.#peek() === "?") inner = this.#flagsOrName(flags);
    const item = this.#choice(inner);
    if (!this.#skip(")")) throw new PatternError("a parenthesis is not closed");
    return wrap(item);
  }

  /** Reads `(?i:`, or the name of a group. Names have no effect, since back references are unsupported. */
  #flagsOrName(flags: Flags): Flags {
    const rest = this.#reader.points.slice(this.#reader.at, this.#reader.at + 60).join("");
    const name = /^\?<[A-Za-z_]\w*>/.exec(rest);
    const switches = /^\?([imx-]+):/.exec(rest);
    const found = name ?? switches;
    if (!found) throw new PatternError(`the group (${rest.slice(0, 5)} is not supported`);
    this.#reader.at += found[0].length;
    return switches ? this.#withFlags(flags, switches[1] ?? "") : flags;
  }

  #repeated(atom: Pattern): Pattern {
    let item = atom;
    for (;;) {
      const bounds = this.#bounds();
      if (!bounds) return item;
      if (item.kind === "assertion" || item.kind === "lookaround")
        throw new PatternError("an assertion is repeated");
      const { min, max, isCounted } = bounds;
      const isLazy = this.#skip("?");
      // as in Ruby, `{n,m}+` repeats the counted repetition: the next turn of the loop reads the plus
      const isPossessive = !isLazy && !isCounted && this.#skip("+");
      item = { kind: "repeat", item, min, max, isGreedy: !isLazy };
      if (isPossessive) item = { kind: "atomic", item };
    }
  }

  #bounds(): { min: number; max: number; isCounted: boolean } | undefined {
    if (this.#skip("*")) return { min: 0, max: Number.POSITIVE_INFINITY, isCounted: false };
    if (this.#skip("+")) return { min: 1, max: Number.POSITIVE_INFINITY, isCounted: false };
    if (this.#skip("?")) return { min: 0, max: 1, isCounted: false };
    const text = this.#reader.points.slice(this.#reader.at, this.#reader.at + 30).join("");
    const match = /^\{(\d*)(,?)(\d*)\}/.exec(text);
    if (!match || (match[1] === "" && match[3] === "")) return undefined;
    this.#reader.at += match[0].length;
    const min = Number(match[1] ?? 0);
    const max = match[2] === "" ? min : match[3] === "" ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (min > MAX_COUNT || (max !== Number.POSITIVE_INFINITY && max > MAX_COUNT) || min > max)
      throw new PatternError(`it counts to ${match[0].slice(0, 20)}; at most ${MAX_COUNT} is supported`);
    return { min, max, isCounted: true };
  }
}
