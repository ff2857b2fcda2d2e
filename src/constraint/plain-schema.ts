/** JSON Schemas without combinations: all keywords that hold for a value at once. */
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { isAssertion } from "./formats.ts";
import { refuse } from "./limits.ts";

export type Schema = boolean | Readonly<Record<string, unknown>>;

export const TYPES = ["object", "array", "string", "number", "integer", "boolean", "null"] as const;
export type Type = (typeof TYPES)[number];

/** Keywords of one schema, checked. Absent keywords allow everything. */
export interface PlainSchema {
  readonly types?: readonly Type[] | undefined;
  readonly values?: readonly unknown[] | undefined;
  readonly properties: ReadonlyMap<string, Schema>;
  readonly required: readonly string[];
  /** Schema of other properties; undefined: the schema says nothing of them. */
  readonly additional?: Schema | undefined;
  /** Properties by a pattern of their name. */
  readonly patterned: ReadonlyMap<string, Schema>;
  readonly minProperties: number;
  readonly maxProperties: number;
  readonly prefixItems: readonly Schema[];
  readonly items?: Schema | undefined;
  readonly minItems: number;
  readonly maxItems: number;
  readonly isUnique: boolean;
  readonly minLength: number;
  readonly maxLength: number;
  /** Patterns that a text contains. */
  readonly patterns: readonly string[];
  /** Formats that a text has. */
  readonly formats: readonly string[];
  readonly low: number;
  readonly high: number;
  readonly isLowExcluded: boolean;
  readonly isHighExcluded: boolean;
}

const NONE = Number.POSITIVE_INFINITY;

export const ANYTHING: PlainSchema = {
  properties: new Map(),
  required: [],
  patterned: new Map(),
  minProperties: 0,
  maxProperties: NONE,
  prefixItems: [],
  minItems: 0,
  maxItems: NONE,
  isUnique: false,
  minLength: 0,
  maxLength: NONE,
  patterns: [],
  formats: [],
  low: -NONE,
  high: NONE,
  isLowExcluded: false,
  isHighExcluded: false,
};

/** Keywords that say nothing about which values are right. */
const ANNOTATIONS: ReadonlySet<string> = new Set([
  ...["$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "$vocabulary", "title", "description"],
  ...["default", "example", "examples", "deprecated", "readOnly", "writeOnly", "contentMediaType"],
  ...["contentEncoding", "contentSchema", "strict", "id", "discriminator", "xml", "externalDocs"],
]);
/** Keywords that `schema-branches.ts` takes out first. */
const COMBINATIONS: ReadonlySet<string> = new Set([
  "$ref",
  "allOf",
  "anyOf",
  "oneOf",
  "unevaluatedProperties",
]);
const PLAIN: ReadonlySet<string> = new Set([
  ...["type", "enum", "const", "properties", "required", "additionalProperties", "patternProperties"],
  ...["minProperties", "maxProperties", "prefixItems", "items", "additionalItems", "minItems", "maxItems"],
  ...["uniqueItems", "minLength", "maxLength", "pattern", "format", "minimum", "maximum", "exclusiveMinimum"],
  ...["exclusiveMaximum", "multipleOf", "propertyNames", "nullable"],
]);

/** Reads the keywords of a schema. @throws RequestError naming an unknown or impossible one */
export function readPlain(schema: Readonly<Record<string, unknown>>, where: string): PlainSchema {
  for (const key of Object.keys(schema)) {
    if (PLAIN.has(key) || COMBINATIONS.has(key) || ANNOTATIONS.has(key) || key.startsWith("x-")) continue;
    throw refuse(
      where,
      `the keyword ${printValue(key)} is not supported; leave it out, or check the result yourself`,
    );
  }
  const lists = readLists(schema, where);
  const count = (key: string, absent: number) => readCount(schema, key, absent, where);
  return {
    types: readTypes(schema, where),
    values: readValues(schema, where),
    required: readNames(schema.required, where),
    ...readProperties(schema, where),
    minProperties: count("minProperties", 0),
    maxProperties: count("maxProperties", NONE),
    ...lists,
    minItems: count("minItems", 0),
    maxItems: count("maxItems", NONE),
    isUnique: schema.uniqueItems === true,
    minLength: count("minLength", 0),
    maxLength: count("maxLength", NONE),
    patterns: textsOf(schema, "pattern", where),
    formats: textsOf(schema, "format", where).filter(isAssertion),
    ...readBounds(schema, where),
  };
}

/** `nullable` is OpenAPI's word for the type null. */
function readTypes(
  { type, nullable }: Readonly<Record<string, unknown>>,
  where: string,
): readonly Type[] | undefined {
  if (type === undefined) return undefined;
  const names = Array.isArray(type) ? type : [type];
  const types = TYPES.filter((one) => names.includes(one));
  if (types.length === 0 || names.some((name) => !TYPES.some((one) => one === name)))
    throw refuse(where, `its type must be of ${TYPES.join(", ")}, got ${printValue(type)}`);
  return nullable === true && !types.includes("null") ? [...types, "null"] : types;
}

function readValues(
  schema: Readonly<Record<string, unknown>>,
  where: string,
): readonly unknown[] | undefined {
  const { enum: listed } = schema;
  if (listed !== undefined && !Array.isArray(listed))
    throw refuse(where, `its enum must be a list, got ${printValue(listed)}`);
  if (!("const" in schema)) return listed ?? readMultiples(schema, where);
  const same = canonical(schema.const);
  return listed === undefined || listed.some((one) => canonical(one) === same) ? [schema.const] : [];
}

/** Whole multiples that are listed; beyond, use a pattern of digits. */
const MAX_MULTIPLES = 1_000;

/** The multiples between two bounds, which is what `multipleOf` leaves of whole numbers. */
function readMultiples(
  schema: Readonly<Record<string, unknown>>,
  where: string,
): readonly unknown[] | undefined {
  const { multipleOf: step, type } = schema;
  if (step === undefined || (step === 1 && type === "integer")) return undefined;
  const { low, high } = readBounds(schema, where);
  const isCounted = typeof step === "number" && Number.isSafeInteger(step) && step > 0 && type === "integer";
  const [first, last] = isCounted ? [Math.ceil(low / step), Math.floor(high / step)] : [0, NONE];
  if (!isCounted || !(last - first < MAX_MULTIPLES))
    throw refuse(
      where,
      `the keyword "multipleOf" is supported only as a whole number beside the type "integer", a minimum and a maximum, for at most ${MAX_MULTIPLES} multiples`,
    );
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, i) => (first + i) * step);
}

