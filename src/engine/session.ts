/** A conversation's cache outside its engine. */
import type { AttentionPolicy } from "../attention/policy.ts";
import type { GenerationRequest } from "./request.ts";

/**
 * Names a conversation as its requests do: exactly one of `messages`, `prompt` and `tokenIds`. Of messages that end with an answer the session
 * is what every next turn begins with. `maxTokens`: of the requests of the conversation; it matters for models whose RoPE depends on
 * the length. `reusesDecoded`: also saves tokens as an answer's decoding cached them, for requests of the same attention that ask for them.
 */
export type SessionRequest = Pick<
  GenerationRequest,
  | "messages"
  | "prompt"
  | "tokenIds"
  | "chatTemplateOptions"
  | "attention"
  | "maxTokens"
  | "cacheSalt"
  | "reusesDecoded"
  | "signal"
>;

/** How to save or load a session. */
export interface SessionOptions {
  /** Attention of the turns to come: a gate of it takes its data from the session, and notes say what it cannot use. Default: the engine's own. */
  readonly attention?: AttentionPolicy | string;
  /** Salt of the requests that may find it. Default: that of requests without one. */
  readonly cacheSalt?: string;
  readonly signal?: AbortSignal;
}

/** What `saveSession` made of a conversation. */
export interface SavedSession {
  /** A safetensors file. Its buffer is the caller's. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** Tokens whose keys and values it has: whole pages, so that the last few of the conversation are not among them. */
  readonly tokens: number;
  /** Those of them that decoding cached, or that were computed after such tokens: 0 without `reusesDecoded`. */
  readonly decodedTokens: number;
  readonly notes: readonly string[];
}

/** What `loadSession` put into the cache. */
export interface LoadedSession {
  /** Tokens of the session, which requests that begin with them find in the cache. */
  readonly tokens: number;
  /** Those that only requests with `reusesDecoded` and the same attention find. */
  readonly decodedTokens: number;
  /** What turns to come cannot use, and a backend other than the one that computed the session. */
  readonly notes: readonly string[];
}
