/** The choices of a chat completion, whole and in chunks. */
import type { GenerationPart, GenerationResult } from "../engine/request.ts";
import type { ToolPlan } from "../tools/plan-tools.ts";
import type { ToolCallParser, ToolEvent } from "../tools/tool-call-parser.ts";
import { type ChoiceLogprobs, chatLogprobs, logprobsOf } from "./logprobs.ts";
import { type ReplyShape, reasoningOf } from "./reply.ts";

interface ToolCall {
  readonly id: string;
  readonly type: "function";
  readonly function: { readonly name: string; arguments: string };
}

/** Messages and deltas of one call of the API, whose choices may call tools. */
export class ChatShape implements ReplyShape {
  readonly idPrefix = "chatcmpl-";
  readonly object = "chat.completion";
  readonly chunkObject = "chat.completion.chunk";
  readonly #plan: ToolPlan | undefined;
  /** The parser of each streamed choice. */
  readonly #parsers = new Map<number, ToolCallParser>();

  constructor(plan: ToolPlan | undefined) {
    this.#plan = plan;
  }

  whole(index: number, result: GenerationResult, logprobs: ChoiceLogprobs | undefined): object {
    const { text, calls } = readCalls(result.answer, this.#plan?.createParser());
    const message = {
      ...{ role: "assistant", content: calls.length > 0 && text === "" ? null : text, refusal: null },
      ...reasoningOf(result.reasoning),
      ...(calls.length > 0 && { tool_calls: calls }),
    };
    return {
      ...{ index, message, logprobs: chatLogprobs(logprobs) },
      finish_reason: finishOf(result, calls.length > 0),
    };
  }

  first(index: number): object {
    return delta(index, { role: "assistant", content: "" });
  }

  part(index: number, part: GenerationPart): readonly object[] {
    const logprobs = chatLogprobs(logprobsOf(part));
    const values = this.#deltasOf(index, part);
    if (logprobs !== null && values.length === 0) values.push({}); // the parser holds the text, not its tokens
    return values.map((value, i) => ({ ...delta(index, value), logprobs: i === 0 ? logprobs : null }));
  }

  last(index: number, result: GenerationResult): readonly object[] {
    const parser = this.#parsers.get(index);
    const rest = (parser?.finish() ?? []).flatMap(deltaOf);
    const finish = finishOf(result, parser !== undefined && parser.numCalls > 0);
    return [...rest.map((value) => delta(index, value)), delta(index, {}, finish)];
  }

  #deltasOf(index: number, { kind, text }: GenerationPart): object[] {
    if (kind === "reasoning") return [reasoningOf(text)];
    if (!this.#plan) return [{ content: text }];
    const parser = this.#parsers.get(index) ?? this.#plan.createParser();
    this.#parsers.set(index, parser);
    return parser.push(text).flatMap(deltaOf);
  }
}

/** An output that its limit cut says so, calls or not. */
function finishOf({ finishReason }: GenerationResult, hasCalls: boolean): string {
  return finishReason === "stop" && hasCalls ? "tool_calls" : finishReason;
}

function delta(index: number, value: object, finish: string | null = null): object {
  return { index, delta: value, logprobs: null, finish_reason: finish };
}

function deltaOf(event: ToolEvent): object[] {
  switch (event.kind) {
    case "text":
      return [{ content: event.text }];
    case "call":
      return [{ tool_calls: [{ index: event.index, ...callOf(event) }] }];
    case "arguments":
      return [{ tool_calls: [{ index: event.index, function: { arguments: event.text } }] }];
    case "end":
      return [];
  }
}

function callOf({ name, id = callId() }: Extract<ToolEvent, { readonly kind: "call" }>): ToolCall {
  return { id, type: "function", function: { name, arguments: "" } };
}

/** Nine letters and digits: templates of Mistral refuse other ids. */
function callId(): string {
  return crypto.randomUUID().replaceAll("-", "").slice(0, 9);
}

/** Splits a whole answer into text and calls. */
function readCalls(
  answer: string,
  parser: ToolCallParser | undefined,
): { readonly text: string; readonly calls: readonly ToolCall[] } {
  if (!parser) return { text: answer, calls: [] };
  const calls: ToolCall[] = [];
  let text = "";
  for (const event of [...parser.push(answer), ...parser.finish()])
    if (event.kind === "text") text += event.text;
    else if (event.kind === "call") calls[event.index] = callOf(event);
    else {
      const call = calls[event.index];
      if (call && event.kind === "arguments") call.function.arguments += event.text;
    }
  return { text, calls };
}
