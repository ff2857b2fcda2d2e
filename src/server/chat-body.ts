/** The body of a chat completion. */
import * as v from "valibot";
import { flag, wholeNumberFrom } from "../base/check-options.ts";
import { isObject } from "../base/is-object.ts";
import type { ChatMessage, GenerationRequest } from "../engine/request.ts";
import type { ToolPlan } from "../tools/plan-tools.ts";
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
} from "./shared-fields.ts";
import { thinkingOf } from "./thinking-fields.ts";
import { joinConstraints, TOOL_FIELDS, toolsOf } from "./tool-fields.ts";

const LIST = "a list of at least one message";
const MESSAGE = "an object with a role and a content";
const ROLE = 'a text such as "user"';
/** Only role and content are checked: a template reads what else it knows (`tool_calls`, `name`, `reasoning_content`, …). */
const message = v.looseObject(
  {
    role: v.pipe(v.string(ROLE), v.minLength(1, ROLE)),
    content: v.nullish(v.union([v.string(), v.array(v.unknown())], "a text or a list of parts")),
  },
  (issue) => (issue.input === undefined ? ROLE : MESSAGE),
);

const CHAT = v.object({
  ...SHARED_FIELDS,
  messages: v.pipe(v.array(message, LIST), v.minLength(1, LIST)),
  max_completion_tokens: wholeNumberFrom(1),
  chat_template_kwargs: v.optional(
    v.custom<Readonly<Record<string, unknown>>>(isObject, "an object of template variables"),
  ),
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
    messages: body.messages.map((one, i) => toMessage(one, i)),
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

type GivenMessage = v.InferOutput<typeof message>;

/**
 * Turns a message of OpenAI's API into one for templates. `developer` is its newer name of `system`. Parts of text become one
 * text, and arguments of tool calls values, as in vLLM, since few templates read the other forms.
 */
function toMessage({ role, content, ...rest }: GivenMessage, index: number): ChatMessage {
  const { tool_calls: calls } = rest;
  return {
    ...rest,
    role: role === "developer" ? "system" : role,
    ...(Array.isArray(calls) && { tool_calls: calls.map(withParsedArguments) }),
    ...(content !== undefined && { content: Array.isArray(content) ? joinParts(content, index) : content }),
  };
}

function joinParts(parts: readonly unknown[], index: number): string {
  const texts = parts.map((part, i) => {
    const at = `messages[${index}].content[${i}]`;
    if (!isObject(part) || typeof part.type !== "string")
      throw badField(at, `${at} must be an object with a type, such as { "type": "text", "text": "…" }`);
    if (part.type !== "text")
      throw badField(
        `${at}.type`,
        `${at} has the type ${JSON.stringify(part.type.slice(0, 40))}; this model reads parts of the type "text" alone`,
      );
    if (typeof part.text !== "string") throw badField(`${at}.text`, `${at}.text must be a text`);
    return part.text;
  });
  return texts.join("\n");
}

function withParsedArguments(call: unknown): unknown {
  if (!isObject(call) || !isObject(call.function) || typeof call.function.arguments !== "string") return call;
  try {
    const value: unknown = JSON.parse(call.function.arguments);
    return isObject(value) ? { ...call, function: { ...call.function, arguments: value } } : call;
  } catch {
    return call; // the template gets the text that the model once wrote
  }
}
