import { ModelFileError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { type FileFolder, readText } from "./byte-source.ts";
import { findExcess, JSON_LIMITS, type JsonLimits, quoteNonFinite } from "./json-text.ts";

/** An object of a JSON file, whose values are checked where they are read. */
export type JsonObject = Readonly<Record<string, unknown>>;

/** Reads the object of a JSON file; undefined when the folder has no such file. @throws ModelFileError */
export async function readJsonObject(folder: FileFolder, path: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, path);
  return text === undefined ? undefined : parseJsonObject(text, `${folder.name}/${path}`);
}

/**
 * Parses JSON as Python does: NaN and Infinity are valid and become texts of those names. Skips a byte-order mark.
 * @throws ModelFileError naming the file when the text is not a JSON object or exceeds the limits.
 */
export function parseJsonObject(
  text: string,
  fileName: string,
  limits: JsonLimits = JSON_LIMITS,
): JsonObject {
  const json = text.startsWith("\ufeff") ? text.slice(1) : text;
  const excess = findExcess(json, limits);
  if (excess !== undefined)
    throw new ModelFileError(
      `reading ${fileName}: expected the JSON of a checkpoint, but ${excess}; download the file again`,
    );
  const value = parse(json, fileName);
  if (!isObject(value))
    throw new ModelFileError(`reading ${fileName}: expected a JSON object, got ${printValue(value)}`);
  return value;
}

function parse(json: string, fileName: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    try {
      return JSON.parse(quoteNonFinite(json));
    } catch {
      throw new ModelFileError(
        `reading ${fileName}: not valid JSON (${String(cause)}); download the file again`,
        { cause },
      );
    }
  }
}
