import type { Backend } from "../backend/backend.ts";

/** What attention and selection ask of a backend. */
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
