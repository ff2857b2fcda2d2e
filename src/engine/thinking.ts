/** Reasoning markers in text: the start of the output after a prompt, and the runs of text between markers. */
import type { ReasoningMarkers } from "../load/reasoning-markers.ts";
import type { PartKind } from "./request.ts";

const LAYOUT_AT_END = /[ \t\r\n]*$/;

/** The state in which the output starts. */
export interface OutputStart {
  /** The model's own; the output is split at them. */
  readonly markers: ReasoningMarkers;
  readonly kind: PartKind;
  /** True if only white space separates the output from a reasoning marker before it. */
  readonly isAfterMarker: boolean;
}

/** Returns the start of an output after a text: by the text's last marker, or the answer without a marker. */
export function startAfter(text: string, markers: ReasoningMarkers): OutputStart {
  const isOpen = text.lastIndexOf(markers.open) > text.lastIndexOf(markers.close);
  return { markers, kind: isOpen ? "reasoning" : "answer", isAfterMarker: endsWithMarker(text, markers) };
}

export function endsWithMarker(text: string, { open, close }: ReasoningMarkers): boolean {
  const end = text.replace(LAYOUT_AT_END, "");
  return end.endsWith(open) || end.endsWith(close);
}

/** Returns the white space between a marker and the end of a text; undefined if other text follows the marker, or there is none. */
export function layoutAfter(text: string, marker: string): string | undefined {
  const end = text.replace(LAYOUT_AT_END, "");
  return end.endsWith(marker) ? text.slice(end.length) : undefined;
}

export function hasMarker(text: string, { open, close }: ReasoningMarkers): boolean {
  return text.includes(open) || text.includes(close);
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
  readonly #markers: ReasoningMarkers;
  #kind: PartKind;
  /** The end of the stream, while it may become a marker. */
  #held = "";
  /** True if the current line has text. */
  #isMidLine = false;

  constructor({ markers, kind }: Pick<OutputStart, "markers" | "kind">) {
    this.#markers = markers;
    this.#kind = kind;
  }

  get kind(): PartKind {
    return this.#kind;
  }

  /** piece: the whole characters that one token completes. */
  push(piece: string): TextRun[] {
    const { open, close } = this.#markers;
    const token = piece.trim();
    const isOneToken = token === open || token === close;
    const runs: TextRun[] = [];
    let rest = this.#held + piece;
    for (;;) {
      const [atOpen, atClose] = [rest.indexOf(open), rest.indexOf(close)];
      if (atOpen < 0 && atClose < 0) break;
      const isOpening = atClose < 0 || (atOpen >= 0 && atOpen < atClose);
      const [at, marker] = isOpening ? [atOpen, open] : [atClose, close];
      this.#addText(runs, rest.slice(0, at));
      rest = rest.slice(at + marker.length);
      if (this.#kind === "answer" && this.#isMidLine && !isOneToken) this.#addText(runs, marker);
      else this.#addMarker(runs, marker);
    }
    const hold = Math.max(overlap(rest, open), overlap(rest, close));
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
    this.#kind = marker === this.#markers.open ? "reasoning" : "answer";
    this.#isMidLine = false;
  }
}

/** Returns the length of the longest suffix of `text` that is a proper prefix of `marker`. */
function overlap(text: string, marker: string): number {
  for (let n = Math.min(text.length, marker.length - 1); n > 0; n--)
    if (text.endsWith(marker.slice(0, n))) return n;
  return 0;
}
