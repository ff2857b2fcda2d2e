/** Thinking markers in text: what state a prompt leaves the output in, and the runs of text between them. */
import type { PartKind } from "./request.ts";

const OPEN = "<think>";
const CLOSE = "</think>";
const MARKER = /<\/?think>/g;
const ENDS_WITH_MARKER = /<\/?think>[ \t\r\n]*$/;

/** Where the output goes on from. */
export interface OutputStart {
  readonly kind: PartKind;
  /** A thinking marker stands right before the output, but for white space. */
  readonly isAfterMarker: boolean;
}

/** The state that the last marker of a text leaves the output in; the answer where there is none. */
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

/** A run of the output. A marker is a run of its own. */
export interface TextRun {
  readonly kind: PartKind | "marker";
  readonly text: string;
}

/**
 * Cuts a stream of text into reasoning, answer and markers. Markers are found in the text, whatever tokens spell them.
 * One exception: in the middle of a line of the answer, a marker spelt over several tokens is prose about it.
 */
export class ThinkingSplitter {
  #kind: PartKind;
  /** The end of the stream so far, where it may become a marker. */
  #held = "";
  /** The current line of the answer has text. */
  #isMidLine = false;

  constructor(kind: PartKind) {
    this.#kind = kind;
  }

  /** piece: the text of one token, as far as it is whole characters. */
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

  /** What was held back; the stream has ended. */
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

/** Length of the longest end of `text` that is a proper beginning of `marker`. */
function overlap(text: string, marker: string): number {
  for (let n = Math.min(text.length, marker.length - 1); n > 0; n--)
    if (text.endsWith(marker.slice(0, n))) return n;
  return 0;
}
