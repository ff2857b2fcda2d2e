/** Tokens to an expression: a parser of recursive descent with limits on depth and size. */
import { type Expression, type FunctionName, negated } from "./expression.ts";
import { PLAIN_FUNCTIONS } from "./notation.ts";
import { integer } from "./rational.ts";
import { NotAnExpression, TokenCursor } from "./token-cursor.ts";
import type { Token } from "./tokens.ts";
import { based, numberOf, readBase, readNumber, writtenNumber } from "./written-numbers.ts";

const MAX_DEPTH = 60;
const MAX_PARTS = 1500;

const FUNCTIONS: ReadonlyMap<string, FunctionName> = new Map<string, FunctionName>([
  ...PLAIN_FUNCTIONS.map((name) => [name, name] as const),
  ["lg", "log"],
  ["det", "determinant"],
  ["ceil", "ceiling"],
]);
const INVERSES: Readonly<Partial<Record<FunctionName, FunctionName>>> = {
  sin: "arcsin",
  cos: "arccos",
  tan: "arctan",
};
const SIGNS = ["+", "-", "±", "∓"];
const TAKES_MANY: readonly FunctionName[] = ["min", "max", "gcd", "lcm"];
const CONSTANTS: ReadonlyMap<string, "pi" | "e" | "i" | "infinity"> = new Map([
  ["pi", "pi"],
  ["e", "e"],
  ["i", "i"],
  ["infty", "infinity"],
  ["infinity", "infinity"],
  ["inf", "infinity"],
]);
const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}", "\\{": "\\}" };
const BARS: Readonly<Record<string, { close: string; name: FunctionName }>> = {
  "|": { close: "|", name: "abs" },
  "⌊": { close: "⌋", name: "floor" },
  "⌈": { close: "⌉", name: "ceiling" },
};

/** Reads all tokens as one expression; undefined if they are none. */
export function parseExpression(tokens: readonly Token[]): Expression | undefined {
  if (tokens.length === 0) return undefined;
  const parser = new ExpressionParser(tokens);
  try {
    return parser.parseAll();
  } catch (error) {
    if (error instanceof NotAnExpression) return undefined;
    throw error;
  }
}

