/** Filters of lists. */
import { TemplateRuntimeError } from "./budget.ts";
import type { Filter, FilterContext } from "./filter.ts";
import { binary } from "./operators.ts";
import { codePoints } from "./text.ts";
import {
  type Arguments,
  bind,
  compare,
  Dict,
  Generator,
  hashOf,
  isEqual,
  orUndefined,
  printed,
  Tuple,
  toInt,
  toList,
  truth,
  typeName,
  Undefined,
  type Value,
  walk,
} from "./values.ts";

type Getter = (item: Value) => Value;

const ignoreCase = (value: Value): Value => (typeof value === "string" ? value.toLowerCase() : value);

/** Creates a function that resolves a path such as "a.b.0" in a value. */
function getter(attribute: Value, context: FilterContext, otherwise: Value = null): Getter {
  if (attribute === null || attribute === undefined) return (item) => item;
  const parts = typeof attribute === "string" ? attribute.split(".") : [attribute];
  const keys = parts.map((part) => (typeof part === "string" && /^\d+$/.test(part) ? BigInt(part) : part));
  return (item) =>
    keys.reduce((value: Value, key) => {
      const found = context.attributes.item(value, key);
      return found instanceof Undefined && otherwise !== null ? otherwise : found;
    }, item);
}

function sorted(values: Value, keyOf: Getter, isReversed: boolean, context: FilterContext): Value[] {
  const keyed = toList(values, context.budget).map((item) => ({ item, key: keyOf(item) }));
  const sign = isReversed ? -1 : 1;
  keyed.sort((a, b) => {
    context.budget.spend();
    const order = compare(a.key, b.key, "<");
    return sign * (Number.isNaN(order) ? 0 : order);
  });
  return keyed.map(({ item }) => item);
}

const join: Filter = (value, args, context) => {
  const [separator = "", attribute = null] = bind("join", args, ["d", "attribute"]);
  const get = getter(attribute, context);
  const between = printed(separator, context.budget);
  const parts: string[] = [];
  for (const item of walk(value)) {
    const text = printed(get(item), context.budget);
    context.budget.text(text.length + between.length);
    parts.push(text);
  }
  context.budget.text(parts.reduce((sum, part) => sum + part.length + between.length, 0));
  return parts.join(between);
};

const first: Filter = (value) => {
  for (const item of walk(value)) return item;
  return new Undefined("No first item, sequence was empty.");
};

const last: Filter = (value, _args, { budget }) => {
  if (value instanceof Generator || (typeof value !== "object" && typeof value !== "string"))
    throw new TemplateRuntimeError(`'${typeName(value)}' object is not reversible`);
  return orUndefined(toList(value, budget).at(-1), "No last item, sequence was empty.");
};

const reverse: Filter = (value, _args, { budget }) => {
  if (typeof value !== "string") return new Generator(toList(value, budget).reverse());
  budget.text(value.length);
  return codePoints(value).toReversed().join("");
};

/** `map('filter', ...)` and `map(attribute=..., default=...)`. */
const map: Filter = (value, args, context) => {
  const values = truth(value) ? walk(value) : [];
  return new Generator(mapped(values, mapper(args, context), context));
};

function mapper(args: Arguments, context: FilterContext): Getter {
  const [name, ...rest] = args.positional;
  if (name === undefined) {
    const [attribute, otherwise] = bind("map", args, ["attribute", "default"], 1);
    return getter(attribute, context, otherwise ?? null);
  }
  const inner = { positional: rest, keyword: args.keyword };
  return (item) => context.filter(String(name), item, inner);
}

function* mapped(values: Iterable<Value>, of: Getter, { budget }: FilterContext): Iterable<Value> {
  for (const item of values) {
    budget.spend();
    yield of(item);
  }
}

function* kept(
  values: Iterable<Value>,
  keeps: (item: Value) => boolean,
  { budget }: FilterContext,
): Iterable<Value> {
  for (const item of values) {
    budget.spend();
    if (keeps(item)) yield item;
  }
}

/** Creates `select` and `reject`, or their attribute variants `selectattr` and `rejectattr`. */
const selecting =
  (wanted: boolean, byAttribute: boolean): Filter =>
  (value, args, context) => {
    const positional = [...args.positional];
    if (byAttribute && positional.length === 0)
      throw new TemplateRuntimeError("Missing parameter for attribute name");
    const get = byAttribute ? getter(positional.shift() ?? null, context) : (item: Value) => item;
    const name = positional.shift();
    const rest = { positional, keyword: args.keyword };
    const passes = (item: Value) =>
      name === undefined ? truth(item) : context.test(String(name), item, rest);
    return new Generator(
      kept(truth(value) ? walk(value) : [], (item) => passes(get(item)) === wanted, context),
    );
  };

const sort: Filter = (value, args, context) => {
  const [isReversed = false, caseSensitive = false, attribute = null] = bind("sort", args, [
    "reverse",
    "case_sensitive",
    "attribute",
  ]);
  const fold = truth(caseSensitive) ? (key: Value) => key : ignoreCase;
  const getters = (typeof attribute === "string" ? attribute.split(",") : [attribute]).map((one) =>
    getter(one, context),
  );
  return sorted(value, (item) => getters.map((get) => fold(get(item))), truth(isReversed), context);
};

