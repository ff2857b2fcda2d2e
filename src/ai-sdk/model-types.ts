/**
 * The parts of the AI SDK's LanguageModel that this package reads and gives, by their structure: versions 3 and 4 share them, and a program needs the types
 * of neither. `types.test.ts` proves that both accept them.
 */

export type Json = null | string | number | boolean | Json[] | { [key: string]: Json | undefined };

/** Versions of the interface: "v3" is that of `ai` 6 (and 7 takes it, too), "v4" that of `ai` 7. */
export type SpecificationVersion = "v3" | "v4";

/** A part of a message. Its other members depend on the type and are checked where they are read. */
export interface PromptPart {
  readonly type: string;
}

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

export type Warning =
  | { type: "unsupported"; feature: string; details?: string }
  | { type: "other"; message: string };

export interface Usage {
  inputTokens: {
    total: number | undefined;
    noCache: number | undefined;
    cacheRead: number | undefined;
    cacheWrite: number | undefined;
  };
  outputTokens: { total: number | undefined; text: number | undefined; reasoning: number | undefined };
}

export interface FinishReason {
  unified: "stop" | "length" | "tool-calls" | "error";
  raw: string | undefined;
}

export type ProviderMetadata = Record<string, { [key: string]: Json | undefined }>;

export type Content =
  | { type: "reasoning"; text: string }
  | { type: "text"; text: string }
  | { type: "tool-call"; toolCallId: string; toolName: string; input: string };

export interface GenerateResult {
  content: Content[];
  finishReason: FinishReason;
  usage: Usage;
  providerMetadata: ProviderMetadata;
  response: { timestamp: Date; modelId: string };
  warnings: Warning[];
}

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
  doGenerate(options: CallOptions): Promise<GenerateResult>;
  doStream(options: CallOptions): Promise<{ stream: ReadableStream<StreamPart> }>;
}
