import { throwIfAborted } from "../../base/abort.ts";
import { ModelFileError } from "../../base/errors.ts";
import type { HttpResponse } from "../http-reader.ts";
import { PassingError, passingChunks, Retry, type RetryOptions } from "./retry.ts";

/** A file in the making, written by whole parts in any order. What is written stays for a later process. */
export interface PartialFile {
  readonly sizeBytes: number;
  /** Every part but the last has this size. */
  readonly partBytes: number;
  has(part: number): boolean;
  /** Keeps a whole part, then marks it as there. @throws ModelFileError when the place is full. */
  write(part: number, bytes: Uint8Array): Promise<void>;
}

/** Opens a response for bytes `first` to `last` of the file, both included. @throws PassingError, ModelFileError */
export type OpenRange = (
  range: { readonly first: number; readonly last: number },
  signal: AbortSignal,
) => Promise<HttpResponse>;

export interface FetchOptions {
  /** Names the file in messages. */
  readonly name: string;
  readonly connections: number;
  readonly retry: RetryOptions;
  readonly signal: AbortSignal | undefined;
  /** Receives the bytes that arrive, as they arrive. */
  readonly onBytes: (bytes: number) => void;
}

/** Most bytes that one request asks for: few requests, and a server that closes early costs little. */
const MAX_RUN_BYTES = 64 << 20;

/** Bytes that one connection fetches: `offset` is the next, `buffer` holds the part that it belongs to. */
interface Run {
  offset: number;
  end: number;
  buffer: Uint8Array | undefined;
}

/**
 * Fetches the missing parts of a file over several connections. A cut costs nothing within the process: the next request
 * begins at the first byte that did not arrive. A server that ignores ranges sends the file whole, over one connection.
 * @throws ModelFileError when a failure does not pass, or the server sends other bytes than asked for; AbortedError
 */
export async function fetchParts(file: PartialFile, open: OpenRange, options: FetchOptions): Promise<void> {
  await new PartsTransfer(file, open, options).run();
}

class PartsTransfer {
  readonly #file: PartialFile;
  readonly #open: OpenRange;
  readonly #options: FetchOptions;
  readonly #runs: Run[];
  readonly #ending = new AbortController();
  readonly #signal: AbortSignal;
  readonly #workers: Promise<void>[] = [];
  #failure: { readonly error: unknown } | undefined;

  constructor(file: PartialFile, open: OpenRange, options: FetchOptions) {
    this.#file = file;
    this.#open = open;
    this.#options = options;
    this.#runs = missingRuns(file, options.connections);
    const { signal } = options;
    this.#signal = signal ? AbortSignal.any([signal, this.#ending.signal]) : this.#ending.signal;
  }

