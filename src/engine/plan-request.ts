import type { AttentionPolicy } from "../attention/policy.ts";
import { RequestError } from "../base/errors.ts";
import type { EngineParts } from "./engine-parts.ts";
import type { GenerationPlan } from "./generation.ts";
import type { GenerationRequest } from "./request.ts";
import { resolveSampling } from "./sampler.ts";

/**
 * Checks a request and resolves what it leaves open.
 * bind: makes a policy or a spec a policy of this model.
 * @throws RequestError, ConfigError on what cannot run.
 */
export function planRequest(
  request: GenerationRequest,
  parts: EngineParts,
  bind: (attention: AttentionPolicy | string) => AttentionPolicy,
): GenerationPlan {
  const { vocabSize, maxSequenceLength } = parts.backend.shape;
  const prompt = promptTokens(request, parts);
  if (prompt.length === 0) throw new RequestError("the prompt is empty; give at least one token");
  for (const id of prompt)
    if (!Number.isSafeInteger(id) || id < 0 || id >= vocabSize)
      throw new RequestError(
        `token id ${id} is not in the vocabulary of ${vocabSize} tokens (0 to ${vocabSize - 1})`,
      );
  if (prompt.length >= maxSequenceLength)
    throw new RequestError(
      `the prompt has ${prompt.length} tokens, but the context holds ${maxSequenceLength} with at least one generated; ` +
        "shorten the prompt or open the engine with a larger contextLength",
    );
  const room = maxSequenceLength - prompt.length;
  const { maxTokens } = request;
  if (maxTokens !== undefined && (!Number.isSafeInteger(maxTokens) || maxTokens < 1))
    throw new RequestError(`maxTokens must be a whole number of at least 1, got ${maxTokens}`);
  const given = request.attention ?? parts.attention;
  const policy = bind(given);
  return {
    prompt,
    maxTokens: Math.min(maxTokens ?? room, room),
    policy,
    policyKey: typeof given === "string" ? policyKey(policy) : given,
    sampling: resolveSampling(request, parts.sampling),
    eosTokenIds: request.ignoreEos ? [] : parts.eosTokenIds,
    stops: stopTexts(request),
    signal: request.signal,
  };
}

function stopTexts({ stop }: GenerationRequest): readonly string[] {
  const stops = typeof stop === "string" ? [stop] : (stop ?? []);
  for (const text of stops)
    if (typeof text !== "string" || text === "")
      throw new RequestError(`stop must be a text that is not empty, got ${JSON.stringify(text)}`);
  return stops;
}

function promptTokens({ messages, prompt, tokenIds }: GenerationRequest, parts: EngineParts): number[] {
  const given = [messages, prompt, tokenIds].filter((source) => source !== undefined).length;
  if (given !== 1)
    throw new RequestError(
      `give exactly one of messages, prompt and tokenIds; got ${given === 0 ? "none" : given}`,
    );
  if (tokenIds) return Array.from(tokenIds);
  if (prompt !== undefined && typeof prompt !== "string")
    throw new RequestError(`prompt must be a text, got ${JSON.stringify(prompt)}`);
  if (messages !== undefined) checkMessages(messages);
  if (prompt !== undefined) return parts.tokenizer.encode(prompt);
  return parts.tokenizer.encode(parts.renderChat(messages ?? []), { addSpecialTokens: false });
}

function checkMessages(messages: unknown): void {
  if (!Array.isArray(messages) || messages.length === 0)
    throw new RequestError(
      `messages must be a list of at least one { role, content }, got ${JSON.stringify(messages)}`,
    );
  for (const message of messages)
    if (typeof message?.role !== "string" || typeof message?.content !== "string")
      throw new RequestError(
        `a message must have a role and a content, both texts, got ${JSON.stringify(message)}`,
      );
}

/** Tells bound policies of specs apart. Values are told apart by identity: equal settings may hide other functions. */
function policyKey(policy: AttentionPolicy): string {
  return `${policy.name}:${JSON.stringify(policy.settings)}`;
}
