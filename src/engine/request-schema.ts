import * as v from "valibot";
import { isPolicy } from "../attention/is-policy.ts";
import type { AttentionObserver } from "../attention/observer.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { abortSignal, checkOptions, flag, numberThat, wholeNumberFrom } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ConstraintSpec, TokenConstraint } from "../constraint/constraint.ts";
import { isTokenConstraint, SPEC_KINDS } from "../constraint/spec-kinds.ts";
import type { ChatMessage, GenerationRequest } from "./request.ts";
import type { SessionOptions, SessionRequest } from "./session.ts";

/** The schema of an attention policy: a value or a spec. The schema of the engine's options uses it too. */
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
/** Limit on stop texts: every character of the output advances each. */
const MAX_STOPS = 256;
const stopList = v.pipe(v.array(stopText), v.maxLength(MAX_STOPS, `at most ${MAX_STOPS} texts`));
const stops = v.optional(
  v.pipe(
    v.lazy((input) => (Array.isArray(input) ? stopList : stopText)),
    v.transform((given): readonly string[] => (typeof given === "string" ? [given] : given)),
  ),
);

const PENALTY = "a number from -2 to 2";
const penalty = () => numberThat(PENALTY, (value) => value >= -2 && value <= 2);

/** Beyond these a logit may exceed f32, which would look like a fault of the weights. */
export const isRepetitionPenalty = (value: number) => value >= 0.001 && value <= 1000;

/** Limit on biased tokens: every step of the request carries them. */
const MAX_BIASES = 4096;
const BIAS = `an object of at most ${MAX_BIASES} token ids with numbers from -100 to 100`;
const logitBias = v.optional(
  v.pipe(
    v.custom<Readonly<Record<string, number>>>(isObject, BIAS),
    v.transform((given) => Object.entries(given).map(([id, value]) => [Number(id), value] as const)),
    v.check(
      (entries) =>
        entries.length <= MAX_BIASES &&
        entries.every(
          ([id, value]) => isTokenId(id) && typeof value === "number" && value >= -100 && value <= 100,
        ),
      BIAS,
    ),
    v.transform((entries): ReadonlyMap<number, number> => new Map(entries)),
  ),
);
const isTokenId = (id: number) => Number.isSafeInteger(id) && id >= 0;

/** Limit on stop tokens: every token of the output is compared with each. */
const MAX_STOP_TOKENS = 1024;
const STOP_TOKENS = `a list of at most ${MAX_STOP_TOKENS} token ids`;
const stopTokenIds = v.optional(
  v.pipe(
    v.array(v.pipe(v.number("a token id"), v.check(isTokenId, "a token id")), STOP_TOKENS),
    v.maxLength(MAX_STOP_TOKENS, STOP_TOKENS),
  ),
);

const CONSTRAINT =
  "a constraint with fillMask, accept, isComplete and clone, or a spec such as { json: true }";
const constraint = v.optional(
  v.custom<TokenConstraint | ConstraintSpec>(
    (value) => isTokenConstraint(value) || (isObject(value) && SPEC_KINDS.some((kind) => kind in value)),
    CONSTRAINT,
  ),
);

/** The schema of a list of token ids; `score` uses it too. */
export const tokenIdList = () => v.custom<ArrayLike<number>>(isTokenList, "a list of token ids");

/** Returns true if a value has the shape of a list of token ids. Ignores the entries. */
export function isTokenList(value: unknown): boolean {
  if (typeof value !== "object" || value === null || !("length" in value)) return false;
  const { length } = value;
  return typeof length === "number" && Number.isSafeInteger(length) && length >= 0;
}

const ROLE = 'a text such as "user"';
const OBJECT = "an object with a role and a content";
const part = v.custom<object>(isObject, "an object");
const content = v.nullish(
  v.lazy((input) => (Array.isArray(input) ? v.array(part) : v.string("a text or a list of parts"))),
);
const messageObject = v.pipe(
  v.looseObject(
    { role: v.pipe(v.string(ROLE), v.minLength(1, ROLE)), content, tool_calls: v.optional(v.unknown()) },
    () => ROLE, // the only key that can be missing
  ),
  v.rawCheck(({ dataset, addIssue }) => {
    if (!dataset.typed || hasContent(dataset.value)) return;
    const { content: input } = dataset.value;
    const path = {
      type: "object",
      origin: "value",
      input: dataset.value,
      key: "content",
      value: input,
    } as const;
    addIssue({ message: "a text, or left out beside tool_calls", path: [path] });
  }),
  v.transform((checked) => checked as ChatMessage),
);
// a list would pass for an object without keys
const message = v.lazy((input) =>
  isObject(input) ? messageObject : v.custom<ChatMessage>(() => false, OBJECT),
);

function hasContent(checked: { readonly content?: unknown; readonly tool_calls?: unknown }): boolean {
  const { content: given, tool_calls: calls } = checked;
  return (given !== undefined && given !== null) || (Array.isArray(calls) && calls.length > 0);
}

