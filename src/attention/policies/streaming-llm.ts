import { type AttentionPolicy, REUSES, SELECTS_FOR_ITSELF } from "../policy.ts";
import { checkSinks, knownKeys, orDefault, wholeNumber } from "../settings.ts";

export interface StreamingLlmOptions {
  /** Sinks and sliding window together. Default 2048. */
  readonly tokenBudget?: number;
  /** First tokens that are always kept. Default 4. */
  readonly sinks?: number;
}

/**
 * StreamingLLM: every layer attends to the first tokens and a sliding window of the last ones.
 * Source: arXiv 2309.17453. Departure: positions stay those of the text (the paper renumbers them inside the cache).
 */
export function streamingLlm(options: StreamingLlmOptions = {}): AttentionPolicy {
  const name = "streaming-llm";
  knownKeys(name, options, ["tokenBudget", "sinks"]);
  const tokenBudget = wholeNumber(name, "budget", orDefault(options.tokenBudget, 2048), 1);
  const sinks = wholeNumber(name, "sinks", orDefault(options.sinks, 4), 0);
  checkSinks(name, tokenBudget, sinks);
  const ends = { sinks, recent: tokenBudget - sinks };
  return {
    name,
    settings: { budget: tokenBudget, sinks },
    tokenBudget,
    layerRole: (layer) => (layer === 0 ? SELECTS_FOR_ITSELF : REUSES),
    select: (selector) => selector.expandSelection(undefined, ends),
  };
}
