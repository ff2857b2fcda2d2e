/** Errors of the engine, and the memory that a caller may ask too much of. */
import { AbortedError, BackendError, EngineError, RequestError } from "../base/errors.ts";
import { mebibytes } from "../base/mebibytes.ts";

/** @throws RequestError if there is no memory for the logits */
export function allocateLogits(numTokens: number, vocabSize: number): Float32Array {
  try {
    return new Float32Array(numTokens * vocabSize);
  } catch (cause) {
    throw new RequestError(
      `logits: ${numTokens} tokens of a vocabulary of ${vocabSize} take ${mebibytes(4 * numTokens * vocabSize)}, for ` +
        "which there is no memory; ask for fewer tokens at a time",
      { cause },
    );
  }
}

/** Makes the error that ends the engine. */
export function fatal(error: unknown): EngineError {
  if (error instanceof BackendError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new BackendError(`a step failed: ${message}; close the engine and open a new one`, { cause: error });
}

/** Makes the error of a request whose kernels or policy could not be prepared; the engine goes on. */
export function unprepared(name: string, error: unknown): EngineError {
  if (error instanceof EngineError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new RequestError(`${name}: preparing its kernels failed: ${message}`, {
    cause: error,
  });
}

/** Makes the error of requests of a closed engine. */
export function closedError(): AbortedError {
  return new AbortedError("the request was aborted: the engine was closed");
}

/** Makes the error of a call whose `onLogits` threw. */
export function onLogitsFailed(doing: string, position: number, cause: unknown): RequestError {
  return new RequestError(`${doing}: onLogits failed at position ${position}: ${String(cause)}`, { cause });
}

/** Makes the error of a call whose observer threw. */
export function observerFailed(doing: string, cause: unknown): RequestError {
  return new RequestError(`${doing}: the observer failed: ${String(cause)}`, { cause });
}
