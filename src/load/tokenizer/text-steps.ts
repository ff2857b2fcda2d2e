/** Decode steps over tokens, and over one text that arrives in pieces. */
import type { DecodeStep } from "./decode-step.ts";

/** Changes each token independently. */
export function mapping(change: (token: string) => string): DecodeStep {
  return { push: (token) => [change(token)], end: () => [] };
}

/** Collects the whole text and passes it to a step as one token. */
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

/** Replaces `from` in the text. Holds back the longest suffix that may begin a match. */
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

/** Returns the length of the longest proper prefix of `wanted` that ends the text. */
function prefixAtEnd(text: string, wanted: string): number {
  for (let length = Math.min(text.length, wanted.length - 1); length > 0; length--)
    if (text.endsWith(wanted.slice(0, length))) return length;
  return 0;
}

/** Strips up to `start` and `stop` copies of `content` at the two ends of the text. Holds back copies that may end it. */
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
