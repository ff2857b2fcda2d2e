import { globalLayers } from "../layer-windows.ts";
import { type AttentionPolicy, REUSES, SELECTS_FOR_ITSELF } from "../policy.ts";
import { checkSinks, knownKeys, orDefault, wholeNumber } from "../settings.ts";

export interface StreamingLlmOptions {
  /** Sinks and sliding window together. Default 2048. */
  readonly tokenBudget?: number;
  /** Always-kept first tokens. Default 4. */
  readonly sinks?: number;
}

/**
 * StreamingLLM: every layer attends to the first tokens and to a sliding window of the last.
 * Source: arXiv 2309.17453. Departure: tokens keep their positions in the text (the paper renumbers them in the cache).
 */
export function streamingLlm(options: StreamingLlmOptions = {}): AttentionPolicy {
  return streamingFrom(0, options);
}

/** first: the layer that makes the selection, the model's first global one. */
function streamingFrom(first: number, options: StreamingLlmOptions): AttentionPolicy {
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
    layerRole: (layer) => (layer === first ? SELECTS_FOR_ITSELF : REUSES),
    select: (selector) => selector.expandSelection(undefined, ends),
    forModel(model) {
      const [selecting = 0] = globalLayers(model);
      return selecting === first ? this : streamingFrom(selecting, options);
    },
  };
}
