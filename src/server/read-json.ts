/** Bodies of requests: JSON of limited size, depth and number of values. */
import { isObject } from "../base/is-object.ts";
import { findExcess } from "../load/json-text.ts";
import type { BodyMemory } from "./body-memory.ts";
import { badField, HttpError } from "./http-error.ts";

/** A conversation nests some 8 levels, a JSON schema more; 10,000 messages with parts are 60,000 values. */
const LIMITS = { maxDepth: 256, maxValues: 2_000_000 };

/**
 * Reads the body of a request as a JSON object. Refuses a body by its length before it reads it, or as soon as more comes.
 * @throws HttpError 400, 413, 415; 503 if other bodies hold too much memory
 */
export async function readJson(
  request: Request,
  memory: BodyMemory,
): Promise<Readonly<Record<string, unknown>>> {
  const type = request.headers.get("content-type") ?? "";
  // also keeps out forms of other pages, which browsers send without asking this server first
  if (!/^application\/json\s*(;|$)/i.test(type))
    throw new HttpError(
      415,
      `expected a body of JSON with the header "Content-Type: application/json", got ${type === "" ? "no content type" : JSON.stringify(type)}`,
    );
  const text = decode(await readBytes(request, memory));
  const excess = findExcess(text, LIMITS);
  if (excess !== undefined) throw new HttpError(400, `reading the body: ${excess}; send a smaller request`);
  const value = parse(text);
  if (!isObject(value)) throw new HttpError(400, "reading the body: expected a JSON object");
  return value;
}

async function readBytes(request: Request, memory: BodyMemory): Promise<Uint8Array> {
  const { maxBodyBytes: maxBytes } = memory;
  const tooLarge = () =>
    new HttpError(
      413,
      `reading the body: it is larger than the server's limit of ${maxBytes} bytes; send a smaller request, or start the server with a larger --body-limit`,
    );
  if (Number(request.headers.get("content-length") ?? 0) > maxBytes) throw tooLarge();
  if (!request.body) return new Uint8Array(0);
  const reader: ReadableStreamDefaultReader<Uint8Array> = request.body.getReader();
  const chunks: Uint8Array[] = [];
  let size = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((cause: unknown) => {
        // a client that left reads no answer; one that sent no proper chunks does
        throw new HttpError(400, "reading the body: the connection ended before its end", { cause });
      });
      if (done) return join(chunks, size);
      if (size + value.byteLength > maxBytes) throw tooLarge();
      memory.take(value.byteLength);
      size += value.byteLength;
      chunks.push(value);
    }
  } finally {
    memory.give(size);
  }
}

function join(chunks: readonly Uint8Array[], size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

function decode(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new HttpError(400, "reading the body: it is not valid UTF-8");
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new HttpError(400, `reading the body: it is not JSON: ${why.slice(0, 200)}`);
  }
}

/**
 * Reads JSON that a field of a body has as a text, within the limits of a body. Returns undefined if it is none.
 * @throws HttpError 400 beyond the limits
 */
export function readInnerJson(text: string, field: string): unknown {
  const excess = findExcess(text, LIMITS);
  if (excess !== undefined) throw badField(field, `reading ${field}: ${excess}; send a smaller one`);
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
