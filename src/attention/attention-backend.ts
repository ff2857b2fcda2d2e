import type { Backend } from "../backend/backend.ts";

/** The part of a backend that attention and selection use. */
export type AttentionBackend = Pick<
  Backend,
  | "cacheDtype"
  | "createTensor"
  | "attendAll"
  | "attendSelected"
  | "scores"
  | "randomScores"
  | "updatePageBounds"
  | "pageScores"
  | "topK"
  | "mergeByRank"
  | "expandSelection"
> & { readonly capacity: Pick<Backend["capacity"], "maxBatchSequences" | "maxSequenceLength"> };
