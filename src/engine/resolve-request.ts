import { firstNamed } from "../attention/bind-attention.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { RequestError } from "../base/errors.ts";
import { guessNote } from "../model/selection-layers.ts";
import type { ResolvedRequest } from "./active-request.ts";
import type { EngineComponents } from "./engine-components.ts";
import { TokenTexts } from "./logprobs.ts";
import type { ChatMessage, GenerationRequest } from "./request.ts";
import { type CheckedRequest, checkRequest } from "./request-schema.ts";
import { resolveObserver } from "./resolve-observer.ts";
import { resolveRules } from "./resolve-rules.ts";
import { resolveSampling } from "./sampler.ts";
import { endsWithMarker, hasMarker, type OutputStart, startAfter } from "./thinking.ts";
import { thinkingBudget } from "./thinking-budget.ts";

/** Last tokens of a prompt of token ids, which may hold a reasoning marker. */
const TAIL_TOKENS = 16;

/**
 * Checks a request and resolves its missing values.
 * bind: binds a policy or a spec to this model.
 * @throws RequestError, ConfigError if the request cannot run
 */
export function resolveRequest(
  given: GenerationRequest,
  components: EngineComponents,
  bind: (attention: AttentionPolicy | string) => AttentionPolicy,
): ResolvedRequest {
  const request = checkRequest(given);
  const { maxSequenceLength } = components.backend.capacity;
  const attention = firstNamed(request.attention, components.attention, components.attentionDefaults);
  const policy = bind(attention);
  const notes: string[] = [];
  const { prompt, start } = readPrompt(request, components, maxSequenceLength - 1, notes);
  for (const value of components.generationDefaults.unsupported ?? [])
    notes.push(`generation_config.json: ${value} is not followed`);
  if (policy.selectionLayersFrom === "guess") notes.push(guessNote(policy));
  const generated =
    request.generated && readGenerated(request, components, maxSequenceLength - prompt.length);
  const maxTokens = resolveMaxTokens(request.maxTokens, prompt.length, components, notes);
  const eosTokenIds = request.ignoreEos ? [] : components.eosTokenIds;
  return {
    prompt,
    start,
    maxTokens,
    generated,
    policy,
    policyKey: keyOf(attention, policy),
    prefix: {
      root: prefixRoot(request.cacheSalt, ropeRanges(components, prompt.length + maxTokens - 1)),
      reusesDecoded: request.reusesDecoded ?? false,
    },
    sampling: resolveSampling(request, components.generationDefaults),
    eosTokenIds: request.stopTokenIds ? [...eosTokenIds, ...request.stopTokenIds] : eosTokenIds,
    stops: request.stop ?? [],
    keepsMarkers: request.keepsMarkers,
    rules: resolveRules(request, start, components, notes),
    thinking:
      request.thinkingBudget === undefined
        ? undefined
        : thinkingBudget(request.thinkingBudget, components, notes),
    logprobs:
      request.logprobs === undefined
        ? undefined
        : { count: request.logprobs, texts: new TokenTexts(components.tokenizer) },
    observer: resolveObserver(request.observer, components.backend.model.numLayers, "generate"),
    signal: request.signal,
    notes,
  };
}

/**
 * Resolves maxTokens: the request's own, else the checkpoint's max_new_tokens, else its max_length, else the context.
 * @throws RequestError if the checkpoint's max_length leaves no room, as in `transformers`
 */
function resolveMaxTokens(
  asked: number | undefined,
  promptTokens: number,
  { backend, generationDefaults: { maxNewTokens, maxLength } }: EngineComponents,
  notes: string[],
): number {
  const { maxSequenceLength } = backend.capacity;
  const room = maxSequenceLength - promptTokens;
  if (
    asked === undefined &&
    maxNewTokens === undefined &&
    maxLength !== undefined &&
    maxLength <= promptTokens
  )
    throw new RequestError(
      `max_length ${maxLength} of the checkpoint's generation_config.json leaves no room after a prompt of ` +
        `${promptTokens} tokens; give maxTokens`,
    );
  const ofLength = maxLength === undefined ? room : maxLength - promptTokens;
  const wanted = asked ?? maxNewTokens ?? ofLength;
  if (wanted <= room) return wanted;
  const what = asked === undefined ? "the checkpoint's own limit on tokens" : "maxTokens";
  notes.push(
    `${what} lowered from ${wanted} to ${room}: the context holds ${maxSequenceLength} tokens, ` +
      `${promptTokens} of them the prompt's`,
  );
  return room;
}

