/** The methods of `str`. */
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import { formatText, type Reach } from "./format.ts";
import {
  capitalize,
  codePoints,
  countText,
  isSpace,
  lengthOf,
  replaceText,
  splitAt,
  splitAtRight,
  splitLines,
  splitWords,
  splitWordsRight,
  strip,
  titleWords,
  toCodePointIndex,
} from "./text.ts";
import {
  type Arguments,
  bind,
  Dict,
  Tuple,
  toInt,
  toList,
  toText,
  truth,
  typeName,
  type Value,
} from "./values.ts";

type Method = (text: string, args: Arguments, budget: Budget, reach: Reach) => Value;

const simple =
  (name: string, make: (text: string) => Value): Method =>
  (text, args, budget) => {
    bind(name, args, []);
    budget.text(text.length);
    return make(text);
  };

/** Returns true if the text has cased letters and `make` changes none of them. */
const hasCase = (text: string, make: (text: string) => string, other: RegExp): boolean =>
  text !== make(text) ? false : !other.test(text) && /[\p{Lu}\p{Ll}\p{Lt}]/u.test(text);

const matches = (pattern: RegExp) => (text: string) => pattern.test(text);

function stripped(name: string, left: boolean, right: boolean): Method {
  return (text, args, budget) => {
    const [chars = null] = bind(name, args, ["chars"]);
    budget.text(text.length);
    return strip(text, chars === null ? undefined : toText(chars, `${name} arg`), left, right);
  };
}

function affix(name: "startswith" | "endswith"): Method {
  return (text, args, budget) => {
    const [affixes, start = null, end = null] = bind(name, args, ["prefix", "start", "end"], 1);
    const list = affixes instanceof Tuple ? affixes.items : [affixes];
    const whole = start === null && end === null ? text : sliced(text, start, end).text;
    budget.text(0);
    return list.some((one) => {
      if (typeof one !== "string")
        throw new TemplateRuntimeError(
          `${name} first arg must be str or a tuple of str, not ${typeName(one)}`,
        );
      return name === "startswith" ? whole.startsWith(one) : whole.endsWith(one);
    });
  };
}

/** Returns text[start:end] and the number of code points before it. */
function sliced(text: string, start: Value, end: Value): { text: string; before: number } {
  if ((start === null || start === undefined) && (end === null || end === undefined))
    return { text, before: 0 };
  const points = codePoints(text);
  const at = (bound: Value, otherwise: number) => {
    if (bound === null || bound === undefined) return otherwise;
    const index = toInt(bound);
    return Math.max(0, Math.min(points.length, index < 0 ? index + points.length : index));
  };
  const before = at(start, 0);
  return { text: points.slice(before, at(end, points.length)).join(""), before };
}

function find(name: "find" | "rfind" | "index" | "rindex"): Method {
  return (text, args, budget) => {
    const [part, start, end] = bind(name, args, ["sub", "start", "end"], 1);
    budget.text(text.length);
    const within = sliced(text, start, end);
    const wanted = toText(part, "argument");
    const found = name.startsWith("r") ? within.text.lastIndexOf(wanted) : within.text.indexOf(wanted);
    if (found < 0 && name.endsWith("index")) throw new TemplateRuntimeError("substring not found");
    return BigInt(found < 0 ? -1 : within.before + toCodePointIndex(within.text, found));
  };
}

function split(name: "split" | "rsplit"): Method {
  return (text, args, budget) => {
    const [separator = null, max = -1n] = bind(name, args, ["sep", "maxsplit"]);
    const limit = toInt(max);
    budget.text(text.length);
    if (separator === null) return name === "split" ? splitWords(text, limit) : splitWordsRight(text, limit);
    const at = toText(separator, "sep");
    if (at === "") throw new TemplateRuntimeError("empty separator");
    return name === "split" ? splitAt(text, at, limit) : splitAtRight(text, at, limit);
  };
}

function partition(name: "partition" | "rpartition"): Method {
  return (text, args) => {
    const at = toText(bind(name, args, ["sep"], 1)[0], "sep");
    if (at === "") throw new TemplateRuntimeError("empty separator");
    const index = name === "partition" ? text.indexOf(at) : text.lastIndexOf(at);
    if (index < 0) return new Tuple(name === "partition" ? [text, "", ""] : ["", "", text]);
    return new Tuple([text.slice(0, index), at, text.slice(index + at.length)]);
  };
}

function justified(name: "center" | "ljust" | "rjust"): Method {
  return (text, args, budget) => {
    const [width, fill = " "] = bind(name, args, ["width", "fillchar"], 1);
    const missing = toInt(width) - lengthOf(text);
    if (missing <= 0) return text;
    budget.text(missing);
    const pad = toText(fill, "fillchar");
    const left = name === "ljust" ? 0 : name === "rjust" ? missing : centred(missing, toInt(width));
    return pad.repeat(left) + text + pad.repeat(missing - left);
  };
}

/** CPython's rule for the left half of an odd number of fill characters. */
const centred = (missing: number, width: number) => Math.floor(missing / 2) + (missing & width & 1);

const replace: Method = (text, args, budget) => {
  const [old, replacement, count = -1n] = bind("replace", args, ["old", "new", "count"], 2);
  const from = toText(old, "replace() argument 1");
  const to = toText(replacement, "replace() argument 2");
  const times = toInt(count);
  if (from.length < to.length || from === "") budget.text(text.length + countText(text, from) * to.length);
  else budget.text(text.length);
  return replaceText(text, from, to, times);
};

