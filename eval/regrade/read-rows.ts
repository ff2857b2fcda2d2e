/** Reads files of JSON lines, whose last line may lack its end, a line at a time, and files of one JSON value. */
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { ModelFileError } from "../../src/node/index.ts";

/** Longer than a response of a million tokens. */
const MAX_LINE_CHARS = 64 << 20;
/** Of a file that is one value, and has to fit in memory. */
const MAX_WHOLE_BYTES = 1 << 30;

export interface JsonRow {
  readonly fields: Readonly<Record<string, unknown>>;
  /** "line 3". */
  readonly place: string;
}

/** Yields the objects of a file of JSON lines. @throws ModelFileError naming a line that is no object */
export async function* readRows(path: string): AsyncGenerator<JsonRow> {
  let number = 0;
  for await (const line of linesOf(path)) {
    number++;
    const place = `line ${number}`;
    if (line.trim() !== "") yield { fields: parseObject(line, `reading ${path}: ${place}`), place };
  }
}

async function* linesOf(path: string): AsyncGenerator<string> {
  let rest = "";
  try {
    // By hand: readline also ends lines at U+2028, which JSON may hold.
    for await (const chunk of createReadStream(path, { encoding: "utf8" })) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      if (rest.length > MAX_LINE_CHARS)
        throw new ModelFileError(
          `reading ${path}: a line has more than ${MAX_LINE_CHARS >> 20} Mi characters`,
        );
      yield* lines;
    }
  } catch (cause) {
    if (cause instanceof Error && "syscall" in cause)
      throw new ModelFileError(`reading ${path}: ${cause.message}`, { cause });
    throw cause;
  }
  if (rest !== "") yield rest;
}

/** Reads a file that is one value. @throws ModelFileError */
export async function readWhole(path: string): Promise<unknown> {
  let text: string;
  try {
    const { size } = await stat(path);
    if (size > MAX_WHOLE_BYTES)
      throw new ModelFileError(
        `reading ${path}: it has ${(size / 1e9).toFixed(1)} GB; give it as JSON lines`,
      );
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    throw new ModelFileError(`reading ${path}: ${String(cause)}`, { cause });
  }
  return parseJson(text, `reading ${path}: the file`);
}

function parseObject(text: string, what: string): Readonly<Record<string, unknown>> {
  const value = parseJson(text, what);
  if (!isRecord(value)) throw new ModelFileError(`${what} is no JSON object with fields`);
  return value;
}

function parseJson(text: string, what: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(
      `${what} is no JSON (${cause instanceof Error ? cause.message : String(cause)})`,
      {
        cause,
      },
    );
  }
}

export function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
