/** A prompt of the AI SDK as messages of a chat template. */
import { RequestError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ChatMessage } from "../engine/request.ts";
import type { PromptMessage, PromptPart } from "./model-types.ts";

/** @throws RequestError on a part that is no text, which these models do not read */
export function readPrompt(prompt: readonly PromptMessage[]): ChatMessage[] {
  return prompt.flatMap(({ role, content }, i): ChatMessage | ChatMessage[] => {
    const at = `prompt[${i}]`;
    if (typeof content === "string") return { role, content };
    if (role === "assistant") return readAssistant(content, at);
    if (role === "tool") return content.flatMap((part, j) => readToolResult(part, `${at}.content[${j}]`));
    return { role, content: content.map((part, j) => textOf(part, `${at}.content[${j}]`)).join("\n") };
  });
}

/** Members of a part besides its type. */
type Members = Readonly<Record<string, unknown>>;

function textOf(part: PromptPart, at: string): string {
  const { text, mediaType }: Members = { ...part };
  if (part.type === "text" && typeof text === "string") return text;
  const what =
    part.type === "file"
      ? `a file (${printValue(mediaType)})`
      : `a part of the type ${printValue(part.type)}`;
  throw new RequestError(
    `lessismore: ${at} is ${what}; this model reads text alone, so leave it out or describe it in text`,
  );
}

/** An answer of the model: its text, its reasoning as templates know it, and its calls of tools. */
function readAssistant(parts: readonly PromptPart[], at: string): ChatMessage {
  const texts: string[] = [];
  const reasoning: string[] = [];
  const calls: object[] = [];
  for (const [j, part] of parts.entries()) {
    const { text, toolCallId, toolName, input }: Members = { ...part };
    if (part.type === "reasoning" && typeof text === "string") reasoning.push(text);
    else if (part.type === "tool-call")
      // as a value: few templates read the text of OpenAI's API
      calls.push({ id: toolCallId, type: "function", function: { name: toolName, arguments: input } });
    else texts.push(textOf(part, `${at}.content[${j}]`));
  }
  return {
    role: "assistant",
    content: texts.join(""),
    ...(reasoning.length > 0 && { reasoning_content: reasoning.join("") }),
    ...(calls.length > 0 && { tool_calls: calls }),
  };
}

/** The result of a tool; an approval is no result. */
function readToolResult(part: PromptPart, at: string): ChatMessage[] {
  if (part.type === "tool-approval-response") return [];
  const { toolCallId, toolName, output }: Members = { ...part };
  if (part.type !== "tool-result" || !isObject(output)) textOf(part, at); // throws
  return [
    { role: "tool", tool_call_id: toolCallId, name: toolName, content: outputText(output as Members, at) },
  ];
}

function outputText({ type, value, reason }: Members, at: string): string {
  switch (type) {
    case "text":
    case "error-text":
      return String(value);
    case "execution-denied":
      return typeof reason === "string" ? reason : "The tool was not run: its use was denied.";
    case "content": {
      const parts = Array.isArray(value) ? (value as readonly PromptPart[]) : [];
      return parts.map((part, j) => textOf(part, `${at}.output.value[${j}]`)).join("\n");
    }
    default:
      return JSON.stringify(value) ?? "null"; // json, error-json
  }
}