const unique: Filter = (value, args, context) => {
  const [caseSensitive = false, attribute = null] = bind("unique", args, ["case_sensitive", "attribute"]);
  const get = getter(attribute, context);
  const seen = new Set<string>();
  const isNew = (item: Value) => {
    const key = hashOf(truth(caseSensitive) ? get(item) : ignoreCase(get(item)));
    return !seen.has(key) && seen.add(key).size > 0;
  };
  return new Generator(kept(walk(value), isNew, context));
};

const extreme =
  (sign: 1 | -1): Filter =>
  (value, args, context) => {
    const [caseSensitive = false, attribute = null] = bind("min", args, ["case_sensitive", "attribute"]);
    const get = getter(attribute, context);
    const keyOf = (item: Value) => (truth(caseSensitive) ? get(item) : ignoreCase(get(item)));
    const items = toList(value, context.budget);
    if (items.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    return items.reduce((best, item) =>
      compare(keyOf(item), keyOf(best), sign > 0 ? ">" : "<") * sign > 0 ? item : best,
    );
  };

const sum: Filter = (value, args, context) => {
  const [attribute = null, start = 0n] = bind("sum", args, ["attribute", "start"]);
  const get = getter(attribute, context);
  return toList(value, context.budget).reduce(
    (total, item) => binary("+", total, get(item), context.budget),
    start,
  );
};

const groupBy: Filter = (value, args, context) => {
  const [attribute, otherwise = null, caseSensitive = false] = bind(
    "groupby",
    args,
    ["attribute", "default", "case_sensitive"],
    1,
  );
  const get = getter(attribute, context, otherwise);
  const keyOf = (item: Value) => (truth(caseSensitive) ? get(item) : ignoreCase(get(item)));
  const groups: { key: Value; items: Value[] }[] = [];
  for (const item of sorted(value, keyOf, false, context)) {
    const group = groups.at(-1);
    if (group && isEqual(group.key, keyOf(item))) group.items.push(item);
    else groups.push({ key: keyOf(item), items: [item] });
  }
  return groups.map(({ items }) => new Tuple([get(items[0]), items], ["grouper", "list"]));
};

const dictSort: Filter = (value, args, context) => {
  const [caseSensitive = false, by = "key", isReversed = false] = bind("dictsort", args, [
    "case_sensitive",
    "by",
    "reverse",
  ]);
  if (!(value instanceof Dict))
    throw new TemplateRuntimeError(`'${typeName(value)}' object has no attribute 'items'`);
  if (by !== "key" && by !== "value")
    throw new TemplateRuntimeError('You can only sort by either "key" or "value"');
  const pairs = Array.from(value.entries(), (pair) => new Tuple(pair));
  const keyOf = (pair: Value) => {
    const key = pair instanceof Tuple ? pair.items[by === "key" ? 0 : 1] : pair;
    return truth(caseSensitive) ? key : ignoreCase(key);
  };
  return sorted(pairs, keyOf, truth(isReversed), context);
};

const items: Filter = (value) => {
  if (value === undefined || value instanceof Undefined) return new Generator([]);
  if (!(value instanceof Dict)) throw new TemplateRuntimeError("Can only get item pairs from a mapping.");
  return new Generator(Array.from(value.entries(), (pair) => new Tuple(pair)));
};

const batch: Filter = (value, args, { budget }) => {
  const [size, fill = null] = bind("batch", args, ["linecount", "fill_with"], 1);
  const width = toInt(size);
  const rows: Value[][] = [];
  for (const item of toList(value, budget)) {
    const row = rows.at(-1);
    if (row === undefined || row.length === width) rows.push([item]);
    else row.push(item);
  }
  const tail = rows.at(-1);
  if (tail !== undefined && fill !== null) {
    budget.spend(Math.max(0, width - tail.length));
    while (tail.length < width) tail.push(fill);
  }
  return new Generator(rows);
};

const slices: Filter = (value, args, { budget }) => {
  const [count, fill = null] = bind("slice", args, ["slices", "fill_with"], 1);
  const all = toList(value, budget);
  const parts = toInt(count);
  if (parts === 0) throw new TemplateRuntimeError("integer division or modulo by zero");
  budget.spend(parts);
  const size = Math.floor(all.length / parts);
  const extra = all.length % parts;
  let start = 0;
  const made = Array.from({ length: Math.max(0, parts) }, (_, i): Value[] => {
    const part = all.slice(start, start + size + (i < extra ? 1 : 0));
    start += part.length;
    return fill !== null && i >= extra ? [...part, fill] : part;
  });
  return new Generator(made);
};

export const LIST_FILTERS: readonly (readonly [string, Filter])[] = [
  ["batch", batch],
  ["dictsort", dictSort],
  ["first", first],
  ["groupby", groupBy],
  ["items", items],
  ["join", join],
  ["last", last],
  ["list", (value, _args, { budget }) => toList(value, budget)],
  ["map", map],
  ["max", extreme(1)],
  ["min", extreme(-1)],
  ["reject", selecting(false, false)],
  ["rejectattr", selecting(false, true)],
  ["reverse", reverse],
  ["select", selecting(true, false)],
  ["selectattr", selecting(true, true)],
  ["slice", slices],
  ["sort", sort],
  ["sum", sum],
  ["unique", unique],
];
