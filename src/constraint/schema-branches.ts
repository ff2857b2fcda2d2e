/** Takes $ref, allOf, anyOf and oneOf out of a schema: what is left are plain schemas, one of which a value must satisfy. */
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { LIMITS, refuse } from "./limits.ts";
import {
  ANYTHING,
  asSchema,
  canonical,
  type PlainSchema,
  readPlain,
  type Schema,
  type Type,
} from "./plain-schema.ts";

export class SchemaBranches {
  readonly #root: Schema;
  readonly #places = new Map<string, Schema>();
  /** Schemas that two others make together, so that equal pairs are one object. */
  readonly #pairs = new Map<string, Schema>();
  readonly #ids = new Map<Schema, number>();
  #numExpanded = 0;

  constructor(root: Schema) {
    this.#root = root;
  }

  /** Follows references that stand alone. @throws RequestError */
  resolve(schema: Schema, where: string): Schema {
    let found = schema;
    for (let depth = 0; isObject(found) && typeof found.$ref === "string"; depth++) {
      if (Object.keys(found).some((key) => !REFERENCE_KEYS.has(key))) return found;
      if (depth > LIMITS.schemaDepth) throw refuse(where, "its references lead to themselves");
      found = this.#find(found.$ref, where);
    }
    return found;
  }

  /** Finds what a local reference points to. */
  #find(reference: string, where: string): Schema {
    const known = this.#places.get(reference);
    if (known !== undefined) return known;
    if (!reference.startsWith("#"))
      throw refuse(
        where,
        `the reference ${printValue(reference)} leaves the schema; put the definition into $defs`,
      );
    let place: unknown = this.#root;
    for (const key of reference.slice(1).split("/").slice(1).map(pointerKey)) {
      const isKnown = (isObject(place) || Array.isArray(place)) && Object.hasOwn(place, key);
      place = isKnown ? (place as Record<string, unknown>)[key] : undefined;
    }
    if (place === undefined || !/^#(\/|$)/.test(reference))
      throw refuse(where, `the reference ${printValue(reference)} leads nowhere`);
    const schema = asSchema(place, reference);
    this.#places.set(reference, schema);
    return schema;
  }