/** Checks the tokens of an earlier run. @throws RequestError */
function readGenerated(
  { generated, logprobs, constraint }: CheckedRequest,
  components: EngineComponents,
  room: number,
): readonly number[] | undefined {
  if (generated === undefined || generated.length === 0) return undefined;
  const beside = logprobs !== undefined ? "logprobs" : constraint !== undefined ? "a constraint" : undefined;
  if (beside !== undefined)
    throw new RequestError(
      `generate: generated tokens beside ${beside}, which is not known of tokens of an earlier run; leave one of them out`,
    );
  if (generated.length > room)
    throw new RequestError(
      `generate: ${generated.length} generated tokens, but the context holds ${room} after the prompt; open the engine with a ` +
        "larger contextLength",
    );
  return checkTokens(generated, components, room);
}

/** Names what keys depend on besides tokens: who may see them, and RoPE. */
export function prefixRoot(salt: string | undefined, ropeRanges: readonly string[]): string {
  return JSON.stringify([salt ?? null, ...ropeRanges]);
}

/** The table of each RoPE that turns the keys of a sequence of at most `longest` tokens. */
export function ropeRanges({ ropes }: Pick<EngineComponents, "ropes">, longest: number): readonly string[] {
  return ropes.map((rope) => rope.rangeOf?.(longest) ?? "");
}

interface Prompt {
  readonly prompt: readonly number[];
  readonly start: OutputStart;
}

/** Tokenises the prompt and determines the start of the output. */
function readPrompt(
  request: CheckedRequest,
  components: EngineComponents,
  maxPromptTokens: number,
  notes: string[],
): Prompt {
  const { messages, prompt, tokenIds, startsInReasoning } = request;
  const { tokenizer, reasoningMarkers: markers } = components;
  const kind = startsInReasoning ? "reasoning" : "answer";
  if (tokenIds) {
    const ids = checkTokens(tokenIds, components, maxPromptTokens);
    const tail = tokenizer.decode(ids.slice(-TAIL_TOKENS));
    return { prompt: ids, start: { markers, kind, isAfterMarker: endsWithMarker(tail, markers) } };
  }
  if (messages) {
    const { text, start } = renderChat(messages, request.chatTemplateOptions ?? {}, components, notes);
    const ids = encode(text, components, maxPromptTokens, false);
    return { prompt: ids, start: startsInReasoning === undefined ? start : { ...start, kind } };
  }
  const text = prompt ?? "";
  const ids = encode(text, components, maxPromptTokens, true);
  notes.push(...doubledStart(text, ids, components));
  return { prompt: ids, start: { markers, kind, isAfterMarker: endsWithMarker(text, markers) } };
}

/** Checks and copies token ids. Refuses a length before it allocates anything of that length. */
export function checkTokens(
  ids: ArrayLike<number>,
  { backend }: EngineComponents,
  maxPromptTokens: number,
): number[] {
  const { vocabSize } = backend.model;
  checkLength(ids.length, "", maxPromptTokens);
  const tokens = Array.from(ids);
  for (const id of tokens)
    if (typeof id === "bigint")
      throw new RequestError(
        `token id ${id} is a bigint; give numbers, as Array.from(ids, Number) makes them`,
      );
    else if (!Number.isSafeInteger(id) || id < 0 || id >= vocabSize)
      throw new RequestError(
        `token id ${String(id)} is not in the vocabulary of ${vocabSize} tokens (0 to ${vocabSize - 1})`,
      );
  return tokens;
}

