import * as v from "valibot";
import { checkOptions, numberThat } from "../base/check-options.ts";
import { ConfigError, ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder, maxTextBytes } from "./byte-source.ts";
import { type Answer, type Fetch, HttpReader } from "./http-reader.ts";

export type { Fetch } from "./http-reader.ts";

/** The first request asks for this much: enough for every small text and most safetensors headers in one go. */
const FIRST_BYTES = 64 << 10;

/** Largest weights that a server without ranges may send, which are then held in memory; without a Content-Length, less. */
const MAX_WHOLE_BYTES = 2 ** 32 - 1;
const MAX_UNTOLD_BYTES = 2 ** 30;

export interface UrlFolderOptions {
  /** Time without 1 KiB of progress, the wait for an answer included, after which a request fails. Default 30 s. */
  readonly stallMs?: number;
}

const OPTIONS = v.object({ stallMs: numberThat("a number of milliseconds above 0", (ms) => ms > 0) });

/**
 * A folder behind a URL, read by HTTP ranges. A server that ignores ranges sends whole files, which are then held in
 * memory. Relative URLs are resolved against the page. What a server says and sends is checked: the range, its length,
 * and that all answers are of one version of the file.
 * @throws ConfigError on what is no URL
 */
export function createUrlFolder(
  url: string | URL,
  fetchFile: Fetch = (target, init) => globalThis.fetch(target, init),
  options: UrlFolderOptions = {},
): FileFolder {
  const { stallMs = 30_000 } = checkOptions(OPTIONS, options, "createUrlFolder", ConfigError);
  const base = parseUrl(url);
  if (!base.pathname.endsWith("/")) base.pathname += "/";
  const http = new HttpReader(fetchFile, stallMs);
  const refusals = new Map<string, string>();
  return {
    name: base.href.replace(/\/$/, ""),
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
 * One file behind a URL, or why it is taken for not there: "" where the server says so. Buckets answer 403 for what is
 * not there unless the reader may list them, and some servers 401; servers of single-page applications answer any unknown
 * path with a page, and no file of a checkpoint is HTML.
 * @throws ModelFileError
 */
async function openUrl(
  url: string,
  path: string,
  http: HttpReader,
  signal: AbortSignal | undefined,
): Promise<ByteSource | string> {
  const answer = await http.request(url, { headers: { Range: `bytes=0-${FIRST_BYTES - 1}` } }, signal);
  const { status } = answer;
  try {
    if (status === 404 || status === 410) return "";
    if (status === 401 || status === 403)
      return (
        `the server answered ${answer.statusText}, which is taken as "not there"; either the file is not there, or it ` +
        "may not be read without credentials: check both"
      );
    if (answer.isOk && /^text\/html\b/i.test(answer.header("content-type") ?? ""))
      return 'the server sent a web page in its place, which is taken as "not there"';
    // an empty file has no first byte: the server answers 416 with "bytes */0"
    if (status === 416 && answer.header("content-range")?.endsWith("/0"))
      return memorySource(url, new Uint8Array(0));
    if (!answer.isOk) throw refused(url, answer);
    if (status !== 206) return memorySource(url, await wholeFile(url, path, answer));
    return await openRanges(url, http, answer, signal);
  } finally {
    answer.cancel();
  }
}

/** @throws ModelFileError when the server sends more than the file may have, or another length than it said. */
async function wholeFile(url: string, path: string, answer: Answer): Promise<Uint8Array> {
  const most = path.endsWith(".safetensors") ? MAX_WHOLE_BYTES : maxTextBytes(path);
  const said = answer.contentLength;
  if (said !== undefined && said > most)
    throw new ModelFileError(
      `fetching ${url}: the server sends the whole file of ${said} bytes, more than the ${most} that are held in memory; ` +
        "use a server that knows HTTP ranges",
    );
  const bytes = await answer.bytes(said ?? Math.min(most, MAX_UNTOLD_BYTES));
  if (said !== undefined && bytes.length !== said)
    throw new ModelFileError(
      `fetching ${url}: expected ${said} bytes, the server sent ${bytes.length}; try again`,
    );
  return bytes;
}

async function openRanges(
  url: string,
  http: HttpReader,
  answer: Answer,
  signal: AbortSignal | undefined,
): Promise<ByteSource> {
  const first = await answer.bytes(FIRST_BYTES);
  const sizeBytes = answer.range?.total ?? (await sizeByHead(url, http, answer, signal));
  const expected = Math.min(FIRST_BYTES, sizeBytes);
  checkAnswer(url, answer, { offset: 0, length: expected, sizeBytes });
  if (first.length !== expected)
    throw new ModelFileError(
      `fetching ${url}: expected ${expected} bytes from 0, the server sent ${first.length}; try again`,
    );
  return first.length === sizeBytes
    ? memorySource(url, first)
    : rangeSource(url, sizeBytes, first, answer, http);
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
  opened: Answer,
  http: HttpReader,
): ByteSource {
  return {
    name,
    sizeBytes,
    read: async (offset, length, signal) => {
      checkRange({ name, sizeBytes }, offset, length);
      if (length === 0) return new Uint8Array(0); // HTTP has no empty range
      if (offset + length <= first.length) return first.slice(offset, offset + length);
      const end = offset + length - 1;
      const answer = await http.request(name, { headers: { Range: `bytes=${offset}-${end}` } }, signal);
      try {
        if (answer.status !== 206 && answer.status !== 200) throw refused(name, answer);
        checkVersion(name, opened, answer);
        const isWhole = answer.status === 200;
        checkAnswer(name, answer, { offset, length, sizeBytes });
        // of a whole file the part before is passed over, the part after is left
        const bytes = await answer.bytes(length, isWhole ? offset : 0, isWhole);
        if (bytes.length !== length)
          throw new ModelFileError(
            `reading ${name}: expected ${length} bytes from ${offset}, the server sent ${bytes.length}; try again`,
          );
        return bytes;
      } finally {
        answer.cancel();
      }
    },
  };
}

/** Whether the answer says of itself that it is what was asked for. A range may be hidden by CORS. @throws ModelFileError */
function checkAnswer(
  url: string,
  answer: Answer,
  asked: { readonly offset: number; readonly length: number; readonly sizeBytes: number },
): void {
  const { offset, length, sizeBytes } = asked;
  const { range, contentLength, status } = answer;
  const got = answer.header("content-range") ?? answer.header("content-type") ?? "nothing";
  const isOther =
    status === 206
      ? (!range && answer.header("content-range") !== undefined) ||
        (range &&
          (range.first !== offset ||
            range.last !== offset + length - 1 ||
            (range.total !== undefined && range.total !== sizeBytes))) ||
        /^multipart\//i.test(answer.header("content-type") ?? "")
      : contentLength !== undefined && contentLength !== sizeBytes;
  if (isOther)
    throw new ModelFileError(
      `reading ${url}: asked for bytes ${offset} to ${offset + length - 1} of ${sizeBytes}, the server sent others ` +
        `(${status === 206 ? got : `${contentLength} bytes in all`}); the file changed or the server is at fault: try again`,
    );
}

/**
 * Both answers must be of one version: ETags where both have one, dates otherwise. If-Range is not sent: across origins
 * it would cost a preflight that many servers refuse.
 * @throws ModelFileError
 */
function checkVersion(url: string, before: Answer, now: Answer): void {
  for (const name of ["etag", "last-modified"]) {
    const [then, later] = [before, now].map((answer) => answer.header(name)?.replace(/^W\//, ""));
    if (!then || !later) continue;
    if (then === later) return;
    throw new ModelFileError(
      `reading ${url}: the file changed on the server while it was read (${name} ${then}, then ${later}); open it again`,
    );
  }
}

/** The file's size from a HEAD request, where CORS hides Content-Range. */
async function sizeByHead(
  url: string,
  http: HttpReader,
  answer: Answer,
  signal: AbortSignal | undefined,
): Promise<number> {
  const head = await http.request(url, { method: "HEAD" }, signal);
  head.cancel();
  if (head.isOk) checkVersion(url, answer, head);
  const sizeBytes = head.isOk ? head.contentLength : undefined;
  if (sizeBytes === undefined)
    throw new ModelFileError(
      `opening ${url}: the server does not tell the file's size (Content-Range ` +
        `${answer.header("content-range") ?? "missing"}, and a HEAD request answered ${head.statusText}); ` +
        "let it send Content-Range, and expose that header across origins (Access-Control-Expose-Headers)",
    );
  return sizeBytes;
}

function refused(url: string, answer: Answer): ModelFileError {
  return new ModelFileError(`fetching ${url}: the server answered ${answer.statusText}`);
}
