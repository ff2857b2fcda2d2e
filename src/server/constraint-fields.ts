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
        // llama-server and others take a schema beside it
        v.object({ type: v.literal("json_object"), schema: v.nullish(schema) }),
        v.object({
          type: v.literal("json_schema"),
          json_schema: v.object({ schema: v.nullish(schema, {}) }, "an object with a schema"),
        }),
      ],
      FORMATS,
    ),
  ),
  /** The names of vLLM. A schema may be a text. */
  guided_json: v.optional(v.union([v.string(), schema], SCHEMA)),
  guided_regex: v.optional(v.string("a regular expression")),
  guided_choice: v.optional(v.array(v.string("a text"), "a list of texts")),
  /** vLLM's newer name of the three. */
  structured_outputs: v.optional(
    v.strictObject(
      {
        json: v.nullish(v.union([v.string(), schema], SCHEMA)),
        regex: v.nullish(v.string("a regular expression")),
        choice: v.nullish(v.array(v.string("a text"), "a list of texts")),
        json_object: v.nullish(v.boolean("true or false")),
      },
      'an object with "json", "regex", "choice" or "json_object"',
    ),
  ),
};

type ConstraintBody = v.InferOutput<v.ObjectSchema<typeof CONSTRAINT_FIELDS, undefined>>;

/** The field of a body that constrains its answer. */
export function constraintFieldOf(body: Readonly<Record<string, unknown>>): string | undefined {
  return Object.keys(CONSTRAINT_FIELDS).find((name) => body[name] !== undefined && body[name] !== null);
}

/** Returns the constraint that a body asks for. @throws HttpError 400 if it asks for several */
export function constraintOf(body: ConstraintBody): ConstraintSpec | undefined {
  const { structured_outputs: outputs } = body;
  const asked = [
    ["response_format", formatOf(body.response_format)],
    ["guided_json", schemaOf(body.guided_json, "guided_json")],
    ["guided_regex", regexOf(body.guided_regex)],
    ["guided_choice", choiceOf(body.guided_choice)],
    ["structured_outputs.json", schemaOf(outputs?.json, "structured_outputs.json")],
    ["structured_outputs.regex", regexOf(outputs?.regex)],
    ["structured_outputs.choice", choiceOf(outputs?.choice)],
    ["structured_outputs.json_object", outputs?.json_object ? { json: true as const } : undefined],
  ] as const;
  const [first, second] = asked.filter(([, spec]) => spec !== undefined);
  if (first && second)
    throw badField(second[0], `${first[0]} and ${second[0]} both constrain the answer; give one of them`);
  return first?.[1];
}

function formatOf(format: ConstraintBody["response_format"]): ConstraintSpec | undefined {
  if (format?.type === "json_object")
    return format.schema === undefined || format.schema === null ? { json: true } : { schema: format.schema };
  return format?.type === "json_schema" ? { schema: format.json_schema.schema } : undefined;
}

const regexOf = (given: string | null | undefined): ConstraintSpec | undefined =>
  typeof given === "string" ? { regex: given } : undefined;

const choiceOf = (given: readonly string[] | null | undefined): ConstraintSpec | undefined =>
  given ? { choice: given } : undefined;

/** The schema of a field, which may hold its text. */
function schemaOf(
  given: string | object | boolean | null | undefined,
  field: string,
): ConstraintSpec | undefined {
  if (given === undefined || given === null) return undefined;
  const value = typeof given === "string" ? readInnerJson(given, field) : given;
  if (isObject(value) || typeof value === "boolean") return { schema: value };
  throw badField(field, `${field} must be ${SCHEMA}, or its text`);
}
