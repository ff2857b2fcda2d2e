import * as v from "valibot";
import { checkOptions, numberThat } from "../base/check-options.ts";
import { ConfigError, ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder, maxTextBytes } from "./byte-source.ts";
import { type Fetch, HttpReader, type HttpResponse, rangeRequest, TransferError } from "./http-reader.ts";

export type { Fetch } from "./http-reader.ts";

/** Size of the first request: holds every small text and most safetensors headers. */
const FIRST_BYTES = 64 << 10;

/** Limits on a weight file from a server without ranges, which is held in memory: with and without a Content-Length. */
const MAX_WHOLE_BYTES = 2 ** 32 - 1;
const MAX_UNSIZED_BYTES = 2 ** 30;

/** How to read files behind a URL. */
export interface UrlFolderOptions {
  /** A request fails after this time without 1 KiB of progress, waiting for the response included. Default 30 s. */
  readonly stallMs?: number;
}

const OPTIONS = v.object({ stallMs: numberThat("a number of milliseconds above 0", (ms) => ms > 0) });

/**
 * Creates a folder behind a URL, read by HTTP ranges. A URL that ends in .gguf means the folder of that file, and the file.
 * Files from a server that ignores ranges are held in memory whole. Relative URLs resolve against the page. The folder checks every response: its range, its length, and that all
 * responses belong to one version of the file.
 * @throws ConfigError when `url` is not a URL
 */
export function createUrlFolder(
  url: string | URL,
  fetchFile: Fetch = (target, init) => globalThis.fetch(target, init),
  options: UrlFolderOptions = {},
): FileFolder {
  const { stallMs = 30_000 } = checkOptions(OPTIONS, options, "createUrlFolder", ConfigError);
  const base = parseUrl(url);
  const weightFile = /\/([^/]+\.gguf)$/i.exec(base.pathname)?.[1];
  if (weightFile !== undefined) base.pathname = base.pathname.slice(0, -weightFile.length);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const http = new HttpReader(fetchFile, stallMs);
  const refusals = new Map<string, string>();
  return {
    name: base.href.replace(/\/$/, ""),
    ...(weightFile !== undefined && { weightFile }),
    open: async (path, signal) => {
      const target = new URL(base);
      target.pathname += path;
      const opened = await openUrl(target.href, path, http, signal);
      refusals.delete(path);
      if (typeof opened !== "string") return opened;
      if (opened !== "") refusals.set(path, `${target.href}: ${opened}`);
      return undefined;
    },
    whyMissing: (path) => refusals.get(path),
  };
}

function parseUrl(url: string | URL): URL {
  try {
    return new URL(url, globalThis.location?.href);
  } catch (cause) {
    throw new ConfigError(
      `opening a model: "${String(url)}" is no URL; name the URL of a checkpoint's folder`,
      { cause },
    );
  }
}

/**
 * Opens a file behind a URL, or returns the reason why it counts as missing: "" for statuses that say so. Buckets respond
 * 403 to a missing file unless the reader may list them, and some servers 401. Servers of single-page applications
 * respond to any unknown path with a page; no file of a checkpoint is HTML.
 * @throws ModelFileError
 */
async function openUrl(
  url: string,
  path: string,
  http: HttpReader,
  signal: AbortSignal | undefined,
): Promise<ByteSource | string> {
  const response = await http.request(url, { headers: { Range: `bytes=0-${FIRST_BYTES - 1}` } }, signal);
  const { status } = response;
  try {
    if (status === 404 || status === 410) return "";
    if (status === 401 || status === 403)
      return (
        `the server answered ${response.statusText}, which is taken as "not there"; either the file is not there, or it ` +
        "may not be read without credentials: check both"
      );
    if (response.isOk && /^text\/html\b/i.test(response.header("content-type") ?? ""))
      return 'the server sent a web page in its place, which is taken as "not there"';
    // an empty file has no first byte: the server responds 416 with "bytes */0"
    if (status === 416 && response.header("content-range")?.endsWith("/0"))
      return memorySource(url, new Uint8Array(0));
    if (!response.isOk) throw refused(url, response);
    if (status !== 206) return memorySource(url, await wholeFile(url, path, response));
    return await openRanges(url, http, response, signal);
  } finally {
    response.cancel();
  }
}

/** @throws ModelFileError when the file exceeds its limit, or its length differs from the Content-Length. */
async function wholeFile(url: string, path: string, response: HttpResponse): Promise<Uint8Array> {
  const limit = /\.(safetensors|gguf)$/i.test(path) ? MAX_WHOLE_BYTES : maxTextBytes(path);
  const claimed = response.contentLength;
  if (claimed !== undefined && claimed > limit)
    throw new ModelFileError(
      `fetching ${url}: the server sends the whole file of ${claimed} bytes, more than the ${limit} that are held in memory; ` +
        "use a server that knows HTTP ranges",
    );
  const bytes = await response.bytes(claimed ?? Math.min(limit, MAX_UNSIZED_BYTES));
  if (claimed !== undefined && bytes.length !== claimed)
    throw new TransferError(
      `fetching ${url}: expected ${claimed} bytes, the server sent ${bytes.length}; try again`,
    );
  return bytes;
}

