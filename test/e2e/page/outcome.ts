import type { GenerationPart } from "lessismore";

export interface Solution {
  /** What computed, and why. */
  readonly backend: string;
  readonly text: string;
  readonly attendedFraction: number;
  /** When each part came, from the start of the request. */
  readonly partsAtMs: readonly number[];
}

/** What the page leaves for the test to read. */
export type PageOutcome = Solution | { readonly error: string };

/** What the worker sends: parts, then the outcome. */
export type WorkerMessage = { readonly part: GenerationPart } | { readonly outcome: PageOutcome };

declare global {
  /** Set when the page is done. */
  var outcome: PageOutcome | undefined;
}
