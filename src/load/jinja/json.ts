/** `json.dumps` with the defaults of transformers' templates: Unicode unescaped, Python's spaces. */
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import { compareText } from "./text.ts";
import { Dict, Namespace, reprFloat, Tuple, typeName, type Value } from "./values.ts";

export interface JsonOptions {
  readonly ensureAscii: boolean;
  /** Indentation of a level; undefined puts all on one line. */
  readonly indent: string | undefined;
  readonly itemSeparator: string;
  readonly keySeparator: string;
  readonly sortsKeys: boolean;
}

const ESCAPES: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\b": "\\b",
  "\f": "\\f",
};

export function toJson(value: Value, options: JsonOptions, budget: Budget, level = 0): string {
  const text = budget.nested(() => plain(value, options, budget, level));
  budget.text(text.length);
  return text;
}

function plain(value: Value, options: JsonOptions, budget: Budget, level: number): string {
  if (typeof value === "string") return quoted(value, options);
  if (value === null) return "null";
  if (typeof value === "boolean" || typeof value === "bigint") return String(value);
  if (typeof value === "number") return jsonFloat(value);
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined;
  if (items)
    return block(
      "[]",
      items.map((item) => toJson(item, options, budget, level + 1)),
      options,
      level,
    );
  if (!(value instanceof Dict) || value instanceof Namespace)
    throw new TemplateRuntimeError(`Object of type ${typeName(value)} is not JSON serializable`);
  const entries = [...value.entries()];
  if (options.sortsKeys) entries.sort(([a], [b]) => compareText(keyText(a), keyText(b)));
  const parts = entries.map(
    ([key, item]) =>
      quoted(keyText(key), options) + options.keySeparator + toJson(item, options, budget, level + 1),
  );
  return block("{}", parts, options, level);
}

function block(braces: string, parts: readonly string[], options: JsonOptions, level: number): string {
  const { indent, itemSeparator } = options;
  if (parts.length === 0) return braces;
  if (indent === undefined) return braces.charAt(0) + parts.join(itemSeparator) + braces.charAt(1);
  const inner = `\n${indent.repeat(level + 1)}`;
  return `${braces.charAt(0)}${inner}${parts.join(itemSeparator + inner)}\n${indent.repeat(level)}${braces.charAt(1)}`;
}

function keyText(key: Value): string {
  if (typeof key === "string") return key;
  if (key === null) return "null";
  if (typeof key === "boolean" || typeof key === "bigint") return String(key);
  if (typeof key === "number") return jsonFloat(key);
  throw new TemplateRuntimeError(`keys must be str, int, float, bool or None, not ${typeName(key)}`);
}

function jsonFloat(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  return Number.isFinite(value) ? reprFloat(value) : value > 0 ? "Infinity" : "-Infinity";
}

function quoted(text: string, { ensureAscii }: JsonOptions): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: JSON escapes them
  const needsEscape = ensureAscii ? /["\\]|[^ -~]/g : /["\\\x00-\x1f]/g;
  const unit = (one: string) => ESCAPES[one] ?? `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`;
  return `"${text.replace(needsEscape, unit)}"`;
}
