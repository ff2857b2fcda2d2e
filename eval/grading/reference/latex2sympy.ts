/**
 * LaTeX as the Python package latex2sympy2 1.9 reads it, as far as answers need it: i is a symbol, e is Euler's number, a product
 * without a sign binds more tightly than a fraction stroke, log is to base 10, and commands end before the letters that follow.
 */
import { type Expression, type FunctionName, negated } from "../expression.ts";
import { fromDecimal, integer } from "../rational.ts";

/** An expression, or several with relations or commas between them. */
export interface LatexResult {
  readonly sides: readonly Expression[];
  readonly relations: readonly string[];
}

class SyntaxFault extends Error {}

const MAX_DEPTH = 60;
const FUNCTIONS: ReadonlyMap<string, FunctionName> = new Map<string, FunctionName>([
  ["\\exp", "exp"],
  ["\\ln", "ln"],
  ["\\log", "log"],
  ["\\sin", "sin"],
  ["\\cos", "cos"],
  ["\\tan", "tan"],
  ["\\csc", "csc"],
  ["\\sec", "sec"],
  ["\\cot", "cot"],
  ["\\arcsin", "arcsin"],
  ["\\arccos", "arccos"],
  ["\\arctan", "arctan"],
  ["\\sinh", "sinh"],
  ["\\cosh", "cosh"],
  ["\\tanh", "tanh"],
]);
const INVERSES: Readonly<Partial<Record<FunctionName, FunctionName>>> = {
  sin: "arcsin",
  cos: "arccos",
  tan: "arctan",
};
const RELATIONS = ["=", "<", ">", "\\le", "\\leq", "\\ge", "\\geq", "\\ne", "\\neq"];
const TIMES = ["*", "\\times", "\\cdot"];
const OVER = ["/", "\\div", ":"];
const CLOSING: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };
const GREEK =
  "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega Gamma " +
  "Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega";
const COMMANDS = [
  ...FUNCTIONS.keys(),
  ...RELATIONS.filter((name) => name.startsWith("\\")),
  ...[
    "times",
    "cdot",
    "div",
    "pi",
    "infty",
    "frac",
    "dfrac",
    "tfrac",
    "sqrt",
    "binom",
    "dbinom",
    "tbinom",
  ].map((name) => `\\${name}`),
  ...["lfloor", "rfloor", "lceil", "rceil", "emptyset", "angle", ...GREEK.split(" ")].map(
    (name) => `\\${name}`,
  ),
].sort((a, b) => b.length - a.length);
const SKIPPED = /^(?:\\[,:;!]|\\(?:quad|qquad)|\s+)/;
/** What begins with one of these after an expression is ignored. */
const IGNORED_REST = /^(?:[)\]}.&_]|'+)$/;
/** A capital E is no letter there. */
const TOKEN = new RegExp(
  `^(?:${COMMANDS.map((name) => `\\${name}`).join("|")}|\\\\(?:mathbb|text)\\{[^{}]*\\}|\\d+|[a-zA-DF-Z]|'+|[-+*/()[\\]{}|_^:=<>!,.&])`,
);

/** Reads a text; undefined where latex2sympy2 raises an error. */
export function readLatex(text: string): LatexResult | undefined {
  try {
    return new LatexReader(text).read();
  } catch (error) {
    if (error instanceof SyntaxFault) return undefined;
    throw error;
  }
}

class LatexReader {
  #rest: string;
  #token: string | undefined;
  #depth = 0;

  constructor(text: string) {
    this.#rest = text;
    this.#advance();
  }

