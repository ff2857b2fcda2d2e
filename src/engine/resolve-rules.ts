import { RequestError } from "../base/errors.ts";
import type { ConstraintSpec, TokenConstraint } from "../constraint/constraint.ts";
import type { ConstraintUse } from "../constraint/constraint-compiler.ts";
import { isTokenConstraint } from "../constraint/spec-kinds.ts";
import { DeferredConstraint } from "./deferred-constraint.ts";
import type { EngineComponents } from "./engine-components.ts";
import type { CheckedRequest } from "./request-schema.ts";
import type { OutputStart } from "./thinking.ts";
import type { TokenRuleOptions } from "./token-rules.ts";

/**
 * Resolves a request's rules for its tokens; undefined if it has none.
 * @throws RequestError for a token id outside the vocabulary
 */
export function resolveRules(
  request: CheckedRequest,
  start: OutputStart,
  { backend, tokenizer, eosTokenIds }: EngineComponents,
  notes: string[],
): TokenRuleOptions | undefined {
  const { vocabSize } = backend.model;
  const { presencePenalty = 0, frequencyPenalty = 0 } = request;
  const { logitBias = new Map<number, number>(), stopTokenIds = [] } = request;
  checkIds("logitBias", logitBias.keys(), vocabSize);
  checkIds("stopTokenIds", stopTokenIds, vocabSize);
  const isPlain = presencePenalty === 0 && frequencyPenalty === 0 && logitBias.size === 0;
  if (isPlain && !request.constraint && (request.minTokens ?? 0) === 0) return undefined;
  const ends = request.ignoreEos ? stopTokenIds : [...eosTokenIds, ...stopTokenIds];
  // an output that begins in the answer may still begin with reasoning, unless the prompt has just closed it
  const openingTokenId =
    request.constraint && !start.isAfterMarker ? tokenizer.tokenId(start.markers.open) : undefined;
  const isAtStart = start.kind === "answer" && openingTokenId === undefined;
  const constraint = resolveConstraint(request.constraint, { endIds: ends, isAtStart });
  let { minTokens = 0 } = request;
  if (constraint && minTokens > 0) {
    notes.push(`minTokens ${minTokens} is not followed: the constraint says where the answer may end`);
    minTokens = 0;
  }
  return {
    ...{ presencePenalty, frequencyPenalty, logitBias, minTokens, constraint, vocabSize },
    endTokenIds: ends.filter((id) => id < vocabSize),
    openingTokenId,
  };
}

/** A spec becomes a constraint that the engine compiles before the request runs. */
function resolveConstraint(
  given: TokenConstraint | ConstraintSpec | undefined,
  use: ConstraintUse,
): TokenConstraint | undefined {
  if (!given || isTokenConstraint(given)) return given;
  if (use.endIds.length === 0)
    throw new RequestError(
      "generate: a constraint needs a token that ends the answer, and the model names none; give stopTokenIds",
    );
  return new DeferredConstraint(given, use);
}

function checkIds(name: string, ids: Iterable<number>, vocabSize: number): void {
  for (const id of ids)
    if (id >= vocabSize)
      throw new RequestError(
        `generate: ${name} names token ${id}, which is not in the vocabulary of ${vocabSize} tokens (0 to ${vocabSize - 1})`,
      );
}
