/** Python's `%` operator, `str.format` and format specifications. */
import { type Budget, TemplateRuntimeError } from "./budget.ts";
import { lengthOf } from "./text.ts";
import {
  type Arguments,
  Dict,
  known,
  Range,
  repr,
  reprFloat,
  str,
  Tuple,
  truth,
  typeName,
  type Value,
} from "./values.ts";

interface Spec {
  readonly fill: string;
  readonly align: string;
  readonly sign: string;
  readonly isAlternate: boolean;
  readonly width: number;
  readonly grouping: string;
  readonly precision: number | undefined;
  readonly type: string;
}

const PERCENT = /%(?:\(([^()]*)\))?([-+ 0#]*)(\*|\d+)?(?:\.(\*|\d+))?[hlL]?([\s\S]?)/gu;

/** `text % values`. */
export function formatPercent(text: string, values: Value, budget: Budget): string {
  const list = values instanceof Tuple ? values.items : [values];
  let next = 0;
  const take = (): Value => {
    if (next >= list.length) throw new TemplateRuntimeError("not enough arguments for format string");
    return list[next++];
  };
  const takeCount = (count: string | undefined): number | undefined =>
    count === undefined ? undefined : count === "*" ? Number(take()) : Number(count);
  const made = text.replace(PERCENT, (_, key, flags: string, widthText, precisionText, type: string) => {
    if (type === "%") return "%";
    if (type === "") throw new TemplateRuntimeError("incomplete format");
    const width = takeCount(widthText) ?? 0;
    const precision = takeCount(precisionText);
    const value = key === undefined ? take() : lookup(values, key);
    const isLeft = flags.includes("-") || width < 0;
    const isNumber = "diuoxXeEfFgG".includes(type);
    const padsZeros = flags.includes("0") && !isLeft && isNumber;
    const spec: Spec = {
      fill: padsZeros ? "0" : " ",
      align: isLeft ? "<" : padsZeros ? "=" : ">",
      sign: flags.includes("+") ? "+" : flags.includes(" ") ? " " : "-",
      isAlternate: flags.includes("#"),
      width: Math.abs(width),
      grouping: "",
      precision,
      type: type === "i" || type === "u" ? "d" : type,
    };
    return pad(percentText(value, spec, budget), spec, budget);
  });
  // Python also accepts a list as a mapping here
  if (next < list.length && !(values instanceof Dict || values instanceof Range || Array.isArray(values)))
    throw new TemplateRuntimeError("not all arguments converted during string formatting");
  return made;
}

function lookup(values: Value, key: string): Value {
  if (!(values instanceof Dict)) throw new TemplateRuntimeError("format requires a mapping");
  if (!values.has(key)) throw new TemplateRuntimeError(`KeyError: '${key}'`);
  return values.get(key);
}

function percentText(value: Value, spec: Spec, budget: Budget): string {
  const cut = (text: string) =>
    spec.precision === undefined ? text : Array.from(text).slice(0, spec.precision).join("");
  switch (spec.type) {
    case "s":
      return cut(str(value, budget));
    case "r":
    case "a":
      return cut(repr(value, budget));
    case "c":
      return typeof value === "bigint" ? String.fromCodePoint(Number(value)) : str(value, budget);
    case "d":
      return wholeText(
        typeof value === "number" ? BigInt(Math.trunc(value)) : value,
        spec,
        "%d format: a real number is required",
      );
    default:
      if ("oxX".includes(spec.type))
        return wholeText(value, spec, `%${spec.type} format: an integer is required`);
      if ("eEfFgG".includes(spec.type)) return floatText(value, spec);
      throw new TemplateRuntimeError(`unsupported format character '${spec.type}'`);
  }
}

const BASES: Readonly<Record<string, number>> = { d: 10, n: 10, b: 2, o: 8, x: 16, X: 16 };

function wholeText(value: Value, spec: Spec, message: string): string {
  const whole = typeof value === "boolean" ? BigInt(value) : value;
  if (typeof whole !== "bigint") throw new TemplateRuntimeError(`${message}, not ${typeName(value)}`);
  const absolute = whole < 0n ? -whole : whole;
  let digits = absolute.toString(BASES[spec.type] ?? 10).padStart(spec.precision ?? 0, "0");
  if (spec.type === "X") digits = digits.toUpperCase();
  const prefix = spec.isAlternate && spec.type !== "d" ? `0${spec.type}` : "";
  return signOf(whole < 0n, spec) + prefix + group(digits, spec);
}

function signOf(isNegative: boolean, { sign }: Spec): string {
  return isNegative ? "-" : sign === "-" ? "" : sign;
}

function group(digits: string, { grouping }: Spec): string {
  return grouping === "" ? digits : digits.replace(/\B(?=(\d{3})+$)/g, grouping);
}

function floatText(value: Value, spec: Spec): string {
  known(value);
  if (typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean")
    throw new TemplateRuntimeError(`must be real number, not ${typeName(value)}`);
  const number = Number(value) * (spec.type === "%" ? 100 : 1);
  const isNegative = number < 0 || Object.is(number, -0);
  const digits = floatDigits(Math.abs(number), spec);
  const [whole = "", rest] = digits.split(/(?=[.e%])/, 2);
  const tail = rest === undefined ? "" : digits.slice(whole.length);
  return signOf(isNegative, spec) + group(whole, spec) + tail;
}

function floatDigits(value: number, spec: Spec): string {
  if (!Number.isFinite(value))
    return spec.type === "F" || spec.type === "E" ? reprFloat(value).toUpperCase() : reprFloat(value);
  const precision = Math.min(spec.precision ?? 6, 100);
  const lower = spec.type.toLowerCase();
  if (lower === "e") return exponentForm(value.toExponential(precision), spec.type);
  if (lower === "g" || lower === "n") return generalForm(value, Math.max(precision, 1), spec);
  if (lower === "" && spec.precision === undefined) return reprFloat(value);
  if (lower === "") return generalForm(value, Math.max(precision, 1), spec);
  return fixed(value, precision) + (lower === "%" ? "%" : "");
}

/** Rounds the exact decimal, ties to even; `toFixed` rounds ties up. */
export function fixed(value: number, precision: number): string {
  if (value >= 1e21) return BigInt(value).toString() + (precision > 0 ? `.${"0".repeat(precision)}` : "");
  const up = value.toFixed(precision);
  const exact = precision < 40 ? value.toFixed(Math.min(precision + 60, 100)) : up;
  const rest = exact.slice(exact.length - Math.min(60, 100 - precision));
  const isTie = precision < 40 && /^50*$/.test(rest);
  if (!isTie) return up;
  const digit = Number(up.replace(".", "").slice(-1));
  if (digit % 2 === 0) return up;
  return exact.slice(0, exact.length - rest.length).replace(/\.$/, "");
}

function exponentForm(text: string, type: string): string {
  const made = text.replace(/e([+-])(\d)$/, "e$10$2");
  return type === "E" ? made.toUpperCase() : made;
}

function generalForm(value: number, precision: number, spec: Spec): string {
  const exponent = value === 0 ? 0 : Number(value.toExponential(precision - 1).split("e")[1]);
  const isWide = exponent < -4 || exponent >= precision;
  const text = isWide ? value.toExponential(precision - 1) : fixed(value, precision - 1 - exponent);
  const short = spec.isAlternate ? text : text.replace(/(\.\d*?)0+(?=e|$)/, "$1").replace(/\.(?=e|$)/, "");
  return isWide ? exponentForm(short, spec.type) : short;
}

function pad(text: string, spec: Spec, budget: Budget): string {
  const missing = spec.width - lengthOf(text);
  if (missing <= 0) return text;
  budget.text(missing);
  const fill = (count: number) => spec.fill.repeat(count);
  if (spec.align === "<") return text + fill(missing);
  if (spec.align === "^") return fill(Math.floor(missing / 2)) + text + fill(Math.ceil(missing / 2));
  if (spec.align !== "=") return fill(missing) + text;
  const sign = /^[-+ ]?(?:0[xXbo])?/.exec(text)?.[0] ?? "";
  return sign + fill(missing) + text.slice(sign.length);
}

const FIELD = /\{\{|\}\}|\{([^{}!:]*)(?:!([rsa]))?(?::((?:[^{}]|\{[^{}]*\})*))?\}|[{}]/gu;

/** Resolves `{0.name[key]}` within a value. */
export interface Reach {
  readonly attribute: (object: Value, name: string) => Value;
  readonly item: (object: Value, key: Value) => Value;
}

/** `text.format(...)`. */
export function formatText(text: string, args: Arguments, reach: Reach, budget: Budget): string {
  let next = 0;
  const field = (path: string): Value => {
    const name = /^[^.[]*/.exec(path)?.[0] ?? "";
    const key = name === "" ? String(next++) : name;
    let value: Value;
    if (/^\d+$/.test(key)) {
      if (Number(key) >= args.positional.length)
        throw new TemplateRuntimeError(`Replacement index ${key} out of range for positional args tuple`);
      value = args.positional[Number(key)];
    } else {
      if (!args.keyword.has(key)) throw new TemplateRuntimeError(`KeyError: '${key}'`);
      value = args.keyword.get(key);
    }
    for (const [, attribute, item = ""] of path.slice(name.length).matchAll(/\.([^.[]+)|\[([^\]]+)\]/g))
      value =
        attribute === undefined
          ? reach.item(value, /^\d+$/.test(item) ? BigInt(item) : item)
          : reach.attribute(value, attribute);
    return value;
  };
  return text.replace(FIELD, (whole, path: string | undefined, conversion, spec: string | undefined) => {
    if (whole === "{{" || whole === "}}") return whole.slice(1);
    if (path === undefined) throw new TemplateRuntimeError(`Single '${whole}' encountered in format string`);
    const raw = field(path);
    const value = conversion === undefined ? raw : conversion === "s" ? str(raw, budget) : repr(raw, budget);
    const inner = (spec ?? "").replace(/\{([^{}]*)\}/g, (_, name) => str(field(name), budget));
    return formatValue(value, inner, budget);
  });
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?z?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%]?)$/u;

/** `format(value, spec)`. */
function formatValue(value: Value, text: string, budget: Budget): string {
  if (text === "") return str(value, budget);
  const match = SPEC.exec(text);
  if (!match) throw new TemplateRuntimeError(`Invalid format specifier '${text}'`);
  const [, fill, align, sign = "-", alternate, zero, width, grouping = "", precision, type = ""] = match;
  const isText = typeof value !== "number" && typeof value !== "bigint" && typeof value !== "boolean";
  const spec: Spec = {
    fill: fill ?? (zero ? "0" : " "),
    align: align ?? (zero && !isText ? "=" : isText ? "<" : ">"),
    sign,
    isAlternate: alternate !== undefined,
    width: Number(width ?? 0),
    grouping,
    precision: precision === undefined ? undefined : Number(precision),
    type,
  };
  return pad(valueText(value, spec, isText, budget), spec, budget);
}

function valueText(value: Value, spec: Spec, isText: boolean, budget: Budget): string {
  if (isText || (spec.type === "s" && typeof value === "string")) {
    if (typeof value !== "string")
      throw new TemplateRuntimeError(`unsupported format string passed to ${typeName(value)}.__format__`);
    if (spec.type !== "" && spec.type !== "s")
      throw new TemplateRuntimeError(`Unknown format code '${spec.type}' for object of type 'str'`);
    return spec.precision === undefined ? value : Array.from(value).slice(0, spec.precision).join("");
  }
  if (typeof value === "boolean" && spec.type === "") return truth(value) ? "True" : "False";
  if (spec.type === "c") return String.fromCodePoint(Number(value));
  const isFloat = typeof value === "number" || "eEfFgG%".includes(spec.type || "d");
  if (!isFloat)
    return wholeText(value, spec.type === "" ? { ...spec, type: "d" } : spec, "an integer is required");
  if (spec.type === "" || "eEfFgGn%".includes(spec.type)) return floatText(value, spec);
  if (spec.type === "s") return str(value, budget);
  throw new TemplateRuntimeError(`Unknown format code '${spec.type}' for object of type 'float'`);
}
