/** The body of a chat completion. */
import * as v from "valibot";
import { flag, wholeNumberFrom } from "../base/check-options.ts";
import type { GenerationRequest } from "../engine/request.ts";
import type { ToolPlan } from "../tools/plan-tools.ts";
import { MESSAGES, toMessage } from "./chat-messages.ts";
import { checkBody } from "./check-body.ts";
import { constraintOf } from "./constraint-fields.ts";
import { refuseUnsupported } from "./foreign-fields.ts";
import { badField } from "./http-error.ts";
import {
  choicesOf,
  type ReadingOptions,
  type ReplyOptions,
  replyOptionsOf,
  requestOf,
  SHARED_FIELDS,
  TEMPLATE_FIELDS,
} from "./shared-fields.ts";
import { thinkingOf } from "./thinking-fields.ts";
import { joinConstraints, TOOL_FIELDS, toolsOf } from "./tool-fields.ts";

const CHAT = v.object({
  ...SHARED_FIELDS,
  messages: MESSAGES,
  max_completion_tokens: wholeNumberFrom(1),
  ...TEMPLATE_FIELDS,
  logprobs: flag(),
  top_logprobs: wholeNumberFrom(0, 20),
  ...TOOL_FIELDS,
});

/** A checked body: the requests of its choices, all of one prompt. */
export interface ChatCall extends ReplyOptions {
  readonly requests: readonly GenerationRequest[];
  readonly tools: ToolPlan | undefined;
}

/** @throws HttpError 400 with the field */
export function readChatBody(given: Readonly<Record<string, unknown>>, reading: ReadingOptions): ChatCall {
  refuseUnsupported(given);
  const body = checkBody(CHAT, given);
  const shared = requestOf(body, reading.ownAttention);
  const maxTokens = body.max_completion_tokens ?? body.max_tokens;
  const { chatTemplates } = reading;
  const tools = toolsOf(body, chatTemplates);
  const constraint = joinConstraints(tools, constraintOf(body), body, chatTemplates);
  const thinking = thinkingOf(body, body.chat_template_kwargs);
  const options = { ...thinking.options, ...tools?.templateOptions };
  const logprobs = logprobsOf(body);
  const request: GenerationRequest = {
    ...shared,
    messages: body.messages.map(toMessage),
    ...(maxTokens !== undefined && { maxTokens }),
    ...(Object.keys(options).length > 0 && { chatTemplateOptions: options }),
    ...(logprobs !== undefined && { logprobs }),
    ...(constraint && { constraint }),
  };
  return { ...replyOptionsOf(body), requests: choicesOf(request, body.n), tools };
}

/** Alternatives beside each token; undefined: no logarithms at all. */
function logprobsOf(body: v.InferOutput<typeof CHAT>): number | undefined {
  const { logprobs: isAsked = false, top_logprobs: count } = body;
  if (isAsked) return count ?? 0;
  if (count !== undefined && count > 0)
    throw badField("top_logprobs", "top_logprobs needs logprobs: true beside it");
  return undefined;
}
