import type { SolveRequest } from "../run/solver.ts";

/** How a server wants to be asked; `open-endpoint.ts` finds it out. */
export interface Dialect {
  /** Answers come as events. */
  readonly streams: boolean;
  /** The server takes `stream_options`, by which it counts tokens at a stream's end. */
  readonly takesStreamOptions: boolean;
  /** The older name, which every server of open models knows, or the newer one of OpenAI. */
  readonly limitField: "max_tokens" | "max_completion_tokens";
}

/** The body of a request: the values that were given, and no other. Those beyond OpenAI's have vLLM's names. */
export function chatBody(
  model: string,
  { messages, sampling, maxTokens, seed, chatTemplateOptions }: Omit<SolveRequest, "method">,
  { streams, takesStreamOptions, limitField }: Dialect,
): Readonly<Record<string, unknown>> {
  const { temperature, topP, topK, minP, repetitionPenalty } = sampling;
  return {
    ...{ model, messages, seed },
    ...(maxTokens !== undefined && { [limitField]: maxTokens }),
    ...(temperature !== undefined && { temperature }),
    ...(topP !== undefined && { top_p: topP }),
    ...(topK !== undefined && { top_k: topK }),
    ...(minP !== undefined && { min_p: minP }),
    ...(repetitionPenalty !== undefined && { repetition_penalty: repetitionPenalty }),
    ...(chatTemplateOptions && { chat_template_kwargs: chatTemplateOptions }),
    ...(streams && { stream: true }),
    ...(streams && takesStreamOptions && { stream_options: { include_usage: true } }),
  };
}
