import type { Tokenizer } from "../load/tokenizer.ts";
import { Detokenizer } from "./detokenizer.ts";
import type { GenerationPart, PartKind, TokenLogprob } from "./request.ts";
import { StopText } from "./stop-text.ts";
import { type OutputStart, type TextRun, ThinkingSplitter } from "./thinking.ts";

/** White space that chat formats put around markers. Other white space, such as U+3000, indents text. */
const LAYOUT_AT_START = /^[ \t\r\n]+/;

/**
 * Turns tokens into output parts: of whole characters, split into reasoning and answer, and ending before a stop text.
 * White space next to a reasoning marker belongs to the marker, not to reasoning or answer. All other white space belongs
 * to the model's text. A stream that keeps markers passes all text on, and knows by the markers alone where the reasoning ends.
 */
export class OutputStream {
  readonly #detokenizer: Detokenizer;
  readonly #splitter: ThinkingSplitter;
  readonly #stop: StopText;
  readonly #keepsMarkers: boolean;
  /** Runs that may still become a stop text, oldest first. */
  readonly #runs: TextRun[] = [];
  /** Characters that left `#runs`. */
  #released = 0;
  /** White space that a marker may still claim. */
  #space = "";
  #kind: PartKind;
  /** True while only white space came since the start or the last marker. */
  #isBlank = true;
  #isAfterMarker: boolean;
  /** True while `#search` sees only white space after a marker; it runs ahead of the released text. */
  #isLayout: boolean;
  /** Tokens whose text is in no part yet. */
  #tokenIds: number[] = [];
  /** Theirs; empty if the request asked for none. */
  #logprobs: TokenLogprob[] = [];
  /** Tokens of markers since the last part. */
  #markerTokenIds: number[] = [];
  #parts: GenerationPart[] = [];
  #part = "";
  /** All released text, markers included. */
  text = "";
  reasoning = "";
  answer = "";

  /** keepsMarkers: true if all text is the answer's, as the model wrote it */
  constructor(tokenizer: Tokenizer, start: OutputStart, stops: readonly string[], keepsMarkers = false) {
    this.#detokenizer = new Detokenizer(tokenizer);
    this.#splitter = new ThinkingSplitter(start);
    this.#stop = new StopText(stops);
    this.#keepsMarkers = keepsMarkers;
    this.#kind = keepsMarkers ? "answer" : start.kind;
    this.#isAfterMarker = start.isAfterMarker;
    this.#isLayout = start.isAfterMarker;
  }

  get isStopped(): boolean {
    return this.#stop.foundAt !== undefined;
  }

  /** True while the output is inside the reasoning. */
  get isReasoning(): boolean {
    return this.#splitter.kind === "reasoning";
  }

  /** Takes a token; returns the parts that it completes. mayStop: false if no stop text may end with it */
  push(tokenId: number, mayStop = true, logprob?: TokenLogprob): readonly GenerationPart[] {
    this.#tokenIds.push(tokenId);
    if (logprob) this.#logprobs.push(logprob);
    this.#stop.isArmed = mayStop;
    this.#split(this.#detokenizer.push(tokenId));
    this.#release(this.#stop.safeLength);
    return this.#takeParts();
  }

  /** Ends the stream; returns the last parts. */
  finish(): readonly GenerationPart[] {
    this.#split(this.#detokenizer.flush());
    if (!this.#keepsMarkers) for (const run of this.#splitter.flush()) this.#search(run);
    this.#release(this.#stop.foundAt ?? Number.POSITIVE_INFINITY);
    // inside the reasoning only a stop text with a marker ends the output, and the white space belongs to that marker
    if (!(this.isStopped && this.#kind === "reasoning") && !(this.#isBlank && this.#isAfterMarker))
      this.#append(this.#space);
    this.#space = "";
    return this.#takeParts();
  }

  #split(text: string): void {
    const runs = this.#splitter.push(text);
    if (!this.#keepsMarkers) for (const run of runs) this.#search(run);
    else if (text !== "") {
      this.#runs.push({ kind: "answer", text });
      this.#stop.push(text, true);
    }
  }

  /** Searches a run for stop texts. White space after a marker is neither answer nor marker, so it ends nothing alone. */
  #search(run: TextRun): void {
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

  /** Releases the stream's text up to `length` characters from its start. */
  #release(length: number): void {
    for (let run = this.#runs[0]; run && this.#released < length; run = this.#runs[0]) {
      const text = run.text.slice(0, length - this.#released);
      this.#released += text.length;
      if (text.length === run.text.length) this.#runs.shift();
      else this.#runs[0] = { kind: run.kind, text: run.text.slice(text.length) };
      this.text += text;
      // a stop text may begin inside a marker; the prefix released before it does not count as a marker
      if (this.#keepsMarkers) this.#append(text);
      else if (run.kind === "marker") this.#passMarker(text.length === run.text.length);
      else this.#emit(run.kind, text);
    }
  }

  #passMarker(isWhole: boolean): void {
    this.#closePart();
    this.#markerTokenIds.push(...this.#tokenIds);
    this.#dropTokens();
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
    // a marker may follow that closes the reasoning, or opens it at the very start of the output
    const mayBeLayout = kind === "reasoning" || (this.#isBlank && isLayout(rest));
    const end = mayBeLayout ? endOfText(rest) : rest.length;
    if (end > 0) {
      this.#append(this.#space + rest.slice(0, end));
      this.#space = "";
      this.#isBlank = false;
    }
    this.#space += rest.slice(end);
  }

  #append(text: string): void {
    this.#part += text;
    if (this.#kind === "reasoning") this.reasoning += text;
    else this.answer += text;
  }

  #closePart(): void {
    if (this.#part === "") return;
    const markerTokenIds = this.#markerTokenIds;
    const part = {
      ...{ kind: this.#kind, text: this.#part, tokenIds: this.#tokenIds },
      ...(markerTokenIds.length > 0 && { markerTokenIds }),
    };
    this.#markerTokenIds = [];
    this.#parts.push(this.#logprobs.length === 0 ? part : { ...part, logprobs: this.#logprobs });
    this.#part = "";
    this.#dropTokens();
  }

  #dropTokens(): void {
    this.#tokenIds = [];
    if (this.#logprobs.length > 0) this.#logprobs = [];
  }

  #takeParts(): readonly GenerationPart[] {
    this.#closePart();
    const parts = this.#parts;
    this.#parts = [];
    return parts;
  }
}

/** Returns the length of a text without white space at its end. */
function endOfText(text: string): number {
  let end = text.length;
  while (end > 0 && " \t\r\n".includes(text[end - 1] ?? "-")) end--;
  return end;
}

function isLayout(text: string): boolean {
  return endOfText(text) === 0;
}
