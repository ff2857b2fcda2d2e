/** The tokens that a request would have as its prompt. */
import * as v from "valibot";
import { checkOptions, flag } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import type { ChatTemplate } from "../load/chat-template.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { ChatMessage } from "./request.ts";
import { messageList, templateOptions } from "./request-schema.ts";

/** Exactly one of `messages` and `prompt` (raw text, no template), and options. */
export interface PromptToTokenize {
  readonly messages?: readonly ChatMessage[];
  readonly prompt?: string;
  /** Variables for the chat template besides messages. */
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  /** Appends the opening of the assistant's turn to messages. Default true, as for a request. */
  readonly addGenerationPrompt?: boolean;
  /** Adds the tokens that the tokenizer puts around a text. Default, as for a request: to a prompt, and not to messages, whose template writes them. */
  readonly addSpecialTokens?: boolean;
}

/** A prompt as the model reads it. */
export interface TokenizedPrompt {
  /** The prompt, or what the chat template wrote. */
  readonly text: string;
  readonly tokenIds: readonly number[];
}

/** Limit on a text, since it is tokenised at once: some 250,000 tokens, about half a second. */
const MAX_CHARACTERS = 1_000_000;

const PROMPT = v.object({
  messages: v.optional(messageList),
  prompt: v.optional(v.string("a text")),
  chatTemplateOptions: v.optional(templateOptions),
  addGenerationPrompt: flag(),
  addSpecialTokens: flag(),
});

/** @throws RequestError, ConfigError as a request of this prompt, but not for a length beyond the context */
export function tokenizePrompt(
  given: PromptToTokenize,
  { renderChat, tokenizer }: { readonly renderChat: ChatTemplate; readonly tokenizer: Tokenizer },
): TokenizedPrompt {
  const {
    messages,
    prompt,
    chatTemplateOptions: variables = {},
    addGenerationPrompt = true,
    addSpecialTokens = prompt !== undefined,
  } = checkOptions(PROMPT, given, "tokenizePrompt", RequestError);
  if ((messages === undefined) === (prompt === undefined))
    throw new RequestError("tokenizePrompt: give exactly one of messages and prompt");
  const text = prompt ?? renderChat(messages ?? [], { variables, addGenerationPrompt });
  if (text.length > MAX_CHARACTERS)
    throw new RequestError(
      `tokenizePrompt: the prompt has ${text.length} characters, and at most ${MAX_CHARACTERS} are tokenised at once; give less`,
    );
  return { text, tokenIds: tokenizer.encode(text, { addSpecialTokens }) };
}
