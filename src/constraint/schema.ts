/** JSON Schemas as parts of an automaton. */
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { ALL_POINTS, type PointRange, points, subtract } from "./code-points.ts";
import { formatNames, formatPattern } from "./formats.ts";
import type { JsonParts } from "./json-parts.ts";
import { LIMITS, refuse } from "./limits.ts";
import { numberIn } from "./number-range.ts";
import { ANYTHING, type PlainSchema, type Schema, type Type } from "./plain-schema.ts";
import type { GrammarBuilder, Part } from "./program.ts";
import { compilePattern, compileTextForm } from "./regex.ts";
import { SchemaBranches, typeOf } from "./schema-branches.ts";

/**
 * Compiles JSON Schemas. A value that the automaton accepts satisfies the schema; the automaton accepts fewer:
 * properties in the order of the schema, no properties beyond those that the schema names unless it allows them in words, numbers of
 * at most 15 digits, little white space, no repeated keys among those that it names.
 * A keyword that it cannot keep is an error that names it.
 */
export class SchemaCompiler {
  readonly #builder: GrammarBuilder;
  readonly #json: JsonParts;
  readonly #branches: SchemaBranches;
  /** Rule of each schema, so that a schema may contain itself. */
  readonly #rules = new Map<Schema, Part>();

  constructor(builder: GrammarBuilder, json: JsonParts, root: Schema) {
    this.#builder = builder;
    this.#json = json;
    this.#branches = new SchemaBranches(root);
  }

  /** @throws RequestError */
  value(given: Schema, where: string, depth = 0): Part {
    if (depth > LIMITS.schemaDepth)
      throw refuse(where, `it nests deeper than ${LIMITS.schemaDepth} levels; use a flatter schema`);
    const schema = this.#branches.resolve(given, where);
    if (schema === true || (isObject(schema) && Object.keys(schema).length === 0)) return this.#json.any;
    const known = this.#rules.get(schema);
    if (known) return known;
    const rule = this.#builder.newRule();
    const call = this.#builder.call(rule);
    this.#rules.set(schema, call);
    const branches = this.#branches.expand(schema, where);
    const parts = branches.flatMap((branch) => this.#plain(branch, { where, depth }));
    this.#builder.define(rule, this.#builder.anyOf(parts));
    return call;
  }

  /** The parts of a plain schema, one for each of its types. */
  #plain(schema: PlainSchema, place: Place): readonly Part[] {
    if (schema.values) {
      const fitting = schema.values.filter((value) => isFitting(schema, value, place.where));
      return fitting.map((value) => this.#json.literal(value));
    }
    if (schema === ANYTHING) return [this.#json.any];
    const types = schema.types ?? impliedTypes(schema);
    return types
      .filter((type) => !(type === "integer" && types.includes("number")))
      .map((type) => this.#ofType(type, schema, place));
  }

  #ofType(type: Type, schema: PlainSchema, place: Place): Part {
    switch (type) {
      case "null":
        return this.#builder.text("null");
      case "boolean":
        return this.#builder.anyOf([this.#builder.text("true"), this.#builder.text("false")]);
      case "string":
        return this.#text(schema, place.where);
      case "array":
        return this.#array(schema, place);
      case "object":
        return this.#object(schema, place);
      default:
        return this.#number(schema, type === "integer", place.where);
    }
  }

  #number(schema: PlainSchema, isInteger: boolean, where: string): Part {
    const isFree = schema.low === Number.NEGATIVE_INFINITY && schema.high === Number.POSITIVE_INFINITY;
    if (!isFree) return numberIn(this.#builder, schema, isInteger, where);
    return isInteger ? this.#json.integer : this.#json.number;
  }

  #text({ patterns, formats, minLength, maxLength }: PlainSchema, where: string): Part {
    if (minLength > maxLength) throw refuse(where, "minLength is above maxLength");
    if (patterns.length === 0 && formats.length === 0)
      return this.#json.text(minLength, maxLength === Number.POSITIVE_INFINITY ? undefined : maxLength);
    checkFormats(formats, where);
    const form = { patterns, formats, lengths: { min: minLength, max: maxLength } };
    const quote = this.#builder.text('"');
    const text = compileTextForm(form, this.#builder, { write: this.#json.written, where });
    return this.#builder.sequence([quote, text, quote]);
  }

  #array(schema: PlainSchema, { where, depth }: Place): Part {
    const { prefixItems, items, minItems, isUnique } = schema;
    if (isUnique && schema.maxItems > 1)
      throw refuse(where, 'the keyword "uniqueItems" is not supported, except beside maxItems 1');
    if (minItems > schema.maxItems) throw refuse(where, "minItems is above maxItems");
    const fixed = prefixItems.slice(0, schema.maxItems).map((one, i) => ({
      part: this.value(one, `${where}/prefixItems/${i}`, depth + 1),
      isRequired: i < minItems,
    }));
    // a later item needs those before it
    const isClosed = items === false || schema.maxItems <= prefixItems.length;
    const needsMore = minItems > prefixItems.length;
    if (isClosed && needsMore) throw refuse(where, "minItems is above the items that it allows");
    if (isClosed || (items === undefined && prefixItems.length > 0 && !needsMore)) return this.#tuple(fixed);
    if (prefixItems.length > 0 && !needsMore) return this.#tuple(fixed);
    const required = fixed.map((one) => ({ ...one, isRequired: true }));
    const max =
      schema.maxItems === Number.POSITIVE_INFINITY ? undefined : schema.maxItems - prefixItems.length;
    const more = {
      part: this.value(items ?? true, `${where}/items`, depth + 1),
      min: minItems - prefixItems.length,
      max,
    };
    return this.#builder.rule(this.#json.listed("[", "]", { items: required, more }));
  }

  /** A list that ends behind any item from the last required one on. */
  #tuple(items: readonly { readonly part: Part; readonly isRequired: boolean }[]): Part {
    const { space } = this.#json;
    const b = this.#builder;
    const comma = b.sequence([space, b.text(","), space]);
    return b.rule((from) => {
      const end = b.newNode();
      let node = b.sequence([b.text("["), space])(from);
      for (const [i, { part, isRequired }] of items.entries()) {
        if (!isRequired) b.epsilon(node, end);
        node = b.sequence(i === 0 ? [part] : [comma, part])(node);
      }
      b.epsilon(node, end);
      return b.sequence([space, b.text("]")])(end);
    });
  }

