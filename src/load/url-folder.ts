import { ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "./byte-source.ts";

/** The first request asks for this much: enough for every small text and most safetensors headers in one go. */
const FIRST_BYTES = 64 << 10;

/** What `fetch` must do here; tests and callers with credentials hand in their own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/**
 * A folder behind a URL, read by HTTP ranges. A server that ignores ranges sends whole files, which are then held in
 * memory. Relative URLs are resolved against the page.
 */
export function createUrlFolder(
  url: string | URL,
  fetchFile: Fetch = (target, init) => globalThis.fetch(target, init),
): FileFolder {
  const base = new URL(url, globalThis.location?.href);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  return {
    name: base.href.replace(/\/$/, ""),
    open: (path) => {
      const target = new URL(base);
      target.pathname += path;
      return openUrl(target.href, fetchFile);
    },
  };
}

/**
 * One file behind a URL; undefined when the server says there is none, or answers with a page as servers of
 * single-page applications do for any unknown path: no file of a checkpoint is HTML.
 * @throws ModelFileError
 */
async function openUrl(url: string, fetchFile: Fetch): Promise<ByteSource | undefined> {
  const response = await request(url, fetchFile, { headers: { Range: `bytes=0-${FIRST_BYTES - 1}` } });
  const isPage = response.ok && /^text\/html\b/i.test(response.headers.get("content-type") ?? "");
  if (response.status === 404 || response.status === 410 || isPage) {
    await response.body?.cancel();
    return undefined;
  }
  // an empty file has no first byte: the server answers 416 with "bytes */0"
  if (response.status === 416 && response.headers.get("content-range")?.endsWith("/0"))
    return memorySource(url, new Uint8Array(0));
  if (!response.ok) throw refused(url, response);
  const first = await bodyOf(url, response);
  if (response.status !== 206) return memorySource(url, first);
  const sizeBytes = await sizeOf(url, response, fetchFile);
  if (first.length === sizeBytes) return memorySource(url, first);
  return rangeSource(url, sizeBytes, first, fetchFile);
}

function memorySource(name: string, bytes: Uint8Array): ByteSource {
  const sizeBytes = bytes.length;
  return {
    name,
    sizeBytes,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      return bytes.slice(offset, offset + length);
    },
  };
}

function rangeSource(name: string, sizeBytes: number, first: Uint8Array, fetchFile: Fetch): ByteSource {
  return {
    name,
    sizeBytes,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      if (length === 0) return new Uint8Array(0); // HTTP has no empty range
      if (offset + length <= first.length) return first.slice(offset, offset + length);
      const end = offset + length - 1;
      const response = await request(name, fetchFile, { headers: { Range: `bytes=${offset}-${end}` } });
      if (response.status !== 206) throw refused(name, response);
      const bytes = await bodyOf(name, response);
      if (bytes.length !== length)
        throw new ModelFileError(
          `reading ${name}: expected ${length} bytes from ${offset}, the server sent ${bytes.length}; try again`,
        );
      return bytes;
    },
  };
}

/** The file's size from Content-Range, or from a HEAD request where CORS hides that header. */
async function sizeOf(url: string, response: Response, fetchFile: Fetch): Promise<number> {
  const total = response.headers.get("content-range")?.split("/")[1];
  const text = total ?? (await request(url, fetchFile, { method: "HEAD" })).headers.get("content-length");
  const sizeBytes = text ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0)
    throw new ModelFileError(
      `opening ${url}: the server does not tell the file's size (got ${String(text)})`,
    );
  return sizeBytes;
}

async function request(url: string, fetchFile: Fetch, init: RequestInit): Promise<Response> {
  try {
    return await fetchFile(url, init);
  } catch (cause) {
    throw new ModelFileError(`fetching ${url}: ${String(cause)}; check the address and the network`, {
      cause,
    });
  }
}

async function bodyOf(url: string, response: Response): Promise<Uint8Array> {
  try {
    return new Uint8Array(await response.arrayBuffer());
  } catch (cause) {
    throw new ModelFileError(`fetching ${url}: the transfer broke off (${String(cause)}); try again`, {
      cause,
    });
  }
}

function refused(url: string, response: Response): ModelFileError {
  return new ModelFileError(
    `fetching ${url}: the server answered ${response.status} ${response.statusText}`.trimEnd(),
  );
}
