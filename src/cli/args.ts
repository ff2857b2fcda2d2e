import { InvalidArgumentError } from "commander";
import { checkSpelling } from "../attention/spec.ts";
import { ConfigError } from "../base/errors.ts";
import { namesPolicyFile } from "../node/index.ts";

/** An impossible command line: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Makes a reader of whole numbers of at least `least`, in decimal digits only. */
export function wholeNumber(least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least)
      throw new InvalidArgumentError(`Expected a whole number of at least ${least}.`);
    return value;
  };
}

/** Makes a reader of decimal numbers; `expected` describes those that `isValid` accepts. */
export function decimal(expected: string, isValid: (value: number) => boolean): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text) || !Number.isFinite(value) || !isValid(value))
      throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
}

/** As `decimal`, for numbers of either sign. */
export function signedDecimal(
  expected: string,
  isValid: (value: number) => boolean,
): (text: string) => number {
  const read = decimal(expected, () => true);
  return (text) => {
    const value = text.startsWith("-") ? -read(text.slice(1)) : read(text);
    if (!isValid(value)) throw new InvalidArgumentError(`Expected ${expected}.`);
    return value;
  };
}

/** Reads a whole number of either sign. */
export function integer(text: string): number {
  const value = Number(text);
  if (!/^-?\d+$/.test(text) || !Number.isSafeInteger(value))
    throw new InvalidArgumentError("Expected a whole number.");
  return value;
}

/** Refuses a misspelt attention spec early, unless it names a file. The engine checks its values against the model. */
export function attentionSpec(text: string): string {
  if (namesPolicyFile(text)) return text;
  if (/\.(?:mjs|cjs|js|mts|ts)(?::|$)/.test(text))
    throw new UsageError(`attention "${text}": the path of a policy's file begins with ./ or /: ./${text}`);
  try {
    checkSpelling(text);
  } catch (error) {
    if (error instanceof ConfigError) throw new UsageError(error.message);
    throw error;
  }
  return text;
}

/** Collects the values of a repeatable option. */
export function collect(text: string, previous: readonly string[] = []): readonly string[] {
  if (text === "") throw new InvalidArgumentError("Expected a text that is not empty.");
  return [...previous, text];
}

/** Collects the token ids of a repeatable option. */
export function collectTokenId(text: string, previous: readonly number[] = []): readonly number[] {
  return [...previous, wholeNumber(0)(text)];
}

/** Collects `id=bias` pairs in one object. @throws InvalidArgumentError on a pair that cannot be, and on a repeated id */
export function collectBias(
  text: string,
  previous: Readonly<Record<number, number>> = {},
): Readonly<Record<number, number>> {
  const [, id = "", bias = ""] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  const tokenId = wholeNumber(0)(id);
  if (Object.hasOwn(previous, tokenId)) throw new InvalidArgumentError(`Token ${tokenId} is given twice.`);
  const read = signedDecimal("a number from -100 to 100 after =", (value) => Math.abs(value) <= 100);
  return { ...previous, [tokenId]: read(bias) };
}

/**
 * Collects `name=JSON` pairs in one object.
 * @throws InvalidArgumentError on a missing or repeated name, and on invalid JSON.
 */
export function collectJson(
  text: string,
  previous: Readonly<Record<string, unknown>> = {},
): Readonly<Record<string, unknown>> {
  const [, name = "", json = ""] = /^([^=]*)=(.*)$/s.exec(text) ?? [];
  if (name.trim() === "")
    throw new InvalidArgumentError("Expected name=JSON, such as enable_thinking=false.");
  if (Object.hasOwn(previous, name)) throw new InvalidArgumentError(`${name} is given twice.`);
  try {
    return { ...previous, [name]: JSON.parse(json) };
  } catch {
    throw new InvalidArgumentError(`${name} must be JSON: ${jsonHint(json)}.`);
  }
}

/** Suggests the JSON that a text was probably meant to be. */
function jsonHint(text: string): string {
  const word = new Map([
    ["True", "true"],
    ["False", "false"],
    ["None", "null"],
  ]).get(text);
  if (word !== undefined) return `write ${word}`;
  if (/^[\w.-]+$/.test(text)) return `a text needs its quotes, '"${text}"'`;
  return "true, 3, '\"text\"', '[1, 2]'";
}
