import { ConfigError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "../load/json-file.ts";

/** Limit above all models in use, so that products of sizes stay exact. */
export const MAX_SIZE = 2 ** 31 - 1;

/** Reads the values of one config and checks each. Its errors name the file, the key, the value and what is supported. */
export class ConfigReader {
  readonly json: JsonObject;
  readonly fileName: string;

  constructor(json: JsonObject, fileName: string) {
    this.json = json;
    this.fileName = fileName;
  }

  fail(key: string, expected: string): ConfigError {
    const value = this.json[key];
    const got = value === undefined ? "is missing" : `is ${printValue(value)}`;
    return new ConfigError(`reading ${this.fileName}: ${key} ${got}; expected ${expected}`);
  }

  number(key: string, otherwise: number | undefined, isValid: (value: number) => boolean, expected: string) {
    const value = this.json[key] ?? otherwise;
    if (typeof value !== "number" || !Number.isFinite(value) || !isValid(value))
      throw this.fail(key, expected);
    return value;
  }

  size(key: string, otherwise?: number, most = MAX_SIZE): number {
    return this.number(
      key,
      otherwise,
      (value) => Number.isSafeInteger(value) && value > 0 && value <= most,
      `a whole number above 0, at most ${most}`,
    );
  }

  /** A size, or undefined for null. An absent key counts as `otherwise`. */
  sizeOrNull(key: string, otherwise: number | null): number | undefined {
    const value = this.json[key];
    return value === null || (value === undefined && otherwise === null)
      ? undefined
      : this.size(key, otherwise ?? undefined);
  }

  flag(key: string, otherwise: boolean): boolean {
    const value = this.json[key] ?? otherwise;
    if (typeof value !== "boolean") throw this.fail(key, "true or false");
    return value;
  }

  /** A list with one element for each layer, each of which `isElement` accepts; undefined if absent or null. */
  perLayer<T>(
    key: string,
    numLayers: number,
    isElement: (value: unknown) => value is T,
    expected: string,
  ): readonly T[] | undefined {
    const value = this.json[key] ?? undefined;
    if (value === undefined) return undefined;
    const list: readonly unknown[] = Array.isArray(value) ? value : [];
    if (list.length !== numLayers || !list.every(isElement))
      throw this.fail(key, `a list of ${numLayers} layers, ${expected}`);
    return list;
  }

  /** A token id, a list of ids, or null. As in `transformers`, a number that is no id ends no output. */
  tokenIds(key: string, otherwise: readonly number[]): readonly number[] {
    const value = this.json[key];
    if (value === undefined) return otherwise;
    if (value === null) return [];
    const ids: unknown[] = Array.isArray(value) ? value : [value];
    const isNumber = (id: unknown): id is number => typeof id === "number";
    if (!ids.every(isNumber)) throw this.fail(key, "a token id or a list of token ids");
    return ids.filter((id) => Number.isSafeInteger(id) && id >= 0);
  }
}