class ExpressionParser {
  readonly #tokens: TokenCursor;
  #depth = 0;
  #parts = 0;
  #openBars = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = new TokenCursor(tokens);
  }

  parseAll(): Expression {
    const expression = this.#fraction();
    if (!this.#tokens.isAtEnd) throw new NotAnExpression("tokens are left");
    return expression;
  }

  /** a \over b and n \choose k reach from bracket to bracket. */
  #fraction(): Expression {
    const top = this.#sum();
    if (this.#tokens.take("over")) return { kind: "quotient", top, bottom: this.#sum() };
    if (this.#tokens.take("choose")) return { kind: "call", name: "binomial", args: [top, this.#sum()] };
    return top;
  }

  #sum(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new NotAnExpression("nested too deeply");
    const terms: Expression[] = [];
    let isFirst = true;
    for (;;) {
      const sign = this.#tokens.takeOne(SIGNS);
      if (sign === undefined && !isFirst) break;
      terms.push(this.#signed(sign, () => this.#product()));
      isFirst = false;
      if (!SIGNS.some((mark) => this.#tokens.isMark(mark))) break;
    }
    this.#depth--;
    const [only] = terms;
    return terms.length === 1 && only ? only : { kind: "sum", terms };
  }

  #signed(sign: string | undefined, read: () => Expression): Expression {
    if (sign !== undefined && SIGNS.some((mark) => this.#tokens.isMark(mark))) {
      if (++this.#depth > MAX_DEPTH) throw new NotAnExpression("too many signs");
      const next = this.#tokens.next()?.text;
      const inner = this.#signed(next, read);
      this.#depth--;
      return this.#applySign(sign, inner);
    }
    return this.#applySign(sign, read());
  }

  #applySign(sign: string | undefined, operand: Expression): Expression {
    if (sign === "-") return negated(operand);
    if (sign === "±" || sign === "∓") return { kind: "either-sign", sign: sign === "±" ? 1 : -1, operand };
    return operand;
  }

  #product(): Expression {
    let factors: Expression[] = [this.#power()];
    const combined = (): Expression => {
      const [only] = factors;
      return factors.length === 1 && only ? only : { kind: "product", factors };
    };
    for (;;) {
      if (this.#tokens.take("*")) factors.push(this.#signedPower());
      else if (this.#tokens.take("/")) {
        const bottom = this.#signedPower();
        factors = [{ kind: "quotient", top: combined(), bottom }];
      } else if (this.#startsFactor()) factors.push(this.#power());
      else return combined();
    }
  }

  #signedPower(): Expression {
    const sign = this.#tokens.takeOne(SIGNS);
    return this.#signed(sign, () => this.#power());
  }

  #startsFactor(): boolean {
    const token = this.#tokens.peek();
    if (!token) return false;
    if (token.kind === "mark") {
      const isBar = token.text === "|" && this.#openBars === 0;
      return isBar || ["(", "[", "{", "\\{", "⌊", "⌈"].includes(token.text);
    }
    return token.kind !== "words" && !(token.kind === "command" && token.text === "end");
  }

  #power(): Expression {
    const base = this.#postfix(this.#primary());
    if (!this.#tokens.take("^")) return base;
    const exponent = this.#script();
    const result: Expression = { kind: "power", base, exponent };
    return this.#postfix(result);
  }

  #postfix(operand: Expression): Expression {
    let result = operand;
    for (;;) {
      if (this.#tokens.take("!")) result = { kind: "call", name: "factorial", args: [result] };
      else if (this.#tokens.take("%")) result = { kind: "call", name: "percent", args: [result] };
      else if (this.#tokens.take("°")) result = { kind: "call", name: "degrees", args: [result] };
      else return result;
      if (++this.#parts > MAX_PARTS) throw new NotAnExpression("too many parts");
    }
  }

  /** What follows ^ or _: a group, or one signed number, symbol or command. */
  #script(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new NotAnExpression("nested too deeply");
    const sign = this.#tokens.takeOne(["+", "-"]);
    const primary = this.#primary();
    const inner = this.#tokens.isMark("^") && sign === undefined ? this.#chainedPower(primary) : primary;
    this.#depth--;
    return this.#applySign(sign, inner);
  }

  /** a^b^c, which plain text reads from the right. */
  #chainedPower(base: Expression): Expression {
    this.#tokens.expect("^");
    return { kind: "power", base, exponent: this.#script() };
  }

  #primary(): Expression {
    const token = this.#tokens.peek();
    if (!token || ++this.#parts > MAX_PARTS) throw new NotAnExpression("no operand");
    this.#tokens.next();
    switch (token.kind) {
      case "number":
        return readNumber(this.#tokens, token.text);
      case "name":
        return this.#name(token.text);
      case "command":
        return this.#command(token.text);
      case "mark":
        return this.#bracketed(token.text);
      default:
        throw new NotAnExpression("words");
    }
  }

  #bracketed(open: string): Expression {
    const bars = BARS[open];
    if (bars) {
      if (open === "|") this.#openBars++;
      const inner = this.#sum();
      this.#tokens.expect(bars.close);
      if (open === "|") this.#openBars--;
      return { kind: "call", name: bars.name, args: [inner] };
    }
    const close = CLOSING[open];
    if (close === undefined) throw new NotAnExpression(`no operand begins with ${open}`);
    const saved = this.#openBars;
    this.#openBars = 0;
    const inner = this.#fraction();
    this.#openBars = saved;
    this.#tokens.expect(close);
    return this.#withBase(inner, open) ?? inner;
  }

  /** (1011)_2; undefined where no index follows a whole number in brackets. */
  #withBase(inner: Expression, open: string): Expression | undefined {
    const isWhole = inner.kind === "number" && inner.places === undefined && inner.value.denominator === 1n;
    if (!isWhole || (open !== "(" && open !== "{") || !this.#tokens.take("_")) return undefined;
    return based(String(inner.value.numerator), readBase(this.#tokens));
  }

  /** The argument of a command: a group, or the next single digit, symbol or command. */
  #argument(): Expression {
    return this.#tokens.peek()?.kind === "number" ? writtenNumber(this.#tokens.takeDigit()) : this.#primary();
  }

  #command(name: string): Expression {
    if (name === "frac") return { kind: "quotient", top: this.#argument(), bottom: this.#argument() };
    if (name === "binom")
      return { kind: "call", name: "binomial", args: [this.#argument(), this.#argument()] };
    if (name === "sqrt" || name === "plain sqrt") return this.#root(name === "sqrt");
    if (name === "dot") return { kind: "symbol", name: `dot ${this.#tokens.takeText()}` };
    if (name === "overline") return { kind: "symbol", name: `overline ${this.#tokens.takeText()}` };
    if (name === "mathbb") return { kind: "symbol", name: `set ${this.#tokens.takeText()}` };
    if (name === "angle") return this.#postfix(this.#primary());
    throw new NotAnExpression(`\\${name}`);
  }

  /** √13 is the root of 13, but \sqrt13 is set as √1 3 and meant as another number: it is no expression. */
  #root(isLatex: boolean): Expression {
    const degree = this.#tokens.isMark("[") ? this.#bracketedDegree() : undefined;
    const next = this.#tokens.peek();
    if (isLatex && next?.kind === "number" && next.text.length > 1) throw new NotAnExpression("no braces");
    const radicand = this.#primary();
    return degree === undefined
      ? { kind: "call", name: "sqrt", args: [radicand] }
      : { kind: "call", name: "root", args: [radicand, degree] };
  }

  #bracketedDegree(): Expression {
    this.#tokens.next();
    return this.#bracketed("[");
  }

  #name(name: string): Expression {
    if (name === "cis") return this.#direction();
    const called = FUNCTIONS.get(name);
    if (called !== undefined) return this.#call(called);
    const constant = CONSTANTS.get(name);
    const isIndexed = this.#tokens.isMark("_");
    if (constant !== undefined && !isIndexed) return { kind: "constant", name: constant };
    let full = name;
    if (this.#tokens.take("_")) full += `_${this.#tokens.takeText()}`;
    while (this.#tokens.take("'")) full += "'";
    return { kind: "symbol", name: full };
  }

  /** cis θ is cos θ + i sin θ. */
  #direction(): Expression {
    const args = this.#arguments("cos");
    const sine: Expression = { kind: "call", name: "sin", args };
    const imaginary: Expression = { kind: "product", factors: [{ kind: "constant", name: "i" }, sine] };
    return { kind: "sum", terms: [{ kind: "call", name: "cos", args }, imaginary] };
  }

  /** sin^2 x, log_2 8, ln(x+1), sin 2x: an argument without brackets ends before + and before another function. */
  #call(name: FunctionName): Expression {
    let base: Expression | undefined;
    let exponent: Expression | undefined;
    for (;;) {
      if (base === undefined && this.#tokens.take("_")) base = this.#script();
      else if (exponent === undefined && this.#tokens.take("^")) exponent = this.#script();
      else break;
    }
    const isInverse =
      exponent?.kind === "number" && exponent.value.numerator === -1n && exponent.value.denominator === 1n;
    const inverse = isInverse ? INVERSES[name] : undefined;
    const args = this.#arguments(name);
    if (name === "log") args.push(base ?? numberOf(integer(10)));
    const call: Expression = { kind: "call", name: inverse ?? name, args };
    return exponent === undefined || inverse !== undefined ? call : { kind: "power", base: call, exponent };
  }

  #arguments(name: FunctionName): Expression[] {
    const open = this.#tokens.peek()?.text ?? "";
    const close = this.#tokens.peek()?.kind === "mark" ? CLOSING[open] : undefined;
    if (close !== undefined && TAKES_MANY.includes(name)) {
      this.#tokens.next();
      const args = [this.#sum()];
      while (this.#tokens.take(",")) args.push(this.#sum());
      this.#tokens.expect(close);
      return args;
    }
    if (close !== undefined) return [this.#primary()];
    if (++this.#depth > MAX_DEPTH) throw new NotAnExpression("nested too deeply");
    const factors = [this.#signedPower()];
    while (this.#startsFactor() && !this.#startsFunction() && !this.#tokens.isMark("("))
      factors.push(this.#power());
    this.#depth--;
    const [only] = factors;
    return [factors.length === 1 && only ? only : { kind: "product", factors }];
  }

  #startsFunction(): boolean {
    const token = this.#tokens.peek();
    return token?.kind === "name" && FUNCTIONS.has(token.text);
  }
}
