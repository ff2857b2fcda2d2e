/** A place in a list of tokens, and what stands there. */
import type { Token } from "./tokens.ts";

/** Thrown inside the parser of expressions alone. */
export class NotAnExpression extends Error {}

export class TokenCursor {
  #tokens: readonly Token[];
  #at = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#tokens.length;
  }

  peek(ahead = 0): Token | undefined {
    return this.#tokens[this.#at + ahead];
  }

  next(): Token | undefined {
    return this.#tokens[this.#at++];
  }

  skip(count: number): void {
    this.#at += count;
  }

  isMark(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token?.kind === "mark" && token.text === text;
  }

  isCommand(text: string, ahead = 0): boolean {
    const token = this.peek(ahead);
    return token?.kind === "command" && token.text === text;
  }

  take(mark: string): boolean {
    if (!this.isMark(mark)) return false;
    this.#at++;
    return true;
  }

  /** Takes one of several marks; undefined if none is next. */
  takeOne(marks: readonly string[]): string | undefined {
    return marks.find((mark) => this.take(mark));
  }

  expect(mark: string): void {
    if (!this.take(mark)) throw new NotAnExpression(`expected ${mark}`);
  }

  /** Takes the first digit of the number that is next: \frac12 has the arguments 1 and 2. */
  takeDigit(): string {
    const token = this.peek();
    if (token === undefined) return "";
    if (token.text.length <= 1) this.#at++;
    else this.#tokens = this.#tokens.with(this.#at, { ...token, text: token.text.slice(1), isSpaced: false });
    return token.text.slice(0, 1);
  }

  /** The text of a group in braces, or of the next token. */
  takeText(): string {
    if (!this.take("{")) return this.next()?.text ?? "";
    let text = "";
    while (!this.isAtEnd && !this.isMark("}")) text += this.next()?.text;
    this.expect("}");
    return text;
  }
}
