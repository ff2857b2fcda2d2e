/** Budgets of reasoning, and the tokens by which the engine closes it. */
import type { ChatTemplate } from "../load/chat-template.ts";
import { type ReasoningMarkers, THINK_TAGS } from "../load/reasoning-markers.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { layoutAfter } from "./thinking.ts";

export interface ThinkingBudget {
  /** Tokens that the model may write inside its reasoning. */
  readonly tokens: number;
  /** Returns the tokens that close the reasoning after the tokens of prompt and output. */
  readonly closing: (tokens: readonly number[]) => readonly number[];
}

/** The parts of a checkpoint that say how its model reasons. */
interface ReasoningFormat {
  readonly tokenizer: Tokenizer;
  readonly renderChat: ChatTemplate;
  /** The texts of its templates. */
  readonly chatTemplates?: readonly string[];
  readonly reasoningMarkers: ReasoningMarkers;
}

/** What a model's chat format puts around its markers. */
interface MarkerLayout {
  readonly afterOpen: string;
  readonly beforeClose: string;
  readonly afterClose: string;
}

/** Formats of models whose templates write no reasoning: Qwen3, DeepSeek-R1 and SmolLM3 were trained on the first. */
const THINK_LAYOUT: MarkerLayout = { afterOpen: "\n", beforeClose: "\n", afterClose: "\n\n" };
const NO_LAYOUT: MarkerLayout = { afterOpen: "", beforeClose: "", afterClose: "" };

/** Private-use characters that no template contains. */
const REASONING = "\u{10f8d2}";
const ANSWER = "\u{10f8d3}";

/** Last tokens of prompt and output that may hold the opening marker and the white space after it. */
const TAIL_TOKENS = 16;

const layouts = new WeakMap<ReasoningFormat, MarkerLayout>();

/** Makes the budget of a request. @throws ModelFileError for a model without a tokenizer */
export function thinkingBudget(tokens: number, format: ReasoningFormat, notes: string[]): ThinkingBudget {
  const { tokenizer, chatTemplates = [], reasoningMarkers: markers } = format;
  const { open, close } = markers;
  const isKnown =
    tokenizer.tokenId(close) !== undefined ||
    chatTemplates.some((text) => text.includes(open) || text.includes(close));
  if (!isKnown)
    notes.push(
      `thinkingBudget ${tokens} may have no effect: neither the vocabulary nor a chat template of the model has ${close}`,
    );
  const layout = layouts.get(format) ?? layoutOf(format);
  layouts.set(format, layout);
  return {
    tokens,
    closing: (known) => {
      const tail = tokenizer.decode(known.slice(-TAIL_TOKENS));
      return tokenizer.encode(closingAfter(tail, open, close, layout), { addSpecialTokens: false });
    },
  };
}

/** Returns the text that closes reasoning which ends with `tail`, without the white space that is there already. */
function closingAfter(tail: string, open: string, close: string, layout: MarkerLayout): string {
  const { afterOpen, beforeClose, afterClose } = layout;
  const end = beforeClose + close + afterClose;
  const opened = layoutAfter(tail, open);
  if (opened !== undefined) return opened === "" ? afterOpen + end : end;
  let present = 0;
  while (present < beforeClose.length && tail.endsWith(beforeClose.slice(0, present + 1))) present++;
  return end.slice(present);
}

/** Finds the layout by a chat that the template renders; models whose templates leave reasoning out have that of their markers. */
function layoutOf({ renderChat, reasoningMarkers: { open, close } }: ReasoningFormat): MarkerLayout {
  const usual = close === THINK_TAGS.close ? THINK_LAYOUT : NO_LAYOUT;
  let text: string;
  try {
    text = renderChat(
      [
        { role: "user", content: "?" },
        { role: "assistant", content: ANSWER, reasoning_content: REASONING },
      ],
      { addGenerationPrompt: false },
    );
  } catch {
    return usual; // there is no template, or it refuses such a chat
  }
  const [before, rest] = splitAt(text, REASONING);
  const [between, afterAnswer] = splitAt(rest, ANSWER);
  const [beforeClose, afterClose] = splitAt(between, close);
  if (afterAnswer === "" || between === beforeClose) return usual;
  const openAt = before.lastIndexOf(open);
  const afterOpen = openAt < 0 ? "" : before.slice(openAt + open.length);
  return { afterOpen, beforeClose, afterClose };
}

/** Splits a text at the first occurrence of another; the second part is empty if it does not occur. */
function splitAt(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + separator.length)];
}
