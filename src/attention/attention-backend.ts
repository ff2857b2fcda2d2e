import type { Backend } from "../backend/backend.ts";

/** The part of a backend that attention and selection use. */
export type AttentionBackend = Pick<
  Backend,
  | "cacheDtype"
  | "createTensor"
  | "createPageTensor"
  | "addPageBounds"
  | "attendAll"
  | "attendSelected"
  | "scores"
  | "selectedScores"
  | "randomScores"
  | "updatePageBounds"
  | "pageScores"
  | "poolScores"
  | "updateBlockKeys"
  | "blockScores"
  | "updateKeySketch"
  | "sketchScores"
  | "topK"
  | "unitsAbove"
  | "mergeByRank"
  | "expandSelection"
  | "mapHeads"
> & {
  readonly capacity: Pick<
    Backend["capacity"],
    "maxBatchRows" | "maxBatchSequences" | "maxSequenceLength" | "maxPages" | "pageSize"
  >;
};
