import type { BackendChoice } from "lessismore";

/** Backends that a person may ask for. one-thread: WebAssembly without threads. */
export const BACKEND_WISHES = ["auto", "webgpu", "wasm", "one-thread"] as const;
export type BackendWish = (typeof BACKEND_WISHES)[number];

export interface Attempt {
  readonly backend: BackendChoice;
  readonly threads?: number;
}

const WASM: Attempt = { backend: "wasm" };
const ONE_THREAD: Attempt = { backend: "wasm", threads: 1 };
const ATTEMPTS: Readonly<Record<BackendWish, readonly Attempt[]>> = {
  auto: [{ backend: "auto" }, WASM, ONE_THREAD],
  webgpu: [{ backend: "webgpu" }, WASM, ONE_THREAD],
  wasm: [WASM, ONE_THREAD],
  "one-thread": [ONE_THREAD],
};

/** What is tried for a wish, in order: each next one where the one before cannot be opened. */
export function attemptsFor(wish: BackendWish): readonly Attempt[] {
  return ATTEMPTS[wish];
}

export function isBackendWish(value: unknown): value is BackendWish {
  return BACKEND_WISHES.some((wish) => wish === value);
}

/** A backend that did not open, and why. */
export interface FailedAttempt {
  readonly attempt: Attempt;
  readonly reason: string;
}

/**
 * Opens the first of the attempts that opens.
 * isOfBackend: true for an error that another backend may not have; any other ends the attempts
 * @throws the last error
 */
export async function openFirst<T>(
  attempts: readonly Attempt[],
  open: (attempt: Attempt) => Promise<T>,
  isOfBackend: (error: unknown) => boolean,
): Promise<{ readonly opened: T; readonly failed: readonly FailedAttempt[] }> {
  const failed: FailedAttempt[] = [];
  for (const [i, attempt] of attempts.entries()) {
    try {
      return { opened: await open(attempt), failed };
    } catch (error) {
      if (!isOfBackend(error) || i === attempts.length - 1) throw error;
      failed.push({ attempt, reason: error instanceof Error ? error.message : String(error) });
    }
  }
  throw new RangeError("openFirst: there is nothing to try");
}