const LIST = "a list of at least one { role, content }";
/** The schema of messages; `tokenizePrompt` uses it too. */
export const messageList = v.pipe(v.array(message, LIST), v.minLength(1, LIST));
const MESSAGES = v.object({ messages: messageList });

/** Checks and copies messages. @throws RequestError with the message's index and the key */
export function checkMessages(messages: unknown, doing: string): readonly ChatMessage[] {
  return checkOptions(MESSAGES, { messages }, doing, RequestError).messages;
}

/** Variables that the engine passes to a template. */
const RESERVED = ["messages", "add_generation_prompt"];
export const templateOptions = v.pipe(
  v.custom<Readonly<Record<string, unknown>>>(isObject, "an object of template variables"),
  v.check(
    (options) => !RESERVED.some((name) => Object.hasOwn(options, name)),
    `free of ${RESERVED.join(" and ")}, which the engine gives`,
  ),
);

const SALT = "a text of at most 1024 characters";
const cacheSalt = v.pipe(v.string(SALT), v.maxLength(1024, SALT));

const REQUEST = v.object({
  messages: v.optional(messageList),
  prompt: v.optional(v.string("a text")),
  tokenIds: v.optional(tokenIdList()),
  chatTemplateOptions: v.optional(templateOptions),
  startsInReasoning: flag(),
  keepsMarkers: flag(),
  attention: attentionChoice(),
  maxTokens: wholeNumberFrom(1),
  generated: v.optional(tokenIdList()),
  temperature: numberThat("0 or more", (t) => t >= 0 && t < Number.POSITIVE_INFINITY),
  topK: numberThat("a whole number, 0 for all", (k) => Number.isSafeInteger(k) && k >= 0),
  topP: numberThat("in (0, 1]", (p) => p > 0 && p <= 1),
  minP: numberThat("in [0, 1]", (p) => p >= 0 && p <= 1),
  repetitionPenalty: numberThat("from 0.001 to 1000", isRepetitionPenalty),
  presencePenalty: penalty(),
  frequencyPenalty: penalty(),
  logitBias,
  seed: numberThat("a whole number", Number.isSafeInteger),
  stop: stops,
  stopTokenIds,
  ignoreEos: flag(),
  cacheSalt: v.optional(cacheSalt),
  reusesDecoded: flag(),
  minTokens: wholeNumberFrom(0),
  thinkingBudget: wholeNumberFrom(0),
  logprobs: wholeNumberFrom(0, 20),
  constraint,
  observer: v.optional(v.custom<AttentionObserver>(() => true)), // `resolveObserver` checks it
  signal: abortSignal(),
});

const SESSION_REQUEST = v.pick(REQUEST, [
  "messages",
  "prompt",
  "tokenIds",
  "chatTemplateOptions",
  "attention",
  "maxTokens",
  "cacheSalt",
  "reusesDecoded",
  "signal",
]);
const SESSION_OPTIONS = v.pick(REQUEST, ["attention", "cacheSalt", "signal"]);

/** A request with checked and copied values; `stop` is always a list. */
export type CheckedRequest = v.InferOutput<typeof REQUEST>;

/** @throws RequestError if the value is not a valid request */
export function checkRequest(request: GenerationRequest): CheckedRequest {
  const checked = checkOptions(REQUEST, request, "generate", RequestError);
  checkSource(checked, "generate");
  if (checked.ignoreEos && checked.constraint)
    throw new RequestError(
      "generate: a constraint says where the answer ends, and ignoreEos lets nothing end it; leave out one of them",
    );
  const { minTokens = 0, maxTokens = Number.POSITIVE_INFINITY } = checked;
  if (minTokens > maxTokens)
    throw new RequestError(`generate: minTokens must be at most maxTokens ${maxTokens}, got ${minTokens}`);
  return checked;
}

/** @throws RequestError unless there is one of messages, prompt and tokenIds */
function checkSource(
  { messages, prompt, tokenIds, chatTemplateOptions }: Partial<CheckedRequest>,
  doing: string,
): void {
  const sources = [messages, prompt, tokenIds].filter((source) => source !== undefined).length;
  if (sources !== 1)
    throw new RequestError(
      `${doing}: give exactly one of messages, prompt and tokenIds; got ${sources === 0 ? "none" : sources}`,
    );
  if (chatTemplateOptions && !messages)
    throw new RequestError(
      `${doing}: chatTemplateOptions are for messages; a prompt and tokenIds go past the template`,
    );
}

/** @throws RequestError if the value does not name a conversation */
export function checkSessionRequest(request: SessionRequest) {
  const checked = checkOptions(SESSION_REQUEST, request, "saveSession", RequestError);
  checkSource(checked, "saveSession");
  return checked;
}

/** @throws RequestError for what is no array of bytes */
export function checkSessionBytes(bytes: unknown): Uint8Array {
  if (bytes instanceof Uint8Array) return bytes;
  throw new RequestError(
    `loadSession: expected the bytes of a session (Uint8Array), got ${printValue(bytes)}`,
  );
}

/** @throws RequestError for options that `loadSession` does not know */
export function checkSessionOptions(options: SessionOptions) {
  return checkOptions(SESSION_OPTIONS, options, "loadSession", RequestError);
}
