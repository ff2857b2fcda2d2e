import { abortable } from "../base/abort.ts";
import { EngineError, ModelFileError } from "../base/errors.ts";

/** The part of `fetch` that the reader uses. Tests and callers with credentials pass their own. */
export type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** The network failed, or its other end: the same request may succeed another time. Other failures are final. */
export class TransferError extends ModelFileError {}

/** The least rate that is progress. A server below it would hold a reader for months over a large file. */
const LEAST_BYTES_PER_SECOND = 512;

/**
 * Sends requests that always end: each fails once it has waited `stallMs` for the network without progress, which is
 * LEAST_BYTES_PER_SECOND over that time. What the caller does between two pieces takes no part of it. Limits the bytes of a
 * response.
 */
export class HttpReader {
  readonly #fetch: Fetch;
  readonly #stallMs: number;

  constructor(fetchFile: Fetch, stallMs: number) {
    this.#fetch = fetchFile;
    this.#stallMs = stallMs;
  }

  /** @throws TransferError when no response comes; what `fetch` refuses by itself; AbortedError */
  async request(url: string, init: RequestInit, signal: AbortSignal | undefined): Promise<HttpResponse> {
    const watch = new Watch(url, this.#stallMs, signal);
    try {
      const response = await watch.wait(this.#fetch(url, { ...init, signal: watch.signal }), (late) =>
        late.body?.cancel(),
      );
      return new HttpResponse(url, response, watch);
    } catch (cause) {
      watch.end();
      if (cause instanceof EngineError) throw cause;
      throw new TransferError(
        `fetching ${url}: ${String(cause)}${reasonOf(cause)}; check the address and the network`,
        { cause },
      );
    }
  }
}

/**
 * A request for bytes `first` to `last`, both included. Several ranges of a file are read at once: a browser's cache would
 * keep parts of one file for each other, answer with none, or ask for the last ones twice.
 */
export function rangeRequest(
  first: number,
  last: number,
  headers: Readonly<Record<string, string>> = {},
): RequestInit {
  return { headers: { Range: `bytes=${first}-${last}`, ...headers }, cache: "no-store" };
}

/** What lies behind "fetch failed", such as ECONNREFUSED or ENOTFOUND; browsers do not tell. */
function reasonOf(failure: unknown): string {
  const cause = failure instanceof Error ? failure.cause : undefined;
  if (!(cause instanceof Error)) return "";
  return ` (${cause.message || ("code" in cause ? String(cause.code) : cause.name)})`;
}

/** Aborts a transfer when the caller aborts or when it stalls. Time counts only while the network is waited for. */
class Watch {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal | undefined;
  readonly #url: string;
  readonly #stallMs: number;
  readonly #stop = () => this.#controller.abort(this.#caller?.reason);
  readonly #stall = () => this.#controller.abort(STALLED);
  /** Of `#stallMs`, since the last progress. */
  #leftMs: number;
  /** Bytes since the last progress. */
  #bytes = 0;

