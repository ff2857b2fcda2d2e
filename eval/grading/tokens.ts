/** LaTeX and plain notation of an answer to tokens. */
import {
  ALIASES,
  COMMANDS,
  GROUP_COMMA,
  MARKS,
  MAX_ANSWER_LENGTH,
  NO_OUTPUT,
  PLAIN_NAMES,
  readGroup,
  STYLE_COMMANDS,
  TEXT_COMMANDS,
} from "./notation.ts";
import { isPlainUnit } from "./units.ts";

export type TokenKind =
  | "number"
  /** One symbol: a letter, a Greek letter, a function's or a constant's name. */
  | "name"
  /** Words: the content of \text{…}, or a plain word that is no product of letters. */
  | "words"
  /** A command with arguments, such as \frac. */
  | "command"
  | "mark";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** True if blanks or a spacing command come before. */
  readonly isSpaced: boolean;
}

/** How to read commas between digits at the top level: "1,234" as one number or as a list. */
export interface TokenOptions {
  readonly commasGroupDigits: boolean;
}

/** Splits a tidied text into tokens; undefined where a group does not close or the text is too long. */
export function tokenise(text: string, options: TokenOptions): readonly Token[] | undefined {
  if (text.length > MAX_ANSWER_LENGTH) return undefined;
  const reader = new TokenReader(text, options);
  return reader.readAll() ? reader.tokens : undefined;
}

const NUMBER = /\d+(?:\.\d+)?|\.\d+/y;
const MARKED_GROUPS = /\d{1,3}(?:\uE000\d{3})+(?!\d)(?:\.\d+)?/y;
const COMMA_GROUPS = /\d{1,3}(?:[,\uE000]\d{3})+(?![\d,])(?:\.\d+)?/y;
const SPACE_GROUPS = /\d{1,3}(?: \d{3})+(?! ?\d)(?:\.\d+)?/y;
/** Another shape of the same letter. */
const VARIANT = /^var(phi|epsilon|theta|rho|sigma|pi|kappa)$/;
const TWO_MARKS = ["<=", ">=", "!=", "**", "=="];

class TokenReader {
  readonly tokens: Token[] = [];
  readonly #text: string;
  readonly #groups: readonly RegExp[];
  #at = 0;
  #depth = 0;
  #isSpaced = false;

  constructor(text: string, options: TokenOptions) {
    this.#text = text;
    this.#groups = options.commasGroupDigits ? [COMMA_GROUPS, SPACE_GROUPS] : [MARKED_GROUPS, SPACE_GROUPS];
  }