/** Properties by name, by pattern, and others. `propertyNames` says which names others may have. */
function readProperties(schema: Readonly<Record<string, unknown>>, where: string) {
  const properties = readSchemas(schema.properties, `${where}/properties`);
  const additional = optionalSchema(schema.additionalProperties, `${where}/additionalProperties`);
  const patterned = readSchemas(schema.patternProperties, `${where}/patternProperties`);
  const { propertyNames } = schema;
  const names = propertyNames === undefined ? true : asSchema(propertyNames, `${where}/propertyNames`);
  if (names === true) return { properties, additional, patterned };
  const listed = isObject(names) ? readValues(names, `${where}/propertyNames`) : [];
  const keys = isObject(names) ? Object.keys(names).filter((key) => !ANNOTATIONS.has(key)) : [];
  if (isObject(names) && keys.every((key) => key === "type") && (names.type ?? "string") === "string")
    return { properties, additional, patterned };
  if (!listed || patterned.size > 0)
    throw refuse(
      where,
      'the keyword "propertyNames" is supported as { "type": "string" } or with an enum, beside no patternProperties',
    );
  const known = listed.filter((name) => typeof name === "string");
  return {
    properties: new Map(known.map((name) => [name, properties.get(name) ?? additional ?? true])),
    additional: false,
    patterned,
  };
}

function readSchemas(value: unknown, where: string): ReadonlyMap<string, Schema> {
  if (value === undefined) return new Map();
  if (!isObject(value)) throw refuse(where, `it must be an object of schemas, got ${printValue(value)}`);
  return new Map(Object.entries(value).map(([key, one]) => [key, asSchema(one, `${where}/${key}`)]));
}

export function asSchema(value: unknown, where: string): Schema {
  if (typeof value === "boolean" || isObject(value)) return value;
  throw refuse(where, `a schema must be an object, true or false, got ${printValue(value)}`);
}

const optionalSchema = (value: unknown, where: string): Schema | undefined =>
  value === undefined ? undefined : asSchema(value, where);

function readNames(value: unknown, where: string): readonly string[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || !value.every((one) => typeof one === "string"))
    throw refuse(where, `required must be a list of names, got ${printValue(value)}`);
  return [...new Set(value)];
}

/** `items` and `prefixItems`; `items` as a list and `additionalItems` are their names in older drafts. */
function readLists(schema: Readonly<Record<string, unknown>>, where: string) {
  const { items, additionalItems } = schema;
  const prefix = schema.prefixItems ?? (Array.isArray(items) ? items : []);
  if (!Array.isArray(prefix)) throw refuse(where, "prefixItems must be a list of schemas");
  const rest = Array.isArray(items) ? additionalItems : items;
  return {
    prefixItems: prefix.map((one, i) => asSchema(one, `${where}/prefixItems/${i}`)),
    items: optionalSchema(rest, `${where}/items`),
  };
}

function readCount(
  schema: Readonly<Record<string, unknown>>,
  key: string,
  absent: number,
  where: string,
): number {
  const value = schema[key];
  if (value === undefined) return absent;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw refuse(where, `${key} must be a whole number of at least 0, got ${printValue(value)}`);
}

function textsOf(schema: Readonly<Record<string, unknown>>, key: string, where: string): readonly string[] {
  const value = schema[key];
  if (value === undefined) return [];
  if (typeof value === "string") return [value];
  throw refuse(where, `${key} must be a text, got ${printValue(value)}`);
}

function readBounds(schema: Readonly<Record<string, unknown>>, where: string) {
  const bound = (key: string, absent: number): number => {
    const value = schema[key];
    if (value === undefined) return absent;
    if (typeof value === "number" && Number.isFinite(value)) return value;
    throw refuse(where, `${key} must be a number, got ${printValue(value)}`);
  };
  const [minimum, above] = [bound("minimum", -NONE), bound("exclusiveMinimum", -NONE)];
  const [maximum, below] = [bound("maximum", NONE), bound("exclusiveMaximum", NONE)];
  return {
    low: Math.max(minimum, above),
    high: Math.min(maximum, below),
    isLowExcluded: above >= minimum && above > -NONE,
    isHighExcluded: below <= maximum && below < NONE,
  };
}

/** The JSON text of a value with sorted keys: equal for equal values. */
export function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value)) return JSON.stringify(value) ?? "null";
  const entries = Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`);
  return `{${entries.join()}}`;
}
