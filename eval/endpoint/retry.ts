import { setTimeout as sleep } from "node:timers/promises";
import { AbortedError, RequestError } from "../../src/node/index.ts";
import { PassingFailure } from "./endpoint-errors.ts";

export interface RetryLimits {
  /** Tries in a row. Default 8: with the pauses some three minutes, the time in which a server restarts. */
  readonly attempts?: number;
  /** The first pause; each next one is twice as long, up to a minute. Default 1 s. */
  readonly pauseMs?: number;
  /** A server that asks for a longer pause is not waited for. Default 10 minutes. */
  readonly longestWaitMs?: number;
}

const LONGEST_PAUSE_MS = 60_000;

/**
 * Runs `work` until it succeeds, fails for good, or fails `attempts` times.
 * @throws what `work` throws; RequestError after the last try; AbortedError
 */
export async function retrying<T>(
  work: () => Promise<T>,
  { attempts = 8, pauseMs = 1000, longestWaitMs = 600_000 }: RetryLimits,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (let tries = 1; ; tries++) {
    if (signal?.aborted) throw new AbortedError("asking the endpoint: it was interrupted");
    try {
      return await work();
    } catch (error) {
      if (signal?.aborted)
        throw new AbortedError("asking the endpoint: it was interrupted", { cause: error });
      if (!(error instanceof PassingFailure)) throw error;
      const { message, waitMs = 0 } = error;
      if (tries >= attempts)
        throw new RequestError(`${message}; gave up after ${tries} ${tries === 1 ? "try" : "tries"}`, {
          cause: error,
        });
      if (waitMs > longestWaitMs)
        throw new RequestError(`${message}; it asks to wait ${Math.ceil(waitMs / 1000)} s: run again then`, {
          cause: error,
        });
      const backoff = Math.min(LONGEST_PAUSE_MS, pauseMs * 2 ** (tries - 1)) * (0.75 + Math.random() / 2);
      await sleep(Math.max(waitMs, backoff), undefined, { signal }).catch(() => {});
    }
  }
}

/** Reads the headers by which a server asks to wait: milliseconds, seconds, or a date. */
export function readWaitMs(
  headers: Readonly<Record<string, string | readonly string[] | undefined>>,
  now: number = Date.now(),
): number | undefined {
  const of = (name: string) => String(headers[name] ?? "").trim();
  if (/^\d{1,9}(\.\d+)?$/.test(of("retry-after-ms"))) return Number(of("retry-after-ms"));
  const value = of("retry-after");
  if (/^\d{1,9}(\.\d+)?$/.test(value)) return 1000 * Number(value);
  const date = value === "" ? Number.NaN : Date.parse(value);
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
