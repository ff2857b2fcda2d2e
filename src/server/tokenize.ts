/** Text and conversations to token ids and back, with the names of vLLM's interface. */
import * as v from "valibot";
import { flag } from "../base/check-options.ts";
import type { Engine } from "../engine/engine-api.ts";
import { MESSAGES, toMessage } from "./chat-messages.ts";
import { checkBody } from "./check-body.ts";
import { badField, toHttpError } from "./http-error.ts";
import { TEMPLATE_FIELDS } from "./shared-fields.ts";
import { TOOL_FIELDS, toolsOf } from "./tool-fields.ts";

/** Limit on a text, since it is tokenised at once: some 250,000 tokens, about half a second. */
const MAX_CHARACTERS = 1_000_000;
const MAX_TOKENS = 1_000_000;
const IDS = "a list of token ids";

const TEXT = v.object({
  prompt: v.pipe(
    v.string("a text"),
    v.maxLength(MAX_CHARACTERS, `a text of at most ${MAX_CHARACTERS} characters`),
  ),
  add_special_tokens: flag(),
  return_token_strs: flag(),
});
const CHAT = v.object({
  messages: MESSAGES,
  add_generation_prompt: flag(),
  add_special_tokens: flag(),
  return_token_strs: flag(),
  ...TEMPLATE_FIELDS,
  ...TOOL_FIELDS,
});
const DETOKENIZE = v.object({
  tokens: v.pipe(v.array(v.number(IDS), IDS), v.maxLength(MAX_TOKENS, `at most ${MAX_TOKENS} token ids`)),
});

type Body = Readonly<Record<string, unknown>>;
const isGiven = (value: unknown) => value !== undefined && value !== null;

/** @throws HttpError 400 */
export async function tokenize(body: Body, engine: Engine): Promise<object> {
  if (isGiven(body.prompt) && isGiven(body.messages))
    throw badField("messages", "prompt and messages are two things to tokenise; give one of them");
  const isChat = isGiven(body.messages);
  const tokens = isChat ? await tokensOfChat(body, engine) : tokensOfText(body, engine);
  const { tokenizer } = engine;
  return {
    count: tokens.length,
    max_model_len: engine.report().model.contextLength,
    tokens,
    token_strs: body.return_token_strs === true ? tokens.map((id) => tokenizer.token(id) ?? "") : null,
  };
}

function tokensOfText(body: Body, { tokenizer }: Engine): readonly number[] {
  const { prompt, add_special_tokens: addSpecialTokens = true } = checkBody(TEXT, body);
  return tokenizer.encode(prompt, { addSpecialTokens });
}

/** The tokens that a chat completion of the same fields would have as its prompt. */
async function tokensOfChat(given: Body, engine: Engine): Promise<readonly number[]> {
  for (const name of ["chat_template", "continue_final_message"])
    if (isGiven(given[name]) && given[name] !== false)
      throw badField(name, `${name} is not supported by this server; leave it out`, "unsupported_parameter");
  const body = checkBody(CHAT, given);
  const { add_generation_prompt: addGenerationPrompt = true, add_special_tokens: addSpecialTokens = false } =
    body;
  const tools = toolsOf(body, engine.chatTemplates);
  const chatTemplateOptions = { ...body.chat_template_kwargs, ...tools?.templateOptions };
  const messages = body.messages.map(toMessage);
  try {
    const chat = { messages, chatTemplateOptions, addGenerationPrompt, addSpecialTokens };
    return (await engine.tokenizeChat(chat)).tokenIds;
  } catch (error) {
    throw toHttpError(error, { prompt: "messages", hasAttention: false });
  }
}

/** @throws HttpError 400 */
export function detokenize(body: Body, engine: Engine): object {
  const { tokens } = checkBody(DETOKENIZE, body);
  for (const [i, id] of tokens.entries())
    if (!Number.isSafeInteger(id) || id < 0)
      throw badField(`tokens[${i}]`, `tokens[${i}] must be a token id, got ${id}`);
  return { prompt: engine.tokenizer.decode(tokens) };
}
