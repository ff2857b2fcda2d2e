import { distance } from "fastest-levenshtein";
import * as v from "valibot";
import type { EngineError } from "./errors.ts";
import { printValue } from "./print-value.ts";

/** A schema of named options. The message of an entry completes "must be …". */
type OptionsSchema = v.ObjectSchema<v.ObjectEntries, v.ErrorMessage<v.ObjectIssue> | undefined>;

type Failure = new (message: string) => EngineError;

/**
 * Checks a caller's options once, at the edge, and returns a copy.
 * @throws Failure on an unknown option, with the nearest known name, and on an impossible value.
 */
export function checkOptions<S extends OptionsSchema>(
  schema: S,
  options: unknown,
  doing: string,
  Failure: Failure,
): v.InferOutput<S> {
  if (typeof options !== "object" || options === null || Array.isArray(options))
    throw new Failure(`${doing}: expected an object of options, got ${printValue(options)}`);
  for (const key of Object.keys(options))
    if (!Object.hasOwn(schema.entries, key))
      throw new Failure(`${doing}: unknown option "${key}"; ${suggest(key, Object.keys(schema.entries))}`);
  const result = v.safeParse(schema, options, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = (issue.path ?? []).map(({ key }) => String(key)).reduce(joinPath, "");
  throw new Failure(`${doing}: ${path} must be ${issue.message}, got ${printValue(issue.input)}`);
}

function joinPath(path: string, key: string): string {
  if (/^\d+$/.test(key)) return `${path}[${key}]`;
  return path === "" ? key : `${path}.${key}`;
}

/** The nearest known name, or all names if none is near. */
export function suggest(name: string, known: readonly string[]): string {
  const [nearest] = known
    .map((one) => ({ one, far: distance(name.toLowerCase(), one.toLowerCase()) }))
    .sort((a, b) => a.far - b.far);
  if (nearest && nearest.far <= Math.max(2, Math.floor(nearest.one.length / 3)))
    return `did you mean "${nearest.one}"?`;
  return `known are ${known.join(", ")}`;
}

/** A number that `isValid` accepts. */
export const numberThat = (expected: string, isValid: (value: number) => boolean) =>
  v.optional(v.pipe(v.number(expected), v.check(isValid, expected)));

/** A whole number from `least` to `most`, both included. */
export const wholeNumberFrom = (least: number, most = Number.MAX_SAFE_INTEGER) =>
  numberThat(
    most === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${least}`
      : `a whole number from ${least} to ${most}`,
    (value) => Number.isSafeInteger(value) && value >= least && value <= most,
  );

/** True or false. */
export const flag = () => v.optional(v.boolean("true or false"));

/** One of a few words. */
export const oneOf = <const T extends readonly [string, ...string[]]>(words: T) =>
  v.optional(v.picklist(words, `one of ${words.join(", ")}`));

/** An AbortSignal of any realm. */
export const abortSignal = () =>
  v.optional(v.custom<AbortSignal>(isAbortSignal, "an AbortSignal, such as that of an AbortController"));

/** True for an AbortSignal of any realm. */
export function isAbortSignal(value: unknown): boolean {
  return (
    typeof value === "object" &&
    value !== null &&
    "aborted" in value &&
    typeof value.aborted === "boolean" &&
    "addEventListener" in value &&
    typeof value.addEventListener === "function" &&
    "removeEventListener" in value &&
    typeof value.removeEventListener === "function"
  );
}