  #object(schema: PlainSchema, place: Place): Part {
    const { properties, required, where } = { ...schema, ...place };
    const names = [...new Set([...properties.keys(), ...required])];
    if (names.some((name) => name.length > LIMITS.nameLength))
      throw refuse(where, `the name of a property is longer than ${LIMITS.nameLength} characters`);
    const isOpen = schema.additional === undefined && properties.size === 0 && schema.patterned.size === 0;
    const rest = schema.additional ?? isOpen;
    if (schema.patterned.size > 0 && (names.length > 0 || schema.patterned.size > 1 || rest !== false))
      throw refuse(where, "patternProperties is supported with one pattern, and no other properties");
    const items = names
      .map((name) => ({
        schema: properties.get(name) ?? schema.additional ?? true,
        name,
        isRequired: required.includes(name),
      }))
      .filter((one) => one.schema !== false || one.isRequired)
      .map(({ schema: own, name, isRequired }) => ({
        part: this.#member(
          this.#builder.text(JSON.stringify(name)),
          own,
          `${where}/properties/${name}`,
          place,
        ),
        isRequired,
      }));
    const [ofPattern] = schema.patterned;
    let more: Part | undefined;
    if (ofPattern)
      more = this.#member(
        this.#patternKey(ofPattern[0], where),
        ofPattern[1],
        `${where}/patternProperties`,
        place,
      );
    else if (rest !== false)
      more = this.#member(this.#otherKey(names), rest, `${where}/additionalProperties`, place);
    const counts = countsOf(schema, items, more !== undefined, where);
    return this.#builder.rule(
      this.#json.listed("{", "}", more ? { items, more: { part: more, ...counts } } : { items }),
    );
  }

  #member(key: Part, value: Schema, where: string, { depth }: Place): Part {
    return this.#builder.rule(this.#json.member(key, this.value(value, where, depth + 1)));
  }

  #patternKey(pattern: string, where: string): Part {
    const b = this.#builder;
    const key = compilePattern(pattern, b, { write: this.#json.written, isWhole: false, where });
    return b.sequence([b.text('"'), key, b.text('"')]);
  }

  /** A key that is none of some names. Its characters have one spelling, so that no escape hides a name. */
  #otherKey(names: readonly string[]): Part {
    const b = this.#builder;
    if (names.length === 0) return this.#json.text();
    return (from) => {
      const end = b.newNode();
      const free = b.newNode();
      b.epsilon(this.#json.written(WRITABLE)(free), free);
      b.epsilon(free, end);
      const begin = (node: number, beginnings: readonly string[]) => {
        if (!beginnings.includes("")) b.epsilon(node, end);
        const byFirst = new Map<string, string[]>();
        for (const one of beginnings) {
          const [first] = one;
          if (first !== undefined)
            byFirst.set(first, [...(byFirst.get(first) ?? []), one.slice(first.length)]);
        }
        const others = subtract(WRITABLE, points([...byFirst.keys()].join("")));
        b.epsilon(this.#json.written(others)(node), free);
        for (const [first, rests] of byFirst) begin(this.#json.written(points(first))(node), rests);
      };
      begin(b.text('"')(from), names);
      return b.text('"')(end);
    };
  }
}

/** @throws RequestError if a format is not known here */
function checkFormats(formats: readonly string[], where: string): void {
  const unknown = formats.find((format) => formatPattern(format) === undefined);
  if (unknown !== undefined)
    throw refuse(
      where,
      `the format ${printValue(unknown)} is not supported; known are ${formatNames().join(", ")}`,
    );
}

interface Place {
  readonly where: string;
  readonly depth: number;
}

/** Characters of keys: all but surrogates, which are no characters. */
const WRITABLE: readonly PointRange[] = subtract(ALL_POINTS, [{ low: 0xd800, high: 0xdfff }]);

/** Types of a schema without `type`: those that its keywords speak of, or all. */
function impliedTypes(schema: PlainSchema): readonly Type[] {
  const { properties, required, patterned, additional, prefixItems, items, patterns, formats } = schema;
  if (properties.size > 0 || required.length > 0 || patterned.size > 0 || additional !== undefined)
    return ["object"];
  if (schema.minProperties > 0 || schema.maxProperties !== Number.POSITIVE_INFINITY) return ["object"];
  if (prefixItems.length > 0 || items !== undefined || schema.minItems > 0) return ["array"];
  if (schema.maxItems !== Number.POSITIVE_INFINITY || schema.isUnique) return ["array"];
  if (patterns.length > 0 || formats.length > 0 || schema.minLength > 0) return ["string"];
  if (schema.maxLength !== Number.POSITIVE_INFINITY) return ["string"];
  if (schema.low !== Number.NEGATIVE_INFINITY || schema.high !== Number.POSITIVE_INFINITY) return ["number"];
  return ["object", "array", "string", "number", "boolean", "null"];
}

/** Numbers of other properties beside the named ones. */
function countsOf(
  { minProperties, maxProperties }: PlainSchema,
  items: readonly { readonly isRequired: boolean }[],
  isOpen: boolean,
  where: string,
): { readonly min: number; readonly max: number | undefined } {
  const numRequired = items.filter(({ isRequired }) => isRequired).length;
  if (minProperties <= numRequired && maxProperties === Number.POSITIVE_INFINITY)
    return { min: 0, max: undefined };
  if (isOpen && numRequired === items.length) {
    const max = maxProperties === Number.POSITIVE_INFINITY ? undefined : maxProperties - numRequired;
    if (max !== undefined && (max < 0 || maxProperties < minProperties))
      throw refuse(where, "maxProperties is below the properties that it requires");
    return { min: Math.max(0, minProperties - numRequired), max };
  }
  if (minProperties <= numRequired && maxProperties >= items.length && !isOpen)
    return { min: 0, max: undefined };
  throw refuse(where, "minProperties and maxProperties are not supported beside optional properties");
}

/** True if one of the listed values satisfies the other keywords of its schema. */
function isFitting(schema: PlainSchema, value: unknown, where: string): boolean {
  const type = typeOf(value);
  const { types } = schema;
  if (types && !types.includes(type) && !(type === "integer" && types.includes("number"))) return false;
  const { patterns, formats, properties, required, items, prefixItems } = schema;
  const counts = [
    schema.minItems,
    schema.minProperties,
    required.length,
    prefixItems.length,
    properties.size,
  ];
  const isLimited = schema.maxItems !== schema.maxProperties || schema.maxItems !== Number.POSITIVE_INFINITY;
  const isDeep =
    counts.some((count) => count > 0) ||
    isLimited ||
    schema.isUnique ||
    schema.patterned.size > 0 ||
    items !== undefined ||
    schema.additional !== undefined;
  if (patterns.length > 0 || formats.length > 0 || isDeep)
    throw refuse(where, "enum and const are supported beside type, lengths and bounds only");
  if (typeof value === "string") {
    const { length } = Array.from(value);
    return length >= schema.minLength && length <= schema.maxLength;
  }
  if (typeof value !== "number") return true;
  const isAbove = schema.isLowExcluded ? value > schema.low : value >= schema.low;
  return isAbove && (schema.isHighExcluded ? value < schema.high : value <= schema.high);
}
