/** Post-processors of `tokenizers`, which add special tokens around the ids of a text. */
import { ModelFileError } from "../../base/errors.ts";
import { isObject } from "../../base/is-object.ts";
import { printValue } from "../../base/print-value.ts";
import { checkId, type Fields } from "./fields.ts";

/** Adds special tokens around ids. */
export type PostProcessor = (ids: readonly number[]) => readonly number[];

const MAX_PIECES = 1000;

/** @throws ModelFileError when the post-processor is unknown. */
export function createPostProcessor(fields: Fields): PostProcessor {
  switch (fields.text("type")) {
    case "Sequence": {
      const steps = fields.children("processors").map(createPostProcessor);
      return (ids) => steps.reduce((before, step) => step(before), ids);
    }
    case "ByteLevel":
      return (ids) => ids;
    case "TemplateProcessing":
      return template(fields);
    case "BertProcessing":
    case "RobertaProcessing": {
      const [cls, sep] = [idOfPair(fields, "cls"), idOfPair(fields, "sep")];
      return (ids) => [cls, ...ids, sep];
    }
    default:
      return fields.unknownType("post-processor");
  }
}

function idOfPair(fields: Fields, key: string): number {
  const [, id] = fields.list(key, 2);
  return checkId(id, fields, key);
}

function template(fields: Fields): PostProcessor {
  const special = fields.raw("special_tokens");
  const parts = fields.list("single", MAX_PIECES).map((part): readonly number[] | undefined => {
    if (isObject(part) && isObject(part.SpecialToken))
      return specialIds(fields, special, part.SpecialToken.id);
    if (isObject(part) && isObject(part.Sequence)) return part.Sequence.id === "A" ? undefined : [];
    throw new ModelFileError(
      `reading ${fields.place}: a part of the template is neither a token nor a text, got ${printValue(part)}`,
    );
  });
  return (ids) => parts.flatMap((part) => part ?? ids);
}

function specialIds(fields: Fields, special: unknown, name: unknown): readonly number[] {
  const entry =
    isObject(special) && typeof name === "string" && Object.hasOwn(special, name) ? special[name] : undefined;
  if (!isObject(entry) || !Array.isArray(entry.ids) || entry.ids.length > MAX_PIECES)
    throw new ModelFileError(
      `reading ${fields.place}: the template's special token ${printValue(name)} has no ids`,
    );
  return entry.ids.map((id) => checkId(id, fields, "special_tokens"));
}
