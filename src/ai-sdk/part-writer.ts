import type { GenerationPart, PartKind } from "../engine/request.ts";
import type { ToolCallParser, ToolEvent } from "../tools/tool-call-parser.ts";
import type { Content, StreamPart } from "./model-types.ts";

type OutputPart = Pick<GenerationPart, "kind" | "text">;

/** A run of parts of one kind. */
interface Block {
  readonly kind: "reasoning" | "text";
  readonly id: string;
}

/** A call of a tool that the model is writing. */
interface OpenCall {
  readonly id: string;
  readonly name: string;
  input: string;
}

const KINDS: Readonly<Record<PartKind, Block["kind"]>> = { reasoning: "reasoning", answer: "text" };

/** Writes the parts of an output as those of the AI SDK: runs of reasoning, of text, and calls of tools. */
export class PartWriter {
  readonly #parser: ToolCallParser | undefined;
  readonly #calls = new Map<number, OpenCall>();
  #block: Block | undefined;
  #numBlocks = 0;
  #numCalls = 0;
  /** Names of the tools whose calls the output left open. */
  readonly brokenCalls: string[] = [];

  /** parser: present if the model may call tools */
  constructor(parser: ToolCallParser | undefined) {
    this.#parser = parser;
  }

  /** Whole calls so far. */
  get numCalls(): number {
    return this.#numCalls;
  }

  push({ kind, text }: OutputPart): StreamPart[] {
    const parts: StreamPart[] = [];
    if (kind === "reasoning" || !this.#parser) this.#write(parts, KINDS[kind], text);
    else for (const event of this.#parser.push(text)) this.#take(parts, event);
    return parts;
  }

  /** Ends the output. */
  end(): StreamPart[] {
    const parts: StreamPart[] = [];
    for (const event of this.#parser?.finish() ?? []) this.#take(parts, event);
    this.#endBlock(parts);
    return parts;
  }

  #write(parts: StreamPart[], kind: Block["kind"], text: string): void {
    if (text === "") return;
    if (this.#block?.kind !== kind) this.#endBlock(parts);
    if (!this.#block) {
      this.#block = { kind, id: String(this.#numBlocks++) };
      parts.push({ type: `${kind}-start`, id: this.#block.id });
    }
    parts.push({ type: `${kind}-delta`, id: this.#block.id, delta: text });
  }

  #endBlock(parts: StreamPart[]): void {
    if (this.#block) parts.push({ type: `${this.#block.kind}-end`, id: this.#block.id });
    this.#block = undefined;
  }

  #take(parts: StreamPart[], event: ToolEvent): void {
    if (event.kind === "text") {
      this.#write(parts, "text", event.text);
      return;
    }
    if (event.kind === "call") {
      this.#endBlock(parts);
      const { id = callId(), name } = event;
      this.#calls.set(event.index, { id, name, input: "" });
      parts.push({ type: "tool-input-start", id, toolName: name });
      return;
    }
    const call = this.#calls.get(event.index);
    if (!call) return;
    if (event.kind === "arguments") {
      call.input += event.text;
      parts.push({ type: "tool-input-delta", id: call.id, delta: event.text });
      return;
    }
    parts.push({ type: "tool-input-end", id: call.id });
    this.#calls.delete(event.index);
    if (!event.isWhole) this.brokenCalls.push(call.name);
    else {
      this.#numCalls++;
      parts.push({ type: "tool-call", toolCallId: call.id, toolName: call.name, input: call.input });
    }
  }
}

/** Joins parts to the contents of a whole output. */
export function contentOf(parts: readonly StreamPart[]): Content[] {
  const content: Content[] = [];
  for (const part of parts) {
    const last = content.at(-1);
    if (part.type === "tool-call") content.push({ ...part });
    else if (part.type === "reasoning-start" || part.type === "text-start")
      content.push({ type: part.type === "text-start" ? "text" : "reasoning", text: "" });
    else if ((part.type === "reasoning-delta" || part.type === "text-delta") && last && "text" in last)
      last.text += part.delta;
  }
  return content;
}

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

/** Nine letters and digits: templates of Mistral refuse other ids. */
function callId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(9)), (byte) => LETTERS[byte % LETTERS.length]).join(
    "",
  );
}
