import { createReadStream } from "node:fs";

/** More text than the context of any model holds. */
const MAX_MEBIBYTES = 64;

/** Standard input as far as a prompt needs it. */
export interface PromptInput extends AsyncIterable<Uint8Array | string> {
  readonly isTTY?: boolean;
}

/**
 * The text of a file, or of standard input where the path is "-". A mark at its start that says that it is UTF-8 is left
 * out.
 * @throws Error that names the path, when it cannot be read, is no UTF-8, or has no end within 64 MiB.
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

/** All of a stream as text; "" of a terminal, which nobody has been asked to type into. */
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

/** A file of JSON. @throws Error that names the path and says what was expected. */
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

/** A path as messages name it. */
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
