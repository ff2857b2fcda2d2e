import { AbortedError } from "./errors.ts";

/** @throws AbortedError when the signal has fired. `doing` completes "… was aborted". */
export function throwIfAborted(signal: AbortSignal | undefined, doing: string): void {
  if (signal?.aborted) throw aborted(signal, doing);
}

/**
 * Settles with `work`, or rejects with an AbortedError as soon as the signal fires. An abort does not stop the work:
 * `discard` takes its late result, so that nothing stays open.
 */
export function abortable<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  doing: string,
  discard: (late: T) => unknown = () => {},
): Promise<T> {
  if (!signal) return work;
  return new Promise<T>((resolve, reject) => {
    const stop = () => {
      reject(aborted(signal, doing));
      work.then(discard).catch(() => {}); // The caller has its AbortedError already.
    };
    if (signal.aborted) return stop();
    signal.addEventListener("abort", stop, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}

function aborted(signal: AbortSignal, doing: string): AbortedError {
  return new AbortedError(`${doing} was aborted`, { cause: signal.reason });
}
