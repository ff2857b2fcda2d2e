import * as v from "valibot";
import { printValue } from "../base/print-value.ts";
import { badField } from "./http-error.ts";

type BodySchema = v.ObjectSchema<v.ObjectEntries, undefined>;

/**
 * Checks the fields of a body that a schema has, and returns them alone. Null counts as left out, since clients send it for
 * what they do not set. Other fields are ignored, as OpenAI's API does.
 * @throws HttpError 400 with the path of the field
 */
export function checkBody<S extends BodySchema>(
  schema: S,
  body: Readonly<Record<string, unknown>>,
): v.InferOutput<S> {
  const given = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
  const result = v.safeParse(schema, given, { abortEarly: true });
  if (result.success) return result.output;
  const [issue] = result.issues;
  const path = (issue.path ?? []).reduce(
    (before, { key }) =>
      typeof key === "number"
        ? `${before}[${key}]`
        : before === ""
          ? String(key)
          : `${before}.${String(key)}`,
    "",
  );
  const isMissing = issue.input === undefined && issue.kind === "schema";
  // valibot's own words stand where a schema has none for a key that is not there
  const expected = issue.message.startsWith("Invalid key") ? "" : `; it must be ${issue.message}`;
  throw badField(
    path,
    isMissing
      ? `${path} is missing${expected}`
      : `${path} must be ${issue.message}, got ${printValue(issue.input)}`,
  );
}
