/**
 * The parts of the AI SDK's LanguageModel that this package reads and gives, by their structure: versions 3 and 4 share them, and a program needs the types
 * of neither. `types.test.ts` proves that both accept them.
 */

/** A value of JSON. */
export type Json = null | string | number | boolean | Json[] | { [key: string]: Json | undefined };

/** Versions of the interface: "v3" is that of `ai` 6 (and 7 takes it, too), "v4" that of `ai` 7. */
export type SpecificationVersion = "v3" | "v4";

/** A part of a message. Its other members depend on the type and are checked where they are read. */
export interface PromptPart {
  readonly type: string;
}

/** A message of a prompt. */
export interface PromptMessage {
  readonly role: "system" | "user" | "assistant" | "tool";
  readonly content: string | readonly PromptPart[];
}

/** A tool: of type "function" with a JSON schema of its input, or one that a provider runs. */
export interface GivenTool {
  readonly type: string;
  readonly name: string;
  readonly description?: string | undefined;
  readonly inputSchema?: unknown;
}

/** Whether the model calls a tool, and which. */
export interface GivenToolChoice {
  readonly type: "auto" | "none" | "required" | "tool";
  readonly toolName?: string | undefined;
}

/** What a call may ask. */
export interface CallOptions {
  readonly prompt: readonly PromptMessage[];
  readonly maxOutputTokens?: number | undefined;
  readonly temperature?: number | undefined;
  readonly stopSequences?: readonly string[] | undefined;
  readonly topP?: number | undefined;
  readonly topK?: number | undefined;
  readonly presencePenalty?: number | undefined;
  readonly frequencyPenalty?: number | undefined;
  readonly seed?: number | undefined;
  readonly responseFormat?: { readonly type: "text" | "json"; readonly schema?: unknown } | undefined;
  readonly tools?: readonly GivenTool[] | undefined;
  readonly toolChoice?: GivenToolChoice | undefined;
  /** Of version 4: "provider-default" or an effort. */
  readonly reasoning?: string | undefined;
  readonly abortSignal?: AbortSignal | undefined;
  readonly providerOptions?: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;
}

/** A setting that the engine does not have, or a note of its result. */
export type Warning =
  | { type: "unsupported"; feature: string; details?: string }
  | { type: "other"; message: string };

/** Tokens of a call. */
export interface Usage {
  inputTokens: {
    total: number | undefined;
    noCache: number | undefined;
    cacheRead: number | undefined;
    cacheWrite: number | undefined;
  };
  outputTokens: { total: number | undefined; text: number | undefined; reasoning: number | undefined };
}

/** Why a call ended: the SDK's word, and the engine's. */
export interface FinishReason {
  unified: "stop" | "length" | "tool-calls" | "error";
  raw: string | undefined;
}

/** What the engine tells beside the SDK's fields, under `lessismore`. */
export type ProviderMetadata = Record<string, { [key: string]: Json | undefined }>;

/** A part of an answer. */
export type Content =
  | { type: "reasoning"; text: string }
  | { type: "text"; text: string }
  | { type: "tool-call"; toolCallId: string; toolName: string; input: string };

/** A whole answer. */
export interface GenerateResult {
  content: Content[];
  finishReason: FinishReason;
  usage: Usage;
  providerMetadata: ProviderMetadata;
  response: { timestamp: Date; modelId: string };
  warnings: Warning[];
}

/** A part of a stream, as the SDK names them. */
export type StreamPart =
  | { type: "stream-start"; warnings: Warning[] }
  | { type: "response-metadata"; timestamp: Date; modelId: string }
  | { type: "reasoning-start"; id: string }
  | { type: "reasoning-delta"; id: string; delta: string }
  | { type: "reasoning-end"; id: string }
  | { type: "text-start"; id: string }
  | { type: "text-delta"; id: string; delta: string }
  | { type: "text-end"; id: string }
  | { type: "tool-input-start"; id: string; toolName: string }
  | { type: "tool-input-delta"; id: string; delta: string }
  | { type: "tool-input-end"; id: string }
  | { type: "tool-call"; toolCallId: string; toolName: string; input: string }
  | { type: "finish"; usage: Usage; finishReason: FinishReason; providerMetadata?: ProviderMetadata }
  | { type: "error"; error: unknown };

/** A language model of the AI SDK. */
export interface LessIsMoreLanguageModel<Version extends SpecificationVersion> {
  readonly specificationVersion: Version;
  readonly provider: string;
  readonly modelId: string;
  readonly supportedUrls: Record<string, RegExp[]>;
  /** Answers a call as a whole; the AI SDK calls it. */
  doGenerate(options: CallOptions): Promise<GenerateResult>;
  /** Answers a call in parts; the AI SDK calls it. */
  doStream(options: CallOptions): Promise<{ stream: ReadableStream<StreamPart> }>;
}
