/**
 * Constant expressions of WGSL, as the shader compiler would evaluate them: typed, integers of 32 bits, and no operators
 * side by side that WGSL wants in parentheses. What is not known here is refused.
 */

/** Numbers without a suffix are abstract: they take the type of the operand beside them. */
export type ConstantType = "u32" | "i32" | "f32" | "bool" | "abstract-int" | "abstract-float";

export interface ConstantValue {
  readonly type: ConstantType;
  /** 0 or 1 for a bool. */
  readonly value: number;
}

/** Ends the evaluation with an error that names the place. */
export type Fail = (problem: string) => never;

const TOKEN =
  /\s*(?:(0[xX](?:[\da-fA-F]+\.?[\da-fA-F]*|\.[\da-fA-F]+)(?:[pP][+-]?\d+[fh]?|[ui])?|(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?[fhui]?)|([A-Za-z_]\w*)|(<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%<>!~&|^(),]))/y;
const COMPARISONS = ["<", "<=", ">", ">=", "==", "!="];
const INTEGERS: readonly ConstantType[] = ["u32", "i32", "abstract-int"];

/** The value of an expression. names: constants declared before it. */
export function evaluate(text: string, names: ReadonlyMap<string, ConstantValue>, fail: Fail): ConstantValue {
  return new Expression(tokensOf(text, fail), names, fail).value();
}

/** The value as a constant declared with `type` holds it. */
export function convert({ type, value }: ConstantValue, to: ConstantType, fail: Fail): ConstantValue {
  if (type === to) return { type, value };
  if (type === "abstract-int" && to === "abstract-float") return { type: to, value };
  if ((type === "abstract-int" || type === "abstract-float") && to === "f32") return float32(value, fail);
  const isInRange = to === "u32" ? value === value >>> 0 : value === (value | 0);
  if (type === "abstract-int" && (to === "u32" || to === "i32") && isInRange) return { type: to, value };
  return fail(`${value} is ${nameOf(type)} and no ${to}`);
}

function tokensOf(text: string, fail: Fail): string[] {
  const tokens: string[] = [];
  const trimmed = text.trimEnd();
  const pattern = new RegExp(TOKEN);
  for (let at = 0; at < trimmed.length; at = pattern.lastIndex) {
    pattern.lastIndex = at;
    const match = pattern.exec(trimmed);
    if (!match) return fail(`"${trimmed.slice(at).trim()}" is no part of a constant expression`);
    tokens.push(match[0].trim());
  }
  return tokens;
}

class Expression {
  readonly #tokens: readonly string[];
  readonly #names: ReadonlyMap<string, ConstantValue>;
  readonly #fail: Fail;
  #at = 0;

  constructor(tokens: readonly string[], names: ReadonlyMap<string, ConstantValue>, fail: Fail) {
    this.#tokens = tokens;
    this.#names = names;
    this.#fail = fail;
  }

  value(): ConstantValue {
    const value = this.#expression();
    if (this.#at < this.#tokens.length) return this.#fail(`unexpected "${this.#tokens[this.#at]}"`);
    return value;
  }

  get #next(): string | undefined {
    return this.#tokens[this.#at];
  }

  #take(token: string): void {
    if (this.#next !== token)
      this.#fail(`expected "${token}", got ${this.#next === undefined ? "the end" : `"${this.#next}"`}`);
    this.#at++;
  }

