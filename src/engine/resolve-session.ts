import { firstNamed } from "../attention/bind-attention.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { ResolvedRequest } from "./active-request.ts";
import type { EngineComponents } from "./engine-components.ts";
import type { ChatMessage, GenerationRequest } from "./request.ts";
import { checkSessionOptions, checkSessionRequest } from "./request-schema.ts";
import { attempt, encode, keyOf, resolveRequest, ropeRanges } from "./resolve-request.ts";
import type { SessionOptions, SessionRequest } from "./session.ts";

export type Bind = (attention: AttentionPolicy | string) => AttentionPolicy;

/** A conversation to save. */
export interface ResolvedSession {
  /** Computes what the cache lacks of it: a request of one token. */
  readonly request: ResolvedRequest;
  /** Range of each RoPE of its requests. */
  readonly ropeRanges: readonly string[];
}

/** Checks a call of `saveSession` and finds the tokens of the conversation. @throws RequestError, ConfigError */
export function resolveSession(
  given: SessionRequest,
  components: EngineComponents,
  bind: Bind,
): ResolvedSession {
  const { messages, chatTemplateOptions, ...request } = checkSessionRequest(given);
  const continued = messages && tokensOfEveryTurn(messages, chatTemplateOptions ?? {}, components);
  const source = continued ? { tokenIds: continued } : messages ? { messages, chatTemplateOptions } : {};
  const resolved = resolveRequest(
    { ...defined(request), ...defined(source), temperature: 0 },
    components,
    bind,
  );
  const ropeTokens = resolved.prompt.length + resolved.maxTokens - 1;
  return {
    request: { ...resolved, maxTokens: 1, ropeTokens },
    ropeRanges: ropeRanges(components, ropeTokens),
  };
}

/** Without keys whose value is undefined. */
function defined(options: object): GenerationRequest {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}

/**
 * The tokens with which every next turn of a conversation begins, if an answer comes last: those that two next questions share. A template
 * may write an answer otherwise once a question follows it, without its reasoning for example.
 */
function tokensOfEveryTurn(
  messages: readonly ChatMessage[],
  variables: Readonly<Record<string, unknown>>,
  components: EngineComponents,
): readonly number[] | undefined {
  if (messages.at(-1)?.role !== "assistant") return undefined;
  const { maxSequenceLength } = components.backend.capacity;
  const turn = (content: string) =>
    attempt(() => components.renderChat([...messages, { role: "user", content }], { variables }));
  const [one, other] = [turn("1"), turn("a")];
  const whole = components.renderChat(messages, { variables, addGenerationPrompt: false });
  // a template that takes no question here shows what it wrote before
  const texts = one === undefined || other === undefined ? [whole, whole] : [one, other];
  const [first = [], second = []] = texts.map((text) =>
    encode(text, components, maxSequenceLength - 1, false),
  );
  let length = 0;
  while (length < first.length && first[length] === second[length]) length++;
  return first.slice(0, length);
}

/** A session to load, besides its file. */
export interface ResolvedLoad {
  readonly policy: AttentionPolicy;
  readonly policyKey: unknown;
  readonly cacheSalt: string | undefined;
  readonly signal: AbortSignal | undefined;
}

/** Checks the options of a call of `loadSession`. @throws RequestError, ConfigError */
export function resolveLoad(given: SessionOptions, components: EngineComponents, bind: Bind): ResolvedLoad {
  const { attention: named, cacheSalt, signal } = checkSessionOptions(given);
  const attention = firstNamed(named, components.attention, components.attentionDefaults);
  const policy = bind(attention);
  return { policy, policyKey: keyOf(attention, policy), cacheSalt, signal };
}
