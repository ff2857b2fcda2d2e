/**
 * Texts that Python itself can read, as SymPy's parse_expr evaluates them: 2*x, 1/2, f(x), (1,2), {1,2}, x > 2.
 * "^" is Python's exclusive or, as it is there: 2^10 is 8, and x^2 an error.
 */
import { evaluateExactly, noSymbols } from "../evaluate-exact.ts";
import { type Expression, type FunctionName, negated } from "../expression.ts";
import { fromDecimal, integer, isInteger } from "../rational.ts";
import { Work } from "../work.ts";

export type PythonValue =
  | { readonly kind: "expression"; readonly expression: Expression }
  | { readonly kind: "tuple" | "list" | "set"; readonly items: readonly Expression[] }
  | { readonly kind: "relation"; readonly sides: readonly Expression[]; readonly relation: string };

class PythonFault extends Error {}

const TOKEN = /^(?:\d[\d_]*\.?\d*(?:[eE][-+]?\d+)?|\.\d+|[A-Za-z]\w*|\*\*|[<>]=?|[-+*/^()[\]{},!])/;
const FUNCTIONS: ReadonlyMap<string, FunctionName> = new Map<string, FunctionName>([
  ["sqrt", "sqrt"],
  ["exp", "exp"],
  ["log", "ln"],
  ["ln", "ln"],
  ["sin", "sin"],
  ["cos", "cos"],
  ["tan", "tan"],
  ["Abs", "abs"],
  ["factorial", "factorial"],
]);
const BRACKETS: Readonly<Record<string, { close: string; kind: "tuple" | "list" | "set" }>> = {
  "(": { close: ")", kind: "tuple" },
  "[": { close: "]", kind: "list" },
  "{": { close: "}", kind: "set" },
};
const MAX_DEPTH = 60;

/** Reads a text; undefined where Python or SymPy raises an error. */
export function readPython(text: string): PythonValue | undefined {
  if (/\\/.test(text)) return undefined;
  try {
    return new PythonReader(text).read();
  } catch (error) {
    if (error instanceof PythonFault) return undefined;
    throw error;
  }
}

class PythonReader {
  readonly #tokens: string[] = [];
  #at = 0;
  #depth = 0;

  constructor(text: string) {
    for (let rest = text.trim(); rest !== ""; rest = rest.trimStart()) {
      const token = TOKEN.exec(rest)?.[0];
      if (token === undefined) throw new PythonFault("no token");
      this.#tokens.push(token);
      rest = rest.slice(token.length);
    }
  }

