import type { Tokenizer } from "../load/tokenizer.ts";
import { Detokenizer } from "./detokenizer.ts";
import type { GenerationPart, PartKind } from "./request.ts";
import { StopText } from "./stop-text.ts";

/** The token ids of the thinking markers, where the checkpoint has them. */
export interface ThinkingMarkers {
  readonly open: number | undefined;
  readonly close: number | undefined;
}

export function thinkingMarkers(tokenizer: Tokenizer): ThinkingMarkers {
  return { open: tokenizer.tokenId("<think>"), close: tokenizer.tokenId("</think>") };
}

/**
 * Splits a stream of tokens into reasoning and answer, and into whole characters.
 * Starts in reasoning where the prompt leaves a thinking block open. White space at the ends of the reasoning and at the
 * start of the answer belongs to the markers, not to the texts.
 */
export class OutputStream {
  readonly #markers: ThinkingMarkers;
  readonly #tokenizer: Tokenizer;
  readonly #detokenizer: Detokenizer;
  readonly #stop: StopText;
  #kind: PartKind;
  #isAtStart = true;
  #space = "";
  #tokenIds: number[] = [];
  /** Everything so far, markers included. */
  text = "";
  reasoning = "";
  answer = "";

  constructor(tokenizer: Tokenizer, prompt: ArrayLike<number>, stops: readonly string[]) {
    this.#tokenizer = tokenizer;
    this.#markers = thinkingMarkers(tokenizer);
    this.#detokenizer = new Detokenizer(tokenizer);
    this.#stop = new StopText(stops);
    this.#kind = endsInThought(prompt, this.#markers) ? "reasoning" : "answer";
  }

  get isStopped(): boolean {
    return this.#stop.found;
  }

  /** Takes one token; gives the part it completes, if any. */
  push(tokenId: number): GenerationPart | undefined {
    if (tokenId === this.#markers.open || tokenId === this.#markers.close) return this.#switch(tokenId);
    this.#tokenIds.push(tokenId);
    return this.#emit(this.#stop.push(this.#detokenizer.push(tokenId)));
  }

  /** Ends the stream: gives what was held back. */
  finish(): GenerationPart | undefined {
    const held = this.#stop.push(this.#detokenizer.flush()) + this.#stop.flush();
    return this.#emit(held);
  }

  #switch(tokenId: number): GenerationPart | undefined {
    const part = this.finish();
    const marker = this.#tokenizer.decode([tokenId]);
    this.text += marker;
    this.#kind = tokenId === this.#markers.open ? "reasoning" : "answer";
    this.#isAtStart = true;
    this.#space = "";
    return part;
  }

  #emit(piece: string): GenerationPart | undefined {
    this.text += piece;
    let text = this.#space + piece;
    if (this.#isAtStart) text = text.trimStart();
    const end = this.#kind === "reasoning" ? text.trimEnd().length : text.length;
    this.#space = text.slice(end);
    text = text.slice(0, end);
    if (text === "") return undefined;
    this.#isAtStart = false;
    if (this.#kind === "reasoning") this.reasoning += text;
    else this.answer += text;
    const part = { kind: this.#kind, text, tokenIds: this.#tokenIds };
    this.#tokenIds = [];
    return part;
  }
}

function endsInThought(prompt: ArrayLike<number>, markers: ThinkingMarkers): boolean {
  for (let i = prompt.length - 1; i >= 0; i--) {
    if (prompt[i] === markers.close) return false;
    if (prompt[i] === markers.open) return true;
  }
  return false;
}
