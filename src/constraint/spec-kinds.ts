import type { TokenConstraint } from "./constraint.ts";

/** Keys by which specs are told apart. */
export const SPEC_KINDS = ["json", "schema", "regex", "choice", "sequence"] as const;

/** True for a constraint that its caller made. */
export function isTokenConstraint(value: unknown): value is TokenConstraint {
  if (typeof value !== "object" || value === null || !("isComplete" in value)) return false;
  return ["fillMask", "accept", "clone"].every((name) => typeof Reflect.get(value, name) === "function");
}
