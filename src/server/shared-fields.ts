/** Fields that chat completions and completions share, and what they mean to the engine. */
import * as v from "valibot";
import { checkSpelling } from "../attention/spec.ts";
import { flag, numberThat, wholeNumberFrom } from "../base/check-options.ts";
import { ConfigError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import type { GenerationRequest } from "../engine/request.ts";
import { isRepetitionPenalty } from "../engine/request-schema.ts";
import { CONSTRAINT_FIELDS, constraintOf } from "./constraint-fields.ts";
import { badField } from "./http-error.ts";
import { THINKING_FIELDS, thinkingOf } from "./thinking-fields.ts";

/** As OpenAI's API has it. */
const MAX_CHOICES = 128;
/** OpenAI's API takes 0, which leaves the likeliest token alone; so does this, in any precision. */
const LEAST_TOP_P = 1e-9;

const stopText = v.pipe(v.string("a text that is not empty"), v.minLength(1, "a text that is not empty"));

const isPenalty = (p: number) => p >= -2 && p <= 2;
const BIAS = "an object of token ids with numbers from -100 to 100";
const isBias = (given: unknown) =>
  isObject(given) &&
  Object.entries(given).every(
    ([id, value]) => /^\d+$/.test(id) && typeof value === "number" && value >= -100 && value <= 100,
  );

export const SHARED_FIELDS = {
  model: v.optional(v.string("a text")),
  stream: flag(),
  stream_options: v.optional(v.object({ include_usage: v.nullish(v.boolean("true or false")) }, "an object")),
  n: wholeNumberFrom(1, MAX_CHOICES),
  max_tokens: wholeNumberFrom(1),
  temperature: numberThat("0 or more", (t) => t >= 0 && t < Number.POSITIVE_INFINITY),
  top_p: numberThat("from 0 to 1", (p) => p >= 0 && p <= 1),
  top_k: numberThat("a whole number, 0 or -1 for all", (k) => Number.isSafeInteger(k) && k >= -1),
  min_p: numberThat("from 0 to 1", (p) => p >= 0 && p <= 1),
  presence_penalty: numberThat("from -2 to 2", isPenalty),
  frequency_penalty: numberThat("from -2 to 2", isPenalty),
  logit_bias: v.optional(v.custom<Readonly<Record<string, number>>>(isBias, BIAS)),
  stop_token_ids: v.optional(v.array(v.number("a token id"), "a list of token ids")),
  min_tokens: wholeNumberFrom(0),
  repetition_penalty: numberThat("from 0.001 to 1000", isRepetitionPenalty),
  seed: numberThat("a whole number from -(2^53 - 1) to 2^53 - 1", Number.isSafeInteger),
  stop: v.optional(v.union([stopText, v.array(stopText)], "a text that is not empty, or a list of them")),
  ignore_eos: flag(),
  cache_salt: v.optional(v.pipe(v.string("a text"), v.maxLength(256, "a text of at most 256 characters"))),
  reuses_decoded: flag(),
  ...THINKING_FIELDS,
  ...CONSTRAINT_FIELDS,
  attention: v.optional(v.string('a spec, such as "less-is-more:budget=256"')),
};

/** Fields of whatever renders a chat template. */
export const TEMPLATE_FIELDS = {
  chat_template_kwargs: v.optional(
    v.custom<Readonly<Record<string, unknown>>>(isObject, "an object of template variables"),
  ),
};

/** What reading a body depends on beside it. */
export interface ReadingOptions {
  /** The policy that the server was started with, if that is a spec. */
  readonly ownAttention: string | undefined;
  readonly chatTemplates: readonly string[];
}

type SharedBody = v.InferOutput<v.ObjectSchema<typeof SHARED_FIELDS, undefined>>;

/** What both kinds of bodies ask of the server itself. */
export interface ReplyOptions {
  readonly model: string | undefined;
  readonly isStreamed: boolean;
  readonly includesUsage: boolean;
}

export function replyOptionsOf({ model, stream, stream_options: options }: SharedBody): ReplyOptions {
  return { model, isStreamed: stream === true, includesUsage: options?.include_usage === true };
}

/**
 * Returns what the shared fields ask of the engine.
 * ownAttention: the policy that the server was started with, if that is a spec
 * @throws HttpError 400
 */
export function requestOf(body: SharedBody, ownAttention: string | undefined): GenerationRequest {
  const { attention, top_k: topK } = body;
  if (attention !== undefined) checkAttention(attention, ownAttention);
  return defined({
    attention,
    maxTokens: body.max_tokens,
    temperature: body.temperature,
    topP: body.top_p === undefined ? undefined : Math.max(LEAST_TOP_P, body.top_p),
    topK: topK === undefined ? undefined : Math.max(0, topK),
    minP: body.min_p,
    presencePenalty: body.presence_penalty,
    frequencyPenalty: body.frequency_penalty,
    logitBias: body.logit_bias,
    stopTokenIds: body.stop_token_ids,
    minTokens: body.min_tokens,
    repetitionPenalty: body.repetition_penalty,
    seed: body.seed,
    stop: body.stop,
    ignoreEos: body.ignore_eos,
    cacheSalt: body.cache_salt,
    reusesDecoded: body.reuses_decoded,
    constraint: constraintOf(body),
    thinkingBudget: thinkingOf(body).thinkingBudget,
  });
}

/**
 * Checks the spelling of a spec. Refuses one that names a file: a policy's file is none of the known names, and a gate is a
 * file or a repository, which only the server's own command line may name.
 */
function checkAttention(spec: string, own: string | undefined): void {
  try {
    const { gate } = checkSpelling(spec);
    if (gate === undefined || (own !== undefined && gate === checkSpelling(own).gate)) return;
  } catch (error) {
    if (error instanceof ConfigError) throw badField("attention", error.message, "unknown_attention");
    throw error;
  }
  throw badField(
    "attention",
    `attention "${spec}": a request may not name a gate's file; leave gate out, or start the server with --attention ${spec}`,
  );
}

/** Requests of the choices of one prompt. A seed counts up, so that choices differ and a repetition gives the same ones. */
export function choicesOf(request: GenerationRequest, n: number | undefined): readonly GenerationRequest[] {
  const { seed } = request;
  return Array.from({ length: n ?? 1 }, (_, i) =>
    seed === undefined || i === 0 ? request : { ...request, seed: seed + i },
  );
}

/** Drops undefined entries: an absent option must not hide a default. */
export function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
