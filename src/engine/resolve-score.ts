import * as v from "valibot";
import { firstNamed } from "../attention/bind-attention.ts";
import type { AttentionObserver, ResolvedObserver } from "../attention/observer.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { abortSignal, checkOptions, wholeNumberFrom } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import { guessNote } from "../model/selection-layers.ts";
import type { EngineComponents } from "./engine-components.ts";
import { allocateLogits } from "./engine-failures.ts";
import { attentionChoice, isTokenList, tokenIdList } from "./request-schema.ts";
import { resolveObserver } from "./resolve-observer.ts";
import { checkTokens, keyOf } from "./resolve-request.ts";
import type { ScoreEachRequest, ScoreRequest } from "./score.ts";

/** Maximum policies of a call: each takes pages of its own. */
const MAX_POLICIES = 1024;

/** A policy of a call, and what the caller hears about it. */
export interface ScoredPolicy {
  readonly policy: AttentionPolicy;
  /** Equal for policies that record the same ops. */
  readonly policyKey: unknown;
  readonly notes: readonly string[];
}

/** A checked call of `score` or `scoreEach`. */
export interface ResolvedScore {
  /** The method, for messages. */
  readonly doing: string;
  readonly tokens: readonly number[];
  readonly from: number;
  readonly policies: readonly ScoredPolicy[];
  readonly onLogits: ScoreEachRequest["onLogits"];
  readonly observer: ResolvedObserver | undefined;
  readonly signal: AbortSignal | undefined;
}

const callback = <F>() => v.optional(v.custom<F>((value) => typeof value === "function", "a function"));

const COMMON = {
  tokenIds: tokenIdList(),
  from: v.nonOptional(wholeNumberFrom(1), "a whole number of at least 1"),
  signal: abortSignal(),
};
const SCORE = v.object({
  ...COMMON,
  attention: attentionChoice(),
  onLogits: callback<NonNullable<ScoreRequest["onLogits"]>>(),
  observer: v.optional(v.custom<AttentionObserver>(() => true)), // `resolveObserver` checks it
});
const LIST = `a list of 1 to ${MAX_POLICIES} policies or specs`;
const SCORE_EACH = v.object({
  ...COMMON,
  attentions: v.pipe(
    v.array(v.nonOptional(attentionChoice(), "a policy or a spec"), LIST),
    v.check((list) => list.length >= 1 && list.length <= MAX_POLICIES, LIST),
  ),
  onLogits: callback<NonNullable<ScoreEachRequest["onLogits"]>>(),
});

type Bind = (attention: AttentionPolicy | string) => AttentionPolicy;

/** @throws RequestError, ConfigError if the tokens cannot be scored */
export function resolveScore(given: ScoreRequest, components: EngineComponents, bind: Bind): ResolvedScore {
  const { attention, onLogits, ...request } = checkOptions(SCORE, given, "score", RequestError);
  const named = firstNamed(attention, components.attention, components.attentionDefaults);
  return {
    doing: "score",
    ...resolveTokens("score", request, components),
    policies: [resolvePolicy(named, bind)],
    onLogits: onLogits && ((_, position, logits) => onLogits(position, logits)),
    observer: resolveObserver(request.observer, components.backend.model.numLayers, "score"),
    signal: request.signal,
  };
}

/** @throws RequestError, ConfigError if the tokens cannot be scored */
export function resolveScoreEach(
  given: ScoreEachRequest,
  components: EngineComponents,
  bind: Bind,
): ResolvedScore {
  const { attentions, ...request } = checkOptions(SCORE_EACH, given, "scoreEach", RequestError);
  return {
    doing: "scoreEach",
    ...resolveTokens("scoreEach", request, components),
    policies: attentions.map((attention) => resolvePolicy(attention, bind)),
    onLogits: request.onLogits,
    observer: undefined,
    signal: request.signal,
  };
}

function resolveTokens(
  doing: string,
  { tokenIds, from }: { readonly tokenIds: ArrayLike<number>; readonly from: number },
  components: EngineComponents,
): { readonly tokens: readonly number[]; readonly from: number } {
  const { maxSequenceLength } = components.backend.capacity;
  if (tokenIds.length > maxSequenceLength)
    throw new RequestError(
      `${doing}: expected at most ${maxSequenceLength} tokens, which the context holds, got ${tokenIds.length}; ` +
        "give fewer, or open the engine with a larger contextLength",
    );
  if (tokenIds.length < 2)
    throw new RequestError(
      `${doing}: expected at least two tokens, of which the first is given, got ${tokenIds.length}`,
    );
  if (from >= tokenIds.length)
    throw new RequestError(
      `${doing}: from must name one of the tokens after the first, 1 to ${tokenIds.length - 1}, got ${from}`,
    );
  return { tokens: checkTokens(tokenIds, components, maxSequenceLength), from };
}

function resolvePolicy(attention: AttentionPolicy | string, bind: Bind): ScoredPolicy {
  const policy = bind(attention);
  const isGuess = policy.selectionLayersFrom === "guess";
  return {
    policy,
    policyKey: keyOf(attention, policy),
    notes: isGuess ? [guessNote(policy)] : [],
  };
}

/** Checks a call of `logits`. out: f32 [tokens.length, vocabSize] @throws RequestError */
export function resolveLogits(
  tokenIds: unknown,
  components: EngineComponents,
): { readonly tokens: readonly number[]; readonly out: Float32Array } {
  const { model, capacity } = components.backend;
  if (!isTokenList(tokenIds))
    throw new RequestError(`logits: expected a list of token ids, got ${printValue(tokenIds)}`);
  const tokens = checkTokens(tokenIds as ArrayLike<number>, components, capacity.maxSequenceLength);
  return { tokens, out: allocateLogits(tokens.length, model.vocabSize) };
}
