import type { GenerationPart, PartKind } from "./request.ts";

/** Parts a consumer may be behind. */
const MAX_WAITING_PARTS = 64;

interface WaitingPart {
  readonly kind: PartKind;
  text: string;
  readonly tokenIds: number[];
}

/**
 * The parts that a consumer has not read. A full queue still takes parts, where a request goes on for its result: it
 * joins them to its last one, so that what lies unread costs little more than its text.
 */
export class PartQueue {
  #parts: WaitingPart[] = [];

  get isFull(): boolean {
    return this.#parts.length >= MAX_WAITING_PARTS;
  }

  push({ kind, text, tokenIds }: GenerationPart): void {
    const last = this.#parts.at(-1);
    if (!last || !this.isFull || last.kind !== kind) {
      this.#parts.push({ kind, text, tokenIds: [...tokenIds] });
      return;
    }
    last.text += text;
    for (const id of tokenIds) last.tokenIds.push(id);
  }

  shift(): GenerationPart | undefined {
    return this.#parts.shift();
  }
}
