import { suggest } from "../base/check-options.ts";
import { ConfigError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";

/** Returns an integer of at least `least`. @throws ConfigError on any other value. */
export function wholeNumber(policy: string, key: string, value: unknown, least: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least)
    throw new ConfigError(
      `attention ${policy}: ${key} must be a whole number of at least ${least}, got ${printValue(value)}`,
    );
  return value;
}

/** Returns a number in [0, 1). @throws ConfigError on any other value. */
export function share(policy: string, key: string, value: unknown): number {
  if (typeof value !== "number" || !(value >= 0 && value < 1))
    throw new ConfigError(
      `attention ${policy}: ${key} is a share of the budget in [0, 1), got ${printValue(value)}`,
    );
  return value;
}

/** Returns a non-empty ascending list of layers. @throws ConfigError on any other value. */
export function layerList(policy: string, key: string, value: unknown): readonly number[] {
  if (!Array.isArray(value) || value.length === 0)
    throw new ConfigError(
      `attention ${policy}: ${key} must name at least one layer, got ${printValue(value)}`,
    );
  const layers = value.map((layer) => wholeNumber(policy, key, layer, 0));
  if (layers.some((layer, i) => i > 0 && layer <= (layers[i - 1] ?? -1)))
    throw new ConfigError(
      `attention ${policy}: ${key} must be ascending without repeats, got ${layers.join("+")}`,
    );
  return layers;
}

/** @throws ConfigError on a layer past the model's last. */
export function checkLayers(policy: string, key: string, layers: readonly number[], numLayers: number): void {
  const last = layers[layers.length - 1] ?? 0;
  if (last >= numLayers)
    throw new ConfigError(
      `attention ${policy}: ${key} names layer ${last}, but the model's layers are 0 to ${numLayers - 1}`,
    );
}

/** @throws ConfigError unless the budget holds the sinks and one more token. */
export function checkSinks(policy: string, tokenBudget: number, sinks: number): void {
  if (tokenBudget < sinks + 1)
    throw new ConfigError(
      `attention ${policy}: a budget of ${tokenBudget} cannot hold ${sinks} sink tokens and the current token; ` +
        `use budget=${sinks + 1} or more, or fewer sinks`,
    );
}

/** @throws ConfigError unless the options are an object with keys of `known` alone. */
export function knownKeys(policy: string, options: object, known: readonly string[]): void {
  if (!isObject(options))
    throw new ConfigError(`attention ${policy}: expected an object of settings, got ${printValue(options)}`);
  for (const key of Object.keys(options))
    if (!known.includes(key))
      throw new ConfigError(
        `attention ${policy}: unknown setting "${key}"; ${known.length ? suggest(key, known) : "it takes none"}`,
      );
}

/** Returns a setting, or its default if it is undefined. null counts as a value. */
export function orDefault<T>(value: T | undefined, otherwise: T): T {
  return value === undefined ? otherwise : value;
}
