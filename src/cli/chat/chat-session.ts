/** A conversation in the terminal and its settings; knows no terminal and no engine. */
import { isObject } from "../../base/is-object.ts";
import { printValue } from "../../base/print-value.ts";
import type { ChatMessage, GenerationRequest, GenerationResult } from "../../engine/request.ts";
import { parseConversation } from "../conversation.ts";

/** Reasoning as the template has it; on, off, or at most so many tokens. */
export type Thinking = "default" | "on" | "off" | number;

export interface ChatSettings {
  /** Default: the engine's. */
  readonly attention?: string;
  readonly thinking: Thinking;
  readonly system?: string;
}

const FORMAT = "lessismore-chat-1";

export class ChatSession {
  settings: ChatSettings;
  #messages: readonly ChatMessage[] = [];

  constructor(settings: ChatSettings) {
    this.settings = settings;
  }

  /** Without the system message. */
  get messages(): readonly ChatMessage[] {
    return this.#messages;
  }

  /** Adds what the user says. */
  ask(text: string): void {
    this.#messages = [...this.#messages, { role: "user", content: text }];
  }

  /** Adds the answer to the last question. A stopped one is kept as far as it came. */
  answer({ answer, reasoning }: Pick<GenerationResult, "answer" | "reasoning">): void {
    const reply = {
      role: "assistant",
      content: answer,
      ...(reasoning !== "" && { reasoning_content: reasoning }),
    };
    this.#messages = [...this.#messages, reply];
  }

  /** Takes back the last question: it got no answer at all. Returns it. */
  takeBack(): string {
    const last = this.#messages.at(-1);
    if (last?.role !== "user") return "";
    this.#messages = this.#messages.slice(0, -1);
    return typeof last.content === "string" ? last.content : "";
  }

  /** Drops the last answer, so that the question before it is asked again. False if there is none. */
  dropAnswer(): boolean {
    if (this.#messages.at(-1)?.role !== "assistant") return false;
    this.#messages = this.#messages.slice(0, -1);
    return true;
  }

  reset(): void {
    this.#messages = [];
  }

  /** What the engine is asked for the last question. */
  request(): GenerationRequest {
    const { attention, thinking, system } = this.settings;
    const messages =
      system === undefined ? this.#messages : [{ role: "system", content: system }, ...this.#messages];
    return {
      messages,
      ...(attention !== undefined && { attention }),
      ...(thinking !== "default" && { chatTemplateOptions: { enable_thinking: thinking !== "off" } }),
      ...(typeof thinking === "number" && { thinkingBudget: thinking }),
    };
  }

  /** As a file keeps it. */
  toText(): string {
    const { attention, thinking, system } = this.settings;
    const kept = { format: FORMAT, attention, thinking, system, messages: this.#messages };
    return `${JSON.stringify(kept, undefined, 2)}\n`;
  }

  /** Takes the conversation and the settings of a file. @throws Error that says what is wrong with it */
  fromText(text: string, name: string): void {
    const kept: unknown = JSON.parse(text);
    if (!isObject(kept) || kept.format !== FORMAT)
      throw new Error(`${name}: expected a conversation that /save wrote ("format": "${FORMAT}")`);
    const { attention, thinking, system, messages } = kept;
    const settings = {
      thinking: readThinking(thinking, name),
      ...(attention !== undefined && { attention: textOf(attention, "attention", name) }),
      ...(system !== undefined && { system: textOf(system, "system", name) }),
    };
    const isEmpty = Array.isArray(messages) && messages.length === 0;
    this.#messages = isEmpty ? [] : parseConversation(messages, name);
    this.settings = settings;
  }
}

function readThinking(value: unknown, name: string): Thinking {
  if (value === "default" || value === "on" || value === "off") return value;
  if (typeof value === "number" && Number.isSafeInteger(value) && value >= 0) return value;
  throw new Error(
    `${name}: thinking must be default, on, off or a number of tokens, got ${printValue(value)}`,
  );
}

function textOf(value: unknown, key: string, name: string): string {
  if (typeof value === "string") return value;
  throw new Error(`${name}: ${key} must be a text, got ${printValue(value)}`);
}
