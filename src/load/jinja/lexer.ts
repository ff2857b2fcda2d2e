import { TemplateSyntaxError } from "./budget.ts";
import { isSpace, strip } from "./text.ts";

export type TokenKind =
  | "data"
  | "variable_begin"
  | "variable_end"
  | "block_begin"
  | "block_end"
  | "name"
  | "string"
  | "integer"
  | "float"
  | "operator"
  | "eof";

export interface Token {
  readonly kind: TokenKind;
  /** Text of data, names, operators, numbers and unescaped strings; "" for other kinds. */
  readonly text: string;
  /** Line in the template, from 1. */
  readonly line: number;
}

const S = "[\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";
const sticky = (source: string) => new RegExp(source, "uy");
const TAG = /\{[{%#]/g;
const RAW_BEGIN = sticky(`\\{%[-+]?${S}*raw${S}*(?:-%\\}${S}*|%\\})`);
const RAW_END = new RegExp(`\\{%([-+]?)${S}*endraw${S}*(?:\\+%\\}|-%\\}${S}*|%\\}\\n?)`, "gu");
const COMMENT_END = new RegExp(`\\+#\\}|-#\\}${S}*|#\\}\\n?`, "gu");
const BLOCK_END = sticky(`\\+%\\}|-%\\}${S}*|%\\}\\n?`);
const VARIABLE_END = sticky(`-\\}\\}${S}*|\\}\\}`);
const SPACE = sticky(`${S}+`);
const FLOAT = sticky(
  "(?<!\\.)(?:\\d+_)*\\d+(?:(?:\\.(?:\\d+_)*\\d+)?[eE][+-]?(?:\\d+_)*\\d+|\\.(?:\\d+_)*\\d+)",
);
const INTEGER = sticky(
  "0[bB](?:_?[01])+|0[oO](?:_?[0-7])+|0[xX](?:_?[\\da-fA-F])+|[1-9](?:_?\\d)*|0(?:_?0)*",
);
const NAME = sticky("[\\p{ID_Start}_][\\p{ID_Continue}]*");
const STRING = sticky("'(?:[^'\\\\]|\\\\[\\s\\S])*'|\"(?:[^\"\\\\]|\\\\[\\s\\S])*\"");
const OPERATOR = sticky("//|\\*\\*|==|!=|>=|<=|[-+/*%~[\\](){}<>=.:|,;]");
const CLOSER: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/**
 * Splits a template into tokens, as Jinja's lexer does with `trim_blocks` and `lstrip_blocks`. Line ends become "\n"; one
 * line end at the end of the template is dropped.
 * @throws TemplateSyntaxError
 */
export function tokenize(template: string): readonly Token[] {
  const lexer = new Lexer(template.replace(/\r\n|\r/g, "\n").replace(/\n$/, ""));
  return lexer.run();
}

class Lexer {
  readonly #source: string;
  readonly #tokens: Token[] = [];
  #position = 0;
  #line = 1;
  #isLineStart = true;

  constructor(source: string) {
    this.#source = source;
  }

  run(): readonly Token[] {
    while (this.#position < this.#source.length) {
      TAG.lastIndex = this.#position;
      const tag = TAG.exec(this.#source);
      if (!tag) {
        this.#data(this.#source.slice(this.#position));
        break;
      }
      this.#open(tag.index);
    }
    this.#push("eof", "");
    return this.#tokens;
  }

  #push(kind: TokenKind, text: string): void {
    this.#tokens.push({ kind, text, line: this.#line });
  }

  #fail(message: string): never {
    throw new TemplateSyntaxError(`line ${this.#line}: ${message}`);
  }

  #data(text: string): void {
    if (text !== "") this.#push("data", text);
  }

  /** Advances to `end`, counts lines, and records whether a line starts there. */
  #moveTo(end: number): void {
    for (let i = this.#position; i < end; i++) if (this.#source[i] === "\n") this.#line++;
    this.#isLineStart = this.#source[end - 1] === "\n";
    this.#position = end;
  }

  #match(rule: RegExp): string | undefined {
    rule.lastIndex = this.#position;
    return rule.exec(this.#source)?.[0];
  }

  /** Returns the text before a tag without the white space that the tag strips. */
  #before(text: string, sign: string, isVariable: boolean): string {
    if (sign === "-") return strip(text, undefined, false, true);
    if (sign === "+" || isVariable) return text;
    const start = text.lastIndexOf("\n") + 1;
    return (start > 0 || this.#isLineStart) && isSpace(text.slice(start)) ? text.slice(0, start) : text;
  }

  #open(index: number): void {
    const kind = this.#source[index + 1];
    const sign = this.#source[index + 2] ?? "";
    const hasSign = sign === "-" || sign === "+";
    const text = this.#source.slice(this.#position, index);
    this.#data(this.#before(text, hasSign ? sign : "", kind === "{"));
    this.#moveTo(index);
    const raw = kind === "%" ? this.#match(RAW_BEGIN) : undefined;
    if (raw !== undefined) {
      this.#raw(raw.length);
      return;
    }
    this.#moveTo(index + (hasSign ? 3 : 2));
    if (kind === "#") {
      this.#comment();
      return;
    }
    this.#push(kind === "{" ? "variable_begin" : "block_begin", "");
    this.#inside(kind === "{");
  }

  #raw(length: number): void {
    this.#moveTo(this.#position + length);
    RAW_END.lastIndex = this.#position;
    const end = RAW_END.exec(this.#source);
    if (!end) this.#fail("Missing end of raw directive");
    this.#data(this.#before(this.#source.slice(this.#position, end.index), end[1] ?? "", false));
    this.#moveTo(end.index + end[0].length);
  }

  #comment(): void {
    COMMENT_END.lastIndex = this.#position;
    const end = COMMENT_END.exec(this.#source);
    if (!end) this.#fail("Missing end of comment tag");
    this.#moveTo(end.index + end[0].length);
  }

  #inside(isVariable: boolean): void {
    const open: string[] = [];
    while (this.#position < this.#source.length) {
      const end = open.length === 0 ? this.#match(isVariable ? VARIABLE_END : BLOCK_END) : undefined;
      if (end !== undefined) {
        this.#push(isVariable ? "variable_end" : "block_end", "");
        this.#moveTo(this.#position + end.length);
        return;
      }
      this.#expressionToken(open);
    }
  }

  #expressionToken(open: string[]): void {
    const space = this.#match(SPACE);
    if (space !== undefined) {
      this.#moveTo(this.#position + space.length);
      return;
    }
    for (const [kind, rule] of RULES) {
      const text = this.#match(rule);
      if (text === undefined) continue;
      if (kind === "operator") this.#balance(text, open);
      this.#push(kind, kind === "string" ? readEscapes(text) : text);
      this.#moveTo(this.#position + text.length);
      return;
    }
    this.#fail(`unexpected char '${this.#source[this.#position]}'`);
  }

  #balance(text: string, open: string[]): void {
    const closer = CLOSER[text];
    if (closer !== undefined) open.push(closer);
    if (text !== ")" && text !== "]" && text !== "}") return;
    const expected = open.pop();
    if (expected === undefined) this.#fail(`unexpected '${text}'`);
    if (expected !== text) this.#fail(`unexpected '${text}', expected '${expected}'`);
  }
}

const RULES: readonly (readonly [TokenKind, RegExp])[] = [
  ["float", FLOAT],
  ["integer", INTEGER],
  ["name", NAME],
  ["string", STRING],
  ["operator", OPERATOR],
];

const SIMPLE: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** Decodes a string literal with Python's `unicode-escape` rules. */
function readEscapes(literal: string): string {
  const pattern = /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/gu;
  return literal.slice(1, -1).replace(pattern, (whole, x, u, wide, octal, one) => {
    const hex: string | undefined = x ?? u ?? wide;
    if (hex !== undefined) return fromCode(Number.parseInt(hex, 16));
    if (octal !== undefined) return fromCode(Number.parseInt(octal, 8));
    if (one === "x" || one === "u" || one === "U" || one === "N")
      throw new TemplateSyntaxError(
        `the string ${literal.slice(0, 80)} has an escape \\${one} that is cut or unknown`,
      );
    return SIMPLE[one] ?? whole;
  });
}

function fromCode(code: number): string {
  if (code > 0x10ffff) throw new TemplateSyntaxError("a string has an escape beyond U+10FFFF");
  return String.fromCodePoint(code);
}