  /** @throws RequestError beyond the limits on depth and branches, and for a oneOf whose schemas may hold together */
  expand(schema: Schema, where: string, depth = 0): readonly PlainSchema[] {
    if (schema === true) return [ANYTHING];
    if (schema === false) return [];
    if (++this.#numExpanded > LIMITS.expansions)
      throw refuse(where, `its references and combinations lead to more than ${LIMITS.expansions} schemas`);
    if (depth > LIMITS.schemaDepth)
      throw refuse(
        where,
        `it combines schemas in more than ${LIMITS.schemaDepth} levels, or refers to itself`,
      );
    const next = (one: Schema, place: string) => this.expand(one, `${where}/${place}`, depth + 1);
    let branches: readonly PlainSchema[] = [readPlain(schema, where)];
    const add = (more: readonly PlainSchema[]) => {
      branches = this.#cross(branches, more, where);
    };
    if (schema.$ref !== undefined) {
      if (typeof schema.$ref !== "string") throw refuse(where, "$ref must be a text");
      add(next(this.#find(schema.$ref, where), "$ref"));
    }
    for (const [i, one] of listOf(schema, "allOf", where).entries()) add(next(one, `allOf/${i}`));
    const any = listOf(schema, "anyOf", where);
    if (any.length > 0) add(any.flatMap((one, i) => next(one, `anyOf/${i}`)));
    const one = listOf(schema, "oneOf", where).map((each, i) => next(each, `oneOf/${i}`));
    if (one.length > 0) {
      checkApart(one, where);
      add(one.flat());
    }
    return closeUnevaluated(schema, branches, where);
  }

  #cross(a: readonly PlainSchema[], b: readonly PlainSchema[], where: string): readonly PlainSchema[] {
    if (a.length * b.length > LIMITS.branches)
      throw refuse(where, `its schemas combine in more than ${LIMITS.branches} ways`);
    return a.flatMap((one) => b.map((other) => this.#merge(one, other, where))).filter(isPossible);
  }

  /** The schema of what both schemas accept. */
  #both(a: Schema | undefined, b: Schema | undefined): Schema | undefined {
    if (a === undefined || b === undefined || a === b) return a ?? b;
    if (a === true || b === true) return a === true ? b : a;
    if (a === false || b === false) return false;
    const key = `${this.#id(a)} ${this.#id(b)}`;
    let pair = this.#pairs.get(key);
    if (pair === undefined) {
      pair = { allOf: [a, b] };
      this.#pairs.set(key, pair);
    }
    return pair;
  }

  #id(schema: Schema): number {
    const id = this.#ids.get(schema) ?? this.#ids.size;
    this.#ids.set(schema, id);
    return id;
  }

  #merge(a: PlainSchema, b: PlainSchema, where: string): PlainSchema {
    const names = new Set([...a.properties.keys(), ...b.properties.keys()]);
    if ((a.patterned.size > 0 && b !== ANYTHING) || (b.patterned.size > 0 && a !== ANYTHING)) {
      const other = a.patterned.size > 0 ? b : a;
      if (other.properties.size > 0 || other.patterned.size > 0 || other.additional !== undefined)
        throw refuse(where, "patternProperties cannot be combined with another schema");
    }
    const properties = new Map<string, Schema>();
    for (const name of names)
      properties.set(name, this.#both(propertyOf(a, name), propertyOf(b, name)) ?? true);
    const length = Math.max(a.prefixItems.length, b.prefixItems.length);
    return {
      types: bothTypes(a.types, b.types),
      values: bothValues(a.values, b.values),
      properties,
      required: [...new Set([...a.required, ...b.required])],
      additional: this.#both(a.additional, b.additional),
      patterned: a.patterned.size > 0 ? a.patterned : b.patterned,
      minProperties: Math.max(a.minProperties, b.minProperties),
      maxProperties: Math.min(a.maxProperties, b.maxProperties),
      prefixItems: Array.from({ length }, (_, i) => this.#both(itemOf(a, i), itemOf(b, i)) ?? true),
      items: this.#both(a.items, b.items),
      minItems: Math.max(a.minItems, b.minItems),
      maxItems: Math.min(a.maxItems, b.maxItems),
      isUnique: a.isUnique || b.isUnique,
      minLength: Math.max(a.minLength, b.minLength),
      maxLength: Math.min(a.maxLength, b.maxLength),
      patterns: [...new Set([...a.patterns, ...b.patterns])],
      formats: [...new Set([...a.formats, ...b.formats])],
      ...bothBounds(a, b),
    };
  }
}

const REFERENCE_KEYS: ReadonlySet<string> = new Set([
  "$ref",
  "title",
  "description",
  "default",
  "$comment",
  "$defs",
  "definitions",
]);

function pointerKey(key: string): string {
  let decoded = key;
  try {
    decoded = decodeURIComponent(key);
  } catch {} // a stray percent sign stands for itself
  return decoded.replaceAll("~1", "/").replaceAll("~0", "~");
}

function listOf(schema: Readonly<Record<string, unknown>>, key: string, where: string): readonly Schema[] {
  const list = schema[key];
  if (list === undefined) return [];
  if (!Array.isArray(list) || list.length === 0) throw refuse(where, `${key} must be a list of schemas`);
  return list.map((one, i) => asSchema(one, `${where}/${key}/${i}`));
}

/** What a schema says of a property: its own schema, or that of other properties. */
const propertyOf = (schema: PlainSchema, name: string): Schema | undefined =>
  schema.properties.get(name) ?? schema.additional;

const itemOf = (schema: PlainSchema, i: number): Schema | undefined => schema.prefixItems[i] ?? schema.items;

/** `unevaluatedProperties` closes an object behind all that its schemas name together. */
function closeUnevaluated(
  { unevaluatedProperties: rest }: Readonly<Record<string, unknown>>,
  branches: readonly PlainSchema[],
  where: string,
): readonly PlainSchema[] {
  if (rest === undefined || rest === true) return branches;
  if (rest !== false) throw refuse(where, "unevaluatedProperties is supported only as true or false");
  return branches.map((one) => (one.additional === undefined ? { ...one, additional: false } : one));
}

const hasNumber = (types: readonly Type[], type: Type): boolean =>
  types.includes(type) || (type === "integer" && types.includes("number"));

function bothTypes(
  a: readonly Type[] | undefined,
  b: readonly Type[] | undefined,
): readonly Type[] | undefined {
  if (!a || !b) return a ?? b;
  return [...new Set([...a.filter((type) => hasNumber(b, type)), ...b.filter((type) => hasNumber(a, type))])];
}

function bothValues(
  a: readonly unknown[] | undefined,
  b: readonly unknown[] | undefined,
): readonly unknown[] | undefined {
  if (!a || !b) return a ?? b;
  const known = new Set(b.map(canonical));
  return a.filter((value) => known.has(canonical(value)));
}

function bothBounds(a: PlainSchema, b: PlainSchema) {
  const low = Math.max(a.low, b.low);
  const high = Math.min(a.high, b.high);
  const excludes = (one: PlainSchema) => ({
    low: one.low === low && one.isLowExcluded,
    high: one.high === high && one.isHighExcluded,
  });
  const [first, second] = [excludes(a), excludes(b)];
  return { low, high, isLowExcluded: first.low || second.low, isHighExcluded: first.high || second.high };
}

const isPossible = (schema: PlainSchema): boolean =>
  schema.types?.length !== 0 && schema.values?.length !== 0;

/** Checks that no value satisfies two schemas of a oneOf. It sees types, listed values, and a property that tells objects apart. */
function checkApart(options: readonly (readonly PlainSchema[])[], where: string): void {
  for (const [i, one] of options.entries())
    for (const [j, other] of options.entries()) {
      if (j <= i || one.every((a) => other.every((b) => isApart(a, b)))) continue;
      throw refuse(
        where,
        `oneOf/${i} and oneOf/${j} may hold together, which cannot be told while text is written; use anyOf, or a required property with a const in each`,
      );
    }
}

function isApart(a: PlainSchema, b: PlainSchema): boolean {
  const common = bothTypes(typesOf(a), typesOf(b));
  if (common?.length === 0) return true;
  if (a.values && b.values) return bothValues(a.values, b.values)?.length === 0;
  if (common?.join() !== "object") return false;
  return a.required.some((name) => {
    if (!b.required.includes(name)) return false;
    const [mine, theirs] = [valuesOf(a.properties.get(name)), valuesOf(b.properties.get(name))];
    return mine !== undefined && theirs !== undefined && bothValues(mine, theirs)?.length === 0;
  });
}

function typesOf({ types, values }: PlainSchema): readonly Type[] | undefined {
  return types ?? (values ? [...new Set(values.map(typeOf))] : undefined);
}

function valuesOf(schema: Schema | undefined): readonly unknown[] | undefined {
  if (!isObject(schema)) return undefined;
  if ("const" in schema) return [schema.const];
  return Array.isArray(schema.enum) ? schema.enum : undefined;
}

/** The narrowest type of a JSON value. */
export function typeOf(value: unknown): Type {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  if (typeof value === "string" || typeof value === "boolean") return typeof value as "string" | "boolean";
  return "object";
}
