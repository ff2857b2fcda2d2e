/** The prompt of a conversation, as a request of the same messages would have it. */
import * as v from "valibot";
import { checkOptions, flag } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import type { ChatTemplate } from "../load/chat-template.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { ChatMessage } from "./request.ts";
import { messageList, templateOptions } from "./request-schema.ts";

export interface ChatToTokenize {
  readonly messages: readonly ChatMessage[];
  /** Variables for the chat template besides messages. */
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  /** Appends the opening of the assistant's turn. Default true, as for a request. */
  readonly addGenerationPrompt?: boolean;
  /** Adds the tokens that the tokenizer puts around a text. Default false, since templates write them. */
  readonly addSpecialTokens?: boolean;
}

export interface TokenizedChat {
  /** What the chat template wrote. */
  readonly text: string;
  readonly tokenIds: readonly number[];
}

/** Limit on a prompt, since it is tokenised at once: some 250,000 tokens, about half a second. */
const MAX_CHARACTERS = 1_000_000;

const CHAT = v.object({
  messages: messageList,
  chatTemplateOptions: v.optional(templateOptions),
  addGenerationPrompt: flag(),
  addSpecialTokens: flag(),
});

/** @throws RequestError, ConfigError as a request of these messages, but not for a length beyond the context */
export function tokenizeChat(
  given: ChatToTokenize,
  { renderChat, tokenizer }: { readonly renderChat: ChatTemplate; readonly tokenizer: Tokenizer },
): TokenizedChat {
  const {
    messages,
    chatTemplateOptions: variables = {},
    addGenerationPrompt = true,
    addSpecialTokens = false,
  } = checkOptions(CHAT, given, "tokenizeChat", RequestError);
  const text = renderChat(messages, { variables, addGenerationPrompt });
  if (text.length > MAX_CHARACTERS)
    throw new RequestError(
      `tokenizeChat: the messages make a prompt of ${text.length} characters, and at most ${MAX_CHARACTERS} are tokenised at once; give fewer messages`,
    );
  return { text, tokenIds: tokenizer.encode(text, { addSpecialTokens }) };
}