  /** Logical and bitwise operators stand in chains of one operator; anything else needs parentheses. */
  #expression(): ConstantValue {
    const start = this.#at;
    let value = this.#relational();
    const operator = this.#next ?? "";
    if (["&&", "||"].includes(operator)) {
      while (this.#next === operator) value = this.#binary(value, () => this.#relational());
    } else if (["&", "|", "^"].includes(operator)) {
      this.#at = start;
      value = this.#unary();
      while (this.#next === operator) value = this.#binary(value, () => this.#unary());
    }
    return value;
  }

  #relational(): ConstantValue {
    const value = this.#shift();
    return COMPARISONS.includes(this.#next ?? "") ? this.#binary(value, () => this.#shift()) : value;
  }

  #shift(): ConstantValue {
    const start = this.#at;
    const value = this.#sum();
    if (this.#next !== "<<" && this.#next !== ">>") return value;
    this.#at = start;
    return this.#binary(this.#unary(), () => this.#unary());
  }

  #sum(): ConstantValue {
    let value = this.#product();
    while (this.#next === "+" || this.#next === "-") value = this.#binary(value, () => this.#product());
    return value;
  }

  #product(): ConstantValue {
    let value = this.#unary();
    while (["*", "/", "%"].includes(this.#next ?? "")) value = this.#binary(value, () => this.#unary());
    return value;
  }

  #binary(left: ConstantValue, right: () => ConstantValue): ConstantValue {
    const operator = this.#tokens[this.#at++] ?? "";
    return applyBinary(operator, left, right(), this.#fail);
  }

  #unary(): ConstantValue {
    const operator = this.#next;
    if (operator !== "-" && operator !== "!" && operator !== "~") return this.#primary();
    this.#at++;
    const { type, value } = this.#unary();
    if (operator === "!" && type === "bool") return { type, value: 1 - value };
    if (operator === "~" && INTEGERS.includes(type)) return wrap(type, ~BigInt(value), this.#fail);
    if (operator === "-" && (type === "i32" || type === "abstract-int"))
      return wrap(type, -BigInt(value), this.#fail);
    if (operator === "-" && (type === "f32" || type === "abstract-float")) return { type, value: -value };
    return this.#fail(`"${operator}" does not take ${nameOf(type)}`);
  }

  #primary(): ConstantValue {
    const token = this.#tokens[this.#at++];
    if (token === undefined) return this.#fail("the expression ends too soon");
    if (token === "(") {
      const value = this.#expression();
      this.#take(")");
      return value;
    }
    if (/^[\d.]/.test(token)) return literalOf(token, this.#fail);
    if (token === "true" || token === "false") return bool(token === "true");
    if (!/^\w/.test(token)) return this.#fail(`unexpected "${token}"`);
    if (this.#next === "(") return this.#call(token);
    return this.#names.get(token) ?? this.#fail(`"${token}" is no constant that is known here`);
  }

  #call(name: string): ConstantValue {
    const args: ConstantValue[] = [];
    this.#take("(");
    while (this.#next !== ")") {
      args.push(this.#expression());
      if (this.#next !== ")") this.#take(",");
    }
    this.#take(")");
    return applyFunction(name, args, this.#fail);
  }
}

function applyBinary(operator: string, a: ConstantValue, b: ConstantValue, fail: Fail): ConstantValue {
  if (operator === "<<" || operator === ">>") return shift(operator, a, b, fail);
  const type = commonType(a, b, fail);
  const [x, y] = [convert(a, type, fail).value, convert(b, type, fail).value];
  if (operator === "==") return bool(x === y);
  if (operator === "!=") return bool(x !== y);
  if (type === "bool") {
    if (operator === "&&" || operator === "&") return bool(x + y === 2);
    if (operator === "||" || operator === "|") return bool(x + y > 0);
    return fail(`"${operator}" does not take bools`);
  }
  if (COMPARISONS.includes(operator))
    return bool({ "<": x < y, "<=": x <= y, ">": x > y, ">=": x >= y }[operator as "<" | "<=" | ">" | ">="]);
  return INTEGERS.includes(type)
    ? integerResult(operator, type, BigInt(x), BigInt(y), fail)
    : floatResult(operator, type, x, y, fail);
}

function integerResult(
  operator: string,
  type: ConstantType,
  x: bigint,
  y: bigint,
  fail: Fail,
): ConstantValue {
  if ((operator === "/" || operator === "%") && y === 0n) return fail(`${x} ${operator} 0`);
  switch (operator) {
    case "+":
      return wrap(type, x + y, fail);
    case "-":
      return wrap(type, x - y, fail);
    case "*":
      return wrap(type, x * y, fail);
    case "/":
      return wrap(type, x / y, fail);
    case "%":
      return wrap(type, x % y, fail);
    case "&":
      return wrap(type, x & y, fail);
    case "|":
      return wrap(type, x | y, fail);
    case "^":
      return wrap(type, x ^ y, fail);
    default:
      return fail(`"${operator}" does not take ${nameOf(type)}`);
  }
}

function floatResult(operator: string, type: ConstantType, x: number, y: number, fail: Fail): ConstantValue {
  const results: Readonly<Record<string, number>> = {
    "+": x + y,
    "-": x - y,
    "*": x * y,
    "/": x / y,
    "%": x % y,
  };
  const value = results[operator];
  if (value === undefined) return fail(`"${operator}" does not take ${nameOf(type)}`);
  if (!Number.isFinite(value)) return fail(`${x} ${operator} ${y} is no finite number`);
  return type === "f32" ? float32(value, fail) : { type, value };
}

function shift(operator: "<<" | ">>", a: ConstantValue, b: ConstantValue, fail: Fail): ConstantValue {
  if (!INTEGERS.includes(a.type)) return fail(`"${operator}" does not take ${nameOf(a.type)}`);
  const by = convert(b, "u32", fail).value;
  if (a.type !== "abstract-int" && by >= 32)
    return fail(`${a.value} ${operator} ${by} shifts by 32 bits or more`);
  if (operator === ">>") return wrap(a.type, BigInt(a.value) >> BigInt(by), fail);
  const result = BigInt(a.value) << BigInt(by);
  const isKept = wrap(a.type, result, fail).value === Number(result);
  return isKept ? wrap(a.type, result, fail) : fail(`${a.value} << ${by} shifts bits out`);
}

function applyFunction(name: string, args: readonly ConstantValue[], fail: Fail): ConstantValue {
  const [a, b, c] = args;
  const expect = (count: number) => {
    if (args.length !== count) fail(`${name} takes ${count} arguments, got ${args.length}`);
  };
  if (name === "select") {
    expect(3);
    if (!a || !b || c?.type !== "bool") return fail("select wants a bool as its third argument");
    return convert(c.value ? b : a, commonType(a, b, fail), fail);
  }
  if (name === "min" || name === "max") {
    expect(2);
    if (!a || !b) return fail(`${name} takes 2 arguments`);
    const type = numericType(name, commonType(a, b, fail), fail);
    return convert(a.value < b.value === (name === "min") ? a : b, type, fail);
  }
  if (name === "clamp") {
    expect(3);
    if (!a || !b || !c) return fail("clamp takes 3 arguments");
    return applyFunction("min", [applyFunction("max", [a, b], fail), c], fail);
  }
  if (name === "abs") {
    expect(1);
    if (!a || numericType(name, a.type, fail) === "u32" || a.value >= 0)
      return a ?? fail("abs takes 1 argument");
    return a.type === "i32" ? wrap("i32", -BigInt(a.value), fail) : { type: a.type, value: -a.value };
  }
  if (name === "u32" || name === "i32" || name === "f32") {
    expect(1);
    return a ? cast(a, name, fail) : fail(`${name} takes 1 argument`);
  }
  return fail(`unknown function "${name}"`);
}

function cast({ type, value }: ConstantValue, to: "u32" | "i32" | "f32", fail: Fail): ConstantValue {
  if (to === "f32") return float32(value, fail);
  if (type === "abstract-int") return convert({ type, value }, to, fail);
  if (type !== "f32" && type !== "abstract-float") return wrap(to, BigInt(value), fail);
  const [least, most] = to === "u32" ? [0, 4294967295] : [-2147483648, 2147483647];
  return { type: to, value: Math.min(most, Math.max(least, Math.trunc(value))) };
}

function commonType(a: ConstantValue, b: ConstantValue, fail: Fail): ConstantType {
  if (a.type === b.type) return a.type;
  const types = [a.type, b.type];
  const concrete = types.filter((type) => !type.startsWith("abstract"));
  const [first] = concrete;
  if (first === undefined) return "abstract-float";
  const other = types[0] === first ? types[1] : types[0];
  const fits = first === "f32" || (other === "abstract-int" && first !== "bool");
  return concrete.length === 1 && fits
    ? first
    : fail(`${nameOf(a.type)} and ${nameOf(b.type)} do not go together`);
}

function numericType(name: string, type: ConstantType, fail: Fail): ConstantType {
  return type === "bool" ? fail(`${name} does not take bools`) : type;
}

function literalOf(token: string, fail: Fail): ConstantValue {
  const isHex = /^0[xX]/.test(token);
  if (/h$/.test(token)) return fail(`"${token}": f16 is not known here`);
  if (/[ui]$/.test(token)) {
    const type = token.endsWith("u") ? "u32" : "i32";
    const value = Number(token.slice(0, -1));
    return Number.isInteger(value)
      ? convert({ type: "abstract-int", value }, type, fail)
      : fail(`"${token}" is no integer`);
  }
  if (isHex && /[.pP]/.test(token)) return hexFloat(token, fail);
  if (isHex || /^\d+$/.test(token)) return wrap("abstract-int", BigInt(token), fail);
  if (token.endsWith("f")) return float32(Number(token.slice(0, -1)), fail);
  return { type: "abstract-float", value: Number(token) };
}

function hexFloat(token: string, fail: Fail): ConstantValue {
  const [, whole = "", fraction = "", exponent = "0", suffix = ""] =
    /^0[xX]([\da-fA-F]*)\.?([\da-fA-F]*)(?:[pP]([+-]?\d+)([fh]?))?$/.exec(token) ?? [];
  const mantissa = Number.parseInt(`0${whole}${fraction}`, 16);
  const value = mantissa * 2 ** (Number(exponent) - 4 * fraction.length);
  return suffix === "f" ? float32(value, fail) : { type: "abstract-float", value };
}

/** Integers of 32 bits wrap around; abstract ones must not overflow. */
function wrap(type: ConstantType, value: bigint, fail: Fail): ConstantValue {
  if (type === "u32") return { type, value: Number(BigInt.asUintN(32, value)) };
  if (type === "i32") return { type, value: Number(BigInt.asIntN(32, value)) };
  const number = Number(value);
  return Number.isSafeInteger(number) ? { type, value: number } : fail(`${value} is too large`);
}

function float32(value: number, fail: Fail): ConstantValue {
  const rounded = Math.fround(value);
  return Number.isFinite(rounded) ? { type: "f32", value: rounded } : fail(`${value} is no finite f32`);
}

function bool(value: boolean): ConstantValue {
  return { type: "bool", value: Number(value) };
}

function nameOf(type: ConstantType): string {
  if (type === "abstract-int") return "an integer";
  return type === "abstract-float" ? "a float" : type;
}