  readAll(): boolean {
    while (this.#at < this.#text.length) {
      const char = this.#text[this.#at] ?? "";
      if (/\s/.test(char)) {
        this.#isSpaced = true;
        this.#at++;
      } else if (char === "\\") {
        if (!this.#readCommand()) return false;
      } else if (/[\d.]/.test(char) && this.#readNumber()) {
      } else if (/\p{L}/u.test(char)) {
        this.#readLetters();
      } else if (char === "¢") {
        this.#push("words", char);
        this.#at++;
      } else {
        this.#readMark(char);
      }
    }
    return true;
  }

  #push(kind: TokenKind, text: string): void {
    this.tokens.push({ kind, text, isSpaced: this.#isSpaced });
    this.#isSpaced = false;
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at;
    return pattern.exec(this.#text)?.[0];
  }

  #readNumber(): boolean {
    const patterns = this.#depth === 0 ? this.#groups : [MARKED_GROUPS, SPACE_GROUPS];
    const grouped = patterns.map((pattern) => this.#match(pattern)).find((found) => found !== undefined);
    const text = grouped ?? this.#match(NUMBER);
    if (text === undefined) return false;
    this.#push("number", text.replace(/[,\uE000 ]/g, ""));
    this.#at += text.length;
    return true;
  }

  #readMark(char: string): void {
    const pair = this.#text.slice(this.#at, this.#at + 2);
    const mark = TWO_MARKS.includes(pair) ? pair : char === GROUP_COMMA ? "," : char;
    this.#at += mark.length;
    if ("([".includes(mark)) this.#depth++;
    else if (")]".includes(mark)) this.#depth--;
    this.#push("mark", mark === "**" ? "^" : mark === "==" ? "=" : mark);
  }

  /** A run of letters: a known name, words, or symbols of one letter. */
  #readLetters(): void {
    const run = this.#match(/[\p{L}]+/uy) ?? "";
    this.#at += run.length;
    const isUnit =
      this.#followsNumber() && isPlainUnit(run) && !/^\s*\(/.test(this.#text.slice(this.#at, this.#at + 9));
    const isScale = this.tokens.at(-1)?.text === "°" && /^[CF]$/.test(run);
    if (isUnit || isScale) this.#push("words", run);
    else if (run === "sqrt") this.#push("command", "plain sqrt");
    else if (PLAIN_NAMES.has(run)) this.#push("name", run);
    else if (run.length >= 4 || /^(and|or|no|yes|per)$/i.test(run) || this.#isHalfOfDay(run))
      this.#push("words", run);
    else for (const letter of run) this.#push("name", letter);
  }

  /** 10:30 AM */
  #isHalfOfDay(run: string): boolean {
    return /^[ap]m$/i.test(run) && this.#followsNumber() && this.tokens.at(-2)?.text === ":";
  }

  #followsNumber(): boolean {
    const last = this.tokens.at(-1);
    return last?.kind === "number" || last?.text === "}" || last?.text === ")";
  }

  #readCommand(): boolean {
    const name = this.#match(/\\(?:[A-Za-z]+|[^A-Za-z])/y)?.slice(1);
    if (name === undefined) return false;
    this.#at += name.length + 1;
    const mark = MARKS.get(name);
    if (mark !== undefined) {
      if (mark === "\\{") this.#depth++;
      else if (mark === "\\}") this.#depth--;
      this.#push("mark", mark);
    } else if (TEXT_COMMANDS.has(name)) return this.#readText();
    else if (NO_OUTPUT.has(name)) return this.#readArgument() !== undefined;
    else if (COMMANDS.has(name)) this.#push("command", ALIASES.get(name) ?? name);
    else if (name === "emptyset" || name === "varnothing") this.#push("words", "∅");
    else if (!STYLE_COMMANDS.has(name)) this.#push("name", name.replace(VARIANT, "$1"));
    return true;
  }

  #readArgument(): string | undefined {
    while (/\s|\*/.test(this.#text[this.#at] ?? "")) this.#at++;
    if (this.#text[this.#at] !== "{") return this.#text[this.#at++];
    const group = readGroup(this.#text, this.#at);
    if (group) this.#at = group.end;
    return group?.content;
  }

  /** A single letter is a symbol, what begins with a number or has no letters is mathematics; everything else is words. */
  #readText(): boolean {
    const content = this.#readArgument();
    if (content === undefined) return false;
    const text = content.replace(/(?<!\\)[${}]/g, "").trim();
    const last = this.tokens.at(-1);
    const isUnit = (last?.kind === "number" || last?.text === "°") && text !== "i" && text !== "e";
    if (/^(?:[-+(]|\\\$)*\s*\.?\d/.test(text) || /^[-+*/=<>:()|!%°]+$/.test(text))
      return this.#readInside(text);
    if (isUnit && (/^\p{L}$/u.test(text) || isPlainUnit(text))) this.#push("words", text);
    else if (/^\p{L}$/u.test(text) || PLAIN_NAMES.has(text)) this.#push("name", text);
    else if (text !== "") this.#push("words", text);
    else this.#isSpaced = true;
    return true;
  }

  /** Reads the content of \text as mathematics in its place. */
  #readInside(text: string): boolean {
    const inner = tokenise(text.replace(/[.,;\s]+$/, ""), { commasGroupDigits: true });
    if (inner) this.tokens.push(...inner);
    return inner !== undefined;
  }
}
