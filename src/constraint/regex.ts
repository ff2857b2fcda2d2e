/** ECMAScript patterns as parts of an automaton. */
import { points } from "./code-points.ts";
import { formatPattern, freeFormat } from "./formats.ts";
import { LIMITS, refuse } from "./limits.ts";
import { ANY_TEXT, type Lengths, lengthsOf, type Pattern, type WriteSet } from "./pattern.ts";
import type { GrammarBuilder, Part } from "./program.ts";
import { DOT, PatternError, type PatternReader, readClass, readEscape } from "./regex-sets.ts";
import { compileLanguages, type Language } from "./text-languages.ts";

/**
 * Compiles a pattern that the whole text must match (`isWhole`), or that it must contain, as JSON Schema has it.
 * Greedy and lazy repetition are equal here. Refused: look-around but at the start of the text, back references, word borders, flags,
 * and ^ and $ elsewhere than around a whole alternative.
 * @throws RequestError
 */
export function compilePattern(
  source: string,
  builder: GrammarBuilder,
  { write, isWhole, where }: { readonly write: WriteSet; readonly isWhole: boolean; readonly where: string },
): Part {
  try {
    const pattern = new PatternParser(source, () => builder.countProperty()).parse();
    const looking = languagesAhead(pattern, isWhole);
    if (looking) return compileLanguages(looking, ANY_LENGTH, { builder, write, where });
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

const ANY_LENGTH: Lengths = { min: 0, max: Number.POSITIVE_INFINITY };

/** A text of a schema: the patterns that it contains, the names of its formats, and its lengths. */
export interface TextForm {
  readonly patterns: readonly string[];
  readonly formats: readonly string[];
  readonly lengths: Lengths;
}

/** Compiles a text that satisfies all at once. @throws RequestError */
export function compileTextForm(
  { patterns, formats, lengths }: TextForm,
  builder: GrammarBuilder,
  { write, where }: { readonly write: WriteSet; readonly where: string },
): Part {
  const ofSource = (isWhole: boolean) => (source: string) =>
    languagesOf(new PatternParser(source, () => builder.countProperty()).parse(), isWhole);
  try {
    const contained = patterns.flatMap(ofSource(false));
    const strict = formats.map((format) => formatPattern(format) ?? "");
    const languages = [...contained, ...strict.flatMap(ofSource(true))];
    const rest = lengthsBeside(languages, lengths);
    const isFree = rest.min === 0 && rest.max === Number.POSITIVE_INFINITY;
    const [only, ...others] = [...patterns, ...strict];
    if (isFree && only !== undefined && others.length === 0)
      return compilePattern(only, builder, { write, isWhole: formats.length > 0, where });
    const free = isFree ? [] : formats.map(freeFormat);
    const longest = Math.min(lengths.max, ...free.map((one) => one?.longest ?? lengths.max));
    if (longest >= lengths.min && free.some((one) => one !== undefined)) {
      const sources = strict.map((source, i) => free[i]?.pattern ?? source);
      const all = [...contained, ...sources.flatMap(ofSource(true))];
      return compileLanguages(all, { min: lengths.min, max: longest }, { builder, write, where });
    }
    return compileLanguages(languages, rest, { builder, write, where });
  } catch (error) {
    if (error instanceof PatternError)
      throw refuse(where, `the pattern cannot be used: ${error.message}`, error);
    throw error;
  }
}

/** What the lengths ask beyond what the languages have by themselves. */
function lengthsBeside(languages: readonly Language[], { min, max }: Lengths): Lengths {
  const bounds = languages.filter(({ isNegated }) => !isNegated).map(({ pattern }) => lengthsOf(pattern));
  return {
    min: bounds.some((one) => one.min >= min) ? 0 : min,
    max: bounds.some((one) => one.max <= max) ? Number.POSITIVE_INFINITY : max,
  };
}

/** What a whole text must be, and what it must not: what looks ahead from its start is a language of its own. */
function languagesOf(pattern: Pattern, isWhole: boolean): readonly Language[] {
  const ahead = languagesAhead(pattern, isWhole);
  if (ahead) return ahead;
  const items = alternatives(pattern).map((one) => wholeText(one, isWhole));
  return [{ pattern: { kind: "choice", items }, isNegated: false }];
}

/** Undefined if a pattern has no look-ahead at the start of the text. */
function languagesAhead(pattern: Pattern, isWhole: boolean): readonly Language[] | undefined {
  const [only, ...others] = alternatives(pattern);
  if (only?.kind !== "sequence" || others.length > 0) return undefined;
  const begin = only.items.findIndex(({ kind }) => kind !== "start");
  const rest = only.items.slice(begin);
  const numLooks = rest.findIndex(({ kind }) => kind !== "look");
  const looks = numLooks < 0 ? rest : rest.slice(0, numLooks);
  if (looks.length === 0 || (begin < 1 && !isWhole)) return undefined;
  const behind: Pattern = { kind: "sequence", items: [{ kind: "start" }, ...rest.slice(looks.length)] };
  return [
    { pattern: wholeText(behind, isWhole), isNegated: false },
    ...looks.flatMap((look) =>
      look.kind === "look" ? [{ pattern: seenAhead(look.item), isNegated: look.isNegated }] : [],
    ),
  ];
}

/** The texts that begin with what a look-ahead names. */
function seenAhead(item: Pattern): Pattern {
  const items = alternatives(item).map((one) => {
    const { items: seen, isLast } = anchors(one);
    return plain({ kind: "sequence", items: isLast ? seen : [...seen, ANY_TEXT] });
  });
  return { kind: "choice", items };
}

/** An alternative as a pattern of the whole text. */
function wholeText(pattern: Pattern, isWhole: boolean): Pattern {
  const { items, isFirst, isLast } = anchors(pattern);
  const [before, after] = [isWhole || isFirst, isWhole || isLast].map((is) => (is ? [] : [ANY_TEXT]));
  return plain({ kind: "sequence", items: [...(before ?? []), ...items, ...(after ?? [])] });
}

/** Returns the pattern, if it has no anchors and looks nowhere. @throws PatternError */
function plain(pattern: Pattern): Pattern {
  if (pattern.kind === "start" || pattern.kind === "end") throw new PatternError(ANCHORS);
  if (pattern.kind === "look") throw new PatternError(LOOKS);
  if (pattern.kind === "sequence" || pattern.kind === "choice") pattern.items.forEach(plain);
  if (pattern.kind === "repeat") plain(pattern.item);
  return pattern;
}

const ANCHORS = "^ and $ are supported only at the start and the end of an alternative";
const LOOKS = "(?= and (?! are supported only at the start of the text, behind ^";

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
    case "look":
      throw new PatternError(LOOKS);
    default:
      throw new PatternError(ANCHORS);
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
      const head = /^\?(?::|[=!]|<[A-Za-z_$][\w$]{0,60}>)/.exec(this.#rest(64))?.[0];
      if (head === "?=" || head === "?!") return this.#look(head);
      if (head === undefined)
        throw new PatternError(`the group (${this.#rest(3)} is not supported: it looks around or sets flags`);
      this.#reader.at += head.length;
    }
    const item = this.#choice();
    if (this.#peek() !== ")") throw new PatternError("a parenthesis is not closed");
    this.#reader.at++;
    return item;
  }

  #look(head: string): Pattern {
    this.#reader.at += head.length;
    const item = this.#choice();
    if (this.#peek() !== ")") throw new PatternError("a parenthesis is not closed");
    this.#reader.at++;
    return { kind: "look", item, isNegated: head === "?!" };
  }

  #repeated(item: Pattern): Pattern {
    const bounds = this.#bounds();
    if (!bounds) return item;
    if (item.kind === "start" || item.kind === "end" || item.kind === "look")
      throw new PatternError("an anchor is repeated");
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
