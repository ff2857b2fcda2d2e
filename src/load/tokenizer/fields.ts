/** Readers of a tokenizer file's fields, which check types and bounds. */
import { ModelFileError } from "../../base/errors.ts";
import { isObject } from "../../base/is-object.ts";
import { printValue } from "../../base/print-value.ts";
import type { JsonObject } from "../json-file.ts";

/** Maximum token id. Published vocabularies have under 300,000 tokens. */
export const MAX_TOKEN_ID = 2 ** 22 - 1;
/** Maximum merges of a BPE model. */
export const MAX_MERGES = 2 ** 23;
/** Maximum steps of a normalizer, pre-tokenizer, post-processor or decoder. */
const MAX_STEPS = 100;
/** Maximum nesting of steps. */
const MAX_DEPTH = 10;

/** An object of a tokenizer file, with its place in the file for messages. */
export class Fields {
  readonly values: JsonObject;
  readonly place: string;
  readonly #depth: number;

  constructor(values: JsonObject, place: string, depth = 0) {
    this.values = values;
    this.place = place;
    this.#depth = depth;
  }

  fail(key: string, expected: string): never {
    throw new ModelFileError(
      `reading ${this.place}: expected ${key} to be ${expected}, got ${printValue(this.values[key])}`,
    );
  }

  raw(key: string): unknown {
    return this.values[key];
  }

  text(key: string, byDefault?: string): string {
    const value = this.values[key] ?? byDefault;
    return typeof value === "string" ? value : this.fail(key, "a text");
  }

  optionalText(key: string): string | undefined {
    const value = this.values[key] ?? undefined;
    return value === undefined || typeof value === "string" ? value : this.fail(key, "a text or null");
  }

  flag(key: string, byDefault: boolean): boolean {
    const value = this.values[key] ?? byDefault;
    return typeof value === "boolean" ? value : this.fail(key, "true or false");
  }

  count(key: string, byDefault: number | undefined, max: number): number {
    const value = this.values[key] ?? byDefault;
    return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= max
      ? value
      : this.fail(key, `a whole number from 0 to ${max}`);
  }

  list(key: string, maxLength: number): readonly unknown[] {
    const value = this.values[key];
    if (!Array.isArray(value)) this.fail(key, "a list");
    if (value.length > maxLength)
      throw new ModelFileError(
        `reading ${this.place}: ${key} has ${value.length} entries, at most ${maxLength} are read`,
      );
    return value;
  }

  /** Reads a nested object; undefined when it is absent or null. */
  child(key: string): Fields | undefined {
    const value = this.values[key] ?? undefined;
    if (value === undefined) return undefined;
    if (!isObject(value)) this.fail(key, "an object or null");
    return this.#inside(value, key);
  }

  /** Reads the steps of a sequence. */
  children(key: string): readonly Fields[] {
    return this.list(key, MAX_STEPS).map((value, i) => {
      if (!isObject(value)) this.fail(key, "a list of objects");
      return this.#inside(value, `${key}[${i}]`);
    });
  }

  #inside(value: JsonObject, key: string): Fields {
    if (this.#depth >= MAX_DEPTH)
      throw new ModelFileError(`reading ${this.place}: ${key} nests more than ${MAX_DEPTH} times`);
    return new Fields(value, `${this.place}, ${key}`, this.#depth + 1);
  }

  /** @throws ModelFileError naming the step's unknown type */
  unknownType(what: string): never {
    throw new ModelFileError(
      `reading ${this.place}: the ${what} ${printValue(this.values.type)} is unknown or not supported`,
    );
  }
}

/** Reads a vocabulary and checks its ids. A map comes from another reader, which has checked it; JSON makes none. */
export function readVocabulary(fields: Fields, key: string): ReadonlyMap<string, number> {
  const values = fields.raw(key);
  if (values instanceof Map) return values;
  if (!isObject(values)) fields.fail(key, "an object of token ids");
  const vocabulary = new Map<string, number>();
  for (const token in values) vocabulary.set(token, checkId(values[token], fields, key));
  return vocabulary;
}

export function checkId(id: unknown, fields: Fields, key: string): number {
  if (typeof id === "number" && Number.isSafeInteger(id) && id >= 0 && id <= MAX_TOKEN_ID) return id;
  throw new ModelFileError(
    `reading ${fields.place}: expected every id of ${key} to be a whole number from 0 to ${MAX_TOKEN_ID}, got ${printValue(id)}`,
  );
}
