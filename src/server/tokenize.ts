/** Text to token ids and back, with the names of vLLM's interface. */
import * as v from "valibot";
import { flag } from "../base/check-options.ts";
import type { LoadedEngine } from "../engine/engine-api.ts";
import { checkBody } from "./check-body.ts";
import { badField } from "./http-error.ts";

/** Limit on a text, since it is tokenised at once: some 250,000 tokens, about half a second. */
const MAX_CHARACTERS = 1_000_000;
const MAX_TOKENS = 1_000_000;
const IDS = "a list of token ids";

const TOKENIZE = v.object({
  prompt: v.pipe(
    v.string("a text"),
    v.maxLength(MAX_CHARACTERS, `a text of at most ${MAX_CHARACTERS} characters`),
  ),
  add_special_tokens: flag(),
  return_token_strs: flag(),
});
const DETOKENIZE = v.object({
  tokens: v.pipe(v.array(v.number(IDS), IDS), v.maxLength(MAX_TOKENS, `at most ${MAX_TOKENS} token ids`)),
});

/** @throws HttpError 400 */
export function tokenize(body: Readonly<Record<string, unknown>>, engine: LoadedEngine): object {
  if (body.messages !== undefined && body.messages !== null)
    throw badField(
      "messages",
      "messages is not supported here; give the text as prompt (the usage of a chat completion counts a conversation)",
      "unsupported_parameter",
    );
  const {
    prompt,
    add_special_tokens: addSpecialTokens = true,
    return_token_strs: withTexts,
  } = checkBody(TOKENIZE, body);
  const { tokenizer } = engine;
  const tokens = tokenizer.encode(prompt, { addSpecialTokens });
  return {
    count: tokens.length,
    max_model_len: engine.report().model.contextLength,
    tokens,
    token_strs: withTexts === true ? tokens.map((id) => tokenizer.token(id) ?? "") : null,
  };
}

/** @throws HttpError 400 */
export function detokenize(body: Readonly<Record<string, unknown>>, engine: LoadedEngine): object {
  const { tokens } = checkBody(DETOKENIZE, body);
  for (const [i, id] of tokens.entries())
    if (!Number.isSafeInteger(id) || id < 0)
      throw badField(`tokens[${i}]`, `tokens[${i}] must be a token id, got ${id}`);
  return { prompt: engine.tokenizer.decode(tokens) };
}