const join: Method = (text, args, budget) => {
  const items = toList(bind("join", args, ["iterable"], 1)[0], budget);
  const parts = items.map((item, i) => {
    if (typeof item !== "string")
      throw new TemplateRuntimeError(`sequence item ${i}: expected str instance, ${typeName(item)} found`);
    return item;
  });
  budget.text(parts.reduce((sum, part) => sum + part.length + text.length, 0));
  return parts.join(text);
};

const removed =
  (name: "removeprefix" | "removesuffix"): Method =>
  (text, args) => {
    const affixText = toText(bind(name, args, ["affix"], 1)[0], `${name}() argument`);
    if (affixText === "") return text;
    if (name === "removeprefix") return text.startsWith(affixText) ? text.slice(affixText.length) : text;
    return text.endsWith(affixText) ? text.slice(0, text.length - affixText.length) : text;
  };

const zfill: Method = (text, args, budget) => {
  const width = toInt(bind("zfill", args, ["width"], 1)[0]);
  const missing = width - lengthOf(text);
  if (missing <= 0) return text;
  budget.text(missing);
  const sign = /^[-+]/.exec(text)?.[0] ?? "";
  return sign + "0".repeat(missing) + text.slice(sign.length);
};

const expandTabs: Method = (text, args, budget) => {
  const size = toInt(bind("expandtabs", args, ["tabsize"])[0] ?? 8n);
  budget.text(text.length + countText(text, "\t") * Math.max(0, size));
  let column = 0;
  return codePoints(text)
    .map((point) => {
      if (point === "\t") {
        const spaces = size > 0 ? size - (column % size) : 0;
        column += spaces;
        return " ".repeat(spaces);
      }
      column = point === "\n" || point === "\r" ? 0 : column + 1;
      return point;
    })
    .join("");
};

const swapCase = (text: string) =>
  Array.from(text, (point) =>
    point === point.toLowerCase() ? point.toUpperCase() : point.toLowerCase(),
  ).join("");

export const STRING_METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  ["upper", simple("upper", (text) => text.toUpperCase())],
  ["lower", simple("lower", (text) => text.toLowerCase())],
  ["casefold", simple("casefold", (text) => text.toLowerCase().replaceAll("ß", "ss").replaceAll("ς", "σ"))],
  ["capitalize", simple("capitalize", capitalize)],
  ["title", simple("title", titleWords)],
  ["swapcase", simple("swapcase", swapCase)],
  ["strip", stripped("strip", true, true)],
  ["lstrip", stripped("lstrip", true, false)],
  ["rstrip", stripped("rstrip", false, true)],
  ["startswith", affix("startswith")],
  ["endswith", affix("endswith")],
  ["find", find("find")],
  ["rfind", find("rfind")],
  ["index", find("index")],
  ["rindex", find("rindex")],
  ["split", split("split")],
  ["rsplit", split("rsplit")],
  ["partition", partition("partition")],
  ["rpartition", partition("rpartition")],
  ["center", justified("center")],
  ["ljust", justified("ljust")],
  ["rjust", justified("rjust")],
  ["replace", replace],
  ["join", join],
  ["removeprefix", removed("removeprefix")],
  ["removesuffix", removed("removesuffix")],
  ["zfill", zfill],
  ["expandtabs", expandTabs],
  ["splitlines", (text, args) => splitLines(text, truth(bind("splitlines", args, ["keepends"])[0]))],
  [
    "count",
    (text, args, budget) => {
      const [part, start, end] = bind("count", args, ["sub", "start", "end"], 1);
      budget.text(text.length);
      return BigInt(countText(sliced(text, start, end).text, toText(part, "count() argument")));
    },
  ],
  ["format", (text, args, budget, reach) => formatText(text, args, reach, budget)],
  [
    "format_map",
    (text, args, budget, reach) => {
      const [map] = bind("format_map", args, ["mapping"], 1);
      if (!(map instanceof Dict)) throw new TemplateRuntimeError("format_map() needs a mapping");
      const keyword = new Map(Array.from(map.entries(), ([key, value]) => [String(key), value] as const));
      return formatText(text, { positional: [], keyword }, reach, budget);
    },
  ],
  ["isupper", simple("isupper", (text) => hasCase(text, (one) => one.toUpperCase(), /[\p{Ll}\p{Lt}]/u))],
  ["islower", simple("islower", (text) => hasCase(text, (one) => one.toLowerCase(), /[\p{Lu}\p{Lt}]/u))],
  ["istitle", simple("istitle", (text) => /\p{L}/u.test(text) && text === titleWords(text))],
  ["isspace", simple("isspace", isSpace)],
  ["isalpha", simple("isalpha", matches(/^\p{L}+$/u))],
  ["isalnum", simple("isalnum", matches(/^[\p{L}\p{N}]+$/u))],
  ["isdecimal", simple("isdecimal", matches(/^\p{Nd}+$/u))],
  ["isdigit", simple("isdigit", matches(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉①-⑨⑴-⑼⒈-⒐⓪⓵-⓽⓿❶-❾➀-➈➊-➒]+$/u))],
  ["isnumeric", simple("isnumeric", matches(/^[\p{N}]+$/u))],
  // biome-ignore lint/suspicious/noControlCharactersInRegex: ASCII includes control characters
  ["isascii", simple("isascii", matches(/^[\x00-\x7f]*$/))],
  ["isidentifier", simple("isidentifier", matches(/^[\p{ID_Start}_][\p{ID_Continue}]*$/u))],
  ["isprintable", simple("isprintable", (text) => !/(?! )[\p{C}\p{Z}]/u.test(text))],
]);
