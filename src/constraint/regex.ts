/** ECMAScript patterns as parts of an automaton. */
import type { PointRange } from "./code-points.ts";
import { points } from "./code-points.ts";
import { LIMITS, refuse } from "./limits.ts";
import type { GrammarBuilder, Part } from "./program.ts";
import { DOT, PatternError, type PatternReader, readClass, readEscape } from "./regex-sets.ts";

type Pattern =
  | { readonly kind: "set"; readonly set: readonly PointRange[] }
  | { readonly kind: "sequence"; readonly items: readonly Pattern[] }
  | { readonly kind: "choice"; readonly items: readonly Pattern[] }
  | {
      readonly kind: "repeat";
      readonly item: Pattern;
      readonly min: number;
      readonly max: number | undefined;
    }
  | { readonly kind: "start" | "end" };

/** How the characters of a pattern are written: as they are, or escaped inside a JSON string. */
export type WriteSet = (set: readonly PointRange[]) => Part;

/**
 * Compiles a pattern that the whole text must match (`isWhole`), or that it must contain, as JSON Schema has it.
 * Greedy and lazy repetition are equal here. Refused: look-around, back references, word borders, flags, and ^ and $ elsewhere than
 * around a whole alternative.
 * @throws RequestError
 */
export function compilePattern(
  source: string,
  builder: GrammarBuilder,
  { write, isWhole, where }: { readonly write: WriteSet; readonly isWhole: boolean; readonly where: string },
): Part {
  try {
    const pattern = new PatternParser(source, () => builder.countProperty()).parse();
    const around = isWhole ? undefined : builder.repeat(write([{ low: 0, high: 0x10ffff }]), 0);
    return builder.anyOf(
      alternatives(pattern).map((one) => {
        const { items, isFirst, isLast } = anchors(one);
        const parts = items.map((item) => compileItem(item, builder, write));
        return builder.sequence([
          ...(around && !isFirst ? [around] : []),
          ...parts,
          ...(around && !isLast ? [around] : []),
        ]);
      }),
    );
  } catch (error) {
    if (error instanceof PatternError)
      throw refuse(where, `the pattern cannot be used: ${error.message}`, error);
    throw error;
  }
}

/** Splits a pattern into its alternatives, groups around the whole included. */
function alternatives(pattern: Pattern): readonly Pattern[] {
  return pattern.kind === "choice" ? pattern.items.flatMap(alternatives) : [pattern];
}

/** Takes the anchors from both sides of an alternative. */
function anchors(pattern: Pattern) {
  let items = pattern.kind === "sequence" ? [...pattern.items] : [pattern];
  const isFirst = items[0]?.kind === "start";
  while (items[0]?.kind === "start") items = items.slice(1);
  const isLast = items[items.length - 1]?.kind === "end";
  while (items[items.length - 1]?.kind === "end") items = items.slice(0, -1);
  return { items, isFirst, isLast };
}

function compileItem(pattern: Pattern, builder: GrammarBuilder, write: WriteSet): Part {
  switch (pattern.kind) {
    case "set":
      return write(pattern.set);
    case "sequence":
      return builder.sequence(pattern.items.map((item) => compileItem(item, builder, write)));
    case "choice":
      return builder.anyOf(pattern.items.map((item) => compileItem(item, builder, write)));
    case "repeat":
      return builder.repeat(compileItem(pattern.item, builder, write), pattern.min, pattern.max);
    default:
      throw new PatternError("^ and $ are supported only at the start and the end of an alternative");
  }
}

class PatternParser {
  readonly #reader: PatternReader;
  #depth = 0;

  constructor(source: string, onProperty: () => void) {
    if (source.length > LIMITS.patternLength)
      throw new PatternError(`it is longer than ${LIMITS.patternLength} characters`);
    this.#reader = { points: Array.from(source), at: 0, onProperty };
  }

  parse(): Pattern {
    const pattern = this.#choice();
    if (this.#peek() !== undefined) throw new PatternError("a parenthesis is not opened");
    return pattern;
  }

  #peek(): string | undefined {
    return this.#reader.points[this.#reader.at];
  }

  #rest(length: number): string {
    return this.#reader.points.slice(this.#reader.at, this.#reader.at + length).join("");
  }

  #choice(): Pattern {
    if (++this.#depth > LIMITS.patternDepth)
      throw new PatternError(`its groups nest deeper than ${LIMITS.patternDepth} levels`);
    const items = [this.#sequence()];
    while (this.#peek() === "|") {
      this.#reader.at++;
      items.push(this.#sequence());
    }
    this.#depth--;
    return items.length === 1 && items[0] ? items[0] : { kind: "choice", items };
  }

  #sequence(): Pattern {
    const items: Pattern[] = [];
    for (
      let point = this.#peek();
      point !== undefined && point !== "|" && point !== ")";
      point = this.#peek()
    )
      items.push(this.#repeated(this.#atom()));
    return items.length === 1 && items[0] ? items[0] : { kind: "sequence", items };
  }

  #atom(): Pattern {
    const reader = this.#reader;
    const point = reader.points[reader.at++] ?? "";
    switch (point) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", set: readClass(reader) };
      case ".":
        return { kind: "set", set: DOT };
      case "^":
        return { kind: "start" };
      case "$":
        return { kind: "end" };
      case "\\":
        return { kind: "set", set: readEscape(reader, false) };
      case "*":
      case "+":
      case "?":
        throw new PatternError(`nothing stands before ${point}`);
      default:
        return { kind: "set", set: points(point) };
    }
  }

  #group(): Pattern {
    if (this.#peek() === "?") {
      const head = /^\?(?::|<[A-Za-z_$][\w$]{0,60}>)/.exec(this.#rest(64))?.[0];
      if (head === undefined)
        throw new PatternError(`the group (${this.#rest(3)} is not supported: it looks around or sets flags`);
      this.#reader.at += head.length;
    }
    const item = this.#choice();
    if (this.#peek() !== ")") throw new PatternError("a parenthesis is not closed");
    this.#reader.at++;
    return item;
  }

  #repeated(item: Pattern): Pattern {
    const bounds = this.#bounds();
    if (!bounds) return item;
    if (item.kind === "start" || item.kind === "end") throw new PatternError("an anchor is repeated");
    if (this.#peek() === "?") this.#reader.at++; // lazy
    if (this.#bounds()) throw new PatternError("a repetition is repeated");
    return { kind: "repeat", item, ...bounds };
  }

  #bounds(): { readonly min: number; readonly max: number | undefined } | undefined {
    const point = this.#peek();
    const known = {
      "*": { min: 0, max: undefined },
      "+": { min: 1, max: undefined },
      "?": { min: 0, max: 1 },
    };
    if (point === "*" || point === "+" || point === "?") {
      this.#reader.at++;
      return known[point];
    }
    const counted = /^\{(\d{1,6})(,?)(\d{0,6})\}/.exec(this.#rest(16));
    if (!counted) return undefined;
    this.#reader.at += counted[0].length;
    const min = Number(counted[1]);
    const max = counted[2] === "" ? min : counted[3] === "" ? undefined : Number(counted[3]);
    if (max !== undefined && max < min)
      throw new PatternError(`${counted[0]} counts to less than it begins with`);
    return { min, max };
  }
}