  async run(): Promise<void> {
    this.#startWorker(); // It starts the others once a response shows that the server knows ranges.
    for (let i = 0; i < this.#workers.length; i++) await this.#workers[i];
    throwIfAborted(this.#options.signal, `fetching ${this.#options.name}`);
    if (this.#failure) throw this.#failure.error;
  }

  #startWorker(): void {
    this.#workers.push(
      this.#work().catch((error) => {
        this.#failure ??= { error };
        this.#ending.abort(error); // The other connections end.
      }),
    );
  }

  async #work(): Promise<void> {
    for (let run = this.#runs.shift(); run; run = this.#runs.shift()) await this.#fetchRun(run);
  }

  async #fetchRun(run: Run): Promise<void> {
    const retry = new Retry(this.#options.retry);
    await retry.run(async () => {
      while (run.offset < run.end) await this.#request(run, retry);
    }, this.#signal);
  }

  async #request(run: Run, retry: Retry): Promise<void> {
    const asked = { first: run.offset, last: run.end - 1 };
    const response = await this.#open(asked, this.#signal);
    try {
      const isRange = response.status === 206;
      checkResponse(response, asked, this.#file.sizeBytes, this.#options.name);
      if (isRange) this.#startOthers();
      else if (this.#workers.length === 1) this.#takeAll(run);
      await this.#consume(run, response, isRange ? asked.first : 0, retry);
    } finally {
      response.cancel();
    }
  }

  #startOthers(): void {
    const wanted = Math.min(this.#options.connections, this.#workers.length + this.#runs.length);
    while (this.#workers.length < wanted) this.#startWorker();
  }

  /** The server sends the whole file: this connection takes all that is missing. */
  #takeAll(run: Run): void {
    this.#runs.length = 0;
    run.end = this.#file.sizeBytes;
  }

  /** Takes a body that begins at byte `position`. @throws PassingError when it ends early. */
  async #consume(run: Run, response: HttpResponse, position: number, retry: Retry): Promise<void> {
    const { name, onBytes } = this.#options;
    const asked = run.end;
    for await (const chunk of passingChunks(response)) {
      let rest = chunk.subarray(Math.min(chunk.length, Math.max(0, run.offset - position)));
      position += chunk.length;
      if (position > asked)
        throw new ModelFileError(
          `fetching ${name}: the server sends more than the ${asked} bytes that were asked for; try again, or use another server`,
        );
      while (rest.length > 0 && run.offset < run.end) {
        const taken = await this.#fill(run, rest);
        if (taken > 0) {
          onBytes(taken);
          retry.add(taken);
        }
        const next = position - rest.length + taken;
        rest = rest.subarray(taken);
        if (run.offset > next) rest = rest.subarray(Math.min(rest.length, run.offset - next)); // Parts that are there.
      }
    }
    if (run.offset < run.end)
      throw new PassingError(
        `fetching ${name}: the transfer broke off at byte ${run.offset} of ${this.#file.sizeBytes}`,
      );
  }

  /** Adds bytes to the part at the offset; keeps the part once it is whole. Returns the number of bytes taken. */
  async #fill(run: Run, bytes: Uint8Array): Promise<number> {
    const { partBytes, sizeBytes } = this.#file;
    const part = Math.floor(run.offset / partBytes);
    const start = part * partBytes;
    const length = Math.min(partBytes, sizeBytes - start);
    if (run.buffer?.length !== length) run.buffer = new Uint8Array(length); // One buffer serves all parts of a run.
    const taken = bytes.subarray(0, start + length - run.offset);
    run.buffer.set(taken, run.offset - start);
    run.offset += taken.length;
    if (run.offset === start + length) {
      await this.#file.write(part, run.buffer);
      while (run.offset < run.end && this.#file.has(Math.floor(run.offset / partBytes)))
        run.offset = Math.min(run.end, run.offset + partBytes);
    }
    return taken.length;
  }
}

/** Divides the missing parts into runs of neighbours, at least one for each connection where there are so many. */
function missingRuns(file: PartialFile, connections: number): Run[] {
  const { sizeBytes, partBytes } = file;
  const numParts = Math.ceil(sizeBytes / partBytes);
  const missing = Array.from({ length: numParts }, (_, part) => part).filter((part) => !file.has(part));
  const most = Math.max(
    1,
    Math.min(Math.floor(MAX_RUN_BYTES / partBytes), Math.ceil(missing.length / connections)),
  );
  const runs: Run[] = [];
  for (const part of missing) {
    const [start, end] = [part * partBytes, Math.min(sizeBytes, (part + 1) * partBytes)];
    const last = runs.at(-1);
    if (last && last.end === start && end - last.offset <= most * partBytes) last.end = end;
    else runs.push({ offset: start, end, buffer: undefined });
  }
  return runs;
}

/** @throws ModelFileError when a response's headers tell of another file, or of other bytes than asked for. */
function checkResponse(
  response: HttpResponse,
  asked: { readonly first: number; readonly last: number },
  sizeBytes: number,
  name: string,
): void {
  const { status, range, contentLength } = response;
  if (status !== 206) {
    if (contentLength === undefined || contentLength === sizeBytes) return;
    throw new ModelFileError(
      `fetching ${name}: expected ${sizeBytes} bytes, which is what the hub lists, but the server sends a file of ` +
        `${contentLength}; it is not the file that was asked for: try again, or use another server`,
    );
  }
  const encoding = response.header("content-encoding") ?? "identity";
  const isRight =
    range !== undefined &&
    range.first === asked.first &&
    range.last <= asked.last &&
    (range.total === undefined || range.total === sizeBytes) &&
    (contentLength === undefined || contentLength === range.last - range.first + 1);
  // Browsers hide Content-Range unless the server exposes it; the hash is checked in any case.
  const isHidden = response.header("content-range") === undefined && encoding === "identity";
  if (isHidden || (isRight && encoding === "identity")) return;
  throw new ModelFileError(
    `fetching ${name}: asked for bytes ${asked.first} to ${asked.last} of ${sizeBytes}, the server sends ` +
      `${response.header("content-range") ?? "others"} (Content-Length ${contentLength ?? "unknown"}, encoding ${encoding}); ` +
      "it is not the file that was asked for: try again, or use another server",
  );
}
