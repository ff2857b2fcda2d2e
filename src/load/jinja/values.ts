/** Python's values in a template: int is a bigint, float a number, str a string read as code points. */
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import { codePoints, compareText, lengthOf, reprText } from "./text.ts";

export type Value = undefined | null | boolean | bigint | number | string | readonly Value[] | PyObject;

/** The arguments of a call. */
export interface Arguments {
  readonly positional: readonly Value[];
  readonly keyword: ReadonlyMap<string, Value>;
}

export const NO_ARGUMENTS: Arguments = { positional: [], keyword: new Map() };

/** A value that plain JavaScript values cannot represent. */
export abstract class PyObject {
  /** `type(value).__name__`. */
  abstract readonly typeName: string;
  /** Returns an attribute, or undefined if it does not exist. */
  attribute(_name: string): Value {
    return undefined;
  }
  /** `repr(value)`. show: formats a nested value. */
  repr(_show: (value: Value) => string): string {
    return `<${this.typeName}>`;
  }
}

/** The value of a missing name or key. It prints as nothing; nearly every other operation throws. */
export class Undefined extends PyObject {
  readonly typeName = "Undefined";
  readonly message: string;
  constructor(message: string) {
    super();
    this.message = message;
  }
  override repr(): string {
    return "Undefined";
  }
}

export class Tuple extends PyObject {
  readonly typeName = "tuple";
  readonly items: readonly Value[];
  /** Attributes of a named tuple. */
  readonly names: readonly string[];
  constructor(items: readonly Value[], names: readonly string[] = []) {
    super();
    this.items = items;
    this.names = names;
  }
  override attribute(name: string): Value {
    const index = this.names.indexOf(name);
    return index < 0 ? undefined : this.items[index];
  }
  override repr(show: (value: Value) => string): string {
    return `(${this.items.map(show).join(", ")}${this.items.length === 1 ? "," : ""})`;
  }
}

