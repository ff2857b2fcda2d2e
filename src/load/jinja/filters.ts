/** Filters of single values; list-filters.ts has the filters of lists. */

import { type Budget, TemplateRuntimeError } from "./budget.ts";
import type { Filter } from "./filter.ts";
import { fixed, formatPercent } from "./format.ts";
import { type JsonOptions, toJson } from "./json.ts";
import { LIST_FILTERS } from "./list-filters.ts";
import { STRING_METHODS } from "./string-methods.ts";
import {
  capitalize,
  codePoints,
  countText,
  lengthOf,
  replaceText,
  splitAtRight,
  splitLines,
  strip,
} from "./text.ts";
import {
  bind,
  Dict,
  iterable,
  known,
  length,
  NO_ARGUMENTS,
  printed,
  str,
  Tuple,
  toInt,
  toList,
  toText,
  truth,
  typeName,
  Undefined,
  type Value,
  walk,
} from "./values.ts";

/** Creates a filter that converts any value to text first. */
const onText =
  (name: string, make: (text: string) => string): Filter =>
  (value, args, { budget }) => {
    bind(name, args, []);
    const text = printed(value, budget);
    budget.text(text.length);
    return make(text);
  };

const byDefault: Filter = (value, args) => {
  const [otherwise = "", isBoolean = false] = bind("default", args, ["default_value", "boolean"]);
  const isMissing = value === undefined || value instanceof Undefined || (truth(isBoolean) && !truth(value));
  return isMissing ? otherwise : value;
};

const trim: Filter = (value, args, { budget }) => {
  const [chars = null] = bind("trim", args, ["chars"]);
  const text = printed(value, budget);
  budget.text(text.length);
  return strip(text, chars === null ? undefined : toText(chars, "strip arg"), true, true);
};

const replace: Filter = (value, args, { budget }) => {
  const [old, replacement, count = null] = bind("replace", args, ["old", "new", "count"], 2);
  const [text, from, to] = [value, old, replacement].map((one) => printed(one, budget));
  if (text === undefined || from === undefined || to === undefined) return "";
  budget.text(text.length + (to.length > from.length ? countText(text, from) * to.length : 0));
  return replaceText(text, from, to, count === null ? -1 : toInt(count));
};

const countOf: Filter = (value, args) => {
  bind("length", args, []);
  const size = length(value);
  if (size === undefined) throw new TemplateRuntimeError(`object of type '${typeName(value)}' has no len()`);
  return BigInt(size);
};

const toInteger: Filter = (value, args) => {
  const [otherwise = 0n, base = 10n] = bind("int", args, ["default", "base"]);
  if (typeof value === "string") {
    const whole = wholeOf(value, toInt(base));
    if (whole !== undefined) return whole;
  }
  if (value instanceof Undefined) known(value);
  if (typeof value === "bigint") return value;
  const number = floatOf(value);
  return number === undefined || !Number.isFinite(number) ? otherwise : BigInt(Math.trunc(number));
};

/** `int(text, base)`; undefined if Python raises an error. */
function wholeOf(text: string, base: number): bigint | undefined {
  const match = /^([-+]?)(0[bBoOxX])?(\w+)$/.exec(
    strip(text, undefined, true, true).replace(/(?<=\w)_(?=\w)/g, ""),
  );
  if (!match) return undefined;
  const [, sign, prefix = "", digits = ""] = match;
  const ofPrefix = { "": base, "0b": 2, "0o": 8, "0x": 16 }[prefix.toLowerCase()] ?? base;
  if (prefix !== "" && ofPrefix !== base && base !== 0) return undefined;
  const real = base === 0 && prefix === "" ? 10 : ofPrefix;
  let value = 0n;
  for (const digit of digits) {
    const one = Number.parseInt(digit, real);
    if (Number.isNaN(one)) return undefined;
    value = value * BigInt(real) + BigInt(one);
    if (digits.length > 4300) return undefined;
  }
  return sign === "-" ? -value : value;
}

