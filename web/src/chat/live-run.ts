import { signal } from "@preact/signals";
import type { GenerationPart } from "lessismore";
import type { RunRecord } from "../run/run-record.ts";

export type LivePhase = "waiting" | "reading" | "thinking" | "answering" | "replaying";

/** A run whose tokens are coming. Readers look again when `version` rises, which is at most once in a frame of the page. */
export class LiveRun {
  readonly version = signal(0);
  readonly phase = signal<LivePhase>("waiting");
  readonly record = signal<RunRecord | undefined>(undefined);
  readonly messageId: string;
  reasoning = "";
  answer = "";
  tokenIds: number[] = [];
  /** What the page does otherwise than asked. */
  notes: readonly string[] = [];
  readonly #frame: (callback: () => void) => void;
  #isDue = false;
  /** What is known of an earlier run, shown until its tokens have come again. */
  #known: { readonly reasoning: string; readonly answer: string; readonly tokenIds: readonly number[] };

  /** known: of the run before a reload or a lost device; frame: calls back before the page is next painted */
  constructor(
    messageId: string,
    known: { readonly reasoning: string; readonly answer: string; readonly tokenIds: readonly number[] },
    frame: (callback: () => void) => void = nextFrame,
  ) {
    this.messageId = messageId;
    this.#known = known;
    this.#frame = frame;
    this.#restore();
  }

  /** The parts begin anew; what is known is shown until then. */
  restart(): void {
    if (this.tokenIds.length > this.#known.tokenIds.length)
      this.#known = { reasoning: this.reasoning, answer: this.answer, tokenIds: this.tokenIds };
    this.#restore();
    this.#fresh = { reasoning: "", answer: "", tokenIds: [] };
    this.#changed();
  }

  /** Tokens of an earlier run. */
  get numKnown(): number {
    return this.#known.tokenIds.length;
  }

  #fresh = { reasoning: "", answer: "", tokenIds: [] as number[] };

  add({ kind, text, tokenIds, markerTokenIds = [] }: GenerationPart): void {
    const fresh = this.#fresh;
    fresh[kind] += text;
    fresh.tokenIds.push(...markerTokenIds, ...tokenIds);
    if (fresh.tokenIds.length < this.#known.tokenIds.length) return;
    this.reasoning = fresh.reasoning;
    this.answer = fresh.answer;
    this.tokenIds = fresh.tokenIds;
    this.phase.value = kind === "reasoning" ? "thinking" : "answering";
    this.#changed();
  }

  #restore(): void {
    this.reasoning = this.#known.reasoning;
    this.answer = this.#known.answer;
    this.tokenIds = [...this.#known.tokenIds];
  }

  #changed(): void {
    if (this.#isDue) return;
    this.#isDue = true;
    this.#frame(() => {
      this.#isDue = false;
      this.version.value++;
    });
  }
}

/** A hidden page paints no frames, but its run goes on and is saved. */
function nextFrame(callback: () => void): void {
  if (document.visibilityState === "visible") requestAnimationFrame(callback);
  else setTimeout(callback, 250);
}
