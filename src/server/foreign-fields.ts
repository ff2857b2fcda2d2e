/** Fields that change an answer and that the engine does not follow: refused, so that no request gets another answer than it asked for. */
import { isObject } from "../base/is-object.ts";
import { badField } from "./http-error.ts";

type HasEffect = (value: unknown) => boolean;
const isSet: HasEffect = (value) => value !== undefined && value !== null;
const isNotFalse: HasEffect = (value) => isSet(value) && value !== false;
const isFilled: HasEffect = (value) =>
  isSet(value) && !(Array.isArray(value) && value.length === 0) && !(isObject(value) && isEmpty(value));
const isEmpty = (value: object) => Object.keys(value).length === 0;

/** Parts of the APIs of OpenAI and vLLM: whether a value of the field changes the answer. */
const FOREIGN: Readonly<Record<string, HasEffect>> = {
  functions: isFilled,
  function_call: isSet,
  audio: isSet,
  modalities: (value) => isSet(value) && !(Array.isArray(value) && value.every((one) => one === "text")),
  web_search_options: isSet,
  prompt_logprobs: isSet,
  chat_template: isSet,
  continue_final_message: isNotFalse,
  add_generation_prompt: (value) => isSet(value) && value !== true,
  documents: isFilled,
  prompt_embeds: isSet,
  truncate_prompt_tokens: isSet,
  guided_grammar: isSet,
  structural_tag: isSet,
  guided_whitespace_pattern: isSet,
  allowed_token_ids: isSet,
  bad_words: isFilled,
  logits_processors: isFilled,
  mm_processor_kwargs: isFilled,
  length_penalty: (value) => isSet(value) && value !== 1,
  include_stop_str_in_output: isNotFalse,
  skip_special_tokens: (value) => isSet(value) && value !== true,
  suffix: (value) => isSet(value) && value !== "",
  echo: isNotFalse,
  use_beam_search: isNotFalse,
  best_of: (value) => isSet(value) && value !== 1,
};

/** @throws HttpError 400 with the field */
export function refuseUnsupported(body: Readonly<Record<string, unknown>>): void {
  for (const [name, hasEffect] of Object.entries(FOREIGN))
    if (Object.hasOwn(body, name) && hasEffect(body[name]))
      throw badField(name, `${name} is not supported by this server; leave it out`, "unsupported_parameter");
}
