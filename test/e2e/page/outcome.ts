import type { GenerationPart } from "lessismore";

export interface Solution {
  /** The backend and the reason for its choice. */
  readonly backend: string;
  readonly text: string;
  readonly attendedFraction: number;
  /** Arrival of each part since the start of the request. */
  readonly partsAtMs: readonly number[];
}

/** The page's result, for the test to read. */
export type PageOutcome = Solution | { readonly error: string };

/** Messages of the worker: parts, then the outcome. */
export type WorkerMessage = { readonly part: GenerationPart } | { readonly outcome: PageOutcome };

declare global {
  /** Set when the page has finished. */
  var outcome: PageOutcome | undefined;
}
