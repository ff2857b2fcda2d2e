/** Logarithms of probabilities in the shapes of OpenAI's API. */
import type { GenerationPart, TokenLogprob } from "../engine/request.ts";

/** The tokens of one choice, by the text that they are in. */
export interface ChoiceLogprobs {
  readonly answer: readonly TokenLogprob[];
  readonly reasoning: readonly TokenLogprob[];
}

/** Collects the tokens of a choice's parts; undefined if the request asked for none. */
export class CollectedLogprobs {
  readonly #tokens: { answer: TokenLogprob[]; reasoning: TokenLogprob[] } = { answer: [], reasoning: [] };
  #isAsked = false;

  add({ kind, logprobs }: GenerationPart): void {
    if (!logprobs) return;
    this.#isAsked = true;
    this.#tokens[kind].push(...logprobs);
  }

  get(): ChoiceLogprobs | undefined {
    return this.#isAsked ? this.#tokens : undefined;
  }
}

/** The tokens of one part. */
export function logprobsOf(part: GenerationPart): ChoiceLogprobs | undefined {
  const collected = new CollectedLogprobs();
  collected.add(part);
  return collected.get();
}

/** `logprobs` of a chat's choice: the tokens of the content, and beside them those of the reasoning. */
export function chatLogprobs(tokens: ChoiceLogprobs | undefined): object | null {
  if (!tokens) return null;
  const { answer, reasoning } = tokens;
  return {
    content: answer.map(chatToken),
    refusal: null,
    ...(reasoning.length > 0 && { reasoning_content: reasoning.map(chatToken) }),
  };
}

function chatToken({ text, bytes, logprob, top }: TokenLogprob): object {
  const alternatives = top.map((one) => ({ token: one.text, logprob: one.logprob, bytes: one.bytes }));
  return { token: text, logprob, bytes, top_logprobs: alternatives };
}

/** `logprobs` of a completion's choice. textOffset: characters of its text before these tokens */
export function completionLogprobs(tokens: ChoiceLogprobs | undefined, textOffset: number): object | null {
  if (!tokens) return null;
  const { answer } = tokens;
  let at = textOffset;
  const offsets = answer.map(({ text }) => {
    at += text.length;
    return at - text.length;
  });
  return {
    tokens: answer.map(({ text }) => text),
    token_logprobs: answer.map(({ logprob }) => logprob),
    top_logprobs: answer.map(({ top }) =>
      Object.fromEntries(top.map(({ text, logprob }) => [text, logprob])),
    ),
    text_offset: offsets,
  };
}
