/** Text and conversations to token ids and back, with the names of vLLM's interface. */
import * as v from "valibot";
import { flag } from "../base/check-options.ts";
import type { Engine } from "../engine/engine-api.ts";
import type { PromptToTokenize } from "../engine/tokenize-prompt.ts";
import { MESSAGES, toMessage } from "./chat-messages.ts";
import { checkBody } from "./check-body.ts";
import { badField, toHttpError } from "./http-error.ts";
import { defined, TEMPLATE_FIELDS } from "./shared-fields.ts";
import { TOOL_FIELDS, toolsOf } from "./tool-fields.ts";

/** Limit on tokens, whose text is made at once on this thread: about a tenth of a second. */
const MAX_TOKENS = 250_000;
const IDS = "a list of token ids";

const TEXT = v.object({
  prompt: v.string("a text"),
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

/** The engine tokenises in its own thread, so that this one answers others meanwhile. @throws HttpError 400 */
export async function tokenize(body: Body, engine: Engine): Promise<object> {
  if (isGiven(body.prompt) && isGiven(body.messages))
    throw badField("messages", "prompt and messages are two things to tokenise; give one of them");
  const isChat = isGiven(body.messages);
  const prompt = isChat ? readChat(body, engine.chatTemplates) : readText(body);
  const { tokenIds: tokens } = await engine.tokenizePrompt(prompt).catch((error: unknown) => {
    throw toHttpError(error, { prompt: isChat ? "messages" : "prompt", hasAttention: false });
  });
  const { tokenizer } = engine;
  return {
    count: tokens.length,
    max_model_len: engine.report().model.contextLength,
    tokens,
    token_strs: body.return_token_strs === true ? tokens.map((id) => tokenizer.token(id) ?? "") : null,
  };
}

function readText(body: Body): PromptToTokenize {
  const { prompt, add_special_tokens: addSpecialTokens } = checkBody(TEXT, body);
  return { prompt, ...defined({ addSpecialTokens }) };
}

/** Reads what a chat completion of the same fields would have as its prompt. */
function readChat(given: Body, templates: readonly string[]): PromptToTokenize {
  for (const name of ["chat_template", "continue_final_message"])
    if (isGiven(given[name]) && given[name] !== false)
      throw badField(name, `${name} is not supported by this server; leave it out`, "unsupported_parameter");
  const body = checkBody(CHAT, given);
  const { add_generation_prompt: addGenerationPrompt, add_special_tokens: addSpecialTokens } = body;
  const tools = toolsOf(body, templates);
  return {
    messages: body.messages.map(toMessage),
    chatTemplateOptions: { ...body.chat_template_kwargs, ...tools?.templateOptions },
    ...defined({ addGenerationPrompt, addSpecialTokens }),
  };
}

/** @throws HttpError 400 */
export function detokenize(body: Body, engine: Engine): object {
  const { tokens } = checkBody(DETOKENIZE, body);
  for (const [i, id] of tokens.entries())
    if (!Number.isSafeInteger(id) || id < 0)
      throw badField(`tokens[${i}]`, `tokens[${i}] must be a token id, got ${id}`);
  return { prompt: engine.tokenizer.decode(tokens) };
}
