/** What a request may say of the form of its answer. */
import * as v from "valibot";
import { isObject } from "../base/is-object.ts";
import type { ConstraintSpec } from "../constraint/constraint.ts";
import { badField } from "./http-error.ts";
import { readInnerJson } from "./read-json.ts";

const FORMATS = 'an object with the type "text", "json_object" or "json_schema"';
const isSchema = (value: unknown): boolean => isObject(value) || typeof value === "boolean";
const SCHEMA = "a JSON schema";
const schema = v.custom<object | boolean>(isSchema, SCHEMA);

export const CONSTRAINT_FIELDS = {
  response_format: v.optional(
    v.variant(
      "type",
      [
        v.object({ type: v.literal("text") }),
        v.object({ type: v.literal("json_object") }),
        v.object({
          type: v.literal("json_schema"),
          json_schema: v.object({ schema: v.optional(schema, {}) }, "an object with a schema"),
        }),
      ],
      FORMATS,
    ),
  ),
  /** The names of vLLM. A schema may be a text. */
  guided_json: v.optional(v.union([v.string(), schema], SCHEMA)),
  guided_regex: v.optional(v.string("a regular expression")),
  guided_choice: v.optional(v.array(v.string("a text"), "a list of texts")),
};

type ConstraintBody = v.InferOutput<v.ObjectSchema<typeof CONSTRAINT_FIELDS, undefined>>;

/** The field of a body that constrains its answer. */
export function constraintFieldOf(body: Readonly<Record<string, unknown>>): string | undefined {
  return Object.keys(CONSTRAINT_FIELDS).find((name) => body[name] !== undefined && body[name] !== null);
}

/** Returns the constraint that a body asks for. @throws HttpError 400 if it asks for several */
export function constraintOf(body: ConstraintBody): ConstraintSpec | undefined {
  const asked = [
    ["response_format", formatOf(body.response_format)],
    ["guided_json", body.guided_json === undefined ? undefined : { schema: readSchema(body.guided_json) }],
    ["guided_regex", body.guided_regex === undefined ? undefined : { regex: body.guided_regex }],
    ["guided_choice", body.guided_choice === undefined ? undefined : { choice: body.guided_choice }],
  ] as const;
  const [first, second] = asked.filter(([, spec]) => spec !== undefined);
  if (first && second)
    throw badField(second[0], `${first[0]} and ${second[0]} both constrain the answer; give one of them`);
  return first?.[1];
}

function formatOf(format: ConstraintBody["response_format"]): ConstraintSpec | undefined {
  if (format?.type === "json_object") return { json: true };
  return format?.type === "json_schema" ? { schema: format.json_schema.schema } : undefined;
}

function readSchema(given: string | object | boolean): object | boolean {
  if (typeof given !== "string") return given;
  const value = readInnerJson(given, "guided_json");
  if (isObject(value) || typeof value === "boolean") return value;
  throw badField("guided_json", "guided_json must be a JSON schema, or its text");
}
