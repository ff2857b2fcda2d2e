/** The body of a completion: prompts without a chat template. */
import * as v from "valibot";
import { wholeNumberFrom } from "../base/check-options.ts";
import type { GenerationRequest } from "../engine/request.ts";
import { checkBody } from "./check-body.ts";
import { refuseUnsupported } from "./foreign-fields.ts";
import { badField } from "./http-error.ts";
import {
  choicesOf,
  type ReadingOptions,
  type ReplyOptions,
  replyOptionsOf,
  requestOf,
  SHARED_FIELDS,
} from "./shared-fields.ts";

/** As OpenAI's API has it. */
const DEFAULT_MAX_TOKENS = 16;
const MAX_PROMPTS = 256;
const PROMPT = "a text, a list of token ids, or a list of either";

const COMPLETION = v.object({
  ...SHARED_FIELDS,
  prompt: v.custom<string | readonly unknown[]>(
    (value) => typeof value === "string" || Array.isArray(value),
    PROMPT,
  ),
  logprobs: wholeNumberFrom(0, 20),
});

/** A checked body: for each prompt the requests of its choices. */
export interface CompletionCall extends ReplyOptions {
  readonly requests: readonly GenerationRequest[];
  /** Choices of each prompt, which follow one another in `requests`. */
  readonly choicesPerPrompt: number;
}

/** @throws HttpError 400 with the field */
export function readCompletionBody(
  given: Readonly<Record<string, unknown>>,
  { ownAttention }: ReadingOptions,
): CompletionCall {
  refuseUnsupported(given);
  const body = checkBody(COMPLETION, given);
  const { logprobs } = body;
  const shared: GenerationRequest = {
    maxTokens: DEFAULT_MAX_TOKENS,
    keepsMarkers: true,
    ...requestOf(body, ownAttention),
    ...(logprobs !== undefined && { logprobs }),
  };
  const requests = promptsOf(body.prompt).flatMap((prompt) => choicesOf({ ...shared, ...prompt }, body.n));
  return { ...replyOptionsOf(body), requests, choicesPerPrompt: body.n ?? 1 };
}

type Prompt = Pick<GenerationRequest, "prompt" | "tokenIds">;

function promptsOf(given: string | readonly unknown[]): readonly Prompt[] {
  if (typeof given === "string") return [{ prompt: given }];
  if (given.length === 0) throw badField("prompt", `prompt must be ${PROMPT}, got an empty list`);
  if (given.every((one) => typeof one === "number")) return [{ tokenIds: given }];
  if (given.length > MAX_PROMPTS)
    throw badField("prompt", `prompt has ${given.length} prompts; a request may have ${MAX_PROMPTS}`);
  return given.map((one, i) => {
    if (typeof one === "string") return { prompt: one };
    if (Array.isArray(one) && one.every((id) => typeof id === "number")) return { tokenIds: one };
    throw badField(`prompt[${i}]`, `prompt[${i}] must be a text or a list of token ids`);
  });
}
