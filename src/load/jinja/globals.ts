import { type Budget, TemplateRuntimeError } from "./budget.ts";
import { strftime } from "./strftime.ts";
import {
  type Arguments,
  bind,
  Callable,
  Dict,
  Namespace,
  PyObject,
  printed,
  Range,
  toInt,
  toList,
  toText,
  type Value,
  walk,
} from "./values.ts";

/** The sandbox's limit on the items of a range. */
const MAX_RANGE = 100_000;

/** Creates the global names of transformers' templates. now: the clock of `strftime_now`. */
export function globalNames(budget: Budget, now: () => Date): ReadonlyMap<string, Value> {
  const callable = (name: string, call: (args: Arguments) => Value) =>
    [name, new Callable("function", call)] as const;
  return new Map<string, Value>([
    callable("range", range),
    callable("dict", (args) => makeDict(args, budget)),
    callable("namespace", (args) => makeNamespace(args, budget)),
    callable("cycler", ({ positional }) => new Cycler(positional)),
    callable("joiner", (args) => joiner(bind("joiner", args, ["sep"])[0] ?? ", ")),
    callable("raise_exception", (args) => {
      throw new TemplateRuntimeError(printed(bind("raise_exception", args, ["message"], 1)[0], budget));
    }),
    callable("lipsum", () => {
      throw new TemplateRuntimeError("lipsum() is not supported here");
    }),
    callable("strftime_now", (args) => {
      const format = toText(bind("strftime_now", args, ["format"], 1)[0], "the format");
      budget.text(format.length * 16);
      return strftime(format, now());
    }),
  ]);
}

function range(args: Arguments): Value {
  const [a, b, c] = bind(
    "range",
    { positional: args.positional, keyword: args.keyword },
    ["start", "stop", "step"],
    1,
  );
  const start = b === undefined ? 0 : toInt(a);
  const stop = toInt(b === undefined ? a : b);
  const step = c === undefined ? 1 : toInt(c);
  if (step === 0) throw new TemplateRuntimeError("range() arg 3 must not be zero");
  const made = new Range(BigInt(start), BigInt(stop), BigInt(step));
  if (made.length > MAX_RANGE)
    throw new TemplateRuntimeError(
      `Range too big. The sandbox blocks ranges larger than MAX_RANGE (${MAX_RANGE}).`,
    );
  return made;
}

function makeDict({ positional: [from], keyword }: Arguments, budget: Budget): Dict {
  const dict = new Dict();
  if (from instanceof Dict) for (const [key, value] of from.entries()) dict.set(key, value);
  else if (from !== undefined)
    for (const pair of walk(from)) {
      const [key, value] = toList(pair, budget);
      dict.set(key, value);
    }
  for (const [key, value] of keyword) dict.set(key, value);
  return dict;
}

function makeNamespace(args: Arguments, budget: Budget): Namespace {
  const namespace = new Namespace();
  for (const [key, value] of makeDict(args, budget).entries()) setInNamespace(namespace, String(key), value);
  return namespace;
}

export function setInNamespace(namespace: Namespace, name: string, value: Value): void {
  if (name.startsWith("_"))
    throw new TemplateRuntimeError(
      `Chat templates cannot store underscore-prefixed attributes on a namespace, but got '${name}'.`,
    );
  namespace.values.set(name, value);
}

class Cycler extends PyObject {
  readonly typeName = "Cycler";
  readonly #items: readonly Value[];
  #index = 0;
  constructor(items: readonly Value[]) {
    super();
    if (items.length === 0) throw new TemplateRuntimeError("at least one item has to be provided");
    this.#items = items;
  }
  override attribute(name: string): Value {
    if (name === "current") return this.#items[this.#index];
    if (name === "reset")
      return new Callable("method", () => {
        this.#index = 0;
        return null;
      });
    if (name !== "next") return undefined;
    return new Callable("method", () => {
      const item = this.#items[this.#index];
      this.#index = (this.#index + 1) % this.#items.length;
      return item;
    });
  }
}

function joiner(separator: Value): Callable {
  let isUsed = false;
  return new Callable("Joiner", () => {
    const given = isUsed ? separator : "";
    isUsed = true;
    return given;
  });
}
