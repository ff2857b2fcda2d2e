import type { ChatMessage, GenerationRequest } from "lessismore";
import type { AssistantMessage, Message, RunSettings, Thinking } from "../conversations/conversation.ts";
import type { ModelChoice } from "../models/model-choice.ts";

/** The request for the answer that follows `before`. hasTemplate: false for a model that continues texts and cannot chat. */
export function buildRequest(
  model: ModelChoice,
  before: readonly Message[],
  { attention, thinking, seed }: RunSettings,
  hasTemplate = true,
): GenerationRequest {
  const last = before.at(-1);
  return {
    ...(hasTemplate
      ? { messages: messagesFor(model, before) }
      : { prompt: last?.role === "user" ? last.content : "" }),
    attention,
    seed,
    ...(model.readsOneMessage && { temperature: 0 }), // it computes, and has nothing to choose from
    ...(hasTemplate && thinkingOptions(thinking)),
  };
}

/** What the model reads: a conversation, or the last message. Reasoning of earlier answers is left out, as chat templates do. */
export function messagesFor(model: ModelChoice, before: readonly Message[]): ChatMessage[] {
  const read = model.readsOneMessage ? before.slice(-1) : before.filter(hasText);
  return read.map((message) => ({
    role: message.role,
    content: message.role === "user" ? message.content : message.answer,
  }));
}

function hasText(message: Message): boolean {
  return message.role === "user" || (message as AssistantMessage).answer !== "";
}

function thinkingOptions(thinking: Thinking): Partial<GenerationRequest> {
  switch (thinking.kind) {
    case "free":
      return {};
    case "off":
      // templates that know the variable close the reasoning themselves; the budget does it for all others
      return { chatTemplateOptions: { enable_thinking: false }, thinkingBudget: 0 };
    case "budget":
      return { thinkingBudget: thinking.tokens };
  }
}