  read(): LatexResult {
    const sides = [this.#additive()];
    const relations: string[] = [];
    while (this.#token !== undefined && [",", ...RELATIONS].includes(this.#token)) {
      relations.push(this.#advance().replace(/(?<=\\(?:[lg]|n)e)q/, ""));
      sides.push(this.#additive());
    }
    if (this.#token !== undefined && !IGNORED_REST.test(this.#token))
      throw new SyntaxFault("tokens are left");
    return { sides, relations };
  }

  /** Takes the current token and reads the next; a character that is no token is a fault when it is reached. */
  #advance(): string {
    const taken = this.#token ?? "";
    for (let skipped = SKIPPED.exec(this.#rest); skipped; skipped = SKIPPED.exec(this.#rest)) {
      this.#rest = this.#rest.slice(skipped[0].length);
    }
    const next = TOKEN.exec(this.#rest)?.[0];
    if (next === undefined && this.#rest !== "") throw new SyntaxFault("no token");
    this.#token = next;
    this.#rest = this.#rest.slice(next?.length ?? 0);
    return taken;
  }

  #take(token: string): boolean {
    if (this.#token !== token) return false;
    this.#advance();
    return true;
  }

  #expect(token: string): void {
    if (!this.#take(token)) throw new SyntaxFault(`expected ${token}`);
  }

  #additive(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new SyntaxFault("too deep");
    const terms = [this.#product()];
    for (;;) {
      if (this.#take("+")) terms.push(this.#product());
      else if (this.#take("-")) terms.push(negated(this.#product()));
      else break;
    }
    this.#depth--;
    const [only] = terms;
    return only && terms.length === 1 ? only : { kind: "sum", terms };
  }

  #product(isInFunction = false): Expression {
    let left = this.#unary(isInFunction);
    for (;;) {
      if (this.#token !== undefined && TIMES.includes(this.#token)) {
        this.#advance();
        left = { kind: "product", factors: [left, this.#unary(isInFunction)] };
      } else if (this.#token !== undefined && OVER.includes(this.#token)) {
        this.#advance();
        left = { kind: "quotient", top: left, bottom: this.#unary(isInFunction) };
      } else return left;
    }
  }

  #unary(isInFunction: boolean): Expression {
    if (++this.#depth > MAX_DEPTH) throw new SyntaxFault("too deep");
    let result: Expression;
    if (this.#take("+")) result = this.#unary(isInFunction);
    else if (this.#take("-")) result = negated(this.#unary(isInFunction));
    else {
      const factors = [this.#postfix()];
      while (this.#startsFactor(isInFunction)) factors.push(this.#postfix());
      const [only] = factors;
      result = only && factors.length === 1 ? only : { kind: "product", factors };
    }
    this.#depth--;
    return result;
  }

  #startsFactor(isInFunction: boolean): boolean {
    const token = this.#token;
    if (token === undefined || RELATIONS.includes(token) || TIMES.includes(token) || OVER.includes(token))
      return false;
    if (FUNCTIONS.has(token) || token === "\\sqrt") return !isInFunction;
    return /^(?:\d|[a-zA-Z]|\\[a-zA-Z]|[([{])/.test(token) && !["\\rfloor", "\\rceil"].includes(token);
  }

  #postfix(): Expression {
    let result = this.#power();
    while (this.#take("!")) result = { kind: "call", name: "factorial", args: [result] };
    return result;
  }

  #power(): Expression {
    let base = this.#component();
    while (this.#take("^")) base = { kind: "power", base, exponent: this.#script() };
    return base;
  }

  /** After ^ or _: a group in braces or one atom. */
  #script(): Expression {
    if (!this.#take("{")) return this.#atom();
    const inner = this.#additive();
    this.#expect("}");
    return inner;
  }

  #component(): Expression {
    const token = this.#token ?? "";
    const close = CLOSING[token];
    if (close !== undefined) {
      this.#advance();
      const inner = this.#additive();
      this.#expect(close);
      return inner;
    }
    if (token === "|") return this.#between("abs", "|");
    if (token === "\\lfloor") return this.#between("floor", "\\rfloor");
    if (token === "\\lceil") return this.#between("ceiling", "\\rceil");
    const called = FUNCTIONS.get(token);
    if (called !== undefined) return this.#call(called);
    return token === "\\sqrt" ? this.#root() : this.#atom();
  }

  #between(name: FunctionName, close: string): Expression {
    this.#advance();
    const inner = this.#additive();
    this.#expect(close);
    return { kind: "call", name, args: [inner] };
  }

  #root(): Expression {
    this.#advance();
    const degree = this.#take("[") ? this.#additive() : undefined;
    if (degree) this.#expect("]");
    this.#expect("{");
    const radicand = this.#additive();
    this.#expect("}");
    return degree
      ? { kind: "call", name: "root", args: [radicand, degree] }
      : { kind: "call", name: "sqrt", args: [radicand] };
  }

  #call(name: FunctionName): Expression {
    this.#advance();
    let base: Expression | undefined;
    let exponent: Expression | undefined;
    for (;;) {
      if (base === undefined && this.#take("_")) base = this.#script();
      else if (exponent === undefined && this.#take("^")) exponent = this.#script();
      else break;
    }
    let argument: Expression;
    if (this.#take("(")) {
      argument = this.#additive();
      this.#expect(")");
    } else argument = this.#product(true);
    const isInverse =
      exponent?.kind === "product" || (exponent?.kind === "number" && exponent.value.numerator === -1n);
    const inverse = isInverse ? INVERSES[name] : undefined;
    const args = name === "log" ? [argument, base ?? TEN] : [argument];
    const call: Expression = { kind: "call", name: inverse ?? name, args };
    return exponent === undefined || inverse !== undefined ? call : { kind: "power", base: call, exponent };
  }

  #atom(): Expression {
    const token = this.#token ?? "";
    if (/^\d/.test(token)) return this.#number();
    if (/^\\[dt]?frac$/.test(token)) return this.#fraction();
    if (/^\\[dt]?binom$/.test(token)) {
      this.#advance();
      return { kind: "call", name: "binomial", args: [this.#braced(), this.#braced()] };
    }
    if (!/^\\?[a-zA-Z]/.test(token) || UNUSABLE.includes(token)) throw new SyntaxFault(`no atom: ${token}`);
    this.#advance();
    if (token === "\\infty") return { kind: "constant", name: "infinity" };
    if (token === "\\pi") return { kind: "constant", name: "pi" };
    let name = token.replace(/^\\/, "");
    if (this.#take("_")) name += `_${JSON.stringify(this.#script(), spell)}`;
    if (/^'+$/.test(this.#token ?? "")) this.#advance();
    return name === "e" ? { kind: "constant", name: "e" } : { kind: "symbol", name };
  }

  #braced(): Expression {
    this.#expect("{");
    const inner = this.#additive();
    this.#expect("}");
    return inner;
  }

  #fraction(): Expression {
    this.#advance();
    const part = (): Expression => {
      const digits = this.#token ?? "";
      if (!/^\d/.test(digits)) return this.#braced();
      this.#rest = digits.slice(1) + this.#rest;
      this.#advance();
      return { kind: "number", value: integer(Number(digits[0])) };
    };
    return { kind: "quotient", top: part(), bottom: part() };
  }

  /** Digits, with commas before three of them and with a point. */
  #number(): Expression {
    let text = this.#advance();
    while (this.#token === "," && /^\d{3}(?!\d)/.test(this.#rest)) {
      this.#advance();
      text += this.#advance();
    }
    if (this.#token === "." && /^\d/.test(this.#rest)) {
      this.#advance();
      text += `.${this.#advance()}`;
    }
    const value = fromDecimal(text);
    if (!value) throw new SyntaxFault("a number is too long");
    return { kind: "number", value };
  }
}

const UNUSABLE = ["\\rfloor", "\\rceil", "\\times", "\\cdot", "\\div", ...RELATIONS];
const TEN: Expression = { kind: "number", value: integer(10) };

function spell(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
