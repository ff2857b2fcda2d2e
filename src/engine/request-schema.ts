import * as v from "valibot";
import { isPolicy } from "../attention/is-policy.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { abortSignal, checkOptions, flag, numberThat, wholeNumberFrom } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import type { ChatMessage, GenerationRequest } from "./request.ts";

/** A policy value or a spec; the schema of the engine's options uses it too. */
export const attentionChoice = () =>
  v.optional(
    v.custom<AttentionPolicy | string>(
      (value) => typeof value === "string" || isPolicy(value),
      'a policy, such as lessIsMore({ … }), or a spec, such as "less-is-more:budget=256"',
    ),
  );

const stopText = v.pipe(
  v.string("a text that is not empty"),
  v.check((text) => text !== "", "a text that is not empty"),
);
const stops = v.optional(
  v.pipe(
    v.lazy((input) => (Array.isArray(input) ? v.array(stopText) : stopText)),
    v.transform((given): readonly string[] => (typeof given === "string" ? [given] : given)),
  ),
);

const tokenIds = v.custom<ArrayLike<number>>(isList, "a list of token ids");

function isList(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("length" in value)) return false;
  const { length } = value;
  return typeof length === "number" && Number.isSafeInteger(length) && length >= 0;
}

const MESSAGE =
  "a message with a role and a content, both texts (no content only beside tool_calls; a list of parts where the template takes them)";
const message = v.custom<ChatMessage>(isMessage, MESSAGE);

function isMessage(value: unknown): boolean {
  if (!isObject(value)) return false;
  const { role, content, tool_calls: calls } = value as Record<string, unknown>;
  if (typeof role !== "string") return false;
  if (content === undefined || content === null) return Array.isArray(calls) && calls.length > 0;
  return typeof content === "string" || (Array.isArray(content) && content.every(isObject));
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const REQUEST = v.object({
  messages: v.optional(
    v.pipe(
      v.array(message, "a list of at least one { role, content }"),
      v.minLength(1, "a list of at least one { role, content }"),
    ),
  ),
  prompt: v.optional(v.string("a text")),
  tokenIds: v.optional(tokenIds),
  chatTemplateOptions: v.optional(
    v.custom<Readonly<Record<string, unknown>>>(isObject, "an object of template variables"),
  ),
  startsInReasoning: flag(),
  attention: attentionChoice(),
  maxTokens: wholeNumberFrom(1),
  temperature: numberThat("0 or more", (t) => t >= 0 && t < Number.POSITIVE_INFINITY),
  topK: numberThat("a whole number, 0 for all", (k) => Number.isSafeInteger(k) && k >= 0),
  topP: numberThat("in (0, 1]", (p) => p > 0 && p <= 1),
  minP: numberThat("in [0, 1]", (p) => p >= 0 && p <= 1),
  repetitionPenalty: numberThat("above 0", (r) => r > 0 && r < Number.POSITIVE_INFINITY),
  seed: numberThat("a whole number", Number.isSafeInteger),
  stop: stops,
  ignoreEos: flag(),
  signal: abortSignal(),
});

/** A request as the engine goes on with it: values checked and copied, stop texts always a list. */
export type CheckedRequest = v.InferOutput<typeof REQUEST>;

/** @throws RequestError on anything that is no request. */
export function checkRequest(request: GenerationRequest): CheckedRequest {
  const checked = checkOptions(REQUEST, request, "generate", RequestError);
  const { messages, prompt, tokenIds: ids } = checked;
  const sources = [messages, prompt, ids].filter((source) => source !== undefined).length;
  if (sources !== 1)
    throw new RequestError(
      `generate: give exactly one of messages, prompt and tokenIds; got ${sources === 0 ? "none" : sources}`,
    );
  if (checked.chatTemplateOptions && !messages)
    throw new RequestError(
      "generate: chatTemplateOptions are for messages; a prompt and tokenIds go past the template",
    );
  return checked;
}
