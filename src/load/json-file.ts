import { ModelFileError } from "../base/errors.ts";
import { type FileFolder, readText } from "./byte-source.ts";
import { findExcess, JSON_LIMITS, type JsonLimits, quoteNonFinite } from "./json-text.ts";

export type JsonObject = Readonly<Record<string, unknown>>;

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Characters of a value in a message. */
const SHOWN = 120;

/** A value as it stands in a message: JSON, cut at 120 characters because files are hostile. */
export function showValue(value: unknown): string {
  const text = JSON.stringify(head(value, { nodes: SHOWN + 10 })) ?? "nothing";
  return text.length > SHOWN ? `${text.slice(0, SHOWN - 3)}...` : text;
}

/** As much of a value as a message can show: neither its size nor its depth is walked. */
function head(value: unknown, left: { nodes: number }): unknown {
  left.nodes--;
  if (typeof value === "string") return value.slice(0, SHOWN + 10);
  if (typeof value === "bigint") return String(value);
  if (typeof value !== "object" || value === null) return value;
  if (left.nodes <= 0) return null;
  if (Array.isArray(value)) {
    const items: unknown[] = [];
    for (let i = 0; i < value.length && left.nodes > 0; i++) items.push(head(value[i], left));
    return items;
  }
  const entries: [string, unknown][] = [];
  for (const key in value) {
    if (left.nodes <= 0) break;
    if (Object.hasOwn(value, key))
      entries.push([key.slice(0, SHOWN + 10), head(Reflect.get(value, key), left)]);
  }
  return Object.fromEntries(entries);
}

/** The object in a JSON file, or undefined when there is no such file. @throws ModelFileError when it is no object. */
export async function readJsonObject(folder: FileFolder, path: string): Promise<JsonObject | undefined> {
  const text = await readText(folder, path);
  return text === undefined ? undefined : parseJsonObject(text, `${folder.name}/${path}`);
}

/**
 * As Python reads JSON: NaN and Infinity are values, here the texts of those names. A byte-order mark is passed over.
 * @throws ModelFileError naming the file when the text is no JSON object, or holds more than any checkpoint's.
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
  if (!isJsonObject(value))
    throw new ModelFileError(`reading ${fileName}: expected a JSON object, got ${showValue(value)}`);
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
