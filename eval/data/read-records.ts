/** Reads the rows of a file of problems: JSON lines, a JSON array, CSV with a header, Parquet. */
import { readFile, stat } from "node:fs/promises";
import { ModelFileError } from "../../src/node/index.ts";
import { checkCount, type DataRecord, type Refuse } from "./data-record.ts";

/** A hundred times the largest of the published sets. */
export const MAX_FILE_BYTES = 256 << 20;
/** More nesting than any row of problems has; deeper values could exhaust the stack of what walks them. */
const MAX_DEPTH = 64;

/**
 * Reads a file by its content and its ending.
 * @throws ModelFileError when it cannot be read, is damaged, or is something else
 */
export async function readRecords(path: string): Promise<readonly DataRecord[]> {
  const bytes = await readBytes(path);
  const refuse = (what: string, cause?: unknown) => new ModelFileError(`reading ${path}: ${what}`, { cause });
  const records = await parse(path, bytes, refuse);
  if (records.length === 0) throw refuse("it has no rows");
  return records;
}

function parse(
  path: string,
  bytes: Uint8Array,
  refuse: Refuse,
): Promise<readonly DataRecord[]> | readonly DataRecord[] {
  const ending = /\.[a-z]+$/i.exec(path)?.[0].toLowerCase() ?? "";
  const head = Buffer.from(bytes.subarray(0, 256)).toString("latin1");
  if (head.startsWith("PAR1")) return readParquetLazily(bytes, refuse);
  if (ending === ".parquet" || ending === ".pq") throw refuse(`it is no Parquet file${describeHead(head)}`);
  const strange = describeHead(head);
  if (strange !== "") throw refuse(`expected rows of problems${strange}`);
  const text = decode(bytes, refuse);
  if (ending === ".jsonl" || ending === ".ndjson") return readLines(text, refuse);
  if (ending === ".json")
    return text.trimStart().startsWith("[") ? readArray(text, refuse) : readLines(text, refuse);
  if (ending === ".csv") return readCsvLazily(text, refuse);
  throw refuse(`its name ends in "${ending}"; expected .jsonl, .json, .csv or .parquet`);
}

async function readParquetLazily(bytes: Uint8Array, refuse: Refuse): Promise<readonly DataRecord[]> {
  const { readParquet } = await import("./read-parquet.ts");
  return readParquet(bytes, refuse);
}

async function readCsvLazily(text: string, refuse: Refuse): Promise<readonly DataRecord[]> {
  const { readCsv } = await import("./read-csv.ts");
  return readCsv(text, refuse);
}

async function readBytes(path: string): Promise<Uint8Array> {
  try {
    const { size } = await stat(path);
    if (size > MAX_FILE_BYTES)
      throw new ModelFileError(
        `reading ${path}: it has ${(size / 1e6).toFixed(0)} MB, more than any set of problems (limit ${MAX_FILE_BYTES >> 20} MiB)`,
      );
    return await readFile(path);
  } catch (cause) {
    if (cause instanceof ModelFileError) throw cause;
    throw new ModelFileError(`reading ${path}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}

/** Names what stands in place of a data file; empty if it may be one. */
function describeHead(head: string): string {
  if (head.startsWith("version https://git-lfs"))
    return "; it is a pointer of Git LFS: fetch the file itself (`git lfs pull`)";
  if (/^\s*<(!doctype|html)/i.test(head))
    return "; it is a page of HTML, such as the answer of a log-in page";
  if (head.startsWith("\x1f\x8b")) return "; it is compressed (gzip): unpack it first";
  if (head.startsWith("PK\x03\x04")) return "; it is a zip archive: unpack it first";
  if (head.startsWith("\x28\xb5\x2f\xfd")) return "; it is compressed (zstd): unpack it first";
  return "";
}

function decode(bytes: Uint8Array, refuse: Refuse): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw refuse("it is no text in UTF-8", cause);
  }
}

function readLines(text: string, refuse: Refuse): readonly DataRecord[] {
  const records: DataRecord[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "") continue;
    const place = `line ${index + 1}`;
    records.push({ fields: asObject(parseJson(line, place, refuse), place, refuse), place });
    checkCount(records.length, refuse);
  }
  return records;
}

function readArray(text: string, refuse: Refuse): readonly DataRecord[] {
  const all = parseJson(text, "the array", refuse);
  if (!Array.isArray(all)) throw refuse("expected an array of rows");
  checkCount(all.length, refuse);
  return all.map((one: unknown, index) => {
    const place = `row ${index + 1}`;
    return { fields: asObject(one, place, refuse), place };
  });
}

function parseJson(text: string, place: string, refuse: Refuse): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw refuse(`${place} is no JSON (${cause instanceof Error ? cause.message : String(cause)})`, cause);
  }
}

function asObject(value: unknown, place: string, refuse: Refuse): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refuse(`${place} is no object with fields, but ${value === null ? "null" : describeType(value)}`);
  if (isDeeper(value, MAX_DEPTH)) throw refuse(`${place} nests values more than ${MAX_DEPTH} deep`);
  return value as Readonly<Record<string, unknown>>;
}

function describeType(value: unknown): string {
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}

/** True if a value nests deeper than a limit. Without recursion beyond the limit. */
function isDeeper(value: unknown, limit: number): boolean {
  if (typeof value !== "object" || value === null) return false;
  if (limit === 0) return true;
  return Object.values(value).some((one) => isDeeper(one, limit - 1));
}
