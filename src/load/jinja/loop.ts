import { TemplateRuntimeError } from "./budget.ts";
import { type Arguments, Callable, isEqual, PyObject, Undefined, type Value } from "./values.ts";

/** The variable `loop` of a for block. Reads ahead only when the template asks for a later item or the length. */
export class Loop extends PyObject {
  readonly typeName = "LoopContext";
  readonly #iterator: Iterator<Value>;
  readonly #depth: number;
  readonly #recurse: ((values: Value) => Value) | undefined;
  #ahead: Value[] = [];
  #isDone = false;
  #index = -1;
  #previous: Value;
  #current: Value;
  #changed: readonly Value[] | undefined;

  /** recurse: renders a `recursive` block again over other values. */
  constructor(values: Iterable<Value>, depth: number, recurse: ((values: Value) => Value) | undefined) {
    super();
    this.#iterator = values[Symbol.iterator]();
    this.#depth = depth;
    this.#recurse = recurse;
  }

  /** Advances to the next item; returns false at the end. */
  next(): boolean {
    if (!this.#readAhead(1)) return false;
    this.#previous = this.#current;
    this.#current = this.#ahead.shift();
    this.#index++;
    return true;
  }

  get current(): Value {
    return this.#current;
  }

  /** Reads up to `count` items ahead; returns false if fewer are left. */
  #readAhead(count: number): boolean {
    while (!this.#isDone && this.#ahead.length < count) {
      const next = this.#iterator.next();
      if (next.done) this.#isDone = true;
      else this.#ahead.push(next.value);
    }
    return this.#ahead.length >= count;
  }

  #length(): number {
    this.#readAhead(Number.POSITIVE_INFINITY);
    return this.#index + 1 + this.#ahead.length;
  }

  override attribute(name: string): Value {
    const index = this.#index;
    switch (name) {
      case "index":
        return BigInt(index + 1);
      case "index0":
        return BigInt(index);
      case "revindex":
        return BigInt(this.#length() - index);
      case "revindex0":
        return BigInt(this.#length() - index - 1);
      case "first":
        return index === 0;
      case "last":
        return !this.#readAhead(1);
      case "length":
        return BigInt(this.#length());
      case "depth":
        return BigInt(this.#depth + 1);
      case "depth0":
        return BigInt(this.#depth);
      case "previtem":
        return index === 0 ? new Undefined("there is no previous item") : this.#previous;
      case "nextitem":
        return this.#readAhead(1) ? this.#ahead[0] : new Undefined("there is no next item");
      case "cycle":
        return new Callable("method", ({ positional }) => this.#cycle(positional));
      case "changed":
        return new Callable("method", ({ positional }) => this.#hasChanged(positional));
      default:
        return undefined;
    }
  }

  #cycle(values: readonly Value[]): Value {
    if (values.length === 0) throw new TemplateRuntimeError("no items for cycling given");
    return values[this.#index % values.length];
  }

  #hasChanged(values: readonly Value[]): boolean {
    const before = this.#changed;
    this.#changed = values;
    return !(
      before &&
      before.length === values.length &&
      before.every((value, i) => isEqual(value, values[i]))
    );
  }

  /** `loop(values)`. */
  call({ positional: [values] }: Arguments): Value {
    if (!this.#recurse)
      throw new TemplateRuntimeError("The loop must have the 'recursive' marker to be called recursively.");
    return this.#recurse(values);
  }
}
