import {
  AbortedError,
  type Engine,
  type GenerationPart,
  type GenerationRequest,
  type GenerationResult,
} from "lessismore";

/** Times that a request is replayed after its engine has ended. A device that is lost again and again is lost for good. */
const MAX_REPLAYS = 3;

/** The engines of a request: the one in use, and another like it after its end. */
export interface EngineSource {
  ready(): Promise<Engine>;
  reopen(): Promise<void>;
}

export interface RunListener {
  /**
   * Gives the request for a run on an engine, whose parts begin anew. numReplays: 0 for the first run. Sampled requests name a seed, and
   * an observer belongs to one run.
   */
  onStart(engine: Engine, numReplays: number): Promise<GenerationRequest>;
  onPart(part: GenerationPart): void;
  /** The engine has ended; another is being opened. */
  onLost(error: Error): void;
}

/**
 * Runs a request. If its engine ends (a GPU device is lost, a thread dies), opens another and replays the tokens so far under the same
 * attention, so that the output is that of an uninterrupted run.
 * generated: tokens of a run before a reload
 * @throws what the engine throws, and AbortedError by the signal
 */
export async function runRequest(
  engines: EngineSource,
  listener: RunListener,
  signal: AbortSignal,
  generated: readonly number[] = [],
): Promise<GenerationResult> {
  let known = generated;
  for (let numReplays = 0; ; numReplays++) {
    const engine = await abortable(engines.ready(), signal);
    const tokens: number[] = [];
    try {
      const request = await listener.onStart(engine, numReplays);
      const generation = engine.generate({
        ...request,
        signal,
        ...(known.length > 0 && { generated: known }),
      });
      for await (const part of generation) {
        for (const id of part.markerTokenIds ?? []) tokens.push(id);
        for (const id of part.tokenIds) tokens.push(id);
        listener.onPart(part);
      }
      return await generation.result();
    } catch (error) {
      if (signal.aborted || engine.failure === undefined || numReplays >= MAX_REPLAYS) throw error;
      // a replay that ends early has given fewer tokens than are known
      if (tokens.length > known.length) known = tokens;
      listener.onLost(engine.failure);
      await engines.reopen();
    }
  }
}

async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  const abort = () => new AbortedError("the request was stopped", { cause: signal.reason });
  if (signal.aborted) throw abort();
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(abort());
    signal.addEventListener("abort", stop, { once: true });
  });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener("abort", stop);
  }
}
