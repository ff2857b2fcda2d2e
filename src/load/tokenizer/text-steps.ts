/** Steps over tokens, and over one text that comes in pieces. */
import type { DecodeStep } from "./decode-step.ts";

/** A step that changes each token by itself. */
export function mapping(change: (token: string) => string): DecodeStep {
  return { push: (token) => [change(token)], end: () => [] };
}

/** Waits for the whole text and gives it to a step as one token. */
export function collecting(step: DecodeStep): DecodeStep {
  const parts: string[] = [];
  return {
    push: (piece) => {
      parts.push(piece);
      return [];
    },
    end: () => [...step.push(parts.join("")), ...step.end()],
  };
}

/** Replaces a text within the text; holds back what may be the beginning of a match. */
export function replacing(from: string, to: string): DecodeStep {
  let held = "";
  return {
    push: (piece) => {
      const parts = (held + piece).split(from);
      const rest = parts.pop() ?? "";
      const kept = prefixAtEnd(rest, from);
      held = rest.slice(rest.length - kept);
      return [parts.map((part) => part + to).join("") + rest.slice(0, rest.length - kept)];
    },
    end: () => [held],
  };
}

/** How many characters at the end of the text begin a match. */
function prefixAtEnd(text: string, wanted: string): number {
  for (let length = Math.min(text.length, wanted.length - 1); length > 0; length--)
    if (text.endsWith(wanted.slice(0, length))) return length;
  return 0;
}

/** Strips a character at the start and the end of the text; what may be the end is held back. */
export function stripping(content: string, start: number, stop: number): DecodeStep {
  let left = start;
  let held = 0;
  return {
    push: (piece) => {
      let text = content.repeat(held) + piece;
      held = 0;
      while (left > 0 && content !== "" && text.startsWith(content)) {
        text = text.slice(content.length);
        left--;
      }
      if (text !== "") left = 0;
      while (held < stop && content !== "" && text.endsWith(content)) {
        text = text.slice(0, -content.length);
        held++;
      }
      return [text];
    },
    end: () => [],
  };
}