  read(): PythonValue {
    const bracket = BRACKETS[this.#tokens[0] ?? ""];
    const start = this.#at;
    if (bracket) {
      this.#at++;
      const items = this.#items(bracket.close);
      const isCollection = bracket.kind !== "tuple" || items.length !== 1;
      if (this.#take(bracket.close) && this.#isAtEnd && isCollection) return { kind: bracket.kind, items };
      this.#at = start;
    }
    const first = this.#xor();
    const relation = /^[<>]/.test(this.#tokens[this.#at] ?? "")
      ? (this.#tokens[this.#at++] ?? "")
      : undefined;
    if (relation !== undefined) return { kind: "relation", sides: [first, this.#last()], relation };
    if (this.#isAtEnd) return { kind: "expression", expression: first };
    if (!this.#take(",")) throw new PythonFault("tokens are left");
    const items = [first, ...this.#items("")];
    if (!this.#isAtEnd) throw new PythonFault("tokens are left");
    return { kind: "tuple", items };
  }

  get #isAtEnd(): boolean {
    return this.#at >= this.#tokens.length;
  }

  #last(): Expression {
    const side = this.#xor();
    if (!this.#isAtEnd) throw new PythonFault("tokens are left");
    return side;
  }

  #take(token: string): boolean {
    if (this.#tokens[this.#at] !== token) return false;
    this.#at++;
    return true;
  }

  #items(close: string): readonly Expression[] {
    const items: Expression[] = [];
    while (!this.#isAtEnd && this.#tokens[this.#at] !== close) {
      items.push(this.#xor());
      if (!this.#take(",")) break;
    }
    return items;
  }

  /** The weakest operator, of whole numbers or of two names. */
  #xor(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new PythonFault("too deep");
    let left = this.#sum();
    while (this.#take("^")) left = xorOf(left, this.#sum());
    this.#depth--;
    return left;
  }

  #sum(): Expression {
    let left = this.#product();
    for (;;) {
      if (this.#take("+")) left = { kind: "sum", terms: [left, this.#product()] };
      else if (this.#take("-")) left = { kind: "sum", terms: [left, negated(this.#product())] };
      else return left;
    }
  }

  #product(): Expression {
    let left = this.#signed();
    for (;;) {
      if (this.#take("*")) left = { kind: "product", factors: [left, this.#signed()] };
      else if (this.#take("/")) left = { kind: "quotient", top: left, bottom: this.#signed() };
      else return left;
    }
  }

  #signed(): Expression {
    if (++this.#depth > MAX_DEPTH) throw new PythonFault("too deep");
    let result: Expression;
    if (this.#take("-")) result = negated(this.#signed());
    else if (this.#take("+")) result = this.#signed();
    else {
      const base = this.#postfix();
      result = this.#take("**") ? { kind: "power", base, exponent: this.#signed() } : base;
    }
    this.#depth--;
    return result;
  }

  #postfix(): Expression {
    let result = this.#atom();
    while (this.#take("!")) result = { kind: "call", name: "factorial", args: [result] };
    return result;
  }

  #atom(): Expression {
    const token = this.#tokens[this.#at++] ?? "";
    if (/^[\d.]/.test(token)) return numberOf(token);
    if (token === "(") {
      const inner = this.#xor();
      if (!this.#take(")")) throw new PythonFault("expected )");
      return inner;
    }
    if (!/^[A-Za-z]/.test(token)) throw new PythonFault("no atom");
    if (this.#take("(")) {
      const args = this.#items(")");
      if (!this.#take(")") || args.length === 0) throw new PythonFault("expected )");
      const known = FUNCTIONS.get(token);
      return known
        ? { kind: "call", name: known, args }
        : { kind: "symbol", name: `${token}(${JSON.stringify(args, spell)})` };
    }
    if (token === "E") return { kind: "constant", name: "e" };
    if (token === "I") return { kind: "constant", name: "i" };
    return token === "pi" ? { kind: "constant", name: "pi" } : { kind: "symbol", name: token };
  }
}

/** Python's numbers: 1_000 is one, 007 is an error. */
function numberOf(token: string): Expression {
  if (/^0\d/.test(token) || /_$|__|_\./.test(token)) throw new PythonFault("no number");
  const [digits = "", exponent] = token.replaceAll("_", "").toLowerCase().split("e");
  const value = fromDecimal(digits);
  if (!value) throw new PythonFault("a number is too long");
  const number: Expression = { kind: "number", value };
  if (exponent === undefined) return number;
  const ten: Expression = { kind: "number", value: integer(10) };
  const scale: Expression = {
    kind: "power",
    base: ten,
    exponent: { kind: "number", value: integer(Number(exponent)) },
  };
  return { kind: "product", factors: [number, scale] };
}

function xorOf(left: Expression, right: Expression): Expression {
  if (left.kind === "symbol" && right.kind === "symbol")
    return { kind: "symbol", name: `${left.name} xor ${right.name}` };
  const point = noSymbols(new Work());
  const [a, b] = [evaluateExactly(left, point), evaluateExactly(right, point)];
  if (!a || !b || !isInteger(a) || !isInteger(b)) throw new PythonFault("unsupported operand types");
  return { kind: "number", value: integer(a.numerator ^ b.numerator) };
}

function spell(_key: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString() : value;
}
