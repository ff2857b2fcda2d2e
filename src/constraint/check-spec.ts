import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ConstraintSpec } from "./constraint.ts";
import { refuse } from "./limits.ts";
import { SPEC_KINDS } from "./spec-kinds.ts";

/** Maximum texts of a choice. */
const MAX_CHOICES = 4096;
const ITEMS = ["text", "marker", "anyOf", "repeat"] as const;
const WANTED =
  'one of { json: true }, { schema: { … } }, { regex: "…" }, { choice: ["…"] } and { sequence: [ … ] }, or a TokenConstraint';

/** Checks the shape of a spec. @throws RequestError */
export function checkSpec(value: unknown): ConstraintSpec {
  checkItem(value, "the spec", SPEC_KINDS, 0);
  return value as ConstraintSpec;
}

function checkItem(value: unknown, where: string, kinds: readonly string[], depth: number): void {
  if (depth > 32) throw refuse(where, "its sequences nest too deep");
  if (!isObject(value)) throw refuse(where, `expected ${WANTED}, got ${printValue(value)}`);
  const keys = Object.keys(value).filter((key) => key !== "between");
  const [kind] = keys;
  if (keys.length !== 1 || kind === undefined || !kinds.includes(kind))
    throw refuse(where, `expected ${WANTED}, got ${printValue(value)}`);
  const content = value[kind];
  const isRight = CHECKS[kind]?.(content) ?? true;
  if (!isRight) throw refuse(where, `${kind} is ${EXPECTED[kind] ?? "a list"}, got ${printValue(content)}`);
  const list = (items: unknown, name: string) => {
    if (!Array.isArray(items)) throw refuse(where, `${name} is a list, got ${printValue(items)}`);
    for (const [i, one] of items.entries())
      checkItem(one, `${where}.${name}[${i}]`, [...SPEC_KINDS, ...ITEMS], depth + 1);
  };
  if (kind === "sequence" || kind === "repeat") list(content, kind);
  if (kind === "repeat") list(value.between ?? [], "between");
  if (kind === "anyOf" && Array.isArray(content)) for (const one of content) list(one, kind);
}

const isText = (value: unknown): boolean => typeof value === "string";
const CHECKS: Readonly<Record<string, (value: unknown) => boolean>> = {
  json: (value) => value === true,
  schema: (value) => typeof value === "boolean" || isObject(value),
  regex: isText,
  text: isText,
  marker: (value) => isText(value) && value !== "",
  choice: (value) =>
    Array.isArray(value) &&
    value.length > 0 &&
    value.length <= MAX_CHOICES &&
    value.every((one) => isText(one) && one !== ""),
  anyOf: (value) => Array.isArray(value) && value.length > 0,
};
const EXPECTED: Readonly<Record<string, string>> = {
  json: "true",
  schema: "a JSON Schema: an object, true or false",
  regex: "a text",
  choice: `a list of 1 to ${MAX_CHOICES} texts that are not empty`,
};
