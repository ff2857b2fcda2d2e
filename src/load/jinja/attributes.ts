/** Access to attributes, items and slices, within the limits of transformers' sandbox. */
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import type { Reach } from "./format.ts";
import { STRING_METHODS } from "./string-methods.ts";
import { codePoints } from "./text.ts";
import {
  type Arguments,
  bind,
  Callable,
  Dict,
  isEqual,
  known,
  Namespace,
  PyObject,
  Range,
  repr,
  Tuple,
  toInt,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

type Method = (args: Arguments) => Value;

/** Methods that mutate a list or a dict. The sandbox refuses them. */
const MUTATORS: Readonly<Record<string, readonly string[]>> = {
  list: ["append", "clear", "pop", "reverse", "insert", "sort", "extend", "remove"],
  dict: ["clear", "pop", "popitem", "setdefault", "update"],
};

/** Reads attributes, items and slices of values. */
export class Attributes implements Reach {
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  /** `object.name`: the attribute, else the item. */
  attribute(object: Value, name: string): Value {
    known(object);
    const own = this.#own(object, name);
    if (own !== undefined) return own;
    if (object instanceof Dict && object.has(name)) return object.get(name);
    return missing(object, name, this.#budget);
  }

  /** `object[key]`: the item, else the attribute. */
  item(object: Value, key: Value): Value {
    known(object);
    if (object instanceof Dict) {
      if (isKey(key) && object.has(key)) return object.get(key);
    } else if (typeof key === "bigint" || typeof key === "boolean") {
      const found = at(object, toInt(key));
      if (found !== undefined) return found;
    }
    const own = typeof key === "string" ? this.#own(object, key) : undefined;
    return own === undefined ? missing(object, key, this.#budget) : own;
  }

  /** `object[start:stop:step]`. */
  slice(object: Value, start: Value, stop: Value, step: Value): Value {
    known(object);
    const items =
      typeof object === "string" ? codePoints(object) : object instanceof Tuple ? object.items : object;
    if (object instanceof Range) return sliceRange(object, start, stop, step, this.#budget);
    if (!Array.isArray(items)) return missing(object, "slice", this.#budget);
    const made = slice(items, start, stop, step, this.#budget);
    if (typeof object === "string") return made.join("");
    return object instanceof Tuple ? new Tuple(made) : made;
  }

  #own(object: Value, name: string): Value {
    const found = this.#find(object, name);
    if (found !== undefined && name.startsWith("_")) return unsafe(object, name);
    return found;
  }

  #find(object: Value, name: string): Value {
    if (typeof object === "string") {
      const method = STRING_METHODS.get(name);
      return method && callable((args) => method(object, args, this.#budget, this));
    }
    const kind = Array.isArray(object) ? "list" : object instanceof Dict ? "dict" : "";
    if (MUTATORS[kind]?.includes(name)) return unsafe(object, name);
    if (object instanceof Dict) return dictMethod(object, name);
    if (object instanceof Tuple || Array.isArray(object)) {
      const own = object instanceof Tuple ? object.attribute(name) : undefined;
      if (own !== undefined) return own;
      if (name === "copy" && Array.isArray(object)) return callable(() => object.slice());
      return listMethod(object instanceof Tuple ? object.items : object, name, this.#budget);
    }
    return object instanceof PyObject ? object.attribute(name) : undefined;
  }
}

const callable = (call: Method): Callable => new Callable("builtin_function_or_method", call);

const isKey = (key: Value): boolean =>
  !(Array.isArray(key) || key instanceof Dict || key instanceof Undefined);

function dictMethod(dict: Dict, name: string): Value {
  const entries = () => Array.from(dict.entries(), ([key, value]) => new Tuple([key, value]));
  const methods: Readonly<Record<string, Method>> = {
    items: () => new View("dict_items", entries()),
    keys: () => new View("dict_keys", dict.keys()),
    values: () =>
      new View(
        "dict_values",
        Array.from(dict.entries(), ([, value]) => value),
      ),
    get: (args) => {
      const [key, otherwise = null] = bind("get", args, ["key", "default"], 1);
      return dict.has(key) ? dict.get(key) : otherwise;
    },
    copy: () => {
      const copy = new Dict();
      for (const [key, value] of dict.entries()) copy.set(key, value);
      return copy;
    },
  };
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  return method && callable(method);
}

function listMethod(items: readonly Value[], name: string, budget: Budget): Value {
  const methods: Readonly<Record<string, Method>> = {
    count: (args) => {
      const [wanted] = bind("count", args, ["value"], 1);
      budget.spend(items.length);
      return BigInt(items.filter((item) => isEqual(item, wanted)).length);
    },
    index: (args) => {
      const [wanted, start = 0n] = bind("index", args, ["value", "start", "stop"], 1);
      budget.spend(items.length);
      const index = items.findIndex((item, i) => i >= toInt(start) && isEqual(item, wanted));
      if (index < 0) throw new TemplateRuntimeError(`${repr(wanted, budget)} is not in list`);
      return BigInt(index);
    },
  };
  const method = Object.hasOwn(methods, name) ? methods[name] : undefined;
  return method && callable(method);
}

function at(object: Value, index: number): Value {
  if (object instanceof Range) {
    const position = index < 0 ? index + object.length : index;
    return position >= 0 && position < object.length ? object.at(position) : undefined;
  }
  if (typeof object === "string") return codePoints(object).at(index);
  const items = object instanceof Tuple ? object.items : Array.isArray(object) ? object : undefined;
  return items?.at(index);
}

function unsafe(object: Value, name: string): Undefined {
  return new Undefined(`access to attribute '${name}' of '${typeName(object)}' object is unsafe.`);
}

function missing(object: Value, key: Value, budget: Budget): Undefined {
  const kind =
    object === null
      ? "None"
      : object instanceof Namespace
        ? "TemplateNamespace object"
        : `${typeName(object)} object`;
  return new Undefined(
    typeof key === "string"
      ? `'${kind}' has no attribute '${key}'`
      : `${kind} has no element ${repr(key, budget)}`,
  );
}

/** Returns start, stop and step of a slice over `size` items, as Python's `slice.indices` does. */
function bounds(size: number, start: Value, stop: Value, step: Value): [number, number, number] {
  const by = step === null || step === undefined ? 1 : toInt(step);
  if (by === 0) throw new TemplateRuntimeError("slice step cannot be zero");
  const low = by < 0 ? -1 : 0;
  const high = by < 0 ? size - 1 : size;
  const clamp = (bound: Value, otherwise: number) => {
    if (bound === null || bound === undefined) return otherwise;
    const index = toInt(bound);
    return Math.max(low, Math.min(high, index < 0 ? index + size : index));
  };
  return [clamp(start, by < 0 ? high : low), clamp(stop, by < 0 ? low : high), by];
}

function slice(items: readonly Value[], start: Value, stop: Value, step: Value, budget: Budget): Value[] {
  const [from, to, by] = bounds(items.length, start, stop, step);
  const made: Value[] = [];
  for (let i = from; by > 0 ? i < to : i > to; i += by) made.push(items[i]);
  budget.spend(made.length);
  return made;
}

function sliceRange(range: Range, start: Value, stop: Value, step: Value, budget: Budget): Value {
  const [from, to, by] = bounds(range.length, start, stop, step);
  budget.spend();
  return new Range(range.at(from), range.at(to), range.step * BigInt(by));
}