/** A dict, in insertion order. 1, 1.0 and True are the same key. */
export class Dict extends PyObject {
  readonly typeName = "dict";
  readonly #entries = new Map<string, readonly [Value, Value]>();
  get size(): number {
    return this.#entries.size;
  }
  get(key: Value): Value {
    return this.#entries.get(hashOf(key))?.[1];
  }
  has(key: Value): boolean {
    return this.#entries.has(hashOf(key));
  }
  set(key: Value, value: Value): void {
    const hash = hashOf(key);
    this.#entries.set(hash, [this.#entries.get(hash)?.[0] ?? key, value]);
  }
  entries(): IterableIterator<readonly [Value, Value]> {
    return this.#entries.values();
  }
  keys(): Value[] {
    return Array.from(this.#entries.values(), ([key]) => key);
  }
  override repr(show: (value: Value) => string): string {
    return `{${Array.from(this.entries(), ([key, value]) => `${show(key)}: ${show(value)}`).join(", ")}}`;
  }
}

/** A view such as `dict.keys()`: an iterable with a length and its own `repr`. */
export class View extends PyObject {
  readonly typeName: string;
  readonly items: readonly Value[];
  constructor(typeName: string, items: readonly Value[]) {
    super();
    this.typeName = typeName;
    this.items = items;
  }
  override repr(show: (value: Value) => string): string {
    return `${this.typeName}([${this.items.map(show).join(", ")}])`;
  }
}

/** A generator, which can be iterated once. */
export class Generator extends PyObject implements Iterable<Value> {
  readonly typeName: string = "generator";
  readonly #iterator: Iterator<Value>;
  constructor(values: Iterable<Value>) {
    super();
    this.#iterator = values[Symbol.iterator]();
  }
  [Symbol.iterator](): Iterator<Value> {
    return { next: () => this.#iterator.next() }; // leaving a loop early must not end the generator
  }
}

export class Range extends PyObject {
  readonly typeName = "range";
  readonly start: bigint;
  readonly stop: bigint;
  readonly step: bigint;
  readonly length: number;
  constructor(start: bigint, stop: bigint, step: bigint) {
    super();
    this.start = start;
    this.stop = stop;
    this.step = step;
    const span = step > 0n ? stop - start + step - 1n : start - stop - step - 1n;
    const size = span / (step > 0n ? step : -step);
    this.length = size > 0n ? Number(size) : 0;
  }
  at(index: number): bigint {
    return this.start + this.step * BigInt(index);
  }
  override repr(): string {
    return `range(${this.start}, ${this.stop}${this.step === 1n ? "" : `, ${this.step}`})`;
  }
}

export class Callable extends PyObject {
  readonly typeName: string;
  readonly call: (args: Arguments) => Value;
  constructor(typeName: string, call: (args: Arguments) => Value) {
    super();
    this.typeName = typeName;
    this.call = call;
  }
}

export class Namespace extends PyObject {
  readonly typeName = "TemplateNamespace";
  readonly values = new Map<string, Value>();
  override attribute(name: string): Value {
    return this.values.get(name);
  }
}

export function typeName(value: Value): string {
  if (value === undefined || value instanceof PyObject) return value?.typeName ?? "Undefined";
  if (value === null) return "NoneType";
  if (typeof value === "object") return "list";
  return { boolean: "bool", bigint: "int", number: "float", string: "str" }[typeof value as "boolean"];
}

/** Returns a defined value unchanged. @throws TemplateRuntimeError with the reason why the value is undefined */
export function known(value: Value): Value {
  if (value === undefined || value instanceof Undefined)
    throw new TemplateRuntimeError(value?.message ?? "a value is undefined");
  return value;
}

/** Replaces a missing value by an `Undefined` with this message. None is not missing. */
export function orUndefined(value: Value, message: string): Value {
  return value === undefined ? new Undefined(message) : value;
}

export function truth(value: Value): boolean {
  if (value === undefined || value === null || value instanceof Undefined) return false;
  if (value instanceof Dict) return value.size > 0;
  if (value instanceof Tuple || value instanceof View) return value.items.length > 0;
  if (value instanceof Range) return value.length > 0;
  return Array.isArray(value) ? value.length > 0 : Boolean(value);
}

/** `repr` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e16. */
export function reprFloat(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (Object.is(value, -0)) return "-0.0";
  const [digits = "", exponentText = "0"] = value.toExponential().split("e");
  const exponent = Number(exponentText);
  if (exponent < -4 || exponent >= 16)
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  if (Number.isInteger(value)) return `${value}.0`;
  if (exponent >= 0 || value === 0) return String(value);
  const sign = value < 0 ? "-" : "";
  return `${sign}0.${"0".repeat(-exponent - 1)}${digits.replace(/[-.]/g, "")}`;
}

/** `repr(value)`; containers count against the budget. */
export function repr(value: Value, budget: Budget): string {
  const show = (inner: Value): string => {
    const text = typeof inner === "string" ? reprText(inner) : str(inner, budget);
    budget.text(text.length);
    return text;
  };
  return budget.nested(() => (typeof value === "string" ? reprText(value) : reprObject(value, show)));
}

function reprObject(value: Value, show: (value: Value) => string): string {
  if (value instanceof PyObject) return value.repr(show);
  if (Array.isArray(value)) return `[${value.map(show).join(", ")}]`;
  return scalarText(value);
}

function scalarText(value: Value): string {
  if (value === undefined) return "Undefined";
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  return typeof value === "number" ? reprFloat(value) : String(value);
}

/** `str(value)`. */
export function str(value: Value, budget: Budget): string {
  if (typeof value === "string") return value;
  return value instanceof PyObject || Array.isArray(value) ? repr(value, budget) : scalarText(value);
}

/** Converts a value to printed text; undefined prints as nothing. */
export function printed(value: Value, budget: Budget): string {
  return value === undefined || value instanceof Undefined ? "" : str(value, budget);
}

/** Maps a key to a text, the same for keys that are equal in Python. @throws TemplateRuntimeError for unhashable values */
export function hashOf(value: Value): string {
  if (typeof value === "string") return `s${value}`;
  if (typeof value === "boolean") return value ? "n1" : "n0";
  if (typeof value === "bigint") return `n${value}`;
  if (typeof value === "number") return Number.isInteger(value) ? `n${BigInt(value)}` : `n${value}`;
  if (value === null) return "None";
  if (value instanceof Tuple) return `t${JSON.stringify(value.items.map(hashOf))}`;
  if (value === undefined || value instanceof Undefined) return "Undefined";
  throw new TemplateRuntimeError(`unhashable type: '${typeName(value)}'`);
}

const isNumeric = (value: Value): value is boolean | bigint | number =>
  typeof value === "boolean" || typeof value === "bigint" || typeof value === "number";

export function isEqual(a: Value, b: Value): boolean {
  if (a === b) return true;
  if (isNumeric(a) && isNumeric(b)) {
    const left = typeof a === "boolean" ? BigInt(a) : a;
    const right = typeof b === "boolean" ? BigInt(b) : b;
    // biome-ignore lint/suspicious/noDoubleEquals: bigint and number are compared by value
    return left == right;
  }
  if (a instanceof Undefined || b instanceof Undefined) return typeName(a) === typeName(b);
  const left = sequence(a);
  const right = sequence(b);
  if (left && right) {
    if (typeName(a) !== typeName(b) || left.length !== right.length) return false;
    return left.every((item, i) => isEqual(item, right[i]));
  }
  if (!(a instanceof Dict && b instanceof Dict) || a.size !== b.size) return false;
  for (const [key, value] of a.entries()) if (!b.has(key) || !isEqual(value, b.get(key))) return false;
  return true;
}

const sequence = (value: Value): readonly Value[] | undefined =>
  value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined;

/** Returns a negative number, zero or a positive one; NaN if a float is NaN. @throws TemplateRuntimeError for unordered types */
export function compare(a: Value, b: Value, operator: string): number {
  if (isNumeric(a) && isNumeric(b)) return a < b ? -1 : a > b ? 1 : isEqual(a, b) ? 0 : Number.NaN;
  if (typeof a === "string" && typeof b === "string") return compareText(a, b);
  const left = sequence(a);
  const right = sequence(b);
  if (left && right && typeName(a) === typeName(b)) {
    for (let i = 0; i < Math.min(left.length, right.length); i++)
      if (!isEqual(left[i], right[i])) return compare(left[i], right[i], operator);
    return left.length - right.length;
  }
  known(a);
  known(b);
  throw new TemplateRuntimeError(
    `'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`,
  );
}

/** `len(value)`; undefined for types without a length. */
export function length(value: Value): number | undefined {
  if (typeof value === "string") return lengthOf(value);
  if (value === undefined || value instanceof Undefined) return 0;
  if (value instanceof Dict) return value.size;
  if (value instanceof Range) return value.length;
  if (value instanceof View) return value.items.length;
  return sequence(value)?.length;
}

/** `iter(value)`; undefined for types that are not iterable. */
export function iterable(value: Value): Iterable<Value> | undefined {
  if (typeof value === "string") return codePoints(value);
  if (value === undefined || value instanceof Undefined) return [];
  if (value instanceof Dict) return value.keys();
  if (value instanceof View) return value.items;
  if (value instanceof Generator) return value;
  if (value instanceof Range) return walkRange(value);
  return sequence(value);
}

function* walkRange(range: Range): Iterable<Value> {
  for (let i = 0; i < range.length; i++) yield range.at(i);
}

/** `iter(value)`. @throws TemplateRuntimeError for types that are not iterable */
export function walk(value: Value): Iterable<Value> {
  const values = iterable(value);
  if (values === undefined) throw new TemplateRuntimeError(`'${typeName(value)}' object is not iterable`);
  return values;
}

/** `list(value)`. */
export function toList(value: Value, budget: Budget): Value[] {
  const items: Value[] = [];
  for (const item of walk(value)) {
    budget.spend();
    items.push(item);
  }
  return items;
}

/** Converts an int or bool to a number, for indices and counts. @throws TemplateRuntimeError for other types */
export function toInt(value: Value): number {
  if (typeof value === "bigint") return Number(value);
  if (typeof value === "boolean") return Number(value);
  known(value);
  throw new TemplateRuntimeError(`'${typeName(value)}' object cannot be interpreted as an integer`);
}

/** @throws TemplateRuntimeError when the value is not a text */
export function toText(value: Value, what: string): string {
  if (typeof value === "string") return value;
  known(value);
  throw new TemplateRuntimeError(`${what} must be str, not ${typeName(value)}`);
}

/** Orders positional and keyword arguments by `names`; an omitted argument is `undefined`. */
export function bind(
  callee: string,
  args: Arguments,
  names: readonly string[],
  required = 0,
): readonly Value[] {
  const values: Value[] = [...args.positional];
  if (values.length > names.length)
    throw new TemplateRuntimeError(
      `${callee}() takes at most ${names.length} arguments (${values.length} given)`,
    );
  for (const [name, value] of args.keyword) {
    const index = names.indexOf(name);
    if (index < 0) throw new TemplateRuntimeError(`${callee}() got an unexpected keyword argument '${name}'`);
    if (index < args.positional.length)
      throw new TemplateRuntimeError(`${callee}() got multiple values for argument '${name}'`);
    values[index] = value;
  }
  for (let i = 0; i < required; i++)
    if (values[i] === undefined)
      throw new TemplateRuntimeError(`${callee}() missing required argument: '${names[i]}'`);
  return values;
}
