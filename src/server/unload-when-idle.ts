import type { Engine } from "../engine/engine-api.ts";

/** When to give the memory of the model back. */
export interface IdleOptions {
  /** Milliseconds without a request after which the model leaves memory; Infinity: never. */
  readonly afterMs: number;
  /** Milliseconds since the last request; 0 while there are any. */
  readonly idleMs: () => number;
  /** Receives a line when the model leaves memory, or cannot. */
  readonly log: (line: string) => void;
}

/** Longest time between two looks. */
const LOOK_MS = 5_000;

/** Unloads an engine that nobody asks for a while; the next request loads it again. Returns a function that ends the watch. */
export function unloadWhenIdle(
  engine: Pick<Engine, "unload" | "stats">,
  { afterMs, idleMs, log }: IdleOptions,
): () => void {
  const look = async () => {
    const { running, waiting, pages } = engine.stats();
    if (pages.total === 0 || running + waiting > 0 || idleMs() < afterMs) return;
    try {
      await engine.unload();
      log(`unloaded the model after ${(afterMs / 60_000).toFixed(1)} min without a request`);
    } catch (error) {
      log(`the model stays in memory: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const timer = setInterval(() => void look(), Math.min(LOOK_MS, Math.max(10, afterMs / 4)));
  timer.unref();
  return () => clearInterval(timer);
}
