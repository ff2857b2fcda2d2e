import type { Tokenizer } from "../load/tokenizer.ts";
import { Detokenizer } from "./detokenizer.ts";
import type { GenerationPart, PartKind } from "./request.ts";
import { StopText } from "./stop-text.ts";
import { type OutputStart, type TextRun, ThinkingSplitter } from "./thinking.ts";

/** White space that chat formats put around their markers. Others, such as U+3000, indent text. */
const LAYOUT_AT_START = /^[ \t\r\n]+/;

/**
 * Turns tokens into the parts of the output: whole characters, reasoning apart from answer, nothing from a stop text on.
 * White space beside a thinking marker belongs to the marker and is left out of reasoning and answer; all other white
 * space is the model's and stays.
 */
export class OutputStream {
  readonly #detokenizer: Detokenizer;
  readonly #splitter: ThinkingSplitter;
  readonly #stop: StopText;
  /** Runs that may still become a stop text, in order. */
  readonly #runs: TextRun[] = [];
  /** Characters that left `#runs`. */
  #released = 0;
  /** White space that a marker may still claim. */
  #space = "";
  #kind: PartKind;
  /** Nothing but white space came since the start or the last marker. */
  #isBlank = true;
  #isAfterMarker: boolean;
  /** The same two for text that is looked through, ahead of text that is given out. */
  #isLayout: boolean;
  /** Tokens whose text no part has. */
  #tokenIds: number[] = [];
  #parts: GenerationPart[] = [];
  #part = "";
  /** Everything so far, markers included. */
  text = "";
  reasoning = "";
  answer = "";

  constructor(tokenizer: Tokenizer, start: OutputStart, stops: readonly string[]) {
    this.#detokenizer = new Detokenizer(tokenizer);
    this.#splitter = new ThinkingSplitter(start.kind);
    this.#stop = new StopText(stops);
    this.#kind = start.kind;
    this.#isAfterMarker = start.isAfterMarker;
    this.#isLayout = start.isAfterMarker;
  }

  get isStopped(): boolean {
    return this.#stop.foundAt !== undefined;
  }

  /** Takes one token; gives the parts it completes. */
  push(tokenId: number): readonly GenerationPart[] {
    this.#tokenIds.push(tokenId);
    for (const run of this.#splitter.push(this.#detokenizer.push(tokenId))) this.#lookThrough(run);
    this.#release(this.#stop.safeLength);
    return this.#takeParts();
  }

  /** Ends the stream: gives what was held back. */
  finish(): readonly GenerationPart[] {
    for (const run of this.#splitter.push(this.#detokenizer.flush())) this.#lookThrough(run);
    for (const run of this.#splitter.flush()) this.#lookThrough(run);
    this.#release(this.#stop.foundAt ?? Number.POSITIVE_INFINITY);
    // inside the reasoning only a stop text that has a marker in it ends the output: the white space is that marker's
    if (!(this.isStopped && this.#kind === "reasoning") && !(this.#isBlank && this.#isAfterMarker))
      this.#give(this.#space);
    this.#space = "";
    return this.#takeParts();
  }

  /** Looks for stop texts in a run. Layout after a marker is neither answer nor marker: it ends nothing by itself. */
  #lookThrough(run: TextRun): void {
    this.#runs.push(run);
    if (run.kind === "marker") {
      this.#stop.push(run.text, true);
      this.#isLayout = true;
      return;
    }
    const layout = this.#isLayout ? (LAYOUT_AT_START.exec(run.text)?.[0].length ?? 0) : 0;
    this.#stop.push(run.text.slice(0, layout), false);
    this.#stop.push(run.text.slice(layout), run.kind === "answer");
    if (layout < run.text.length) this.#isLayout = false;
  }

  /** Gives out the first `length` characters of the stream. */
  #release(length: number): void {
    for (let run = this.#runs[0]; run && this.#released < length; run = this.#runs[0]) {
      const text = run.text.slice(0, length - this.#released);
      this.#released += text.length;
      if (text.length === run.text.length) this.#runs.shift();
      else this.#runs[0] = { kind: run.kind, text: run.text.slice(text.length) };
      this.text += text;
      // no stop text cuts a marker: it counts whole, and a match that begins inside it leaves the rest as text
      if (run.kind === "marker") this.#passMarker(text.length === run.text.length);
      else this.#emit(run.kind, text);
    }
  }

  #passMarker(isWhole: boolean): void {
    this.#closePart();
    this.#tokenIds = [];
    this.#space = "";
    if (!isWhole) return;
    this.#isBlank = true;
    this.#isAfterMarker = true;
  }

  #emit(kind: PartKind, text: string): void {
    if (kind !== this.#kind) this.#closePart();
    this.#kind = kind;
    const isBesideMarker = this.#isBlank && this.#isAfterMarker;
    const rest = isBesideMarker ? text.replace(LAYOUT_AT_START, "") : text;
    // a marker may follow: one that closes the reasoning, or one that opens it at the very start of the output
    const mayBeLayout = kind === "reasoning" || (this.#isBlank && isLayout(rest));
    const end = mayBeLayout ? endOfText(rest) : rest.length;
    if (end > 0) {
      this.#give(this.#space + rest.slice(0, end));
      this.#space = "";
      this.#isBlank = false;
    }
    this.#space += rest.slice(end);
  }

  #give(text: string): void {
    this.#part += text;
    if (this.#kind === "reasoning") this.reasoning += text;
    else this.answer += text;
  }

  #closePart(): void {
    if (this.#part === "") return;
    this.#parts.push({ kind: this.#kind, text: this.#part, tokenIds: this.#tokenIds });
    this.#part = "";
    this.#tokenIds = [];
  }

  #takeParts(): readonly GenerationPart[] {
    this.#closePart();
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }
}

/** Length of a text without the layout at its end. */
function endOfText(text: string): number {
  let end = text.length;
  while (end > 0 && " \t\r\n".includes(text[end - 1] ?? "-")) end--;
  return end;
}

function isLayout(text: string): boolean {
  return endOfText(text) === 0;
}
