/** Exit code of a program that Ctrl-C ended: 128 plus the number of SIGINT. */
export const INTERRUPTED = 130;

/**
 * Runs `work` with a signal that the first Ctrl-C aborts. The second one exits immediately.
 * Until `work` calls `begin()`, the first Ctrl-C also exits immediately.
 */
export async function withInterrupt<T>(
  work: (signal: AbortSignal, begin: () => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let isMinded = false;
  const onInterrupt = () => {
    if (!isMinded || controller.signal.aborted) process.exit(INTERRUPTED);
    controller.abort();
  };
  process.on("SIGINT", onInterrupt);
  try {
    return await work(controller.signal, () => {
      isMinded = true;
    });
  } finally {
    process.off("SIGINT", onInterrupt);
  }
}
