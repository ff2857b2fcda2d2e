import type { GenerationResult } from "lessismore";
import type { TaskName } from "../../../eval/problems/index.ts";

/** How the model may think. */
export type Thinking =
  | { readonly kind: "free" }
  | { readonly kind: "off" }
  | { readonly kind: "budget"; readonly tokens: number };

/** A problem whose right answer the page knows. */
export interface KnownProblem {
  readonly task: TaskName;
  readonly answer: string;
}

/** What a run was asked for: enough to go on after a reload. */
export interface RunSettings {
  readonly model: string;
  readonly attention: string;
  readonly thinking: Thinking;
  readonly seed: number;
}

export interface UserMessage {
  readonly role: "user";
  readonly id: string;
  readonly content: string;
  readonly problem?: KnownProblem | undefined;
}

/** running: also a run that a reload has cut. */
export type RunState = "running" | "done" | "stopped" | "failed";

export interface RunFigures {
  readonly promptTokens: number;
  readonly tokens: number;
  readonly msPerToken: number;
  readonly attendedFraction: number;
  readonly backend: string;
  readonly finishReason: GenerationResult["finishReason"];
}

export interface AssistantMessage {
  readonly role: "assistant";
  readonly id: string;
  readonly settings: RunSettings;
  readonly state: RunState;
  readonly reasoning: string;
  readonly answer: string;
  /** All tokens so far, those of markers included. */
  readonly tokenIds: readonly number[];
  readonly figures?: RunFigures | undefined;
  /** True or false once a problem whose answer is known is solved. */
  readonly isRight?: boolean | undefined;
  readonly notes?: readonly string[] | undefined;
  readonly error?: string | undefined;
}

export type Message = UserMessage | AssistantMessage;

export interface Conversation {
  readonly id: string;
  readonly title: string;
  /** Milliseconds since 1970. */
  readonly updatedAt: number;
  readonly messages: readonly Message[];
}

/** Characters of a title. */
const TITLE_LENGTH = 60;

export function emptyConversation(): Conversation {
  return { id: crypto.randomUUID(), title: "", updatedAt: Date.now(), messages: [] };
}

/** The first line of the first message, cut. */
export function titleOf(messages: readonly Message[]): string {
  const first = messages.find(({ role }) => role === "user") as UserMessage | undefined;
  const line = first?.content.split("\n", 1)[0] ?? "";
  return line.length > TITLE_LENGTH ? `${line.slice(0, TITLE_LENGTH - 1)}…` : line;
}