async function openRanges(
  url: string,
  http: HttpReader,
  response: HttpResponse,
  signal: AbortSignal | undefined,
): Promise<ByteSource> {
  const first = await response.bytes(FIRST_BYTES);
  const sizeBytes = response.range?.total ?? (await sizeByHead(url, http, response, signal));
  const expected = Math.min(FIRST_BYTES, sizeBytes);
  checkResponse(url, response, { offset: 0, length: expected, sizeBytes });
  if (first.length !== expected)
    throw new TransferError(
      `fetching ${url}: expected ${expected} bytes from 0, the server sent ${first.length}; try again`,
    );
  return first.length === sizeBytes
    ? memorySource(url, first)
    : rangeSource(url, sizeBytes, first, response, http);
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

function rangeSource(
  name: string,
  sizeBytes: number,
  first: Uint8Array,
  opened: HttpResponse,
  http: HttpReader,
): ByteSource {
  return {
    name,
    sizeBytes,
    read: async (offset, length, signal) => {
      checkRange({ name, sizeBytes }, offset, length);
      if (length === 0) return new Uint8Array(0); // HTTP has no empty range
      if (offset + length <= first.length) return first.slice(offset, offset + length);
      const response = await http.request(name, rangeRequest(offset, offset + length - 1), signal);
      try {
        if (response.status !== 206 && response.status !== 200) throw refused(name, response);
        checkVersion(name, opened, response);
        const isWhole = response.status === 200;
        checkResponse(name, response, { offset, length, sizeBytes });
        // a server that sends the whole file: skip to the range, leave the rest unread
        const bytes = await response.bytes(length, isWhole ? offset : 0, isWhole);
        if (bytes.length !== length)
          throw new TransferError(
            `reading ${name}: expected ${length} bytes from ${offset}, the server sent ${bytes.length}; try again`,
          );
        return bytes;
      } finally {
        response.cancel();
      }
    },
  };
}

/** Checks a response's headers against the request. CORS may hide Content-Range. @throws ModelFileError */
function checkResponse(
  url: string,
  response: HttpResponse,
  asked: { readonly offset: number; readonly length: number; readonly sizeBytes: number },
): void {
  const { offset, length, sizeBytes } = asked;
  const { range, contentLength, status } = response;
  const got = response.header("content-range") ?? response.header("content-type") ?? "nothing";
  const isOther =
    status === 206
      ? (!range && response.header("content-range") !== undefined) ||
        (range &&
          (range.first !== offset ||
            range.last !== offset + length - 1 ||
            (range.total !== undefined && range.total !== sizeBytes))) ||
        /^multipart\//i.test(response.header("content-type") ?? "")
      : contentLength !== undefined && contentLength !== sizeBytes;
  if (isOther)
    throw new ModelFileError(
      `reading ${url}: asked for bytes ${offset} to ${offset + length - 1} of ${sizeBytes}, the server sent others ` +
        `(${status === 206 ? got : `${contentLength} bytes in all`}); the file changed or the server is at fault: try again`,
    );
}

/**
 * Checks that two responses belong to one version of the file: by ETag if both have one, else by date. Requests omit
 * If-Range: across origins it would cost a preflight that many servers refuse.
 * @throws ModelFileError
 */
function checkVersion(url: string, before: HttpResponse, now: HttpResponse): void {
  for (const name of ["etag", "last-modified"]) {
    const [then, later] = [before, now].map((response) => response.header(name)?.replace(/^W\//, ""));
    if (!then || !later) continue;
    if (then === later) return;
    throw new ModelFileError(
      `reading ${url}: the file changed on the server while it was read (${name} ${then}, then ${later}); open it again`,
    );
  }
}

/** Gets the file's size by a HEAD request, for servers whose CORS headers hide Content-Range. */
async function sizeByHead(
  url: string,
  http: HttpReader,
  response: HttpResponse,
  signal: AbortSignal | undefined,
): Promise<number> {
  const head = await http.request(url, { method: "HEAD" }, signal);
  head.cancel();
  if (head.isOk) checkVersion(url, response, head);
  const sizeBytes = head.isOk ? head.contentLength : undefined;
  if (sizeBytes === undefined)
    throw new ModelFileError(
      `opening ${url}: the server does not tell the file's size (Content-Range ` +
        `${response.header("content-range") ?? "missing"}, and a HEAD request answered ${head.statusText}); ` +
        "let it send Content-Range, and expose that header across origins (Access-Control-Expose-Headers)",
    );
  return sizeBytes;
}

function refused(url: string, response: HttpResponse): ModelFileError {
  return new ModelFileError(`fetching ${url}: the server answered ${response.statusText}`);
}
