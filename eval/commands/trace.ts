/** `--trace FILE` of `lessismore generate`. */
import { type AttentionObserver, type Engine, formatAttention } from "../../src/node/index.ts";
import { TraceWriter } from "../metrics/trace-writer.ts";

/**
 * Opens a trace file for one request under the engine's own attention.
 * every: decode steps between samples
 * @throws ConfigError if the file cannot be written
 */
export function openTrace(
  path: string,
  engine: Engine,
  every: number | undefined,
): { readonly observer: AttentionObserver; close(): void } {
  const writer = new TraceWriter(path, every === undefined ? {} : { every });
  const observer = writer.observe({ attention: formatAttention(engine.report().attention) });
  return { observer, close: () => writer.close() };
}
