/** Exit code of a program that Ctrl-C ended: 128 and the number of SIGINT. */
export const INTERRUPTED = 130;

/**
 * Runs `work` with a signal that the first Ctrl-C aborts; the second one ends the process at once.
 * Before `work` says through `begin` that it minds the signal, the first one ends the process too.
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