/** `float(value)`; undefined if Python raises an error. */
function floatOf(value: Value): number | undefined {
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean")
    return Number(value);
  if (typeof value !== "string") return undefined;
  const text = strip(value, undefined, true, true).replace(/(?<=\d)_(?=\d)/g, "");
  if (/^[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?$/.test(text)) return Number(text);
  const word = /^([-+]?)(inf|infinity|nan)$/i.exec(text);
  if (!word) return undefined;
  const size = word[2]?.toLowerCase() === "nan" ? Number.NaN : Number.POSITIVE_INFINITY;
  return word[1] === "-" ? -size : size;
}

const toFloat: Filter = (value, args) => {
  const [otherwise = 0] = bind("float", args, ["default"]);
  if (value instanceof Undefined) known(value);
  return floatOf(value) ?? otherwise;
};

const absolute: Filter = (value) => {
  known(value);
  if (typeof value === "bigint") return value < 0n ? -value : value;
  if (typeof value === "boolean") return BigInt(value);
  if (typeof value === "number") return Math.abs(value);
  throw new TemplateRuntimeError(`bad operand type for abs(): '${typeName(value)}'`);
};

const round: Filter = (value, args) => {
  const [precision = 0n, method = "common"] = bind("round", args, ["precision", "method"]);
  if (method !== "common" && method !== "ceil" && method !== "floor")
    throw new TemplateRuntimeError("method must be common, ceil or floor");
  known(value);
  const places = toInt(precision);
  if (typeof value === "boolean") return BigInt(value);
  if (typeof value !== "number" && typeof value !== "bigint")
    throw new TemplateRuntimeError(`type ${typeName(value)} doesn't define __round__ method`);
  if (method !== "common") return Math[method](Number(value) * 10 ** places) / 10 ** places;
  if (typeof value === "bigint" && places >= 0) return value;
  const number = Number(value);
  if (places < 0) {
    const rounded = Math.round(number / 10 ** -places) * 10 ** -places;
    return typeof value === "bigint" ? BigInt(rounded) : rounded;
  }
  if (!Number.isFinite(number)) return number;
  return (
    Math.sign(number) * Number(fixed(Math.abs(number), Math.min(places, 40))) ||
    (Object.is(Math.sign(number), -1) ? -0 : 0)
  );
};

const indent: Filter = (value, args, { budget }) => {
  const [width = 4n, first = false, blank = false] = bind("indent", args, ["width", "first", "blank"]);
  const text = toText(value, "the value to indent");
  const size = typeof width === "string" ? width.length : toInt(width);
  const lines = splitLines(`${text}\n`, false);
  budget.text(text.length + lines.length * Math.max(0, size));
  const space = typeof width === "string" ? width : " ".repeat(Math.max(0, size));
  const made = lines
    .map((line, i) => (i > 0 && (line !== "" || truth(blank)) ? space + line : line))
    .join("\n");
  return truth(first) ? space + made : made;
};

const format: Filter = (value, args, { budget }) => {
  const named = new Dict();
  for (const [key, one] of args.keyword) named.set(key, one);
  if (args.positional.length > 0 && named.size > 0)
    throw new TemplateRuntimeError("can't handle positional and keyword arguments at the same time");
  return formatPercent(printed(value, budget), named.size > 0 ? named : new Tuple(args.positional), budget);
};

const title = onText("title", (text) =>
  text
    .split(/([-\s({[<]+)/u)
    .map((part) => {
      const [first = "", ...rest] = part;
      return first.toUpperCase() + rest.join("").toLowerCase();
    })
    .join(""),
);

const truncate: Filter = (value, args) => {
  const [size = 255n, cutsWords = false, end = "...", leeway = 5n] = bind("truncate", args, [
    "length",
    "killwords",
    "end",
    "leeway",
  ]);
  const tail = toText(end, "end");
  const keep = toInt(size) - lengthOf(tail);
  if (keep < 0) throw new TemplateRuntimeError(`expected length >= ${lengthOf(tail)}, got ${toInt(size)}`);
  if ((length(value) ?? Number.POSITIVE_INFINITY) <= toInt(size) + toInt(leeway)) return value;
  const text = toText(value, "the value to truncate");
  const head = codePoints(text).slice(0, keep).join("");
  return (truth(cutsWords) ? head : (splitAtRight(head, " ", 1)[0] ?? "")) + tail;
};

const center: Filter = (value, args, context) => {
  const [width = 80n] = bind("center", args, ["width"]);
  const method = STRING_METHODS.get("center");
  return method?.(
    printed(value, context.budget),
    { ...NO_ARGUMENTS, positional: [width] },
    context.budget,
    context.attributes,
  );
};

const HTML: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&#34;",
  "'": "&#39;",
};

const escapeHtml: Filter = (value, _args, { budget }) => {
  const text = printed(value, budget);
  budget.text(text.length * 5);
  return text.replace(/[&<>"']/g, (one) => HTML[one] ?? one);
};

/** `urllib.parse.quote`. In a query it also quotes "/" and turns a space into a plus. */
function quote(value: Value, isQuery: boolean, budget: Budget): string {
  const text = str(value, budget);
  budget.text(text.length * 9);
  const percent = (one: string) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`;
  const quoted = encodeURIComponent(text.replace(/\p{Surrogate}/gu, "\ufffd")).replace(/[!'()*]/g, percent);
  return isQuery ? quoted.replaceAll("%20", "+") : quoted.replaceAll("%2F", "/");
}

const urlEncode: Filter = (value, _args, { budget }) => {
  const isPlain = typeof value === "string" || iterable(value) === undefined;
  if (isPlain) return quote(value, false, budget);
  const pairs = value instanceof Dict ? Array.from(value.entries(), (pair) => new Tuple(pair)) : walk(value);
  return Array.from(pairs, (pair) => {
    const items = toList(pair, budget);
    if (items.length !== 2)
      throw new TemplateRuntimeError(`expected 2 values to unpack, got ${items.length}`);
    return items.map((item) => quote(item, true, budget)).join("=");
  }).join("&");
};

const tojson: Filter = (value, args, { budget }) => {
  const names = ["ensure_ascii", "indent", "separators", "sort_keys"];
  const [ascii = false, width = null, separators = null, sorts = false] = bind("tojson", args, names);
  const pair = separators === null ? undefined : separators instanceof Tuple ? separators.items : separators;
  if (pair !== undefined && !(Array.isArray(pair) && pair.length === 2))
    throw new TemplateRuntimeError("separators must be a pair of texts");
  const size = width === null || typeof width === "string" ? 0 : toInt(width);
  budget.text(Math.max(0, size));
  const options: JsonOptions = {
    ensureAscii: truth(ascii),
    indent: width === null ? undefined : typeof width === "string" ? width : " ".repeat(Math.max(0, size)),
    itemSeparator: pair === undefined ? (width === null ? ", " : ",") : toText(pair[0], "a separator"),
    keySeparator: pair === undefined ? ": " : toText(pair[1], "a separator"),
    sortsKeys: truth(sorts),
  };
  return toJson(value, options, budget);
};

const FILTERS: ReadonlyMap<string, Filter> = new Map<string, Filter>([
  ...LIST_FILTERS,
  ["abs", absolute],
  [
    "attr",
    (value, args, { attributes }) => {
      const name = toText(bind("attr", args, ["name"], 1)[0], "name");
      if (!(value instanceof Dict)) return attributes.attribute(value, name);
      const own = attributes.attribute(new Dict(), name);
      return own instanceof Undefined ? own : attributes.attribute(value, name);
    },
  ],
  ["capitalize", onText("capitalize", capitalize)],
  ["center", center],
  ["count", countOf],
  ["d", byDefault],
  ["default", byDefault],
  ["e", escapeHtml],
  ["escape", escapeHtml],
  ["float", toFloat],
  ["forceescape", escapeHtml],
  ["format", format],
  ["indent", indent],
  ["int", toInteger],
  ["length", countOf],
  ["lower", onText("lower", (text) => text.toLowerCase())],
  ["replace", replace],
  ["round", round],
  ["safe", onText("safe", (text) => text)],
  ["string", onText("string", (text) => text)],
  ["title", title],
  ["tojson", tojson],
  ["trim", trim],
  ["truncate", truncate],
  ["upper", onText("upper", (text) => text.toUpperCase())],
  ["urlencode", urlEncode],
  [
    "wordcount",
    (value, _args, { budget }) => BigInt(printed(value, budget).match(/[\p{L}\p{N}\p{M}_]+/gu)?.length ?? 0),
  ],
]);

/** Filters of Jinja that chat templates have no use for. */
const UNSUPPORTED = new Set([
  "filesizeformat",
  "pprint",
  "random",
  "striptags",
  "urlize",
  "wordwrap",
  "xmlattr",
]);

/** @throws TemplateRuntimeError when no filter has this name */
export function filterNamed(name: string): Filter {
  const filter = FILTERS.get(name);
  if (filter) return filter;
  throw new TemplateRuntimeError(
    UNSUPPORTED.has(name) ? `the filter '${name}' is not supported here` : `No filter named '${name}'.`,
  );
}