  constructor(url: string, stallMs: number, caller: AbortSignal | undefined) {
    this.#url = url;
    this.#stallMs = stallMs;
    this.#leftMs = stallMs;
    this.#caller = caller;
    caller?.addEventListener("abort", this.#stop, { once: true });
    if (caller?.aborted) this.#stop();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes * 1000 < LEAST_BYTES_PER_SECOND * this.#stallMs) return;
    this.#bytes = 0;
    this.#leftMs = this.#stallMs;
  }

  /** Awaits work that may ignore the signal. @throws TransferError when it stalls, AbortedError */
  async wait<T>(work: Promise<T>, discard?: (late: T) => unknown): Promise<T> {
    const timer = setTimeout(this.#stall, this.#leftMs);
    const startedAt = performance.now();
    try {
      return await abortable(work, this.signal, `fetching ${this.#url}`, discard);
    } catch (cause) {
      if (this.signal.reason !== STALLED) throw cause;
      const came = this.#bytes === 0 ? "no progress for" : `only ${this.#bytes} bytes came in`;
      const least = this.#bytes === 0 ? "" : ` (expected at least ${LEAST_BYTES_PER_SECOND} a second)`;
      throw new TransferError(
        `fetching ${this.#url}: ${came} ${this.#stallMs / 1000} s${least}; check the network and the server, and try again`,
      );
    } finally {
      clearTimeout(timer);
      this.#leftMs = Math.max(0, this.#leftMs - (performance.now() - startedAt));
    }
  }

  end(): void {
    this.#caller?.removeEventListener("abort", this.#stop);
  }
}

const STALLED = "no progress";

/** A parsed Content-Range header; `total` is undefined when the server does not know it. */
export interface ContentRange {
  readonly first: number;
  readonly last: number;
  readonly total: number | undefined;
}

/** A response with an unread body. The caller must call `cancel`, also after reading the body. */
export class HttpResponse {
  readonly #url: string;
  readonly #response: Response;
  readonly #watch: Watch;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;

  constructor(url: string, response: Response, watch: Watch) {
    this.#url = url;
    this.#response = response;
    this.#watch = watch;
  }

  get status(): number {
    return this.#response.status;
  }

  get isOk(): boolean {
    return this.#response.ok;
  }

  /** Status code and reason phrase. */
  get statusText(): string {
    return `${this.#response.status} ${this.#response.statusText}`.trimEnd();
  }

  header(name: string): string | undefined {
    return this.#response.headers.get(name) ?? undefined;
  }

  /** Size of the body; undefined when the server omits it or compresses the body. */
  get contentLength(): number | undefined {
    const encoding = this.header("content-encoding") ?? "identity";
    const text = this.header("content-length") ?? "";
    return encoding === "identity" && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
  }

  get range(): ContentRange | undefined {
    const match = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(this.header("content-range") ?? "");
    if (!match) return undefined;
    const [, first, last, total] = match;
    return {
      first: Number(first),
      last: Number(last),
      total: total === "*" ? undefined : Number(total),
    };
  }

  /**
   * Reads at most `limit` bytes of the body, from `skip` on.
   * mayHaveMore: leaves the rest unread; otherwise more bytes are an error.
   * @throws ModelFileError, AbortedError
   */
  async bytes(limit: number, skip = 0, mayHaveMore = false): Promise<Uint8Array> {
    const chunks: Uint8Array[] = [];
    let [skipped, length] = [0, 0];
    while (length < limit || !mayHaveMore) {
      const chunk = await this.#chunk();
      if (chunk === undefined) break;
      const rest = chunk.subarray(Math.min(chunk.length, skip - skipped));
      skipped += chunk.length - rest.length;
      if (length + rest.length > limit && !mayHaveMore)
        throw new ModelFileError(
          `fetching ${this.#url}: expected at most ${limit} bytes, the server sends more; try again, or use another server`,
        );
      chunks.push(rest.subarray(0, limit - length));
      length += Math.min(rest.length, limit - length);
    }
    return joined(chunks, length);
  }

  /** Yields the body as it arrives. @throws ModelFileError when the transfer stalls or breaks off, AbortedError */
  async *chunks(): AsyncGenerator<Uint8Array> {
    for (let chunk = await this.#chunk(); chunk !== undefined; chunk = await this.#chunk()) yield chunk;
  }

  async #chunk(): Promise<Uint8Array | undefined> {
    const { body } = this.#response;
    if (!body) return undefined;
    this.#reader ??= body.getReader();
    try {
      const { done, value } = await this.#watch.wait(this.#reader.read());
      if (done) return undefined;
      this.#watch.add(value.length);
      return value;
    } catch (cause) {
      if (cause instanceof EngineError) throw cause;
      throw new TransferError(`fetching ${this.#url}: the transfer broke off (${String(cause)}); try again`, {
        cause,
      });
    }
  }

  /** Ends the transfer and returns at once. */
  cancel(): void {
    this.#watch.end();
    const ending = this.#reader ? this.#reader.cancel() : this.#response.body?.cancel();
    ending?.catch(() => {}); // `bytes` has reported the failure of a body
  }
}

function joined(chunks: readonly Uint8Array[], length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}
