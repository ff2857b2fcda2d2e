import type { GenerationPart, PartKind, TokenLogprob } from "./request.ts";

/** Maximum unread parts; a full queue pauses the request. */
const MAX_WAITING_PARTS = 64;

interface WaitingPart {
  readonly kind: PartKind;
  text: string;
  readonly tokenIds: number[];
  readonly markerTokenIds?: readonly number[];
  readonly logprobs?: TokenLogprob[];
}

/**
 * The unread parts of a consumer. A full queue still accepts parts, for a request that continues for its result: it
 * appends them to its last part, so that unread output costs little more than its text.
 */
export class PartQueue {
  #parts: WaitingPart[] = [];

  get isFull(): boolean {
    return this.#parts.length >= MAX_WAITING_PARTS;
  }

  push({ kind, text, tokenIds, markerTokenIds, logprobs }: GenerationPart): void {
    const last = this.#parts.at(-1);
    if (!last || !this.isFull || last.kind !== kind || markerTokenIds) {
      const part = { kind, text, tokenIds: [...tokenIds], ...(markerTokenIds && { markerTokenIds }) };
      this.#parts.push(logprobs ? { ...part, logprobs: [...logprobs] } : part);
      return;
    }
    last.text += text;
    for (const id of tokenIds) last.tokenIds.push(id);
    if (logprobs) last.logprobs?.push(...logprobs);
  }

  shift(): GenerationPart | undefined {
    return this.#parts.shift();
  }
}