/** Notes that the tokenizer added a token with which a prompt already begins, such as BOS of a chat that the caller rendered. */
function doubledStart(text: string, ids: readonly number[], { tokenizer }: EngineComponents): string[] {
  const [first, second] = ids;
  const token = first !== undefined && first === second ? tokenizer.token(first) : undefined;
  if (token === undefined || !text.startsWith(token) || text.startsWith(token.repeat(2))) return [];
  return [
    `the prompt begins with ${token}, and the tokenizer adds another; leave it out, unless the model should see two`,
  ];
}

/**
 * Tokenises a text. Refuses a text that cannot fit by its length, before tokenising it. A text of fewer characters than the
 * context has tokens is tokenised at once: the bound takes 40 ms for Gemma's vocabulary, the first time.
 */
export function encode(
  text: string,
  { tokenizer }: EngineComponents,
  maxPromptTokens: number,
  addSpecialTokens: boolean,
): number[] {
  if (text.length > maxPromptTokens) checkLength(tokenizer.minTokens(text), "at least ", maxPromptTokens);
  const ids = tokenizer.encode(text, { addSpecialTokens });
  checkLength(ids.length, "", maxPromptTokens);
  return ids;
}

function checkLength(length: number, qualifier: string, maxPromptTokens: number): void {
  if (length > maxPromptTokens)
    throw new RequestError(
      `the prompt has ${qualifier}${length} tokens, but the context holds ${maxPromptTokens} besides what is generated; ` +
        "shorten the prompt or open the engine with a larger contextLength",
    );
  if (length === 0 && qualifier === "")
    throw new RequestError("the prompt is empty; give at least one token");
}

/** Renders a chat. Only the generation prompt decides whether the output starts in the reasoning. */
function renderChat(
  messages: readonly ChatMessage[],
  variables: Readonly<Record<string, unknown>>,
  { renderChat: render, reasoningMarkers: markers }: EngineComponents,
  notes: string[],
): { readonly text: string; readonly start: OutputStart } {
  const text = render(messages, { variables });
  const names = Object.keys(variables);
  if (names.length > 0 && attempt(() => render(messages)) === text)
    notes.push(`the chat template writes the same prompt without ${names.join(", ")}`);
  if (!hasMarker(text, markers)) return { text, start: { markers, kind: "answer", isAfterMarker: false } };
  const without = attempt(() => render(messages, { variables, addGenerationPrompt: false }));
  const isAsked = without !== undefined && text.length > without.length && text.startsWith(without);
  const prompt = isAsked
    ? text.slice(without.length)
    : afterLastMessage(text, messages, (some) => render(some, { variables }));
  return { text, start: startAfter(prompt, markers) };
}

/** Renders for information only; returns undefined if the template refuses. */
export function attempt(render: () => string): string | undefined {
  try {
    return render();
  } catch {
    return undefined;
  }
}

/** A private-use character that no template and no text contains. */
const END_OF_CONTENT = "\u{10f8d1}";

/**
 * Returns the text after the last message, for templates that always append their generation prompt. A mark at the end of
 * the message's content finds its place.
 */
function afterLastMessage(
  text: string,
  messages: readonly ChatMessage[],
  render: (messages: readonly ChatMessage[]) => string,
): string {
  const last = messages.at(-1);
  const content = last?.content ?? "";
  const marked =
    typeof content === "string"
      ? content + END_OF_CONTENT
      : [...content, { type: "text", text: END_OF_CONTENT }];
  const rendered =
    attempt(() => render([...messages.slice(0, -1), { role: "user", ...last, content: marked }])) ?? "";
  const at = rendered.lastIndexOf(END_OF_CONTENT);
  const after = at < 0 ? "" : rendered.slice(at + END_OF_CONTENT.length);
  return text.endsWith(after) ? after : "";
}

/**
 * Returns a key of a bound policy: of a spec its settings, of a value its identity, since equal settings may hide other functions.
 * attention: as the request or the engine names it
 */
export function keyOf(attention: AttentionPolicy | string, bound: AttentionPolicy): unknown {
  if (typeof attention !== "string") return attention;
  return `${bound.name}:${JSON.stringify(bound.settings)}:${bound.selectionLayersFrom ?? ""}`;
}
