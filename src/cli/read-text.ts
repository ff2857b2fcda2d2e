import { createReadStream } from "node:fs";

/** More bytes than the context of any model holds. */
const MAX_MEBIBYTES = 64;

/** The members of standard input that a prompt needs. */
export interface PromptInput extends AsyncIterable<Uint8Array | string> {
  readonly isTTY?: boolean;
}

/**
 * Reads the text of a file, or of standard input if the path is "-", without a byte order mark.
 * @throws Error with the path when the file cannot be read, is no UTF-8, or exceeds 64 MiB.
 */
export async function readText(path: string, input: PromptInput): Promise<string> {
  if (path === "-") return readAll(input, "standard input");
  try {
    return await readAll(createReadStream(path), path);
  } catch (error) {
    if (error instanceof Error && "code" in error) throw new Error(`cannot read ${path}: ${reasonOf(error)}`);
    throw error;
  }
}

/** Reads a stream to its end. A terminal gives "", since nobody was asked to type. */
export async function readAll(input: PromptInput, name: string): Promise<string> {
  if (input.isTTY) return "";
  const encoder = new TextEncoder();
  const chunks: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of input) {
    const bytes = typeof chunk === "string" ? encoder.encode(chunk) : chunk;
    sizeBytes += bytes.length;
    if (sizeBytes > MAX_MEBIBYTES * 2 ** 20)
      throw new Error(`${name} has more than ${MAX_MEBIBYTES} MiB, more than any context holds`);
    chunks.push(bytes);
  }
  return decode(Buffer.concat(chunks), name);
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const isUtf16 = (bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff);
    throw new Error(`${name} is ${isUtf16 ? "UTF-16" : "no UTF-8 text"}; save it as UTF-8`);
  }
}

/** Reads a JSON file. @throws Error with the path and the expected content. */
export async function readJson(path: string, input: PromptInput, expected: string): Promise<unknown> {
  const text = await readText(path, input);
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      text.trim() === ""
        ? `${nameOf(path)} is empty; expected ${expected}`
        : `${nameOf(path)}: expected ${expected}: ${reason}`,
    );
  }
}

/** Formats a path for messages. */
export function nameOf(path: string): string {
  return path === "-" ? "standard input" : path;
}

function reasonOf(error: Error & { readonly code: unknown }): string {
  switch (error.code) {
    case "ENOENT":
      return "there is no such file";
    case "EISDIR":
      return "it is a folder; name a file";
    case "EACCES":
      return "permission denied";
    default:
      return error.message;
  }
}
