import { ModelFileError } from "../base/errors.ts";
import { type FileFolder, readText } from "./byte-source.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The object in a JSON file, or undefined when there is no such file. @throws ModelFileError when it is no object. */
export async function readJsonObject(folder: FileFolder, path: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, path);
  return text === undefined ? undefined : parseJsonObject(text, `${folder.name}/${path}`);
}

export function parseJsonObject(text: string, fileName: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(`reading ${fileName}: not valid JSON (${String(cause)}); download the file again`, { cause });
  }
  if (!isJsonObject(value))
    throw new ModelFileError(`reading ${fileName}: expected a JSON object, got ${Array.isArray(value) ? "an array" : String(value)}`);
  return value;
}
