import { createReadStream } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { ModelFileError } from "../../src/node/index.ts";

const NEWLINE = 10;
const CHUNK_BYTES = 64 << 10;

/**
 * Reads the whole lines of a file, none if there is no file. A last line without its end is left out: its writer was killed, or
 * has not ended it yet.
 * @throws ModelFileError if the file cannot be read
 */
export async function* readLines(
  path: string,
): AsyncGenerator<{ readonly text: string; readonly number: number }> {
  const end = await wholeBytesOf(path);
  if (end === 0) return;
  const input = createReadStream(path, { end: end - 1, encoding: "utf8" });
  let number = 0;
  try {
    // By hand: readline also ends lines at U+2028, which JSON may hold.
    let rest = "";
    for await (const chunk of input) {
      const lines = (rest + String(chunk)).split("\n");
      rest = lines.pop() ?? "";
      for (const text of lines) yield { text, number: ++number };
    }
  } catch (cause) {
    if (cause instanceof Error && "syscall" in cause)
      throw new ModelFileError(`reading ${path}: ${String(cause)}`, { cause });
    throw cause;
  }
}

async function wholeBytesOf(path: string): Promise<number> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return 0;
    throw new ModelFileError(`opening ${path}: ${String(cause)}`, { cause });
  }
  try {
    return await wholeBytes(file);
  } finally {
    await file.close();
  }
}

/** Bytes up to the end of the last whole line. */
export async function wholeBytes(file: FileHandle): Promise<number> {
  let { size: end } = await file.stat();
  const chunk = new Uint8Array(CHUNK_BYTES);
  while (end > 0) {
    const start = Math.max(0, end - CHUNK_BYTES);
    const { bytesRead } = await file.read(chunk, 0, end - start, start);
    const at = chunk.subarray(0, bytesRead).lastIndexOf(NEWLINE);
    if (at >= 0) return start + at + 1;
    end = start;
  }
  return 0;
}
