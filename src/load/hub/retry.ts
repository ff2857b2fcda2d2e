import { throwIfAborted } from "../../base/abort.ts";
import { ModelFileError } from "../../base/errors.ts";
import { type HttpResponse, TransferError } from "../http-reader.ts";

/** A failure that may pass: the network, a cut, a busy server. */
export class PassingError extends ModelFileError {
  /** Milliseconds for which the server asks to wait. */
  readonly waitMs: number | undefined;
  constructor(message: string, { waitMs, cause }: { waitMs?: number | undefined; cause?: unknown } = {}) {
    super(message, { cause });
    this.waitMs = waitMs;
  }
}

/** Awaits a transfer, whose failures may pass. @throws PassingError, AbortedError */
export async function passing<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw asPassing(cause);
  }
}

/** Yields a body as it arrives; a failure of the transfer may pass. @throws PassingError, AbortedError */
export async function* passingChunks(response: HttpResponse): AsyncGenerator<Uint8Array> {
  try {
    yield* response.chunks();
  } catch (cause) {
    throw asPassing(cause);
  }
}

/** What the reader or `fetch` refuses by itself, such as a redirect, would be refused again. */
function asPassing(cause: unknown): unknown {
  return cause instanceof TransferError ? new PassingError(cause.message, { cause }) : cause;
}

/** How often, and how patiently, to try again. */
export interface RetryOptions {
  /** Attempts without progress (64 KiB) until the failure is final. Default 5. */
  readonly attempts?: number;
  /** The first pause; each next one is twice as long, up to 20 s. Default 500 ms. */
  readonly pauseMs?: number;
  /** A server that asks for a longer pause is not waited for. Default 5 minutes. */
  readonly longestWaitMs?: number;
}

const LONGEST_PAUSE_MS = 20_000;
/** Fewer bytes between failures are no progress: else the file's size alone would limit the requests. */
const PROGRESS_BYTES = 64 << 10;

/** Runs works that may fail for a while. Progress, of the bytes told to `add`, starts the count of attempts anew. */
export class Retry {
  readonly #options: Required<RetryOptions>;
  #failures = 0;
  #bytes = 0;

  constructor({ attempts = 5, pauseMs = 500, longestWaitMs = 300_000 }: RetryOptions = {}) {
    this.#options = { attempts, pauseMs, longestWaitMs };
  }

  /** Counts bytes that have come. */
  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < PROGRESS_BYTES) return;
    this.#bytes = 0;
    this.#failures = 0;
  }

  /**
   * Runs `work` until it succeeds, fails for good, or fails `attempts` times in a row.
   * @throws what `work` throws last
   */
  async run<T>(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    for (;;) {
      try {
        return await work();
      } catch (error) {
        throwIfAborted(signal, "fetching from the hub");
        if (!(error instanceof PassingError)) throw error;
        await this.#pause(error, signal);
      }
    }
  }

  async #pause(error: PassingError, signal: AbortSignal | undefined): Promise<void> {
    const { attempts, pauseMs, longestWaitMs } = this.#options;
    const { waitMs = 0, message } = error;
    if (++this.#failures >= attempts)
      throw new ModelFileError(
        this.#failures === 1 ? message : `${message}; gave up after ${this.#failures} attempts`,
        { cause: error },
      );
    if (waitMs > longestWaitMs)
      throw new ModelFileError(`${message}; it asks to wait ${Math.ceil(waitMs / 1000)} s: try again then`, {
        cause: error,
      });
    const backoff = Math.min(LONGEST_PAUSE_MS, pauseMs * 2 ** (this.#failures - 1));
    await sleep(Math.max(waitMs, backoff * (0.75 + Math.random() / 2)), signal);
    throwIfAborted(signal, "fetching from the hub");
  }
}

/** Resolves after `ms`, or at once when the signal fires. */
function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end, { once: true });
    if (signal?.aborted) end();
  });
}

/** Reads a Retry-After header: seconds, or a date. */
export function readRetryAfter(header: string | undefined, now: number = Date.now()): number | undefined {
  if (header === undefined) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return 1000 * Number(header);
  const date = Date.parse(header);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
