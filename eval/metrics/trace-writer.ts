import { closeSync, openSync, writeSync } from "node:fs";
import { type AttentionObserver, ConfigError, type StepTrace } from "../../src/node/index.ts";
import { describeStep, type TraceRecord, type TraceSource } from "./trace-record.ts";

/** What to trace. */
export interface TraceWriterOptions {
  /** Samples every n-th decode step. Default 16. */
  readonly every?: number;
  /** Layers to observe. Default: all. */
  readonly layers?: readonly number[];
  /** Receives each record that is written. */
  readonly onRecord?: (record: TraceRecord) => void;
}

/** Decode steps between samples: a sample reads all keys and values twice more. */
export const TRACE_EVERY = 16;

/** Appends the metrics of sampled decode steps to a file, one line of JSON each (`TraceRecord`). */
export class TraceWriter {
  readonly #path: string;
  readonly #file: number;
  readonly #options: TraceWriterOptions;
  #isClosed = false;

  /** @throws ConfigError if the file cannot be opened */
  constructor(path: string, options: TraceWriterOptions = {}) {
    this.#path = path;
    this.#options = options;
    this.#file = guarded(path, "opening", () => openSync(path, "a"));
  }

  /** Makes the observer of one request or of one call of `score`. */
  observe(source: TraceSource): AttentionObserver {
    const { every = TRACE_EVERY, layers, onRecord } = this.#options;
    let before: StepTrace | undefined;
    return {
      every,
      ...(layers && { layers }),
      wants: ["selection", "weights", "output"],
      onStep: (trace) => {
        const record = describeStep(trace, source, before);
        before = withoutRows(trace);
        this.#write(record);
        onRecord?.(record);
      },
    };
  }

  #write(record: TraceRecord): void {
    guarded(this.#path, "writing", () => {
      const line = Buffer.from(`${JSON.stringify(record)}\n`);
      for (let at = 0; at < line.length; ) at += writeSync(this.#file, line, at);
    });
  }

  /** Closes the file. Calling it twice is allowed. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    guarded(this.#path, "closing", () => closeSync(this.#file));
  }
}

/** Keeps the selections, which the next step is compared with, and drops weights and outputs. */
function withoutRows(trace: StepTrace): StepTrace {
  const layers = trace.layers.map(({ weights, output, denseOutput, ...rest }) => rest);
  return { ...trace, layers };
}

function guarded<T>(path: string, doing: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw new ConfigError(`${doing} the trace ${path}: ${String(cause)}; name a file that can be written`, {
      cause,
    });
  }
}
