/** Answers in the shapes of OpenAI's API. */
import { formatAttention } from "../attention/spec.ts";
import type { GenerationPart, GenerationResult } from "../engine/request.ts";
import type { ChoiceEvent } from "./choice-events.ts";
import { type ChoiceLogprobs, CollectedLogprobs, completionLogprobs, logprobsOf } from "./logprobs.ts";

/** What all chunks of an answer repeat. */
export interface ReplyHead {
  readonly id: string;
  /** Seconds since 1970. */
  readonly created: number;
  readonly model: string;
}

/** How one kind of answer says what the choices give. */
export interface ReplyShape {
  readonly idPrefix: string;
  readonly object: string;
  readonly chunkObject: string;
  /** The choice of a whole answer. */
  whole(index: number, result: GenerationResult, logprobs: ChoiceLogprobs | undefined): object;
  /** The first chunk of a choice; undefined if there is none. */
  first(index: number): object | undefined;
  /** textOffset: characters of the answer before the part */
  part(index: number, part: GenerationPart, textOffset: number): readonly object[];
  /** The last chunks of a choice; the final one has its finish_reason. */
  last(index: number, result: GenerationResult): readonly object[];
}

/** Reasoning under both names that clients read. */
export const reasoningOf = (reasoning: string) =>
  reasoning === "" ? {} : { reasoning_content: reasoning, reasoning };

/** Completions have no messages: their text is what the model wrote, reasoning and its markers included. */
export const COMPLETION_SHAPE: ReplyShape = {
  idPrefix: "cmpl-",
  object: "text_completion",
  chunkObject: "text_completion",
  whole: (index, { text, finishReason }, logprobs) => ({
    ...{ index, text },
    ...{ logprobs: completionLogprobs(logprobs, 0), finish_reason: finishReason },
  }),
  first: () => undefined,
  part: (index, part, textOffset) => [
    {
      ...{ index, text: part.text },
      ...{ logprobs: completionLogprobs(logprobsOf(part), textOffset), finish_reason: null },
    },
  ],
  last: (index, { finishReason }) => [{ index, text: "", logprobs: null, finish_reason: finishReason }],
};

/** Sums the tokens of the choices; those of a prompt count once. */
export function usageOf(results: readonly GenerationResult[], choicesPerPrompt: number): object {
  let [prompt, completion, reasoning, cached] = [0, 0, 0, 0];
  for (const [i, { usage }] of results.entries()) {
    completion += usage.completionTokens;
    reasoning += usage.reasoningTokens;
    if (i % choicesPerPrompt !== 0) continue;
    prompt += usage.promptTokens;
    cached += usage.cachedTokens;
  }
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    total_tokens: prompt + completion,
    prompt_tokens_details: { cached_tokens: cached },
    completion_tokens_details: { reasoning_tokens: reasoning },
  };
}

/** What this engine tells beyond OpenAI's API, by choice. */
function extension({ attention, notes, thinking, timings }: GenerationResult): object {
  return {
    ...{ attention: formatAttention(attention), attended_fraction: attention.attendedFraction, notes },
    first_token_steps: timings.firstTokenSteps,
    ...(thinking && { thinking_is_cut: thinking.isCut }),
  };
}

export interface ReplyOptions {
  readonly shape: ReplyShape;
  readonly head: ReplyHead;
  readonly choicesPerPrompt: number;
}

/** Reads all events into one answer. */
export async function wholeReply(
  events: AsyncIterable<ChoiceEvent>,
  { shape, head, choicesPerPrompt }: ReplyOptions,
): Promise<object> {
  const results: GenerationResult[] = [];
  const logprobs = new Map<number, CollectedLogprobs>();
  for await (const event of events) {
    const { index } = event;
    const collected = logprobs.get(index) ?? new CollectedLogprobs();
    logprobs.set(index, collected);
    if ("result" in event) results[index] = event.result;
    else collected.add(event.part);
  }
  return {
    ...head,
    object: shape.object,
    choices: results.map((result, index) => shape.whole(index, result, logprobs.get(index)?.get())),
    usage: usageOf(results, choicesPerPrompt),
    lessismore: { choices: results.map(extension) },
  };
}

/** Turns events into the chunks of a streamed answer, the usage last if it is asked for. */
export async function* replyChunks(
  events: AsyncIterable<ChoiceEvent>,
  { shape, head, choicesPerPrompt, includesUsage }: ReplyOptions & { readonly includesUsage: boolean },
): AsyncGenerator<object> {
  const common = { ...head, object: shape.chunkObject };
  const usage = includesUsage ? { usage: null } : {};
  const chunk = (choice: object) => ({ ...common, choices: [choice], ...usage });
  const results: GenerationResult[] = [];
  /** Characters of the answer of each choice that has begun. */
  const sent = new Map<number, number>();
  for await (const event of events) {
    const { index } = event;
    const first = sent.has(index) ? undefined : shape.first(index);
    const offset = sent.get(index) ?? 0;
    sent.set(index, offset);
    if (first) yield chunk(first);
    if ("part" in event) {
      const { part } = event;
      for (const choice of shape.part(index, part, offset)) yield chunk(choice);
      if (part.kind === "answer") sent.set(index, offset + part.text.length);
    } else {
      results[index] = event.result;
      const last = shape.last(index, event.result);
      for (const [i, choice] of last.entries())
        yield { ...chunk(choice), ...(i === last.length - 1 && { lessismore: extension(event.result) }) };
    }
  }
  if (includesUsage) yield { ...common, choices: [], usage: usageOf(results, choicesPerPrompt) };
}
