import { ModelFileError } from "../base/errors.ts";
import { type FileFolder, readText } from "./byte-source.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** A value as it stands in a message: JSON, cut at 120 characters because files are hostile. */
export function showValue(value: unknown): string {
  const text = JSON.stringify(value) ?? "nothing";
  return text.length > 120 ? `${text.slice(0, 117)}...` : text;
}

/** The object in a JSON file, or undefined when there is no such file. @throws ModelFileError when it is no object. */
export async function readJsonObject(folder: FileFolder, path: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, path);
  return text === undefined ? undefined : parseJsonObject(text, `${folder.name}/${path}`);
}

/** @throws ModelFileError naming the file when the text is no JSON object. */
export function parseJsonObject(text: string, fileName: string): JsonObject {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(
      `reading ${fileName}: not valid JSON (${String(cause)}); download the file again`,
      {
        cause,
      },
    );
  }
  if (!isJsonObject(value))
    throw new ModelFileError(`reading ${fileName}: expected a JSON object, got ${showValue(value)}`);
  return value;
}

/** A key that stands twice in one object of a valid JSON text, or undefined. `JSON.parse` would keep the last. */
export function findDuplicateKey(json: string): string | undefined {
  const open: Set<string>[] = [];
  const token = /"(?:\\.|[^"\\])*"(\s*:)?|[{}]/gs;
  for (let match = token.exec(json); match; match = token.exec(json)) {
    if (match[0] === "{") open.push(new Set());
    else if (match[0] === "}") open.pop();
    else if (match[1] !== undefined) {
      const key = String(JSON.parse(match[0].slice(0, match[0].lastIndexOf('"') + 1)));
      const keys = open[open.length - 1];
      if (keys?.has(key)) return key;
      keys?.add(key);
    }
  }
  return undefined;
}
