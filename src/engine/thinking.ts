/** Reasoning markers in text: the start of the output after a prompt, and the runs of text between markers. */
import type { PartKind } from "./request.ts";

const OPEN = "<think>";
const CLOSE = "</think>";
const MARKER = /<\/?think>/g;
const ENDS_WITH_MARKER = /<\/?think>[ \t\r\n]*$/;

/** The state in which the output starts. */
export interface OutputStart {
  readonly kind: PartKind;
  /** True if only white space separates the output from a reasoning marker before it. */
  readonly isAfterMarker: boolean;
}

/** Returns the start of an output after a text: by the text's last marker, or the answer without a marker. */
export function startAfter(text: string): OutputStart {
  const last = text.match(MARKER)?.at(-1);
  return { kind: last === OPEN ? "reasoning" : "answer", isAfterMarker: endsWithMarker(text) };
}

export function endsWithMarker(text: string): boolean {
  return ENDS_WITH_MARKER.test(text);
}

export function hasMarker(text: string): boolean {
  return text.includes(OPEN) || text.includes(CLOSE);
}

/** A run of the output's text. Each marker is a separate run. */
export interface TextRun {
  readonly kind: PartKind | "marker";
  readonly text: string;
}

/**
 * Splits a stream of text into reasoning, answer and markers. It finds markers in the text, whatever tokens spell them.
 * Exception: in the middle of a line of the answer, a marker of several tokens is prose about the marker.
 */
export class ThinkingSplitter {
  #kind: PartKind;
  /** The end of the stream, while it may become a marker. */
  #held = "";
  /** True if the current line has text. */
  #isMidLine = false;

  constructor(kind: PartKind) {
    this.#kind = kind;
  }

  /** piece: the whole characters that one token completes. */
  push(piece: string): TextRun[] {
    const token = piece.trim();
    const isOneToken = token === OPEN || token === CLOSE;
    const runs: TextRun[] = [];
    let rest = this.#held + piece;
    for (;;) {
      const at = rest.search(MARKER);
      if (at < 0) break;
      const marker = rest.startsWith(OPEN, at) ? OPEN : CLOSE;
      this.#addText(runs, rest.slice(0, at));
      rest = rest.slice(at + marker.length);
      if (this.#kind === "answer" && this.#isMidLine && !isOneToken) this.#addText(runs, marker);
      else this.#addMarker(runs, marker);
    }
    const hold = Math.max(overlap(rest, OPEN), overlap(rest, CLOSE));
    this.#addText(runs, rest.slice(0, rest.length - hold));
    this.#held = rest.slice(rest.length - hold);
    return runs;
  }

  /** Ends the stream; returns the text held back. */
  flush(): TextRun[] {
    const runs: TextRun[] = [];
    this.#addText(runs, this.#held);
    this.#held = "";
    return runs;
  }

  #addText(runs: TextRun[], text: string): void {
    if (text === "") return;
    runs.push({ kind: this.#kind, text });
    const line = text.slice(text.lastIndexOf("\n") + 1);
    this.#isMidLine = line.trim() !== "" || (this.#isMidLine && line.length === text.length);
  }

  #addMarker(runs: TextRun[], marker: string): void {
    runs.push({ kind: "marker", text: marker });
    this.#kind = marker === OPEN ? "reasoning" : "answer";
    this.#isMidLine = false;
  }
}

/** Returns the length of the longest suffix of `text` that is a proper prefix of `marker`. */
function overlap(text: string, marker: string): number {
  for (let n = Math.min(text.length, marker.length - 1); n > 0; n--)
    if (text.endsWith(marker.slice(0, n))) return n;
  return 0;
}
